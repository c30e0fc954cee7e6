use serde_json::Value;

use crate::health::Health;
use crate::health::read::{condition, count};

/// A Job is a step that must complete: while it runs it is progressing. `Failed` carries why: the backoff limit, the
/// deadline, a pod failure policy.
pub fn judge(object: &Value) -> Health {
    let holds = |kind| condition(object, kind).filter(|condition| condition.is_true());
    // FailureTarget comes first and Failed once the pods are gone; neither is ever taken back.
    if let Some(failed) = holds("Failed").or_else(|| holds("FailureTarget")) {
        return Health::failed(failed.why(), failed.words());
    }
    let status = &object["status"];
    if holds("Complete").is_some() {
        return Health::healthy(
            "Complete",
            format!("completed, {} pods succeeded", count(&status["succeeded"])),
        );
    }
    if object["spec"]["suspend"] == true || holds("Suspended").is_some() {
        return Health::suspended("Suspended", "the Job is suspended by spec.suspend");
    }
    let (active, failed) = (count(&status["active"]), count(&status["failed"]));
    if active == 0 && failed == 0 {
        return Health::progressing("NotStarted", "no pod has been started yet");
    }
    Health::progressing("Running", format!("{active} pods running, {failed} failed so far"))
}
