//! What of an app is not as git says now, for reports.

use super::App;
use super::leaving::DriftState;
use crate::drift::{Drifted, Fight, OpenDrift};
use crate::object::field_path::FieldPath;
use crate::object::{DriftAction, ObjectKey};

impl App {
    /// What is not as git says it now, and what is done about it.
    pub(in crate::delivery) fn open_drift(&self) -> impl Iterator<Item = OpenDrift> {
        let DriftState { healing, reports, extras, held, waits, .. } = &self.drift;
        let open = |drifted, action, since, hold| OpenDrift {
            app: self.name().clone(),
            drifted,
            action,
            since,
            hold,
        };
        let unseen = |key: &ObjectKey, fields: &[FieldPath]| match fields {
            [whole] if whole.0.is_empty() => Drifted::gone(key.clone()),
            fields => Drifted::unseen(key.clone(), None, fields),
        };
        // What was given up stands there until it is put back by another way.
        let is_at_work = self.busy.is_some();
        let healing = healing
            .iter()
            .filter(move |_| is_at_work)
            .map(move |(drifted, since)| open(drifted.clone(), DriftAction::Healed, *since, None));
        let reported =
            reports.open().map(move |(drifted, since)| open(drifted, DriftAction::Reported, since, None));
        let extras =
            extras.open().map(move |(drifted, since)| open(drifted, DriftAction::Reported, since, None));
        let held = held.iter().map(move |(key, stays)| {
            open(unseen(key, &stays.fields), DriftAction::Held, stays.since, stays.words.clone())
        });
        let waits = waits.iter().map(move |(key, stays)| {
            open(unseen(key, &stays.fields), DriftAction::Fought, stays.since, None)
        });
        healing.chain(reported).chain(extras).chain(held).chain(waits)
    }

    /// The fights that go on.
    pub(in crate::delivery) fn fights(&self) -> impl Iterator<Item = Fight> {
        self.drift.patience.fights()
    }
}
