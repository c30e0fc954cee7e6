use std::collections::HashMap;

use super::Gvk;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KindScope {
    Cluster,
    Namespaced,
}

/// How a kind is addressed on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindInfo {
    pub plural: String,
    pub scope: KindScope,
    /// The versions that are served, the preferred one first.
    pub versions: Vec<String>,
}

/// The kinds that a server serves (or that are known offline), by group and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(HashMap<(String, String), KindInfo>);

impl Kinds {
    pub fn insert(&mut self, group: &str, kind: &str, info: KindInfo) {
        self.0.insert((group.to_owned(), kind.to_owned()), info);
    }

    pub fn get(&self, group: &str, kind: &str) -> Option<&KindInfo> {
        // A tuple of owned strings cannot be looked up by borrowed ones; kinds are few and this is not a hot path.
        self.0.get(&(group.to_owned(), kind.to_owned()))
    }

    pub fn serves(&self, gvk: &Gvk) -> bool {
        self.get(&gvk.group, &gvk.kind).is_some_and(|info| info.versions.iter().any(|v| **v == *gvk.version))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &KindInfo)> {
        self.0.iter().map(|((group, kind), info)| (group.as_str(), kind.as_str(), info))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
