use serde_json::Value;

use crate::health::Health;
use crate::health::read::{condition, count, is_empty, never_observed, number, replicas, text};

/// An Argo Rollout is healthy when the newest template is the stable one and all its replicas are available. One that
/// waits at a pause was asked to; one that was aborted has failed, though the old template goes on serving.
pub fn judge(object: &Value) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let (spec, status) = (&object["spec"], &object["status"]);
    if let Some(invalid) = condition(object, "InvalidSpec").filter(|invalid| !invalid.is_false()) {
        return Health::failed(invalid.why(), invalid.words());
    }
    let workload = number(&object["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"]);
    if let (Some(wanted), Some(seen)) = (workload, number(&status["workloadObservedGeneration"]))
        && spec["workloadRef"].is_object()
        && seen != wanted
    {
        let message = format!("it has seen generation {seen} of its workload, which is at {wanted}");
        return Health::progressing("NotObserved", message);
    }
    let progress = condition(object, "Progressing");
    if let Some(progress) = progress
        && matches!(progress.reason(), "RolloutAborted" | "ProgressDeadlineExceeded")
    {
        return Health::failed(progress.reason(), progress.words());
    }
    if status["abort"] == true {
        return Health::failed("RolloutAborted", "the rollout was aborted");
    }
    // Since v1.0 the controller sums it up itself.
    let said = || match text(&status["message"]) {
        "" => format!("its phase is {}", text(&status["phase"])),
        message => message.to_owned(),
    };
    match text(&status["phase"]) {
        "Degraded" => return Health::failed("Degraded", said()),
        "Paused" => return Health::suspended("Paused", said()),
        "Progressing" => return Health::progressing("Progressing", said()),
        _ => {}
    }
    if spec["paused"] == true || !is_empty(&status["pauseConditions"]) {
        let reason = text(&status["pauseConditions"][0]["reason"]);
        let message =
            if reason.is_empty() { "the rollout is paused".to_owned() } else { format!("paused: {reason}") };
        return Health::suspended("Paused", message);
    }
    let newest = text(&status["currentPodHash"]);
    if newest.is_empty() {
        return Health::progressing(
            "NotObserved",
            "its controller has not reported on the newest template yet",
        );
    }
    let (wanted, total) = (replicas(object), count(&status["replicas"]));
    let (updated, available) = (count(&status["updatedReplicas"]), count(&status["availableReplicas"]));
    if updated < wanted {
        return Health::progressing(
            "Updating",
            format!("{updated} of {wanted} replicas run the newest template"),
        );
    }
    if available < updated {
        return Health::progressing(
            "Unavailable",
            format!("{available} of {updated} replicas are available"),
        );
    }
    let stable = match text(&status["stableRS"]) {
        "" => text(&status["canary"]["stableRS"]),
        stable => stable,
    };
    if spec["strategy"]["blueGreen"].is_object() {
        if text(&status["blueGreen"]["activeSelector"]) != newest {
            return Health::progressing(
                "Switching",
                "the active service does not point at the newest template yet",
            );
        }
        if !stable.is_empty() && stable != newest {
            return Health::progressing("Analysing", "the newest template is being analysed");
        }
    } else if spec["strategy"]["canary"].is_object() {
        if total > updated {
            return Health::progressing(
                "OldReplicas",
                format!("{} old replicas are still there", total - updated),
            );
        }
        if stable != newest {
            return Health::progressing("Stepping", "the canary has steps left");
        }
    }
    Health::healthy("Available", format!("{available} of {wanted} replicas are available"))
}
