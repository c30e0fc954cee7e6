use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Hands;
use crate::cluster::{ask_prune, finalizers, prune_wave};
use crate::delivery::Event;
use crate::plan::{CheckedPrune, Doomed, Due, check_prune};

/// Asks the server about deletes, without deleting.
pub(super) async fn ask(hands: &Hands, due: Due) -> Event {
    let answers = ask_prune(&hands.session, &due, hands.identity.as_ref()).await;
    Event::PruneAsked(check_prune(due, answers))
}

/// Deletes a wave.
pub(super) async fn prune(
    hands: &Hands,
    prune: &Arc<CheckedPrune>,
    wave: usize,
    stop: &CancellationToken,
) -> Event {
    Event::Pruned(prune_wave(&hands.session, prune, wave, hands.identity.as_ref(), stop).await)
}

/// Asks what holds objects that are being deleted.
pub(super) async fn held(hands: &Hands, objects: &[Doomed]) -> Event {
    Event::Finalizers(finalizers(&hands.session, objects).await)
}
