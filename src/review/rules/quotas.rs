//! Whether ResourceQuotas have room for what a change asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::quantity::{milli, words};
use super::{Found, Scene};
use crate::object::ObjectKey;
use crate::policy::{containers, pods_of};
use crate::review::input::Quota;
use crate::review::risk::{Risk, RiskClass, Severity};

/// Thousandths, by the names that quotas have for them.
type Usage = BTreeMap<String, i128>;

/// What an object counts for in a quota of its namespace, with all the pods that it makes.
fn usage(key: &ObjectKey, object: &Value) -> Usage {
    let mut all = Usage::new();
    let resource = match (&*key.group, &*key.kind) {
        ("", "ConfigMap") => Some("configmaps"),
        ("", "Secret") => Some("secrets"),
        ("", "Service") => Some("services"),
        ("", "PersistentVolumeClaim") => Some("persistentvolumeclaims"),
        _ => None,
    };
    if let Some(resource) = resource {
        all.insert(resource.to_owned(), 1_000);
        all.insert(format!("count/{resource}"), 1_000);
    }
    match (&*key.group, &*key.kind) {
        ("", "PersistentVolumeClaim") => {
            if let Some(size) = milli(&object["spec"]["resources"]["requests"]["storage"]) {
                all.insert("requests.storage".to_owned(), size);
            }
        }
        ("", "Service") => match object["spec"]["type"].as_str() {
            Some("LoadBalancer") => drop(all.insert("services.loadbalancers".to_owned(), 1_000)),
            Some("NodePort") => drop(all.insert("services.nodeports".to_owned(), 1_000)),
            _ => {}
        },
        // How many nodes there are, and which jobs are under way, nobody says.
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "Pod") => pods(key, object, &mut all),
        _ => {}
    }
    all
}

fn pods(key: &ObjectKey, object: &Value, all: &mut Usage) {
    let count = match &*key.kind {
        "Pod" => 1,
        _ => object["spec"]["replicas"].as_i64().unwrap_or(1).into(),
    };
    let Some((_, pod)) = pods_of(key, object).into_iter().next() else { return };
    *all.entry("pods".to_owned()).or_default() += count * 1_000;
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        for field in ["requests", "limits"] {
            let of = |holder: &Value| {
                let said = milli(&holder["resources"][field][resource]);
                // What has only a limit requests as much.
                said.or_else(|| milli(&holder["resources"]["limits"][resource])).unwrap_or_default()
            };
            let (mut together, mut first) = (0, 0);
            for (at, container) in containers(&pod) {
                let asked = of(container);
                match at.starts_with("/initContainers/") && container["restartPolicy"] != "Always" {
                    true => first = first.max(asked),
                    false => together += asked,
                }
            }
            let own = of(pod.spec);
            let each = if own > 0 { own } else { together.max(first) } + overhead(pod.spec, resource);
            if each > 0 {
                *all.entry(format!("{field}.{resource}")).or_default() += each * count;
                if field == "requests" {
                    *all.entry(resource.to_owned()).or_default() += each * count;
                }
            }
        }
    }
}

fn overhead(spec: &Value, resource: &str) -> i128 {
    milli(&spec["overhead"][resource]).unwrap_or_default()
}

const QUOTA: [(&str, &str); 1] = [("", "ResourceQuota")];

pub fn judge(scene: &Scene<'_>, found: &mut Found) {
    let namespaces: BTreeSet<&str> =
        scene.deltas.iter().filter_map(|delta| delta.key.namespace.as_deref()).collect();
    for namespace in namespaces {
        let mut more = Usage::new();
        for delta in scene.deltas.iter().filter(|delta| delta.key.namespace.as_deref() == Some(namespace)) {
            for (name, amount) in usage(delta.key, delta.after()) {
                *more.entry(name).or_default() += amount;
            }
            for (name, amount) in usage(delta.key, delta.before()) {
                *more.entry(name).or_default() -= amount;
            }
        }
        let mut quotas: BTreeMap<String, Quota> = BTreeMap::new();
        for quota in scene.change.live.iter().flat_map(|live| &live.quotas) {
            if quota.namespace == namespace {
                quotas.insert(quota.name.clone(), quota.clone());
            }
        }
        let in_git: Vec<(&ObjectKey, Value)> = scene.after.within(Some(namespace), &QUOTA).collect();
        for (key, value) in &in_git {
            let hard = value["spec"]["hard"].clone();
            match quotas.get_mut(&*key.name) {
                Some(quota) => quota.hard = hard,
                None if is_scoped(value) => {}
                None => compare_git(scene, (namespace, key), &hard, found),
            }
        }
        for quota in quotas.values() {
            for (name, hard) in quota.hard.as_object().into_iter().flatten() {
                let added = more.get(name).copied().unwrap_or_default();
                let Some((hard, used)) = milli(hard).zip(milli(&quota.used[name]).or(Some(0))) else {
                    continue;
                };
                if added > 0 && used + added > hard {
                    let message = format!(
                        "the ResourceQuota {}/{} lets {} of {name}: {} are used, and the change asks for {} more",
                        quota.namespace,
                        quota.name,
                        words(name, hard),
                        words(name, used),
                        words(name, added),
                    );
                    found.push(Risk::new(RiskClass::QuotaExceeded, Severity::Error, message));
                }
            }
        }
    }
}

/// Where nobody knows what is used: all that git has in the namespace, against what git lets.
fn compare_git(scene: &Scene<'_>, (namespace, key): (&str, &ObjectKey), hard: &Value, found: &mut Found) {
    const COUNTED: [(&str, &str); 8] = [
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "Service"),
        ("", "PersistentVolumeClaim"),
        ("", "Pod"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "ReplicaSet"),
    ];
    let sum = |side: &crate::review::compare::Objects<'_>| {
        let mut all = Usage::new();
        for (key, value) in side.within(Some(namespace), &COUNTED) {
            for (name, amount) in usage(key, &value) {
                *all.entry(name).or_default() += amount;
            }
        }
        all
    };
    let (before, after) = (sum(&scene.before), sum(&scene.after));
    let old = scene.before.get(key).map(|wanted| wanted.value()["spec"]["hard"].take());
    for (name, hard) in hard.as_object().into_iter().flatten() {
        let (Some(hard), Some(&wants)) = (milli(hard), after.get(name)) else { continue };
        let old = old.as_ref().and_then(|old| milli(&old[name]));
        let was_over = old.is_some_and(|old| before.get(name).is_some_and(|&wanted| wanted > old));
        if wants > hard && !was_over {
            let message = format!(
                "{key} lets {} of {name}, and git asks for {} in the namespace",
                words(name, hard),
                words(name, wants)
            );
            found.push(Risk {
                object: Some(key.to_string()),
                place: scene.after.get(key).map(|wanted| wanted.place.clone()),
                ..Risk::new(RiskClass::QuotaExceeded, Severity::Error, message)
            });
        }
    }
}

fn is_scoped(quota: &Value) -> bool {
    !quota["spec"]["scopes"].is_null() || !quota["spec"]["scopeSelector"].is_null()
}
