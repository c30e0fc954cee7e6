//! What one watch brings, and how its first listing goes.

use super::watched::Id;
use crate::cluster::autoscalers;
use crate::object::Gvk;

/// What one watch brings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Feed {
    Objects(Id),
    Autoscalers,
}

/// How the first listing went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    UnderWay,
    Done,
    Failing(String),
}

impl Feed {
    /// Group and kind.
    pub fn group_kind(&self) -> (&str, &str) {
        match self {
            Self::Objects(id) => (&id.group, &id.kind),
            Self::Autoscalers => (autoscalers::GROUP, autoscalers::KIND),
        }
    }

    /// The namespace that it is limited to.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Objects(id) => id.namespace.as_deref(),
            Self::Autoscalers => None,
        }
    }

    /// Names the kind to people.
    pub fn name(&self) -> String {
        let (group, kind) = self.group_kind();
        Gvk::new(group, "", kind).group_kind()
    }
}
