use serde_json::Value;

use crate::health::Health;
use crate::health::read::{condition, count, never_observed, number, replicas};

/// A ReplicaSet (or ReplicationController) is healthy when all its replicas are available.
pub fn judge(object: &Value) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    if let Some(failure) = condition(object, "ReplicaFailure")
        && failure.is_true()
    {
        return Health::failed(failure.why(), failure.words());
    }
    let (wanted, status) = (replicas(object), &object["status"]);
    let ready = number(&status["readyReplicas"]).unwrap_or(wanted);
    let (total, available) = (count(&status["replicas"]), count(&status["availableReplicas"]).min(ready));
    if available < wanted {
        return Health::progressing("Unavailable", format!("{available} of {wanted} replicas are available"));
    }
    if total > wanted {
        return Health::progressing("ScalingDown", format!("{} replicas too many", total - wanted));
    }
    Health::healthy("Available", format!("{available} of {wanted} replicas are available"))
}
