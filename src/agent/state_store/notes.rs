use std::collections::VecDeque;

use crate::object::{AppName, Live, RolloutRecord};
use crate::plan::Known;
use crate::state::{Change, Ledger};

/// Records that wait to be saved while they cannot be; the oldest give way.
const RECORDS_WAIT: usize = 1_000;

/// Changes that wait for something to be saved with.
#[derive(Default)]
pub(super) struct Notes {
    /// The changes, numbered as they came.
    changes: VecDeque<(u64, Change)>,
    last: u64,
    /// The uids among them, by object.
    uids: Ledger,
    records: usize,
}

/// Copies of notes, to be saved.
pub(super) struct Taken {
    pub changes: Vec<Change>,
    last: u64,
}

impl Notes {
    pub fn add(&mut self, change: Change) {
        match &change {
            Change::Wrote(uids) => uids.iter().for_each(|(key, uid)| self.uids.record(key, uid)),
            Change::Ended(_) => self.records += 1,
            _ => {}
        }
        self.last += 1;
        self.changes.push_back((self.last, change));
        if self.records > RECORDS_WAIT
            && let Some(oldest) = self.changes.iter().position(|(_, change)| is_record(change))
        {
            self.changes.remove(oldest);
            self.records -= 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Says what is known of an object by a uid that waits, if one does.
    pub fn knows(&self, live: &Live) -> Option<Known> {
        self.uids.get(&live.key).map(|_| self.uids.knows(live))
    }

    /// Returns the waiting records of an app, the newest first.
    pub fn records(&self, app: &AppName) -> Vec<RolloutRecord> {
        let ended = self.changes.iter().rev().filter_map(|(_, change)| match change {
            Change::Ended(record) if record.app == *app => Some(record.clone()),
            _ => None,
        });
        ended.collect()
    }

    pub fn take(&self) -> Taken {
        Taken { changes: self.changes.iter().map(|(_, change)| change.clone()).collect(), last: self.last }
    }

    /// Drops the notes that were saved.
    pub fn saved(&mut self, taken: &Taken) {
        let count = self.changes.partition_point(|(number, _)| *number <= taken.last);
        self.changes.drain(..count);
        self.records = self.changes.iter().filter(|(_, change)| is_record(change)).count();
        if !self.uids.is_empty() {
            self.uids = Ledger::default();
        }
        for (_, change) in &self.changes {
            if let Change::Wrote(uids) = change {
                uids.iter().for_each(|(key, uid)| self.uids.record(key, uid));
            }
        }
    }
}

fn is_record(change: &Change) -> bool {
    matches!(change, Change::Ended(_))
}
