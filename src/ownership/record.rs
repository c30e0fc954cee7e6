use std::collections::BTreeMap;

use super::{Epoch, ReplicaId};

/// Who has an environment, and since which change of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub owner: ReplicaId,
    pub epoch: Epoch,
}

/// Who has which environment. The epoch counts the changes, and outlives the environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnershipRecord {
    pub epoch: Epoch,
    pub claims: BTreeMap<String, Claim>,
}

impl OwnershipRecord {
    pub fn owner(&self, environment: &str) -> Option<&ReplicaId> {
        self.claims.get(environment).map(|claim| &claim.owner)
    }

    /// The record after environments change hands; `None` lets go of one.
    #[must_use]
    pub fn with(&self, changes: BTreeMap<String, Option<ReplicaId>>) -> Self {
        let epoch = Epoch(self.epoch.0 + 1);
        let mut next = Self { epoch, claims: self.claims.clone() };
        for (environment, owner) in changes {
            match owner {
                Some(owner) => next.claims.insert(environment, Claim { owner, epoch }),
                None => next.claims.remove(&environment),
            };
        }
        next
    }
}
