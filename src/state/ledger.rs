//! Which objects are ours, each by its uid: whoever deletes an object and makes another of its name has made another object.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pack::{Damage, Piece, Pieces, pack, unpack};
use crate::object::{Digest, Live, ObjectKey};
use crate::plan::Known;

/// How we know that an object is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// It bore this uid when we wrote it.
    #[serde(rename = "u")]
    Uid(Box<str>),
    /// We were about to make it with this content, and nobody remembers the answer. What bears that content and our Apply
    /// entry is what came of it.
    #[serde(rename = "d")]
    Intent(Digest),
}

/// Copies share the shards that they have in common: a change to one object of 40,000 copies about 40 entries.
const SHARDS: usize = 1024;

type Shard = BTreeMap<ObjectKey, Evidence>;

/// What is known of every object that was ever written and is not known to be gone.
#[derive(Clone, PartialEq)]
pub struct Ledger {
    shards: Box<[Arc<Shard>]>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "k")]
    key: ObjectKey,
    #[serde(flatten)]
    evidence: Evidence,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { shards: vec![Arc::default(); SHARDS].into() }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

impl Ledger {
    pub fn get(&self, key: &ObjectKey) -> Option<&Evidence> {
        self.shards[shard_of(key)].get(key)
    }

    /// Lists every object, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.shards.iter().flat_map(|shard| shard.keys())
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    /// Notes that an object is about to be made.
    pub fn intend(&mut self, key: &ObjectKey, digest: &Digest) {
        self.set(key, Some(Evidence::Intent(digest.clone())));
    }

    /// Notes the uid that an object of ours bears.
    pub fn record(&mut self, key: &ObjectKey, uid: &str) {
        if !matches!(self.get(key), Some(Evidence::Uid(known)) if **known == *uid) {
            self.set(key, Some(Evidence::Uid(uid.into())));
        }
    }

    /// Forgets an object that is no more.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.set(key, None);
    }

    pub(super) fn set(&mut self, key: &ObjectKey, evidence: Option<Evidence>) {
        if self.get(key) == evidence.as_ref() {
            return;
        }
        let shard = Arc::make_mut(&mut self.shards[shard_of(key)]);
        match evidence {
            Some(evidence) => drop(shard.insert(key.clone(), evidence)),
            None => drop(shard.remove(key)),
        }
    }

    /// Says whether this object is the one that is known by its name.
    pub fn knows(&self, live: &Live) -> Known {
        match self.get(&live.key) {
            None => Known::Not,
            Some(Evidence::Uid(uid)) if *uid == live.uid => Known::Same,
            Some(Evidence::Uid(_)) => Known::Another,
            Some(Evidence::Intent(digest)) if live.applied.as_ref() == Some(digest) => Known::Same,
            Some(Evidence::Intent(_)) => Known::Not,
        }
    }

    /// Lists what a newer ledger says differently, by object. What both share is not looked at.
    pub(super) fn changes(&self, newer: &Self) -> Vec<(ObjectKey, Option<Evidence>)> {
        let mut changes = Vec::new();
        for (old, new) in self.shards.iter().zip(&newer.shards) {
            if Arc::ptr_eq(old, new) {
                continue;
            }
            let gone = old.keys().filter(|key| !new.contains_key(key));
            changes.extend(gone.map(|key| (key.clone(), None)));
            let changed = new.iter().filter(|(key, evidence)| old.get(key) != Some(evidence));
            changes.extend(changed.map(|(key, evidence)| (key.clone(), Some(evidence.clone()))));
        }
        changes
    }

    fn sorted(&self) -> Vec<(&ObjectKey, &Evidence)> {
        let mut all: Vec<_> = self.shards.iter().flat_map(|shard| shard.iter()).collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }
}

/// Finds the shard of a key. The hash is never stored.
fn shard_of(key: &ObjectKey) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)
}

pub fn write_ledger(ledger: &Ledger) -> (Pieces, Vec<Piece>) {
    pack(ledger.sorted().into_iter().map(|(key, evidence)| {
        let line = Line { key: key.clone(), evidence: evidence.clone() };
        let text = serde_json::to_vec(&line).expect("a line of the ledger is JSON");
        (Digest::of_parts([key.to_string().as_str()]), text)
    }))
}

pub fn read_ledger(pieces: &Pieces, stored: &[Piece]) -> Result<Ledger, Damage> {
    let lines = unpack(pieces, stored)?;
    let mut ledger = Ledger::default();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line =
            serde_json::from_slice(line).map_err(|error| Damage::Unreadable(error.to_string()))?;
        ledger.set(&line.key, Some(line.evidence));
    }
    Ok(ledger)
}
