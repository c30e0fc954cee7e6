//! What the writers of all regions write to, and what judges it: at most one region writes at a time, and epochs only rise.

use std::collections::BTreeMap;

use super::chance::Millis;
use crate::region::Epoch;

#[derive(Clone, Copy, Debug)]
struct Entry {
    region: usize,
    epoch: Epoch,
    /// When its writers have ended, as far as that is decided; nothing where they run on.
    end: Option<Millis>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// The last entry of each region.
    last: Vec<Entry>,
    highest: Epoch,
    /// The region that first wrote at each epoch.
    owners: BTreeMap<Epoch, usize>,
    pub starts: u64,
}

impl Ledger {
    /// Writers of a region write from now on, until then if nothing else is said.
    pub fn write(
        &mut self,
        region: usize,
        epoch: Epoch,
        now: Millis,
        end: Option<Millis>,
    ) -> Result<(), String> {
        for other in self.last.iter().filter(|entry| entry.region != region) {
            if other.end.is_none_or(|end| end > now) {
                return Err(format!(
                    "at {now} region {region} writes at epoch {epoch} while region {} writes at epoch {} until {:?}",
                    other.region, other.epoch, other.end
                ));
            }
        }
        if epoch < self.highest {
            return Err(format!(
                "at {now} region {region} writes at epoch {epoch}, after epoch {} was written at",
                self.highest
            ));
        }
        let owner = *self.owners.entry(epoch).or_insert(region);
        if owner != region {
            return Err(format!(
                "at {now} region {region} writes at epoch {epoch}, which was that of region {owner}"
            ));
        }
        self.highest = epoch;
        match self.last.iter_mut().find(|entry| entry.region == region) {
            Some(entry) => {
                self.starts += u64::from(entry.epoch != epoch);
                (entry.epoch, entry.end) = (epoch, end);
            }
            None => {
                self.starts += 1;
                self.last.push(Entry { region, epoch, end });
            }
        }
        Ok(())
    }

    /// Its writers end then.
    pub fn stop(&mut self, region: usize, at: Millis) {
        if let Some(entry) = self.last.iter_mut().find(|entry| entry.region == region) {
            entry.end = Some(entry.end.map_or(at, |end| end.min(at)));
        }
    }

    /// The region whose writers run, and at which epoch.
    pub fn writes(&self, now: Millis) -> Option<(usize, Epoch)> {
        let entry = self.last.iter().find(|entry| entry.end.is_none_or(|end| end > now))?;
        Some((entry.region, entry.epoch))
    }

    /// When the writers of a region have ended, if they have or will.
    pub fn end_of(&self, region: usize) -> Option<Millis> {
        self.last.iter().find(|entry| entry.region == region).map_or(Some(0), |entry| entry.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_sees_two_writers_and_epochs_that_go_back() {
        let mut ledger = Ledger::default();
        ledger.write(0, Epoch(1), 0, Some(100)).unwrap();
        assert!(ledger.write(1, Epoch(2), 99, None).is_err());
        ledger.write(1, Epoch(2), 100, None).unwrap();
        assert!(ledger.write(0, Epoch(3), 200, None).is_err());
        ledger.stop(1, 250);
        assert!(ledger.write(0, Epoch(1), 300, None).is_err());
        ledger.write(0, Epoch(3), 300, None).unwrap();
        assert_eq!(ledger.writes(301), Some((0, Epoch(3))));
    }
}
