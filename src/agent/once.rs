//! One look or one rollout, for people at a command line: the same parts as the agent's loop, with a tree in place of a
//! branch.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::adopt::{consent, say_how};
use super::charts::Charts;
use super::deliver::Deliver;
use super::desired::{Desire, DesiredScope, Memo, desire};
use super::foreign::refuse_foreign;
use super::hands::{Hands, refused_hooks};
use super::plan_prune::plan_prune;
use super::secrets::{CheckedSecret, check_secrets, identity, live_pins};
use crate::api::{AppStatus, Environment, Identity, names};
use crate::cluster::{
    CallError, Cluster, Detail, Environments, Filling, Index, IndexError, Requests, Session, Terms, Watched,
    prove,
};
use crate::delivery::{News, Platform, Says, Tokens};
use crate::drift::{Decision, Ruled, Rules};
use crate::helm::Helm;
use crate::object::secret::Pins;
use crate::object::{AppName, Problem, Problems, Tree};
use crate::plan::{
    Answer, Before, Consent, Hook, Moment, Touched, WantedApp, downtime, field_changes, ignored, notes,
    plan_with, repeated,
};
use crate::render;
use crate::report::{AppPlan, HookReport, PlanReport, Told, told};
use crate::requests::decisions;

/// What renders.
pub struct Means {
    pub helm: Arc<Helm>,
    pub limits: render::Limits,
}

/// A cluster, an environment and a tree.
pub struct Once {
    pub session: Session,
    pub(super) means: Means,
    /// Of the server.
    pub(super) version: String,
    pub environments: Environments,
    pub scope: DesiredScope,
    pub identity: Option<Identity>,
    pub only: Option<AppName>,
    /// The Environment of the cluster, where it has one.
    pub platform: Option<Environment>,
    /// The hand-overs that the caller agrees to.
    pub agreed: Tokens,
    /// What people decided about what others changed, as far as the caller may know it.
    pub decisions: Vec<Decision>,
}

#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("{0}")]
    Input(#[from] Problems),
    #[error("AWS cannot be asked")]
    Aws(#[from] crate::aws::StartError),
    #[error("asking the cluster failed")]
    Cluster(#[from] CallError),
    #[error(transparent)]
    Watch(#[from] IndexError),
    #[error("there is no app {0} in this environment")]
    NoSuchApp(AppName),
}

/// Where an apply stands.
pub struct Progress {
    pub apps: Vec<AppStatus>,
    pub news: Vec<Told>,
}

impl Once {
    pub async fn open(
        cluster: Cluster,
        scope: DesiredScope,
        identity: Option<Identity>,
        means: Means,
    ) -> Result<Self, CallError> {
        let environments = Environments::new(&cluster, "fairlead-cli");
        // Who may not see Requests, or has none, sees what the rules say.
        let requests = Requests::new(&cluster).list().await.unwrap_or_default();
        let decisions = decisions(&requests, scope.environment.as_str(), Timestamp::now());
        let session = Session::open(cluster).await?;
        Ok(Self {
            decisions,
            version: session.version().await?,
            session,
            means,
            environments,
            scope,
            identity,
            only: None,
            platform: None,
            agreed: Tokens::default(),
        })
    }

    /// What the tree says, with the versions of secrets that are live.
    pub(super) async fn desire(&self, tree: &dyn Tree) -> Result<Desire, OnceError> {
        let (mut memo, kinds) = (Memo::default(), self.session.kinds());
        let charts = Charts::of(&self.means.helm, &self.version, &kinds);
        let limits = &self.means.limits;
        let offline = |_: &AppName| Pins::offline();
        let found = desire(tree, &self.scope, &kinds, &mut memo, limits, &charts, &offline)?;
        if found.uses.sealed.is_empty() {
            return Ok(found);
        }
        let pins = live_pins(&self.session, &found.uses).await;
        let live = |app: &AppName| pins.get(app).cloned().unwrap_or_default();
        Ok(desire(tree, &self.scope, &kinds, &mut memo, limits, &charts, &live)?)
    }

    /// Reads every secret that the tree refers to, as the environment would, and says whether it could be used.
    pub async fn check_secrets(&self, tree: &dyn Tree) -> Result<Vec<CheckedSecret>, OnceError> {
        let (mut memo, kinds) = (Memo::default(), self.session.kinds());
        let charts = Charts::of(&self.means.helm, &self.version, &kinds);
        let offline = |_: &AppName| Pins::offline();
        let found = desire(tree, &self.scope, &kinds, &mut memo, &self.means.limits, &charts, &offline)?;
        let problems: Vec<Problem> = found
            .apps
            .iter()
            .filter_map(|(_, app)| app.as_ref().err())
            .flat_map(|found| found.as_slice().to_vec())
            .collect();
        Problems::check(problems)?;
        let spec = self.platform.as_ref().and_then(|environment| environment.spec.aws.as_ref());
        Ok(check_secrets(&found.uses.sealed, &identity(&self.scope.environment, spec)).await?)
    }

    pub(super) fn narrow(&self, mut desire: Desire) -> Result<Desire, OnceError> {
        if let Some(only) = &self.only {
            desire.apps.retain(|(spec, _)| spec.name == *only);
            if desire.apps.is_empty() {
                return Err(OnceError::NoSuchApp(only.clone()));
            }
            // What it depends on is not part of this look.
            desire.apps.iter_mut().for_each(|(spec, _)| spec.depends_on.clear());
        }
        Ok(desire)
    }

    /// Rolls out what the tree says and tells how it goes, until every app is ready or stuck, or `progress` says stop.
    pub async fn apply(
        &self,
        tree: &dyn Tree,
        mut progress: impl FnMut(&Progress) -> bool,
    ) -> Result<Vec<AppStatus>, OnceError> {
        let desire = self.narrow(self.desire(tree).await?)?;
        let hands = Arc::new(self.hands());
        let bell = hands.index.listen(self.scope.environment.as_str());
        let mut deliver = Deliver::new(hands, None);
        let platform = Platform { agreed: self.agreed.clone(), ..Platform::default() };
        deliver.hear(News::Platform(Box::new(platform)));
        let Desire { apps, config, .. } = desire;
        deliver.hands.index.judge(self.scope.environment.as_str(), &config.rollout.health);
        let drift = Arc::new(Rules::new(&config.drift).deciding(&self.decisions));
        deliver.hear(News::Git(Says { apps, rollout: config.rollout, drift, commit: None }));
        loop {
            let again = deliver.turn();
            let news = deliver.take_facts().iter().filter_map(told).collect();
            let now = Progress { news, apps: deliver.statuses() };
            if !progress(&now) || deliver.is_settled() {
                break;
            }
            let pause =
                again.map(|at| at.duration_since(Timestamp::now())).and_then(|left| left.try_into().ok());
            let pause = pause.unwrap_or(Duration::from_secs(1));
            tokio::select! {
                () = deliver.finish_some() => {}
                () = bell.notified() => deliver.hear_cluster(),
                () = tokio::time::sleep(pause.min(Duration::from_secs(1))) => {}
            }
        }
        deliver.hand_over(Duration::from_secs(20)).await;
        Ok(deliver.statuses())
    }

    /// The hands of a person: nothing is remembered.
    pub(super) fn hands(&self) -> Hands {
        Hands {
            session: self.session.clone(),
            index: Index::new(self.session.clone(), names::ENVIRONMENT_LABEL),
            environments: self.environments.clone(),
            environment: self.scope.environment.clone(),
            store: None,
            identity: self.identity.clone(),
            archive: RwLock::default(),
            gate: None,
        }
    }
}

/// What would change, as the server sees it. Writes nothing.
pub async fn plan_once(
    once: &Once,
    tree: &dyn Tree,
    revision: Option<String>,
) -> Result<PlanReport, OnceError> {
    let desire = once.desire(tree).await?;
    let only = |app: &AppName| once.only.as_ref().is_none_or(|only| only == app);
    plan_desire(once, desire, revision, &only, true).await
}

/// The same of what was rendered before, for some of its apps, with what left git or without.
pub(super) async fn plan_desire(
    once: &Once,
    desire: Desire,
    revision: Option<String>,
    chosen: &(dyn Fn(&AppName) -> bool + Sync),
    prunes: bool,
) -> Result<PlanReport, OnceError> {
    let hands = once.hands();
    let index = &hands.index;
    let prune = match &once.platform {
        Some(environment) if prunes => {
            let what = (&once.scope, once.only.as_ref());
            Some(plan_prune(&hands, what, environment, &desire).await)
        }
        _ => None,
    };
    let seconds = i64::try_from(desire.config.rollout.timeout.duration().as_secs()).unwrap_or(i64::MAX);
    let mut apps = Vec::new();
    let scalers = index.watch_autoscalers();
    let _ = scalers.listed().await;
    let tokens = once.agreed.clone();
    let production = desire.config.is_production(&once.scope.environment);
    let rules = Rules::new(&desire.config.drift).deciding(&once.decisions);
    let narrowed = once.narrow(desire)?.apps;
    for (spec, wanted) in narrowed.into_iter().filter(|(spec, _)| chosen(&spec.name)) {
        apps.push(match wanted {
            Ok(wanted) => {
                let consent = consent(&spec, &tokens);
                plan_app(once, index, &wanted, &consent, &rules, (production, seconds)).await?
            }
            Err(problems) => AppPlan::broken(spec.name.as_str(), problems.into_vec()),
        });
    }
    Ok(PlanReport { environment: once.scope.environment.to_string(), revision, apps, prune })
}

async fn plan_app(
    once: &Once,
    index: &Index,
    wanted: &Arc<WantedApp>,
    consent: &Consent,
    rules: &Rules,
    (production, seconds): (bool, i64),
) -> Result<AppPlan, OnceError> {
    let watches = index.watch(&Watched::of(wanted.all().map(|object| &**object)));
    watches.listed().await?;
    let now = Timestamp::now();
    let planned = plan_with(wanted, &Ruled { lookup: index, rules, now }, consent);
    let found = match planned {
        Ok(plan) => plan,
        Err(problems) => return Ok(AppPlan::broken(wanted.app.as_str(), problems.into_vec())),
    };
    // A person's look has no memory of what was applied before; the agent's own may allow more.
    let (identity, before) = (once.identity.as_ref(), Before::new());
    let terms = Terms { identity, before: &before, consent, detail: Detail::Objects };
    // Nothing is written, and the values are not a person's to see.
    let session = once.session.filling(Filling::Placeholders);
    let proven = prove(&session, &found, terms).await?;
    let mut answers: Vec<Answer> = Vec::with_capacity(proven.len());
    let mut changes = Vec::with_capacity(proven.len());
    for proven in &proven {
        changes.push(match (&proven.before, &proven.after) {
            (Some(before), Some(after)) => field_changes(before, after),
            _ => Vec::new(),
        });
        answers.push(proven.answer.clone());
    }
    let touched: Vec<Touched> = found
        .steps()
        .zip(&proven)
        .zip(&changes)
        .map(|((step, proven), changes)| Touched {
            wanted: &step.wanted,
            after: proven.after.as_ref(),
            changes: proven.before.as_ref().map(|_| changes.as_slice()),
        })
        .collect();
    let down = downtime(wanted, &touched, production);
    refuse_foreign(&once.environments, &once.scope.environment, &found, &mut answers).await;
    say_how(&once.scope.environment, &found.app, consent, &mut answers);
    let mut report = AppPlan::new(&found, &answers, changes);
    report.notes = notes(wanted, index);
    report.notes.extend(repeated(&wanted.objects));
    report.downtime = down;
    report.notes.extend(wanted.left.iter().cloned());
    report.notes.extend(theirs(wanted, &Ruled { lookup: index, rules, now }));
    report.notes.extend(once.scope.warnings(wanted, &once.session.kinds()));
    let hooks = hooks_due(once, wanted);
    let asked: Vec<_> =
        hooks.iter().map(|(_, hook)| (hook.clone(), hook.deadline.unwrap_or(seconds))).collect();
    report.refused.extend(refused_hooks(&once.session, &found, &asked, once.identity.as_ref()).await);
    report.hooks = hooks
        .into_iter()
        .map(|(moment, hook)| {
            let job = index.get(&hook.job.key).map(|record| record.health.status);
            HookReport::new(&hook, moment, job)
        })
        .collect();
    Ok(report)
}

/// What others have set and is theirs by a rule, so that the plan does not show it.
fn theirs(wanted: &WantedApp, lookup: &Ruled) -> Vec<String> {
    let notes = wanted.objects.iter().filter_map(|object| {
        let fields = ignored(object, lookup.lookup.live(&object.key).as_deref(), lookup);
        let fields: Vec<String> = fields.iter().map(|field| format!(".{field}")).collect();
        let what =
            format!("{}: {} was changed by others, and is theirs by a rule", object.key, fields.join(", "));
        (!fields.is_empty()).then_some(what)
    });
    notes.collect()
}

/// The hooks of a rollout to this, as far as a person's look can tell; none where the agent says that it runs already.
fn hooks_due(once: &Once, wanted: &WantedApp) -> Vec<(Moment, Arc<Hook>)> {
    let apps =
        once.platform.iter().filter_map(|environment| environment.status.as_ref()).flat_map(|s| &s.apps);
    let effective = apps.filter(|app| app.name == wanted.app).find_map(crate::api::AppStatus::running);
    if effective == Some(&wanted.digest) {
        return Vec::new();
    }
    let moment = |hook: &Arc<Hook>| Some((hook.moment(effective.is_none())?, hook.clone()));
    let mut hooks: Vec<_> = wanted.hooks.iter().filter_map(moment).collect();
    hooks.sort_by_key(|(moment, _)| *moment);
    hooks
}
