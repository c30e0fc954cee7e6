//! Reads secrets as one identity, for all environments that have it: each version once, however many refer to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::sleep_until;
use crate::object::secret::{Pick, Plaintext, SecretId};
use crate::secrets::{Book, Known, Poke, Read, Readings, Trouble};

/// Where secrets are kept, as one identity sees it.
pub trait Provider: Send + Sync {
    /// Reads secrets. Answers for each of them, in any order.
    fn read(&self, secrets: Vec<SecretId>) -> BoxFuture<'_, Answers>;
}

/// What came of a read of each secret.
pub type Answers = Vec<(SecretId, Result<Read, Trouble>)>;

/// Reads under way at once: one that is slow does not keep others waiting.
const AT_ONCE: usize = 4;

pub struct Reader {
    book: Mutex<Book>,
    bell: Notify,
    /// Counts changes of what is known.
    changes: watch::Sender<u64>,
    /// Versions that are not the newest and were asked for, as for a way back.
    wanted_versions: Mutex<BTreeSet<SecretId>>,
    /// The versions that environments may still have to write.
    needed: Mutex<BTreeMap<Holder, Versions>>,
    holders: AtomicU64,
}

/// Versions of secrets.
type Versions = BTreeSet<(SecretId, Box<str>)>;

impl Reader {
    pub fn new(interval: Duration) -> Arc<Self> {
        let interval = SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX);
        Arc::new(Self {
            book: Mutex::new(Book::new(interval)),
            bell: Notify::new(),
            changes: watch::channel(0).0,
            wanted_versions: Mutex::default(),
            needed: Mutex::default(),
            holders: AtomicU64::new(0),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is due until `end`; says when it begins to read the first.
    pub async fn run(
        &self,
        provider: Arc<dyn Provider>,
        first: impl FnOnce() + Send,
        end: CancellationToken,
    ) {
        let mut first = Some(first);
        let mut under_way = FuturesUnordered::new();
        loop {
            let now = Timestamp::now();
            let again = {
                let mut book = self.book();
                if under_way.len() < AT_ONCE {
                    let due = book.due(fastrand::f64(), now);
                    if !due.is_empty() {
                        if let Some(first) = first.take() {
                            first();
                        }
                        let provider = &provider;
                        under_way.push(async move { provider.read(due).await });
                    }
                }
                book.again().filter(|_| under_way.len() < AT_ONCE)
            };
            tokio::select! {
                Some(answers) = under_way.next() => self.answered(answers),
                () = self.bell.notified() => {}
                () = sleep_until(again) => {}
                () = end.cancelled() => return,
            }
        }
    }

    fn answered(&self, answers: Answers) {
        let changed = self.book().answered(answers, fastrand::f64(), Timestamp::now());
        if !changed.is_empty() {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Tells one who wants something from all others, also from an earlier one of the same environment.
    pub fn holder(&self) -> Holder {
        Holder(self.holders.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes that somebody wants nothing any more.
    pub fn forget(&self, holder: Holder) {
        let mut by = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
        by.remove(&holder);
        self.forget_older(&by);
        drop(by);
        self.want(holder, &BTreeSet::new());
    }

    /// Takes which secrets an environment wants now.
    pub fn want(&self, holder: Holder, secrets: &BTreeSet<SecretId>) {
        self.book().want(&holder.name(), secrets, Timestamp::now());
        self.bell.notify_one();
    }

    /// Takes that somebody said that a secret has changed.
    pub fn poke(&self, poke: &Poke) {
        self.book().poke(poke, Timestamp::now());
        self.bell.notify_one();
    }

    /// Until something else is known than now.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn are_settled(&self, secrets: &BTreeSet<SecretId>) -> bool {
        let book = self.book();
        secrets.iter().all(|secret| book.is_settled(secret))
    }

    /// Takes which versions an environment may still have to write; values of others that are not the newest are forgotten
    /// once no environment may.
    pub fn keep_older(&self, holder: Holder, needed: Versions) {
        let mut by = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
        by.insert(holder, needed);
        self.forget_older(&by);
    }

    fn forget_older(&self, by: &BTreeMap<Holder, Versions>) {
        let is_needed = |secret: &SecretId, version: &str| {
            by.values().any(|needed| needed.contains(&(secret.clone(), version.into())))
        };
        let mut wanted = self.wanted_versions.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|fixed| {
            let Pick::Version(version) = &fixed.pick else { return false };
            let is_of = |(secret, needed): &(SecretId, Box<str>)| {
                (secret.provider, &secret.name, needed) == (fixed.provider, &fixed.name, version)
            };
            by.values().flatten().any(is_of)
        });
        let mut book = self.book();
        book.want(WAY_BACK, &wanted, Timestamp::now());
        book.keep_older(is_needed);
    }
}

impl Readings for Reader {
    fn known(&self, secret: &SecretId) -> Option<Known> {
        self.book().known(secret).cloned()
    }

    fn at_hand(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        let fixed = SecretId { pick: Pick::Version(version.into()), ..secret.clone() };
        let book = self.book();
        book.value(secret, version).or_else(|| book.value(&fixed, version))
    }

    fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        let fixed = SecretId { pick: Pick::Version(version.into()), ..secret.clone() };
        let found = self.at_hand(secret, version);
        if found.is_none() {
            let mut wanted = self.wanted_versions.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.insert(fixed);
            self.book().want(WAY_BACK, &wanted, Timestamp::now());
            self.bell.notify_one();
        }
        found
    }
}

/// Who wants something: an environment as long as this replica looks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder(u64);

impl Holder {
    fn name(self) -> String {
        self.0.to_string()
    }
}

/// Who wants older versions: no holder, whose names are numbers.
const WAY_BACK: &str = "a way back";
