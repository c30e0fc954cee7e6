//! The waves that a rollout goes through, and where in them it goes on after it was broken off.
//!
//! A plan holds what is still to be written. Of a rollout that was under way, what was written already is waited for as
//! well, in its place: so a restart, or a new plan on the way, opens no gate unseen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{App, Doing};
use crate::object::{Digest, ObjectKey};
use crate::plan::{CheckedPlan, WantedApp, WaveOrder, order};
use crate::rollout::{Phase, Purpose, State};
use crate::state::Rolling;

pub(in crate::delivery) struct Course {
    pub(in crate::delivery) state: State,
    /// What each wave changes: what its gate asks.
    pub(in crate::delivery) waves: Vec<Vec<ObjectKey>>,
    /// Which wave of the plan each one writes; none where all of it was written before.
    pub(in crate::delivery) writes: Vec<Option<usize>>,
    /// The place of each wave among all; none where they have none.
    pub(in crate::delivery) orders: Vec<WaveOrder>,
}

impl Course {
    /// From the first wave of a plan.
    fn fresh(purpose: Purpose, plan: &CheckedPlan) -> Self {
        let keys = |n: usize| plan.waves()[n].steps().iter().map(|step| step.wanted().key.clone()).collect();
        let waves = 0..plan.waves().len();
        let orders = plan.waves().iter().map(|wave| wave.order).collect();
        let state = begin(purpose, plan);
        Self { state, waves: waves.clone().map(keys).collect(), writes: waves.map(Some).collect(), orders }
    }

    /// The same, where what was written before passed no gates yet: it has to pass those of this one.
    fn with_unproven(
        purpose: Purpose,
        plan: &CheckedPlan,
        wanted: &WantedApp,
        is_unproven: impl Fn(&ObjectKey) -> bool,
    ) -> Option<Self> {
        if !wanted.objects.iter().any(|object| is_unproven(&object.key)) {
            return None;
        }
        Self::merged(begin(purpose, plan), wanted, Some(plan), is_unproven)
    }

    /// The waves of a plan, and in their places what was written before.
    fn merged(
        state: State,
        wanted: &WantedApp,
        plan: Option<&CheckedPlan>,
        written: impl Fn(&ObjectKey) -> bool,
    ) -> Option<Self> {
        let orders = order(&wanted.objects, &wanted.needed).ok()?;
        let mut waves: BTreeMap<WaveOrder, (BTreeSet<ObjectKey>, Option<usize>)> = BTreeMap::new();
        for (key, order) in orders.iter().filter(|(key, _)| written(key)) {
            waves.entry(*order).or_default().0.insert(key.clone());
        }
        for (n, wave) in plan.iter().flat_map(|plan| plan.waves()).enumerate() {
            for step in wave.steps() {
                let wave = waves.entry(*orders.get(&step.wanted().key)?).or_default();
                wave.0.insert(step.wanted().key.clone());
                wave.1 = Some(n);
            }
        }
        let orders = waves.keys().copied().collect();
        let (waves, writes): (Vec<Vec<ObjectKey>>, Vec<Option<usize>>) =
            waves.into_values().map(|(keys, writes)| (keys.into_iter().collect(), writes)).unzip();
        Some(Self { state, waves, writes, orders })
    }

    /// Of what is all written already: one wave, which is only judged.
    pub(in crate::delivery) fn written(state: State, wanted: &WantedApp) -> Self {
        let keys = wanted.objects.iter().map(|object| object.key.clone()).collect();
        Self { state, waves: vec![keys], writes: vec![None], orders: Vec::new() }
    }

    /// From where it was broken off, or from the first wave that is to be written anew. `None` where nothing is left of it.
    pub(in crate::delivery) fn resumed(
        rolling: Rolling,
        wanted: &WantedApp,
        plan: Option<&CheckedPlan>,
        now: Timestamp,
    ) -> Option<Self> {
        let changed = rolling.changed.as_ref();
        let all = |key: &ObjectKey| changed.is_none_or(|changed| changed.contains(key));
        let Self { state, waves, writes, orders } = Self::merged(rolling.state, wanted, plan, all)?;
        let last = waves.len().checked_sub(1)?;
        let (reached, since) = match state.phase {
            Phase::Write { wave } | Phase::Hook { wave } => (wave, now),
            Phase::Gate { wave, since, .. } => (wave, since),
            Phase::Settle { wave, .. } | Phase::Halted { wave, .. } => (wave, now),
            Phase::Done => (last, now),
        };
        let reached = reached.min(last);
        let phase = match writes.iter().position(Option::is_some) {
            Some(first) if first <= reached => Phase::Write { wave: first },
            _ => Phase::Gate { wave: reached, since, failing_since: None },
        };
        Some(Self { state: State { phase, ..state }, waves, writes, orders })
    }
}

impl App {
    /// The way through a plan. `remembers` says whether what passed its gates is known after a restart: of an app of which
    /// nothing is, as of one that left git and came back, nothing is taken for proven.
    pub(in crate::delivery) fn course(
        &mut self,
        plan: &CheckedPlan,
        remembers: bool,
        now: Timestamp,
    ) -> Course {
        let fresh = |app: &Self| {
            let nothing_known = remembers && app.runs.good().is_none();
            let is_unproven = |key: &ObjectKey| nothing_known || app.runs.unproven.contains(key);
            let purpose = app.purpose();
            let merged =
                app.target().and_then(|target| Course::with_unproven(purpose, plan, target, is_unproven));
            merged.unwrap_or_else(|| Course::fresh(purpose, plan))
        };
        let Some(rolling) = self.take_broken_off(plan.digest()) else { return fresh(self) };
        let Some(wanted) = self.target() else { return fresh(self) };
        Course::resumed(rolling, wanted, Some(plan), now).unwrap_or_else(|| fresh(self))
    }

    /// What is known of a rollout to this digest that was broken off.
    pub(in crate::delivery) fn take_broken_off(&mut self, digest: &Digest) -> Option<Rolling> {
        let purpose = self.purpose();
        let is_this = |rolling: &Rolling| rolling.state.digest == *digest && rolling.state.purpose == purpose;
        let rolling = self.runs.broken_off.take()?;
        // What it changed is unproven until it arrives, and what it does not want after that.
        self.runs.unproven.extend(rolling.changed.iter().flatten().cloned());
        is_this(&rolling).then_some(rolling)
    }

    /// Breaks a rollout off, to go on with a new plan.
    pub(in crate::delivery) fn break_off(&mut self) {
        if let Doing::Rolling(rollout) = std::mem::replace(&mut self.doing, Doing::Idle) {
            let phase = rollout.state.phase.clone();
            let rolling = rollout.rolling(phase, self.log.commit(), &self.runs.unproven);
            self.runs.broken_off = Some(self.with_secrets(rolling));
        }
    }

    /// Gives up a rollout for another. What it wrote and did not see through its gates is the other's to judge.
    pub(in crate::delivery) fn give_up(&mut self) {
        if let Doing::Rolling(rollout) = std::mem::replace(&mut self.doing, Doing::Idle) {
            let before = self.runs.unproven.len();
            self.runs.unproven.extend(rollout.written().cloned());
            if self.runs.unproven.len() > before {
                self.runs.effective = None; // Nothing runs whole any more.
            }
        }
    }

    /// Forgets a rollout that was broken off, where it is not to this digest. What it changed is still to be judged.
    pub(in crate::delivery) fn forget_broken_off(&mut self, target: Option<&Digest>) {
        let other = self.runs.broken_off.take_if(|rolling| Some(&rolling.state.digest) != target);
        let Some(Rolling { changed, .. }) = other else { return };
        let all = || self.target().into_iter().flat_map(|wanted| &wanted.objects);
        let changed = changed.unwrap_or_else(|| all().map(|object| object.key.clone()).collect());
        self.runs.unproven.extend(changed);
    }
}

/// Where a rollout of a plan begins.
fn begin(purpose: Purpose, plan: &CheckedPlan) -> State {
    match purpose {
        Purpose::Forward => State::start(plan.digest().clone()),
        Purpose::Back => State::back(plan.digest().clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::object::{AppName, Gvk, Place, TreePath};
    use crate::plan::Wanted;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// A ConfigMap and a Deployment: two waves.
    fn app() -> WantedApp {
        let object = |group: &str, kind: &str| {
            let key = ObjectKey::new(group, kind, Some("web"), "web");
            let place = Place::at(TreePath::new("base/all.yaml").unwrap(), 1, 1);
            let body = json!({"metadata": {"name": "web"}});
            let gvk = Gvk::new(group, "v1", kind);
            Arc::new(Wanted::stored(key, gvk, place, "o".into(), 0, Vec::new(), body).unwrap())
        };
        let objects = vec![object("", "ConfigMap"), object("apps", "Deployment")];
        WantedApp::of_objects(AppName::new("web").unwrap(), "d".into(), objects)
    }

    fn rolling(phase: Phase, changed: Option<BTreeSet<ObjectKey>>) -> Rolling {
        Rolling {
            state: State { digest: Digest::from("d"), purpose: Purpose::Forward, phase },
            changed,
            commit: None,
            secrets: None,
        }
    }

    #[test]
    fn a_gate_that_was_waited_at_is_waited_at_again_since_the_same_time() {
        let since = now() - SignedDuration::from_secs(30);
        let gate = Phase::Gate { wave: 0, since, failing_since: None };
        let course = Course::resumed(rolling(gate.clone(), None), &app(), None, now()).unwrap();
        assert_eq!(course.state.phase, gate);
        assert_eq!(course.waves.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(course.writes, [None, None]);
    }

    #[test]
    fn only_what_it_changed_is_waited_for() {
        let app = app();
        let changed = BTreeSet::from([app.objects[1].key.clone()]);
        let written = Phase::Write { wave: 0 };
        let course = Course::resumed(rolling(written, Some(changed.clone())), &app, None, now()).unwrap();
        assert_eq!(course.waves, [changed.into_iter().collect::<Vec<_>>()]);
        assert_eq!(course.state.phase, Phase::Gate { wave: 0, since: now(), failing_since: None });
        let nothing = Some(BTreeSet::new());
        assert!(Course::resumed(rolling(Phase::Done, nothing), &app, None, now()).is_none());
    }
}
