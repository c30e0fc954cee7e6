//! What was read of a secret.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::object::secret::Plaintext;

/// A version of a secret as its provider describes it. It says nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The version id of Secrets Manager, or the number of a parameter's version. A version never changes its value.
    pub id: Box<str>,
    /// The labels that are on it, in the order of their names: `AWSCURRENT` and others.
    pub stages: Vec<Box<str>>,
    /// The full ARN, which tells a secret from another one of its name that was deleted.
    pub arn: Option<Box<str>>,
    pub created: Option<Timestamp>,
    /// When the provider last rotated the secret; only a look without the value tells it.
    pub rotated: Option<Timestamp>,
}

/// A version together with its value.
#[derive(Clone)]
pub struct Read {
    pub version: Version,
    pub value: Arc<Plaintext>,
}

impl fmt::Debug for Read {
    /// Shows the version alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("version", &self.version).finish_non_exhaustive()
    }
}
