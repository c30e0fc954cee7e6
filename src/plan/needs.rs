//! What has to be there before a hook can run: what its pod reads and what it names in `depends-on`, and what those need.
//!
//! Not all configuration: pods of the version that still runs see a ConfigMap change under them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::Wanted;
use super::hooks::{Hook, Moment};
use crate::object::{ObjectKey, Problem, Problems};

/// The objects of the app that hooks need, and what is there for hooks by Helm's word.
pub(super) fn needed(
    hooks: &[Arc<Hook>],
    early: BTreeSet<ObjectKey>,
    objects: &[Arc<Wanted>],
) -> Result<BTreeSet<ObjectKey>, Problems> {
    let before = |hook: &&Arc<Hook>| [hook.install, hook.upgrade].contains(&Some(Moment::Before));
    let index: HashMap<&ObjectKey, &Arc<Wanted>> =
        objects.iter().map(|object| (&object.key, object)).collect();
    let mut open: Vec<ObjectKey> = early.into_iter().collect();
    let mut problems = Vec::new();
    for hook in hooks.iter().filter(before) {
        let namespace = hook.key.namespace.as_deref();
        open.extend(reads(&hook.pod, namespace));
        for on in &hook.job.depends_on {
            if !index.contains_key(on) {
                let message = format!("the hook {} depends on {on}, which this app does not hold", hook.key);
                problems.push(Problem::at(hook.place.clone(), message));
            }
            open.push(on.clone());
        }
    }
    Problems::check(problems)?;
    let mut found = BTreeSet::new();
    while let Some(key) = open.pop() {
        let Some(object) = index.get(&key) else { continue };
        if !found.insert(key.clone()) {
            continue;
        }
        open.extend(object.depends_on.iter().cloned());
        let Some(template) = template(object) else { continue };
        open.extend(reads(&template["spec"], key.namespace.as_deref()));
        open.extend(services(&template["metadata"]["labels"], &key, objects));
    }
    Ok(found)
}

fn template(object: &Wanted) -> Option<Value> {
    let workload = matches!((&*object.key.group, &*object.key.kind), ("apps", _) | ("batch", "Job"));
    workload.then(|| object.value()["spec"]["template"].clone())
}

/// What a pod cannot start without, of what an app may hold.
fn reads(pod: &Value, namespace: Option<&str>) -> Vec<ObjectKey> {
    let mut found = Vec::new();
    let mut add = |kind: &str, name: &Value| {
        if let Some(name) = name.as_str() {
            found.push(ObjectKey::new("", kind, namespace, name));
        }
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    add("ServiceAccount", &pod["serviceAccountName"]);
    add("ServiceAccount", &pod["serviceAccount"]);
    list(&pod["imagePullSecrets"]).iter().for_each(|secret| add("Secret", &secret["name"]));
    for container in list(&pod["containers"]).iter().chain(&list(&pod["initContainers"])) {
        for source in list(&container["envFrom"]) {
            add("ConfigMap", &source["configMapRef"]["name"]);
            add("Secret", &source["secretRef"]["name"]);
        }
        for variable in list(&container["env"]) {
            add("ConfigMap", &variable["valueFrom"]["configMapKeyRef"]["name"]);
            add("Secret", &variable["valueFrom"]["secretKeyRef"]["name"]);
        }
    }
    for volume in list(&pod["volumes"]) {
        add("ConfigMap", &volume["configMap"]["name"]);
        add("Secret", &volume["secret"]["secretName"]);
        add("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]);
        for source in list(&volume["projected"]["sources"]) {
            add("ConfigMap", &source["configMap"]["name"]);
            add("Secret", &source["secret"]["name"]);
        }
    }
    found
}

/// The Services by which pods of these labels are reached.
fn services(labels: &Value, of: &ObjectKey, objects: &[Arc<Wanted>]) -> Vec<ObjectKey> {
    let is_service = |object: &&Arc<Wanted>| {
        object.key.group.is_empty() && &*object.key.kind == "Service" && object.key.namespace == of.namespace
    };
    let selects = |object: &&Arc<Wanted>| {
        let value = object.value();
        let selector = value["spec"]["selector"].as_object();
        selector.is_some_and(|all| !all.is_empty() && all.iter().all(|(name, value)| labels[name] == *value))
    };
    objects.iter().filter(is_service).filter(selects).map(|object| object.key.clone()).collect()
}
