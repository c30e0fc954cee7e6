//! Reads secrets as one identity, once for everyone who asks at about the same time.
//!
//! Environments of one identity refer to the same secrets, and all of them begin when the agent does. What they ask for
//! within a moment is put into the same calls, what is being read already is waited for, and what was read lately is handed
//! out again while somebody still holds it: the reader itself keeps no value alive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use super::reading;
use super::session::AwsSession;
use super::thread::Thread;
use crate::object::secret::{Plaintext, SecretId};
use crate::secrets::{Cause, Read, Trouble, Version};

/// Others are given this long to ask before a call goes out: far less than a call takes.
const GATHERS: Duration = Duration::from_millis(20);

/// Reads secrets as one identity. All clones share what is being read.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    thread: Arc<Thread>,
    session: Arc<AwsSession>,
    state: Mutex<State>,
}

type Answer = Result<Read, Trouble>;
type Waiter = oneshot::Sender<Answer>;

#[derive(Default)]
struct State {
    /// Asked for, and in no call yet.
    gathered: BTreeMap<SecretId, Vec<Waiter>>,
    /// In a call, with those that asked since.
    under_way: BTreeMap<SecretId, Vec<Waiter>>,
    lately: BTreeMap<SecretId, Lately>,
}

struct Lately {
    at: Instant,
    version: Version,
    value: Weak<Plaintext>,
}

impl Reader {
    pub(super) fn new(thread: Arc<Thread>, session: Arc<AwsSession>) -> Self {
        Self { shared: Arc::new(Shared { thread, session, state: Mutex::default() }) }
    }

    /// Reads each secret, and tells for each what came of it. Every secret that was asked for is in the answer.
    ///
    /// A value that was read within `max_age` and that somebody still holds is handed out without a call; with
    /// `Duration::ZERO` AWS is asked after this was called, as a poke wants it.
    ///
    /// Calls: BatchGetSecretValue for current versions, twenty a call, or GetSecretValue where the right to it is missing;
    /// GetSecretValue for each other version; GetParameters, ten a call.
    pub async fn read(&self, secrets: &[SecretId], max_age: Duration) -> BTreeMap<SecretId, Answer> {
        let mut answers = BTreeMap::new();
        let mut waits = Vec::new();
        for secret in secrets.iter().cloned().collect::<BTreeSet<_>>() {
            match self.ask(&secret, max_age) {
                Asked::Known(read) => {
                    answers.insert(secret, Ok(read));
                }
                Asked::Wait(answer) => waits.push((secret, answer)),
            }
        }
        for (secret, answer) in waits {
            let answer = answer.await.unwrap_or_else(|_| Err(self.fell(&secret)));
            answers.insert(secret, answer);
        }
        answers
    }

    /// Looks which version each secret has now, and hands out no value. For the sweep where no queue tells of changes.
    ///
    /// It costs what reading costs: a batch call for twenty secrets is a tenth of twenty calls of DescribeSecret, and needs no
    /// right that reading does not need; ListSecrets would be as cheap, but answers up to minutes late and shows the names of
    /// all secrets of the account. Where batches may not be read, and for labels, DescribeSecret is called, or GetSecretValue
    /// where that is denied, too. The values of a batch are wiped at once. A version that is named costs no call.
    pub async fn look(&self, secrets: &[SecretId]) -> BTreeMap<SecretId, Result<Version, Trouble>> {
        let asked: BTreeSet<SecretId> = secrets.iter().cloned().collect();
        let session = self.shared.session.clone();
        let work = {
            let asked = asked.clone();
            async move {
                let mut answers = BTreeMap::new();
                reading::look(session, asked, |(secret, answer)| {
                    answers.insert(secret, answer);
                })
                .await;
                answers
            }
        };
        let mut answers = self.shared.thread.run(work).await.unwrap_or_default();
        for secret in asked {
            answers.entry(secret).or_insert_with_key(|secret| Err(self.fell(secret)));
        }
        answers
    }

    fn ask(&self, secret: &SecretId, max_age: Duration) -> Asked {
        let mut state = self.shared.state();
        if !max_age.is_zero() {
            if let Some(read) = state.lately(secret, max_age) {
                return Asked::Known(read);
            }
            if let Some(waiters) = state.under_way.get_mut(secret) {
                let (waiter, answer) = oneshot::channel();
                waiters.push(waiter);
                return Asked::Wait(answer);
            }
        }
        let (waiter, answer) = oneshot::channel();
        let is_first = state.gathered.is_empty();
        state.gathered.entry(secret.clone()).or_default().push(waiter);
        if is_first {
            let shared = self.shared.clone();
            self.shared.thread.spawn(async move { shared.run().await });
        }
        Asked::Wait(answer)
    }

    /// Nothing came of it: the thread ended, or fell.
    fn fell(&self, secret: &SecretId) -> Trouble {
        let cause = Cause::Other { code: "an internal failure of the agent".into() };
        self.shared.session.trouble(secret, "", Failure::Because(cause))
    }
}

enum Asked {
    Known(Read),
    Wait(oneshot::Receiver<Answer>),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        tokio::time::sleep(GATHERS).await;
        let mut waiting = {
            let mut state = self.state();
            let gathered = std::mem::take(&mut state.gathered);
            for secret in gathered.keys() {
                state.under_way.entry(secret.clone()).or_default();
            }
            Waiting { shared: &self, by: gathered }
        };
        let secrets = waiting.by.keys().cloned().collect();
        let asked = Instant::now();
        reading::read(self.session.clone(), secrets, |(secret, answer)| {
            let mut waiters = waiting.by.remove(&secret).unwrap_or_default();
            let mut state = self.state();
            waiters.extend(state.under_way.remove(&secret).unwrap_or_default());
            if let Ok(read) = &answer {
                state.remember(&secret, asked, read);
            }
            drop(state);
            for waiter in waiters {
                let _ = waiter.send(answer.clone());
            }
        })
        .await;
    }
}

/// What one run has to answer.
struct Waiting<'a> {
    shared: &'a Shared,
    by: BTreeMap<SecretId, Vec<Waiter>>,
}

impl Drop for Waiting<'_> {
    /// However a run ends, nobody waits for what it did not answer.
    fn drop(&mut self) {
        let mut state = self.shared.state();
        for secret in self.by.keys() {
            state.under_way.remove(secret);
        }
    }
}

impl State {
    fn lately(&self, secret: &SecretId, max_age: Duration) -> Option<Read> {
        let Lately { at, version, value } = self.lately.get(secret)?;
        let value = value.upgrade().filter(|_| at.elapsed() <= max_age)?;
        Some(Read { version: version.clone(), value })
    }

    fn remember(&mut self, secret: &SecretId, at: Instant, read: &Read) {
        self.lately.retain(|_, lately| lately.value.strong_count() > 0);
        let lately = Lately { at, version: read.version.clone(), value: Arc::downgrade(&read.value) };
        self.lately.insert(secret.clone(), lately);
    }
}
