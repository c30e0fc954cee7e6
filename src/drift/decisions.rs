//! What a person decided about what others changed: it goes before the team's rules, for a while.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::DriftPolicy;
use crate::object::ObjectKey;
use crate::object::field_path::{FieldPath, Word, covers, words};

/// A person's word about one field of some objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub policy: DriftPolicy,
    pub objects: Arc<BTreeSet<ObjectKey>>,
    /// As it is shown; all of the objects where there is nothing.
    field: Vec<Word>,
    pub until: Timestamp,
    pub by: String,
    pub reason: Option<String>,
}

impl Decision {
    pub fn new(
        policy: DriftPolicy,
        objects: impl IntoIterator<Item = ObjectKey>,
        field: &str,
        until: Timestamp,
        (by, reason): (String, Option<String>),
    ) -> Self {
        Self {
            policy,
            objects: Arc::new(objects.into_iter().collect()),
            field: words(field),
            until,
            by,
            reason,
        }
    }

    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }

    pub fn is_about(&self, key: &ObjectKey) -> bool {
        self.objects.contains(key)
    }

    /// Whether it is about a field; about the object as a whole where none is given.
    pub fn names(&self, field: Option<&FieldPath>) -> bool {
        match field {
            Some(field) => covers(&self.field, &field.0),
            None => self.field.is_empty(),
        }
    }
}

/// `ignore, by ada until 2027-01-31T12:00:00Z (an incident)`
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.round(jiff::Unit::Second).unwrap_or(self.until);
        write!(f, "{}, by {} until {until}", self.policy.as_str(), self.by)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
