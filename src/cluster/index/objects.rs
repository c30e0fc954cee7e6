//! What the watches told: the objects of each kind that is watched, and what is counted of them.
//!
//! Nothing here waits, asks, or runs what others wrote.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::census::Census;
use super::watched::Id;
use crate::api::names;
use crate::health::{Assessed, Health, Status};
use crate::object::{AppName, Digest, HOOK, Live, ObjectKey, Owned};
use crate::plan::{Inventory, Wanted, WantedKeys};

pub(super) struct Objects {
    /// The label whose value is the name of an object's environment.
    selector: &'static str,
    kinds: HashMap<Id, OfKind>,
    census: Census,
}

#[derive(Default)]
struct OfKind {
    objects: HashMap<ObjectKey, Assessed>,
    /// For an object whose dry run ended where it was although it does not look as wanted: what was wanted, and how it
    /// looked. Only the last one counts.
    settled: HashMap<ObjectKey, (Digest, Owned)>,
    /// Verdicts on objects that are still on their way here, by resource version.
    early: HashMap<ObjectKey, (Box<str>, Health)>,
}

/// What follows from a change.
#[derive(Default)]
pub(super) struct Change {
    /// The environments that have or had what changed.
    pub touched: HashSet<Bearer>,
    /// What is not kept any more, or never was.
    pub gone: Vec<Arc<Live>>,
}

impl Change {
    /// Nothing changed: this is not kept.
    pub fn none(live: Arc<Live>) -> Self {
        Self { gone: vec![live], ..Self::default() }
    }
}

impl Objects {
    pub fn new(selector: &'static str) -> Self {
        Self { selector, kinds: HashMap::new(), census: Census::default() }
    }

    /// Keeps what is told of this kind from now on.
    pub fn open(&mut self, id: &Id) {
        self.kinds.entry(id.clone()).or_default();
    }

    /// Forgets all that was told of this kind.
    pub fn close(&mut self, id: &Id) -> Change {
        let change = self.replace(id, HashMap::new());
        self.kinds.remove(id);
        change
    }

    /// Takes all that there is of a kind.
    pub fn replace(&mut self, id: &Id, mut listing: HashMap<ObjectKey, Assessed>) -> Change {
        let Some(kind) = self.kinds.get_mut(id) else {
            return Change { gone: listing.into_values().map(|new| new.live).collect(), ..Change::default() };
        };
        for (key, (version, health)) in std::mem::take(&mut kind.early) {
            if let Some(new) = listing.get_mut(&key).filter(|new| new.live.resource_version == version) {
                new.health = health;
            }
        }
        let mut touched: HashSet<Bearer> = HashSet::new();
        for old in kind.objects.values() {
            let same = listing.get(&old.live.key).is_some_and(|new| new.live == old.live);
            if !same {
                touched.extend(touch(self.selector, &old.live));
            }
        }
        touched.extend(listing.values().filter_map(|new| touch(self.selector, &new.live)));
        for old in kind.objects.values().filter(|old| !listing.contains_key(&old.live.key)) {
            self.census.note(Some((bearer(self.selector, &old.live), &*old.live)), None);
        }
        for (key, new) in &listing {
            let old = kind.objects.get(key);
            self.census.note(
                old.map(|old| (bearer(self.selector, &old.live), &*old.live)),
                Some((bearer(self.selector, &new.live), &new.live)),
            );
        }
        kind.settled.retain(|key, _| listing.contains_key(key));
        let old = std::mem::replace(&mut kind.objects, listing);
        Change { touched, gone: old.into_values().map(|old| old.live).collect() }
    }

    /// Takes one object as the watch tells it.
    pub fn put(&mut self, id: &Id, record: Assessed) -> Change {
        let Some(kind) = self.kinds.get_mut(id) else { return Change::none(record.live) };
        let old = kind.objects.get(&record.live.key);
        if old.is_some_and(|old| old.live.uid == record.live.uid && newer(&old.live, &record.live)) {
            return Change::none(record.live); // The watch is behind a write whose answer came before it.
        }
        self.insert(id, record)
    }

    /// Takes what a write answered. Until the watch brings the object, a changed one was not observed by its controller.
    pub fn wrote(&mut self, live: Arc<Live>) -> Change {
        let id = Id::of(&live.key);
        let Some(kind) = self.kinds.get(&id) else { return Change::none(live) };
        let old = kind.objects.get(&live.key);
        if old.is_some_and(|old| old.live.uid == live.uid && newer(&old.live, &live)) {
            return Change::none(live);
        }
        let unchanged = old.filter(|old| old.live.resource_version == live.resource_version);
        let health = match unchanged {
            Some(old) => old.health.clone(),
            None if id.is_bodyless() => Health::new(Status::Healthy, "Exists", "it exists"),
            None => Health::new(Status::Progressing, "JustWritten", "it was just written"),
        };
        self.insert(&id, Assessed { live, health })
    }

    /// Takes the verdict on an object as it was then. It may come before the object does.
    pub fn judged(&mut self, live: &Arc<Live>, health: Health) -> Change {
        let Some(kind) = self.kinds.get_mut(&Id::of(&live.key)) else { return Change::default() };
        match kind.objects.get_mut(&live.key) {
            Some(known) if known.live.resource_version == live.resource_version => {
                known.health = health;
                let touched = touch(self.selector, live).into_iter().collect();
                Change { touched, gone: Vec::new() }
            }
            Some(known) if known.live.uid == live.uid && newer(&known.live, live) => Change::default(),
            _ => {
                kind.early.insert(live.key.clone(), (live.resource_version.clone(), health));
                Change::default()
            }
        }
    }

    fn insert(&mut self, id: &Id, mut record: Assessed) -> Change {
        let Some(kind) = self.kinds.get_mut(id) else { return Change::none(record.live) };
        if let Some((version, health)) = kind.early.remove(&record.live.key)
            && version == record.live.resource_version
        {
            record.health = health;
        }
        let old = kind.objects.get(&record.live.key);
        self.census.note(
            old.map(|old| (bearer(self.selector, &old.live), &*old.live)),
            Some((bearer(self.selector, &record.live), &record.live)),
        );
        let mut touched: HashSet<Bearer> = touch(self.selector, &record.live).into_iter().collect();
        let old = kind.objects.insert(record.live.key.clone(), record);
        // Where the label changed, another environment has lost it.
        touched.extend(old.as_ref().and_then(|old| touch(self.selector, &old.live)));
        Change { touched, gone: old.into_iter().map(|old| old.live).collect() }
    }

    /// Takes that an object is gone.
    pub fn remove(&mut self, id: &Id, live: Arc<Live>) -> Change {
        let Some(kind) = self.kinds.get_mut(id) else { return Change::none(live) };
        if kind.objects.get(&live.key).is_none_or(|old| old.live.uid != live.uid) {
            return Change::none(live);
        }
        let Some(old) = kind.objects.remove(&live.key) else { return Change::none(live) };
        kind.settled.remove(&live.key);
        kind.early.remove(&live.key);
        kind.shrink();
        self.census.note(Some((bearer(self.selector, &old.live), &*old.live)), None);
        let touched = touch(self.selector, &old.live).into_iter().collect();
        Change { touched, gone: vec![old.live, live] }
    }

    pub fn get(&self, key: &ObjectKey) -> Option<&Assessed> {
        self.kinds.get(&Id::of(key))?.objects.get(key)
    }

    /// Remembers that a dry run of `wanted` ended where `live` is.
    pub fn note_settled(&mut self, wanted: &Wanted, live: &Live) {
        if let Some(owned) = &live.owned
            && let Some(kind) = self.kinds.get_mut(&Id::of(&wanted.key))
            && kind.objects.contains_key(&wanted.key)
        {
            kind.settled.insert(wanted.key.clone(), (wanted.digest.clone(), owned.clone()));
        }
    }

    pub fn is_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        let Some(owned) = &live.owned else { return false };
        let Some(kind) = self.kinds.get(&Id::of(&wanted.key)) else { return false };
        // Empty unless a server drops fields, and then small.
        !kind.settled.is_empty()
            && kind
                .settled
                .get(&wanted.key)
                .is_some_and(|(digest, seen)| *digest == wanted.digest && seen == owned)
    }

    /// Finds the objects that bear an environment's label and are not among the wanted; and how many bear it, wanted or
    /// not.
    pub fn strays(&mut self, environment: &str, wanted: &WantedKeys) -> (Vec<Arc<Live>>, usize) {
        let total = self.census.total(environment);
        if let Some(strays) = self.census.strays(environment, wanted) {
            return (strays, total);
        }
        let records = self.kinds.values().flat_map(|kind| kind.objects.values());
        let ours = records
            .filter(|record| bearer(self.selector, &record.live).is_some_and(|name| name == environment));
        let strays: Vec<Arc<Live>> = ours
            .filter(|record| !wanted.contains(&record.live.key))
            .map(|record| record.live.clone())
            .collect();
        self.census.keep_strays(environment, wanted.clone(), &strays);
        (strays, total)
    }

    /// Tells where objects bear an environment's label.
    pub fn places(&self, environment: &str) -> Inventory {
        self.census.places(environment)
    }

    /// Drops what was found out for an environment that asks for nothing any more.
    pub fn forget(&mut self, environment: &str) {
        self.census.forget(environment);
    }

    /// Finds the Jobs of hooks that bear all these labels.
    pub fn hook_jobs(&self, labels: &[(&str, &str)]) -> Vec<Assessed> {
        let id = Id { group: "batch".into(), kind: "Job".into(), namespace: None };
        let Some(kind) = self.kinds.get(&id) else { return Vec::new() };
        let ours = |record: &&Assessed| {
            let found = &record.live.labels;
            found.contains_key(HOOK)
                && labels.iter().all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
        };
        kind.objects.values().filter(ours).cloned().collect()
    }

    /// Counts all anew, where a change was broken off in the middle.
    pub fn recount(&mut self) {
        self.census = Census::default();
        for record in self.kinds.values().flat_map(|kind| kind.objects.values()) {
            self.census.note(None, Some((bearer(self.selector, &record.live), &record.live)));
        }
    }

    /// Counts the objects.
    pub fn count(&self) -> usize {
        self.kinds.values().map(|kind| kind.objects.len()).sum()
    }

    /// Breaks off in the middle of taking an object, for a test of what comes after.
    #[cfg(test)]
    pub fn count_only(&mut self, live: &Arc<Live>) {
        self.census.note(None, Some((bearer(self.selector, live), live)));
    }

    /// Counts the kinds, what is remembered of dry runs, and the environments that have objects.
    #[cfg(test)]
    pub fn counts(&self) -> [usize; 3] {
        let settled = self.kinds.values().map(|kind| kind.settled.len()).sum();
        [self.kinds.len(), settled, self.census.environments()]
    }
}

impl OfKind {
    /// Gives room back once most of it is empty. Each time costs less than the removals before it.
    fn shrink(&mut self) {
        if self.objects.capacity() > ROOMY && self.objects.len() < self.objects.capacity() / 8 {
            self.objects.shrink_to(2 * self.objects.len());
            self.settled.shrink_to_fit();
        }
    }
}

/// In objects: so much room is not worth giving back.
const ROOMY: usize = 1024;

/// Tells the environment whose label an object bears.
/// The environment and the app whose labels an object bears.
pub(super) type Bearer = (String, Option<AppName>);

fn touch(selector: &str, live: &Live) -> Option<Bearer> {
    let app = live.labels.get(names::APP_LABEL).and_then(|name| AppName::new(name).ok());
    Some((bearer(selector, live)?.clone(), app))
}

fn bearer<'a>(selector: &str, live: &'a Live) -> Option<&'a String> {
    live.labels.get(selector)
}

/// Tells whether `a` is newer than `b`. Resource versions of one kind are numbers that grow.
fn newer(a: &Live, b: &Live) -> bool {
    match (a.resource_version.parse::<u64>(), b.resource_version.parse::<u64>()) {
        (Ok(a), Ok(b)) => a > b,
        _ => false,
    }
}
