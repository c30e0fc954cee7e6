//! Who else works on the objects: autoscalers, and those who set a field again whenever it is put back.

use std::collections::BTreeMap;

use super::chance::{Chance, Millis};
use crate::object::ObjectKey;

#[derive(Default)]
pub struct Others {
    /// Whose replicas an autoscaler sets, and since when.
    pub scaled: BTreeMap<ObjectKey, Millis>,
    /// Who fights over which object, and until when.
    fights: BTreeMap<ObjectKey, Millis>,
    /// What they do next.
    coming: Vec<(Millis, Work)>,
}

/// What somebody else does.
#[derive(Clone)]
pub enum Work {
    Edit(ObjectKey),
    Scale(ObjectKey),
}

impl Others {
    /// Somebody begins to fight over an object.
    pub fn fight(&mut self, key: &ObjectKey, until: Millis, now: Millis) {
        self.fights.insert(key.clone(), until);
        self.coming.push((now, Work::Edit(key.clone())));
    }

    /// Takes that we wrote an object, and whether its replicas with it.
    pub fn notice(&mut self, key: &ObjectKey, replicas: bool, chance: &mut Chance) {
        if self.fights.get(key).is_some_and(|until| *until > chance.now) {
            self.coming.push((chance.now + chance.between(100, 3000), Work::Edit(key.clone())));
        }
        if replicas && self.scaled.contains_key(key) {
            self.coming.push((chance.now + chance.between(100, 15_000), Work::Scale(key.clone())));
        }
    }

    pub fn next(&self) -> Option<Millis> {
        self.coming.iter().map(|(at, _)| *at).min()
    }

    pub fn due(&mut self, now: Millis) -> Vec<Work> {
        if self.coming.is_empty() {
            return Vec::new();
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.coming).into_iter().partition(|(at, _)| *at <= now);
        self.coming = later;
        let still = |work: &Work| match work {
            Work::Edit(_) => true,
            Work::Scale(key) => self.scaled.contains_key(key),
        };
        due.into_iter().map(|(_, work)| work).filter(still).collect()
    }
}
