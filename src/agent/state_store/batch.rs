//! Saves what waits, together: while one save is under way, everything that comes waits for the next (group commit).
//!
//! The order is what a crash is survived by: pieces are written, then the document that names them is swapped, then those
//! that have waited are told, and then what nothing names any more is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::read;
use super::pieces::AT_ONCE;
use super::{Shared, StateError, lock};
use crate::cluster::{DocumentVersion, StateSecrets, StateSecretsError, chain};
use crate::object::Digest;
use crate::state::{Pace, Pieces, Prepared, Writes, unpack};

/// A loser of a swap looks again at once; one that loses this often is not alone, and says so.
const SWAPS: usize = 5;

/// So often a batch that the server refuses is halved: where it refuses everything, a thousand are not tried one by one.
const HALVED: usize = 16;

/// What waits to be saved.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    /// A task saves what is here, until nothing is.
    served: bool,
}

/// Changes that are saved together, and who is told.
pub(super) struct Waiting {
    pub changes: Vec<Arc<Prepared>>,
    pub saved: oneshot::Sender<Result<(), StateError>>,
}

/// What only one save at a time may have.
pub(super) struct Writer {
    version: Option<DocumentVersion>,
    /// Pieces that may have been written although what was to name them was not swapped.
    orphans: BTreeSet<Digest>,
    pace: Pace,
    began: Instant,
}

impl Writer {
    pub fn new(version: Option<DocumentVersion>) -> Self {
        Self { version, orphans: BTreeSet::new(), pace: Pace::new(Duration::ZERO), began: Instant::now() }
    }
}

/// Puts something into the queue, and has it served.
pub(super) fn enqueue(shared: &Arc<Shared>, waiting: Waiting) {
    let mut queue = lock(&shared.queue);
    queue.waiting.push(waiting);
    if !std::mem::replace(&mut queue.served, true) {
        tokio::spawn(serve(Serving { shared: shared.clone(), ended: false }));
    }
    drop(queue);
    shared.arrived.notify_one();
}

/// Serves the queue. Should it end before the queue is empty, those that wait learn that nothing is known of their saves.
struct Serving {
    shared: Arc<Shared>,
    ended: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = lock(&self.shared.queue);
            queue.served = false;
            queue.waiting.clear();
        }
    }
}

async fn serve(mut serving: Serving) {
    let shared = serving.shared.clone();
    let mut writer = shared.writer.lock().await;
    loop {
        let waiting = lock(&shared.queue).waiting.len();
        let pause = writer.pace.wait(waiting, writer.began.elapsed());
        if waiting > 0 && !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.arrived.notified() => {}
            }
            continue;
        }
        let batch = {
            let mut queue = lock(&shared.queue);
            if queue.waiting.is_empty() {
                // Whatever comes from here on is served by another task.
                (queue.served, serving.ended) = (false, true);
                return;
            }
            std::mem::take(&mut queue.waiting)
        };
        let now = writer.began.elapsed();
        writer.pace.pay(batch.len(), now);
        save_batch(&shared, &mut writer, batch).await;
    }
}

/// Saves a batch. Where the server refuses it, its halves are tried, so that what cannot be stored stops nothing else.
async fn save_batch(shared: &Shared, writer: &mut Writer, batch: Vec<Waiting>) {
    let mut batches = vec![batch];
    let mut halved = 0;
    while let Some(mut batch) = batches.pop() {
        let result = save_together(shared, writer, &batch).await;
        if batch.len() > 1 && halved < HALVED && result.as_ref().is_err_and(StateError::is_refusal) {
            halved += 1;
            let second = batch.split_off(batch.len() / 2);
            batches.extend([second, batch]);
            continue;
        }
        let told = result.as_ref().map(|_| ()).map_err(StateError::clone);
        for waiting in batch {
            // A caller that went away need not hear of it.
            let _ = waiting.saved.send(told.clone());
        }
        if let Ok(Some(unneeded)) = result {
            tidy(shared, writer, unneeded).await;
        }
    }
}

/// Saves changes, made to the newest that is saved. Says which pieces nothing needs any more, where something was saved.
async fn save_together(
    shared: &Shared,
    writer: &mut Writer,
    batch: &[Waiting],
) -> Result<Option<Unneeded>, StateError> {
    for _ in 0..SWAPS {
        let notes = lock(&shared.notes).take();
        let noted = notes.changes.iter().cloned().map(|change| Arc::new(Prepared::from(change)));
        let changes: Vec<Arc<Prepared>> =
            noted.chain(batch.iter().flat_map(|waiting| waiting.changes.iter().cloned())).collect();
        let (log, damaged) = (shared.log(), shared.pieces.damaged());
        let decided = decide(move || {
            let changes: Vec<&Prepared> = changes.iter().map(|change| &**change).collect();
            log.save(&changes, &damaged)
        });
        let Some(writes) = decided.await else {
            lock(&shared.notes).saved(&notes);
            return Ok(None);
        };
        match write(shared, writer, writes).await {
            Ok(unneeded) => {
                lock(&shared.notes).saved(&notes);
                return Ok(Some(unneeded));
            }
            Err(StateError::Secrets(error)) if matches!(*error, StateSecretsError::Moved(_)) => {
                tracing::warn!(%error, "someone else wrote what is remembered; it is read again");
                let read = read(&shared.secrets, &shared.environment).await?;
                if let Some(damage) = &read.damage {
                    shared.name_damage(damage, "which objects were written");
                }
                shared.set(read.log);
                writer.version = read.version;
            }
            Err(error) => return Err(error),
        }
    }
    Err(StateSecretsError::Moved(shared.secrets.document_name(&shared.environment)).into())
}

/// What is left to do when something was saved.
struct Unneeded {
    pieces: BTreeSet<Digest>,
    /// The journal went into pieces: time to see which of them are hardly needed.
    moved: bool,
}

/// Writes what was decided, in its order.
async fn write(shared: &Shared, writer: &mut Writer, writes: Writes) -> Result<Unneeded, StateError> {
    let Writes { puts, contents, mut drops, log } = writes;
    let (environment, before) = (&shared.environment, shared.log());
    let damaged = shared.pieces.damaged();
    for piece in puts.iter().filter(|piece| damaged.contains(&piece.name)) {
        // It bears the name and not the content, so it has to go first.
        shared.secrets.drop_named(&StateSecrets::short_name(environment, &piece.name)).await?;
    }
    let is_missing = |name: &Digest| !before.is_there(name) || damaged.contains(name);
    let missing: Vec<_> = puts.iter().filter(|piece| is_missing(&piece.name)).collect();
    writer.orphans.extend(missing.iter().map(|piece| piece.name.clone()));
    let put = |piece| shared.secrets.put(environment, piece);
    stream::iter(missing.into_iter().map(put).collect::<Vec<_>>())
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    shared.pieces.mended(puts.iter().map(|piece| &piece.name));
    writer.version = Some(shared.secrets.swap(environment, &contents, writer.version.as_ref()).await?);
    // What an older attempt wrote can be named by nobody now: its swap would have had to come before this one.
    let orphans = std::mem::take(&mut writer.orphans);
    drops.extend(orphans.into_iter().filter(|piece| !log.is_there(piece)));
    shared.set(log);
    Ok(Unneeded { pieces: drops, moved: !puts.is_empty() })
}

/// Drops what nothing needs, and gathers what is left of pieces that are hardly needed. Failing to is no reason to fail.
async fn tidy(shared: &Shared, writer: &mut Writer, unneeded: Unneeded) {
    shared.drop_pieces(&unneeded.pieces).await;
    let log = shared.log();
    let thin = if unneeded.moved { log.thin() } else { Vec::new() };
    if thin.is_empty() {
        return;
    }
    let mut lists: Vec<(Pieces, Vec<u8>)> = Vec::new();
    for list in thin {
        match shared.fetch(&list).await {
            Ok(Ok(stored)) => lists.extend(unpack(&list, &stored).ok().map(|all| (list, all))),
            Ok(Err(damage)) => shared.name_damage(&damage, "what some apps ran when all was well"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what is remembered cannot be tidied yet");
                return;
            }
        }
    }
    let Some(writes) = decide(move || log.gather(&lists)).await else { return };
    match write(shared, writer, writes).await {
        Ok(unneeded) => shared.drop_pieces(&unneeded.pieces).await,
        Err(error) => tracing::warn!(error = %chain(&error), "what is remembered cannot be tidied yet"),
    }
}

/// Decides what to write, which takes a while where much is written anew.
async fn decide(how: impl FnOnce() -> Option<Writes> + Send + 'static) -> Option<Writes> {
    let decided = tokio::task::spawn_blocking(how).await;
    decided.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
