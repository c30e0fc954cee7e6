//! What a replica has in memory, and loses when it is killed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;

use super::cluster::Is;
use super::story::{Second, Shape};
use crate::object::secret::{Pick, Plaintext, SecretId};
use crate::secrets::{Apps, Book, Known, Limits, Readings, Rotation, Uses};

/// Between two sweeps.
const INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// What a replica knows of an environment that it looks after.
pub struct Look {
    pub apps: Apps,
    pub uses: Uses,
    /// Until all that is referred to was read, or this.
    pub starts: Option<Second>,
    /// What each app was rendered to.
    pub says: Vec<Option<(Is, bool)>>,
    /// Git says something that was not rendered yet.
    pub is_unread: bool,
    /// Something happened that it may have to act on.
    pub is_news: bool,
}

pub struct Replica {
    pub book: Book,
    pub rotation: Rotation,
    pub looks: BTreeMap<usize, Look>,
    pub answers: Vec<(Second, Vec<SecretId>)>,
    /// Older versions that were asked for.
    pub missing: RefCell<BTreeSet<SecretId>>,
    /// Where it is dead: when it begins anew.
    pub dead_until: Option<Second>,
}

pub struct View<'a> {
    pub book: &'a Book,
    pub missing: &'a RefCell<BTreeSet<SecretId>>,
}

impl Readings for View<'_> {
    fn known(&self, secret: &SecretId) -> Option<Known> {
        self.book.known(secret).cloned()
    }

    fn at_hand(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        let fixed = SecretId { pick: Pick::Version(version.into()), ..secret.clone() };
        self.book.value(secret, version).or_else(|| self.book.value(&fixed, version))
    }

    fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        let found = self.at_hand(secret, version);
        if found.is_none() {
            let fixed = SecretId { pick: Pick::Version(version.into()), ..secret.clone() };
            self.missing.borrow_mut().insert(fixed);
        }
        found
    }
}

impl Replica {
    pub fn new(shape: &Shape) -> Self {
        let limits = Limits { cluster: shape.cluster, environment: shape.environment, ..Limits::default() };
        Self {
            book: Book::new(INTERVAL),
            rotation: Rotation::new(limits),
            looks: BTreeMap::new(),
            answers: Vec::new(),
            missing: RefCell::default(),
            dead_until: None,
        }
    }
}
