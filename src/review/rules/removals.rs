//! What goes, and what goes with it.

use super::{Found, Scene};
use crate::object::{ObjectKey, PRUNE};
use crate::plan::is_protected;
use crate::review::compare::Delta;
use crate::review::risk::{RiskClass, Severity};

pub fn judge(delta: &Delta, scene: &Scene<'_>, found: &mut Found) {
    let (Some(before), None) = (&delta.before, &delta.after) else { return };
    if delta.is_hook() {
        return;
    }
    let asked = before.value["metadata"]["annotations"][PRUNE].as_str();
    let stays = match asked {
        Some("never") => {
            Some(format!("{} leaves git; it stays in the cluster, as it says by {PRUNE}", delta.key))
        }
        Some("allowed") => None,
        _ if is_protected(&before.wanted.gvk) => Some(format!(
            "{} leaves git; it stays in the cluster, for its kind is deleted only where it says {PRUNE}: allowed",
            delta.key
        )),
        _ => None,
    };
    let (class, what) = match (&*delta.key.group, &*delta.key.kind) {
        ("", "Namespace") => (RiskClass::RemovesNamespace, "with all that is in it"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            (RiskClass::RemovesDefinition, "with all objects of its kind, in every namespace")
        }
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            (RiskClass::RemovesVolume, "and what is stored in it may go, too")
        }
        ("storage.k8s.io", "StorageClass") => {
            (RiskClass::RemovesStorageClass, "and claims that name it wait for ever")
        }
        ("apps", "StatefulSet") => (RiskClass::RemovesStatefulSet, "with its pods"),
        ("networking.k8s.io", "NetworkPolicy") => {
            (RiskClass::RemovesNetworkPolicy, "and what it forbade is allowed")
        }
        ("policy", "PodDisruptionBudget") => {
            (RiskClass::RemovesDisruptionBudget, "and nothing keeps its pods from being evicted all at once")
        }
        _ => (RiskClass::Deletes, ""),
    };
    match (stays, class) {
        (Some(stays), class) => found.say(delta, (class, Severity::Warning), stays),
        (None, RiskClass::Deletes) => {
            if let Some(newer) = successor(delta, scene) {
                let message = format!("{} is deleted, and {newer} is made in its place", delta.key);
                return found.say(delta, (class, Severity::Note), message);
            }
            found.say(delta, (class, Severity::Warning), format!("{} is deleted", delta.key));
        }
        (None, class) => {
            found.say(delta, (class, Severity::Error), format!("{} is deleted, {what}", delta.key));
        }
    }
}

/// What kustomize generates bears digits of its content in its name: the one that comes with other content, where there
/// is one.
fn successor<'a>(delta: &Delta, scene: &'a Scene<'_>) -> Option<&'a ObjectKey> {
    if !delta.is("", "ConfigMap") && !delta.is("", "Secret") {
        return None;
    }
    let begin = without_digits(&delta.key.name)?;
    let mut comes = scene.deltas.iter().filter(|other| other.before.is_none()).map(|other| other.key);
    comes.find(|key| {
        key.kind == delta.key.kind
            && key.namespace == delta.key.namespace
            && without_digits(&key.name).is_some_and(|other| other == begin)
    })
}

fn without_digits(name: &str) -> Option<&str> {
    const DIGITS: usize = 10;
    let (begin, digits) = name.rsplit_once('-')?;
    let legal =
        digits.len() == DIGITS && digits.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    legal.then_some(begin)
}
