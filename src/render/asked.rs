//! Which object a person means.

use std::fmt;
use std::str::FromStr;

use super::explain::Explained;
use crate::object::ObjectKey;
use crate::schema;

/// `kind/name`, the kind as kubectl takes it: singular, plural or short, with its group or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    text: String,
    kind: String,
    group: Option<String>,
    name: String,
}

/// What kubectl calls them in short.
const SHORT: [(&str, &str); 22] = [
    ("cj", "CronJob"),
    ("cm", "ConfigMap"),
    ("crd", "CustomResourceDefinition"),
    ("crds", "CustomResourceDefinition"),
    ("deploy", "Deployment"),
    ("ds", "DaemonSet"),
    ("ep", "Endpoints"),
    ("hpa", "HorizontalPodAutoscaler"),
    ("ing", "Ingress"),
    ("limits", "LimitRange"),
    ("netpol", "NetworkPolicy"),
    ("ns", "Namespace"),
    ("pc", "PriorityClass"),
    ("pdb", "PodDisruptionBudget"),
    ("po", "Pod"),
    ("pv", "PersistentVolume"),
    ("pvc", "PersistentVolumeClaim"),
    ("quota", "ResourceQuota"),
    ("sa", "ServiceAccount"),
    ("sc", "StorageClass"),
    ("sts", "StatefulSet"),
    ("svc", "Service"),
];

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('/').filter(|(kind, name)| !kind.is_empty() && !name.is_empty());
        let Some((what, name)) = named else {
            return Err("write it as KIND/NAME, as in deployment/web or Deployment.apps/web".to_owned());
        };
        let (kind, group) = match what.split_once('.') {
            Some((kind, group)) => (kind, Some(group.to_owned())),
            None => (what, None),
        };
        Ok(Self { text: text.to_owned(), kind: kind.to_owned(), group, name: name.to_owned() })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Asked {
    pub fn is(&self, object: &Explained, namespace: Option<&str>) -> bool {
        let key = object.manifest.key();
        stands_in(&key, namespace)
            && self.is_kind(&key)
            && (*key.name == *self.name || object.names().contains(&self.name))
    }

    /// Whether it is the object of a cluster that has this key.
    pub fn is_key(&self, key: &ObjectKey, namespace: Option<&str>) -> bool {
        stands_in(key, namespace) && self.is_kind(key) && *key.name == *self.name
    }

    /// Whether it may have been meant.
    pub fn is_near(&self, key: &ObjectKey) -> bool {
        self.is_kind(key) || *key.name == *self.name
    }

    fn is_kind(&self, key: &ObjectKey) -> bool {
        if self.group.as_ref().is_some_and(|group| *group != *key.group) {
            return false;
        }
        let asked = self.kind.to_ascii_lowercase();
        let kind = key.kind.to_ascii_lowercase();
        let plural = schema::builtin().kinds().get(&key.group, &key.kind).map(|info| info.plural.clone());
        asked == kind
            || plural.is_some_and(|plural| plural == asked)
            || asked.strip_suffix("es").is_some_and(|one| one == kind)
            || asked.strip_suffix('s').is_some_and(|one| one == kind)
            || SHORT.iter().any(|(short, long)| *short == asked && *long == &*key.kind)
    }
}

/// Whether an object is in a namespace, as far as both are said.
fn stands_in(key: &ObjectKey, namespace: Option<&str>) -> bool {
    match (namespace, key.namespace.as_deref()) {
        (Some(wanted), Some(found)) => wanted == found,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_asked_for_as_kubectl_takes_it() {
        let key = |group, kind| ObjectKey::new(group, kind, Some("web"), "web");
        for (asked, group, kind, is) in [
            ("deployment/web", "apps", "Deployment", true),
            ("deployments/web", "apps", "Deployment", true),
            ("deploy/web", "apps", "Deployment", true),
            ("Deployment.apps/web", "apps", "Deployment", true),
            ("Deployment.other/web", "apps", "Deployment", false),
            ("ingresses/web", "networking.k8s.io", "Ingress", true),
            ("networkpolicies/web", "networking.k8s.io", "NetworkPolicy", true),
            ("widgets/web", "example.org", "Widget", true),
            ("service/web", "apps", "Deployment", false),
        ] {
            assert_eq!(Asked::from_str(asked).unwrap().is_kind(&key(group, kind)), is, "{asked}");
        }
        for wrong in ["web", "deployment/", "/web"] {
            assert!(Asked::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
