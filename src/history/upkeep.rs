//! Looks after the database beside the work: seals days that are over, drops what is too old, makes partitions ahead.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::connection::Cell;
use super::rows::Table;
use super::seal::{self, Sealed};
use super::store::{HistoryError, Store};
use super::{Counts, Place, Settings, partitions, verify};
use crate::object::{chain, day_of};

const FIRST_RETRY: Duration = Duration::from_secs(10);
/// Rows that are deleted from a file in one go: whoever writes waits for no more than these.
const DELETED_AT_ONCE: u64 = 500;
const BETWEEN: Duration = Duration::from_millis(50);
/// The last batches of processes that are long gone.
const WRITERS_KEPT_DAYS: i64 = 7;
/// Partitions are there so many days before a row needs them.
const AHEAD_DAYS: i64 = 62;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub sealed: Vec<Sealed>,
    /// Rows of a file, or partitions of a server.
    pub dropped: u64,
}

pub(super) async fn run(
    place: Place,
    settings: Settings,
    every: Duration,
    counts: Arc<Counts>,
    end: CancellationToken,
) {
    let mut pause = FIRST_RETRY;
    loop {
        let looked = tokio::select! {
            looked = look_after(&place, &settings, Timestamp::now()) => looked,
            () = end.cancelled() => return,
        };
        let wait = match looked {
            Ok(done) => {
                tell(&place, &done);
                pause = FIRST_RETRY;
                every
            }
            Err(error) => {
                counts.fail();
                if pause == FIRST_RETRY {
                    let why = chain(&error);
                    tracing::warn!(%place, why, "the history cannot be looked after; it is tried again");
                }
                let now = pause;
                pause = (pause * 2).min(every);
                now
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = end.cancelled() => return,
        }
    }
}

fn tell(place: &Place, done: &Done) {
    // In the log of an agent a digest is out of reach of whoever may write to the database.
    for Sealed { day, records, digest } in &done.sealed {
        tracing::info!(%place, day = %verify::date(*day), records, %digest, "a day of the history was sealed");
    }
    if done.dropped > 0 {
        tracing::info!(%place, dropped = done.dropped, "what was too old went out of the history");
    }
}

/// Does what is due, on a connection of its own.
pub(super) async fn look_after(
    place: &Place,
    settings: &Settings,
    now: Timestamp,
) -> Result<Done, HistoryError> {
    let mut store = Store::open(place).await?;
    let done = look_after_open(&mut store, settings, now).await;
    store.close().await;
    done.map_err(|source| HistoryError::Write { place: place.clone(), source })
}

async fn look_after_open(
    store: &mut Store,
    settings: &Settings,
    now: Timestamp,
) -> Result<Done, sqlx::Error> {
    let today = day_of(now);
    // Yesterday's month, too: a record that comes late is of it, and who writes may not be let make tables.
    let ahead = [today - 1, today, today + AHEAD_DAYS / 2, today + AHEAD_DAYS].into();
    partitions::ensure(store, &ahead).await?;
    let sealed = seal::seal(store, now.as_millisecond(), &settings.instance).await?;
    let oldest = today - settings.kept_days;
    let mut dropped = 0;
    if store.is_postgres() {
        let gone = partitions::drop_before(store, oldest).await?;
        dropped += gone.len() as u64;
    } else {
        for table in Table::ALL {
            dropped += delete(store, table.name(), "day", oldest).await?;
        }
    }
    delete(store, "sealed_parts", "day", oldest).await?;
    let long_ago = now.as_millisecond() - WRITERS_KEPT_DAYS * DAY_MILLISECONDS;
    delete(store, "writers", "written", long_ago).await?;
    Ok(Done { sealed, dropped })
}

/// Deletes in pieces, with a pause between any two.
async fn delete(store: &mut Store, table: &str, column: &str, before: i64) -> Result<u64, sqlx::Error> {
    let mut all = 0;
    loop {
        let mut lent = store.lend().await?;
        let mut connection = lent.connection();
        let chosen =
            |row: &str| format!("SELECT {row} FROM {table} WHERE {column} < $1 LIMIT {DELETED_AT_ONCE}");
        let sql = if connection.is_postgres() {
            format!("DELETE FROM {table} WHERE ctid = ANY(ARRAY({}))", chosen("ctid"))
        } else {
            format!("DELETE FROM {table} WHERE rowid IN ({})", chosen("rowid"))
        };
        let deleted = connection.execute(&sql, &[Cell::Number(before)]).await?;
        all += deleted;
        if deleted < DELETED_AT_ONCE {
            return Ok(all);
        }
        drop(lent);
        tokio::time::sleep(BETWEEN).await;
    }
}
