//! Which objects are ours, each by its uid: who deletes an object and makes another of its name has made another object.

use std::collections::BTreeMap;

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

/// What is known of every object that was ever written and is not known to be gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    entries: BTreeMap<ObjectKey, Evidence>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "k")]
    key: ObjectKey,
    #[serde(flatten)]
    evidence: Evidence,
}

impl Ledger {
    pub fn get(&self, key: &ObjectKey) -> Option<&Evidence> {
        self.entries.get(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.entries.keys()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes that an object is about to be made.
    pub fn intend(&mut self, key: &ObjectKey, digest: &Digest) {
        self.entries.insert(key.clone(), Evidence::Intent(digest.clone()));
    }

    /// Notes the uid that an object of ours bears.
    pub fn record(&mut self, key: &ObjectKey, uid: &str) {
        if !matches!(self.entries.get(key), Some(Evidence::Uid(known)) if **known == *uid) {
            self.entries.insert(key.clone(), Evidence::Uid(uid.into()));
        }
    }

    /// Forgets objects of which `gone` says that they are no more.
    pub fn retain(&mut self, mut still_there: impl FnMut(&ObjectKey, &Evidence) -> bool) {
        self.entries.retain(|key, evidence| still_there(key, evidence));
    }

    /// Whether this object is the one that we know of by that name.
    pub fn knows(&self, live: &Live) -> Known {
        match self.entries.get(&live.key) {
            None => Known::Not,
            Some(Evidence::Uid(uid)) if *uid == live.uid => Known::Same,
            Some(Evidence::Uid(_)) => Known::Another,
            Some(Evidence::Intent(digest)) if live.applied.as_ref() == Some(digest) => Known::Same,
            Some(Evidence::Intent(_)) => Known::Not,
        }
    }
}

pub fn write_ledger(ledger: &Ledger) -> (Pieces, Vec<Piece>) {
    pack(ledger.entries.iter().map(|(key, evidence)| {
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
        ledger.entries.insert(line.key, line.evidence);
    }
    Ok(ledger)
}
