//! Secrets and ConfigMaps that pods need.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Found, Scene};
use crate::object::ObjectKey;
use crate::policy::{containers, pods_of};
use crate::review::compare::Objects;
use crate::review::compare::{Delta, deltas};
use crate::review::input::AppSide;
use crate::review::risk::{RiskClass, Severity};

/// What pods of an object cannot start without.
fn needed(key: &ObjectKey, object: &Value) -> BTreeSet<ObjectKey> {
    let mut found = BTreeSet::new();
    let mut need = |kind: &str, name: &Value, optional: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty() && *optional != true) {
            found.insert(ObjectKey::new("", kind, key.namespace.as_deref(), name));
        }
    };
    for (_, pod) in pods_of(key, object) {
        for (_, container) in containers(&pod) {
            for from in container["envFrom"].as_array().into_iter().flatten() {
                need("Secret", &from["secretRef"]["name"], &from["secretRef"]["optional"]);
                need("ConfigMap", &from["configMapRef"]["name"], &from["configMapRef"]["optional"]);
            }
            for variable in container["env"].as_array().into_iter().flatten() {
                let from = &variable["valueFrom"];
                need("Secret", &from["secretKeyRef"]["name"], &from["secretKeyRef"]["optional"]);
                need("ConfigMap", &from["configMapKeyRef"]["name"], &from["configMapKeyRef"]["optional"]);
            }
        }
        for volume in pod.spec["volumes"].as_array().into_iter().flatten() {
            need("Secret", &volume["secret"]["secretName"], &volume["secret"]["optional"]);
            need("ConfigMap", &volume["configMap"]["name"], &volume["configMap"]["optional"]);
            for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
                need("Secret", &source["secret"]["name"], &source["secret"]["optional"]);
                need("ConfigMap", &source["configMap"]["name"], &source["configMap"]["optional"]);
            }
        }
    }
    found
}

/// What pods of a change begin to need and git does not have: it has to be in the cluster.
pub fn outside(before: &[AppSide], after: &[AppSide]) -> BTreeSet<ObjectKey> {
    let (before, after) = (Objects::of(before), Objects::of(after));
    let changed = deltas(&before, &after, &[]);
    changed.iter().flat_map(begins_to_need).filter(|key| after.get(key).is_none()).collect()
}

fn begins_to_need(delta: &Delta) -> BTreeSet<ObjectKey> {
    let had = needed(delta.key, delta.before());
    needed(delta.key, delta.after()).difference(&had).cloned().collect()
}

pub fn judge(scene: &Scene<'_>, found: &mut Found) {
    let goes = |key: &ObjectKey| scene.before.get(key).is_some() && scene.after.get(key).is_none();
    for delta in &scene.deltas {
        for key in begins_to_need(delta) {
            let is_missing = scene.change.live.as_ref().is_some_and(|live| live.missing.contains(&key));
            if is_missing || goes(&key) {
                let message =
                    format!("{} needs {key}, which is neither in git nor in the cluster", delta.key);
                found.say(delta, (RiskClass::SecretMissing, Severity::Error), message);
            }
        }
    }
    // What goes, and is needed by what stays as it is.
    let gone: Vec<&Delta> = scene
        .deltas
        .iter()
        .filter(|delta| delta.after.is_none() && (delta.is("", "Secret") || delta.is("", "ConfigMap")))
        .collect();
    for delta in gone {
        for (key, value) in scene.after.in_namespace(delta.key.namespace.as_deref()) {
            let needs = needed(key, &value).contains(delta.key);
            let begins = scene
                .deltas
                .iter()
                .any(|other| other.key == key && begins_to_need(other).contains(delta.key));
            if needs && !begins {
                let message = format!("{key} needs {}, which leaves git", delta.key);
                found.say(delta, (RiskClass::SecretMissing, Severity::Error), message);
            }
        }
    }
}
