//! Reads what the objects of an environment take for granted in this cluster: classes, and accounts that others make.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::agent::desired::Desire;
use crate::cluster::{Call, Cluster, chain};
use crate::region::{Needs, Present};

/// What marks the StorageClass that volumes get which name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The kinds that name anything that is looked for.
const KINDS: [&str; 10] = [
    "PersistentVolumeClaim",
    "Ingress",
    "ServiceAccount",
    "Pod",
    "CronJob",
    "Job",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
];

/// What all apps need that could be rendered.
pub fn needs(desire: &Desire) -> Needs {
    let mut needs = Needs::default();
    let apps = desire.apps.iter().filter_map(|(_, wanted)| wanted.as_ref().ok());
    let known = |group: &str| matches!(group, "" | "apps" | "batch" | "networking.k8s.io");
    for object in apps.flat_map(|app| app.all()).filter(|object| known(&object.key.group)) {
        if KINDS.contains(&&*object.key.kind) {
            needs.note(&object.key.kind, object.key.namespace.as_deref(), &object.value());
        }
    }
    needs
}

/// Looks for what is needed, and names what is missing.
pub async fn missing(cluster: &Cluster, needs: &Needs, namespaces: &[String]) -> Vec<String> {
    if needs.is_empty() {
        return Vec::new();
    }
    let mut there = Present::default();
    if let Some(classes) = list(cluster, "/apis/storage.k8s.io/v1/storageclasses").await {
        let is_default = |class: &Value| class["metadata"]["annotations"][DEFAULT_CLASS] == "true";
        there.default_storage = classes.iter().any(is_default);
        there.storage = Some(classes.iter().map(name).collect());
    }
    let ingress = list(cluster, "/apis/networking.k8s.io/v1/ingressclasses").await;
    there.ingress = ingress.map(|classes| classes.iter().map(name).collect());
    let priority = list(cluster, "/apis/scheduling.k8s.io/v1/priorityclasses").await;
    there.priority = priority.map(|classes| classes.iter().map(name).collect());
    let mut accounts = BTreeSet::new();
    let mut all_read = true;
    for namespace in namespaces {
        match list(cluster, &format!("/api/v1/namespaces/{namespace}/serviceaccounts")).await {
            Some(found) => accounts.extend(found.iter().map(|account| (namespace.clone(), name(account)))),
            None => all_read = false,
        }
    }
    there.accounts = Some(accounts).filter(|_| all_read);
    needs.missing(&there)
}

/// The items of a collection; nothing where it cannot be read.
async fn list(cluster: &Cluster, path: &str) -> Option<Vec<Value>> {
    let read = async { cluster.send(&Call::get(path)).await?.json() };
    match read.await {
        Ok(mut found) => Some(found["items"].as_array_mut().map(std::mem::take).unwrap_or_default()),
        Err(error) => {
            tracing::debug!(error = %chain(&error), path, "it is not looked whether what is needed is there");
            None
        }
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
