//! Looks at the pods of a workload's newest template while a gate waits for it.

use std::sync::Arc;

use super::Hands;
use super::reasons::selector;
use crate::cluster::CallError;
use crate::delivery::Event;
use crate::health::Health;
use crate::health::pods::{self, Thresholds};
use crate::plan::Wanted;

/// Of each of these the failure that its pods are known for, if there is one.
pub(super) async fn look(hands: &Hands, wanted: &[Arc<Wanted>], limits: Thresholds) -> Event {
    let mut found = Vec::new();
    for object in wanted {
        match failure(hands, object, limits).await {
            Ok(failed) => found.push((object.key.clone(), failed)),
            // What cannot be seen is no evidence; the gate's own time goes on.
            Err(error) => tracing::warn!(%error, object = %object.key, "its pods cannot be looked at"),
        }
    }
    Event::Looked(found)
}

async fn failure(hands: &Hands, object: &Wanted, limits: Thresholds) -> Result<Option<Health>, CallError> {
    let (Some(namespace), Some(selector)) = (&object.key.namespace, selector(object)) else {
        return Ok(None);
    };
    let Some(workload) = hands.environments.workload(&object.key).await? else { return Ok(None) };
    // Its controller has not seen the newest template yet: which pods are of that cannot be told.
    if workload["status"]["observedGeneration"] != workload["metadata"]["generation"]
        && &*object.key.kind != "Job"
    {
        return Ok(None);
    }
    let sets = match &*object.key.kind {
        "Deployment" => hands.environments.replica_sets(namespace, &selector).await?,
        _ => Vec::new(),
    };
    let all = hands.environments.pods(namespace, &selector).await?;
    let newest = pods::newest(&workload, &sets, &all);
    Ok(pods::known_failure(newest, limits).map(|problem| {
        let container = problem.container.as_deref().map_or(String::new(), |name| format!(" ({name})"));
        let words = format!("its pod {}{container}: {}", problem.pod, problem.message);
        // What a container left as its last words may be what it was given.
        Health::failed(problem.reason, hands.session.scrub(&words))
    }))
}
