//! What becomes of the objects that git no longer wants: where it stands for each app, and what is to be done next.
//! Decides; the driver does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::app::News;
use super::desired::{Desire, Grants};
use crate::api::{PruneBudget, PruneStatus, names};
use crate::cluster::Index;
use crate::object::{AppName, EnvironmentName, Live, ObjectKey};
use crate::plan::{
    Approval, Budget, CheckedPrune, Claim, Claims, Doomed, Due, Inventory, Known, Marks, PruneOutcome,
    PrunePlan, PruneRefusal, PruneView, RefusalKind, SkipReason, WantedApp, applyset_id, prune,
};

/// A delete that was refused is tried again after this long, and then ever more rarely.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(2);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// An object that was deleted and is still there after this long is told about, with what holds it.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// So many are named in a status, an event.
const SHOWN: usize = 20;
const KEPT_SHOWN: usize = 10;

/// What the platform and people say about deleting.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneContext {
    pub environment: EnvironmentName,
    pub grants: Option<Grants>,
    pub approval: Approval,
    /// Why nothing may be deleted now, although the apps are known: what they were read from is in doubt.
    pub hold: Option<String>,
}

/// The deletes of an environment. Knows nothing until a configuration was read.
#[derive(Default)]
pub struct Pruner {
    context: Option<PruneContext>,
    claims: Option<Claims>,
    wanted: Inventory,
    /// Some app's files are wrong, so that `wanted` is not all.
    unrendered: bool,
    budget: PruneBudget,
    seen: Option<PrunePlan>,
    runs: BTreeMap<Box<str>, Run>,
    told: Option<String>,
    news: Vec<News>,
}

/// The deletes of one app's name.
enum Run {
    /// Asked about, or being deleted; `attempts` were refused before.
    Busy {
        stop: CancellationToken,
        attempts: u32,
    },
    /// A wave was deleted and is not gone yet.
    Leaving {
        prune: Arc<CheckedPrune>,
        wave: usize,
        since: Timestamp,
        asked: bool,
        held: Option<String>,
    },
    Refused {
        message: String,
        attempts: u32,
        until: Timestamp,
    },
}

/// What is to be done now.
pub enum PruneDecision {
    Ask {
        due: Due,
        stop: CancellationToken,
    },
    Delete {
        prune: Arc<CheckedPrune>,
        wave: usize,
        stop: CancellationToken,
    },
    /// What holds these?
    Finalizers {
        app: Box<str>,
        objects: Vec<Doomed>,
    },
}

/// What the pruner is told when it decides.
pub struct PruneWorld<'a> {
    pub index: &'a Index,
    /// What is remembered of an object.
    pub known: &'a dyn Fn(&Live) -> Known,
    /// Whether an app runs what git says and has nothing under way.
    pub ready: &'a dyn Fn(&AppName) -> bool,
    pub suspended: bool,
    pub now: Timestamp,
}

impl Pruner {
    /// Takes what a revision says. Deletes that are under way are stopped between two requests: what they delete may be
    /// wanted again.
    pub fn set(&mut self, desire: &Desire) {
        let claims: Vec<Claim> = desire
            .apps
            .iter()
            .map(|(spec, wanted)| Claim {
                app: spec.name.clone(),
                wanted: wanted.as_ref().ok().cloned(),
                depends_on: spec.depends_on.clone(),
            })
            .collect();
        self.wanted = Inventory::default();
        claims.iter().filter_map(|claim| claim.wanted.as_ref()).for_each(|app| self.wanted.add_wanted(app));
        self.unrendered = claims.iter().any(|claim| claim.wanted.is_none());
        self.claims = Some(Claims::new(&claims));
        self.budget = desire.config.rollout.prune;
        self.seen = None;
        self.forget_runs();
    }

    /// Takes what is remembered of an app while nobody knows what git says: nothing is deleted for it.
    pub fn expect(&mut self, app: &WantedApp) {
        self.wanted.add_wanted(app);
    }

    /// Takes that the environment itself goes: nothing is wanted any more.
    pub fn leave(&mut self, depends_on: impl IntoIterator<Item = (AppName, Vec<AppName>)>) {
        self.wanted = Inventory::default();
        self.unrendered = false;
        self.claims = Some(Claims::leaving(depends_on));
        self.seen = None;
        self.forget_runs();
    }

    /// What stays, once there is nothing more to delete.
    pub fn left(&self) -> Option<Vec<String>> {
        let plan = self.seen.as_ref()?;
        let going = plan.kept.iter().any(|kept| kept.why == SkipReason::BeingDeleted);
        let done = plan.is_empty() && !going && self.runs.is_empty();
        done.then(|| plan.kept.iter().map(|kept| format!("{} ({})", kept.key, kept.why)).collect())
    }

    /// Says under which terms is deleted; without, nothing is.
    pub fn allow(&mut self, context: PruneContext) {
        if self.context.as_ref() != Some(&context) {
            if context.hold.is_some() {
                self.forget_runs();
            }
            self.context = Some(context);
        }
    }

    fn forget_runs(&mut self) {
        self.stop();
        self.runs.retain(|_, run| matches!(run, Run::Busy { .. }));
    }

    pub fn stop(&self) {
        for run in self.runs.values() {
            if let Run::Busy { stop, .. } = run {
                stop.cancel();
            }
        }
    }

    /// Whether any app wants an object; nobody knows before a configuration was read.
    pub fn wants(&self, key: &ObjectKey) -> Option<bool> {
        self.claims.as_ref().filter(|_| !self.unrendered).map(|claims| claims.wants(key))
    }

    /// The kinds and namespaces of what is wanted.
    pub fn wanted(&self) -> &Inventory {
        &self.wanted
    }

    /// The kinds and namespaces where something is or will be; `None` while that is not known for sure.
    pub fn needed(&self, index: &Index) -> Option<Inventory> {
        let context = self.context.as_ref().filter(|context| context.hold.is_none())?;
        if self.unrendered || self.claims.is_none() {
            return None;
        }
        let mut needed = self.wanted.clone();
        needed.extend(&index.places(context.environment.as_str()));
        Some(needed)
    }

    /// The tokens of an approved set that are still to be deleted, for the parent to remember; `None` while nobody looked.
    pub fn approved(&self) -> Option<BTreeSet<Box<str>>> {
        let plan = self.seen.as_ref()?;
        Some(match plan.is_approved() {
            true => plan.doomed.iter().map(Doomed::token).collect(),
            false => BTreeSet::new(),
        })
    }

    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Looks at what git no longer wants.
    pub fn look(&self, world: &PruneWorld) -> Option<PrunePlan> {
        let (context, claims) = (self.context.as_ref()?, self.claims.as_ref()?);
        let environment = context.environment.as_str();
        let (strays, total) = world.index.strays(environment, claims.keys());
        let part_of = applyset_id(environment, "Environment", names::GROUP);
        let view = PruneView {
            marks: Marks {
                app_label: names::APP_LABEL,
                environment_label: names::ENVIRONMENT_LABEL,
                environment,
                part_of_label: names::APPLYSET_PART_OF,
                part_of: &part_of,
            },
            claims,
            total,
            budget: Budget { max: self.budget.max, percent: self.budget.percent },
            approval: &context.approval,
            known: world.known,
            granted: &|live| granted(context.grants.as_ref(), live),
            ready: world.ready,
        };
        Some(prune(&view, &strays))
    }

    /// What to begin now, and when to ask again if nothing happens before.
    ///
    /// The driver calls this after it asked the apps, and only where every kind of the inventory was listed.
    pub fn decide(&mut self, world: &PruneWorld) -> (Vec<PruneDecision>, Option<Timestamp>) {
        let Some(plan) = self.look(world) else { return (Vec::new(), None) };
        self.tell_halt(&plan);
        let held = world.suspended || self.context.as_ref().is_none_or(|context| context.hold.is_some());
        if held {
            self.stop();
        }
        let (mut begin, mut again) = (Vec::new(), None);
        for (app, run) in &mut self.runs {
            let Run::Leaving { prune, wave, since, asked, .. } = run else { continue };
            let left: Vec<Doomed> = prune.waves()[*wave]
                .iter()
                .filter(|object| is_there(world.index, &object.live))
                .cloned()
                .collect();
            if left.is_empty() {
                if *wave + 1 < prune.waves().len() && !held {
                    let (prune, wave, stop) = (prune.clone(), *wave + 1, CancellationToken::new());
                    *run = Run::Busy { stop: stop.clone(), attempts: 0 };
                    begin.push(PruneDecision::Delete { prune, wave, stop });
                }
            } else if !*asked && world.now >= *since + STUCK_AFTER {
                *asked = true;
                begin.push(PruneDecision::Finalizers { app: app.clone(), objects: left });
            } else if !*asked {
                again = [again, Some(*since + STUCK_AFTER)].into_iter().flatten().min();
            }
        }
        self.runs.retain(|_, run| match run {
            Run::Leaving { prune, wave, .. } => {
                held || *wave + 1 < prune.waves().len()
                    || prune.waves()[*wave].iter().any(|object| is_there(world.index, &object.live))
            }
            _ => true,
        });
        // What a delete was refused for is over when there is nothing to delete any more.
        self.runs.retain(|app, run| match run {
            Run::Refused { .. } => plan.due().iter().any(|due| due.app() == &**app),
            _ => true,
        });
        // What was approved is written down before the first of it goes, so that a restart can go on with the rest.
        let written_down = !plan.is_approved()
            || self.context.as_ref().is_some_and(|context| {
                plan.doomed.iter().all(|object| context.approval.tokens.contains(&object.token()))
            });
        if !written_down {
            again = Some(world.now);
        }
        if !held && written_down {
            for due in plan.due() {
                let attempts = match self.runs.get(due.app()) {
                    None => 0,
                    Some(Run::Refused { until, attempts, .. }) if world.now >= *until => *attempts,
                    Some(Run::Refused { until, .. }) => {
                        again = [again, Some(*until)].into_iter().flatten().min();
                        continue;
                    }
                    Some(_) => continue,
                };
                let stop = CancellationToken::new();
                self.runs.insert(due.app().into(), Run::Busy { stop: stop.clone(), attempts });
                begin.push(PruneDecision::Ask { due: due.clone(), stop });
            }
        }
        self.seen = Some(plan);
        (begin, again)
    }

    /// Takes the answer to the dry run of an app's deletes. What may be deleted is deleted with the next look.
    pub fn asked(
        &mut self,
        app: &str,
        result: Result<CheckedPrune, Vec<PruneRefusal>>,
        now: Timestamp,
    ) -> Option<PruneDecision> {
        let Some(Run::Busy { stop, attempts }) = self.runs.remove(app) else { return None };
        if stop.is_cancelled() {
            return None; // What was asked about may be wanted again.
        }
        match result {
            Ok(prune) if prune.waves().is_empty() => None,
            Ok(prune) => {
                let stop = CancellationToken::new();
                self.runs.insert(app.into(), Run::Busy { stop: stop.clone(), attempts });
                Some(PruneDecision::Delete { prune: Arc::new(prune), wave: 0, stop })
            }
            Err(refusals) => {
                self.refuse(app, &refusals, attempts, now);
                None
            }
        }
    }

    /// Takes what came of deleting a wave.
    pub fn deleted(&mut self, prune: Arc<CheckedPrune>, wave: usize, outcome: &PruneOutcome, now: Timestamp) {
        let app = prune.app().to_owned();
        let stopped = match self.runs.remove(&*app) {
            Some(Run::Busy { stop, .. }) => outcome.stopped || stop.is_cancelled(),
            _ => true,
        };
        if !outcome.deleted.is_empty() {
            let count = outcome.deleted.len();
            let note = format!(
                "{} left git and {} deleted",
                some(&outcome.deleted, SHOWN),
                if count == 1 { "was" } else { "were" }
            );
            self.tell(false, "Pruned", &app, &note);
        }
        if !outcome.refused.is_empty() {
            self.refuse(&app, &outcome.refused, 0, now);
        } else if !stopped {
            self.runs.insert(app.into(), Run::Leaving { prune, wave, since: now, asked: false, held: None });
        }
    }

    /// Takes what holds the objects that do not go.
    pub fn held_by(&mut self, app: &str, found: &[(ObjectKey, Vec<String>)]) {
        let words: Vec<String> = found
            .iter()
            .take(SHOWN)
            .map(|(key, names)| match names.is_empty() {
                true => format!("{key} is not gone yet"),
                false => format!("{key} waits for its finalizers {}", names.join(", ")),
            })
            .collect();
        if words.is_empty() {
            return;
        }
        let words = words.join("; ");
        if let Some(Run::Leaving { held, .. }) = self.runs.get_mut(app) {
            *held = Some(words.clone());
            self.tell(true, "PruneStuck", app, &words);
        }
    }

    fn refuse(&mut self, app: &str, refusals: &[PruneRefusal], attempts: u32, now: Timestamp) {
        let message = refusals.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        // An object that changes while it is looked at is looked at again; that is nobody's failure.
        if refusals.iter().any(|refusal| refusal.kind != RefusalKind::Conflict) {
            self.tell(true, "PruneRefused", app, &message);
        }
        let pause = (FIRST_RETRY * (1 << attempts.min(8))).min(LAST_RETRY);
        self.runs.insert(app.into(), Run::Refused { message, attempts: attempts + 1, until: now + pause });
    }

    fn tell(&mut self, warning: bool, reason: &'static str, app: &str, note: &str) {
        let name = AppName::new(app).ok();
        self.news.push(News { app: name, warning, reason, note: format!("{app}: {note}") });
    }

    fn tell_halt(&mut self, plan: &PrunePlan) {
        let halt = halt_message(plan);
        if halt.is_some() && halt != self.told {
            let names: Vec<ObjectKey> = plan.doomed.iter().map(|object| object.live.key.clone()).collect();
            let note = format!("{}: {}", halt.clone().unwrap_or_default(), some(&names, 5));
            self.news.push(News { app: None, warning: true, reason: "PruneHalted", note });
        }
        self.told = halt;
    }

    pub fn status(&self) -> Option<PruneStatus> {
        let plan = self.seen.as_ref()?;
        let hold = self.context.as_ref().and_then(|context| context.hold.clone());
        let runs = self.runs.values().filter_map(|run| match run {
            Run::Leaving { held, .. } => held.clone(),
            Run::Refused { message, .. } => Some(message.clone()),
            Run::Busy { .. } => None,
        });
        let waits = plan.waits.iter().map(ToString::to_string);
        let halted = halt_message(plan);
        let message: Vec<String> = halted.clone().into_iter().chain(hold).chain(runs).chain(waits).collect();
        if plan.is_empty() && plan.kept.is_empty() && message.is_empty() {
            return None;
        }
        Some(PruneStatus {
            count: u32::try_from(plan.doomed.len()).unwrap_or(u32::MAX),
            digest: (!plan.is_empty()).then(|| plan.digest.clone()),
            halted: halted.is_some(),
            message: (!message.is_empty()).then(|| message.join("; ")),
            objects: plan.doomed.iter().take(SHOWN).map(|object| object.live.key.to_string()).collect(),
            kept: plan
                .kept
                .iter()
                .take(KEPT_SHOWN)
                .map(|kept| format!("{}: {}", kept.key, kept.why))
                .collect(),
        })
    }
}

fn halt_message(plan: &PrunePlan) -> Option<String> {
    if plan.halts.is_empty() {
        return None;
    }
    Some(plan.halts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Whether the object that was deleted is still there: another that bears its name is not it.
fn is_there(index: &Index, gone: &Live) -> bool {
    index.get(&gone.key).is_some_and(|record| record.live.uid == gone.uid)
}

fn granted(grants: Option<&Grants>, live: &Live) -> bool {
    let Some(grants) = grants else { return true };
    match &live.key.namespace {
        Some(namespace) => grants.namespaces.iter().any(|granted| **granted == **namespace),
        None => grants.cluster_kinds.contains(&live.gvk.group_kind()),
    }
}

fn some(keys: &[ObjectKey], shown: usize) -> String {
    let mut text = keys.iter().take(shown).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if keys.len() > shown {
        text.push_str(&format!(" and {} more", keys.len() - shown));
    }
    text
}
