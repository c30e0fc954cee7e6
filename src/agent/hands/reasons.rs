//! Asks the pods of a workload why it is not healthy, when a gate waited for it in vain.

use serde_json::Value;

use super::Hands;
use crate::health::pods::{self, PodProblem};
use crate::plan::Wanted;
use std::sync::Arc;

/// What the pods of these workloads say: which, and why.
pub(super) async fn reasons(hands: &Hands, wanted: &[Arc<Wanted>]) -> Vec<String> {
    let mut words = Vec::new();
    for object in wanted.iter().take(WORKLOADS_EXPLAINED) {
        let Some(namespace) = &object.key.namespace else { continue };
        let Some(selector) = selector(object) else { continue };
        match hands.environments.pods(namespace, &selector).await {
            Ok(found) => {
                for problem in pods::explain(&found).iter().take(PODS_EXPLAINED) {
                    // An application that cannot start may print what it was given.
                    words.push(hands.session.scrub(&last_words(hands, problem).await));
                }
            }
            Err(error) => tracing::warn!(%error, object = %object.key, "its pods cannot be listed"),
        }
    }
    words
}

/// A pod's trouble and the last lines that it wrote, for someone who did not look yet.
async fn last_words(hands: &Hands, problem: &PodProblem) -> String {
    let container = problem.container.as_deref().map_or(String::new(), |name| format!(" ({name})"));
    let mut words = format!("pod {}{container} {}", problem.pod, problem.reason);
    if problem.restarts > 0 {
        words.push_str(&format!(", {} restarts", problem.restarts));
    }
    if !problem.message.is_empty() {
        words.push_str(&format!(": {}", problem.message));
    }
    let Some(container) =
        problem.container.as_deref().filter(|_| problem.previous_exit.is_some() || problem.restarts > 0)
    else {
        return words;
    };
    if let Some(tail) = hands.environments.log_tail(&problem.namespace, &problem.pod, container).await {
        words.push_str(&format!("; its last words: {tail}"));
    }
    words
}

/// More would not be read.
const WORKLOADS_EXPLAINED: usize = 3;
const PODS_EXPLAINED: usize = 3;

/// Which pods are of a workload, as a label selector.
pub(super) fn selector(object: &Wanted) -> Option<String> {
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
