use serde_json::Value;

use crate::health::Health;
use crate::health::read::{condition, text};

/// A Node is healthy while it is Ready; a cordoned one was asked to stand aside.
pub fn judge(object: &Value) -> Health {
    let Some(ready) = condition(object, "Ready") else {
        return Health::progressing("NotObserved", "the node has not reported yet");
    };
    if !ready.is_true() {
        return Health::failed(ready.why(), ready.words());
    }
    if object["spec"]["unschedulable"] == true {
        return Health::suspended("Cordoned", format!("{} is cordoned", text(&object["metadata"]["name"])));
    }
    Health::healthy("Ready", ready.words())
}
