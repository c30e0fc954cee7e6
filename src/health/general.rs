use serde_json::Value;

use super::Health;
use super::kinds::is_built_in;
use super::read::{condition, is_empty, unobserved};

pub fn judge(group: &str, _kind: &str, object: &Value) -> Health {
    if let Some(health) = unobserved(object) {
        return health;
    }
    if is_built_in(group) && is_empty(&object["status"]) {
        return Health::healthy("Exists", "nothing to wait for");
    }
    match condition(object, "Ready") {
        Some(ready) if ready.is_true() => Health::healthy("Ready", ready.words()),
        Some(ready) => Health::progressing(ready.why(), ready.words()),
        None if is_built_in(group) => Health::healthy("Exists", "nothing to wait for"),
        None => Health::unknown("NoStatus", "it says nothing about itself"),
    }
}
