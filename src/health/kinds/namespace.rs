use serde_json::Value;

use crate::health::Health;
use crate::health::read::{conditions, text};

/// A Namespace exists or is going away; what holds it up while it goes is said by its conditions.
pub fn judge(object: &Value) -> Health {
    if text(&object["status"]["phase"]) == "Terminating" {
        let holding: Vec<_> = conditions(object).filter(|c| c.is_true()).map(|c| c.words()).collect();
        return Health::terminating(if holding.is_empty() {
            "being deleted".to_owned()
        } else {
            holding.join("; ")
        });
    }
    Health::healthy("Active", "the namespace exists")
}
