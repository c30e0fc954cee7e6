//! What others change while a rollout waits: it is put back on the way, and no verdict stands on it.
//!
//! A rollout whose object is deleted or edited by hand would wait for what nobody makes any more, and its commit would be
//! called bad for what it did not do. So it is broken off and planned anew, and goes on where it was.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::cached_lookup::{CachedLookup, Compared};
use super::decide::View;
use super::rolling::Rollout;
use super::{App, Doing};
use crate::delivery::action::later;
use crate::health::Status;
use crate::object::{Digest, ObjectKey};
use crate::plan::{CheckedPlan, CheckedStep, Reason, Step, WantedApp, plan_with};
use crate::rollout::{Next, Phase};

/// While nothing is missing it is looked this often.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// A process that deletes what we make, each time, is no accident: after so many times in one rollout its gates judge
/// what is there.
const OFTEN: u32 = 5;

/// What was put back on the way of a rollout.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Repair {
    /// How often, since a rollout began.
    times: u32,
    /// What is being put back now.
    keys: BTreeSet<ObjectKey>,
    /// What the rollout that was broken off for it writes later anyway.
    to_come: BTreeSet<ObjectKey>,
    /// What has to be well, of the rollout that was broken off for it.
    baseline: Option<(Digest, Vec<ObjectKey>)>,
}

impl App {
    /// Whether somebody else changed what this rollout has come by, so that it is planned anew. `next` is what it would do
    /// otherwise, and `phase` where it stood before.
    pub(in crate::delivery) fn repairs(
        &mut self,
        view: &View,
        wanted: &WantedApp,
        phase: &Phase,
        next: &Next,
    ) -> bool {
        let at_rest = self.is_where_it_goes(wanted);
        let Doing::Rolling(rollout) = &mut self.doing else { return false };
        let wave = match (phase, next) {
            (Phase::Gate { wave, .. } | Phase::Settle { wave, .. }, _)
            | (Phase::Write { wave }, Next::Done) => wave,
            _ => return false,
        };
        let judges = match next {
            Next::Wait { on, .. } => {
                let missing = on.iter().any(|waiting| waiting.status == Status::Missing);
                let due = rollout.looked_for_edits.is_none_or(|at| view.now >= later(at, LOOK_EVERY));
                if due {
                    rollout.looked_for_edits = Some(view.now);
                }
                missing || due
            }
            // That all is well says nothing of what was changed a moment ago, or is seen only now.
            Next::Halt { .. } | Next::GoBack { .. } | Next::Done => true,
            _ => false,
        };
        if !judges || self.drift.repair.times >= OFTEN {
            return false;
        }
        let to_come = to_come(rollout, *wave);
        let lookup = CachedLookup {
            world: view.world,
            in_sync: &self.runs.in_sync,
            rules: &self.drift.rules,
            now: view.now,
            compared: Compared::default(),
        };
        let Ok(plan) = plan_with(wanted, &lookup, &self.adoption.consent) else { return false };
        // Where nothing but drift is put back, that has its own pace. A newer commit waits for what it made.
        // What a person holds stays as they have it; what is missing for the rollout is made.
        let is_held = |step: &Step| {
            self.drift.is_of_others(&step.reason, step.live.as_deref(), at_rest)
                && view.held(&wanted.app, &step.wanted.key).is_some()
        };
        let is_theirs = |step: &Step| match (at_rest, &step.reason) {
            _ if is_held(step) => true,
            (true, _) => self.drift.is_left(step, view.now),
            (false, _) => self.drift.is_reported(step, view.now),
        };
        let changed = plan
            .steps()
            .filter(|step| differs(&step.reason) && !to_come.contains(&step.wanted.key) && !is_theirs(step));
        let keys: BTreeSet<ObjectKey> = changed.map(|step| step.wanted.key.clone()).collect();
        if keys.is_empty() {
            return false;
        }
        let to_come = to_come.into_iter().cloned().collect();
        rollout.state.phase = phase.clone();
        let baseline = (rollout.state.digest.clone(), std::mem::take(&mut rollout.baseline));
        self.drift.repair =
            Repair { times: self.drift.repair.times + 1, keys, to_come, baseline: Some(baseline) };
        self.break_off();
        true
    }

    /// When to look again for what was changed since the last look. While a hook runs nobody looks.
    pub(in crate::delivery) fn next_look_for_edits(&self, now: Timestamp) -> Option<Timestamp> {
        let rollout = self.rollout()?;
        let looks = matches!(rollout.state.phase, Phase::Gate { .. } | Phase::Settle { .. });
        let last = rollout.looked_for_edits.filter(|last| looks && *last != now)?;
        (self.drift.repair.times < OFTEN).then(|| later(last, LOOK_EVERY))
    }

    /// Whether a plan puts back what a rollout was broken off for.
    pub(in crate::delivery) fn is_repair(&self, plan: &CheckedPlan) -> bool {
        plan.steps().any(|step| self.drift.repair.keys.contains(&step.wanted().key))
    }

    /// Whether a step of such a plan puts something back: what was changed since the rollout was broken off, too.
    pub(in crate::delivery) fn puts_back(&self, step: &CheckedStep) -> bool {
        differs(step.reason()) && !self.drift.repair.to_come.contains(&step.wanted().key)
    }

    /// What has to be well in a rollout that changes these: what was when it was broken off, too.
    pub(in crate::delivery) fn kept_baseline(
        &mut self,
        digest: &Digest,
        changes: &BTreeSet<&ObjectKey>,
        mut baseline: Vec<ObjectKey>,
    ) -> Vec<ObjectKey> {
        self.drift.repair.keys.clear();
        self.drift.repair.to_come.clear();
        if let Some((of, before)) = self.drift.repair.baseline.take()
            && of == *digest
        {
            let known: BTreeSet<ObjectKey> = baseline.iter().cloned().collect();
            baseline.extend(before.into_iter().filter(|key| !changes.contains(key) && !known.contains(key)));
        }
        baseline
    }
}

/// Whether an object is not there as git has it: gone, edited, or made by somebody else in the place of ours.
fn differs(reason: &Reason) -> bool {
    matches!(reason, Reason::Missing | Reason::NeverApplied | Reason::Drifted { .. } | Reason::Changed { .. })
}

/// What a later wave writes anyway.
fn to_come(rollout: &Rollout, wave: usize) -> BTreeSet<&ObjectKey> {
    let waves = rollout.waves.iter().zip(&rollout.writes).skip(wave + 1);
    waves.filter(|(_, writes)| writes.is_some()).flat_map(|(keys, _)| keys).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_later_waves_write_is_to_come() {
        let key = |name: &str| ObjectKey::new("", "ConfigMap", Some("web"), name);
        let course = super::super::course::Course {
            state: crate::rollout::State::start(Digest::from("d")),
            waves: vec![vec![key("a")], vec![key("b")], vec![key("c")], vec![key("d")]],
            writes: vec![Some(0), Some(1), None, Some(2)],
            orders: Vec::new(),
        };
        let rollout = Rollout::new(course, None, Vec::new(), Vec::new());
        assert_eq!(to_come(&rollout, 0), BTreeSet::from([&key("b"), &key("d")]));
        assert_eq!(to_come(&rollout, 3), BTreeSet::new());
    }
}
