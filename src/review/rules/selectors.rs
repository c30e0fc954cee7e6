//! Selectors that select other pods than before.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Found, Scene};
use crate::object::ObjectKey;
use crate::plan::selects;
use crate::policy::pods_of;
use crate::review::compare::{Delta, Objects};
use crate::review::risk::{Risk, RiskClass, Severity};

pub fn judge(delta: &Delta, found: &mut Found) {
    if delta.before.is_none() || delta.after.is_none() {
        return;
    }
    let (field, severity, what) = match (&*delta.key.group, &*delta.key.kind) {
        ("", "Service") => (".spec.selector", Severity::Warning, "requests go to other pods"),
        ("networking.k8s.io", "NetworkPolicy") => (
            ".spec.podSelector",
            Severity::Warning,
            "it is about other pods, and others are as if there was none",
        ),
        ("policy", "PodDisruptionBudget") => (".spec.selector", Severity::Warning, "it keeps other pods"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            (".spec.selector", Severity::Warning, "pods that it made are its own no longer")
        }
        _ => return,
    };
    let pointer = field.replace('.', "/");
    let side = |object: &Value| object.pointer(&pointer).cloned();
    if side(delta.before()) != side(delta.after()) {
        let message = format!("{}: its selector changes: {what}", delta.key);
        found.at(delta, (RiskClass::Selector, severity), Some(field.to_owned()), message);
    }
}

const SERVICE: [(&str, &str); 1] = [("", "Service")];

/// Services that select none of the pods that git has.
pub fn services(scene: &Scene<'_>, found: &mut Found) {
    for namespace in scene.namespaces() {
        let matters = |delta: &Delta| {
            delta.is("", "Service")
                || [delta.before(), delta.after()].iter().any(|one| !pods_of(delta.key, one).is_empty())
        };
        let is_here = |delta: &&Delta| delta.key.namespace.as_deref() == Some(namespace);
        if !scene.deltas.iter().filter(is_here).any(matters) {
            continue;
        }
        let (idle_before, _) = idle(&scene.before, namespace);
        let (idle_now, all) = idle(&scene.after, namespace);
        for key in idle_now {
            let was_there = scene.before.get(key).is_some();
            if idle_before.contains(key) || !all {
                continue;
            }
            let (severity, message) = match was_there {
                true => (Severity::Warning, format!("{key} selects none of the pods that git has any more")),
                false => (Severity::Note, format!("{key} selects none of the pods that git has")),
            };
            found.push(Risk {
                app: scene.after.app(key).map(ToString::to_string),
                object: Some(key.to_string()),
                place: scene.after.get(key).map(|wanted| wanted.place.clone()),
                field: Some(".spec.selector".to_owned()),
                ..Risk::new(RiskClass::Selector, severity, message)
            });
        }
    }
}

/// The Services that select none, and whether there are any pods to select.
fn idle<'a>(side: &Objects<'a>, namespace: &str) -> (BTreeSet<&'a ObjectKey>, bool) {
    let mut labels = Vec::new();
    for (key, object) in side.in_namespace(Some(namespace)) {
        labels.extend(pods_of(key, &object).into_iter().map(|(_, pod)| pod.metadata["labels"].clone()));
    }
    let mut found = BTreeSet::new();
    for (key, service) in side.within(Some(namespace), &SERVICE) {
        let selector = &service["spec"]["selector"];
        // Without one, somebody else says where it leads to.
        if selector.as_object().is_none_or(serde_json::Map::is_empty)
            || service["spec"]["type"] == "ExternalName"
        {
            continue;
        }
        let selector = json!({"matchLabels": selector});
        if !labels.iter().any(|labels| selects(&selector, labels.as_object())) {
            found.insert(key);
        }
    }
    (found, !labels.is_empty())
}
