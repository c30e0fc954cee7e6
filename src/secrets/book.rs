//! What is known of the secrets that one identity reads, and what of them is to be read now.
//!
//! ```text
//!   wanted ──► Unread ──a read──► Read ──a read fails──► Read, stale ──a read──► Read
//!                 │                 ▲
//!                 └─a read fails──► Failed ──a read──┘
//! ```
//!
//! What was read once stays, whatever happens to the provider: a failure makes it stale, and never empties it. All secrets are
//! looked at together, so that a sweep takes few calls; what news came of is looked at by itself, at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Poke, Read, Trouble};
use crate::object::secret::{Pick, Plaintext, SecretId};

/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(2);
const LAST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// News of one secret that come in a swarm make one read: the first is followed at once, the others after this.
const POKE_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// What is known of a secret.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub read: Option<Read>,
    /// When that was confirmed last.
    pub confirmed: Option<Timestamp>,
    /// Why the last read failed; with `read`, what is known may be stale.
    pub trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Entry {
    /// The environments that want it.
    by: BTreeSet<Box<str>>,
    known: Known,
    due: Option<Timestamp>,
    is_asked: bool,
    /// News came while it was being asked: what comes of that may be older.
    is_poked: bool,
    asked_at: Option<Timestamp>,
    failures: u32,
}

/// What is known of all secrets of one identity.
#[derive(Debug)]
pub struct Book {
    entries: BTreeMap<SecretId, Entry>,
    interval: SignedDuration,
    sweep: Option<Timestamp>,
    /// Values of versions that are not the newest any more and may still be written.
    older: BTreeMap<(SecretId, Box<str>), Read>,
}

impl Book {
    /// Begins without secrets; all that are current are looked at again after `interval`.
    pub fn new(interval: SignedDuration) -> Self {
        Self { entries: BTreeMap::new(), interval, sweep: None, older: BTreeMap::new() }
    }

    /// Takes which secrets an environment wants now. What nobody wants any more is forgotten, values first.
    pub fn want(&mut self, environment: &str, secrets: &BTreeSet<SecretId>, now: Timestamp) {
        for (secret, entry) in &mut self.entries {
            if !secrets.contains(secret) {
                entry.by.remove(environment);
            }
        }
        for secret in secrets {
            let new = || Entry {
                by: BTreeSet::new(),
                known: Known::default(),
                due: Some(now),
                is_asked: false,
                is_poked: false,
                asked_at: None,
                failures: 0,
            };
            self.entries.entry(secret.clone()).or_insert_with(new).by.insert(environment.into());
        }
        self.entries.retain(|_, entry| !entry.by.is_empty());
        let entries = &self.entries;
        self.older.retain(|(secret, _), _| entries.contains_key(secret));
    }

    /// Takes that somebody said that a secret has changed.
    pub fn poke(&mut self, poke: &Poke, now: Timestamp) {
        for (secret, entry) in &mut self.entries {
            if !poke.concerns(secret) || !may_change(secret) {
                continue;
            }
            if entry.is_asked {
                entry.is_poked = true;
            } else {
                let at = entry.asked_at.map_or(now, |asked| now.max(plus(asked, POKE_PAUSE)));
                entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
            }
        }
    }

    /// What is to be read now. It counts as asked until [`Self::answered`]. `jitter` is from 0 to 1.
    pub fn due(&mut self, jitter: f64, now: Timestamp) -> Vec<SecretId> {
        if self.sweep.is_some_and(|at| at <= now) {
            self.sweep = None;
            let current =
                self.entries.iter_mut().filter(|(secret, entry)| may_change(secret) && !entry.is_asked);
            current.for_each(|(_, entry)| entry.due = Some(now));
        }
        let mut due = Vec::new();
        for (secret, entry) in &mut self.entries {
            if !entry.is_asked && entry.due.is_some_and(|at| at <= now) {
                (entry.is_asked, entry.due, entry.asked_at) = (true, None, Some(now));
                due.push(secret.clone());
            }
        }
        if self.sweep.is_none() && self.entries.keys().any(may_change) {
            self.sweep = Some(plus(now, stretched(self.interval, jitter)));
        }
        due
    }

    /// When to ask [`Self::due`] again.
    pub fn again(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(|entry| entry.due).chain(self.sweep).min()
    }

    /// Takes what came of a read. Says of which secrets something is known now that was not.
    pub fn answered(
        &mut self,
        results: Vec<(SecretId, Result<Read, Trouble>)>,
        jitter: f64,
        now: Timestamp,
    ) -> BTreeSet<SecretId> {
        let mut changed = BTreeSet::new();
        for (secret, result) in results {
            let Some(entry) = self.entries.get_mut(&secret) else { continue };
            entry.is_asked = false;
            let known = &mut entry.known;
            match result {
                Ok(read) => {
                    entry.failures = 0;
                    let is_new = known.read.as_ref().is_none_or(|old| old.version.id != read.version.id);
                    if is_new || known.trouble.is_some() {
                        changed.insert(secret.clone());
                    }
                    if is_new && let Some(old) = known.read.take() {
                        self.older.insert((secret.clone(), old.version.id.clone()), old);
                    }
                    if is_new {
                        known.read = Some(read);
                    } else if let Some(old) = &mut known.read {
                        // The same version has the same value: the older copy goes on, and the newer one is wiped.
                        old.version = read.version;
                    }
                    (known.trouble, known.confirmed) = (None, Some(now));
                }
                Err(trouble) => {
                    if known.trouble.as_ref() != Some(&trouble) {
                        changed.insert(secret.clone());
                        known.trouble = Some(trouble);
                    }
                    let pause = FIRST_PAUSE.checked_mul(1 << entry.failures.min(10)).unwrap_or(LAST_PAUSE);
                    entry.failures = entry.failures.saturating_add(1);
                    entry.due = Some(plus(now, stretched(pause.min(LAST_PAUSE), jitter)));
                }
            }
            if std::mem::take(&mut entry.is_poked) {
                entry.due = Some(now);
            }
        }
        changed
    }

    pub fn known(&self, secret: &SecretId) -> Option<&Known> {
        self.entries.get(secret).map(|entry| &entry.known)
    }

    /// Whether it was asked about, and answered, be it with a failure.
    pub fn is_settled(&self, secret: &SecretId) -> bool {
        self.known(secret).is_some_and(|known| known.read.is_some() || known.trouble.is_some())
    }

    /// The value of one version, where it is at hand.
    pub fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        let newest = self.known(secret).and_then(|known| known.read.as_ref());
        let older = || self.older.get(&(secret.clone(), version.into()));
        newest.filter(|read| *read.version.id == *version).or_else(older).map(|read| read.value.clone())
    }

    /// Forgets the values of versions that nobody writes any more.
    pub fn keep_older(&mut self, is_needed: impl Fn(&SecretId, &str) -> bool) {
        self.older.retain(|(secret, version), _| is_needed(secret, version));
    }
}

/// A version never changes.
fn may_change(secret: &SecretId) -> bool {
    !matches!(secret.pick, Pick::Version(_))
}

fn plus(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// A pause that is up to a fifth longer, so that many do not come at the same moment.
fn stretched(pause: SignedDuration, jitter: f64) -> SignedDuration {
    let more = pause.as_secs_f64() * 0.2 * jitter.clamp(0.0, 1.0);
    pause.checked_add(SignedDuration::from_millis((more * 1000.0) as i64)).unwrap_or(pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::{Provider, Reference};
    use crate::secrets::{Cause, Subject, Version};

    fn secret(text: &str) -> SecretId {
        Reference::parse(text).expect("a reference").secret
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn read(version: &str) -> Result<Read, Trouble> {
        let version =
            Version { id: version.into(), stages: Vec::new(), arn: None, created: None, rotated: None };
        Ok(Read { value: Arc::new(Plaintext::new(version.id.as_bytes().to_vec())), version })
    }

    fn failed(of: &SecretId) -> Result<Read, Trouble> {
        let subject = Subject::Secret(of.clone());
        Err(Trouble { subject, identity: "me".into(), region: "here".into(), cause: Cause::Throttled })
    }

    fn book(texts: &[&str]) -> Book {
        let mut book = Book::new(SignedDuration::from_hours(1));
        book.want("dev", &texts.iter().map(|text| secret(text)).collect(), at(0));
        book
    }

    fn version<'a>(book: &'a Book, of: &SecretId) -> Option<&'a str> {
        book.known(of)?.read.as_ref().map(|read| &*read.version.id)
    }

    #[test]
    fn what_was_read_stays_whatever_the_provider_does() {
        let (mut book, db) = (book(&["aws-sm:db"]), secret("aws-sm:db"));
        assert_eq!(book.due(0.0, at(0)), std::slice::from_ref(&db));
        assert!(book.due(0.0, at(0)).is_empty(), "it is asked already");
        assert!(!book.is_settled(&db));
        assert_eq!(book.answered(vec![(db.clone(), read("v1"))], 0.0, at(1)).len(), 1);
        // For a year nothing answers.
        let mut now = 3601;
        let mut reads = 0;
        for _ in 0..365 * 24 * 12 {
            if !book.due(0.0, at(now)).is_empty() {
                reads += 1;
                book.answered(vec![(db.clone(), failed(&db))], 0.0, at(now));
            }
            now += 300;
        }
        assert_eq!(version(&book, &db), Some("v1"));
        assert!(book.known(&db).expect("it is wanted").trouble.is_some(), "it is known to be stale");
        assert!(book.value(&db, "v1").is_some());
        assert!(reads <= 365 * 24 * 12, "{reads}");
        book.due(0.0, at(now));
        assert_eq!(
            book.answered(vec![(db.clone(), read("v1"))], 0.0, at(now)).len(),
            1,
            "it is told that it is fine"
        );
    }

    #[test]
    fn news_are_followed_at_once_and_swarms_once() {
        let (mut book, db) = (book(&["aws-sm:db", "aws-sm:other"]), secret("aws-sm:db"));
        let both = book.due(0.0, at(0));
        book.answered(both.into_iter().map(|of| (of, read("v1"))).collect(), 0.0, at(0));
        let poke = Poke { provider: Provider::SecretsManager, name: "db".into() };
        for _ in 0..1000 {
            book.poke(&poke, at(10));
        }
        assert_eq!(book.due(0.0, at(10)), std::slice::from_ref(&db));
        book.poke(&poke, at(10)); // It came while the answer was on its way, which may be the older version.
        book.answered(vec![(db.clone(), read("v1"))], 0.0, at(10));
        assert_eq!(book.due(0.0, at(10)), std::slice::from_ref(&db));
        book.answered(vec![(db.clone(), read("v2"))], 0.0, at(10));
        book.poke(&poke, at(10));
        assert!(book.due(0.0, at(10)).is_empty());
        assert_eq!(book.due(0.0, at(11)), std::slice::from_ref(&db));
        assert_eq!(version(&book, &db), Some("v2"));
        assert!(book.value(&db, "v1").is_some(), "what runs may still have to be written again");
        book.keep_older(|_, _| false);
        assert!(book.value(&db, "v1").is_none());
    }

    #[test]
    fn a_sweep_takes_all_together_and_fixed_versions_are_read_once() {
        let fixed = "aws-sm:db@a1b2c3d4-5678-90ab-cdef-EXAMPLE11111";
        let mut book = book(&["aws-sm:a", "aws-sm:b", fixed]);
        let all = book.due(0.5, at(0));
        assert_eq!(all.len(), 3);
        book.answered(all.into_iter().map(|of| (of, read("v1"))).collect(), 0.0, at(0));
        let sweep = book.again().expect("a sweep comes");
        assert_eq!(sweep, at(3600 + 360));
        assert_eq!(book.due(0.0, sweep), [secret("aws-sm:a"), secret("aws-sm:b")]);
    }

    #[test]
    fn what_nobody_wants_is_forgotten() {
        let (mut book, db) = (book(&["aws-sm:db"]), secret("aws-sm:db"));
        book.want("prod", &[db.clone()].into(), at(0));
        book.due(0.0, at(0));
        book.answered(vec![(db.clone(), read("v1"))], 0.0, at(0));
        book.want("dev", &BTreeSet::new(), at(1));
        assert!(book.value(&db, "v1").is_some());
        book.want("prod", &BTreeSet::new(), at(1));
        assert!(
            book.value(&db, "v1").is_none()
                && book.again().is_none_or(|_| book.due(0.0, at(9999)).is_empty())
        );
    }

    #[test]
    fn failures_are_tried_again_with_patience() {
        let (mut book, db) = (book(&["aws-sm:db"]), secret("aws-sm:db"));
        let mut pauses = Vec::new();
        let mut now = at(0);
        for _ in 0..9 {
            assert_eq!(book.due(0.0, now).len(), 1);
            book.answered(vec![(db.clone(), failed(&db))], 0.0, now);
            let next = book.again().expect("it is tried again");
            pauses.push(next.duration_since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }
}
