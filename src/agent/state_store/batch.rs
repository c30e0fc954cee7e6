//! Saves what waits, together: while one save is under way, everything that comes waits for the next (group commit).
//!
//! The order is what makes a crash harmless: pieces are written, then the document that names them is swapped, then the
//! callers are told, and then pieces that nothing names any more are dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::open::read;
use super::pieces::AT_ONCE;
use super::queue::{Waiting, Writer};
use super::{Holder, Shared, StateError, lock};
use crate::cluster::{StateSecrets, StateSecretsError, chain};
use crate::object::Digest;
use crate::state::{Pieces, Prepared, Writes, unpack};

/// A lost swap is tried again at once. A process that loses this often is not alone, and reports it.
const SWAPS: usize = 5;

/// Limits how often a refused batch is halved: where the server refuses everything, a thousand saves are not tried one by one.
const HALVED: usize = 16;

/// Puts a save into the queue, and starts a task that serves the queue where none does.
pub(super) fn enqueue(shared: &Arc<Shared>, waiting: Waiting) {
    let mut queue = lock(&shared.queue);
    queue.waiting.push(waiting);
    if !std::mem::replace(&mut queue.served, true) {
        tokio::spawn(serve(Serving { shared: shared.clone(), ended: false }));
    }
    drop(queue);
    shared.arrived.notify_one();
}

/// Says whether these changes are remembered already, as when something is put back that is as it was. They need not wait
/// for their turn, nor be paid for. Where others wait, they may change what these do.
pub(super) async fn says_nothing_new(shared: &Shared, changes: &[Arc<Prepared>]) -> bool {
    let is_served = lock(&shared.queue).served;
    if is_served || changes.is_empty() {
        return false;
    }
    let (log, damaged, changes) = (shared.log(), shared.pieces.damaged(), changes.to_vec());
    let decided = tokio::task::spawn_blocking(move || {
        let changes: Vec<&Prepared> = changes.iter().map(|change| &**change).collect();
        log.says_nothing_new(&changes, &damaged)
    });
    decided.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Marks the queue as served. Where the task ends early, by a panic, the waiting callers get an error.
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
                // A save that comes from here on starts another task.
                (queue.served, serving.ended) = (false, true);
                return;
            }
            std::mem::take(&mut queue.waiting)
        };
        let (count, now) = (batch.len(), writer.began.elapsed());
        if save_batch(&shared, &mut writer, batch).await {
            writer.pace.pay(count, now);
        }
    }
}

/// Saves a batch. Where the server refuses it, its halves are tried, so that a change that cannot be stored stops no other.
/// Says whether anything was sent.
async fn save_batch(shared: &Shared, writer: &mut Writer, batch: Vec<Waiting>) -> bool {
    let mut batches = vec![batch];
    let (mut halved, mut sent) = (0, false);
    while let Some(mut batch) = batches.pop() {
        let began = writer.began.elapsed();
        let result = save_together(shared, writer, &batch).await;
        sent |= !matches!(result, Ok(None));
        writer.pace.took(writer.began.elapsed().saturating_sub(began));
        if batch.len() > 1 && halved < HALVED && result.as_ref().is_err_and(StateError::is_refusal) {
            halved += 1;
            let second = batch.split_off(batch.len() / 2);
            batches.extend([second, batch]);
            continue;
        }
        let told = result.as_ref().map(|_| ()).map_err(StateError::clone);
        for waiting in batch {
            // A caller may be gone by now.
            let _ = waiting.saved.send(told.clone());
        }
        if let Ok(Some(unneeded)) = result {
            tidy(shared, writer, unneeded).await;
        }
    }
    sent
}

/// Applies a batch to the newest memory and saves it. Returns what is left to do, where something was saved.
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
                let read = read(&shared.secrets, &shared.holder).await?;
                if let Some(damage) = &read.damage {
                    shared.name_damage(damage, "which objects were written");
                }
                shared.set(read.log);
                writer.version = read.version;
            }
            Err(error) => return Err(error),
        }
    }
    Err(StateSecretsError::Moved(shared.secrets.document_name(&shared.holder.environment)).into())
}

/// What is left to do after a save.
struct Unneeded {
    pieces: BTreeSet<Digest>,
    /// Whether something moved into pieces: then thin ones are looked for.
    moved: bool,
}

/// Sends the requests that were decided on, in their order.
async fn write(shared: &Shared, writer: &mut Writer, writes: Writes) -> Result<Unneeded, StateError> {
    let Writes { puts, contents, mut drops, log } = writes;
    let (Holder { environment, uid, .. }, before) = (&shared.holder, shared.log());
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
    shared.pieces.repaired(puts.iter().map(|piece| &piece.name));
    writer.version = Some(shared.secrets.swap(environment, uid, &contents, writer.version.as_ref()).await?);
    // What an older attempt wrote can be named by nobody now: its swap would have had to come before this one.
    let orphans = std::mem::take(&mut writer.orphans);
    drops.extend(orphans.into_iter().filter(|piece| !log.is_there(piece)));
    shared.set(log);
    Ok(Unneeded { pieces: drops, moved: !puts.is_empty() })
}

/// Drops pieces that nothing needs, and writes what is left of thin ones anew. A failure here is only logged.
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

/// Runs a decision on a thread of its own: it takes a while where everything is written anew.
async fn decide(how: impl FnOnce() -> Option<Writes> + Send + 'static) -> Option<Writes> {
    let decided = tokio::task::spawn_blocking(how).await;
    decided.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
