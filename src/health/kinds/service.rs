use serde_json::Value;

use crate::health::Health;
use crate::health::read::{is_empty, text};

/// A Service of type LoadBalancer serves nobody until it has an address; any other is in order by being there.
pub fn judge(object: &Value) -> Health {
    let kind = text(&object["spec"]["type"]);
    if kind != "LoadBalancer" {
        return Health::healthy("Exists", "nothing to wait for");
    }
    let ingress = &object["status"]["loadBalancer"]["ingress"];
    if is_empty(ingress) {
        return Health::progressing("NoAddress", "the load balancer has no address yet");
    }
    Health::healthy("HasAddress", format!("the load balancer answers at {}", address(&ingress[0])))
}

/// The IP or the host name of one entry of `status.loadBalancer.ingress`.
pub fn address(ingress: &Value) -> &str {
    match text(&ingress["ip"]) {
        "" => text(&ingress["hostname"]),
        ip => ip,
    }
}
