//! What is known of the built-in kinds without a cluster: scope, versions, fields, and the APIs that were removed.
//!
//! The data is what releases of Kubernetes publish, in files that `tests/schema-gen/generate.py` writes, the newest one
//! unless another is asked for; each is read once, when first asked for. A server's own discovery goes before it wherever
//! there is a server. How kustomize merges lists is another matter: it uses the OpenAPI of 1.21, and `render` keeps that
//! table. What is known of custom resources is what their definitions say (`custom`).

mod check;
mod custom;
mod data;
mod types;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::object::{Gvk, KindInfo, Kinds};

pub use check::{Finding, What, check};
pub use custom::Definitions;
pub use types::{Field, Items, Patch, Shape, TypeRef};

/// An API version of a kind that no server offers any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The Kubernetes release that was the first without it: `1.22`.
    pub release: String,
    /// The API version to write instead, and the kind after a space where that is another one too.
    pub instead: Option<String>,
}

/// The built-in kinds of one Kubernetes release.
#[derive(Debug)]
pub struct Builtin {
    release: String,
    kinds: Kinds,
    removed: HashMap<Gvk, Removed>,
    roots: HashMap<Gvk, u32>,
    types: Vec<types::Type>,
}

macro_rules! releases {
    ($($release:literal),*) => {
        [$(($release, LazyLock::new(|| data::parse(include_str!(concat!("releases/", $release, ".json")))))),*]
    };
}

/// Those that are maintained when this is written, the newest one first.
static RELEASES: [(&str, LazyLock<Builtin>); 5] = releases!("1.36", "1.35", "1.34", "1.33", "1.32");

pub fn builtin() -> &'static Builtin {
    &RELEASES[0].1
}

/// A release whose kinds are not built in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kinds of Kubernetes {asked} are not known here; known are {}", known().join(", "))]
pub struct UnknownRelease {
    pub asked: String,
}

/// The releases whose kinds are built in, the newest one first.
pub fn known() -> Vec<&'static str> {
    RELEASES.iter().map(|(name, _)| *name).collect()
}

/// A release by its name, as people and servers write it: `1.36`, `v1.36.3`, `v1.36.3-eks-1a2b3c`.
pub fn release(asked: &str) -> Result<&'static Builtin, UnknownRelease> {
    let text = asked.strip_prefix('v').unwrap_or(asked);
    let mut parts = text.split('.');
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let wanted = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{}", digits(minor)),
        _ => text.to_owned(),
    };
    let found = RELEASES.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, builtin)| &**builtin).ok_or_else(|| UnknownRelease { asked: asked.to_owned() })
}

impl Builtin {
    /// The Kubernetes release that this was taken from: `1.36.3`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// All kinds, for offline use where a server's discovery would be used otherwise. Alpha versions are among them:
    /// whether a server serves them is its own choice.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// The kind, where this very version of it is served.
    pub fn kind(&self, gvk: &Gvk) -> Option<&KindInfo> {
        self.kinds
            .get(&gvk.group, &gvk.kind)
            .filter(|info| info.versions.iter().any(|version| **version == *gvk.version))
    }

    pub fn removed(&self, gvk: &Gvk) -> Option<&Removed> {
        self.removed.get(gvk)
    }

    /// The type of a whole object.
    pub fn root(&self, gvk: &Gvk) -> Option<TypeRef<'_>> {
        self.roots.get(gvk).map(|&at| TypeRef { all: self, at })
    }

    /// Whether a group belongs to Kubernetes: a kind of it that is not known here is a mistake, not a custom resource.
    pub fn owns_group(&self, group: &str) -> bool {
        self.kinds.iter().any(|(known, _, _)| known == group)
            || self.removed.keys().any(|gvk| &*gvk.group == group)
    }
}

#[cfg(test)]
mod tests;
