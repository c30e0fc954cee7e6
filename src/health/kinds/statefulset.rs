use serde_json::Value;

use crate::health::Health;
use crate::health::read::{count, never_observed, number, replicas, text};

/// A StatefulSet is healthy when all replicas are ready and as many as its strategy asks for run the newest revision:
/// all of them, those above `partition`, or, with `OnDelete`, as many as someone chose to delete.
pub fn judge(object: &Value) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let (wanted, spec, status) = (replicas(object), &object["spec"], &object["status"]);
    let (total, updated) = (count(&status["replicas"]), count(&status["updatedReplicas"]));
    // Ready is enough by itself; with minReadySeconds, a pod counts once it has stayed ready that long.
    let ready = match number(&status["availableReplicas"]) {
        Some(available) if count(&spec["minReadySeconds"]) > 0 => available,
        _ => count(&status["readyReplicas"]),
    };
    if ready < wanted {
        return Health::progressing("NotReady", format!("{ready} of {wanted} replicas are ready"));
    }
    if total > wanted {
        return Health::progressing("ScalingDown", format!("{} replicas too many", total - wanted));
    }
    let strategy = &spec["updateStrategy"];
    if strategy["type"] == "OnDelete" {
        let message =
            format!("{ready} of {wanted} replicas are ready; updates wait for someone to delete pods");
        return Health::healthy("OnDelete", message);
    }
    let partition = count(&strategy["rollingUpdate"]["partition"]);
    if partition > 0 {
        let due = (wanted - partition).max(0);
        if updated < due {
            let message =
                format!("{updated} of {due} replicas above partition {partition} run the newest revision");
            return Health::progressing("Updating", message);
        }
        let message = format!("{updated} replicas run the newest revision, as partition {partition} asks");
        return Health::healthy("Partitioned", message);
    }
    let (current, newest) = (text(&status["currentRevision"]), text(&status["updateRevision"]));
    // Of an old revision there may be fewer only while the newest takes its place.
    if newest.is_empty()
        && let Some(in_place) = number(&status["currentReplicas"]).filter(|in_place| *in_place < wanted)
    {
        return Health::progressing("Updating", format!("{in_place} of {wanted} replicas are in place"));
    }
    // Either says it: an old server counts no updated replicas where nothing was ever updated.
    if !newest.is_empty() && current != newest && updated < wanted {
        let message = format!("{updated} of {wanted} replicas run the newest revision");
        return Health::progressing("Updating", message);
    }
    Health::healthy("Ready", format!("{ready} of {wanted} replicas are ready"))
}
