//! Fields that cannot change, as far as that is known without a server. Where one was asked, its answers count instead.

use super::{Found, Scene};
use crate::object::REPLACE;
use crate::plan::field_changes;
use crate::review::compare::Delta;
use crate::review::risk::{RiskClass, Severity};

/// The fields of a kind that cannot change.
enum Fixed {
    /// These, and all below them.
    Only(&'static [&'static str]),
    /// Everything below the first, but for these.
    AllBut(&'static str, &'static [&'static str]),
}

fn fixed(delta: &Delta) -> Option<Fixed> {
    Some(match (&*delta.key.group, &*delta.key.kind) {
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") => Fixed::Only(&[".spec.selector"]),
        ("apps", "StatefulSet") => Fixed::AllBut(
            ".spec",
            &[
                ".spec.replicas",
                ".spec.ordinals",
                ".spec.template",
                ".spec.updateStrategy",
                ".spec.persistentVolumeClaimRetentionPolicy",
                ".spec.minReadySeconds",
                ".spec.revisionHistoryLimit",
            ],
        ),
        ("batch", "Job") => Fixed::Only(&[".spec.selector", ".spec.template", ".spec.completionMode"]),
        ("", "PersistentVolumeClaim") => {
            Fixed::AllBut(".spec", &[".spec.resources", ".spec.volumeAttributesClassName"])
        }
        ("storage.k8s.io", "StorageClass") => {
            Fixed::Only(&[".provisioner", ".parameters", ".reclaimPolicy", ".volumeBindingMode"])
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Fixed::Only(&[".roleRef"]),
        ("", "Secret") if delta.before()["immutable"] == true => {
            Fixed::Only(&[".type", ".data", ".stringData", ".immutable"])
        }
        ("", "Secret") => Fixed::Only(&[".type"]),
        ("", "ConfigMap") if delta.before()["immutable"] == true => {
            Fixed::Only(&[".data", ".binaryData", ".immutable"])
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Fixed::Only(&[".spec.group", ".spec.scope", ".spec.names.kind", ".spec.names.plural"])
        }
        ("scheduling.k8s.io", "PriorityClass") => Fixed::Only(&[".value", ".preemptionPolicy"]),
        ("networking.k8s.io", "IngressClass") => Fixed::Only(&[".spec.controller"]),
        ("node.k8s.io", "RuntimeClass") => Fixed::Only(&[".handler"]),
        ("", "Service") => Fixed::Only(&[".spec.clusterIP"]),
        _ => return None,
    })
}

impl Fixed {
    fn holds(&self, path: &str) -> bool {
        let below = |field: &str| {
            path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
        };
        match self {
            Self::Only(fields) => fields.iter().any(|field| below(field)),
            Self::AllBut(root, fields) => below(root) && !fields.iter().any(|field| below(field)),
        }
    }
}

pub fn judge(delta: &Delta, scene: &Scene<'_>, found: &mut Found) {
    if delta.before.is_none() || delta.after.is_none() || delta.is_hook() || scene.was_asked(delta) {
        return;
    }
    let Some(fixed) = fixed(delta) else { return };
    let changes = field_changes(delta.before(), delta.after());
    let Some(change) = changes.into_iter().find(|change| fixed.holds(&change.path)) else { return };
    let path = change.path;
    let replaces = delta.is("batch", "Job") || !delta.after()["metadata"]["annotations"][REPLACE].is_null();
    let (class, severity, message) = match replaces {
        true => {
            let message = format!("{} is deleted and made anew: {path} cannot change", delta.key);
            (RiskClass::Recreates, Severity::Warning, message)
        }
        false => {
            let message = format!("{}: {path} cannot change, and the server refuses it", delta.key);
            (RiskClass::Immutable, Severity::Error, message)
        }
    };
    found.at(delta, (class, severity), Some(path), message);
}
