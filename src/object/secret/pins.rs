//! Which versions of secrets an app is to run with.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::sealed::VERSIONS;
use super::{Reference, SecretId};

/// A version that is in force, and what has to be known of it to write the Secret down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub version: Box<str>,
    /// The keys of each JSON object that is taken as a whole, by the key that leads to it.
    pub keys: BTreeMap<Vec<Box<str>>, Vec<Box<str>>>,
    /// Whether the version before it still works, so that an app can go back to it.
    pub old_works: bool,
}

/// Why no version can be pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpinned {
    /// Nobody looks, as where a person renders without a cluster: the reference stays as it is.
    Offline,
    /// It cannot be used, with what to do about it.
    Trouble(String),
}

/// A Secret of the cluster, by its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    pub namespace: Option<Box<str>>,
    pub name: Box<str>,
}

/// Secrets that an app reads and another app of its environment has, with what those refer to.
pub type Beside = BTreeMap<SecretName, BTreeSet<SecretId>>;

/// The versions of secrets that are in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pins {
    known: BTreeMap<SecretId, Result<Pin, String>>,
    beside: Beside,
    /// Whether what is not known is a fault.
    complete: bool,
}

impl Pins {
    /// Nobody looks.
    pub fn offline() -> Self {
        Self::default()
    }

    /// What was read; a secret that is not among it is not read yet.
    pub fn read(known: BTreeMap<SecretId, Result<Pin, String>>) -> Self {
        Self { known, beside: Beside::new(), complete: true }
    }

    /// What is known of some, and nothing of the others, as where only live Secrets are looked at.
    pub fn some(known: BTreeMap<SecretId, Pin>) -> Self {
        let known = known.into_iter().map(|(secret, pin)| (secret, Ok(pin))).collect();
        Self { known, beside: Beside::new(), complete: false }
    }

    /// The same, for an app that reads Secrets of other apps.
    #[must_use]
    pub fn with_beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// What a Secret of another app refers to.
    pub fn beside(&self, secret: &SecretName) -> Option<&BTreeSet<SecretId>> {
        self.beside.get(secret)
    }

    pub fn get(&self, secret: &SecretId) -> Result<&Pin, Unpinned> {
        match self.known.get(secret) {
            Some(Ok(pin)) => Ok(pin),
            Some(Err(why)) => Err(Unpinned::Trouble(why.clone())),
            None if self.complete => Err(Unpinned::Trouble(format!("the secret {secret} is not read yet"))),
            None => Err(Unpinned::Offline),
        }
    }

    /// What is known of these secrets.
    #[must_use]
    pub fn of<'a>(&self, secrets: impl IntoIterator<Item = &'a SecretId>) -> Self {
        let known =
            secrets.into_iter().filter_map(|secret| Some((secret.clone(), self.known.get(secret)?.clone())));
        Self { known: known.collect(), beside: self.beside.clone(), complete: self.complete }
    }
}

/// The versions that stand on a Secret, by what they are of.
pub fn versions_of(secret: &Value) -> BTreeMap<SecretId, Box<str>> {
    let text = secret["metadata"]["annotations"][VERSIONS].as_str().unwrap_or_default();
    read_versions(text)
}

/// What the annotation says.
pub fn read_versions(text: &str) -> BTreeMap<SecretId, Box<str>> {
    let all: BTreeMap<String, Box<str>> = serde_json::from_str(text).unwrap_or_default();
    let read = |(name, version): (String, Box<str>)| Some((Reference::parse(&name).ok()?.secret, version));
    all.into_iter().filter_map(read).collect()
}

/// What the annotation is to say.
pub fn write_versions<'a>(versions: impl IntoIterator<Item = (&'a SecretId, &'a Pin)>) -> String {
    let all: BTreeMap<String, &str> =
        versions.into_iter().map(|(secret, pin)| (secret.to_string(), &*pin.version)).collect();
    serde_json::to_string(&all).unwrap_or_default()
}
