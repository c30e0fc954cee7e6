//! Drives the apps of one environment: asks each what to do, does it, and tells it what came of it.
//!
//! Each app goes its own way; at most one thing is under way for each. The agent's loop and `fairlead apply` drive alike.

mod keeping;
mod records;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::adopt::Tokens;
use super::app::{App, Decision, News, World, go_together};
use super::desired::Desire;
use super::explain::explain;
use super::hooks::{self, HookDone, Notes};
use super::inventory::Needs;
use super::look::look;
use super::proof::{prove_app, recall};
use super::prune::{PruneContext, PruneDecision, PruneWorld, Pruner};
use super::rollback::{Archive, Ask, Found, find};
use super::state_store::StateStore;
use crate::api::{Identity, PruneStatus};
use crate::cluster::{
    Environments, Index, Session, Watched, Watches, apply_wave, ask_prune, finalizers, prune_wave,
};
use crate::health::Health;
use crate::object::{AppName, Commit, Digest, EnvironmentName, Live, ObjectKey, Record};
use crate::plan::{
    CheckedPlan, CheckedPrune, Inventory, Known, PruneOutcome, PruneRefusal, Refused, WantedApp, WaveOutcome,
    check_prune,
};

/// What the actions of an environment work with.
#[derive(Clone)]
pub struct Hands {
    pub session: Session,
    pub index: Index,
    pub environments: Environments,
    pub environment: EnvironmentName,
    /// What is remembered outside of this process; a person at a command line has none.
    pub keeper: Option<Arc<StateStore>>,
    /// As whom is written; `None` is the caller's own identity, for people at a command line only.
    pub identity: Option<Identity>,
}

pub struct Driver {
    hands: Hands,
    apps: BTreeMap<AppName, App>,
    pruner: Pruner,
    /// Every kind in which the environment may have objects was listed: what is not known is not there.
    listed: bool,
    /// The hand-overs that people agreed to.
    agreed: Tokens,
    /// Where older revisions are read from, while git can be read.
    archive: Option<Archive>,
    /// The last word of a person who wants something older back.
    rollback: Option<String>,
    /// What the apps want, by kind.
    watched: BTreeMap<AppName, BTreeSet<Watched>>,
    /// The watches of that, of where there may be objects, and of autoscalers.
    watches: BTreeMap<AppName, Watches>,
    inventory_watches: Option<Watches>,
    autoscalers: Option<Watches>,
    /// What passed its gates and is not remembered yet, with when it is tried next; `None` while it is being tried.
    unkept: BTreeMap<AppName, (Arc<WantedApp>, Option<Timestamp>)>,
    /// The apps whose failure is being remembered.
    quarantining: BTreeSet<AppName>,
    keeping_all: bool,
    /// When that is tried again.
    keep_all_due: Timestamp,
    /// The commit that was told last.
    commit: Option<Commit>,
    /// Rollouts that ended, for the history.
    ended: Vec<Record>,
    /// The records are being saved.
    recording: bool,
    /// When that is tried again.
    record_due: Timestamp,
    leaving: bool,
    news: Vec<News>,
    /// Tasks of their own: they go on while the loop looks elsewhere.
    under_way: JoinSet<Finished>,
}

/// What came of something that was under way.
enum Finished {
    Proved {
        app: AppName,
        digest: Digest,
        result: Result<CheckedPlan, Refused>,
    },
    Unproved {
        app: AppName,
        digest: Digest,
        why: String,
    },
    /// A newer revision stopped it.
    Left {
        app: AppName,
        digest: Digest,
    },
    Wrote {
        app: AppName,
        digest: Digest,
        outcome: WaveOutcome,
    },
    /// What is about to be made could not be remembered, so it is not made.
    Unwritten {
        app: AppName,
        digest: Digest,
        why: String,
    },
    Explained {
        app: AppName,
        words: Vec<String>,
    },
    Looked {
        app: AppName,
        digest: Digest,
        found: Vec<(ObjectKey, Option<Health>)>,
    },
    /// What a person wants back was found and is remembered, or not.
    Found {
        app: AppName,
        found: Box<(Ask, Found)>,
    },
    /// What ran when all was well was read, or not.
    Recalled {
        app: AppName,
        result: Result<Option<WantedApp>, String>,
    },
    /// The records were saved, or not.
    Recorded(Result<(), String>),
    /// That a digest failed was remembered, or not.
    Quarantined {
        app: AppName,
        result: Result<(), String>,
    },
    Hooked {
        app: AppName,
        done: Box<HookDone>,
    },
    /// What an app runs now was remembered, or not.
    Kept {
        wanted: Arc<WantedApp>,
        result: Result<(), String>,
    },
    /// That every app is well was remembered, or not.
    AllKept {
        apps: BTreeMap<AppName, Digest>,
        result: Result<(), String>,
    },
    PruneAsked {
        app: Box<str>,
        result: Result<CheckedPrune, Vec<PruneRefusal>>,
    },
    Pruned {
        prune: Arc<CheckedPrune>,
        wave: usize,
        outcome: PruneOutcome,
    },
    Held {
        app: Box<str>,
        found: Vec<(ObjectKey, Vec<String>)>,
    },
}

impl Driver {
    pub fn new(hands: Hands) -> Self {
        let (watched, pruner, under_way) = (BTreeMap::new(), Pruner::default(), JoinSet::new());
        Self {
            hands,
            apps: BTreeMap::new(),
            watched,
            watches: BTreeMap::new(),
            inventory_watches: None,
            autoscalers: None,
            pruner,
            listed: false,
            agreed: Tokens::default(),
            archive: None,
            rollback: None,
            unkept: BTreeMap::new(),
            quarantining: BTreeSet::new(),
            keeping_all: false,
            keep_all_due: Timestamp::MIN,
            commit: None,
            ended: Vec::new(),
            recording: false,
            record_due: Timestamp::MIN,
            leaving: false,
            news: Vec::new(),
            under_way,
        }
    }

    pub fn prune_status(&self) -> Option<PruneStatus> {
        self.pruner.status()
    }

    /// What the Environment has to say about where its objects are.
    pub fn needs(&self) -> Needs {
        let all = self.listed.then(|| self.pruner.needed(&self.hands.index)).flatten();
        Needs { wanted: self.pruner.wanted().clone(), all, approved: self.pruner.approved() }
    }

    /// Says under which terms is deleted what git no longer wants; without, nothing is.
    pub fn allow_prune(&mut self, context: PruneContext) {
        self.pruner.allow(context);
    }

    /// Takes what people agreed to take over from others.
    pub fn agree(&mut self, tokens: Tokens) {
        if self.agreed != tokens {
            self.agreed = tokens;
            self.apps.values_mut().for_each(|app| app.agree(&self.agreed));
        }
    }

    /// Takes what a revision says. An app that is no longer named is let go of: what it made is the pruner's.
    pub fn set(&mut self, desire: Desire, commit: Option<Commit>) {
        self.commit = commit;
        self.pruner.set(&desire);
        self.hands.index.judge(self.hands.environment.as_str(), &desire.config.rollout.health);
        let memory = self.hands.keeper.as_ref().map(|keeper| keeper.memory());
        let mut old = std::mem::take(&mut self.apps);
        for (spec, wanted) in desire.apps {
            let mut app = old.remove(&spec.name).unwrap_or_else(|| {
                let mut app = App::new(spec.clone());
                if let Some(known) = memory.as_ref().and_then(|memory| memory.apps.get(&spec.name)) {
                    app.remember(known);
                }
                app
            });
            app.comes_with(self.commit.as_ref());
            app.set(spec, wanted, &desire.config.rollout);
            app.agree(&self.agreed);
            self.apps.insert(app.spec.name.clone(), app);
        }
        for app in old.values() {
            app.stop();
        }
        self.watched.clear();
        self.apps.keys().cloned().collect::<Vec<_>>().iter().for_each(|name| self.note_watched(name));
    }

    /// Takes that the environment itself goes, and what it made with it. Nothing is rolled out any more.
    pub fn leave(&mut self) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.apps.values().for_each(App::stop);
        self.apps.clear();
        self.watched.clear();
        self.unkept.clear();
        let memory = self.hands.keeper.as_ref().map(|keeper| keeper.memory());
        let apps = memory.iter().flat_map(|memory| &memory.apps);
        self.pruner.leave(apps.map(|(name, app)| (name.clone(), app.depends_on.clone())));
    }

    /// What stays of an environment that goes, once all else is gone.
    pub fn left(&self) -> Option<Vec<String>> {
        (self.leaving && self.listed && self.under_way.is_empty()).then(|| self.pruner.left()).flatten()
    }

    /// Whether all that can be done was done: every app is ready or stuck, and nothing is under way.
    pub fn is_settled(&self) -> bool {
        let waits_for_stuck = |app: &App| {
            app.spec
                .depends_on
                .iter()
                .any(|on| self.apps.get(on).is_some_and(|on| on.is_stuck() && !on.is_busy()))
        };
        self.under_way.is_empty()
            && self.apps.values().all(|app| app.is_ready() || app.is_stuck() || waits_for_stuck(app))
    }

    pub fn news(&mut self) -> Vec<News> {
        let damage = self.hands.keeper.iter().flat_map(|keeper| keeper.take_news());
        let damage = damage.map(|note| News { app: None, warning: true, reason: "StateDamaged", note });
        let own = std::mem::take(&mut self.news).into_iter().chain(damage);
        own.chain(self.apps.values_mut().flat_map(App::take_news)).chain(self.pruner.take_news()).collect()
    }

    /// Watches the kinds that the apps want. One that cannot be watched harms only the apps that want it.
    pub async fn watch(&mut self) {
        let index = &self.hands.index;
        let _ = self.autoscalers.get_or_insert_with(|| index.watch_autoscalers()).listed().await;
        self.watches.retain(|name, _| self.watched.contains_key(name));
        for (name, watched) in &self.watched {
            let watches = self.watches.entry(name.clone()).or_insert_with(|| index.watch(watched));
            if watches.watched() != watched {
                *watches = index.watch(watched);
            }
            let result = watches.listed().await.map_err(|error| error.to_string());
            if let Some(app) = self.apps.get_mut(name) {
                app.watched(result);
            }
        }
    }

    /// Watches the kinds in which there may be objects that nobody wants any more. While one cannot be listed nothing is
    /// deleted; the apps go on.
    pub async fn watch_inventory(&mut self, inventory: &Inventory) -> Result<(), String> {
        let watched = Watched::held(inventory);
        let watches = self.hands.index.watch(&watched);
        let listed = tokio::time::timeout(LISTED_WITHIN, watches.listed()).await;
        let listed = match listed {
            Ok(listed) => listed.map_err(|error| error.to_string()),
            Err(_) => Err("not every kind that the environment has objects of was listed yet".to_owned()),
        };
        self.inventory_watches = Some(watches);
        self.listed = listed.is_ok();
        listed
    }

    /// Asks every app what to do and begins it. Says when to ask again if nothing happens before.
    pub fn turn(&mut self, suspended: bool, now: Timestamp) -> Option<Timestamp> {
        let ready: BTreeMap<AppName, bool> =
            self.apps.iter().map(|(name, app)| (name.clone(), app.is_ready())).collect();
        let ready = |name: &AppName| ready.get(name).copied().unwrap_or(false);
        let Hands { index, environment, keeper, .. } = &self.hands;
        let remembers = keeper.is_some();
        let world = World { index, ready: &ready, suspended, environment, remembers, now };
        let mut again = None;
        for (name, app) in &mut self.apps {
            let decision = app.decide(&world);
            let app_quarantine = app.quarantine().cloned();
            let action: BoxFuture<'static, Finished> = match decision {
                Decision::Rest { until } => {
                    again = [again, until].into_iter().flatten().min();
                    continue;
                }
                Decision::Prove { plan, before, consent, hooks, stop } => {
                    let (hands, name) = (self.hands.clone(), name.clone());
                    let digest = plan.digest.clone();
                    let left = Finished::Left { app: name.clone(), digest: digest.clone() };
                    let proof = async move {
                        match prove_app(&hands, &name, plan, (before, consent), &hooks).await {
                            Ok(result) => Finished::Proved { app: name, digest, result },
                            Err(why) => Finished::Unproved { app: name, digest, why },
                        }
                    };
                    stop_or(stop, left, proof)
                }
                Decision::Write { plan, wave, rolling, stop } => {
                    let (hands, app) = (self.hands.clone(), name.clone());
                    let quarantine = app_quarantine;
                    Box::pin(async move {
                        if let Some(keeper) = &hands.keeper {
                            let kept = match wave {
                                0 => keeper.begin(&plan, quarantine.as_ref(), rolling.as_ref()).await,
                                _ => keeper.roll(&app, rolling.as_ref()).await,
                            };
                            if let Err(error) = kept {
                                let why = crate::cluster::chain(&error);
                                return Finished::Unwritten { app, digest: plan.digest().clone(), why };
                            }
                        }
                        let identity = hands.identity.as_ref();
                        let outcome =
                            apply_wave(&hands.session, &hands.index, &plan, wave, identity, &stop).await;
                        // A definition that was just written is served now, and what it defines is watched from here on.
                        let watched = Watched::of(outcome.written.iter().map(|written| &*written.wanted));
                        if let Err(error) = hands.index.watch(&watched).listed().await {
                            tracing::warn!(%error, "a new kind cannot be watched yet");
                        }
                        Finished::Wrote { app, digest: plan.digest().clone(), outcome }
                    })
                }
                Decision::Find(want) => {
                    let (hands, app, archive) = (self.hands.clone(), name.clone(), self.archive.clone());
                    Box::pin(async move {
                        let ask = want.ask.clone();
                        let result = find(&hands, archive, &app, want).await;
                        Finished::Found { app, found: Box::new((ask, result)) }
                    })
                }
                Decision::Hook(work) => {
                    let (hands, name, hooks) = (self.hands.clone(), name.clone(), app.hook_memory().clone());
                    Box::pin(async move {
                        let quarantine = app_quarantine.as_ref();
                        let notes = Notes { hands: &hands, app: &name, hooks, quarantine };
                        Finished::Hooked { done: Box::new(hooks::work(notes, work).await), app: name }
                    })
                }
                Decision::Recall { digest } => {
                    let (hands, app) = (self.hands.clone(), name.clone());
                    Box::pin(async move {
                        let result = recall(&hands, &app, &digest).await;
                        Finished::Recalled { app, result }
                    })
                }
                Decision::Look { digest, wanted, limits } => {
                    let (hands, app) = (self.hands.clone(), name.clone());
                    Box::pin(async move {
                        let found = look(&hands, &wanted, limits).await;
                        Finished::Looked { app, digest, found }
                    })
                }
                Decision::Explain { wanted } => {
                    let (hands, app) = (self.hands.clone(), name.clone());
                    Box::pin(
                        async move { Finished::Explained { app, words: explain(&hands, &wanted).await } },
                    )
                }
            };
            self.under_way.spawn(action);
        }
        let together = go_together(&mut self.apps).then_some(now);
        [again, together, self.turn_keep(now), self.turn_prune(suspended, now)].into_iter().flatten().min()
    }

    /// Deleting comes last: it is asked about when the apps have had their turn.
    fn turn_prune(&mut self, suspended: bool, now: Timestamp) -> Option<Timestamp> {
        if !self.listed {
            return Some(now + LIST_AGAIN);
        }
        let ready = |name: &AppName| self.apps.get(name).is_some_and(|app| app.is_ready() && !app.is_busy());
        let keeper = self.hands.keeper.as_ref();
        let known = |live: &Live| keeper.map_or(Known::Not, |keeper| keeper.knows(live));
        let world = PruneWorld { index: &self.hands.index, known: &known, ready: &ready, suspended, now };
        let (decisions, again) = self.pruner.decide(&world);
        for decision in decisions {
            self.begin_prune(decision);
        }
        again
    }

    fn begin_prune(&mut self, decision: PruneDecision) {
        let hands = self.hands.clone();
        let action: BoxFuture<'static, Finished> = match decision {
            PruneDecision::Ask { due, stop } => Box::pin(async move {
                let app: Box<str> = due.app().into();
                let asked = ask_prune(&hands.session, &due, hands.identity.as_ref());
                let result = tokio::select! {
                    answers = asked => check_prune(due.clone(), answers),
                    () = stop.cancelled() => Err(Vec::new()),
                };
                Finished::PruneAsked { app, result }
            }),
            PruneDecision::Delete { prune, wave, stop } => Box::pin(async move {
                let outcome = prune_wave(&hands.session, &prune, wave, hands.identity.as_ref(), &stop).await;
                Finished::Pruned { prune, wave, outcome }
            }),
            PruneDecision::Finalizers { app, objects } => {
                Box::pin(
                    async move { Finished::Held { app, found: finalizers(&hands.session, &objects).await } },
                )
            }
        };
        self.under_way.spawn(action);
    }

    /// Waits until something that was under way ends, and tells its app. For ever where nothing is under way.
    pub async fn finish_one(&mut self) {
        let finished = match self.under_way.join_next().await {
            Some(Ok(finished)) => finished,
            // A panic there is a panic of the environment: it is caught, counted and begun anew as one.
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => return,
            None => return std::future::pending().await,
        };
        let now = Timestamp::now();
        match finished {
            Finished::Proved { app, digest, result } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.proved(&digest, result, &self.hands.index, now);
                }
            }
            Finished::Unproved { app, digest, why } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.refuse(&digest, vec![why], true, now);
                }
            }
            Finished::Left { app, digest } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.wrote(&digest, WaveOutcome { stopped: true, ..WaveOutcome::default() }, now);
                }
            }
            Finished::Unwritten { app, digest, why } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.unwritten(&digest, why, now);
                }
            }
            Finished::Kept { wanted, result } => self.kept(&wanted, result, now),
            Finished::Wrote { app, digest, outcome } => {
                if let Some(keeper) = &self.hands.keeper {
                    let live = outcome.written.iter().map(|written| &written.live);
                    let uids = live.map(|live| (live.key.clone(), live.uid.clone())).collect();
                    keeper.note(crate::state::Change::Wrote(uids));
                }
                if let Some(app) = self.apps.get_mut(&app) {
                    app.wrote(&digest, outcome, now);
                }
            }
            Finished::Explained { app, words } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.explained(words);
                }
            }
            Finished::Hooked { app, done } => {
                if let Some(live) = &done.made {
                    self.hands.index.note_write(live.clone());
                }
                if let Some(app) = self.apps.get_mut(&app) {
                    app.hooked(*done, now);
                }
            }
            Finished::Looked { app, digest, found } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.looked(&digest, found, now);
                }
            }
            Finished::Found { app, found } => {
                let (ask, result) = *found;
                if let Some(app) = self.apps.get_mut(&app) {
                    app.found(ask, result);
                }
                self.note_watched(&app);
            }
            Finished::Recalled { app, result } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.recalled(result);
                }
                self.note_watched(&app);
            }
            Finished::Recorded(result) => self.recorded(result, now),
            Finished::Quarantined { app, result } => {
                self.quarantining.remove(&app);
                if let Err(why) = result {
                    let note = format!("{app}: what failed cannot be remembered: {why}");
                    self.news.push(News { app: None, warning: true, reason: "StateNotKept", note });
                }
            }
            Finished::AllKept { apps, result } => self.all_kept(&apps, result, now),
            Finished::PruneAsked { app, result } => {
                if let Some(decision) = self.pruner.asked(&app, result, now) {
                    self.begin_prune(decision);
                }
            }
            Finished::Pruned { prune, wave, outcome } => self.pruner.deleted(prune, wave, &outcome, now),
            Finished::Held { app, found } => self.pruner.held_by(&app, &found),
        }
    }

    /// Begins nothing more, and waits until what is under way has ended: each request has its own deadline.
    pub async fn hand_over(&mut self, within: Duration) {
        for app in self.apps.values() {
            app.stop();
        }
        self.pruner.stop();
        let all = async { while self.under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!(?within, "a request was still under way at the end");
        }
    }
}

fn stop_or(
    stop: tokio_util::sync::CancellationToken,
    left: Finished,
    work: impl Future<Output = Finished> + Send + 'static,
) -> BoxFuture<'static, Finished> {
    // A dry run may be dropped at any moment: it writes nothing.
    Box::pin(async move {
        tokio::select! {
            finished = work => finished,
            () = stop.cancelled() => left,
        }
    })
}

/// The apps do not wait longer for kinds that only deletes need; listing goes on meanwhile.
const LISTED_WITHIN: Duration = Duration::from_secs(2);
/// When it is looked again whether they were.
const LIST_AGAIN: SignedDuration = SignedDuration::from_secs(5);
