use serde_json::Value;

use crate::health::Health;
use crate::health::read::condition;

/// An APIService waits for the server behind it, which commonly comes up in the same rollout: unavailable is a
/// reason to wait, not yet a failure.
pub fn judge(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(available) if available.is_true() => Health::healthy("Available", available.words()),
        Some(available) => Health::progressing(available.why(), available.words()),
        None => Health::progressing("NotObserved", "the API server has not tried it yet"),
    }
}
