use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Hands;
use crate::agent::regions::Pass;
use crate::cluster::apply_wave;
use crate::delivery::{Event, Failure};
use crate::object::chain;
use crate::plan::{CheckedPlan, Wanted};
use crate::region::{Starts, is_custom, starts};
use crate::state::Change;

/// Writes a wave, once what it is about to make is remembered.
pub(super) async fn write(
    hands: &Hands,
    plan: &Arc<CheckedPlan>,
    wave: usize,
    remember: Vec<Change>,
    stop: &CancellationToken,
) -> Event {
    let steps = plan.waves().get(wave).map(|wave| wave.steps()).unwrap_or_default();
    let pass = match enter(hands, steps.iter().map(|step| &**step.wanted())) {
        Ok(pass) => pass,
        Err(why) => return Event::Failed(Failure::Passing(why)),
    };
    if let Some(store) = &hands.store
        && let Err(error) = store.save(remember).await
    {
        // What could not be written down is not made. It is tried again: somebody may put right what is wrong there.
        return Event::Failed(Failure::Passing(chain(&error)));
    }
    let (stop, _linked) = either(stop, pass.as_ref());
    let identity = hands.identity.as_ref();
    let outcome = apply_wave(&hands.session, &hands.index, plan, wave, identity, &stop).await;
    if let Some(store) = &hands.store
        && !outcome.written.is_empty()
    {
        let uids = outcome.written.iter().map(|written| (written.live.key.clone(), written.live.uid.clone()));
        store.note(Change::Wrote(uids.collect()));
    }
    Event::Wrote(outcome)
}

/// Goes through the gate of writers, where there is one: what these objects start has to be let in.
pub(super) fn enter<'a>(
    hands: &Hands,
    wanted: impl Iterator<Item = &'a Wanted>,
) -> Result<Option<Pass>, String> {
    let Some(gate) = &hands.gate else { return Ok(None) };
    let starts = wanted.map(|wanted| match (&*wanted.key.group, &*wanted.key.kind) {
        (group, kind) if matches!(group, "" | "apps" | "batch") || is_custom(group) => {
            starts(group, kind, &wanted.value())
        }
        // Of all others it is known without a look.
        _ => Starts::Nothing,
    });
    gate.enter(starts.collect::<Vec<_>>()).map(Some)
}

/// A token that ends with either: what is under way, and the leave to start writers.
fn either(
    stop: &CancellationToken,
    pass: Option<&Pass>,
) -> (CancellationToken, Option<AbortOnDropHandle<()>>) {
    let Some(pass) = pass else { return (stop.clone(), None) };
    let (both, stop) = (pass.end.child_token(), stop.clone());
    let linked = both.clone();
    let link = tokio::spawn(async move {
        stop.cancelled().await;
        linked.cancel();
    });
    (both, Some(AbortOnDropHandle::new(link)))
}
