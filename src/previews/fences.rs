//! What bounds a preview, whatever is in it: written before anything of it, and by nobody whom the pull request can name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// On a preview's namespace: the Environment that it is of.
pub const NAMESPACE_LABEL: &str = "fairlead.dev/preview";
/// Where the platform does not say.
const QUOTA: [(&str, &str); 8] = [
    ("requests.cpu", "4"),
    ("requests.memory", "8Gi"),
    ("limits.memory", "16Gi"),
    ("pods", "40"),
    ("persistentvolumeclaims", "10"),
    ("requests.storage", "50Gi"),
    ("services.loadbalancers", "0"),
    ("services.nodeports", "0"),
];

/// The namespace, with the restricted level of pod security.
pub fn namespace(name: &str) -> Value {
    let level = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    let mut labels: BTreeMap<String, String> = ["enforce", "warn", "audit"].map(level).into();
    labels.insert(NAMESPACE_LABEL.to_owned(), name.to_owned());
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// All that is in it before anything of the pull request: what it may take, and that nothing reaches it or is reached from
/// it, but its own, the namespaces that the platform names, and DNS. Of a fork it reaches its own alone: a question to DNS
/// can carry anything out.
pub fn objects(
    name: &str,
    quota: &BTreeMap<String, String>,
    ingress_from: &[String],
    is_fork: bool,
) -> Vec<Value> {
    let mut hard: BTreeMap<String, String> =
        QUOTA.iter().map(|(what, most)| ((*what).to_owned(), (*most).to_owned())).collect();
    hard.extend(quota.clone());
    let metadata = |of: &str| json!({"name": of, "namespace": name, "labels": {(NAMESPACE_LABEL): name}});
    let own = json!({"podSelector": {}});
    let other = |namespace: &String| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    let from: Vec<Value> = std::iter::once(own.clone()).chain(ingress_from.iter().map(other)).collect();
    let dns = json!({
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    });
    let mut egress = vec![json!({"to": [own]})];
    if !is_fork {
        egress.push(dns);
    }
    vec![
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata("fairlead-preview"),
            "spec": {"hard": hard},
        }),
        json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": metadata("fairlead-preview"),
            "spec": {"limits": [{
                "type": "Container",
                "default": {"memory": "512Mi"},
                "defaultRequest": {"cpu": "50m", "memory": "64Mi"},
            }]},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata("fairlead-preview"),
            "spec": {
                "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"from": from}], "egress": egress,
            },
        }),
    ]
}
