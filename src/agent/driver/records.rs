//! What became of the rollouts of an environment, for whoever keeps it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{App, Driver, Finished};
use crate::agent::state_store::StateStore;
use crate::api::AppStatus;
use crate::object::Record;

/// A status shows so many records of one app,
const SHOWN: usize = 10;
/// and so many of an environment: it is read and written often.
const ALL_SHOWN: usize = 200;

/// When what could not be remembered is tried again.
const RECORD_AGAIN: SignedDuration = SignedDuration::from_secs(10);

impl Driver {
    pub fn statuses(&self) -> Vec<AppStatus> {
        let shown = (ALL_SHOWN / self.apps.len().max(1)).clamp(1, SHOWN);
        let status = |app: &App| {
            let mut status = app.status();
            if let Some(keeper) = &self.hands.keeper {
                let recent = keeper.recent(&status.name);
                status.history = recent.iter().take(shown).map(Into::into).collect();
            }
            status
        };
        self.apps.values().map(status).collect()
    }

    /// What ended since the last time, for the history.
    pub fn take_ended(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.ended)
    }

    /// Takes what ended from the apps.
    pub(super) fn take_records(&mut self, keeper: &StateStore) {
        for app in self.apps.values_mut() {
            for record in app.take_records() {
                keeper.record(record.clone());
                self.ended.push(record);
            }
        }
    }

    /// Has what ended remembered by itself, where nothing else is saved that takes it along.
    pub(super) fn keep_records(&mut self, keeper: &Arc<StateStore>, now: Timestamp) -> Option<Timestamp> {
        let others = !self.unkept.is_empty() || !self.quarantining.is_empty();
        if others || self.recording || !keeper.has_records() {
            return None;
        }
        if now < self.record_due {
            return Some(self.record_due);
        }
        self.recording = true;
        let keeper = keeper.clone();
        self.under_way.spawn(async move {
            Finished::Recorded(keeper.tell().await.map_err(|error| crate::cluster::chain(&error)))
        });
        None
    }

    pub(super) fn recorded(&mut self, result: Result<(), String>, now: Timestamp) {
        self.recording = false;
        if let Err(why) = result {
            self.record_due = now + RECORD_AGAIN;
            tracing::warn!(why, "what became of a rollout cannot be remembered yet");
        }
    }
}
