//! Asks the pods of a workload why it is not healthy, when a gate waited for it in vain.

use super::Hands;
use super::look::pods_of;
use crate::health::pods::{self, PodProblem};
use crate::plan::Wanted;
use std::sync::Arc;

/// What the pods of these workloads say: which, and why.
pub(super) async fn reasons(hands: &Hands, wanted: &[Arc<Wanted>], last_words: bool) -> Vec<String> {
    let mut words = Vec::new();
    for object in wanted.iter().take(WORKLOADS_EXPLAINED) {
        match pods_of(hands, object).await {
            Ok(Some(found)) => {
                let told: Vec<_> = found.pods.iter().map(|pod| pods::told(pod, last_words)).collect();
                for problem in pods::explain(told.iter().map(|pod| &**pod)).iter().take(PODS_EXPLAINED) {
                    // An application that cannot start may print what it was given.
                    words.push(hands.masked(&trouble(hands, problem, last_words).await));
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, object = %object.key, "its pods cannot be listed"),
        }
    }
    words
}

/// A pod's trouble and the last lines that it wrote, for someone who did not look yet.
async fn trouble(hands: &Hands, problem: &PodProblem, last_words: bool) -> String {
    let container = problem.container.as_deref().map_or(String::new(), |name| format!(" ({name})"));
    let mut words = format!("pod {}{container} {}", problem.pod, problem.reason);
    if problem.restarts > 0 {
        words.push_str(&format!(", {} restarts", problem.restarts));
    }
    if !problem.message.is_empty() {
        words.push_str(&format!(": {}", problem.message));
    }
    let Some(container) = problem
        .container
        .as_deref()
        .filter(|_| last_words && (problem.previous_exit.is_some() || problem.restarts > 0))
    else {
        return words;
    };
    let (namespace, reader) = (&problem.namespace, hands.identity.as_ref());
    if let Some(tail) = hands.environments.log_tail(namespace, &problem.pod, container, reader).await {
        words.push_str(&format!("; its last words: {tail}"));
    }
    words
}

/// More would not be read.
const WORKLOADS_EXPLAINED: usize = 3;
const PODS_EXPLAINED: usize = 3;
