//! What is watched together, and as what.

use std::collections::BTreeSet;

use crate::object::{Gvk, ObjectKey};
use crate::plan::{Inventory, Wanted};

/// What is watched together: a kind in all namespaces, or the Secrets of one, as rights on those are given by namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    gvk: Gvk,
    namespace: Option<Box<str>>,
}

impl Watched {
    /// Lists what has to be watched to see these objects.
    pub fn of<'a>(objects: impl Iterator<Item = &'a Wanted>) -> BTreeSet<Self> {
        // By reference first: an app of ten thousand objects has a handful of kinds.
        let found: BTreeSet<(&Gvk, Option<&str>)> =
            objects.map(|wanted| (&wanted.gvk, by_namespace(&wanted.key))).collect();
        found
            .into_iter()
            .map(|(gvk, namespace)| Self { gvk: gvk.clone(), namespace: namespace.map(Into::into) })
            .collect()
    }

    /// Lists where an environment has or may have objects, by its own word.
    pub fn held(inventory: &Inventory) -> BTreeSet<Self> {
        let mut found = BTreeSet::new();
        for (group, kind) in inventory.group_kinds() {
            let gvk = Gvk::new(group, "", kind);
            if is_secret(group, kind) {
                let of = |namespace: &String| Self {
                    gvk: gvk.clone(),
                    namespace: Some(namespace.as_str().into()),
                };
                found.extend(inventory.namespaces.iter().map(of));
            } else {
                found.insert(Self { gvk, namespace: None });
            }
        }
        found
    }

    pub(super) fn id(&self) -> Id {
        Id { group: self.gvk.group.clone(), kind: self.gvk.kind.clone(), namespace: self.namespace.clone() }
    }
}

/// Names what is watched together, whichever version it is read in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub group: Box<str>,
    pub kind: Box<str>,
    /// Of Secrets only.
    pub namespace: Option<Box<str>>,
}

impl Id {
    /// Names the watch that sees this object.
    pub fn of(key: &ObjectKey) -> Self {
        Self {
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: by_namespace(key).map(Into::into),
        }
    }

    /// Tells whether this kind is healthy when it exists. It is watched as metadata only, so that the data of ConfigMaps
    /// and Secrets never comes here.
    pub fn is_bodyless(&self) -> bool {
        matches!(
            (&*self.group, &*self.kind),
            ("", "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "Endpoints")
                | (
                    "rbac.authorization.k8s.io"
                        | "scheduling.k8s.io"
                        | "node.k8s.io"
                        | "storage.k8s.io"
                        | "discovery.k8s.io",
                    _
                )
                | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
                | ("admissionregistration.k8s.io", _)
        )
    }
}

fn by_namespace(key: &ObjectKey) -> Option<&str> {
    key.namespace.as_deref().filter(|_| is_secret(&key.group, &key.kind))
}

fn is_secret(group: &str, kind: &str) -> bool {
    group.is_empty() && kind == "Secret"
}
