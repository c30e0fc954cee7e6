//! A rollout that is under way: one step on at a time, and what is said of it.

use std::sync::Arc;

use jiff::Timestamp;

use super::course::Course;
use super::hooks::Placed;
use super::look::Looks;
use super::status::{halt_message, some};
use super::{App, Decision, World};
use crate::api::AppPhase;
use crate::health::pods::Thresholds;
use crate::object::{ObjectKey, Outcome};
use crate::plan::{CheckedPlan, CheckedStep, Reason, WantedApp};
use crate::rollout::{self, Halt, Next, Observed, Phase, State, Waiting, Wrote};
use crate::state::Rolling;

pub(super) struct Rollout {
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
}

impl Rollout {
    pub(super) fn new(
        course: Course,
        plan: Option<Arc<CheckedPlan>>,
        baseline: Vec<ObjectKey>,
        hooks: Vec<Placed>,
    ) -> Self {
        let Course { state, waves, writes, .. } = course;
        let looks = Looks::default();
        Self { state, plan, waves, writes, hooks, wrote: None, baseline, looks, looked_for_edits: None }
    }
}

impl App {
    /// All is as it should be, and nobody knows whether it is healthy: it was written before we started.
    pub(super) fn verify(&mut self, wanted: &Arc<WantedApp>, world: &World) -> Decision {
        let broken_off = self.take_rolling(&wanted.digest);
        if self.back.is_none() && broken_off.is_none() && self.known_good.as_ref() == Some(&wanted.digest) {
            // It passed its gates before, and nothing was written since: what broke meanwhile is no rollout's.
            self.arrived(wanted, 0);
            return Decision::Rest { until: Some(world.now) };
        }
        let state = State::verify(wanted.digest.clone(), self.purpose(), 0, world.now);
        let (course, baseline) = self.written(wanted, broken_off, state, world.now);
        self.rollout = Some(Rollout::new(course, None, baseline, Vec::new()));
        self.advance(world, wanted)
    }

    /// The same, with hooks that have not run.
    pub(super) fn run_hooks(&mut self, wanted: &Arc<WantedApp>, now: Timestamp) {
        let broken_off = self.take_rolling(&wanted.digest);
        let state = State::start(wanted.digest.clone());
        let (course, baseline) = self.written(wanted, broken_off, state, now);
        let hooks = self.place_hooks(wanted, &course.orders);
        self.rollout = Some(Rollout::new(course, None, baseline, hooks));
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
    pub(super) fn advance(&mut self, world: &World, wanted: &Arc<WantedApp>) -> Decision {
        let may_go_back = self.may_go_back();
        let hooks = self.seen_hooks(world);
        let Some(rollout) = &mut self.rollout else { return Decision::Rest { until: None } };
        let looks = &rollout.looks;
        let settling = matches!(rollout.state.phase, Phase::Settle { .. });
        let health = |key: &ObjectKey| looks.health(key, world.index.health(key), settling);
        let observed = Observed {
            waves: &rollout.waves,
            baseline: &rollout.baseline,
            health: &health,
            hooks: &hooks,
            wrote: rollout.wrote.take(),
            timeout: self.timeout,
            settle: self.settle,
            may_go_back,
        };
        let (state, next) = rollout::step(rollout.state.clone(), &observed, world.now);
        let before = std::mem::replace(&mut rollout.state, state).phase;
        self.waiting = None;
        if self.mends(world, wanted, &before, &next) {
            return Decision::Rest { until: Some(world.now) };
        }
        let Some(rollout) = &mut self.rollout else { return Decision::Rest { until: None } };
        match next {
            Next::Apply { wave } => {
                self.halted = None;
                let writes = rollout.writes.get(wave).copied().flatten();
                let Some((plan, writes)) = rollout.plan.clone().zip(writes) else {
                    rollout.wrote = Some(Wrote::All); // All of it was written before.
                    return Decision::Rest { until: Some(world.now) };
                };
                let phase = Phase::Gate { wave, since: world.now, failing_since: None };
                // What drift changed is put back in one go, and is no step of a rollout.
                let repairs = self.back.is_none() && self.known_good.as_ref() == Some(plan.digest());
                let rolling = (!repairs).then(|| rollout.rolling(phase));
                let stop = self.begin(AppPhase::Applying);
                Decision::Write { plan, wave: writes, rolling, stop }
            }
            Next::RunHook { hook } => {
                self.halted = None;
                self.make_hook(hook, world)
            }
            Next::Wait { on, since, until } => {
                let digest = rollout.state.digest.clone();
                let even_if_up = matches!(rollout.state.phase, Phase::Settle { .. });
                let look = self.look(wanted, &on, since, world.now);
                self.waiting = Some((on, since, until));
                match look {
                    Ok(wanted) => Decision::Look {
                        digest,
                        wanted,
                        limits: Thresholds { restarts: self.restarts, since: Some(since), even_if_up },
                    },
                    Err(due) => {
                        let edits = self.next_look_for_edits(world);
                        Decision::Rest { until: [Some(until), due, edits].into_iter().flatten().min() }
                    }
                }
            }
            Next::Halt { why } => self.halt(why, wanted),
            Next::GoBack { why } => match self.told_halt() {
                Some(told) => {
                    self.go_back(told);
                    Decision::Rest { until: Some(world.now) }
                }
                None => self.halt(why, wanted),
            },
            Next::Done => {
                let wrote = rollout.plan.as_ref().map_or(0, |plan| plan.steps().count());
                (self.halted, self.rollout) = (None, None);
                self.arrived(wanted, wrote);
                Decision::Rest { until: Some(world.now) }
            }
        }
    }

    /// Notes why it does not go on, and has the pods asked for their last words.
    fn halt(&mut self, why: Halt, wanted: &Arc<WantedApp>) -> Decision {
        let first = self.halted.is_none();
        let on = match &why {
            Halt::TimedOut { on } | Halt::Failed { on } => on.clone(),
            // One that failed was asked already.
            Halt::Hook { on } if !on.is_failure() => vec![on.clone()],
            Halt::Hook { .. } | Halt::Refused { .. } => Vec::new(),
        };
        self.halted.get_or_insert((why, None));
        if !first {
            return Decision::Rest { until: None };
        }
        let find = |waiting: &Waiting| {
            let own = wanted.objects.iter().find(|object| object.key == waiting.key).cloned();
            own.or_else(|| self.hook_job(&waiting.key))
        };
        Decision::Explain { wanted: on.iter().filter_map(find).collect() }
    }

    /// Takes what the pods say about a halt.
    pub fn explained(&mut self, words: Vec<String>) {
        if let Some((_, told)) = &mut self.halted {
            *told = Some(words);
        }
        if let Some(note) = self.told_halt()
            && !self.stays_lost(&note)
        {
            if !self.goes_back()
                && let Some(digest) = self.digest().cloned()
            {
                self.note_ended(&digest, Outcome::Halted, Some(&note));
            }
            self.tell(true, "Halted", note);
        }
    }

    /// A halt is told when it can be told whole: whoever waits for a verdict reads the first one.
    pub(super) fn told_halt(&self) -> Option<String> {
        let (why, told) = self.halted.as_ref()?;
        Some(halt_message(why, told.as_ref()?))
    }

    pub(super) fn announce(&mut self, plan: &CheckedPlan) {
        let (steps, waves) = (plan.steps().count(), plan.waves().len());
        let going = self.back.as_ref().is_some_and(|back| !back.is_over());
        let again = plan.steps().any(|step| self.mended(&step.wanted().key));
        let drifted = |step: &&CheckedStep| match again {
            true => self.mended(&step.wanted().key),
            false => !matches!(step.reason(), Reason::Unscaled | Reason::Shared { .. }),
        };
        if again || (!going && self.effective.as_ref() == Some(plan.digest())) {
            // Git did not change, so someone else did.
            let changed = plan.steps().filter(drifted).map(|step| match step.reason() {
                Reason::Drifted { fields } => format!("{} ({})", step.wanted().key, fields.join(", ")),
                Reason::Missing => format!("{} (gone)", step.wanted().key),
                _ => step.wanted().key.to_string(),
            });
            let changed: Vec<String> = changed.collect();
            let unscaled = plan.steps().filter(|step| *step.reason() == Reason::Unscaled);
            let unscaled: Vec<String> = unscaled.map(|step| step.wanted().key.to_string()).collect();
            if !changed.is_empty() {
                let note = format!("someone else changed {}; it is put back", some(changed.into_iter()));
                self.tell(true, "Drifted", note);
            }
            if !unscaled.is_empty() {
                let note = format!(
                    "the autoscaler of {} is gone: its replicas are git's",
                    some(unscaled.into_iter())
                );
                self.tell(false, "Unscaled", note);
            }
        } else {
            if going || self.known_good.as_ref() != Some(plan.digest()) {
                self.note_begun(steps);
            }
            let plural =
                |n: usize, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
            let note = format!(
                "{} begins: {} in {}",
                plan.digest().short(),
                plural(steps, "object"),
                plural(waves, "wave")
            );
            self.tell(false, "RolloutStarted", note);
        }
    }
}
