//! Proves all the time that a move to this region could begin: in a standby, what would run here as the active region is rendered,
//! and the server is asked whether it would take it. Nothing is written.

use std::sync::Arc;
use std::time::Duration;

use super::{Channels, Shared};
use crate::agent::hands::Hands;
use crate::agent::once::{Means, Once, plan_desire};
use crate::agent::regions::{Found, Trial, missing, needs, try_out};
use crate::delivery::Tokens;
use crate::object::chain;

/// What is proven is at most five minutes old.
const EVERY: Duration = Duration::from_secs(240);
/// What was missing may be there soon, and a person waits for it.
const AGAIN: Duration = Duration::from_secs(20);
/// What runs here changes in swarms.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) async fn run(shared: Shared, channels: Channels, hands: Arc<Hands>) {
    let mut orders = channels.region.orders.subscribe();
    loop {
        let part = orders.borrow_and_update().as_ref().and_then(|orders| orders.part.clone());
        // Where writers run there is nothing to prove.
        let wait = match part.filter(|part| part.writers.is_none()) {
            None => None,
            Some(part) => {
                let trial = trial(&shared, &channels, &hands, &part).await;
                let is_ready = trial.found.values().all(|found| !matches!(found, Found::Missing(_)));
                channels.region.trial.send_replace(Some(trial));
                Some(if is_ready { EVERY } else { AGAIN })
            }
        };
        tokio::select! {
            () = shared.end.cancelled() => return,
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(SETTLED).await;
            }
            () = async {
                match wait {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

async fn trial(shared: &Shared, channels: &Channels, hands: &Hands, part: &crate::region::Part) -> Trial {
    let archive = channels.git.borrow().archive.clone();
    let revision = channels.region.heard.borrow().as_ref().map(|heard| heard.revision.clone());
    let (Some(archive), Some(revision)) = (archive, revision) else {
        return Trial::failed("git was not read yet");
    };
    let context = &shared.context;
    let mut scope = archive.scope.clone();
    scope.part = Some(part.as_active());
    let version = match context.session.version().await {
        Ok(version) => version,
        Err(error) => return Trial::failed(&chain(&error)),
    };
    let once = Once {
        session: context.session.clone(),
        means: Means { helm: archive.helm.clone(), limits: archive.limits.clone() },
        version,
        environments: context.environments.clone(),
        scope,
        identity: hands.identity.clone(),
        only: None,
        platform: None,
        agreed: Tokens::default(),
        decisions: Vec::new(),
    };
    let opened = tokio::task::spawn_blocking(move || archive.mirror.tree(&revision)).await;
    let tree = match opened {
        Ok(Ok(tree)) => tree,
        Ok(Err(error)) => return Trial::failed(&chain(&error)),
        Err(error) => return Trial::failed(&error.to_string()),
    };
    let desire = match once.desire(&tree).await {
        Ok(desire) => desire,
        Err(error) => return Trial::failed(&chain(&error)),
    };
    let (needed, namespaces) = (needs(&desire), shared.platform.borrow().spec.namespaces.clone());
    let lacks = missing(&context.session.cluster, &needed, &namespaces).await;
    match plan_desire(&once, desire, None, &|_| true, false).await {
        Ok(plan) => try_out(&plan, lacks),
        Err(error) => Trial::failed(&chain(&error)),
    }
}
