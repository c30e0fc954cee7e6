//! Which fields that others changed are put back now, and which stay as others left them: by the rules, because a person
//! holds the object, or because it came back too often to be put back again so soon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::decide::View;
use super::extras::Extras;
use super::repair::Repair;
use super::reported::{Reported, Reports};
use crate::api::DriftPolicy;
use crate::drift::{Drifted, Patience, Rules};
use crate::object::field_path::FieldPath;
use crate::object::{AppName, Digest, Live, ObjectKey, Owned};
use crate::plan::{Reason, Step as PlanStep, Wanted};

/// What is known of what others changed.
#[derive(Debug, Default)]
pub(in crate::delivery) struct DriftState {
    pub rules: Arc<Rules>,
    /// Tells the rules under which it was planned last.
    pub planned_under: u64,
    /// What was put back on the way of a rollout.
    pub repair: Repair,
    pub patience: Patience,
    /// What is being put back, and since when that was known.
    pub healing: Vec<(Drifted, Timestamp)>,
    /// What stays as others left it, because the rules say so.
    pub reports: Reports,
    /// What others added, where somebody asks to be told.
    pub extras: Extras,
    /// What is left alone because a person asked for it, and their words.
    pub held: BTreeMap<ObjectKey, Stays>,
    /// What came back too often to be put back at once.
    pub waits: BTreeMap<ObjectKey, Stays>,
    /// What is not put back now: it is theirs by a rule, or it came back too often.
    pub left: BTreeSet<ObjectKey>,
    /// What the server showed to be as wanted, by what we held of it then, and by the rules under which it was asked.
    pub settled: BTreeMap<ObjectKey, (Digest, Option<Owned>, u64)>,
}

/// Fields that stay as others left them, by the words of a hold where it is one; the object itself where it is gone.
#[derive(Debug)]
pub(in crate::delivery) struct Stays {
    pub fields: Vec<FieldPath>,
    pub since: Timestamp,
    pub words: Option<String>,
}

/// What stayed when it was looked last: what was held, and what waited.
pub(in crate::delivery) type Stayed = (BTreeMap<ObjectKey, Stays>, BTreeMap<ObjectKey, Stays>);

/// The same fields as they stayed before, or from now on.
fn stays(
    before: &BTreeMap<ObjectKey, Stays>,
    key: &ObjectKey,
    fields: Vec<FieldPath>,
    words: Option<String>,
    now: Timestamp,
) -> Stays {
    let since = before.get(key).map_or(now, |before| before.since);
    Stays { fields, since, words }
}

impl DriftState {
    /// Whether an object is not as git says it, and stays so for now.
    pub fn leaves(&self, key: &ObjectKey) -> bool {
        self.reports.contains(key) || self.left.contains(key) || self.held.contains_key(key)
    }

    /// Whether others made a step necessary, where an app is at rest or in a rollout.
    pub fn is_of_others(&self, reason: &Reason, live: Option<&Live>, at_rest: bool) -> bool {
        matches!(reason, Reason::Drifted { .. }) || at_rest && fields_changed(reason, live).is_some()
    }

    /// Whether an object is to be put back later: a person holds it, or it came back too often.
    pub fn is_put_off(&self, key: &ObjectKey) -> bool {
        self.held.contains_key(key) || self.left.contains(key) && !self.reports.contains(key)
    }

    /// Whether nothing of a step is to be put back now.
    pub fn is_left(&self, step: &PlanStep, now: Timestamp) -> bool {
        let Some(fields) = fields_of(step) else { return false };
        fields.iter().all(|field| self.sort(&step.wanted, field, now) != Sorted::Heal)
    }

    /// Whether a rollout leaves a step to others: all of it is only reported.
    pub fn is_reported(&self, step: &PlanStep, now: Timestamp) -> bool {
        let fields = self.reported_in_rollout(step, now);
        fields.is_some_and(|(fields, heal)| !fields.is_empty() && heal.is_empty())
    }

    /// What a rollout leaves to others of a step, and what it writes; nothing where the step is of the rollout itself.
    fn reported_in_rollout(
        &self,
        step: &PlanStep,
        now: Timestamp,
    ) -> Option<(Vec<FieldPath>, Vec<FieldPath>)> {
        let fields = match &step.reason {
            Reason::Drifted { fields } => fields.clone(),
            Reason::Missing if self.reports.knows_gone(&step.wanted) => vec![FieldPath::default()],
            _ => return None,
        };
        let is_reported = |field: &FieldPath| self.verdict(&step.wanted, field, now) == DriftPolicy::Report;
        Some(fields.into_iter().partition(is_reported))
    }

    /// Takes out of a step what is not to be put back now. Says whether anything is left of it.
    pub fn leave(
        &mut self,
        step: &mut PlanStep,
        (app, before): (&AppName, &Stayed),
        reported: &mut Reported,
        again: &mut Option<Timestamp>,
        view: &View,
    ) -> bool {
        let Some(fields) = fields_of(step) else { return true };
        let key = &step.wanted.key;
        if let Some(hold) = view.held(app, key) {
            *again = sooner(*again, hold.until);
            let held = stays(&before.0, key, fields, Some(hold.to_string()), view.now);
            self.held.insert(key.clone(), held);
            return false;
        }
        let (mut heal, mut left, mut told, mut waits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for field in fields {
            match self.sort(&step.wanted, &field, view.now) {
                Sorted::Heal => heal.push(field),
                Sorted::Later(due) => {
                    *again = sooner(*again, due);
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
            self.left.insert(key.clone());
        }
        if !waits.is_empty() {
            self.waits.insert(key.clone(), stays(&before.1, key, waits, None, view.now));
        }
        if !told.is_empty() {
            reported.insert(key.clone(), (step.wanted.clone(), step.live.clone(), told));
        }
        let is_settled = self.is_settled(step, view.now);
        leave_fields(step, heal, &left) && !is_settled
    }

    /// Takes out of a step of a rollout what is only reported, or held. Says whether anything is left of it.
    pub fn leave_reported(
        &mut self,
        step: &mut PlanStep,
        (app, before): (&AppName, &Stayed),
        reported: &mut Reported,
        view: &View,
    ) -> bool {
        if let Reason::Drifted { fields } = &step.reason
            && let Some(hold) = view.held(app, &step.wanted.key)
        {
            let (key, words) = (&step.wanted.key, Some(hold.to_string()));
            self.held.insert(key.clone(), stays(&before.0, key, fields.clone(), words, view.now));
            return false;
        }
        let Some((told, heal)) = self.reported_in_rollout(step, view.now) else { return true };
        if told.is_empty() {
            return true;
        }
        let key = step.wanted.key.clone();
        if heal.is_empty() {
            self.left.insert(key.clone());
        }
        let stays = leave_fields(step, heal, &told);
        reported.insert(key, (step.wanted.clone(), step.live.clone(), told));
        stays
    }

    /// Whether the server showed an object to be as wanted, under the same rules, and nothing changed since.
    fn is_settled(&self, step: &PlanStep, now: Timestamp) -> bool {
        let held = step.live.as_ref().and_then(|live| live.owned.clone());
        let rules = self.rules.print(now);
        self.settled.get(&step.wanted.key).is_some_and(|(digest, owned, under)| {
            *digest == step.wanted.digest && *owned == held && held.is_some() && *under == rules
        })
    }

    /// What the rules say of a field; of the object where it is all of it.
    pub fn verdict(&self, wanted: &Wanted, field: &FieldPath, now: Timestamp) -> DriftPolicy {
        self.rules.judge(wanted, Some(field).filter(|field| !field.0.is_empty()), now).policy
    }

    /// What is to be done about a field; about the object where it is all of it.
    fn sort(&self, wanted: &Wanted, field: &FieldPath, now: Timestamp) -> Sorted {
        match self.verdict(wanted, field, now) {
            DriftPolicy::Heal => match self.patience.due(&wanted.key, &field.to_string(), now) {
                None => Sorted::Heal,
                Some(due) => Sorted::Later(due),
            },
            DriftPolicy::Report => Sorted::Report,
            DriftPolicy::Ignore => Sorted::Ignore,
        }
    }

    /// Whether the rules are others than those under which it was planned.
    pub fn is_planned_under_others(&self, now: Timestamp) -> bool {
        self.planned_under != self.rules.print(now)
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

fn fields_of(step: &PlanStep) -> Option<Vec<FieldPath>> {
    fields_changed(&step.reason, step.live.as_deref())
}

/// The fields that others changed by a step's reason, all of the object where it is gone; nothing where they did not.
fn fields_changed(reason: &Reason, live: Option<&Live>) -> Option<Vec<FieldPath>> {
    match reason {
        Reason::Drifted { fields } => Some(fields.clone()),
        // We wrote it ourselves: a write that was late.
        Reason::Changed { .. } if live.is_some_and(Live::owns_digest) => None,
        // Its mark was changed, or taken away with all that we held.
        Reason::Changed { .. } => Some(vec![FieldPath::of(&["metadata", "annotations"])]),
        Reason::Missing | Reason::NeverApplied => Some(vec![FieldPath::default()]),
        Reason::BeingDeleted | Reason::Unscaled | Reason::Shared { .. } => None,
    }
}

/// Has a step write these fields and not those. Says whether there are any.
fn leave_fields(step: &mut PlanStep, heal: Vec<FieldPath>, left: &[FieldPath]) -> bool {
    if heal.is_empty() {
        return false;
    }
    if let Reason::Drifted { fields } = &mut step.reason
        && !left.is_empty()
    {
        step.withheld = step.withheld.iter().chain(left).cloned().collect();
        *fields = heal;
    }
    true
}

/// The earlier of two moments.
fn sooner(again: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(again.map_or(at, |known| known.min(at)))
}
