//! What a history would keep of drift, by the facts that are told.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::delivery::{Fact, What};
use crate::drift::{Observation, records};
use crate::object::{DriftAction, DriftRecord, EnvironmentName, ObjectKey};

#[derive(Default)]
pub struct Records {
    all: Vec<DriftRecord>,
    /// What was open when a process died, by its place: what came of it since may have been told to nobody.
    cut_off: BTreeSet<usize>,
    /// So many ids were given.
    ids: u128,
}

impl Records {
    /// Takes a fact, as the history would.
    pub fn take(&mut self, fact: &Fact, at: Timestamp) {
        let (objects, action, over) = match &fact.what {
            What::Drifted { objects } => (objects, DriftAction::Healed, None),
            What::DriftReported { objects } => (objects, DriftAction::Reported, None),
            What::DriftOver { objects, since, end } => (objects, end.action(), Some((*since, *end))),
            _ => return,
        };
        let environment = EnvironmentName::new(super::content::ENVIRONMENT).expect("it is a name");
        let seen = Observation { environment, app: fact.app.clone(), revision: None, action, at, over };
        let mut ids = self.ids;
        let mut chance = || {
            ids += 1;
            ids
        };
        for record in records(objects, &seen, &mut chance) {
            match self.all.iter().rposition(|known| known.continues_with(&record)) {
                Some(place) => {
                    self.all[place].absorb(record);
                    self.cut_off.remove(&place);
                }
                None => self.all.push(record),
            }
        }
        self.ids = ids;
    }

    /// The process that told them dies.
    pub fn dies(&mut self) {
        let open = self.all.iter().enumerate().filter(|(_, record)| record.closed.is_none());
        self.cut_off.extend(open.map(|(place, _)| place));
    }

    /// What is open of an object, but for what nobody may have been told of.
    pub fn open(&self, key: &ObjectKey) -> Vec<&DriftRecord> {
        let of = |(place, record): &(usize, &DriftRecord)| {
            record.object == *key && record.closed.is_none() && !self.cut_off.contains(place)
        };
        self.all.iter().enumerate().filter(of).map(|(_, record)| record).collect()
    }
}
