//! The order of the output: kustomize's legacy order, unless `sortOptions` says otherwise.

use std::cmp::Ordering;

use super::id::split_api_version;
use super::kustomization::Sort;
use super::resource::Resource;

const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Kinds in their order, each kind by namespace and name, objects without a namespace after those with one.
pub(crate) fn sort(objects: Vec<Resource>, options: Option<&Sort>) -> Vec<Resource> {
    let (first, last): (Vec<&str>, Vec<&str>) = match options {
        Some(sort) if sort.order == "fifo" => return objects,
        Some(Sort { first_and_last: Some((first, last)), .. }) => {
            (first.iter().map(String::as_str).collect(), last.iter().map(String::as_str).collect())
        }
        _ => (FIRST.to_vec(), LAST.to_vec()),
    };
    let rank = |kind: &str| -> i64 {
        // A kind that is in both lists counts where the later one puts it.
        let place = |list: &[&str]| {
            list.iter().rposition(|known| *known == kind).and_then(|at| i64::try_from(at).ok())
        };
        let length = i64::try_from(first.len()).unwrap_or_default();
        match (place(&last), place(&first)) {
            (Some(at), _) => 1 + at,
            (None, Some(at)) => at - length,
            (None, None) => 0,
        }
    };
    let mut keyed: Vec<(Key, Resource)> =
        objects.into_iter().map(|object| (Key::of(&object, &rank), object)).collect();
    keyed.sort_by(|(one, _), (other, _)| one.compare(other));
    keyed.into_iter().map(|(_, object)| object).collect()
}

struct Key {
    rank: i64,
    gvk: String,
    is_core_namespace: bool,
    is_namespace: bool,
    name: String,
}

impl Key {
    fn of(object: &Resource, rank: &dyn Fn(&str) -> i64) -> Self {
        let or = |text: &str, other: &str| {
            if text.is_empty() { other.to_owned() } else { text.to_owned() }
        };
        let (group, version) = split_api_version(object.api_version());
        let kind = object.kind();
        Self {
            rank: rank(kind),
            gvk: format!("{}_{}_{}", or(group, "~G"), or(version, "~V"), or(kind, "~K")),
            is_namespace: kind == "Namespace",
            is_core_namespace: kind == "Namespace" && group.is_empty(),
            name: format!("{}|{}", or(object.namespace(), "~X"), or(object.name(), "~N")),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.rank
            .cmp(&other.rank)
            .then_with(|| {
                let gvk = self.gvk.cmp(&other.gvk);
                let namespaces = self.is_namespace && other.is_namespace;
                // The core group comes last of its rank, but for Namespaces, where it comes first.
                if namespaces && (self.is_core_namespace || other.is_core_namespace) {
                    gvk.reverse()
                } else {
                    gvk
                }
            })
            .then_with(|| self.name.cmp(&other.name))
    }
}
