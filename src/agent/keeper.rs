//! Keeps what one environment remembers outside of this process, and says it again after a start.
//!
//! What is saved is one value, replaced as a whole: changes are made to the newest, pieces are written before the
//! document that names them, and dropped after the last one that did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, RwLock};

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::cluster::{DocumentVersion, Index, Vault, VaultError, chain};
use crate::object::{AppName, Digest, EnvironmentName, Live, ObjectKey, Revision};
use crate::plan::{Action, CheckedPlan, Known, Lookup, WantedApp};
use crate::state::{
    Damage, Document, Good, Hooks, Ledger, Memory, Piece, Pieces, Quarantine, Rolling, Stage, Stored,
    Unreadable, read_good, read_ledger, write_good, write_ledger,
};

/// Who loses a swap looks again at once; who loses this often is not alone, and says so.
const SWAPS: usize = 5;
/// Pieces that are written at the same time.
const AT_ONCE: usize = 4;

pub struct Keeper {
    vault: Vault,
    environment: EnvironmentName,
    saved: RwLock<Arc<Memory>>,
    /// What was written since, and is not saved yet.
    notes: Mutex<Vec<(ObjectKey, Box<str>)>>,
    /// Pieces that are not what they should be; they are written again when it is known what they held.
    damaged: Mutex<BTreeSet<Digest>>,
    news: Mutex<Vec<String>>,
    swap: tokio::sync::Mutex<Swap>,
}

/// What an app runs now that it passed all its gates.
pub struct Ran {
    pub wanted: Arc<WantedApp>,
    pub revision: Option<Revision>,
    pub depends_on: Vec<AppName>,
    /// Objects that are no more.
    pub gone: BTreeSet<ObjectKey>,
    /// The apps that there are; of others nothing needs to be known.
    pub apps: BTreeSet<AppName>,
}

struct Swap {
    version: Option<DocumentVersion>,
    ledger: Pieces,
}

#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(
        "the Secret {name} cannot be used: {source}. Put it back, or delete it to begin anew: then nothing is deleted unasked"
    )]
    Document { name: String, source: Unreadable },
    #[error("the Secret {0} cannot be used")]
    Piece(String, #[source] Damage),
}

impl Keeper {
    /// Reads what is remembered. What is damaged is named, and what it said is not known: that is no evidence of anything.
    pub async fn open(vault: &Vault, environment: &EnvironmentName) -> Result<Self, KeeperError> {
        let mut keeper = Self {
            vault: vault.clone(),
            environment: environment.clone(),
            saved: RwLock::default(),
            notes: Mutex::default(),
            damaged: Mutex::default(),
            news: Mutex::default(),
            swap: tokio::sync::Mutex::new(Swap { version: None, ledger: Pieces::default() }),
        };
        let (memory, swap) = keeper.read().await?;
        if swap.version.is_some() {
            // Where the document itself is gone, someone may put it back, and then it needs its pieces.
            keeper.sweep(&memory, &swap.ledger).await;
        }
        keeper.saved = RwLock::new(Arc::new(memory));
        keeper.swap = tokio::sync::Mutex::new(swap);
        Ok(keeper)
    }

    async fn read(&self) -> Result<(Memory, Swap), KeeperError> {
        let Some((bytes, version)) = self.vault.read(&self.environment).await? else {
            return Ok((Memory::default(), Swap { version: None, ledger: Pieces::default() }));
        };
        let document = Document::read(&bytes, &self.environment).map_err(|source| KeeperError::Document {
            name: self.vault.document_name(&self.environment),
            source,
        })?;
        let pieces = document.ledger.clone();
        let ledger = match self.fetch(&pieces).await? {
            Ok(stored) => read_ledger(&pieces, &stored),
            Err(damage) => Err(damage),
        };
        let ledger = ledger.unwrap_or_else(|damage| {
            self.tell_damage(&damage, "which objects were written");
            Ledger::default()
        });
        let memory = Memory { apps: document.into_apps(), ledger };
        Ok((memory, Swap { version: Some(version), ledger: pieces }))
    }

    async fn fetch(&self, pieces: &Pieces) -> Result<Result<Vec<Piece>, Damage>, VaultError> {
        let mut stored = Vec::new();
        for name in pieces.names() {
            match self.vault.piece(&self.environment, name).await? {
                Ok(piece) => stored.push(piece),
                Err(damage) => return Ok(Err(damage)),
            }
        }
        Ok(Ok(stored))
    }

    /// Names what is missing, and drops what nothing needs: a process that died left it. Failing to is no reason to fail.
    async fn sweep(&self, memory: &Memory, ledger: &Pieces) {
        let names = match self.vault.names(&self.environment).await {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what is remembered cannot be listed");
                return;
            }
        };
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let goods = memory.pieces();
        for piece in goods.iter().chain(ledger.names()) {
            needed.insert(Vault::short_name(&self.environment, piece));
        }
        for name in names.iter().filter(|name| !needed.contains(*name)) {
            self.drop_named(name).await;
        }
        for piece in &goods {
            if !names.contains(&Vault::short_name(&self.environment, piece)) {
                self.tell_damage(&Damage::Missing(piece.clone()), &self.users(memory, piece));
            }
        }
    }

    /// Reads every piece of what apps ran, and names those that are damaged.
    pub async fn verify(&self) -> Result<(), VaultError> {
        let memory = self.memory();
        for piece in memory.pieces() {
            if let Err(damage) = self.vault.piece(&self.environment, &piece).await?
                && !self.damaged().contains(&piece)
                && self.memory().pieces().contains(&piece)
            {
                self.tell_damage(&damage, &self.users(&memory, &piece));
            }
        }
        Ok(())
    }

    fn users(&self, memory: &Memory, piece: &Digest) -> String {
        let uses = |good: &Good| good.pieces.names().any(|name| name == piece);
        let apps = memory.apps.iter().filter(|(_, app)| app.goods().any(uses));
        let names: Vec<&str> = apps.map(|(name, _)| name.as_str()).collect();
        format!("what {} ran when all was well", names.join(", "))
    }

    fn tell_damage(&self, damage: &Damage, what: &str) {
        let name = match damage {
            Damage::Missing(piece) | Damage::Altered(piece) => {
                self.damaged().insert(piece.clone());
                self.vault.piece_name(&self.environment, piece)
            }
            Damage::Unreadable(_) => self.vault.document_name(&self.environment),
        };
        let note = format!("the Secret {name}: {damage}; it says {what}");
        self.news.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(note);
    }

    fn damaged(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What was found damaged since the last time.
    pub fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut self.news.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// What is saved.
    pub fn memory(&self) -> Arc<Memory> {
        self.saved.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn knows(&self, live: &Live) -> Known {
        self.memory().ledger.knows(live)
    }

    /// Remembers the uid of an object that was written; it is saved with whatever is saved next.
    pub fn note(&self, live: &Live) {
        let mut notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        notes.push((live.key.clone(), live.uid.clone()));
    }

    /// Saves what is about to be made, before it is: so that it is known as ours even if nobody is there to see it made.
    pub async fn begin(
        &self,
        plan: &CheckedPlan,
        quarantine: Option<&Quarantine>,
        rolling: Option<&Rolling>,
    ) -> Result<(), KeeperError> {
        self.save(Vec::new(), |memory| {
            // Whoever finds this half done has to know which way it goes, and how far it came.
            if quarantine.is_some() || rolling.is_some() || memory.apps.contains_key(plan.app()) {
                let app = memory.apps.entry(plan.app().clone()).or_default();
                (app.quarantined, app.rolling) = (quarantine.cloned(), rolling.cloned());
            }
            for step in plan.steps() {
                let wanted = step.wanted();
                match step.action() {
                    _ if step.replaces() => memory.ledger.intend(&wanted.key, &wanted.digest),
                    Action::Create => memory.ledger.intend(&wanted.key, &wanted.digest),
                    // After this write nobody can tell any more that it was what we were about to make.
                    Action::Update { uid } => {
                        if let Some(live) = step.live().filter(|live| live.uid == *uid)
                            && memory.ledger.knows(live) == Known::Same
                        {
                            memory.ledger.record(&wanted.key, uid);
                        }
                    }
                }
            }
        })
        .await
    }

    /// Saves how far a rollout came, before its next wave is written.
    pub async fn roll(&self, app: &AppName, rolling: Option<&Rolling>) -> Result<(), KeeperError> {
        self.save(Vec::new(), |memory| {
            if rolling.is_some() || memory.apps.contains_key(app) {
                memory.apps.entry(app.clone()).or_default().rolling = rolling.cloned();
            }
        })
        .await
    }

    /// Saves what an app runs now that it passed all its gates.
    pub async fn good(&self, ran: &Ran, index: &Index) -> Result<(), KeeperError> {
        let Ran { wanted, revision, depends_on, gone, apps } = ran;
        let known = self.memory().apps.get(&wanted.app).and_then(|app| app.last_good.clone());
        let known = known.filter(|good| {
            good.digest == wanted.digest && !good.pieces.names().any(|name| self.damaged().contains(name))
        });
        let (good, made) = match known {
            Some(good) => (good, Vec::new()),
            None => {
                let app = wanted.clone();
                let packed = tokio::task::spawn_blocking(move || write_good(&app)).await;
                let (pieces, made) =
                    packed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                let objects = wanted.objects.len();
                (Good { digest: wanted.digest.clone(), revision: revision.clone(), objects, pieces }, made)
            }
        };
        self.save(made, |memory| {
            memory.retain_apps(|name| apps.contains(name));
            memory.note_good(&wanted.app, good.clone());
            let app = memory.apps.entry(wanted.app.clone()).or_default();
            app.depends_on.clone_from(depends_on);
            app.rolling = None;
            for object in &wanted.objects {
                if let Some(live) = index.live(&object.key).filter(|live| live.owned.is_some()) {
                    memory.ledger.record(&object.key, &live.uid);
                }
            }
            memory.ledger.retain(|key, _| !gone.contains(key));
        })
        .await
    }

    /// Saves what of an app failed, or that nothing did.
    pub async fn quarantine(
        &self,
        app: &AppName,
        quarantine: Option<&Quarantine>,
    ) -> Result<(), KeeperError> {
        self.save(Vec::new(), |memory| {
            if quarantine.is_some() || memory.apps.contains_key(app) {
                let app = memory.apps.entry(app.clone()).or_default();
                app.quarantined = quarantine.cloned();
                if quarantine.is_some_and(|failed| failed.stage != Stage::Going) {
                    app.rolling = None; // The way back is over.
                }
            }
        })
        .await
    }

    /// Saves that every app is well at this moment, with these digests.
    pub async fn all_good(&self, apps: &BTreeMap<AppName, Digest>) -> Result<(), KeeperError> {
        self.save(Vec::new(), |memory| {
            for (name, digest) in apps {
                if let Some(app) = memory.apps.get_mut(name)
                    && let Some(good) = app.last_good.clone().filter(|good| good.digest == *digest)
                {
                    app.with_all = Some(good);
                }
            }
        })
        .await
    }

    /// Saves what becomes of an app's hooks, and which way the app goes.
    pub async fn hooks(
        &self,
        app: &AppName,
        hooks: &Hooks,
        quarantine: Option<&Quarantine>,
    ) -> Result<(), KeeperError> {
        self.save(Vec::new(), |memory| {
            let known = memory.apps.entry(app.clone()).or_default();
            known.hooks.clone_from(hooks);
            known.quarantined = quarantine.cloned();
            for run in hooks.values().flat_map(|memory| &memory.runs) {
                if let Some(uid) = &run.uid {
                    memory.ledger.record(&run.job, uid);
                }
            }
        })
        .await
    }

    /// What an app ran when it last passed all its gates.
    pub async fn last_good(&self, app: &AppName) -> Result<Option<Stored>, KeeperError> {
        let memory = self.memory();
        match memory.apps.get(app).and_then(|app| app.last_good.as_ref()) {
            Some(good) => self.stored(app, &good.digest).await,
            None => Ok(None),
        }
    }

    /// What an app ran once, if that is stored.
    pub async fn stored(&self, app: &AppName, digest: &Digest) -> Result<Option<Stored>, KeeperError> {
        let memory = self.memory();
        let good = memory.apps.get(app).and_then(|app| app.goods().find(|good| good.digest == *digest));
        let Some(good) = good else { return Ok(None) };
        let stored = self.fetch(&good.pieces).await?;
        let read = stored.and_then(|stored| read_good(app, &good.digest, &good.pieces, &stored));
        match read {
            Ok(stored) => Ok(Some(stored)),
            Err(damage) => {
                let name = match &damage {
                    Damage::Missing(piece) | Damage::Altered(piece) => {
                        self.vault.piece_name(&self.environment, piece)
                    }
                    Damage::Unreadable(_) => self.vault.document_name(&self.environment),
                };
                Err(KeeperError::Piece(name, damage))
            }
        }
    }

    /// Changes what is saved. Nothing is sent where nothing changes.
    async fn save(&self, made: Vec<Piece>, change: impl Fn(&mut Memory)) -> Result<(), KeeperError> {
        let mut swap = self.swap.lock().await;
        for _ in 0..SWAPS {
            let before = self.memory();
            let mut next = (*before).clone();
            let notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            notes.iter().for_each(|(key, uid)| next.ledger.record(key, uid));
            change(&mut next);
            let mut made = made.clone();
            let ledger = if next.ledger == before.ledger {
                swap.ledger.clone()
            } else {
                let (ledger, more) = write_ledger(&next.ledger);
                made.extend(more);
                ledger
            };
            if next == *before && made.is_empty() {
                self.forget_notes(notes.len());
                return Ok(());
            }
            self.put(&made, &before, &swap.ledger).await?;
            let document = Document::new(&self.environment, &next, ledger.clone()).write();
            match self.vault.swap(&self.environment, &document, swap.version.as_ref()).await {
                Ok(version) => {
                    let unused = unused((&before, &swap.ledger), (&next, &ledger));
                    *swap = Swap { version: Some(version), ledger };
                    *self.saved.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(next);
                    self.forget_notes(notes.len());
                    for piece in unused {
                        self.drop_named(&Vault::short_name(&self.environment, &piece)).await;
                    }
                    return Ok(());
                }
                Err(VaultError::Moved(name)) => {
                    tracing::warn!(%name, "someone else wrote what is remembered; it is read again");
                    let (memory, read) = self.read().await?;
                    *swap = read;
                    *self.saved.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(memory);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(VaultError::Moved(self.vault.document_name(&self.environment)).into())
    }

    /// Forgets all of it: the environment is no more.
    pub async fn forget(&self) -> Result<(), KeeperError> {
        Ok(self.vault.forget(&self.environment).await?)
    }

    fn forget_notes(&self, count: usize) {
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..count);
    }

    async fn put(&self, made: &[Piece], before: &Memory, ledger: &Pieces) -> Result<(), KeeperError> {
        let there: BTreeSet<Digest> = before.pieces().into_iter().chain(ledger.names().cloned()).collect();
        let damaged = self.damaged().clone();
        for piece in made.iter().filter(|piece| damaged.contains(&piece.name)) {
            // It bears the name and not the content, so it has to go first.
            self.vault.drop_named(&Vault::short_name(&self.environment, &piece.name)).await?;
        }
        let missing =
            made.iter().filter(|piece| !there.contains(&piece.name) || damaged.contains(&piece.name));
        stream::iter(missing.map(|piece| self.vault.put(&self.environment, piece)).collect::<Vec<_>>())
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.damaged().retain(|name| !made.iter().any(|piece| piece.name == *name));
        Ok(())
    }

    async fn drop_named(&self, name: &str) {
        if let Err(error) = self.vault.drop_named(name).await {
            tracing::warn!(error = %chain(&error), "a piece that nothing needs stays until the next start");
        }
    }
}

/// What the older of two needed and the newer does not.
fn unused(before: (&Memory, &Pieces), after: (&Memory, &Pieces)) -> BTreeSet<Digest> {
    let all = |(memory, ledger): (&Memory, &Pieces)| {
        let mut names = memory.pieces();
        names.extend(ledger.names().cloned());
        names
    };
    &all(before) - &all(after)
}
