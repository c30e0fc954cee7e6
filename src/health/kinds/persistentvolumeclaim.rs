use serde_json::Value;

use crate::health::Health;
use crate::health::read::{condition, text};

/// A claim is healthy when it is bound. A pending one may wait for its first consumer, which only its class knows.
pub fn judge(object: &Value) -> Health {
    let volume = text(&object["spec"]["volumeName"]);
    match text(&object["status"]["phase"]) {
        "Bound" => {
            if let Some(resize) =
                condition(object, "ControllerResizeError").filter(|condition| condition.is_true())
            {
                return Health::failed(resize.why(), resize.words());
            }
            Health::healthy("Bound", format!("bound to volume {volume}"))
        }
        "Lost" => Health::failed("Lost", format!("its volume {volume} is lost")),
        "Pending" => {
            Health::progressing("Pending", "waiting for a volume, or for the first pod that uses it")
        }
        "" => Health::progressing("NotObserved", "its controller has not seen it yet"),
        other => Health::unknown(other, format!("phase is {other}")),
    }
}
