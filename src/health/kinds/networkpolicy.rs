use serde_json::Value;

use crate::health::Health;
use crate::health::read::conditions;

/// A NetworkPolicy is data for whoever enforces it. Some plugins write conditions; a refusal among them counts.
pub fn judge(object: &Value) -> Health {
    let refused = conditions(object).find(|condition| match condition.kind() {
        "Accepted" => condition.is_false(),
        "Failure" | "PartialFailure" => condition.is_true(),
        _ => false,
    });
    match refused {
        Some(condition) => Health::failed(condition.why(), condition.words()),
        None => Health::healthy("Exists", "nothing to wait for"),
    }
}
