use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Hands;
use crate::cluster::apply_wave;
use crate::delivery::{Event, Failure};
use crate::object::chain;
use crate::plan::CheckedPlan;
use crate::state::Change;

/// Writes a wave, once what it is about to make is remembered.
pub(super) async fn write(
    hands: &Hands,
    plan: &Arc<CheckedPlan>,
    wave: usize,
    remember: Vec<Change>,
    stop: &CancellationToken,
) -> Event {
    if let Some(store) = &hands.store
        && let Err(error) = store.save(remember).await
    {
        // What could not be written down is not made. It is tried again: somebody may put right what is wrong there.
        return Event::Failed(Failure::Passing(chain(&error)));
    }
    let identity = hands.identity.as_ref();
    let outcome = apply_wave(&hands.session, &hands.index, plan, wave, identity, stop).await;
    if let Some(store) = &hands.store
        && !outcome.written.is_empty()
    {
        let uids = outcome.written.iter().map(|written| (written.live.key.clone(), written.live.uid.clone()));
        store.note(Change::Wrote(uids.collect()));
    }
    Event::Wrote(outcome)
}
