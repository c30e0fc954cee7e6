use serde_json::Value;

use crate::health::Health;
use crate::health::read::{Condition, conditions_of, count, is_empty, text, unobserved};

/// Where `autoscaling/v1` keeps what later versions have in `status.conditions`.
const V1_CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// An autoscaler is healthy when it reaches its target and reads its metrics.
///
/// Metrics of a new workload appear about a minute after its pods: an autoscaler that has never had one is
/// progressing. One that has scaled or read before and now cannot has failed.
pub fn judge(object: &Value) -> Health {
    if let Some(health) = unobserved(object) {
        return health;
    }
    let annotation = text(&object["metadata"]["annotations"][V1_CONDITIONS]);
    let from_v1: Value = serde_json::from_str(annotation).unwrap_or_default();
    let status = &object["status"];
    let list = if is_empty(&status["conditions"]) { &from_v1 } else { &status["conditions"] };
    let find = |kind: &str| conditions_of(list).find(|condition| condition.kind() == kind);
    let (able, active, limited) = (find("AbleToScale"), find("ScalingActive"), find("ScalingLimited"));

    if let Some(able) = able.filter(|able| able.is_false()) {
        return Health::failed(able.why(), able.words());
    }
    if let Some(active) = active.filter(|active| active.is_false()) {
        // The target stands at zero replicas: someone switched it off, and the autoscaler respects that.
        if active.reason() == "ScalingDisabled" {
            return Health::healthy("ScalingDisabled", active.words());
        }
        if active.reason().starts_with("FailedGet") && is_fresh(status) {
            return Health::progressing(active.why(), active.words());
        }
        return Health::failed(active.why(), active.words());
    }
    let replicas =
        format!("{} of {} replicas", count(&status["currentReplicas"]), count(&status["desiredReplicas"]));
    let said = |condition: Condition<'_>| {
        Health::healthy(condition.why(), format!("{replicas}; {}", condition.words()))
    };
    match (active, able, limited) {
        (Some(active), _, _) => said(active),
        (None, Some(able), _) => said(able),
        (None, _, Some(limited)) => said(limited),
        _ => Health::progressing("NotObserved", "it has not looked at its target yet"),
    }
}

fn is_fresh(status: &Value) -> bool {
    let never_read = status["currentMetrics"]
        .as_array()
        .is_none_or(|metrics| metrics.iter().all(|metric| text(&metric["type"]).is_empty()));
    is_empty(&status["lastScaleTime"]) && never_read
}
