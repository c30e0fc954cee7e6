//! What became of the rollouts of an environment, for whoever keeps it.

use std::sync::Arc;

use super::{App, Driver, Finished};
use crate::agent::keeper::Keeper;
use crate::api::AppStatus;
use crate::object::Record;

/// A status shows so many records of one app,
const SHOWN: usize = 10;
/// and so many of an environment: it is read and written often.
const ALL_SHOWN: usize = 200;

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

    /// Has what ended remembered: with what is remembered anyway, or by itself where that is nothing.
    pub(super) fn keep_records(&mut self, keeper: &Arc<Keeper>) {
        for app in self.apps.values_mut() {
            for record in app.take_records() {
                keeper.record(record.clone());
                self.ended.push(record);
            }
        }
        if keeper.has_records() && !self.recording && !self.ended.is_empty() {
            self.recording = true;
            let keeper = keeper.clone();
            self.under_way.spawn(async move {
                // What passed its gates, or failed, is saved in the same moment, and takes the records along.
                tokio::task::yield_now().await;
                Finished::Recorded(keeper.tell().await.map_err(|error| crate::cluster::chain(&error)))
            });
        }
    }

    pub(super) fn recorded(&mut self, result: Result<(), String>) {
        self.recording = false;
        if let Err(why) = result {
            tracing::warn!(why, "what became of a rollout cannot be remembered yet");
        }
    }
}
