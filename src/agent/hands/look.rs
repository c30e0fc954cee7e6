//! Looks at the pods of a workload's newest template while a gate waits for it.

use std::sync::Arc;

use serde_json::Value;

use super::Hands;
use crate::cluster::CallError;
use crate::delivery::Event;
use crate::health::Health;
use crate::health::pods::{self, Thresholds};
use crate::plan::Wanted;

/// Of each of these the failure that its pods are known for, if there is one.
pub(super) async fn look(
    hands: &Hands,
    wanted: &[Arc<Wanted>],
    limits: Thresholds,
    last_words: bool,
) -> Event {
    let mut found = Vec::new();
    for object in wanted {
        match failure(hands, object, limits, last_words).await {
            Ok(failed) => found.push((object.key.clone(), failed)),
            // What cannot be seen is no evidence; the gate's own time goes on.
            Err(error) => tracing::warn!(%error, object = %object.key, "its pods cannot be looked at"),
        }
    }
    Event::Looked(found)
}

async fn failure(
    hands: &Hands,
    object: &Wanted,
    limits: Thresholds,
    last_words: bool,
) -> Result<Option<Health>, CallError> {
    let Some(Found { workload, sets, pods: all }) = pods_of(hands, object).await? else { return Ok(None) };
    // Its controller has not seen the newest template yet: which pods are of that cannot be told.
    if workload["status"]["observedGeneration"] != workload["metadata"]["generation"]
        && &*object.key.kind != "Job"
    {
        return Ok(None);
    }
    let newest = pods::newest(&workload, &sets, &all);
    let told: Vec<_> = newest.into_iter().map(|pod| pods::told(pod, last_words)).collect();
    Ok(pods::known_failure(told.iter().map(|pod| &**pod), limits).map(|problem| {
        let container = problem.container.as_deref().map_or(String::new(), |name| format!(" ({name})"));
        let words = format!("its pod {}{container}: {}", problem.pod, problem.message);
        Health::failed(problem.reason, hands.masked(&words))
    }))
}

/// A workload, and its own pods: others in its namespace may bear the same labels.
pub(super) struct Found {
    pub workload: Value,
    pub sets: Vec<Value>,
    pub pods: Vec<Value>,
}

pub(super) async fn pods_of(hands: &Hands, object: &Wanted) -> Result<Option<Found>, CallError> {
    let (Some(namespace), Some(selector)) = (&object.key.namespace, selector(object)) else {
        return Ok(None);
    };
    let reader = hands.identity.as_ref();
    let Some(workload) = hands.environments.workload(&object.key).await? else { return Ok(None) };
    let sets = match &*object.key.kind {
        "Deployment" => hands.environments.replica_sets(namespace, &selector, reader).await?,
        _ => Vec::new(),
    };
    let all = hands.environments.pods(namespace, &selector, reader).await?;
    let pods = pods::owned(&workload, &sets, all);
    Ok(Some(Found { workload, sets, pods }))
}

/// Which pods are of a workload, as a label selector.
fn selector(object: &Wanted) -> Option<String> {
    let value = object.value();
    let labels = match &*object.key.kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            value["spec"]["selector"]["matchLabels"].as_object()?.clone()
        }
        "Job" => return Some(format!("job-name={}", object.key.name)),
        _ => return None,
    };
    let pairs: Vec<String> =
        labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", Value::as_str(value)?))).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}
