//! The shared place: one register with compare-and-swap, which remembers all it ever held, so that it can tell old states.

use crate::region::{Answer, Call, RegionRecord, Stored, Version};

#[derive(Debug, Default)]
pub struct Place {
    history: Vec<RegionRecord>,
}

impl Place {
    pub fn now(&self) -> Option<&RegionRecord> {
        self.history.last()
    }

    /// Does what it is asked. A read may tell the state before the last so many changes.
    pub fn serve(&mut self, call: Call, behind: usize) -> Answer {
        match call {
            Call::Read => {
                let upto = self.history.len().saturating_sub(behind);
                Answer::Read(upto.checked_sub(1).map(|n| self.stored(n)))
            }
            Call::Swap { from, record } => {
                let current = self.history.len().checked_sub(1).map(version);
                if from != current {
                    return Answer::Conflict;
                }
                self.history.push(record);
                Answer::Swapped(version(self.history.len() - 1))
            }
        }
    }

    fn stored(&self, n: usize) -> Stored {
        Stored { record: self.history[n].clone(), version: version(n) }
    }
}

fn version(n: usize) -> Version {
    Version::new(&n.to_string())
}
