use serde_json::Value;

use super::service::address;
use crate::health::Health;
use crate::health::read::is_empty;

/// An Ingress that no controller has given an address is not served, so it is not healthy yet.
pub fn judge(object: &Value) -> Health {
    let ingress = &object["status"]["loadBalancer"]["ingress"];
    if is_empty(ingress) {
        return Health::progressing("NoAddress", "no ingress controller has given it an address yet");
    }
    Health::healthy("HasAddress", format!("served at {}", address(&ingress[0])))
}
