//! The record of what happened, for longer than an environment remembers it: one row for each rollout of an app.
//!
//! It is written beside the work and never in its way: what ended goes into a bounded queue, and one task writes it in
//! batches. A database that is slow, full or gone holds nobody up; what it did not take is counted, and told once. At rest
//! nothing is written. Only SQLite so far; the place is a URL, and the tables are such that PostgreSQL can hold them.

mod place;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use place::{BadPlace, Place};
use table::Table;
pub use table::{HistoryError, Query, Row};

use crate::object::{EnvironmentName, Record, chain};

/// What waits to be written while the database is busy or gone: some hours of a busy day.
const WAITING: usize = 2000;
/// Written in one transaction at most.
const BATCH: usize = 200;
/// What ends at the same time is written together.
const GATHER: Duration = Duration::from_millis(500);
/// A database that failed is tried again after this long, and then ever more rarely.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_secs(120);
/// At the end what is left has this long.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Takes records. Whoever tells it one does not wait.
pub struct History {
    queue: mpsc::Sender<Row>,
    writer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    end: CancellationToken,
    counts: Arc<Counts>,
}

/// Since the start.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    failures: AtomicU64,
    lost: AtomicU64,
}

impl History {
    /// Opens nothing yet: a place that cannot be opened is tried again, and is no reason not to start.
    pub fn start(place: Place) -> Self {
        let (queue, records) = mpsc::channel(WAITING);
        let counts = Arc::new(Counts::default());
        let end = CancellationToken::new();
        let writer = tokio::spawn(write(place, records, counts.clone(), end.clone()));
        Self { queue, writer: tokio::sync::Mutex::new(Some(writer)), end, counts }
    }

    pub fn tell(&self, environment: &EnvironmentName, record: Record) {
        let row = Row { environment: environment.clone(), record };
        if self.queue.try_send(row).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many rows were written, how often writing failed, and how many records were given up.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.written), read(&self.counts.failures), read(&self.counts.lost))
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

/// Reads rows, the newest first.
pub async fn read(place: &Place, query: &Query) -> Result<Vec<Row>, HistoryError> {
    Table::open_to_read(place).await?.rows(query).await
}

async fn write(place: Place, mut records: mpsc::Receiver<Row>, counts: Arc<Counts>, end: CancellationToken) {
    let mut table: Option<Table> = None;
    let (mut batch, mut pause) = (Vec::new(), FIRST_RETRY);
    loop {
        if batch.is_empty() {
            let got = tokio::select! {
                got = records.recv_many(&mut batch, BATCH) => got,
                () = end.cancelled(), if !records.is_closed() => {
                    records.close();
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
                && let Ok(row) = records.try_recv()
            {
                batch.push(row);
            }
        }
        match put(&mut table, &place, &batch).await {
            Ok(()) => {
                if pause > FIRST_RETRY {
                    tracing::info!(%place, "the history is written again");
                }
                counts.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
                batch.clear();
                pause = FIRST_RETRY;
            }
            Err(error) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                table = None;
                if pause == FIRST_RETRY {
                    let why = chain(&error);
                    tracing::warn!(%place, why, "the history cannot be written; rollouts go on, and it is tried again");
                }
                if end.is_cancelled() {
                    counts.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    return;
                }
                let _ = tokio::time::timeout(pause, end.cancelled()).await;
                pause = (pause * 2).min(LAST_RETRY);
            }
        }
    }
}

async fn put(table: &mut Option<Table>, place: &Place, rows: &[Row]) -> Result<(), HistoryError> {
    let table = match table {
        Some(table) => table,
        None => table.insert(Table::open(place).await?),
    };
    table.put(rows).await
}

#[cfg(test)]
mod tests;
