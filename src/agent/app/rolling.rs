//! A rollout that is under way: one step on at a time, and what is said of it.

use std::sync::Arc;

use super::hooks::Placed;
use super::status::{halt_message, some};
use super::{App, Decision, World};
use crate::api::AppPhase;
use crate::object::ObjectKey;
use crate::plan::{CheckedPlan, CheckedStep, CheckedWave, Reason, WantedApp};
use crate::rollout::{self, Halt, Next, Observed, State, Waiting, Wrote};

pub(super) struct Rollout {
    pub state: State,
    pub plan: Option<Arc<CheckedPlan>>,
    pub waves: Vec<Vec<ObjectKey>>,
    pub hooks: Vec<Placed>,
    pub wrote: Option<Wrote>,
}

impl Rollout {
    pub fn of_plan(state: State, plan: CheckedPlan, hooks: Vec<Placed>) -> Self {
        let keys = |wave: &CheckedWave| wave.steps().iter().map(|step| step.wanted().key.clone()).collect();
        let waves = plan.waves().iter().map(keys).collect();
        Self { state, plan: Some(Arc::new(plan)), waves, hooks, wrote: None }
    }

    /// Of what is all written already: one wave, which is only judged.
    pub fn of_written(state: State, wanted: &WantedApp, hooks: Vec<Placed>) -> Self {
        let keys = wanted.objects.iter().map(|object| object.key.clone()).collect();
        Self { state, plan: None, waves: vec![keys], hooks, wrote: None }
    }
}

impl App {
    /// Goes one step on in the rollout.
    pub(super) fn advance(&mut self, world: &World, wanted: &Arc<WantedApp>) -> Decision {
        let may_go_back = self.may_go_back();
        let hooks = self.seen_hooks(world);
        let Some(rollout) = &mut self.rollout else { return Decision::Rest { until: None } };
        let health = |key: &ObjectKey| world.index.health(key);
        let observed = Observed {
            waves: &rollout.waves,
            health: &health,
            hooks: &hooks,
            wrote: rollout.wrote.take(),
            timeout: self.timeout,
            may_go_back,
        };
        let (state, next) = rollout::step(rollout.state.clone(), &observed, world.now);
        rollout.state = state;
        self.waiting = None;
        match next {
            Next::Apply { wave } => {
                self.halted = None;
                match rollout.plan.clone() {
                    Some(plan) => {
                        let stop = self.begin(AppPhase::Applying);
                        Decision::Write { plan, wave, stop }
                    }
                    None => {
                        rollout.wrote = Some(Wrote::All); // There is nothing to write.
                        Decision::Rest { until: Some(world.now) }
                    }
                }
            }
            Next::RunHook { hook } => {
                self.halted = None;
                self.make_hook(hook, world)
            }
            Next::Wait { on, since, until } => {
                self.waiting = Some((on, since, until));
                Decision::Rest { until: Some(until) }
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
        let drifted =
            |step: &&CheckedStep| !matches!(step.reason(), Reason::Unscaled | Reason::Shared { .. });
        if !going && self.effective.as_ref() == Some(plan.digest()) {
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
