use serde_json::Value;

use crate::health::Health;
use crate::health::read::condition;

/// A FlowSchema that points at a priority level that is not there dangles, and the API server ignores it.
pub fn judge(object: &Value) -> Health {
    match condition(object, "Dangling") {
        Some(dangling) if dangling.is_true() => Health::failed(dangling.why(), dangling.words()),
        _ => Health::healthy("Exists", "nothing to wait for"),
    }
}
