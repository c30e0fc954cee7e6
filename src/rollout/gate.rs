use std::fmt;

use serde::{Deserialize, Serialize};

use super::Observed;
use crate::health::{Health, Status};
use crate::object::ObjectKey;

/// An object that a gate waits for, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub key: ObjectKey,
    pub status: Status,
    pub reason: String,
    pub message: String,
}

impl Waiting {
    fn new(key: &ObjectKey, health: Health) -> Self {
        Self { key: key.clone(), status: health.status, reason: health.reason, message: health.message }
    }

    pub fn is_failure(&self) -> bool {
        self.status == Status::Failed
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.key, self.status, self.message)
    }
}

/// Kinds that become healthy only through what a later wave brings: a claim of a class that waits for its first
/// consumer, a Service or a route whose address comes with what stands behind it. They are judged with the last wave.
pub fn deferred(key: &ObjectKey) -> bool {
    matches!(
        (&*key.group, &*key.kind),
        ("", "PersistentVolumeClaim" | "Service")
            | ("networking.k8s.io", "Ingress")
            | ("policy", "PodDisruptionBudget")
    )
}

/// What wave `wave` still waits for. The last wave answers for all, and for what was well before the first.
pub(super) fn waiting(wave: usize, observed: &Observed) -> Vec<Waiting> {
    let last = wave + 1 >= observed.waves.len();
    let keys: Box<dyn Iterator<Item = &ObjectKey>> = if last {
        Box::new(observed.waves.iter().flatten().chain(observed.baseline))
    } else {
        Box::new(observed.waves[wave].iter().filter(|key| !deferred(key)))
    };
    keys.filter_map(|key| {
        let health = (observed.health)(key);
        let passes = match health.status {
            // Whoever suspends an object in git means it; a kind that says nothing cannot be waited for.
            Status::Healthy | Status::Suspended | Status::Unknown => true,
            _ if lacks_metrics(key, &health) || health.is_unreadable() => true,
            Status::Progressing | Status::Failed | Status::Missing | Status::Terminating => false,
        };
        (!passes).then(|| Waiting::new(key, health))
    })
    .collect()
}

/// An autoscaler that cannot read its metrics says that they are missing around us, not that what changed is broken:
/// those of new pods come after a minute, and a cluster may have none at all.
fn lacks_metrics(key: &ObjectKey, health: &Health) -> bool {
    (&*key.group, &*key.kind) == ("autoscaling", "HorizontalPodAutoscaler")
        && health.reason.starts_with("FailedGet")
}
