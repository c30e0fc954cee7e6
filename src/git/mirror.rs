//! One remote's cache, shared by all who follow the remote.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::fetch::{RemoteHeads, sync};
use super::objects::{Objects, lock};
use super::room::Room;
use super::store::{Store, Usage};
use super::{Cause, CommitInfo, GitError, GitTree, Reach, Remote};
use crate::object::Revision;

/// A server that left objects out makes each new cache look damaged as well; fetching it anew more often does not help.
const HEAL_PAUSE: Duration = Duration::from_secs(600);

/// Fetches left to themselves, at most. Each holds a thread.
const MAX_STUCK: u32 = 3;

/// What one remote may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes of one fetch.
    pub fetch_bytes: u64,
    /// Packs in the cache; each fetch adds one. With more, each lookup gets slower.
    pub packs: usize,
    /// Bytes in the cache, or twice what one revision takes if that is more.
    pub cache_bytes: u64,
    /// Bytes of all caches together.
    pub all_bytes: u64,
    /// How long a fetch may overrun its deadline before it is left to itself and another may start. libgit2 looks up more
    /// often than the default, unless a server feeds it a byte at a time or the disk under it hangs.
    pub overrun: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fetch_bytes: 1 << 30,
            packs: 24,
            cache_bytes: 64 << 20,
            all_bytes: u64::MAX,
            overrun: Duration::from_secs(60),
        }
    }
}

/// Whether a look at the remote led to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Moved,
    Unchanged,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The newest revision of each branch that was asked for.
    pub revisions: BTreeMap<String, Revision>,
    pub news: News,
}

/// A remote's newest revisions, kept in a bare repository.
pub struct Mirror {
    remote: Remote,
    limits: Limits,
    reach: Arc<Reach>,
    room: Arc<Room>,
    store: Store,
    state: Mutex<State>,
    /// Told whenever a fetch ends.
    ended: Condvar,
    /// What the branch was, kept by those who ask whether it goes on from there.
    history: Mutex<Option<Arc<Objects>>>,
}

struct State {
    current: Option<Generation>,
    /// The one before: who has just been told of a revision in it still finds it there.
    previous: Option<Arc<Objects>>,
    newest: u64,
    /// Broken transfers in a row. One is the server's fault; two may be ours, if what a delta builds on is damaged here.
    broken: u32,
    /// When the cache was last given up because it could not be read.
    healed: Option<Instant>,
    next: Option<Batch>,
    worker: Option<Worker>,
    stuck: u32,
}

#[derive(Clone)]
struct Generation {
    objects: Arc<Objects>,
    /// What it took when it was new.
    fresh_bytes: u64,
}

/// Requests that are answered by one look at the remote.
struct Batch {
    wanted: BTreeSet<String>,
    deadline: Instant,
    outcome: SharedLook,
}

type SharedLook = Arc<OnceLock<Result<RemoteHeads, GitError>>>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Worker {
    id: u64,
    deadline: Instant,
}

impl Mirror {
    /// Opens the cache of a remote in `folder`, or starts one.
    pub(super) fn open(
        remote: Remote,
        folder: &Path,
        limits: Limits,
        reach: Arc<Reach>,
        room: Arc<Room>,
    ) -> Result<Self, GitError> {
        let store = Store::open(folder)?;
        let (newest, latest) = store.latest();
        let state = State {
            current: latest.map(Generation::new),
            previous: None,
            newest,
            broken: 0,
            healed: None,
            next: None,
            worker: None,
            stuck: 0,
        };
        Ok(Self {
            remote,
            limits,
            reach,
            room,
            store,
            state: Mutex::new(state),
            ended: Condvar::new(),
            history: Mutex::default(),
        })
    }

    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The bytes that a fetch may take now.
    pub(super) fn fetch_bytes(&self) -> u64 {
        self.limits.fetch_bytes.min(self.room.of_a_fetch())
    }

    pub(super) fn history(&self) -> &Mutex<Option<Arc<Objects>>> {
        &self.history
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    pub(super) fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// Looks at the remote, fetches what moved of `branches`, and says where each is now. Blocks, until `deadline` at most.
    ///
    /// Requests that come while a fetch runs wait for the next one and share it. A branch that the remote does not have
    /// is an error of those who asked for it, and of nobody else.
    pub fn fetch(self: &Arc<Self>, branches: &[&str], deadline: Instant) -> Result<Fetched, GitError> {
        for branch in branches {
            if !git2::Reference::is_valid_name(&format!("refs/heads/{branch}")) || branch.starts_with('-') {
                return Err(GitError::BadBranch { branch: (*branch).to_owned() });
            }
        }
        let outcome = self.join(branches, deadline)?;
        let mut state = lock(&self.state);
        while outcome.get().is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(GitError::Timeout { remote: self.shown() });
            }
            state = self
                .ended
                .wait_timeout(state, left)
                .map_or_else(|error| error.into_inner().0, |(state, _)| state);
        }
        drop(state);
        let seen = match outcome.get() {
            Some(result) => result.clone()?,
            None => return Err(GitError::Timeout { remote: self.shown() }),
        };
        let find = |branch: &&str| match seen.heads.get(*branch) {
            Some(Some(id)) => Ok(((*branch).to_owned(), Revision::new(id.to_string()))),
            _ => Err(GitError::BranchGone { remote: self.shown(), branch: (*branch).to_owned() }),
        };
        let news = if seen.moved { News::Moved } else { News::Unchanged };
        Ok(Fetched { revisions: branches.iter().map(find).collect::<Result<_, _>>()?, news })
    }

    /// The files of a revision that was fetched.
    pub fn tree(&self, revision: &Revision) -> Result<GitTree, GitError> {
        self.find(revision, |objects| GitTree::open(objects, revision))
    }

    pub fn commit_info(&self, revision: &Revision) -> Result<CommitInfo, GitError> {
        self.find(revision, |objects| CommitInfo::read(objects, revision))
    }

    pub(super) fn find<T>(
        &self,
        revision: &Revision,
        read: impl Fn(&Arc<Objects>) -> Option<T>,
    ) -> Result<T, GitError> {
        let (current, previous) = {
            let state = lock(&self.state);
            (state.current.as_ref().map(|generation| generation.objects.clone()), state.previous.clone())
        };
        let found = current.iter().chain(&previous).find_map(read);
        found.ok_or_else(|| GitError::RevisionGone { remote: self.shown(), revision: revision.clone() })
    }

    fn shown(&self) -> String {
        self.remote.url().to_string()
    }

    /// Adds a request to the batch that starts next, and sees to it that somebody works.
    fn join(self: &Arc<Self>, branches: &[&str], deadline: Instant) -> Result<SharedLook, GitError> {
        let mut state = lock(&self.state);
        let batch = state.next.get_or_insert_with(|| Batch {
            wanted: BTreeSet::new(),
            deadline,
            outcome: SharedLook::default(),
        });
        batch.wanted.extend(branches.iter().map(|branch| (*branch).to_owned()));
        batch.deadline = batch.deadline.max(deadline);
        let (outcome, deadline) = (batch.outcome.clone(), batch.deadline);
        match state.worker {
            Some(worker) if Instant::now() < worker.deadline + self.limits.overrun => return Ok(outcome),
            Some(_) if state.stuck == MAX_STUCK => return Ok(outcome),
            Some(_) => state.stuck += 1,
            None => {}
        }
        let worker = Worker { id: fastrand::u64(..), deadline };
        let mirror = self.clone();
        let spawned =
            std::thread::Builder::new().name("git fetch".to_owned()).spawn(move || mirror.work(worker.id));
        if let Err(error) = spawned {
            state.next = None;
            return Err(GitError::Fetch { remote: self.shown(), source: Cause(error.to_string()) });
        }
        state.worker = Some(worker);
        Ok(outcome)
    }
}

impl Generation {
    fn new(objects: Arc<Objects>) -> Self {
        let fresh_bytes = Usage::of(&objects).bytes;
        Self { objects, fresh_bytes }
    }
}

impl Mirror {
    /// Runs batches until none waits, or until this worker was given up.
    fn work(&self, id: u64) {
        loop {
            let mut state = lock(&self.state);
            if state.worker.is_none_or(|worker| worker.id != id) {
                state.stuck -= 1;
                return;
            }
            let Some(batch) = state.next.take() else {
                state.worker = None;
                return;
            };
            state.worker = Some(Worker { id, deadline: batch.deadline });
            drop(state);
            let run = std::panic::AssertUnwindSafe(|| self.run(&batch, id));
            let result = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                let source = Cause("the fetch panicked; this is a bug".to_owned());
                Err(GitError::Fetch { remote: self.remote.url().to_string(), source })
            });
            // Under the lock, so that nobody looks before and waits after.
            let state = lock(&self.state);
            let _ = batch.outcome.set(result);
            self.ended.notify_all();
            drop(state);
        }
    }

    fn run(&self, batch: &Batch, id: u64) -> Result<RemoteHeads, GitError> {
        self.reach.resolve(&self.remote)?;
        let Some(current) = self.usable() else {
            return self.rebuild(batch, id);
        };
        let result = self.sync(&current.objects, batch);
        let broken = {
            let mut state = lock(&self.state);
            state.broken =
                if matches!(result, Err(GitError::Transfer { .. })) { state.broken + 1 } else { 0 };
            state.broken
        };
        match result {
            Ok(seen) => {
                if seen.moved && self.has_grown(&current) {
                    self.pack_anew(&current, batch, id);
                }
                Ok(seen)
            }
            Err(GitError::Cache { .. }) => self.rebuild(batch, id),
            Err(GitError::Transfer { .. }) if broken == 2 => self.rebuild(batch, id),
            Err(error) => Err(error),
        }
    }

    /// The current generation, unless it is to be fetched anew.
    fn usable(&self) -> Option<Generation> {
        let mut state = lock(&self.state);
        let current = state.current.clone()?;
        let healed_lately = state.healed.is_some_and(|healed| healed.elapsed() < HEAL_PAUSE);
        if !current.objects.is_damaged() || healed_lately {
            return Some(current);
        }
        state.healed = Some(Instant::now());
        None
    }

    fn sync(&self, objects: &Objects, batch: &Batch) -> Result<RemoteHeads, GitError> {
        let (mut result, limit) = (None, self.fetch_bytes());
        let opened = objects.with(|repo| {
            result = Some(sync(repo, &self.remote, &batch.wanted, batch.deadline, limit));
            Ok(())
        });
        let unopened = |error: git2::Error| {
            let source = Cause(error.message().to_owned());
            GitError::Cache { folder: objects.folder().to_owned(), source }
        };
        opened.map_err(unopened)?;
        result.unwrap_or_else(|| Err(unopened(git2::Error::from_str("it was not opened"))))
    }

    /// Fetches all that is wanted into a new generation. The old one stays until that has worked.
    fn rebuild(&self, batch: &Batch, id: u64) -> Result<RemoteHeads, GitError> {
        let objects = self.store.create(self.next_number())?;
        let seen = self.sync(&objects, batch)?;
        self.store.complete(&objects)?;
        self.swap(objects, id);
        Ok(seen)
    }

    fn has_grown(&self, generation: &Generation) -> bool {
        let usage = Usage::of(&generation.objects);
        usage.packs > self.limits.packs
            || usage.bytes > self.limits.cache_bytes.max(2 * generation.fresh_bytes)
    }

    /// What was fetched is there either way, so a failure here is not the fetch's. What cannot be packed is fetched anew.
    fn pack_anew(&self, current: &Generation, batch: &Batch, id: u64) {
        match self.store.pack_anew(&current.objects, self.next_number()) {
            Ok(objects) => self.swap(objects, id),
            Err(GitError::DiskFull { .. }) => {}
            Err(_) => drop(self.rebuild(batch, id)),
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        let mut state = lock(&self.state);
        state.newest += 1;
        state.newest
    }

    fn swap(&self, objects: Arc<Objects>, id: u64) {
        let new = Generation::new(objects);
        let mut state = lock(&self.state);
        if state.worker.is_none_or(|worker| worker.id != id) {
            new.objects.retire();
            return;
        }
        let old = state.current.replace(new).map(|generation| generation.objects);
        old.iter().for_each(|objects| objects.retire());
        let older = std::mem::replace(&mut state.previous, old);
        drop(state);
        // Removes a folder, if nobody reads it any more: not under the lock.
        drop(older);
    }
}
