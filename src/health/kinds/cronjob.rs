use serde_json::Value;

use crate::health::Health;
use crate::health::read::text;

/// A CronJob is in order when it is scheduled. Only one thing in its status tells of a failure: nothing runs, it has
/// succeeded before, and the last success is older than the last start.
pub fn judge(object: &Value) -> Health {
    if object["spec"]["suspend"] == true {
        return Health::suspended("Suspended", "the CronJob is suspended by spec.suspend");
    }
    let status = &object["status"];
    if status.is_null() {
        return Health::progressing("NotObserved", "its controller has not seen it yet");
    }
    let (started, succeeded) = (text(&status["lastScheduleTime"]), text(&status["lastSuccessfulTime"]));
    let running = status["active"].as_array().is_some_and(|active| !active.is_empty());
    if started.is_empty() {
        return Health::healthy("Scheduled", "waiting for its first start");
    }
    if running {
        return Health::healthy("Running", format!("running since {started}"));
    }
    if succeeded.is_empty() {
        return Health::healthy(
            "NeverSucceeded",
            format!("last started {started}; no run has succeeded yet"),
        );
    }
    // Both are RFC 3339 in UTC as the API server writes them, so they compare as text.
    if succeeded < started {
        let message = format!("the run of {started} did not succeed; the last success was at {succeeded}");
        return Health::failed("LastRunFailed", message);
    }
    Health::healthy("LastRunSucceeded", format!("last success at {succeeded}"))
}
