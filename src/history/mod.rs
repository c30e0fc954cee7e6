//! The record of what happened, for longer than an environment remembers it: rollouts, drift and events on one time line.
//!
//! It is written beside the work and never in its way: what happened goes into a bounded queue, and one task writes it in
//! batches. A database that is slow, full or gone holds nobody up; what it did not take is counted, and told once. At rest
//! nothing is written. The place is a URL: SQLite for one replica, PostgreSQL for several, with the same tables. A second
//! task seals days that are over, so that a record that is removed or altered later is found, and drops what is too old.

mod batch;
mod connection;
mod partitions;
mod place;
mod read;
mod rows;
mod seal;
mod store;
mod upkeep;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use batch::Ticket;
pub use place::{BadPlace, Place};
pub use read::{EntryKind, Export, Found, ObjectQuery, Query};
pub use rows::{Entry, Row};
pub use seal::Sealed;
pub use store::HistoryError;
use store::Store;
pub use upkeep::Done;
pub use verify::{Check, Fault, Verdict, Wrong, date};

use crate::object::{DriftRecord, EnvironmentName, RecordId, RolloutRecord, TimelineEvent, chain};

/// What waits to be written while the database is busy or gone: some hours of a busy day,
const WAITING: usize = if cfg!(test) { 2000 } else { 10_000 };
/// and bytes of it, about.
const WAITING_BYTES: usize = 16 << 20;
/// Written in one transaction at most.
const BATCH: usize = 500;
/// What ends at the same time is written together.
const GATHER: Duration = Duration::from_millis(500);
/// A database that failed is tried again after this long, and then ever more rarely.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_secs(120);
/// A batch that takes longer is given up, with its connection: the server may be gone without a word.
const WRITING: Duration = Duration::from_secs(30);
/// At the end what is left has this long.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What an agent knows of itself and of how long its history is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the cluster, where several share a database; empty where none was given.
    pub cluster: String,
    /// The name of the replica, for people.
    pub instance: String,
    pub kept_days: i64,
    /// How often somebody looks whether a day is to be sealed, or something is too old; never where there is none.
    pub upkeep_every: Option<Duration>,
}

/// At rest this asks, and writes nothing.
const UPKEEP_EVERY: Duration = Duration::from_secs(3600);
/// "Over a year" is what an audit asks for.
pub const KEPT_DAYS: i64 = 400;

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            instance: "fairlead".to_owned(),
            kept_days: KEPT_DAYS,
            upkeep_every: Some(UPKEEP_EVERY),
        }
    }
}

/// Takes records. Whoever tells it one does not wait.
pub struct History {
    queue: mpsc::Sender<Entry>,
    writer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    end: CancellationToken,
    counts: Arc<Counts>,
    cluster: String,
    place: Place,
}

/// Since the start.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    failures: AtomicU64,
    lost: AtomicU64,
    waiting_bytes: AtomicUsize,
}

impl Counts {
    fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn lose(&self, count: usize) {
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn take_out(&self, entries: &[Entry]) {
        let weight = entries.iter().map(Entry::weight).sum();
        self.waiting_bytes.fetch_sub(weight, Ordering::Relaxed);
    }
}

impl History {
    /// A place that cannot be opened is tried again, and is no reason not to start.
    pub fn start(place: Place, settings: Settings) -> Self {
        let (queue, entries) = mpsc::channel(WAITING);
        let counts = Arc::new(Counts::default());
        let end = CancellationToken::new();
        if place.is_exposed() {
            tracing::warn!(%place, "nobody makes sure that this is the server: say sslmode=verify-full");
        }
        let cluster = settings.cluster.clone();
        let writer = tokio::spawn(write(place.clone(), entries, counts.clone(), end.clone()));
        if let Some(every) = settings.upkeep_every {
            tokio::spawn(upkeep::run(place.clone(), settings, every, counts.clone(), end.clone()));
        }
        let writer = tokio::sync::Mutex::new(Some(writer));
        Self { queue, writer, end, counts, cluster, place }
    }

    /// What has drifted in an environment and was not over when that was written last: the newest so many records since
    /// then are looked through.
    pub async fn open_drift(
        &self,
        environment: &EnvironmentName,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<DriftRecord>, HistoryError> {
        let (environment, kinds) = (Some(environment.clone()), vec![EntryKind::Drift]);
        let query = Query { environment, since: Some(since), kinds, limit, ..Query::default() };
        let found = read(&self.place, &query).await?;
        let open = found.entries.into_iter().filter_map(|entry| match entry {
            Entry::Drift(record) if record.closed.is_none() && record.cluster == self.cluster => {
                Some(*record)
            }
            _ => None,
        });
        Ok(open.collect())
    }

    /// A rollout ended.
    pub fn tell(&self, environment: &EnvironmentName, record: RolloutRecord) {
        let row = Row { cluster: self.cluster.clone(), environment: environment.clone(), record };
        self.put(Entry::Rollout(Box::new(row)));
    }

    /// A field was seen to differ, or something more is known of that. See [`DriftRecord`] for what is coalesced.
    pub fn tell_drift(&self, mut record: DriftRecord) {
        if record.cluster.is_empty() {
            record.cluster.clone_from(&self.cluster);
        }
        self.put(Entry::Drift(Box::new(record.bounded())));
    }

    /// Something else happened that belongs on the time line.
    pub fn tell_event(&self, mut event: TimelineEvent) {
        if event.cluster.is_empty() {
            event.cluster.clone_from(&self.cluster);
        }
        self.put(Entry::Event(Box::new(event.bounded())));
    }

    fn put(&self, entry: Entry) {
        let weight = entry.weight();
        let waiting = self.counts.waiting_bytes.fetch_add(weight, Ordering::Relaxed);
        if waiting > WAITING_BYTES || self.queue.try_send(entry).is_err() {
            self.counts.waiting_bytes.fetch_sub(weight, Ordering::Relaxed);
            self.counts.lose(1);
        }
    }

    /// How many records were written, how often writing failed, and how many records were given up.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.written), read(&self.counts.failures), read(&self.counts.lost))
    }

    /// How many records wait to be written.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Takes no more, and writes what is left.
    pub async fn end(&self) {
        self.end.cancel();
        if let Some(writer) = self.writer.lock().await.take() {
            let abort = writer.abort_handle();
            if tokio::time::timeout(LAST_WORDS, writer).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// A new id for a record of now.
pub fn new_id() -> RecordId {
    RecordId::new(Timestamp::now(), fastrand::u128(..))
}

/// A history that is open to be read.
pub struct Reader(Store);

impl Reader {
    pub async fn open(place: &Place) -> Result<Self, HistoryError> {
        Store::open_to_read(place).await.map(Self)
    }

    /// Reads the time line, the newest first.
    pub async fn read(&mut self, query: &Query) -> Result<Found, HistoryError> {
        let found = read::newest(&mut self.0, query).await;
        found.map_err(|source| HistoryError::Read { place: self.0.place.clone(), source })
    }

    pub async fn close(self) {
        self.0.close().await;
    }
}

/// Opens a history and reads its time line, the newest first.
pub async fn read(place: &Place, query: &Query) -> Result<Found, HistoryError> {
    let mut reader = Reader::open(place).await?;
    let found = reader.read(query).await;
    reader.close().await;
    found
}

/// Reads the whole time line in the order of time, as much at once as one page.
pub async fn export(place: &Place, query: Query) -> Result<Export, HistoryError> {
    Ok(Export::new(Store::open_to_read(place).await?, query))
}

impl Export {
    /// The next entry, until there is none.
    pub async fn next(&mut self) -> Result<Option<Entry>, HistoryError> {
        let next = self.next_entry().await;
        next.map_err(|source| HistoryError::Read { place: self.place().clone(), source })
    }
}

/// Does once what an agent does every hour: seals days that are over, drops what is too old, makes partitions ahead.
pub async fn look_after(place: &Place, settings: &Settings, now: Timestamp) -> Result<Done, HistoryError> {
    upkeep::look_after(place, settings, now).await
}

/// Looks whether any record was removed or altered since its day was sealed.
pub async fn verify(place: &Place, check: &Check) -> Result<Verdict, HistoryError> {
    let mut store = Store::open_to_read(place).await?;
    let verdict = verify::verify(&mut store, check).await;
    store.close().await;
    verdict.map_err(|source| HistoryError::Read { place: place.clone(), source })
}

/// The database, and what is said about it once.
struct Writer {
    place: Place,
    store: Option<Store>,
    ticket: Ticket,
    counts: Arc<Counts>,
    said_newer: bool,
    /// Of this batch the database refused a record.
    is_one_by_one: bool,
}

async fn write(
    place: Place,
    mut entries: mpsc::Receiver<Entry>,
    counts: Arc<Counts>,
    end: CancellationToken,
) {
    let ticket = Ticket { writer: new_id().to_string(), number: 1 };
    let mut writer = Writer {
        place,
        store: None,
        ticket,
        counts: counts.clone(),
        said_newer: false,
        is_one_by_one: false,
    };
    let (mut batch, mut pause) = (Vec::new(), FIRST_RETRY);
    loop {
        if batch.is_empty() {
            let got = tokio::select! {
                got = entries.recv_many(&mut batch, BATCH) => got,
                () = end.cancelled(), if !entries.is_closed() => {
                    entries.close();
                    continue;
                }
            };
            if got == 0 {
                return;
            }
            if batch.len() < BATCH {
                let _ = tokio::time::timeout(GATHER, end.cancelled()).await;
            }
            while batch.len() < BATCH
                && let Ok(entry) = entries.try_recv()
            {
                batch.push(entry);
            }
            counts.take_out(&batch);
        }
        match writer.put(&mut batch).await {
            Ok(()) => {
                if pause > FIRST_RETRY {
                    let place = &writer.place;
                    tracing::info!(%place, "the history is written again");
                }
                pause = FIRST_RETRY;
            }
            Err(error) => {
                counts.fail();
                if pause == FIRST_RETRY {
                    let (why, place) = (chain(&error), &writer.place);
                    tracing::warn!(%place, why, "the history cannot be written; rollouts go on, and it is tried again");
                }
                if end.is_cancelled() {
                    counts.lose(batch.len());
                    return;
                }
                let _ = tokio::time::timeout(pause, end.cancelled()).await;
                pause = (pause * 2).min(LAST_RETRY);
            }
        }
    }
}

impl Writer {
    /// Writes a batch; what is left in it after a failure is still to be written, and is given again.
    async fn put(&mut self, batch: &mut Vec<Entry>) -> Result<(), HistoryError> {
        let written = tokio::time::timeout(WRITING, self.try_put(batch)).await;
        let written = written.unwrap_or_else(|_| Err(HistoryError::Time { place: self.place.clone() }));
        if written.is_err() {
            // Whatever the connection was in the middle of: the next one begins anew.
            self.store = None;
        }
        written
    }

    async fn try_put(&mut self, batch: &mut Vec<Entry>) -> Result<(), HistoryError> {
        if !self.is_one_by_one {
            match self.write(batch).await {
                Err(HistoryError::Write { source, .. }) if is_of_the_data(&source) => {
                    self.is_one_by_one = true
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    self.counts.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    batch.clear();
                    return Ok(());
                }
            }
        }
        // One record must not keep the others out.
        while let Some(entry) = batch.first() {
            match self.write(std::slice::from_ref(entry)).await {
                Ok(()) => {
                    self.counts.written.fetch_add(1, Ordering::Relaxed);
                }
                Err(HistoryError::Write { source, .. }) if is_of_the_data(&source) => {
                    let (place, why) = (&self.place, chain(&source));
                    tracing::warn!(%place, why, "the history does not take a record");
                    self.counts.fail();
                    self.counts.lose(1);
                }
                Err(error) => return Err(error),
            }
            batch.remove(0);
        }
        self.is_one_by_one = false;
        Ok(())
    }

    async fn write(&mut self, batch: &[Entry]) -> Result<(), HistoryError> {
        let store = match &mut self.store {
            Some(store) => store,
            None => self.store.insert(Store::open(&self.place).await?),
        };
        if let Some(version) = store.newer.filter(|_| !self.said_newer) {
            self.said_newer = true;
            let place = &self.place;
            tracing::warn!(%place, version, "a newer version made the history's tables; what is known here is written");
        }
        let written = batch::write(store, &self.ticket, batch, Timestamp::now()).await;
        written.map_err(|source| HistoryError::Write { place: self.place.clone(), source })?;
        // The same number until it is known to be written.
        self.ticket.number += 1;
        Ok(())
    }
}

/// Whether it is the record that the database does not take, and not the database that takes nothing.
fn is_of_the_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // Classes of SQLSTATE: wrong data, and broken constraints. SQLite's code of the latter is 19, in its last byte.
    code.is_some_and(|code| {
        let is_postgres = code.len() == 5;
        let sqlite = code.parse::<i64>().is_ok_and(|code| code & 0xff == 19);
        if is_postgres { code.starts_with("22") || code.starts_with("23") } else { sqlite }
    })
}

#[cfg(test)]
mod tests;
