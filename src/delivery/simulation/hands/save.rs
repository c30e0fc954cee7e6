//! Has something remembered.

use std::sync::Arc;

use super::{Reach, unreachable};
use crate::delivery::Failure;
use crate::delivery::simulation::chance::{Luck, Millis, Storm};
use crate::state::Change;

pub struct Save {
    changes: Vec<Change>,
    sent: Option<Luck>,
    /// How many processes had read what is remembered when it was sent.
    readers: u64,
    done: bool,
}

impl Save {
    pub fn new(changes: Vec<Change>) -> Self {
        Self { changes, sent: None, readers: 0, done: false }
    }

    /// Goes on; says when again, or what came of it.
    pub fn go_on(&mut self, reach: &mut Reach) -> Result<Result<(), Failure>, Millis> {
        if self.changes.is_empty() {
            return Ok(Ok(()));
        }
        let Some(luck) = self.sent else {
            let notes = std::mem::take(reach.notes);
            if !notes.is_empty() {
                self.changes.insert(0, Change::Wrote(notes));
            }
            let luck = if reach.chance.is(Storm::Unsaved) { Luck::Failed } else { reach.chance.luck() };
            (self.sent, self.readers) = (Some(luck), reach.store.readers);
            return Err(reach.chance.way());
        };
        if !self.done {
            self.done = true;
            if luck != Luck::Failed {
                reach.store.save(&self.changes);
            }
            return Err(reach.chance.way());
        }
        self.sent = None;
        self.done = false;
        match luck {
            Luck::Good => {
                reach.view.memory = Arc::new(reach.store.memory.clone());
                Ok(Ok(()))
            }
            Luck::Failed | Luck::Lost => {
                if let Some(Change::Wrote(notes)) = self.changes.first() {
                    reach.notes.extend(notes.iter().cloned());
                }
                Ok(Err(unreachable()))
            }
        }
    }

    pub fn arrive(&mut self, reach: &mut Reach) {
        let is_newest = self.readers == reach.store.readers;
        if self.sent.is_some_and(|luck| luck != Luck::Failed) && !self.done && is_newest {
            reach.store.save(&self.changes);
        }
    }
}
