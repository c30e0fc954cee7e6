//! What has to be there before anything is done: an identity, and what the environment remembers.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::{Channels, Report, Shared, trouble};
use crate::agent::hands::Hands;
use crate::agent::state_store::{Holder, StateStore};
use crate::api::{Environment, Identity};
use crate::cluster::Filling;
use crate::object::chain;
use crate::report::Trouble;

/// What is not there yet is looked for again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// After a start there is more urgent work than to look whether all that is remembered is whole.
const VERIFY_AFTER: Duration = Duration::from_secs(5);

/// Waits until an environment can be looked after. `None` where it ends first.
pub(super) async fn prepare(shared: &Shared, channels: &Channels) -> Option<Arc<Hands>> {
    let mut platform = shared.platform.clone();
    loop {
        let environment = platform.borrow_and_update().clone();
        let found = match identity(&environment.spec.service_account) {
            Ok(identity) => hands(shared, channels, &environment, identity).await,
            Err(trouble) => Err(trouble),
        };
        let trouble = match found {
            Ok(hands) => return Some(hands),
            Err(trouble) => trouble,
        };
        channels.report.send_replace(Some(Arc::new(Report { trouble: Some(trouble), ..Report::default() })));
        tokio::select! {
            () = shared.end.cancelled() => return None,
            changed = platform.changed() => if changed.is_err() { return None },
            () = tokio::time::sleep(TRY_AGAIN) => {}
        }
    }
}

fn identity(account: &Identity) -> Result<Identity, Trouble> {
    if account.name.is_empty() || account.namespace.is_empty() {
        let message = "spec.serviceAccount is empty, and nothing is written without it";
        return Err(trouble("NoIdentity", message, false));
    }
    Ok(account.clone())
}

/// What is remembered is read first. Without it nothing is written: nobody could tell later what was.
async fn hands(
    shared: &Shared,
    channels: &Channels,
    environment: &Environment,
    identity: Identity,
) -> Result<Arc<Hands>, Trouble> {
    let context = &shared.context;
    let holder = Holder::of(environment).ok_or_else(|| trouble("StateUnavailable", "it has no uid", true))?;
    let opened = StateStore::open(&context.state, &context.environments, &holder).await;
    let store = opened.map_err(|error| trouble("StateUnavailable", &chain(&error), error.may_pass()))?;
    let apps = store.memory().apps.clone();
    for (app, known) in apps.iter() {
        channels.secrets.remember(app, known);
    }
    Ok(Arc::new(Hands {
        session: context.session.filling(Filling::Values(channels.secrets.clone())),
        index: context.index.clone(),
        environments: context.environments.clone(),
        environment: shared.name.clone(),
        store: Some(Arc::new(store)),
        identity: Some(identity),
        archive: RwLock::default(),
        gate: context.own.regions.as_ref().map(|_| channels.region.gate.clone()),
    }))
}

/// Looks once whether all that is remembered is whole.
pub(super) async fn verify(hands: Arc<Hands>, bell: Arc<tokio::sync::Notify>) {
    tokio::time::sleep(VERIFY_AFTER).await;
    let Some(store) = &hands.store else { return };
    match store.verify().await {
        Ok(()) => bell.notify_one(),
        Err(error) => tracing::warn!(error = %chain(&error), "what is remembered cannot be verified"),
    }
}
