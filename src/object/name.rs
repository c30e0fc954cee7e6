use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that is not one: what was given and what a name may hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{what} {given:?} is not a valid name: use lowercase letters, digits and '-', at most {limit} characters"
)]
pub struct InvalidName {
    what: &'static str,
    given: String,
    limit: usize,
}

/// Labels hold at most 63 characters; every one of these names becomes a label value.
const NAME_LIMIT: usize = 63;

fn dns_label(what: &'static str, text: &str) -> Result<Box<str>, InvalidName> {
    let ok = !text.is_empty()
        && text.len() <= NAME_LIMIT
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if ok { Ok(text.into()) } else { Err(InvalidName { what, given: text.to_owned(), limit: NAME_LIMIT }) }
}

macro_rules! label_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                dns_label($what, text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label_name!(
    /// An environment: what one team runs in one place.
    EnvironmentName,
    "the environment"
);
label_name!(
    /// A part of an environment that is proven, gated, restored and quarantined by itself.
    AppName,
    "the app"
);

/// A commit on an environment's branch, as its full hex id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(Box<str>);

impl Revision {
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn short(&self) -> &str {
        &self.0[..self.0.floor_char_boundary(10)]
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Group, version and kind; the core group is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gvk {
    pub group: Box<str>,
    pub version: Box<str>,
    pub kind: Box<str>,
}

impl Gvk {
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// Reads `apps/v1` or `v1`.
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        match api_version.split_once('/') {
            Some((group, version)) => Self::new(group, version, kind),
            None => Self::new("", api_version, kind),
        }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `Deployment.apps`, or `Service` in the core group: how kubectl and ApplySets write a group-kind.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_string() } else { format!("{}.{}", self.kind, self.group) }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, kind {}", self.api_version(), self.kind)
    }
}

/// What an object is, whatever version it is asked in: group, kind, namespace, name. Copies share what they say: many
/// parts know each object of an app by its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<KeyParts>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyParts {
    pub group: Box<str>,
    pub kind: Box<str>,
    pub namespace: Option<Box<str>>,
    pub name: Box<str>,
}

impl ObjectKey {
    pub fn new(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self(Arc::new(KeyParts {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
        }))
    }
}

impl Deref for ObjectKey {
    type Target = KeyParts;

    fn deref(&self) -> &KeyParts {
        &self.0
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KeyParts::deserialize(deserializer).map(|parts| Self(Arc::new(parts)))
    }
}

/// Reads what is displayed, `Deployment.apps web/web` or `Namespace web`, and the same with a slash for the space.
impl FromStr for ObjectKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = || InvalidKey(text.to_owned());
        let text = text.trim();
        let (kind, name) = text.split_once(' ').or_else(|| text.split_once('/')).ok_or_else(invalid)?;
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, name),
        };
        let is_bad = |part: &str| part.is_empty() || part.contains(['/', ' ']);
        if is_bad(kind) || is_bad(name) || namespace.is_some_and(is_bad) {
            return Err(invalid());
        }
        Ok(Self::new(group, kind, namespace, name))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no object: write it as it is shown, \"Deployment.apps web/web\"")]
pub struct InvalidKey(String);

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_a_label_is_refused() {
        for bad in ["", "Prod", "a_b", "-a", "a-", "a/b", "a b", &"x".repeat(64)] {
            assert!(EnvironmentName::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(EnvironmentName::new("pr-12").is_ok());
    }

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        for text in [
            "Deployment.apps web/web",
            "Secret web/db",
            "Namespace web",
            "Role.rbac.authorization.k8s.io a/b",
        ] {
            assert_eq!(text.parse::<ObjectKey>().unwrap().to_string(), text);
        }
        assert_eq!(
            "Deployment.apps/web/api".parse::<ObjectKey>().unwrap().to_string(),
            "Deployment.apps web/api"
        );
        for text in [
            "",
            "web",
            "Deployment.apps web/",
            "Deployment.apps /web",
            "Deployment.apps a/b/c",
            "Deployment  web",
        ] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn keys_read_as_kubectl_writes_them() {
        assert_eq!(
            ObjectKey::new("apps", "Deployment", Some("web"), "a").to_string(),
            "Deployment.apps web/a"
        );
        assert_eq!(ObjectKey::new("", "Namespace", None, "web").to_string(), "Namespace web");
    }
}
