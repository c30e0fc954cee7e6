//! A rollout that is under way: one step on at a time, and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::course::Course;
use super::decide::{AppStep, View};
use super::hooks::Placed;
use super::looks::Looks;
use super::{App, Doing};
use crate::api::AppPhase;
use crate::delivery::action::Action;
use crate::delivery::fact::{What, some};
use crate::delivery::ticket::Ticket;
use crate::drift::Drifted;
use crate::health::pods::Thresholds;
use crate::object::{Commit, ObjectKey, Outcome};
use crate::plan::{CheckedPlan, CheckedStep, Reason, WantedApp};
use crate::rollout::{self, Halt, Next, Observed, Phase, State, Waiting, Wrote};
use crate::state::{Change, Rolling};

/// What is remembered of a rollout names so many objects; one that changes more is taken to change all.
const NAMED: usize = 500;

#[derive(Debug)]
pub(in crate::delivery) struct Rollout {
    pub state: State,
    pub plan: Option<Arc<CheckedPlan>>,
    pub waves: Vec<Vec<ObjectKey>>,
    /// Which wave of the plan each one writes.
    pub writes: Vec<Option<usize>>,
    pub hooks: Vec<Placed>,
    pub wrote: Option<Wrote>,
    /// What it does not change and was healthy before its first write.
    pub baseline: Vec<ObjectKey>,
    pub looks: Looks,
    /// When it was looked whether somebody else changed what it has come by.
    pub looked_for_edits: Option<Timestamp>,
    pub waiting: Option<GateWait>,
    pub halted: Option<Halted>,
    /// A question about pods that is under way; the gate goes on meanwhile.
    pub asking: Option<Ticket>,
}

/// What a gate waits for.
#[derive(Debug)]
pub(in crate::delivery) struct GateWait {
    pub on: Vec<Waiting>,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// Why a rollout halted, and what the pods say about it once they were asked.
#[derive(Debug)]
pub(in crate::delivery) struct Halted {
    pub why: Halt,
    pub reasons: Option<Vec<String>>,
}

impl Rollout {
    pub fn new(
        course: Course,
        plan: Option<Arc<CheckedPlan>>,
        baseline: Vec<ObjectKey>,
        hooks: Vec<Placed>,
    ) -> Self {
        let Course { state, waves, writes, .. } = course;
        Self {
            state,
            plan,
            waves,
            writes,
            hooks,
            wrote: None,
            baseline,
            looks: Looks::default(),
            looked_for_edits: None,
            waiting: None,
            halted: None,
            asking: None,
        }
    }
}

impl Rollout {
    /// What it wrote, or may have written.
    pub(in crate::delivery) fn written(&self) -> impl Iterator<Item = &ObjectKey> {
        let waves = match self.state.phase {
            Phase::Hook { wave } => wave,
            Phase::Write { wave }
            | Phase::Gate { wave, .. }
            | Phase::Settle { wave, .. }
            | Phase::Halted { wave, .. } => wave + 1,
            Phase::Done => 0,
        };
        self.waves.iter().take(waves).flatten()
    }

    /// What is to be remembered of it, so that it goes on from where it is: with what passed no gates before it, too.
    pub(in crate::delivery) fn rolling(
        &self,
        phase: Phase,
        commit: Option<&Commit>,
        unproven: &BTreeSet<ObjectKey>,
    ) -> Rolling {
        let named = self.waves.iter().map(Vec::len).sum::<usize>() + unproven.len() <= NAMED;
        let changed = named.then(|| self.waves.iter().flatten().chain(unproven).cloned().collect());
        let state = State { phase, ..self.state.clone() };
        Rolling { state, changed, commit: commit.cloned(), secrets: None }
    }
}

impl App {
    /// Takes that all is as it should be, and that it is not known whether it is healthy: it was written before we started.
    pub(in crate::delivery) fn verify(&mut self, wanted: &Arc<WantedApp>, view: &View) -> AppStep {
        let broken_off = self.take_broken_off(&wanted.digest);
        let known = self.runs.is_good(&wanted.digest) && self.runs.unproven.is_empty();
        if self.back().is_none() && broken_off.is_none() && known {
            // It passed its gates before, and nothing was written since: what broke meanwhile is no rollout's.
            self.arrived(wanted, 0, view);
            return AppStep::Rest { until: Some(view.now) };
        }
        let state = State::verify(wanted.digest.clone(), self.purpose(), 0, view.now);
        let (course, baseline) = self.written(wanted, broken_off, state, view.now);
        self.doing = Doing::Rolling(Box::new(Rollout::new(course, None, baseline, Vec::new())));
        self.advance(view, wanted)
    }

    /// The same, with hooks that have not run.
    pub(in crate::delivery) fn run_hooks(&mut self, wanted: &Arc<WantedApp>, now: Timestamp) {
        let broken_off = self.take_broken_off(&wanted.digest);
        let state = State::start(wanted.digest.clone());
        let (course, baseline) = self.written(wanted, broken_off, state, now);
        let hooks = self.place_hooks(wanted, &course.orders);
        self.doing = Doing::Rolling(Box::new(Rollout::new(course, None, baseline, hooks)));
    }

    /// The course of a rollout whose objects are all written, and what else has to be well in it.
    fn written(
        &mut self,
        wanted: &WantedApp,
        broken_off: Option<Rolling>,
        state: State,
        now: Timestamp,
    ) -> (Course, Vec<ObjectKey>) {
        let resumed = broken_off.and_then(|rolling| Course::resumed(rolling, wanted, None, now));
        let course = resumed.unwrap_or_else(|| Course::written(state, wanted));
        let changes = course.waves.iter().flatten().collect();
        let baseline = self.kept_baseline(&wanted.digest, &changes, Vec::new());
        (course, baseline)
    }

    /// Goes one step on in the rollout.
    pub(in crate::delivery) fn advance(&mut self, view: &View, wanted: &Arc<WantedApp>) -> AppStep {
        let may_go_back = self.may_go_back();
        let hooks = self.seen_hooks(view);
        let terms = self.terms;
        let left = self.left_gone(view, wanted);
        let Doing::Rolling(rollout) = &mut self.doing else { return AppStep::Rest { until: None } };
        rollout.baseline.retain(|key| !left.contains(key));
        let looks = &rollout.looks;
        let settling = matches!(rollout.state.phase, Phase::Settle { .. });
        let health = |key: &ObjectKey| looks.health(key, view.world.health(key), settling);
        let observed = Observed {
            waves: &rollout.waves,
            baseline: &rollout.baseline,
            health: &health,
            hooks: &hooks,
            wrote: rollout.wrote.take(),
            timeout: terms.timeout,
            settle: terms.settle,
            may_go_back,
        };
        let (state, next) = rollout::step(rollout.state.clone(), &observed, view.now);
        let before = std::mem::replace(&mut rollout.state, state).phase;
        rollout.waiting = None;
        if self.repairs(view, wanted, &before, &next) {
            return AppStep::Rest { until: Some(view.now) };
        }
        if view.suspended && matches!(next, Next::Apply { .. } | Next::RunHook { .. }) {
            // It goes on from here when the environment does.
            self.break_off();
            return AppStep::Rest { until: Some(view.now) };
        }
        match next {
            Next::Apply { wave } if self.is_overruled(wanted, wave, view) => {
                self.break_off();
                AppStep::Rest { until: Some(view.now) }
            }
            Next::Apply { wave } => self.write(wave, view),
            Next::RunHook { hook } => {
                if let Some(rollout) = self.rollout_mut() {
                    rollout.halted = None;
                }
                self.make_hook(hook, view)
            }
            Next::Wait { on, since, until } => self.wait(wanted, GateWait { on, since, until }, view),
            Next::Halt { why } => self.halt(why, wanted),
            Next::GoBack { why } => match self.told_halt() {
                Some(told) => {
                    self.go_back(told, None);
                    AppStep::Rest { until: Some(view.now) }
                }
                None => self.halt(why, wanted),
            },
            Next::Done => {
                let plan = self.rollout().and_then(|rollout| rollout.plan.clone());
                self.doing = Doing::Idle;
                self.arrived(wanted, plan.map_or(0, |plan| plan.steps().count()), view);
                AppStep::Rest { until: Some(view.now) }
            }
        }
    }

    fn write(&mut self, wave: usize, view: &View) -> AppStep {
        let quarantine = self.quarantine().cloned();
        let (commit, good) = (self.log.commit().cloned(), self.runs.good().cloned());
        let is_back = self.back().is_some();
        let Doing::Rolling(rollout) = &mut self.doing else { return AppStep::Rest { until: None } };
        rollout.halted = None;
        let writes = rollout.writes.get(wave).copied().flatten();
        let Some((plan, writes)) = rollout.plan.clone().zip(writes) else {
            rollout.wrote = Some(Wrote::All); // All of it was written before.
            return AppStep::Rest { until: Some(view.now) };
        };
        if !view.inventory_written {
            // Where its objects are stands on the Environment before the first of them is made.
            return AppStep::Rest { until: None };
        }
        let phase = Phase::Gate { wave, since: view.now, failing_since: None };
        // What drift changed is put back in one go, and is no step of a rollout. What a rollout left behind is, although
        // git says again what was good before it: a process that begins has to know what is not proven yet.
        let repairs = !is_back && good.as_ref() == Some(plan.digest()) && self.runs.unproven.is_empty();
        let rolling = (!repairs).then(|| rollout.rolling(phase, commit.as_ref(), &self.runs.unproven));
        let rolling = rolling.map(|rolling| self.with_secrets(rolling));
        let remember = match writes {
            0 => Change::Begin { plan: plan.clone(), quarantine, rolling },
            _ => Change::Roll { app: self.spec.name.clone(), rolling },
        };
        let action = Action::Write { plan, wave: writes, remember: vec![remember] };
        AppStep::Do { phase: AppPhase::Applying, action }
    }

    fn wait(&mut self, wanted: &Arc<WantedApp>, waiting: GateWait, view: &View) -> AppStep {
        let GateWait { since, until, .. } = waiting;
        let look = self.look(wanted, &waiting.on, since, view.now);
        let restarts = self.terms.restarts;
        let edits = self.next_look_for_edits(view.now);
        let Some(rollout) = self.rollout_mut() else { return AppStep::Rest { until: None } };
        rollout.waiting = Some(waiting);
        match look {
            Ok(wanted) => {
                let even_if_up = matches!(rollout.state.phase, Phase::Settle { .. });
                let limits = Thresholds { restarts, since: Some(since), even_if_up };
                AppStep::Do {
                    phase: AppPhase::Waiting,
                    action: Action::Look { wanted, limits, last_words: self.terms.last_words },
                }
            }
            Err(due) => AppStep::Rest { until: [Some(until), due, edits].into_iter().flatten().min() },
        }
    }

    /// Notes why it does not go on, and has the pods asked for their reasons.
    fn halt(&mut self, why: Halt, wanted: &Arc<WantedApp>) -> AppStep {
        let Some(rollout) = self.rollout_mut() else { return AppStep::Rest { until: None } };
        if rollout.halted.is_some() {
            return AppStep::Rest { until: None };
        }
        let on = match &why {
            Halt::TimedOut { on } | Halt::Failed { on } => on.clone(),
            // One that failed was asked already.
            Halt::Hook { on } if !on.is_failure() => vec![on.clone()],
            Halt::Hook { .. } | Halt::Refused { .. } => Vec::new(),
        };
        rollout.halted = Some(Halted { why, reasons: None });
        let find = |waiting: &Waiting| {
            let own = wanted.objects.iter().find(|object| object.key == waiting.key).cloned();
            own.or_else(|| self.hook_job(&waiting.key))
        };
        let wanted = on.iter().filter_map(find).collect();
        let action = Action::Reasons { wanted, last_words: self.terms.last_words };
        AppStep::Do { phase: AppPhase::Waiting, action }
    }

    /// Takes what the pods say about a halt.
    pub(in crate::delivery) fn reasoned(&mut self, reasons: Vec<String>, now: Timestamp) {
        let Some(rollout) = self.rollout_mut() else { return };
        let digest = rollout.state.digest.clone();
        if let Some(halted) = &mut rollout.halted {
            halted.reasons = Some(reasons);
        }
        if let Some(why) = self.told_halt()
            && !self.stays_lost(&why, now)
        {
            if !self.is_to_go_back() {
                self.note_ended(&digest, Outcome::Halted, Some(&why), now);
            }
            self.tell(What::Halted { digest, why });
        }
    }

    /// A halt is told when it can be told whole: a person who waits for a verdict reads the first one.
    pub(in crate::delivery) fn told_halt(&self) -> Option<String> {
        let Halted { why, reasons } = self.rollout()?.halted.as_ref()?;
        Some(halt_message(why, reasons.as_ref()?))
    }

    /// Takes that all gates were passed.
    fn arrived(&mut self, wanted: &Arc<WantedApp>, wrote: usize, view: &View) {
        self.drift.repair = Default::default();
        let was_good = self.runs.is_good(&wanted.digest);
        let drift = was_good && self.runs.effective.as_ref() == Some(&wanted.digest);
        let new = self.log.is_begun() || !was_good;
        self.runs.effective = Some(wanted.digest.clone());
        let keys = wanted.objects.iter().map(|object| &object.key).collect();
        self.runs.keep_before(&keys);
        self.runs.unproven.retain(|key| !keys.contains(key));
        if self.back().is_some() {
            return self.came_back(wanted, view.now);
        }
        let ended = new && !drift;
        if ended {
            self.note_ended(&wanted.digest, Outcome::Done, None, view.now);
        }
        let revision = self.log.commit().map(|commit| commit.revision.clone());
        self.runs.note_good(wanted, revision.clone());
        self.runs.last_good = Some(wanted.clone());
        if self.is_from_git() {
            self.remember(Change::Good {
                wanted: wanted.clone(),
                revision,
                depends_on: self.spec.depends_on.clone(),
                uids: uids(wanted, view),
            });
        }
        if ended {
            self.tell(What::RolledOut { digest: wanted.digest.clone(), written: wrote });
        }
    }

    /// Says what a plan that was accepted begins: a rollout, or that something is put back.
    pub(in crate::delivery) fn announce(
        &mut self,
        plan: &CheckedPlan,
        mut seen: Vec<Drifted>,
        now: Timestamp,
    ) {
        let going = self.is_going_back();
        let again = self.is_repair(plan);
        let at_rest = self.target().cloned().is_some_and(|wanted| self.is_where_it_goes(&wanted));
        if !again && !at_rest && (going || self.runs.effective.as_ref() != Some(plan.digest())) {
            let (objects, waves) = (plan.steps().count(), plan.waves().len());
            if going || !self.runs.is_good(plan.digest()) {
                self.note_begun(objects, now);
            }
            return self.tell(What::Started { digest: plan.digest().clone(), objects, waves });
        }
        // Git did not change, so someone else did.
        let is_drift = |step: &&CheckedStep| match again {
            true => self.puts_back(step),
            false => !matches!(step.reason(), Reason::Unscaled | Reason::Shared { .. }),
        };
        let changed = plan.steps().filter(is_drift);
        let changed: Vec<Drifted> = changed.map(|step| Drifted::of(step, &mut seen)).collect();
        let unscaled = plan.steps().filter(|step| *step.reason() == Reason::Unscaled);
        let unscaled: Vec<ObjectKey> = unscaled.map(|step| step.wanted().key.clone()).collect();
        if !changed.is_empty() {
            self.tell_drifted(changed, at_rest, now);
        }
        if !unscaled.is_empty() {
            self.tell(What::Unscaled { objects: unscaled });
        }
    }
}

/// The uids that an app's objects bear.
fn uids(wanted: &WantedApp, view: &View) -> Vec<(ObjectKey, Box<str>)> {
    let live = wanted.objects.iter().filter_map(|object| view.world.live(&object.key));
    live.filter(|live| live.owned.is_some()).map(|live| (live.key.clone(), live.uid.clone())).collect()
}

fn halt_message(why: &Halt, reasons: &[String]) -> String {
    let (head, mut words) = match why {
        Halt::TimedOut { on } => ("not healthy in time", on.iter().map(ToString::to_string).collect()),
        Halt::Failed { on } => ("failed", on.iter().map(ToString::to_string).collect()),
        Halt::Hook { on } if on.is_failure() => ("a hook failed", vec![on.to_string()]),
        Halt::Hook { on } => ("a hook did not end in time", vec![on.to_string()]),
        Halt::Refused { messages } => ("refused on the way", messages.clone()),
    };
    words.extend(reasons.iter().cloned());
    format!("{head}: {}", some(words))
}
