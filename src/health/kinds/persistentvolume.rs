use serde_json::Value;

use crate::health::Health;
use crate::health::read::text;

/// A volume is in order when it can be used, is used, or has been given back.
pub fn judge(object: &Value) -> Health {
    let status = &object["status"];
    let message = |otherwise: &str| match text(&status["message"]) {
        "" => otherwise.to_owned(),
        message => message.to_owned(),
    };
    match text(&status["phase"]) {
        phase @ ("Available" | "Bound" | "Released") => {
            Health::healthy(phase, format!("the volume is {phase}"))
        }
        "Failed" => Health::failed("Failed", message("the volume could not be reclaimed")),
        "Pending" => Health::progressing("Pending", message("the volume is not available yet")),
        "" => Health::progressing("NotObserved", "its controller has not seen it yet"),
        other => Health::unknown(other, format!("phase is {other}")),
    }
}
