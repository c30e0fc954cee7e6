//! The parts of a preview: by which rules it is made, its Environment, and what is said of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::agent::desired::{DesiredScope, read_config};
use crate::api::{
    ConditionStatus, Environment, EnvironmentSpec, KindLimits, OnDelete, PreviewGrant, PreviewSpec, Previews,
    names,
};
use crate::git::{Changes, GitError, GitTree};
use crate::object::{AppName, EnvironmentName, Revision, TreePath, chain};
use crate::previews::{self, NamespaceState, Preview, Pull, Rules, Step, WARNING, ends_at, name};
use crate::pull_requests::{Number, PullRequest};
use crate::review::markdown::escape::{short, text};

const FETCH_WITHIN: Duration = Duration::from_secs(60);
/// Where the base branch does not say.
const IDLE: SignedDuration = SignedDuration::from_hours(72);
const CAP: SignedDuration = SignedDuration::from_hours(14 * 24);
const MAX: u32 = 10;
/// What the book knows of pull requests.
#[derive(Clone, Default)]
pub(super) struct Facts {
    pub open: Vec<(PullRequest, Option<Timestamp>)>,
    pub references: BTreeMap<Number, String>,
    pub tips: BTreeMap<String, Revision>,
    /// The environments whose previews the platform lets be.
    pub environments: Vec<(EnvironmentName, Arc<Environment>, PreviewGrant)>,
}

/// A preview with the Environment that it is.
pub(super) struct Found {
    pub preview: Preview,
    pub environment: Environment,
    pub uid: String,
    pub namespace_uid: Option<String>,
    pub stuck: Vec<String>,
}

/// An environment whose previews are looked after.
pub(super) struct Parts<'a> {
    pub of: &'a EnvironmentName,
    pub environment: &'a Environment,
    pub grant: &'a PreviewGrant,
    pub facts: &'a Facts,
}

/// What the base branch says.
pub(super) struct Read {
    pub rules: Rules,
    pub apps: Option<Vec<AppName>>,
    pub host: Option<String>,
}

/// Reads the rules from the base branch; nothing of them is the pull request's to say.
pub(super) async fn rules(parts: &Parts<'_>, changes: Arc<Changes>) -> Result<Read, String> {
    let branch = parts.environment.spec.source.branch.clone();
    let tip = parts.facts.tips.get(&branch).cloned().ok_or_else(|| format!("{branch} was not read yet"))?;
    let path = path(parts);
    let scope = DesiredScope {
        environment: parts.of.clone(),
        path: TreePath::new(&path).map_err(|error| error.to_string())?,
        grants: None,
        default_namespace: None,
        part: None,
    };
    let reading = tokio::task::spawn_blocking(move || {
        let before = tree_at(&changes, &branch, &tip).map_err(|error| chain(&error))?;
        let config = read_config(&before, &scope)
            .map_err(|problems| problems.as_slice().first().map(ToString::to_string).unwrap_or_default())?;
        config.previews.ok_or_else(|| "it says nothing of previews".to_owned())
    });
    let said = reading.await.map_err(crate::agent::panic_message)??;
    let span = |span: Option<crate::api::Span>, other| {
        span.and_then(|span| SignedDuration::try_from(span.duration()).ok()).unwrap_or(other)
    };
    let Previews { label, apps, idle, cap, max, host, night, forks } = said;
    if let Some(pattern) = &host {
        let probe = AppName::new("app").map_err(|error| error.to_string())?;
        previews::host(pattern, &probe, 1)?;
    }
    let most = parts.grant.max.unwrap_or(MAX);
    let max = usize::try_from(max.unwrap_or(most).min(most)).unwrap_or(0);
    let forks = forks && parts.grant.forks;
    let rules = Rules { label, idle: span(idle, IDLE), cap: span(cap, CAP), max, night, forks };
    Ok(Read { rules, apps, host })
}

/// The files of a branch at a commit. Blocks.
pub(super) fn tree_at(changes: &Changes, branch: &str, tip: &Revision) -> Result<GitTree, GitError> {
    let merged = changes.merge(tip, tip).or_else(|_| {
        changes.fetch(&[&format!("refs/heads/{branch}")], Instant::now() + FETCH_WITHIN)?;
        changes.merge(tip, tip)
    });
    merged.map(|merged| merged.before)
}

fn path(parts: &Parts<'_>) -> String {
    let path = parts.environment.spec.source.path.clone();
    path.unwrap_or_else(|| format!("environments/{}", parts.of))
}

impl Parts<'_> {
    /// The Environment of a preview: what its own lets, and less.
    pub fn environment_of(
        &self,
        read: &Read,
        number: u64,
        (head, base): (&Revision, &Revision),
        asked: bool,
        now: Timestamp,
    ) -> Environment {
        let called = name(self.of, number);
        let preview = PreviewSpec {
            of: self.of.to_string(),
            pull_request: number,
            reference: self.facts.references.get(&Number(number)).cloned().unwrap_or_default(),
            branch: format!("refs/heads/{}", self.environment.spec.source.branch),
            head: head.as_str().to_owned(),
            base: base.as_str().to_owned(),
            apps: read.apps.clone(),
            host: read.host.clone(),
            asked,
            // What nobody knows of is not trusted.
            fork: self.pull(number).is_none_or(|pull| pull.is_fork),
            asleep: false,
            since: written(now),
            active: written(now),
            ended: None,
        };
        let labels = [(names::PREVIEW_LABEL.to_owned(), self.of.to_string())].into();
        let metadata = ObjectMeta { name: Some(called), labels: Some(labels), ..ObjectMeta::default() };
        Environment { metadata, spec: self.spec_of(read, preview, true), status: None }
    }

    fn pull(&self, number: u64) -> Option<&PullRequest> {
        self.facts.open.iter().map(|(pull, _)| pull).find(|pull| pull.number.0 == number)
    }

    /// What bounds a preview.
    pub fn fences(&self, one: &Found) -> Vec<Value> {
        let called = name(self.of, one.preview.number);
        previews::objects(&called, &self.grant.quota, &self.grant.ingress_from, one.preview.is_fork)
    }

    fn spec_of(&self, read: &Read, preview: PreviewSpec, suspended: bool) -> EnvironmentSpec {
        let whole = &self.environment.spec;
        let mut source = whole.source.clone();
        source.path = Some(path(self));
        // What is signed is the branch; of a pull request nobody signed anything yet.
        source.verify = None;
        let host = read.host.as_deref();
        let mut policies = whole.policies.clone();
        let more = previews::policies(host, preview.pull_request, &self.grant.annotations);
        policies.retain(|known| more.iter().all(|one| one.name != known.name));
        policies.extend(more);
        let denied = whole.kinds.clone().unwrap_or_default().denied;
        EnvironmentSpec {
            source,
            service_account: self.grant.service_account.clone(),
            namespaces: vec![name(self.of, preview.pull_request)],
            cluster_kinds: Vec::new(),
            secrets: Vec::new(),
            adopt: Vec::new(),
            kinds: Some(KindLimits { allowed: Some(previews::kinds(host)), denied }),
            policies,
            pull_requests: None,
            preview: Some(preview),
            suspended,
            on_delete: OnDelete::Keep,
            prune: None,
            aws: None,
            ..whole.clone()
        }
    }

    /// The change of a spec that a step is; with what the rules and the platform say by now, where that can be read.
    pub fn changed(&self, step: &Step, one: &Found, read: Option<&Read>, now: Timestamp) -> Option<Value> {
        let mut preview = one.environment.spec.preview.clone()?;
        let suspended = match step {
            Step::End(ended) => {
                return Some(json!({"suspended": true, "preview": {"ended": ended.as_str()}}));
            }
            Step::Update { head, base, active, since, is_asked, is_asleep } => {
                (preview.head, preview.base) = (head.to_string(), base.to_string());
                (preview.active, preview.since) = (written(*active), written(*since));
                (preview.asked, preview.asleep) = (*is_asked, *is_asleep);
                one.environment.spec.suspended
            }
            Step::Revive { head, base, is_asked } => {
                (preview.head, preview.base) = (head.to_string(), base.to_string());
                (preview.active, preview.since) = (written(now), written(now));
                (preview.asked, preview.asleep, preview.ended) = (*is_asked, false, None);
                true
            }
            _ => return None,
        };
        let mut spec = match read {
            Some(read) => {
                (preview.apps, preview.host) = (read.apps.clone(), read.host.clone());
                with_gaps(json!(self.spec_of(read, preview, suspended)), &LIMITS)
            }
            None => json!({"preview": preview, "suspended": suspended}),
        };
        spec["preview"] = with_gaps(spec["preview"].take(), &["apps", "host", "ended", "fork", "asleep"]);
        Some(spec)
    }
}

/// Fields of a spec that may be gone where they were before.
const LIMITS: [&str; 8] =
    ["class", "registries", "chartHosts", "gitHosts", "policies", "drift", "regions", "clusterKinds"];

/// A patch leaves alone what it does not name.
fn with_gaps(mut value: Value, names: &[&str]) -> Value {
    for name in names {
        if value.get(*name).is_none() {
            value[*name] = Value::Null;
        }
    }
    value
}

fn written(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

/// The change of a spec that lets it be rolled out.
pub(super) fn opened() -> Value {
    json!({"suspended": false})
}

/// What is said of a preview.
pub(super) struct Text<'a> {
    pub of: &'a EnvironmentName,
    pub one: &'a Found,
    pub rules: Option<&'a Rules>,
    pub pull: Option<&'a Pull>,
    pub now: Timestamp,
}

impl Text<'_> {
    pub fn line(&self) -> String {
        let preview = &self.one.preview;
        let head = short(preview.head.short());
        let state = match (&preview.ended, &preview.namespace) {
            (Some(ended), NamespaceState::Absent) => format!("ended ({})", ended.as_str()),
            (Some(ended), _) if self.one.stuck.is_empty() => {
                format!("is being taken away ({})", ended.as_str())
            }
            (Some(ended), _) => {
                let why = text(&self.one.stuck.join("; "), 300);
                format!("is being taken away ({}), which waits: {why}", ended.as_str())
            }
            (None, NamespaceState::Foreign) => {
                format!(
                    "cannot be made: the namespace {} is somebody else's",
                    short(&name(self.of, preview.number))
                )
            }
            (None, _) => format!("{} at {head}{}{}", self.state(), self.newer(), self.end()),
        };
        let hosts = self.hosts().filter(|_| preview.ended.is_none()).unwrap_or_default();
        format!("- Preview of {}: {state}{hosts}\n", short(self.of.as_str()))
    }

    fn state(&self) -> String {
        let status = self.one.environment.status.as_ref();
        let ready = status.and_then(|status| status.conditions.iter().find(|one| one.type_ == names::READY));
        let is_current = status
            .and_then(|status| status.revision.as_ref())
            .is_some_and(|revision| *revision == self.one.preview.head);
        match ready {
            Some(ready) if is_current && ready.status == ConditionStatus::True => match self.asleep() {
                Some(asleep) => asleep,
                None => "**healthy**".to_owned(),
            },
            Some(ready) if is_current => format!("not ready: {}", text(&ready.message, 300)),
            _ => "is being made".to_owned(),
        }
    }

    fn asleep(&self) -> Option<String> {
        let night = self.rules.and_then(|rules| rules.night.as_ref());
        let end = night.and_then(|night| night.around(self.now)).map(|(_, end)| end);
        let until = end.map_or_else(String::new, |end| end.strftime(" until %H:%M UTC").to_string());
        let text = format!("**asleep**{until}, or until somebody pushes or writes a comment,");
        self.one.preview.is_asleep.then_some(text)
    }

    /// Of a fork, that there is a commit which nobody named.
    fn newer(&self) -> String {
        let preview = &self.one.preview;
        match self.pull {
            Some(pull) if preview.is_fork && pull.head != preview.head => {
                let newest = pull.head.short();
                format!(
                    "; it is of a fork, and goes on to {} once somebody writes `/fairlead preview @{newest}`",
                    short(newest)
                )
            }
            _ => String::new(),
        }
    }

    /// When its time is over, once that is soon.
    fn end(&self) -> String {
        let Some(rules) = self.rules else { return String::new() };
        let end = ends_at(&self.one.preview, self.pull, rules);
        match end.duration_since(self.now) < WARNING {
            true => {
                let at = end.strftime("%Y-%m-%d %H:%M UTC");
                format!("; it ends at {at}, unless somebody pushes or writes `/fairlead keep`")
            }
            false => String::new(),
        }
    }

    fn hosts(&self) -> Option<String> {
        let spec = self.one.environment.spec.preview.as_ref()?;
        let pattern = spec.host.as_deref()?;
        let apps = &self.one.environment.status.as_ref()?.apps;
        let host = |app: &AppName| crate::previews::host(pattern, app, spec.pull_request).ok();
        let hosts: Vec<String> = apps
            .iter()
            .take(5)
            .filter_map(|app| host(&app.name))
            .map(|host| format!("https://{host}"))
            .collect();
        (!hosts.is_empty()).then(|| format!(" ({})", hosts.join(", ")))
    }
}

pub(super) fn queued(of: &EnvironmentName, nth: usize, most: usize) -> String {
    format!("- Preview of {}: waits for a place, as number {nth}: all {most} are taken\n", short(of.as_str()))
}

#[cfg(test)]
mod tests;
