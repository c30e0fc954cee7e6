//! Follows git remotes: one poller for each remote, whoever wants which of its branches.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::git::{Changes, GitError, Mirror, Poll, Remote, Remotes};
use crate::object::Revision;

/// A fetch that takes longer than this is given up; the next poll begins anew.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

/// What is known of a branch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BranchState {
    pub revision: Option<Revision>,
    /// Why the last look failed, and how many in a row did.
    pub error: Option<GitError>,
    pub failures: u32,
}

pub struct Sources {
    remotes: Arc<Remotes>,
    followers: Mutex<HashMap<Remote, Weak<Follower>>>,
    shutdown: CancellationToken,
}

struct Follower {
    mirror: Arc<Mirror>,
    /// The history of what is compared and merged, once somebody asks for it.
    changes: OnceLock<Arc<Changes>>,
    branches: Mutex<BTreeMap<String, Branch>>,
    poke: Notify,
    /// How many looks were begun, and the number of the last that the remote answered.
    begun: AtomicU64,
    answered: watch::Sender<u64>,
}

struct Branch {
    say: watch::Sender<BranchState>,
    interval: Duration,
}

/// A branch that is followed for as long as this is held.
pub struct Subscription {
    seen: watch::Receiver<BranchState>,
    answered: watch::Receiver<u64>,
    /// The first look that was begun after this subscription.
    first: u64,
    /// Whether an answer to it was looked at, or told of.
    fresh: bool,
    pub mirror: Arc<Mirror>,
    follower: Arc<Follower>,
}

impl Subscription {
    /// What is known now. What was known before we asked does not count: while another replica looked after this
    /// environment it may have gone on to a newer commit, and that must not be undone.
    pub fn look(&mut self) -> BranchState {
        self.fresh = *self.answered.borrow() >= self.first;
        let seen = self.seen.borrow_and_update().clone();
        if self.fresh { seen } else { BranchState { revision: None, ..seen } }
    }

    /// Until there is news. It is told once, whether anybody looks or not: who has no use for it must not be woken for
    /// ever.
    pub async fn changed(&mut self) {
        let Self { seen, answered, first, fresh, .. } = self;
        let answer = async {
            // An answer that came since the last look is news, too.
            if *fresh || answered.wait_for(|answered| answered >= first).await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { std::future::pending().await },
            () = answer => {}
        }
        self.fresh = *self.answered.borrow() >= self.first;
    }

    /// Looks now instead of at the next poll. Gives the number of the first look that begins from here on.
    pub fn poke(&self) -> u64 {
        let next = self.follower.begun.load(Ordering::Relaxed) + 1;
        self.follower.poke.notify_one();
        next
    }

    /// The history of the remote, for those who merge.
    pub fn changes(&self) -> Arc<Changes> {
        self.follower.changes.get_or_init(|| Arc::new(Changes::new(self.mirror.clone()))).clone()
    }

    /// Whether the remote answered this look, or a later one.
    pub fn has_answered(&self, look: u64) -> bool {
        *self.answered.borrow() >= look
    }

    /// Waits until it did.
    pub fn answer_to(&self, look: u64) -> impl Future<Output = ()> + use<> {
        let mut answered = self.answered.clone();
        async move {
            if answered.wait_for(|answered| *answered >= look).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

impl Sources {
    pub fn new(remotes: Remotes, shutdown: CancellationToken) -> Self {
        Self { remotes: Arc::new(remotes), followers: Mutex::default(), shutdown }
    }

    /// Follows a branch. Environments over the same remote share its poller, its cache and each fetch.
    pub fn follow(
        &self,
        remote: &Remote,
        branch: &str,
        interval: Duration,
    ) -> Result<Subscription, GitError> {
        let mut followers = self.followers.lock().expect("no one panics while holding this lock");
        followers.retain(|_, follower| follower.strong_count() > 0);
        let follower = match followers.get(remote).and_then(Weak::upgrade) {
            Some(follower) => follower,
            None => {
                let mirror = self.remotes.get(remote)?;
                let follower = Arc::new(Follower {
                    mirror,
                    changes: OnceLock::new(),
                    branches: Mutex::default(),
                    poke: Notify::new(),
                    begun: AtomicU64::new(0),
                    answered: watch::channel(0).0,
                });
                followers.insert(remote.clone(), Arc::downgrade(&follower));
                tokio::spawn(poll(Arc::downgrade(&follower), self.shutdown.clone()));
                follower
            }
        };
        drop(followers);
        let mut branches = follower.branches.lock().expect("no one panics while holding this lock");
        let new = || Branch { say: watch::channel(BranchState::default()).0, interval };
        let known = branches.entry(branch.to_owned()).or_insert_with(new);
        known.interval = known.interval.min(interval);
        let seen = known.say.subscribe();
        let first = follower.begun.load(Ordering::Relaxed) + 1;
        drop(branches);
        if first > 1 {
            follower.poke.notify_one();
        }
        let answered = follower.answered.subscribe();
        Ok(Subscription { seen, answered, first, fresh: false, mirror: follower.mirror.clone(), follower })
    }
}

async fn poll(follower: Weak<Follower>, shutdown: CancellationToken) {
    let mut failures = 0;
    // Held for one round at a time, so that the last subscriber's end is the poller's end.
    while let Some(held) = follower.upgrade() {
        let (interval, failed) = look(&held).await;
        failures = if failed { failures + 1 } else { 0 };
        let pause = Poll::new(interval).delay(failures, fastrand::f64());
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = held.poke.notified() => {}
            () = abandoned(&held) => {}
        }
    }
}

/// Ends when nobody but the poller holds the follower.
async fn abandoned(follower: &Arc<Follower>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if Arc::strong_count(follower) == 1 {
            return;
        }
    }
}

/// One look at the remote for all its wanted branches. A branch that is gone is told to those who want it.
async fn look(follower: &Arc<Follower>) -> (Duration, bool) {
    let round;
    let (mut wanted, interval) = {
        let mut branches = follower.branches.lock().expect("no one panics while holding this lock");
        branches.retain(|_, branch| branch.say.receiver_count() > 0);
        let interval =
            branches.values().map(|branch| branch.interval).min().unwrap_or(Duration::from_secs(30));
        // Under the lock, so that who follows from here on waits for the next.
        round = follower.begun.fetch_add(1, Ordering::Relaxed) + 1;
        (branches.keys().cloned().collect::<Vec<String>>(), interval)
    };
    let mut failed = false;
    while !wanted.is_empty() {
        let (mirror, asked) = (follower.mirror.clone(), wanted.clone());
        let fetched = tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = asked.iter().map(String::as_str).collect();
            mirror.fetch(&names, Instant::now() + FETCH_TIMEOUT)
        });
        match fetched.await {
            Ok(Ok(fetched)) => {
                for (name, revision) in fetched.revisions {
                    tell(follower, &name, Ok(revision));
                }
                break;
            }
            Ok(Err(GitError::BranchGone { remote, branch })) => {
                wanted.retain(|name| *name != branch);
                tell(follower, &branch.clone(), Err(GitError::BranchGone { remote, branch }));
            }
            Ok(Err(error)) => {
                failed = true;
                for name in &wanted {
                    tell(follower, name, Err(error.clone()));
                }
                break;
            }
            Err(_) => {
                failed = true; // The thread panicked; the poller goes on.
                break;
            }
        }
    }
    if !failed {
        follower.answered.send_replace(round);
    }
    (interval, failed)
}

fn tell(follower: &Follower, branch: &str, found: Result<Revision, GitError>) {
    let branches = follower.branches.lock().expect("no one panics while holding this lock");
    let Some(branch) = branches.get(branch) else { return };
    branch.say.send_if_modified(|seen| {
        let before = seen.clone();
        match found {
            Ok(revision) => *seen = BranchState { revision: Some(revision), error: None, failures: 0 },
            Err(error) => {
                seen.error = Some(error);
                // Counted up to where it no longer changes anything, so that a lasting outage wakes nobody.
                seen.failures = (seen.failures + 1).min(MANY_FAILURES);
            }
        }
        *seen != before
    });
}

/// So many failed looks in a row are shown as a trouble of the environment; fewer are a hiccup.
pub const MANY_FAILURES: u32 = 3;
