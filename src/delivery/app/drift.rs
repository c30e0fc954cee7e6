//! What others changed of an app: what is put back, when, and what is told.
//!
//! A plan of an app that is where git wants it says what is not as it was applied. Of it stays what is to be put back now
//! (`leaving` says what is not). A rollout leaves out what is only reported of objects that it does not change.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::decide::{AppStep, View};
use super::extras::State;
use super::leaving::DriftState;
use super::reported::{Over, Reported};
use super::rolling::Rollout;
use super::{App, Doing};
use crate::api::{AppPhase, DriftPolicy};
use crate::delivery::action::Action;
use crate::delivery::fact::{What, some};
use crate::drift::{Decision, DriftEnd, Drifted, Rules};
use crate::object::ObjectKey;
use crate::object::field_path::FieldPath;
use crate::plan::{CheckedPlan, CheckedStep, Plan, Wanted, WantedApp, Written};

/// The steps that a wave of a rollout writes.
fn writes_of(rollout: &Rollout, wave: usize) -> Option<&[CheckedStep]> {
    let writes = rollout.writes.get(wave).copied().flatten()?;
    Some(rollout.plan.as_ref()?.waves().get(writes)?.steps())
}

impl App {
    /// Takes other rules. What is about to be written was planned under the old ones, and is planned anew.
    pub(in crate::delivery) fn set_drift_rules(&mut self, rules: &Arc<Rules>) {
        if self.drift.rules != *rules {
            self.drift.rules = rules.clone();
            self.stop_writing();
        }
    }

    /// Takes what people decided about what others changed.
    pub(in crate::delivery) fn hear_decisions(&mut self, decisions: &[Decision]) {
        let rules = Arc::new(self.drift.rules.deciding(decisions));
        self.set_drift_rules(&rules);
    }

    /// Takes that people hold other things than before: what is about to be written is planned anew.
    pub(in crate::delivery) fn hear_holds(&mut self) {
        self.stop_writing();
    }

    fn stop_writing(&mut self) {
        let is_writing = |phase| matches!(phase, AppPhase::Proving | AppPhase::Applying);
        if self.busy.as_ref().is_some_and(|busy| is_writing(busy.phase)) {
            self.stop();
        }
    }

    /// Whether what a wave would write is decided otherwise by now: by other rules, or because a person holds it.
    pub(in crate::delivery) fn is_overruled(&self, wanted: &WantedApp, wave: usize, view: &View) -> bool {
        let Doing::Rolling(rollout) = &self.doing else { return false };
        let Some(steps) = writes_of(rollout, wave) else { return false };
        let at_rest = self.is_where_it_goes(wanted);
        let is_held = |step: &CheckedStep| {
            self.drift.is_of_others(step.reason(), step.live(), at_rest)
                && view.held(&wanted.app, &step.wanted().key).is_some()
        };
        self.drift.is_planned_under_others(view.now) || steps.iter().any(is_held)
    }

    /// Whether a plan that was proven was made under other rules.
    pub(in crate::delivery) fn is_planned_under_others(&self, now: Timestamp) -> bool {
        self.drift.is_planned_under_others(now)
    }

    /// Whether what a plan finds was changed by others: what runs is what git wants, and passed its gates.
    pub(in crate::delivery) fn is_where_it_goes(&self, wanted: &WantedApp) -> bool {
        match &self.runs.effective {
            Some(effective) => *effective == wanted.digest && self.is_proven(&wanted.digest),
            // A process that begins knows what was good, and that nothing else was under way.
            None => {
                self.back().is_none()
                    && self.runs.is_good(&wanted.digest)
                    && self.runs.broken_off.is_none()
                    && self.runs.unproven.is_empty()
            }
        }
    }

    /// What others deleted that a rollout does not write, and that stays so by the rules or because a person holds it: no gate
    /// waits for what nobody makes.
    pub(in crate::delivery) fn left_gone(&self, view: &View, wanted: &WantedApp) -> BTreeSet<ObjectKey> {
        let Some(rollout) = self.rollout() else { return BTreeSet::new() };
        let gone: BTreeSet<&ObjectKey> =
            rollout.baseline.iter().filter(|key| view.world.live(key).is_none()).collect();
        let objects = wanted.objects.iter().filter(|object| gone.contains(&object.key));
        let stays = objects.filter(|object| {
            let policy = self.drift.rules.judge(object, None, view.now).policy;
            policy != DriftPolicy::Heal || view.held(self.name(), &object.key).is_some()
        });
        stays.map(|object| object.key.clone()).collect()
    }

    /// Takes out of a plan what stays as others left it. Says when to look again.
    pub(in crate::delivery) fn leave_drift(
        &mut self,
        plan: &mut Plan,
        at_rest: bool,
        view: &View,
    ) -> Option<Timestamp> {
        for fight in self.drift.patience.forget_quiet(view.now) {
            self.tell(What::FightEnded(fight));
        }
        let name = self.name().clone();
        let drift = &mut self.drift;
        drift.planned_under = drift.rules.print(view.now);
        drift.left.clear();
        let before = (std::mem::take(&mut drift.held), std::mem::take(&mut drift.waits));
        let mut again = drift.rules.next_end(view.now);
        let (mut reported, mut comes) = (Reported::new(), BTreeSet::new());
        for wave in &mut plan.waves {
            wave.steps.retain_mut(|step| {
                let stays = match at_rest {
                    true => drift.leave(step, (&name, &before), &mut reported, &mut again, view),
                    false => drift.leave_reported(step, (&name, &before), &mut reported, view),
                };
                if stays && !at_rest {
                    comes.insert(step.wanted.key.clone());
                }
                stays
            });
        }
        plan.waves.retain(|wave| !wave.steps.is_empty());
        let DriftState { reports, rules, held, .. } = drift;
        // What is held goes on, and what a rollout writes is over when it is written.
        let goes_on = |key: &ObjectKey| held.contains_key(key) || comes.contains(key);
        let end = |wanted: &Wanted, field: &FieldPath| {
            let field = Some(field).filter(|field| !field.0.is_empty());
            match rules.judge(wanted, field, view.now).policy {
                DriftPolicy::Report => DriftEnd::Gone,
                DriftPolicy::Heal | DriftPolicy::Ignore => DriftEnd::Ruled,
            }
        };
        let over = reports.take(reported, view.now, &goes_on, &end);
        self.tell_over(over);
        if at_rest {
            self.end_healing(plan, view.now);
            self.note_extras(view);
        }
        let drift = &self.drift;
        [again, drift.patience.next_quiet()].into_iter().flatten().min()
    }

    /// Notes of which objects is to be told what others add to them.
    fn note_extras(&mut self, view: &View) {
        let (rules, target) = (self.drift.rules.clone(), self.target().cloned());
        let objects = target.iter().flat_map(|target| &target.objects);
        let told = objects.filter(|wanted| rules.tells_extra(wanted, view.now));
        let live = told.filter_map(|wanted| {
            let live = view.world.live(&wanted.key).filter(|live| live.owned.is_some())?;
            Some((wanted.clone(), State::of(&live, rules.print(view.now))))
        });
        let over = self.drift.extras.take(live);
        self.tell_over(over);
    }

    /// Has what is only reported looked at, once for each change; or says when.
    pub(in crate::delivery) fn look_at_reported(
        &mut self,
        now: Timestamp,
    ) -> Result<AppStep, Option<Timestamp>> {
        let (objects, extras) = match (self.drift.reports.look(now), self.drift.extras.look(now)) {
            (Err(one), Err(other)) => return Err([one, other].into_iter().flatten().min()),
            (objects, extras) => (objects.unwrap_or_default(), extras.unwrap_or_default()),
        };
        let phase = if self.is_ready() { AppPhase::Ready } else { AppPhase::Pending };
        Ok(AppStep::Do { phase, action: Action::Inspect { objects, extras } })
    }

    /// Takes what was seen of what is only reported.
    pub(in crate::delivery) fn inspected(
        &mut self,
        mut seen: Vec<Drifted>,
        mut extras: Vec<Drifted>,
        now: Timestamp,
    ) {
        seen.iter_mut().for_each(|drifted| self.add_rules(drifted, now));
        extras.iter_mut().for_each(|drifted| self.leave_extras(drifted, now));
        let (mut news, mut over) = self.drift.reports.seen(seen, now);
        let (added, gone) = self.drift.extras.seen(extras, now);
        news.extend(added);
        over.extend(gone);
        self.tell_over(over);
        if !news.is_empty() {
            self.tell(What::DriftReported { objects: news });
        }
    }

    /// Leaves of what others added what a rule tells.
    fn leave_extras(&self, drifted: &mut Drifted, now: Timestamp) {
        let rules = &self.drift.rules;
        let target = self.target().cloned();
        let wanted =
            target.iter().flat_map(|target| &target.objects).find(|object| object.key == drifted.key);
        drifted.fields.retain_mut(|field| {
            let Some(wanted) = wanted else { return false };
            let verdict = rules.judge_extra(wanted, &field.path, now);
            field.rule = verdict.rule.and_then(|rule| rules.describe(rule));
            verdict.policy == DriftPolicy::Report
        });
    }

    /// Takes that its app is let go of: what others changed of it is nobody's to put back any more.
    pub(in crate::delivery) fn end_drift(&mut self) {
        let mut over =
            self.drift
                .reports
                .take(Reported::new(), Timestamp::UNIX_EPOCH, &|_| false, &|_, _| DriftEnd::Gone);
        over.extend(self.drift.extras.take(std::iter::empty()));
        let healing = std::mem::take(&mut self.drift.healing).into_iter();
        over.extend(healing.map(|(object, since)| Over { object, since, end: DriftEnd::Gone }));
        self.tell_over(over);
    }

    fn tell_over(&mut self, over: Vec<Over>) {
        for Over { object, since, end } in over {
            self.tell(What::DriftOver { objects: vec![object], since, end });
        }
    }

    /// Says what is over of what was about to be put back, where nothing is to be done about it any more.
    fn end_healing(&mut self, plan: &Plan, now: Timestamp) {
        if self.drift.healing.is_empty() {
            return;
        }
        let planned: BTreeSet<&ObjectKey> = plan.steps().map(|step| &step.wanted.key).collect();
        let healing = std::mem::take(&mut self.drift.healing);
        for (object, since) in healing {
            let target = self.target().cloned();
            let wanted =
                target.iter().flat_map(|target| &target.objects).find(|found| found.key == object.key);
            let is_theirs = |wanted: &Arc<Wanted>| {
                let fields = object.parts();
                fields.iter().any(|field| self.drift.verdict(wanted, &field.path, now) != DriftPolicy::Heal)
            };
            let end = match wanted {
                Some(wanted) if is_theirs(wanted) => DriftEnd::Ruled,
                // What waits is put back later.
                Some(_) if planned.contains(&object.key) || self.drift.is_put_off(&object.key) => {
                    self.drift.healing.push((object, since));
                    continue;
                }
                // It was written, and the answer was lost.
                Some(_) => DriftEnd::PutBack,
                None => DriftEnd::Gone,
            };
            self.tell_over(vec![Over { object, since, end }]);
        }
    }

    /// Keeps what the server showed to be as wanted, so that it is not asked about again.
    pub(in crate::delivery) fn note_settled(&mut self, plan: &CheckedPlan, now: Timestamp) {
        let rules = self.drift.rules.print(now);
        for (wanted, live) in plan.settled() {
            let owned = live.as_ref().and_then(|live| live.owned.clone());
            self.drift.settled.insert(wanted.key.clone(), (wanted.digest.clone(), owned, rules));
        }
    }

    /// Adds what a rule says of each field.
    fn add_rules(&self, drifted: &mut Drifted, now: Timestamp) {
        let Some(target) = self.target() else { return };
        let Some(wanted) = target.objects.iter().find(|object| object.key == drifted.key) else { return };
        for field in &mut drifted.fields {
            let rule = self.drift.rules.judge(wanted, Some(&field.path), now).rule;
            field.rule = rule.and_then(|rule| self.drift.rules.describe(rule));
        }
    }

    /// Takes that objects were written, and with them what others had changed.
    pub(in crate::delivery) fn note_put_back(&mut self, written: &[Written]) {
        let over = self.drift.reports.written(written);
        self.tell_over(over);
        let keys: BTreeSet<&ObjectKey> = written.iter().map(|written| &written.wanted.key).collect();
        let (back, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.drift.healing).into_iter().partition(|(of, _)| keys.contains(&of.key));
        self.drift.healing = left;
        let Some(since) = back.iter().map(|(_, since)| *since).min() else { return };
        let objects = back.into_iter().map(|(object, _)| object).collect();
        self.tell(What::DriftOver { objects, since, end: DriftEnd::PutBack });
    }

    /// Says what is put back that others changed, and with whom that is a fight.
    pub(in crate::delivery) fn tell_drifted(&mut self, objects: Vec<Drifted>, at_rest: bool, now: Timestamp) {
        let mut fights = Vec::new();
        for drifted in objects.iter().filter(|_| at_rest) {
            let patience = &mut self.drift.patience;
            if drifted.is_gone() {
                fights.extend(patience.note_healed(&drifted.key, "", None, now));
            }
            for field in &drifted.fields {
                let manager = field.by.first().map(|holder| holder.manager.clone());
                fights.extend(patience.note_healed(&drifted.key, &field.path.to_string(), manager, now));
            }
        }
        for object in &objects {
            let healing = &mut self.drift.healing;
            let known = healing.iter().position(|(known, _)| known.key == object.key);
            let known = known.map(|at| healing.swap_remove(at));
            let since = known.as_ref().map_or(now, |(_, since)| *since);
            healing.push((object.clone(), since));
            // What was about to be put back and could not be may be another's by now.
            let left = known.and_then(|(before, since)| Some((before.but(object)?, since)));
            let end = DriftEnd::Replaced;
            self.tell_over(left.into_iter().map(|(object, since)| Over { object, since, end }).collect());
        }
        self.tell(What::Drifted { objects });
        for fight in fights {
            self.tell(What::Fight(fight));
        }
    }

    /// What is not as git says it and stays so for now, for people.
    pub(in crate::delivery) fn drift_status(&self) -> Option<String> {
        let fights = self.drift.patience.fights().map(|fight| fight.to_string());
        let reported = self.drift.reports.going();
        let reported =
            reported.map(|drifted| format!("someone else changed {drifted}, which is only reported"));
        let held = self.drift.held.iter();
        let held = held.map(|(key, stays)| {
            let words = stays.words.as_deref().unwrap_or_default();
            format!("someone else changed {key}, which is held {words}")
        });
        let extras = self.drift.extras.open();
        let extras =
            extras.map(|(drifted, _)| format!("someone else added to {drifted}, which is only reported"));
        let told: Vec<String> = fights.chain(reported).chain(extras).chain(held).collect();
        (!told.is_empty()).then(|| some(told))
    }
}
