//! Says on the Environment where its objects are, before any is written; and lets an Environment go that is deleted, once
//! what it made is gone.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;

use super::{Asked, Channels, Inventoried, Shared, trouble};
use crate::agent::hands::Hands;
use crate::agent::inventory::{Parent, ParentError};
use crate::api::{Environment, OnDelete, names};
use crate::object::chain;
use crate::report::Trouble;

/// What could not be written is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn run(shared: Shared, channels: Channels, hands: Arc<Hands>) {
    let (mut platform, mut asked) = (shared.platform.clone(), channels.asked.subscribe());
    let mut parent = Parent::default();
    while !shared.end.is_cancelled() {
        let environment = platform.borrow_and_update().clone();
        let needs = asked.borrow_and_update().clone();
        let tended = tend(&shared, &hands, &environment, &needs, &mut parent).await;
        let failed = tended.is_err();
        channels.inventoried.send_if_modified(|known| {
            let before = known.clone();
            match tended {
                Ok(marked) => *known = Inventoried { marked: marked.or(known.marked.take()), trouble: None },
                // What could not be written does not stand there.
                Err(trouble) => known.trouble = Some(trouble),
            }
            *known != before
        });
        tokio::select! {
            () = shared.end.cancelled() => break,
            changed = platform.changed() => if changed.is_err() { break },
            changed = asked.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(TRY_AGAIN), if failed => {}
        }
    }
}

async fn tend(
    shared: &Shared,
    hands: &Hands,
    environment: &Environment,
    asked: &Asked,
    parent: &mut Parent,
) -> Result<Option<crate::agent::inventory::Marked>, Trouble> {
    let leaves = environment.metadata.deletion_timestamp.is_some();
    let keeps = environment.spec.on_delete == OnDelete::Keep;
    if leaves && (keeps || !is_held(environment)) {
        // Its objects stay, or it was let go and others hold it.
        finalize(shared, environment, false).await?;
        return Ok(None);
    }
    if !leaves {
        finalize(shared, environment, !keeps).await?;
    }
    let environments = &shared.context.environments;
    let marked = parent.tend(environments, environment, asked.needs.clone()).await;
    let marked = marked.map_err(|error| match &error {
        ParentError::Foreign(_) => trouble("ForeignInventory", &error.to_string(), false),
        ParentError::Write(_) => trouble("InventoryFailed", &error.to_string(), true),
    })?;
    let marked = marked.clone();
    if let Some(stays) = asked.left.as_ref().filter(|_| leaves) {
        let_go(shared, hands, environment, stays).await?;
    }
    Ok(Some(marked))
}

fn is_held(environment: &Environment) -> bool {
    environment.finalizers().iter().any(|name| name == names::FINALIZER)
}

/// Sees to it that the Environment bears our finalizer, or does not.
async fn finalize(shared: &Shared, environment: &Environment, hold: bool) -> Result<(), Trouble> {
    if is_held(environment) == hold {
        return Ok(());
    }
    let written = shared.context.environments.finalize(environment, hold).await;
    written.map_err(|error| trouble("FinalizerFailed", &chain(&error), true))
}

/// Lets an Environment go of which nothing is left to delete.
async fn let_go(
    shared: &Shared,
    hands: &Hands,
    environment: &Environment,
    stays: &[String],
) -> Result<(), Trouble> {
    let note = match stays {
        [] => "all that it made is gone".to_owned(),
        some => format!("what it made is gone, but for {}", some.join("; ")),
    };
    tracing::info!(environment = %shared.name, "{note}");
    let environments = &shared.context.environments;
    environments.event(environment, !stays.is_empty(), "Removed", "Remove", &note).await;
    if let Some(store) = &hands.store {
        store.forget().await.map_err(|error| trouble("StateUnavailable", &chain(&error), true))?;
    }
    finalize(shared, environment, false).await
}
