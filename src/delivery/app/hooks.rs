//! The hooks of an app: which run in a rollout and how far they are. Decides; others do.
//!
//! A hook runs where git has something new for the app, never for drift and never on a way back, and only if what it does
//! did not end well before ([`Hook::identity`]). How it ended is remembered before the rollout goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::decide::{AppStep, View};
use super::{App, LONGEST};
use crate::api::AppPhase;
use crate::delivery::action::{Action, later};
use crate::delivery::fact::What;
pub use crate::delivery::hook_work::{HookDone, HookWork, Tidy, TidyUp, job_of};
use crate::health::{Assessed, Status};
use crate::object::{INTERRUPTIBLE, ObjectKey};
use crate::plan::{Hook, Moment, Stage, Wanted, WantedApp, WaveOrder};
use crate::rollout::{self, Purpose, Run, Waiting, Wrote};
use crate::state::{Change, HookRun, HookStage, Hooks};

/// The cluster ends a Job that is out of time by itself; so much later we do not believe in it any more.
const GRACE: SignedDuration = SignedDuration::from_secs(15);
/// What could not be done for a hook is tried again after this long.
const AGAIN: SignedDuration = SignedDuration::from_secs(3);
/// So long a Job has before its pods are looked at, and then between two looks.
const PROBE: SignedDuration = SignedDuration::from_secs(8);

/// What an app knows of its hooks.
#[derive(Debug, Default)]
pub(in crate::delivery) struct HookState {
    memory: Hooks,
    /// Nothing is begun for a hook before then.
    pause: Option<Timestamp>,
    /// When the pods of Jobs that take their time are looked at next.
    probe: Option<Timestamp>,
    /// Why something could not be done, as it was told last.
    told: Option<String>,
}

impl HookState {
    pub fn of(memory: &Hooks) -> Self {
        Self { memory: memory.clone(), ..Self::default() }
    }
}

/// A hook in a rollout.
#[derive(Debug)]
pub(in crate::delivery) struct Placed {
    hook: Arc<Hook>,
    moment: Moment,
    wave: usize,
}

impl App {
    /// The hooks that a rollout of this runs, in their order; none where it is not for something new.
    pub(in crate::delivery) fn hooks_of(&self, wanted: &WantedApp) -> Vec<(Moment, Arc<Hook>)> {
        let digest = Some(&wanted.digest);
        let known = self.runs.good();
        if self.purpose() == Purpose::Back || self.runs.effective.as_ref() == digest || known == digest {
            return Vec::new();
        }
        let moments =
            wanted.hooks.iter().filter_map(|hook| Some((hook.moment(known.is_none())?, hook.clone())));
        let mut hooks: Vec<(Moment, Arc<Hook>)> = moments.collect();
        hooks.sort_by_key(|(moment, _)| *moment); // Within a moment they are in order already.
        hooks
    }

    /// Those of them that have not ended well.
    pub(in crate::delivery) fn hooks_due(&self, wanted: &WantedApp) -> Vec<Arc<Hook>> {
        let all = self.hooks_of(wanted).into_iter().map(|(_, hook)| hook);
        all.filter(|hook| !self.is_done(hook)).collect()
    }

    fn is_done(&self, hook: &Hook) -> bool {
        let memory = self.hooks.memory.get(&hook.key.to_string());
        memory.is_some_and(|memory| memory.is_done(&hook.identity))
    }

    /// Gives each hook its place among the waves.
    pub(in crate::delivery) fn place_hooks(&self, wanted: &WantedApp, waves: &[WaveOrder]) -> Vec<Placed> {
        let main = waves.iter().position(|order| order.stage == Stage::Main).unwrap_or(waves.len());
        let place = |(moment, hook)| {
            let wave = if moment == Moment::Before { main } else { usize::MAX };
            Placed { hook, moment, wave }
        };
        self.hooks_of(wanted).into_iter().map(place).collect()
    }

    /// How long a hook has, in whole seconds.
    pub(in crate::delivery) fn hook_seconds(&self, hook: &Hook) -> i64 {
        let own = hook.deadline.unwrap_or_else(|| self.terms.timeout.as_secs());
        own.clamp(1, LONGEST.as_secs())
    }

    /// The hooks of the rollout that is under way, as they stand.
    pub(in crate::delivery) fn seen_hooks(&self, view: &View) -> Vec<rollout::Hook> {
        let placed = self.rollout().into_iter().flat_map(|rollout| &rollout.hooks);
        placed.map(|placed| rollout::Hook { wave: placed.wave, run: self.seen(&placed.hook, view) }).collect()
    }

    fn seen(&self, hook: &Hook, view: &View) -> Run {
        let memory = self.hooks.memory.get(&hook.key.to_string());
        if memory.is_some_and(|memory| memory.is_done(&hook.identity)) {
            return Run::Succeeded;
        }
        let run = memory.and_then(|memory| memory.run(&hook.identity));
        match run {
            Some(run) if run.stage == HookStage::Failed => {
                let why = run.why.as_deref().unwrap_or("it failed");
                let again = "`fairlead retry` runs it again";
                let on = waiting(&run.job, Status::Failed, "HookFailed", format!("{why} ({again})"));
                Run::Failed { on }
            }
            Some(run) if run.stage == HookStage::Made => {
                let health = view.world.health(&run.job);
                let message = format!("{} (hook {})", health.message, hook.key.name);
                let on = waiting(&run.job, health.status, &health.reason, message);
                // One that ended well only waits to be remembered, however long that takes.
                let until = match health.status {
                    Status::Healthy => later(view.now, GRACE),
                    _ => end_of(run),
                };
                Run::Runs { on, since: run.begun, until }
            }
            _ => match self.others(view, &hook.job.key).into_iter().next() {
                Some(other) => self.behind(&other, view.now),
                None => Run::Due,
            },
        }
    }

    /// Jobs of this app's hooks that have not ended, but for one.
    fn others(&self, view: &View, but: &ObjectKey) -> Vec<Assessed> {
        let mut found = view.world.hook_jobs(self.name());
        found.retain(|record| {
            record.live.key != *but && !matches!(record.health.status, Status::Healthy | Status::Failed)
        });
        found
    }

    fn behind(&self, other: &Assessed, now: Timestamp) -> Run {
        let key = &other.live.key;
        let runs = self.hooks.memory.values().flat_map(|memory| &memory.runs);
        let run = runs.into_iter().find(|run| run.job == *key);
        let until = run.map_or(later(now, self.terms.timeout), end_of);
        let message = format!("it is of an older commit and has to end first: {}", other.health.message);
        let on = waiting(key, other.health.status, &other.health.reason, message);
        Run::Behind { on, since: run.map_or(now, |run| run.begun), until }
    }

    /// The Job of an older commit that something new has to wait for, since it must not be interrupted.
    pub(in crate::delivery) fn held_by_hook(&self, view: &View, wanted: &WantedApp) -> Option<Waiting> {
        let own: BTreeSet<&ObjectKey> = wanted.hooks.iter().map(|hook| &hook.job.key).collect();
        let holds = |record: &Assessed| {
            record.live.labels.get(INTERRUPTIBLE).is_some_and(|word| word == "false")
                && !own.contains(&record.live.key)
                && !matches!(record.health.status, Status::Healthy | Status::Failed)
        };
        view.world.hook_jobs(self.name()).into_iter().find(holds).map(|record| {
            let message =
                format!("it is of an older commit and not to be interrupted: {}", record.health.message);
            waiting(&record.live.key, record.health.status, &record.health.reason, message)
        })
    }

    /// Makes the Job of a hook of this rollout.
    pub(in crate::delivery) fn make_hook(&mut self, n: usize, view: &View) -> AppStep {
        if let Some(pause) = self.hooks.pause.filter(|pause| view.now < *pause) {
            return AppStep::Rest { until: Some(pause) };
        }
        let placed = self.rollout().and_then(|rollout| rollout.hooks.get(n));
        let Some(hook) = placed.map(|placed| placed.hook.clone()) else {
            return AppStep::Rest { until: None };
        };
        let memory = self.hooks.memory.get(&hook.key.to_string());
        let old = memory.and_then(|memory| memory.run(&hook.identity));
        let run = HookRun {
            identity: hook.identity.clone(),
            job: hook.job.key.clone(),
            stage: HookStage::Intended,
            uid: None,
            replaces: old.and_then(|old| old.replaces.clone()),
            begun: view.now,
            limit: self.hook_seconds(&hook),
            why: None,
            retried: self.asking.retried.clone(),
            tidy: false,
        };
        self.do_hook(AppPhase::Applying, HookWork::Make { hook, run })
    }

    fn do_hook(&self, phase: AppPhase, work: HookWork) -> AppStep {
        let (hooks, quarantine) = (self.hooks.memory.clone(), self.quarantine().cloned());
        AppStep::Do { phase, action: Action::Hook { work, hooks, quarantine, remember: Vec::new() } }
    }

    /// What has to be remembered of hooks that ended, whatever is rolled out by now.
    pub(in crate::delivery) fn end_hooks(&mut self, view: &View) -> Option<AppStep> {
        if self.hooks.pause.is_some_and(|pause| view.now < pause) {
            return None;
        }
        let memory = self.hooks.memory.iter();
        let runs = memory.flat_map(|(name, memory)| memory.runs.iter().map(move |run| (name, run)));
        let due = self.hooks.probe.take();
        let mut probe = None;
        let ended = runs.filter(|(_, run)| run.stage == HookStage::Made).find_map(|(name, run)| {
            let (name, run) = (name.clone(), run.clone());
            let Some(record) =
                view.world.assessed(&run.job).filter(|record| Some(&record.live.uid) == run.uid.as_ref())
            else {
                return Some(HookWork::Look { name, run });
            };
            let failed = match record.health.status {
                Status::Healthy => None,
                Status::Failed => Some(format!("{}: {}", record.health.reason, record.health.message)),
                Status::Progressing => {
                    let at = due.unwrap_or(later(run.begun, PROBE));
                    // It is ended by that where it never ran, so it has to be ours to touch.
                    if view.now >= at && view.may_touch(&run.job) {
                        return Some(HookWork::Probe { name, run });
                    }
                    probe = [probe, Some(at)].into_iter().flatten().min();
                    return None;
                }
                _ => return None,
            };
            let job = self.wanted().and_then(|wanted| job_of(&wanted.hooks, &run.job));
            Some(HookWork::End { name, run, failed, job, last_words: self.terms.last_words })
        });
        self.hooks.probe = probe;
        ended.map(|ended| self.do_hook(AppPhase::Waiting, ended))
    }

    /// What is left to do with Jobs that ended, once all is well: those of older commits go, and the others as they say.
    /// What stands for git knows no hooks, so nobody knows which are older.
    pub(in crate::delivery) fn tidy_hooks(&mut self, view: &View, wanted: &WantedApp) -> Option<AppStep> {
        if self.back().is_some()
            || !self.is_from_git()
            || self.hooks.pause.is_some_and(|pause| view.now < pause)
            || !self.runs.is_good(&wanted.digest)
        {
            return None;
        }
        let mut jobs = Vec::new();
        for (name, memory) in &self.hooks.memory {
            for run in memory.runs.iter().filter(|run| !run.tidy && view.may_touch(&run.job)) {
                let hook = wanted.hooks.iter().find(|hook| hook.identity == run.identity);
                let record = view.world.assessed(&run.job);
                let record = record.filter(|record| Some(&record.live.uid) == run.uid.as_ref());
                let what = match (record, hook) {
                    (None, _) if run.stage != HookStage::Made => TidyUp::Forget,
                    (Some(record), None)
                        if matches!(record.health.status, Status::Healthy | Status::Failed) =>
                    {
                        TidyUp::Delete
                    }
                    (Some(_), Some(hook)) if run.stage == HookStage::Succeeded => match hook.ttl {
                        _ if hook.delete => TidyUp::Delete,
                        Some(seconds) => TidyUp::Ttl(seconds),
                        None => continue,
                    },
                    _ => continue,
                };
                jobs.push(Tidy { name: name.clone(), run: run.clone(), what });
            }
        }
        if jobs.is_empty() {
            return None;
        }
        Some(self.do_hook(AppPhase::Ready, HookWork::Tidy { jobs }))
    }

    /// Has it remembered what becomes of its hooks, where it has any.
    pub(in crate::delivery) fn note_hooks(&mut self) {
        if !self.hooks.memory.is_empty() {
            let (hooks, quarantine) = (self.hooks.memory.clone(), self.quarantine().cloned());
            self.remember(Change::Hooks { app: self.spec.name.clone(), hooks, quarantine });
        }
    }

    /// Leaves hooks alone for a while.
    pub(in crate::delivery) fn delay_hooks(&mut self, now: Timestamp) {
        self.hooks.pause = Some(later(now, AGAIN));
    }

    /// When to look again, if something for a hook is put off.
    pub(in crate::delivery) fn hooks_again(
        &self,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        // What is due by now has its turn when what is under way or put off has ended.
        let later = [self.hooks.pause, self.hooks.probe].into_iter().flatten().filter(|at| *at > now);
        later.chain(until).min()
    }

    /// Takes what came of work for a hook.
    pub(in crate::delivery) fn hooked(&mut self, done: HookDone, now: Timestamp) {
        if let Some(hooks) = done.hooks {
            self.hooks.memory = hooks;
        }
        if done.probed {
            self.hooks.probe = Some(later(now, PROBE));
        }
        for what in done.told {
            self.tell(what);
        }
        if done.made.is_some() && done.failed.is_some() {
            self.note_hooks(); // That it was made is known here alone: whoever deletes it now would have it made again.
        }
        self.hooks.pause = (done.later || done.failed.is_some()).then(|| later(now, AGAIN));
        if let Some(why) = done.failed {
            if self.hooks.told.as_ref() != Some(&why) {
                self.tell(What::HookDelayed { why: why.clone() });
            }
            self.hooks.told = Some(why);
        } else {
            self.hooks.told = None;
        }
        if let (Some(refusal), Some(rollout)) = (done.refused, self.rollout_mut()) {
            rollout.wrote = Some(Wrote::Refused(vec![refusal.to_string()]));
        }
    }

    /// Takes the word of a person: what failed is made again, once for each word.
    pub(in crate::delivery) fn retry_hooks(&mut self, word: &str) {
        let Some(wanted) = self.wanted().cloned() else { return };
        for hook in &wanted.hooks {
            let memory = self.hooks.memory.get_mut(&hook.key.to_string());
            let Some(run) = memory.and_then(|memory| memory.run_mut(&hook.identity)) else { continue };
            if run.stage == HookStage::Failed && run.retried.as_deref() != Some(word) {
                run.stage = HookStage::Intended;
                (run.replaces, run.why) = (run.uid.take(), None);
            }
        }
    }

    /// What hooks of the rollout that fails have done, which no machine takes back.
    pub(in crate::delivery) fn hooks_that_stay(&self) -> String {
        let placed = self.rollout().into_iter().flat_map(|rollout| &rollout.hooks);
        let stay = placed.filter(|placed| {
            placed.moment != Moment::Verify && !placed.hook.reversible && self.is_done(&placed.hook)
        });
        let names: Vec<String> = stay.map(|placed| placed.hook.job.key.to_string()).collect();
        match names.as_slice() {
            [] => String::new(),
            some => format!("; what {} did is not taken back", some.join(", ")),
        }
    }

    /// The Job that a halt is about, where its pods were not asked yet.
    pub(in crate::delivery) fn hook_job(&self, key: &ObjectKey) -> Option<Arc<Wanted>> {
        job_of(&self.wanted()?.hooks, key)
    }
}

fn end_of(run: &HookRun) -> Timestamp {
    later(later(run.begun, SignedDuration::from_secs(run.limit)), GRACE)
}

fn waiting(key: &ObjectKey, status: Status, reason: &str, message: String) -> Waiting {
    Waiting { key: key.clone(), status, reason: reason.to_owned(), message }
}
