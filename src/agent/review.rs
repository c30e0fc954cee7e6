//! Renders both sides of a change, and asks the cluster what `review` wants to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::charts::Charts;
use super::desired::{AppDesire, Desire, DesiredScope, Memo, desire, render_app, want_unchecked};
use super::once::{Once, OnceError, plan_desire};
use super::secrets::live_pins;
use crate::api::{AppPhase, AppSpec, AppStatus, Environment, EnvironmentConfig, Request, RequestState};
use crate::cluster::{Call, CallError, METADATA};
use crate::object::secret::Pins;
use crate::object::{AppName, Gvk, Kinds, ObjectKey, Problems, Tree, TreePath};
use crate::policy::{Finding, Grants, Severity};
use crate::report::PlanReport;
use crate::review::{AppSide, LiveSide, Quota, Stop, outside};
use crate::secrets::Uses;
use crate::{render, yaml};

/// The files before and with a change.
#[derive(Clone, Copy)]
pub struct Trees<'a> {
    pub base: &'a dyn Tree,
    pub head: &'a dyn Tree,
}

/// What renders, and for whom.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub scope: &'a DesiredScope,
    pub kinds: &'a Arc<Kinds>,
    pub limits: &'a render::Limits,
    pub charts: &'a Charts<'a>,
}

/// Both sides of an environment.
pub struct Sides {
    pub before: Vec<AppSide>,
    pub after: Result<Vec<AppSide>, Problems>,
    pub production: bool,
    /// Apps that wait for others which would not be applied.
    pub stops: Vec<Stop>,
    /// What the new side says, where its file can be read.
    head: Option<Desire>,
    uses: Uses,
}

/// Renders both sides. An app none of whose files differ is rendered once.
pub fn render_sides(trees: Trees<'_>, target: Target<'_>, pins: &dyn Fn(&AppName) -> Pins) -> Sides {
    let Target { scope, kinds, limits, charts } = target;
    let mut memo = Memo::default();
    let mut of = |tree: &dyn Tree| desire(tree, scope, kinds, &mut memo, limits, charts, pins);
    let (base, head) = (of(trees.base), of(trees.head));
    let mut uses = Uses::default();
    for (app, by) in [&base, &head].into_iter().flatten().flat_map(|desire| &desire.uses.consumers) {
        Arc::make_mut(uses.consumers.entry(app.clone()).or_default()).extend(by.iter().cloned());
    }
    for (app, of) in [&base, &head].into_iter().flatten().flat_map(|desire| &desire.uses.sealed) {
        let known = uses.sealed.entry(app.clone()).or_default();
        let more = of.iter().filter(|secret| !known.contains(secret)).cloned().collect::<Vec<_>>();
        Arc::make_mut(known).extend(more);
    }
    // What was wrong before is no news; the apps that it had are told as new.
    let before = base.map_or_else(|_| Vec::new(), |desire| sides(trees.base, &desire, target, pins));
    match head {
        Err(problems) => {
            let (stops, production) = (Vec::new(), false);
            Sides { before, after: Err(problems), production, stops, head: None, uses }
        }
        Ok(desire) => {
            let after = sides(trees.head, &desire, target, pins);
            let stops = waits(&desire, &after);
            let production = desire.config.is_production(&scope.environment);
            Sides { before, after: Ok(after), production, stops, head: Some(desire), uses }
        }
    }
}

fn sides(
    tree: &dyn Tree,
    desire: &Desire,
    target: Target<'_>,
    pins: &dyn Fn(&AppName) -> Pins,
) -> Vec<AppSide> {
    let Target { scope, kinds, .. } = target;
    let warns = scope.grants.as_ref().is_some_and(Grants::warns);
    let side = |(spec, wanted): &AppDesire| {
        let (wanted, findings) = match wanted {
            Ok(wanted) if warns => (Ok(wanted.clone()), scope.findings(wanted, kinds)),
            Ok(wanted) => (Ok(wanted.clone()), Vec::new()),
            Err(problems) => refused(tree, &desire.config, spec, problems, target, &pins(&spec.name)),
        };
        AppSide { app: spec.name.clone(), wanted, findings, chart: chart(tree, spec) }
    };
    desire.apps.iter().map(side).collect()
}

type Looked = (Result<Arc<crate::plan::WantedApp>, Problems>, Vec<Finding>);

/// An app that is refused: where that is because of what the platform does not let alone, what it wants can be said.
fn refused(
    tree: &dyn Tree,
    config: &EnvironmentConfig,
    spec: &AppSpec,
    problems: &Problems,
    target: Target<'_>,
    pins: &Pins,
) -> Looked {
    let Target { scope, kinds, limits, charts } = target;
    let rendered = render_app(tree, scope, config, spec, limits, &render::Cache::new(), charts);
    let wanted = rendered.and_then(|(desired, _)| want_unchecked(desired, scope, spec, kinds, pins));
    if let Ok((wanted, _)) = wanted {
        let findings = scope.findings(&wanted, kinds);
        let denied = findings.iter().filter(|finding| finding.severity == Severity::Deny).count();
        if denied == problems.as_slice().len() {
            return (Ok(Arc::new(wanted)), findings);
        }
    }
    (Err(problems.clone()), Vec::new())
}

/// The name and the version of the chart that an app is.
fn chart(tree: &dyn Tree, spec: &AppSpec) -> Option<(String, String)> {
    let file = TreePath::new(spec.chart.as_deref()?).ok()?.child("Chart.yaml");
    let limits = yaml::Limits::default();
    let blob = tree.read(&file, limits.file_bytes).ok()?;
    let documents = yaml::read(&blob.bytes, &file, yaml::Dialect::Config, &limits).ok()?;
    let chart = documents.first()?.value();
    Some((chart["name"].as_str()?.to_owned(), chart["version"].as_str()?.to_owned()))
}

/// Apps that depend on apps which would not be applied.
fn waits(desire: &Desire, after: &[AppSide]) -> Vec<Stop> {
    let denied = |side: &AppSide| side.findings.iter().any(|finding| finding.severity == Severity::Deny);
    let stuck: BTreeSet<&AppName> =
        after.iter().filter(|side| side.wanted.is_err() || denied(side)).map(|side| &side.app).collect();
    let mut stops = Vec::new();
    for (spec, _) in &desire.apps {
        for other in spec.depends_on.iter().filter(|other| stuck.contains(other)) {
            let why = format!("it depends on the app {other}, which would not be applied");
            stops.push(Stop { app: Some(spec.name.clone()), why });
        }
    }
    stops
}

impl Sides {
    /// The apps that become others, or begin or cease to be.
    pub fn changed(&self) -> BTreeSet<AppName> {
        let digests = |sides: &[AppSide]| -> BTreeMap<AppName, Option<crate::object::Digest>> {
            let digest = |side: &AppSide| side.objects().map(|wanted| wanted.digest.clone());
            sides.iter().map(|side| (side.app.clone(), digest(side))).collect()
        };
        let (before, after) = (digests(&self.before), digests(self.after.as_deref().unwrap_or_default()));
        let all = before.keys().chain(after.keys());
        all.filter(|app| before.get(*app) != after.get(*app)).cloned().collect()
    }
}

impl Once {
    /// Renders both sides as `plan` does: for the server's kinds, with the versions of secrets that are live.
    pub async fn render_sides(&self, trees: Trees<'_>) -> Sides {
        let kinds = self.session.kinds();
        let charts = Charts::of(&self.means.helm, &self.version, &kinds);
        let target =
            Target { scope: &self.scope, kinds: &kinds, limits: &self.means.limits, charts: &charts };
        let found = render_sides(trees, target, &|_| Pins::offline());
        if found.uses.sealed.is_empty() {
            return found;
        }
        let pins = live_pins(&self.session, &found.uses).await;
        render_sides(trees, target, &|app: &AppName| pins.get(app).cloned().unwrap_or_default())
    }

    /// Asks the cluster about both sides. Of apps that are as they were nothing is asked.
    pub async fn look(&self, sides: &mut Sides) -> Result<LiveSide, OnceError> {
        let changed = sides.changed();
        let after = sides.after.as_deref().unwrap_or_default();
        let goes = leaves(&sides.before, after);
        let missing = self.missing(&outside(&sides.before, after)).await?;
        let quotas = self.quotas(&namespaces(sides, &changed)).await?;
        let unreadable = self.unreadable(sides, &changed);
        sides.stops.extend(self.stops(&changed, after));
        let plan = match sides.head.take() {
            Some(head) => {
                let fine: BTreeSet<AppName> = head
                    .apps
                    .iter()
                    .filter(|(spec, wanted)| wanted.is_ok() && changed.contains(&spec.name))
                    .map(|(spec, _)| spec.name.clone())
                    .collect();
                plan_desire(self, head, None, &|app: &AppName| fine.contains(app), goes).await?
            }
            None => PlanReport {
                environment: self.scope.environment.to_string(),
                revision: None,
                apps: Vec::new(),
                prune: None,
            },
        };
        Ok(LiveSide { plan, quotas, missing, unreadable })
    }

    /// Whether the environment may have anything in a namespace: what it may not is not looked at for it.
    fn is_granted(&self, namespace: Option<&str>) -> bool {
        match (&self.scope.grants, namespace) {
            (None, _) => true,
            (Some(grants), Some(namespace)) => grants.namespaces.iter().any(|granted| granted == namespace),
            (Some(_), None) => false,
        }
    }

    async fn missing(&self, keys: &BTreeSet<ObjectKey>) -> Result<BTreeSet<ObjectKey>, CallError> {
        let mut missing = BTreeSet::new();
        for key in keys.iter().filter(|key| self.is_granted(key.namespace.as_deref())) {
            let gvk = Gvk::new("", "v1", &key.kind);
            let Some(path) = self.session.path(&gvk, key) else { continue };
            let identity = self.identity.as_ref();
            // Whether it is there is wanted, and nothing of what it holds.
            let call = Call { identity, ..Call::get(path).accept(METADATA) };
            match self.session.cluster.send(&call).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {
                    missing.insert(key.clone());
                }
                // Who may not look does not know.
                Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(missing)
    }

    async fn quotas(&self, namespaces: &BTreeSet<String>) -> Result<Vec<Quota>, CallError> {
        let mut quotas = Vec::new();
        for namespace in namespaces.iter().filter(|namespace| self.is_granted(Some(namespace))) {
            let path = format!("/api/v1/namespaces/{namespace}/resourcequotas");
            let call = Call { identity: self.identity.as_ref(), ..Call::get(path) };
            let list = match self.session.cluster.send(&call).await {
                Ok(reply) => reply.json()?,
                Err(error) if error.is_not_found() || error.status() == Some(StatusCode::FORBIDDEN) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Those with a scope count some pods only.
            let is_whole = |quota: &&Value| {
                quota["spec"]["scopes"].is_null() && quota["spec"]["scopeSelector"].is_null()
            };
            for quota in list["items"].as_array().into_iter().flatten().filter(is_whole) {
                quotas.push(Quota {
                    namespace: namespace.clone(),
                    name: quota["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    hard: quota["spec"]["hard"].clone(),
                    used: quota["status"]["used"].clone(),
                });
            }
        }
        Ok(quotas)
    }

    /// Secrets of changed apps that the agent could not use when it looked last.
    fn unreadable(&self, sides: &Sides, changed: &BTreeSet<AppName>) -> Vec<(AppName, String)> {
        let status = self.platform.as_ref().and_then(|environment| environment.status.as_ref());
        let rows = status.map_or(&[][..], |status| &status.secrets);
        let mut found = Vec::new();
        for (app, secrets) in sides.uses.sealed.iter().filter(|(app, _)| changed.contains(*app)) {
            let used: BTreeSet<String> =
                secrets.iter().flat_map(|secret| secret.sealed.secrets()).map(ToString::to_string).collect();
            for row in rows.iter().filter(|row| used.contains(&row.name)) {
                let trouble = row.trouble.iter().map(|trouble| format!("{}: {trouble}", row.name));
                found.extend(trouble.map(|why| (app.clone(), why)));
            }
        }
        found
    }

    /// What the Environment says of why something does not roll out.
    fn stops(&self, changed: &BTreeSet<AppName>, after: &[AppSide]) -> Vec<Stop> {
        let Some(environment) = &self.platform else { return Vec::new() };
        let mut stops = of_environment(environment);
        let rows = environment.status.iter().flat_map(|status| &status.apps);
        for row in rows.filter(|row| changed.contains(&row.name)) {
            let side = after.iter().find(|side| side.app == row.name);
            let digest = side.and_then(AppSide::objects).map(|wanted| &wanted.digest);
            let why = why_not(row, digest);
            stops.extend(why.map(|why| Stop { app: Some(row.name.clone()), why }));
        }
        stops
    }
}

fn of_environment(environment: &Environment) -> Vec<Stop> {
    let mut stops = Vec::new();
    let mut say = |why: &str| stops.push(Stop { app: None, why: why.to_owned() });
    if environment.spec.suspended {
        say("the Environment is suspended: nothing is written until that ends");
    }
    if environment.metadata.deletion_timestamp.is_some() {
        say("the Environment is being deleted");
    }
    stops
}

/// Commits that wait because somebody holds them.
pub fn held<'a>(requests: impl Iterator<Item = &'a Request>, changed: &BTreeSet<AppName>) -> Vec<Stop> {
    let holds = requests.filter(|request| {
        let spec = &request.spec;
        let is_going = request.status.as_ref().is_some_and(|status| status.state == RequestState::Going);
        is_going && spec.verb == "hold" && spec.deploys && spec.object.is_none()
    });
    let mut stops = Vec::new();
    for hold in holds {
        let message = hold.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
        let reason = hold.spec.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        let why = format!("{} holds commits{reason}: {message}", hold.spec.by);
        match &hold.spec.app {
            None => stops.push(Stop { app: None, why }),
            Some(app) => {
                let app = changed.iter().find(|changed| changed.as_str() == app).cloned();
                stops.extend(app.map(|app| Stop { app: Some(app), why }));
            }
        }
    }
    stops
}

fn why_not(row: &AppStatus, digest: Option<&crate::object::Digest>) -> Option<String> {
    if row.quarantined.is_some() && row.quarantined.as_ref() == digest {
        return Some(
            "this very content failed before: it is not tried again until somebody retries it".to_owned(),
        );
    }
    if row.adoption.as_ref().is_some_and(|adoption| adoption.needed) {
        return Some("others hold objects of it, and nobody agreed yet that they hand them over".to_owned());
    }
    let waits = row.waiting_on.as_ref().map_or(String::new(), |waits| format!(": {}", waits.what.join(", ")));
    match row.phase {
        AppPhase::Blocked => Some(format!("it waits for others now{waits}")),
        _ => None,
    }
}

/// Whether anything leaves git.
fn leaves(before: &[AppSide], after: &[AppSide]) -> bool {
    let keys = |sides: &[AppSide]| -> BTreeSet<ObjectKey> {
        let wanted = sides.iter().filter_map(AppSide::objects);
        wanted.flat_map(|wanted| wanted.objects.iter().map(|object| object.key.clone())).collect()
    };
    !keys(before).is_subset(&keys(after))
}

fn namespaces(sides: &Sides, changed: &BTreeSet<AppName>) -> BTreeSet<String> {
    let after = sides.after.iter().flatten().filter(|side| changed.contains(&side.app));
    let objects = after.filter_map(AppSide::objects).flat_map(|wanted| &wanted.objects);
    objects.filter_map(|object| object.key.namespace.as_deref()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RequestSpec, RequestStatus};

    #[test]
    fn who_holds_commits_is_told_of_what_they_hold_and_for_as_long() {
        let changed = BTreeSet::from([AppName::new("web").unwrap()]);
        let hold = |change: &dyn Fn(&mut Request)| {
            let spec = RequestSpec {
                verb: "hold".into(),
                deploys: true,
                by: "ada".into(),
                reason: Some("an incident".into()),
                ..RequestSpec::default()
            };
            let mut request = Request::new("a", spec);
            let (state, message) = (RequestState::Going, Some("until 12:00".to_owned()));
            request.status = Some(RequestStatus { state, message, ..RequestStatus::default() });
            change(&mut request);
            held([&request].into_iter(), &changed)
        };
        let why = "ada holds commits (an incident): until 12:00".to_owned();
        assert_eq!(hold(&|_| {}), [Stop { app: None, why: why.clone() }]);
        let of = |app: &'static str| hold(&|request| request.spec.app = Some(app.into()));
        assert_eq!(of("web"), [Stop { app: AppName::new("web").ok(), why }]);
        assert_eq!(of("other"), [], "nothing of it changes");
        assert_eq!(hold(&|request| request.spec.deploys = false), []);
        assert_eq!(hold(&|request| request.spec.object = Some("Service web/web".into())), []);
        assert_eq!(hold(&|request| request.spec.verb = "release".into()), []);
        let over = |request: &mut Request| request.status.as_mut().unwrap().state = RequestState::Done;
        assert_eq!(hold(&over), [], "it is over");
    }
}
