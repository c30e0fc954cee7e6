//! Keeps what one environment remembers outside of this process, and gives it again after a start.
//!
//! Changes are values ([`Change`]); what waits to be saved is saved together (`batch`), and what apps wanted is read
//! where it stands (`pieces`). Where things stand and what has to be written is decided by [`Log`].

mod batch;
mod error;
mod notes;
mod open;
mod pieces;
mod queue;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, oneshot};

use crate::cluster::{Environments, StateSecrets};
use crate::object::{AppName, Digest, Live, RolloutRecord};
use crate::plan::Known;
use crate::state::{Change, Good, Log, Memory, Packed, Prepared, Stored};

pub use error::StateError;
pub use open::Holder;

use notes::Notes;
use pieces::PieceReader;
use queue::{Queue, Waiting, Writer};

/// What one environment remembers.
pub struct StateStore {
    shared: Arc<Shared>,
}

/// The part that the store shares with the task that saves.
struct Shared {
    holder: Holder,
    secrets: StateSecrets,
    saved: RwLock<Arc<Log>>,
    /// What goes along with whatever is saved next.
    notes: Mutex<Notes>,
    queue: Mutex<Queue>,
    /// Signals that something was put into the queue.
    arrived: Notify,
    writer: tokio::sync::Mutex<Writer>,
    pieces: PieceReader,
}

impl StateStore {
    /// Reads what is remembered. What is damaged is named, and what it said is not known: that is no evidence of anything.
    pub async fn open(
        secrets: &StateSecrets,
        environments: &Environments,
        holder: &Holder,
    ) -> Result<Self, StateError> {
        Ok(Self { shared: Arc::new(open::open(secrets, environments, holder).await?) })
    }

    /// Saves changes, in this order, and returns when they are saved. What comes while another save is under way is saved
    /// together with what else waits. A save whose caller goes away is made all the same.
    pub async fn save(&self, changes: Vec<Change>) -> Result<(), StateError> {
        if changes.is_empty() && !self.has_notes() {
            return Ok(());
        }
        let changes = self.prepare(changes).await;
        let changes: Vec<_> = changes.into_iter().map(Arc::new).collect();
        if batch::says_nothing_new(&self.shared, &changes).await {
            return Ok(());
        }
        let (saved, told) = oneshot::channel();
        batch::enqueue(&self.shared, Waiting { changes, saved });
        told.await.unwrap_or(Err(StateError::Interrupted))
    }

    /// Takes a change that goes along with whatever is saved next.
    pub fn note(&self, change: Change) {
        lock(&self.shared.notes).add(change);
    }

    /// Says whether noted changes wait to be saved.
    pub fn has_notes(&self) -> bool {
        !lock(&self.shared.notes).is_empty()
    }

    /// Returns the uid of the Environment whose memory it is.
    pub fn uid(&self) -> &str {
        &self.shared.holder.uid
    }

    /// Returns what is saved.
    pub fn memory(&self) -> Arc<Memory> {
        self.shared.log().memory().clone()
    }

    /// Says whether this object is the one that was written under its name: as it was saved, or as it waits to be.
    pub fn knows(&self, live: &Live) -> Known {
        let noted = lock(&self.shared.notes).knows(live);
        noted.unwrap_or_else(|| self.shared.log().memory().ledger.knows(live))
    }

    /// Returns what became of the last rollouts of an app, the newest first, with those that wait to be saved.
    pub fn recent(&self, app: &AppName) -> Vec<RolloutRecord> {
        let mut recent = lock(&self.shared.notes).records(app);
        let log = self.shared.log();
        let saved = log.memory().apps.get(app);
        recent.extend(saved.into_iter().flat_map(|known| known.recent.iter().rev().cloned()));
        recent
    }

    /// Reads what an app ran when it last passed all its gates.
    pub async fn last_good(&self, app: &AppName) -> Result<Option<Stored>, StateError> {
        self.shared.read_good(app, |known| known.last_good.as_ref()).await
    }

    /// Reads what an app ran under this digest, of all that it can be put back to.
    pub async fn good_of(&self, app: &AppName, digest: &Digest) -> Result<Option<Stored>, StateError> {
        self.shared.read_good(app, |known| known.goods().find(|good| good.digest == *digest)).await
    }

    /// Reads every piece of what apps ran, and names those that are damaged.
    pub async fn verify(&self) -> Result<(), StateError> {
        let memory = self.memory();
        for name in memory.pieces() {
            let found = self.shared.secrets.piece(&self.shared.holder.environment, &name).await?;
            if let Err(damage) = found
                && !self.shared.pieces.is_damaged(&name)
                && self.memory().pieces().contains(&name)
            {
                self.shared.name_damage(&damage, &users(&memory, &name));
            }
        }
        Ok(())
    }

    /// Takes the descriptions of what was found damaged since the last call.
    pub fn take_news(&self) -> Vec<String> {
        self.shared.pieces.take_news()
    }

    /// Forgets all of it: the environment is no more.
    pub async fn forget(&self) -> Result<(), StateError> {
        let mut writer = self.shared.writer.lock().await;
        let Holder { environment, uid, .. } = &self.shared.holder;
        self.shared.secrets.forget(environment).await?;
        *writer = Writer::new(None);
        self.shared.set(Log::new(environment).of(uid));
        Ok(())
    }

    /// Packs the objects that have to be stored. For a large app that takes a while, and no other save waits for it.
    async fn prepare(&self, changes: Vec<Change>) -> Vec<Prepared> {
        let memory = self.memory();
        let is_stored = |change: &Change| match change.to_store() {
            None => true,
            Some((wanted, _)) => memory.apps.get(&wanted.app).is_some_and(|known| {
                known.goods().any(|good| good.digest == wanted.digest && self.shared.is_whole(good))
            }),
        };
        if changes.iter().all(is_stored) {
            return changes.into_iter().map(Prepared::from).collect();
        }
        let stored: Vec<bool> = changes.iter().map(is_stored).collect();
        let pack = move || {
            let prepare = |(change, stored): (Change, bool)| {
                let wanted = change.to_store().filter(|_| !stored).map(|(wanted, _)| wanted.clone());
                Prepared { change, packed: wanted.map(|wanted| Packed::of(&wanted)) }
            };
            changes.into_iter().zip(stored).map(prepare).collect()
        };
        let packed = tokio::task::spawn_blocking(pack).await;
        packed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Shared {
    fn log(&self) -> Arc<Log> {
        self.saved.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, log: Log) {
        *self.saved.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(log);
    }

    fn is_whole(&self, good: &Good) -> bool {
        !good.pieces.names().any(|name| self.pieces.is_damaged(name))
    }
}

/// Says in words what a piece is for.
fn users(memory: &Memory, piece: &Digest) -> String {
    let uses = |good: &Good| good.pieces.names().any(|name| name == piece);
    let apps = memory.apps.iter().filter(|(_, app)| app.goods().any(uses));
    let names: BTreeSet<&str> = apps.map(|(name, _)| name.as_str()).collect();
    let shown: Vec<&str> = names.iter().take(USERS_SHOWN).copied().collect();
    let more = match names.len().saturating_sub(USERS_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("what {}{more} ran when all was well", shown.join(", "))
}

/// A piece may be shared by hundreds of apps; an event is a line.
const USERS_SHOWN: usize = 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
