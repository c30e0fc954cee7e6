use serde_json::Value;

use crate::health::Health;
use crate::health::read::{count, never_observed, number, text};

/// A DaemonSet is healthy when its pod is available on every node that should have one, and runs the newest
/// template. With `OnDelete` old pods stay until someone deletes them, so only availability counts.
pub fn judge(object: &Value) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let status = &object["status"];
    let wanted = count(&status["desiredNumberScheduled"]);
    let updated = count(&status["updatedNumberScheduled"]);
    // What is available was ready; the two are written at once, but one may be of a moment ago.
    let ready = number(&status["numberReady"]).unwrap_or(wanted);
    let available = count(&status["numberAvailable"]).min(ready);
    let on_delete = text(&object["spec"]["updateStrategy"]["type"]) == "OnDelete";
    if !on_delete && updated < wanted {
        return Health::progressing(
            "Updating",
            format!("{updated} of {wanted} pods run the newest template"),
        );
    }
    if available < wanted {
        return Health::progressing("Unavailable", format!("{available} of {wanted} pods are available"));
    }
    if on_delete {
        let message =
            format!("{available} of {wanted} pods are available; updates wait for someone to delete pods");
        return Health::healthy("OnDelete", message);
    }
    Health::healthy("Available", format!("{available} of {wanted} pods are available"))
}
