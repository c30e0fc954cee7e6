use serde_json::Value;

use crate::health::Health;
use crate::health::read::{conditions, count, never_observed};

/// A budget does its work once it is computed. That it allows no disruption at this moment is its purpose, not a
/// failure: the pods it counts are judged by their own workload, and a gate that waited here could hold up their fix.
pub fn judge(object: &Value) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let failed = conditions(object).find(|c| c.is_false() && c.reason() != "InsufficientPods");
    if let Some(condition) = failed {
        return Health::failed(condition.why(), condition.words());
    }
    let status = &object["status"];
    let (allowed, healthy, wanted) = (
        count(&status["disruptionsAllowed"]),
        count(&status["currentHealthy"]),
        count(&status["desiredHealthy"]),
    );
    let message = format!("{healthy} healthy pods, {wanted} wanted: {allowed} disruptions allowed");
    Health::healthy(if allowed > 0 { "SufficientPods" } else { "InsufficientPods" }, message)
}
