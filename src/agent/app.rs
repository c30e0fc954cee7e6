//! One app of an environment: where it stands, and what is to be done next. Decides; others do.

mod adoption;
mod asking;
mod back;
mod chronicle;
mod course;
mod hooks;
mod look;
mod mending;
mod rolling;
mod sight;
mod status;
mod together;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::hooks::HookWork;
use super::rollback::Want;
use crate::api::{AppPhase, AppSpec, OnFailure, Rollout as RolloutSpec, Scope, Span};
use crate::cluster::Index;
use crate::health::Status;
use crate::health::pods::Thresholds;
use crate::object::{AppName, Digest, EnvironmentName, ObjectKey, Outcome, Problems};
use crate::plan::{
    Before, CheckedPlan, Consent, Hook, Lookup, Plan, RefusalKind, Refused, Wanted, WantedApp, WaveOutcome,
    plan_with,
};
use crate::rollout::{Halt, Waiting, Wrote};
use crate::state::Rolling;
use adoption::Adoption;
use asking::Asking;
use back::Back;
pub(super) use back::is_one_way;
use chronicle::Chronicle;
use hooks::Hooked;
use mending::Mending;
use rolling::Rollout;
use sight::Sight;
pub use together::{go_together, hear};

/// A refused app is asked about again after this long, and then ever more rarely: a missing namespace or right may come.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(300);
/// A kind that was just defined is listed a moment later; a right that is missing may be given.
const WATCH_RETRY: SignedDuration = SignedDuration::from_secs(2);

pub struct App {
    pub spec: AppSpec,
    timeout: SignedDuration,
    settle: SignedDuration,
    /// After so many restarts of a pod a gate waits no longer; 0 is never.
    restarts: i64,
    wanted: Option<Arc<WantedApp>>,
    problems: Option<Problems>,
    /// Git cannot be read: `wanted` is what is remembered, or this is why there is nothing.
    remembered: Option<Option<String>>,
    rollout: Option<Rollout>,
    effective: Option<Digest>,
    /// The manifests that were applied last: what was ours before.
    before: Arc<Before>,
    refused: Option<Refusals>,
    attempts: u32,
    busy: Option<Busy>,
    waiting: Option<(Vec<Waiting>, Timestamp, Timestamp)>,
    /// Why the rollout halted, and what the pods say about it once they were asked.
    halted: Option<(Halt, Option<Vec<String>>)>,
    blocked: Vec<AppName>,
    suspended: Option<String>,
    /// Why what it wants cannot be watched.
    unwatched: Option<String>,
    in_sync: HashMap<ObjectKey, (Digest, u64)>,
    /// What passed all its gates last, in the life of this process.
    last_good: Option<Arc<WantedApp>>,
    /// Its digest, which is known after a restart too.
    known_good: Option<Digest>,
    /// What it ran when every app was well, which is known where all go back together.
    with_all: Option<Digest>,
    scope: Scope,
    /// Whether a rollout that fails is taken back.
    restores: bool,
    /// What failed, and the way back from it.
    back: Option<Back>,
    /// The last word of a person who wants to try again.
    retry: Option<String>,
    /// What a person wants back.
    asking: Asking,
    chronicle: Chronicle,
    /// A rollout that was broken off, by a restart or for a new plan.
    rolling: Option<Rolling>,
    mending: Mending,
    adoption: Adoption,
    hooks: Hooked,
    /// What just passed all its gates, until someone remembers it.
    good: Option<Arc<WantedApp>>,
    news: Vec<News>,
}

struct Refusals {
    digest: Digest,
    messages: Vec<String>,
    retry_at: Option<Timestamp>,
}

struct Busy {
    phase: AppPhase,
    stop: CancellationToken,
}

/// Something worth an Event.
#[derive(Clone, Debug)]
pub struct News {
    /// Of which app, where it is of one.
    pub app: Option<AppName>,
    pub warning: bool,
    pub reason: &'static str,
    pub note: String,
}

/// What is to be done for an app now.
pub enum Decision {
    /// Nothing until something changes, or until then.
    Rest { until: Option<Timestamp> },
    Prove {
        plan: Plan,
        before: Arc<Before>,
        consent: Consent,
        /// The Jobs that will be made, and how many seconds each has.
        hooks: Vec<(Arc<Hook>, i64)>,
        stop: CancellationToken,
    },
    /// Make the Job of a hook, or remember what became of it.
    Hook(HookWork),
    Write {
        plan: Arc<CheckedPlan>,
        wave: usize,
        /// What is to be remembered of the rollout before this is written.
        rolling: Option<Rolling>,
        stop: CancellationToken,
    },
    /// Read what ran when all was well.
    Recall { digest: Digest },
    /// Find what a person wants back.
    Find(Want),
    /// Look at the pods of what a gate waits for.
    Look { digest: Digest, wanted: Vec<Arc<Wanted>>, limits: Thresholds },
    /// Look at the pods of what a gate halted on.
    Explain { wanted: Vec<Arc<Wanted>> },
}

/// What an app is told when it decides.
pub struct World<'a> {
    pub index: &'a Index,
    /// Whether an app runs what git says.
    pub ready: &'a dyn Fn(&AppName) -> bool,
    pub suspended: bool,
    pub environment: &'a EnvironmentName,
    /// Whether anything outlives this process.
    pub remembers: bool,
    pub now: Timestamp,
}

impl App {
    pub fn new(spec: AppSpec) -> Self {
        Self {
            spec,
            timeout: SignedDuration::ZERO,
            settle: SignedDuration::ZERO,
            restarts: 0,
            wanted: None,
            problems: None,
            remembered: None,
            rollout: None,
            effective: None,
            before: Arc::default(),
            refused: None,
            attempts: 0,
            busy: None,
            waiting: None,
            halted: None,
            blocked: Vec::new(),
            suspended: None,
            unwatched: None,
            in_sync: HashMap::new(),
            last_good: None,
            known_good: None,
            with_all: None,
            scope: Scope::App,
            restores: false,
            back: None,
            retry: None,
            asking: Asking::default(),
            chronicle: Chronicle::default(),
            rolling: None,
            mending: Mending::default(),
            adoption: Adoption::default(),
            hooks: Hooked::default(),
            good: None,
            news: Vec::new(),
        }
    }

    /// Takes what a revision says. Where the digest is the same, whatever is under way goes on; where it is another, it
    /// is stopped between two requests and the new one begins from what is live by then.
    pub fn set(&mut self, spec: AppSpec, desired: Result<Arc<WantedApp>, Problems>, rollout: &RolloutSpec) {
        self.spec = spec;
        self.remembered = None;
        let signed = |span: Span| SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
        (self.timeout, self.settle) = (signed(rollout.timeout), signed(rollout.settle));
        self.restarts = rollout.restarts.into();
        self.scope = rollout.scope;
        self.restores = rollout.on_failure == OnFailure::Restore;
        match desired {
            Ok(wanted) => {
                let same = self.problems.is_none() && self.digest() == Some(&wanted.digest);
                self.problems = None;
                if self.back.as_ref().is_some_and(|back| !back.is_of(&wanted.digest)) {
                    self.back = None; // What failed is not what git says any more.
                }
                self.wanted = Some(wanted);
                if !same {
                    self.preempt();
                    self.note_came();
                }
            }
            Err(problems) => {
                if self.problems.as_ref() != Some(&problems) {
                    let count = problems.as_slice().len();
                    let first = problems.as_slice()[0].to_string();
                    let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
                    self.tell(true, "InvalidManifests", format!("{first}{more}"));
                    self.preempt();
                }
                self.problems = Some(problems);
            }
        }
    }

    /// Takes what is remembered of it, while git cannot be read.
    pub fn set_remembered(&mut self, wanted: Result<Arc<WantedApp>, String>) {
        let rollout = RolloutSpec::default();
        let signed = |span: Span| SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
        (self.timeout, self.restarts) = (signed(rollout.timeout), rollout.restarts.into());
        let (wanted, why) = match wanted {
            Ok(wanted) => (Some(wanted), None),
            Err(why) => (None, Some(why)),
        };
        (self.wanted, self.remembered) = (wanted, Some(why));
    }

    fn preempt(&mut self) {
        self.forget_mending();
        if let Some(busy) = &self.busy {
            busy.stop.cancel();
        }
        if let Some(rollout) = self.rollout.take().filter(|rollout| !rollout.state.is_done()) {
            self.tell(false, "Preempted", "a newer commit takes over".to_owned());
            if self.is_begun() {
                self.note_ended(&rollout.state.digest, Outcome::Preempted, None);
            }
        }
        (self.refused, self.halted, self.waiting, self.attempts) = (None, None, None, 0);
        let target = self.target_digest().cloned();
        self.rolling.take_if(|rolling| Some(&rolling.state.digest) != target.as_ref());
        self.in_sync.clear();
        self.forget_needed();
    }

    pub fn stop(&self) {
        if let Some(busy) = &self.busy {
            busy.stop.cancel();
        }
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.wanted.as_ref().map(|wanted| &wanted.digest)
    }

    pub fn wanted(&self) -> Option<&Arc<WantedApp>> {
        self.wanted.as_ref()
    }

    /// Takes whether all its kinds are watched. Without that nothing is known of them, and nothing is done.
    pub fn watched(&mut self, result: Result<(), String>) {
        let why = result.err();
        if self.unwatched != why {
            if let Some(why) = &why {
                self.tell(true, "WatchFailed", why.clone());
            }
            self.unwatched = why;
        }
    }

    /// Runs what git says, and passed its gates.
    pub fn is_ready(&self) -> bool {
        self.problems.is_none()
            && self.back.is_none()
            && self.unwatched.is_none()
            && self.rollout.is_none()
            && self.refused.is_none()
            && self.wanted.as_ref().is_some_and(|wanted| self.effective.as_ref() == Some(&wanted.digest))
    }

    /// Will not go on by itself: refused or halted.
    pub fn is_stuck(&self) -> bool {
        self.problems.is_some()
            || self.unwatched.is_some()
            || self.refused.is_some()
            || self.back.as_ref().is_some_and(Back::is_over)
            || (self.back.is_none() && self.told_halt().is_some() && !self.goes_back())
    }

    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// What passed all its gates since the last time.
    pub fn take_good(&mut self) -> Option<Arc<WantedApp>> {
        self.good.take()
    }

    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn tell(&mut self, warning: bool, reason: &'static str, note: String) {
        self.news.push(News {
            app: Some(self.spec.name.clone()),
            warning,
            reason,
            note: format!("{}: {note}", self.spec.name),
        });
    }

    pub fn decide(&mut self, world: &World) -> Decision {
        match self.next(world) {
            Decision::Rest { until } => Decision::Rest { until: self.hooks_again(until, world.now) },
            other => other,
        }
    }

    fn next(&mut self, world: &World) -> Decision {
        let rest = Decision::Rest { until: None };
        if self.busy.is_some() {
            return rest;
        }
        if let Some(want) = self.wants_back(world.suspended) {
            return Decision::Find(want);
        }
        if self.problems.is_some() {
            return rest;
        }
        let wanted = match &self.back {
            None => self.wanted.clone(),
            Some(back) if back.is_unread() => {
                let digest = back.memory.good.clone();
                self.begin(AppPhase::Restoring);
                return Decision::Recall { digest };
            }
            Some(back) => back.target(),
        };
        let Some(wanted) = wanted else { return rest };
        let going = self.back.as_ref().is_some_and(|back| !back.is_over());
        if self.unwatched.is_some() {
            return Decision::Rest { until: Some(world.now + WATCH_RETRY) };
        }
        if let Some(decision) = self.end_hooks(world) {
            return decision;
        }
        if self.rollout.is_some() {
            return self.advance(world, &wanted);
        }
        if let Some(refused) = &self.refused
            && refused.digest == wanted.digest
            && refused.retry_at.is_none_or(|at| world.now < at)
        {
            return Decision::Rest { until: refused.retry_at };
        }
        let forward = self.effective.as_ref() != Some(&wanted.digest) && self.back.is_none();
        if self.is_held(world, &wanted, forward) {
            return rest;
        }
        let sight = Sight { index: world.index, in_sync: &self.in_sync };
        let mut found = match plan_with(&wanted, &sight, &self.adoption.consent) {
            Ok(plan) => plan,
            Err(problems) => {
                self.problems = Some(problems);
                return rest;
            }
        };
        self.remember_in_sync(&wanted, &found, world.index);
        self.note_shared(std::mem::take(&mut found.shared));
        if found.is_empty() {
            self.forget_needed();
        }
        self.blocked.clear();
        self.suspended = None;
        let mut hooks = self.hooks_due(&wanted);
        if found.is_empty() && !world.remembers {
            hooks.clear(); // Nobody knows whether they ran, and nothing else is to be done.
        }
        if found.is_empty() && hooks.is_empty() {
            self.refused = None;
            if self.effective.as_ref() == Some(&wanted.digest) && !going {
                return self.tidy_hooks(world, &wanted).unwrap_or(rest);
            }
            return self.verify(&wanted, world);
        }
        if world.suspended {
            let jobs = match hooks.len() {
                0 => String::new(),
                1 => ", and 1 hook would run".to_owned(),
                count => format!(", and {count} hooks would run"),
            };
            self.suspended = Some(format!("{} objects would change{jobs}", found.count()));
            return rest;
        }
        if forward {
            self.blocked = self.spec.depends_on.iter().filter(|name| !(world.ready)(name)).cloned().collect();
            if !self.blocked.is_empty() {
                return rest;
            }
        }
        let stop = self.begin(AppPhase::Proving);
        let (before, consent) = (self.before.clone(), self.adoption.consent.clone());
        let hooks = hooks.into_iter().map(|hook| (hook.clone(), self.hook_seconds(&hook))).collect();
        Decision::Prove { plan: found, before, consent, hooks, stop }
    }

    fn begin(&mut self, phase: AppPhase) -> CancellationToken {
        let stop = CancellationToken::new();
        self.busy = Some(Busy { phase, stop: stop.clone() });
        stop
    }

    /// Takes that all gates were passed.
    fn arrived(&mut self, wanted: &Arc<WantedApp>, wrote: usize) {
        self.forget_mending();
        let drift = self.effective.as_ref() == Some(&wanted.digest);
        let new = self.is_begun() || self.known_good.as_ref() != Some(&wanted.digest);
        self.effective = Some(wanted.digest.clone());
        if self.back.is_some() {
            return self.came_back(wanted);
        }
        if new && !drift {
            self.note_ended(&wanted.digest, Outcome::Done, None);
        }
        self.known_good = Some(wanted.digest.clone());
        self.last_good = Some(wanted.clone());
        self.good = Some(wanted.clone());
        if new && !drift {
            let words = if wrote == 1 { "1 object was".to_owned() } else { format!("{wrote} objects were") };
            let note = format!("{} runs and is healthy; {words} written", wanted.digest.short());
            self.tell(false, "RolledOut", note);
        }
    }

    /// Takes the answer to a proof.
    pub fn proved(
        &mut self,
        digest: &Digest,
        result: Result<CheckedPlan, Refused>,
        index: &Index,
        now: Timestamp,
    ) {
        self.busy = None;
        if self.target_digest() != Some(digest) {
            return; // It was of an older revision.
        }
        match result {
            Ok(plan) => {
                for settled in plan.settled() {
                    if let Some(live) = index.live(&settled.key) {
                        index.note_settled(settled, &live);
                    }
                }
                self.refused = None;
                self.forget_needed();
                let Some(target) = self.target() else { return };
                if plan.waves().is_empty() {
                    // All of it is settled, and the next look will see so; only hooks may be left to run.
                    if !self.hooks_due(&target).is_empty() {
                        let note = format!("{} begins: nothing but its hooks changes", digest.short());
                        self.tell(false, "RolloutStarted", note);
                        self.run_hooks(&target, now);
                    }
                    return;
                }
                self.announce(&plan);
                let baseline = self.baseline(&plan, index);
                let changes = plan.steps().map(|step| &step.wanted().key).collect();
                let baseline = self.kept_baseline(digest, &changes, baseline);
                let course = self.course(&plan, now);
                let hooks = self.place_hooks(&target, &course.orders);
                self.rollout = Some(Rollout::new(course, Some(Arc::new(plan)), baseline, hooks));
            }
            Err(refused) => {
                self.note_needed(&refused);
                let messages: Vec<String> = refused
                    .refusals
                    .iter()
                    .map(|refusal| match &refusal.hint {
                        Some(hint) => format!("{refusal} ({hint})"),
                        None => refusal.to_string(),
                    })
                    .collect();
                if self.refused.as_ref().is_none_or(|before| before.messages != messages) {
                    let why = messages.join("; ");
                    self.note_ended(digest, Outcome::Refused, Some(&why));
                }
                self.refuse(digest, messages, refused.refusals.iter().all(|refusal| refusal.may_pass()), now);
            }
        }
    }

    /// What a rollout does not change and is well now: it has to be well afterwards too.
    fn baseline(&self, plan: &CheckedPlan, index: &Index) -> Vec<ObjectKey> {
        let changes: HashSet<&ObjectKey> = plan.steps().map(|step| &step.wanted().key).collect();
        let Some(wanted) = self.back.as_ref().map_or(self.wanted.clone(), Back::target) else {
            return Vec::new();
        };
        let others = wanted.objects.iter().map(|object| &object.key).filter(|key| !changes.contains(key));
        others.filter(|key| index.health(key).status == Status::Healthy).cloned().collect()
    }

    /// Notes that nothing is written, why, and when it is tried again.
    pub fn refuse(&mut self, digest: &Digest, messages: Vec<String>, may_pass: bool, now: Timestamp) {
        self.busy = None;
        let pause = FIRST_RETRY.saturating_mul(1 << self.attempts.min(10)).min(LAST_RETRY);
        self.attempts += 1;
        let retry_at =
            may_pass.then(|| now + SignedDuration::try_from(pause).unwrap_or(SignedDuration::from_mins(5)));
        if self.refused.as_ref().is_none_or(|before| before.messages != messages) {
            let more = if messages.len() > 1 {
                format!(" (and {} more)", messages.len() - 1)
            } else {
                String::new()
            };
            let first = messages.first().cloned().unwrap_or_default();
            self.tell(true, "Refused", format!("nothing was written: {first}{more}"));
        }
        self.refused = Some(Refusals { digest: digest.clone(), messages, retry_at });
    }

    /// Takes what came of writing a wave.
    pub fn wrote(&mut self, digest: &Digest, outcome: WaveOutcome, now: Timestamp) {
        self.busy = None;
        if !outcome.written.is_empty() {
            let before = Arc::make_mut(&mut self.before);
            for written in &outcome.written {
                before.insert(written.wanted.key.clone(), written.wanted.clone());
            }
            self.note_adopted(&outcome.written);
        }
        let Some(rollout) = &mut self.rollout else { return };
        if rollout.state.digest != *digest {
            return;
        }
        if outcome.refused.is_empty() {
            if !outcome.stopped {
                rollout.wrote = Some(Wrote::All);
            } else {
                self.break_off();
            }
            return;
        }
        let messages: Vec<String> = outcome.refused.iter().map(ToString::to_string).collect();
        // The world changed under the plan, or could not be reached: a new plan starts from what is live by then.
        let passing = |kind| {
            matches!(kind, RefusalKind::Unreachable | RefusalKind::Conflict | RefusalKind::BeingDeleted)
        };
        if outcome.refused.iter().all(|refusal| passing(refusal.kind)) {
            self.break_off();
            self.refuse(digest, messages, true, now);
        } else {
            rollout.wrote = Some(Wrote::Refused(messages));
        }
    }

    /// Takes that a wave could not be begun.
    pub fn unwritten(&mut self, digest: &Digest, why: String, now: Timestamp) {
        self.break_off();
        self.refuse(digest, vec![why], true, now);
    }
}
