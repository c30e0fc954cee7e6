//! Names by which overlays find objects: group, version, kind, name and the namespace that counts.

use std::fmt;

use super::schema::Schemas;

/// The namespace of kinds that have none. No namespace can be called so.
const NO_NAMESPACE: &str = "_non_namespaceable_";

/// What an object is called, at one step of its way. The namespace is the one that counts: `default` where none is
/// written, and one of its own for kinds outside namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

impl Id {
    pub fn new(api_version: &str, kind: &str, name: &str, namespace: &str) -> Self {
        let namespace = effective_namespace(api_version, kind, namespace);
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }
}

pub(crate) fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    Schemas::built_in().is_cluster_scoped(api_version, kind)
}

pub(crate) fn effective_namespace<'a>(api_version: &str, kind: &str, namespace: &'a str) -> &'a str {
    if is_cluster_scoped(api_version, kind) {
        NO_NAMESPACE
    } else if namespace.is_empty() {
        "default"
    } else {
        namespace
    }
}

/// `apps/v1` into its group and version; the core group is empty.
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, _) = split_api_version(&self.api_version);
        f.write_str(&self.kind)?;
        if !group.is_empty() {
            write!(f, ".{group}")?;
        }
        match &*self.namespace {
            NO_NAMESPACE | "default" => write!(f, " {}", self.name),
            namespace => write!(f, " {namespace}/{}", self.name),
        }
    }
}

/// A group, version and kind to choose by; an empty part stands for any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct GvkFilter {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl GvkFilter {
    pub fn selects(&self, api_version: &str, kind: &str) -> bool {
        let (group, version) = split_api_version(api_version);
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&self.group, group) && fits(&self.version, version) && fits(&self.kind, kind)
    }

    /// Whether this names no more than another: the test by which kustomize takes two rules for one.
    pub fn is_selected_by(&self, other: &Self) -> bool {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&other.group, &self.group)
            && fits(&other.version, &self.version)
            && fits(&other.kind, &self.kind)
    }
}
