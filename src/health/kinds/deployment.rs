use serde_json::Value;

use crate::health::Health;
use crate::health::read::{condition, count, never_observed, replicas};

/// A Deployment is healthy when every replica it asks for runs the newest template and is available, and no old one
/// is left. A paused one has not rolled out and will not: it is suspended, even where what runs is fine.
pub fn judge(object: &Value) -> Health {
    if object["spec"]["paused"] == true {
        return Health::suspended("Paused", "the rollout is paused by spec.paused");
    }
    if let Some(health) = never_observed(object) {
        return health;
    }
    if let Some(progress) = condition(object, "Progressing")
        && progress.reason() == "ProgressDeadlineExceeded"
    {
        let message = match progress.message() {
            "" => "it did not progress within spec.progressDeadlineSeconds".to_owned(),
            message => message.to_owned(),
        };
        return Health::failed("ProgressDeadlineExceeded", message);
    }
    let status = &object["status"];
    let wanted = replicas(object);
    let (total, updated, available) =
        (count(&status["replicas"]), count(&status["updatedReplicas"]), count(&status["availableReplicas"]));
    let waiting = if updated < wanted {
        Health::progressing("Updating", format!("{updated} of {wanted} replicas run the newest template"))
    } else if total > updated {
        Health::progressing("OldReplicas", format!("{} old replicas are still there", total - updated))
    } else if available < updated {
        Health::progressing("Unavailable", format!("{available} of {updated} replicas are available"))
    } else if let Some(short) = ["Available", "Progressing"]
        .into_iter()
        .find_map(|kind| condition(object, kind).filter(|c| c.is_false()))
    {
        // The counts may be of a moment ago, or be kept by pods that do not stay available.
        Health::progressing(short.why(), short.words())
    } else {
        return Health::healthy("Available", format!("{available} of {wanted} replicas are available"));
    };
    // Quota, a refusing webhook, a missing service account: pods cannot even be created.
    match condition(object, "ReplicaFailure") {
        Some(failure) if failure.is_true() => Health::failed(failure.why(), failure.words()),
        _ => waiting,
    }
}
