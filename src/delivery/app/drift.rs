//! What others changed of an app that is where git wants it: what is put back, when, and what is told.
//!
//! A plan of such an app says what is not as it was applied. Of it stays what is to be put back now; what the rules only
//! report, and what has been put back too often to be put back again so soon, is taken out, and stays as others left it.

mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::App;
use super::decide::View;
use super::repair::Repair;
use crate::api::{AppPhase, DriftPolicy};
use crate::delivery::action::Action;
use crate::delivery::app::decide::AppStep;
use crate::delivery::fact::{What, some};
use crate::drift::{Drifted, Patience, Rules};
use crate::object::field_path::FieldPath;
use crate::object::{Digest, ObjectKey, Owned};
use crate::plan::{CheckedPlan, Plan, Reason, Step as PlanStep, Wanted, WantedApp, Written};

/// What is known of what others changed.
#[derive(Debug, Default)]
pub(in crate::delivery) struct DriftState {
    pub rules: Arc<Rules>,
    /// What was put back on the way of a rollout.
    pub repair: Repair,
    patience: Patience,
    /// What is being put back, and since when that was known.
    healing: Vec<(Drifted, Timestamp)>,
    /// What stays as others left it, because the rules say so.
    reported: BTreeMap<ObjectKey, Reported>,
    /// What is left alone because a person asked for it, and their words.
    held: BTreeMap<ObjectKey, Stays>,
    /// What came back too often to be put back at once.
    waits: BTreeMap<ObjectKey, Stays>,
    /// What is not put back now: it is theirs by a rule, or it came back too often.
    left: BTreeSet<ObjectKey>,
    /// What the server showed to be as wanted, by what we held of it then, and by the rules under which it was asked.
    settled: BTreeMap<ObjectKey, (Digest, Option<Owned>, u64)>,
}

/// Fields that stay as others left them, by the words of a hold where it is one; the object itself where it is gone.
#[derive(Debug)]
struct Stays {
    fields: Vec<FieldPath>,
    since: Timestamp,
    words: Option<String>,
}

#[derive(Debug)]
struct Reported {
    wanted: Arc<Wanted>,
    /// Which fields; none where it is gone.
    fields: Vec<FieldPath>,
    /// Once it was looked at.
    seen: Option<Drifted>,
    since: Timestamp,
}

impl DriftState {
    /// Whether an object is not as git says it, and stays so for now.
    pub fn leaves(&self, key: &ObjectKey) -> bool {
        self.reported.contains_key(key) || self.left.contains(key) || self.held.contains_key(key)
    }

    /// Whether nothing of a step is to be put back now.
    pub fn is_left(&self, step: &PlanStep, now: Timestamp) -> bool {
        let Some(fields) = fields_of(&step.reason) else { return false };
        fields.iter().all(|field| self.sort(&step.wanted, field, now) != Sorted::Heal)
    }

    /// Whether these fields are only reported.
    pub fn is_reported(&self, wanted: &Wanted, fields: &[FieldPath], now: Timestamp) -> bool {
        fields.iter().all(|field| self.rules.judge(wanted, Some(field), now).policy == DriftPolicy::Report)
    }

    /// What is to be done about a field; about the object where it is all of it.
    fn sort(&self, wanted: &Wanted, field: &FieldPath, now: Timestamp) -> Sorted {
        let whole = field.0.is_empty();
        match self.rules.judge(wanted, Some(field).filter(|_| !whole), now).policy {
            DriftPolicy::Heal => match self.patience.due(&wanted.key, &field.to_string(), now) {
                None => Sorted::Heal,
                Some(due) => Sorted::Later(due),
            },
            DriftPolicy::Report => Sorted::Report,
            DriftPolicy::Ignore => Sorted::Ignore,
        }
    }
}

/// What is done about a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sorted {
    Heal,
    Later(Timestamp),
    Report,
    Ignore,
}

/// The fields that others changed by a step's reason, all of the object where it is gone; nothing where they did not.
fn fields_of(reason: &Reason) -> Option<Vec<FieldPath>> {
    match reason {
        Reason::Drifted { fields } => Some(fields.clone()),
        // Its mark was changed, or taken away with all that we held.
        Reason::Changed { .. } => Some(vec![FieldPath::of(&["metadata", "annotations"])]),
        Reason::Missing | Reason::NeverApplied => Some(vec![FieldPath::default()]),
        Reason::BeingDeleted | Reason::Unscaled | Reason::Shared { .. } => None,
    }
}

impl App {
    /// Takes other rules. What was left alone under the old ones is looked at anew.
    pub(in crate::delivery) fn set_drift_rules(&mut self, rules: &Arc<Rules>) {
        if self.drift.rules != *rules {
            self.drift.rules = rules.clone();
            self.drift.reported.clear();
        }
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

    /// Takes out of a plan what stays as others left it. Says when to look again.
    pub(in crate::delivery) fn leave_drift(&mut self, plan: &mut Plan, view: &View) -> Option<Timestamp> {
        for fight in self.drift.patience.forget_quiet(view.now) {
            self.tell(What::FightEnded(fight));
        }
        let name = self.name().clone();
        let drift = &mut self.drift;
        drift.left.clear();
        let before = (std::mem::take(&mut drift.held), std::mem::take(&mut drift.waits));
        let stays = |before: &BTreeMap<ObjectKey, Stays>, key: &ObjectKey, fields, words| {
            let since = before.get(key).map_or(view.now, |before| before.since);
            Stays { fields, since, words }
        };
        let mut again = drift.rules.next_end(view.now);
        let mut reported = BTreeMap::new();
        let rules = drift.rules.print(view.now);
        for wave in &mut plan.waves {
            wave.steps.retain_mut(|step| {
                let Some(fields) = fields_of(&step.reason) else { return true };
                let key = &step.wanted.key;
                let held = step.live.as_ref().and_then(|live| live.owned.clone());
                let is_settled = drift.settled.get(key).is_some_and(|(digest, owned, under)| {
                    *digest == step.wanted.digest && *owned == held && held.is_some() && *under == rules
                });
                let (mut heal, mut left, mut told) = (Vec::new(), Vec::new(), Vec::new());
                let hold = view.holds.iter().find(|hold| hold.covers(&name, key, view.now));
                if let Some(hold) = hold {
                    again = Some(again.map_or(hold.until, |at: Timestamp| at.min(hold.until)));
                    drift.held.insert(key.clone(), stays(&before.0, key, fields, Some(hold.to_string())));
                    return false;
                }
                let mut waits = Vec::new();
                for field in fields {
                    match drift.sort(&step.wanted, &field, view.now) {
                        Sorted::Heal => heal.push(field),
                        Sorted::Later(due) => {
                            again = Some(again.map_or(due, |at: Timestamp| at.min(due)));
                            waits.push(field.clone());
                            left.push(field);
                        }
                        Sorted::Report => {
                            told.push(field.clone());
                            left.push(field);
                        }
                        Sorted::Ignore => left.push(field),
                    }
                }
                if heal.is_empty() {
                    drift.left.insert(key.clone());
                }
                if !waits.is_empty() {
                    drift.waits.insert(key.clone(), stays(&before.1, key, waits, None));
                }
                if !told.is_empty() {
                    let fields = if step.reason == Reason::Missing { Vec::new() } else { told };
                    let known = drift.reported.remove(key).filter(|before| before.fields == fields);
                    let new =
                        || Reported { wanted: step.wanted.clone(), fields, seen: None, since: view.now };
                    reported.insert(key.clone(), known.unwrap_or_else(new));
                }
                if heal.is_empty() || is_settled {
                    return false;
                }
                if let Reason::Drifted { fields } = &mut step.reason
                    && !left.is_empty()
                {
                    step.withheld = step.withheld.iter().chain(&left).cloned().collect();
                    *fields = heal;
                }
                true
            });
        }
        plan.waves.retain(|wave| !wave.steps.is_empty());
        let over = std::mem::replace(&mut drift.reported, reported);
        for Reported { seen, since, .. } in over.into_values() {
            let objects: Vec<Drifted> = seen.into_iter().collect();
            if !objects.is_empty() {
                self.tell(What::DriftOver { objects, since, was_put_back: false });
            }
        }
        let drift = &self.drift;
        [again, drift.patience.next_quiet()].into_iter().flatten().min()
    }

    /// Has what is only reported looked at, once for each change.
    pub(in crate::delivery) fn look_at_reported(&self) -> Option<AppStep> {
        let unseen = self.drift.reported.values().filter(|reported| reported.seen.is_none());
        let objects: Vec<_> =
            unseen.map(|reported| (reported.wanted.clone(), reported.fields.clone())).collect();
        let phase = if self.is_ready() { AppPhase::Ready } else { AppPhase::Pending };
        (!objects.is_empty()).then_some(AppStep::Do { phase, action: Action::Inspect { objects } })
    }

    /// Takes what was seen of what is only reported.
    pub(in crate::delivery) fn inspected(&mut self, seen: Vec<Drifted>, now: Timestamp) {
        let mut news = Vec::new();
        for mut drifted in seen {
            self.add_rules(&mut drifted, now);
            let Some(reported) = self.drift.reported.get_mut(&drifted.key) else { continue };
            if reported.seen.is_none() {
                reported.seen = Some(drifted.clone());
                news.push(drifted);
            }
        }
        if !news.is_empty() {
            self.tell(What::DriftReported { objects: news });
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
        let keys: BTreeSet<&ObjectKey> = written.iter().map(|written| &written.wanted.key).collect();
        let (back, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.drift.healing).into_iter().partition(|(of, _)| keys.contains(&of.key));
        self.drift.healing = left;
        let Some(since) = back.iter().map(|(_, since)| *since).min() else { return };
        let objects = back.into_iter().map(|(object, _)| object).collect();
        self.tell(What::DriftOver { objects, since, was_put_back: true });
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
        self.drift.healing = objects.iter().map(|object| (object.clone(), now)).collect();
        self.tell(What::Drifted { objects });
        for fight in fights {
            self.tell(What::Fight(fight));
        }
    }

    /// What is not as git says it and stays so for now, for people.
    pub(in crate::delivery) fn drift_status(&self) -> Option<String> {
        let fights = self.drift.patience.fights().map(|fight| fight.to_string());
        let reported = self.drift.reported.values().filter_map(|reported| reported.seen.as_ref());
        let reported =
            reported.map(|drifted| format!("someone else changed {drifted}, which is only reported"));
        let held = self.drift.held.iter();
        let held = held.map(|(key, stays)| {
            format!(
                "someone else changed {key}, which is held {}",
                stays.words.as_deref().unwrap_or_default()
            )
        });
        let told: Vec<String> = fights.chain(reported).chain(held).collect();
        (!told.is_empty()).then(|| some(told))
    }
}
