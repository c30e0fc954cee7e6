//! Keeps an Environment's own word on where its objects are: the ApplySet's parent, widened before the first write of a
//! kind and shrunk after the last delete. The decisions are `plan::Inventory`'s and the pruner's.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use crate::api::{Environment, names};
use crate::cluster::{Environments, chain};
use crate::object::Digest;
use crate::plan::{Approval, Inventory, InventoryError, InventoryMarks, applyset_id};

/// What of an Environment's metadata is ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marked {
    pub inventory: Inventory,
    pub approved: BTreeSet<Box<str>>,
}

/// What has to stand there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Where something is wanted.
    pub wanted: Inventory,
    /// Where something is wanted or still is; `None` while that is not known for sure, and then nothing is taken away.
    pub all: Option<Inventory>,
    /// What of an approved set is still to be deleted; `None` while nobody looked.
    pub approved: Option<BTreeSet<Box<str>>>,
}

/// What we last wrote on an Environment, and what stood there when we did: our own write comes back to us later.
#[derive(Default)]
pub struct Parent {
    written: Option<(Marked, BTreeMap<String, String>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    #[error(transparent)]
    Foreign(#[from] InventoryError),
    #[error("writing where its objects are failed: {0}")]
    Write(String),
}

/// Where an Environment says that its objects are.
pub fn read(environment: &Environment) -> Result<Inventory, InventoryError> {
    let id = applyset_id(&environment.name_any(), "Environment", names::GROUP);
    Inventory::read(environment.labels(), environment.annotations(), &marks(&id))
}

impl Parent {
    /// Brings the parent to what is needed. Until it succeeded nothing may be written.
    pub async fn tend(
        &mut self,
        environments: &Environments,
        environment: &Environment,
        needs: Needs,
    ) -> Result<&Marked, ParentError> {
        let id = applyset_id(&environment.name_any(), "Environment", names::GROUP);
        let marks = marks(&id);
        let found = Marked { inventory: read(environment)?, approved: approved(environment) };
        let mut known = found.inventory.clone();
        if let Some((written, _)) = &self.written {
            known.extend(&written.inventory);
        }
        let inventory = match needs.all {
            Some(all) => all,
            None => {
                known.extend(&needs.wanted);
                known
            }
        };
        // Before the first look of this process nobody knows what of an approved set is left.
        let approved = needs.approved.unwrap_or_else(|| found.approved.clone());
        let target = Marked { inventory, approved };
        let (labels, mut annotations) = target.inventory.write(&marks);
        if !target.approved.is_empty() {
            let tokens: Vec<&str> = target.approved.iter().map(|token| &**token).collect();
            annotations.insert(names::APPROVED_ANNOTATION.to_owned(), tokens.join(","));
        }
        let stands = found == target
            && labels.iter().all(|(name, value)| environment.labels().get(name) == Some(value))
            && annotations.iter().all(|(name, value)| environment.annotations().get(name) == Some(value));
        let on_its_way = self
            .written
            .as_ref()
            .is_some_and(|(written, before)| *written == target && before == environment.annotations());
        if !stands && !on_its_way {
            environments
                .mark(environment, &labels, &annotations)
                .await
                .map_err(|error| ParentError::Write(chain(&error)))?;
        }
        let before = match on_its_way {
            true => self.written.take().map(|(_, before)| before).unwrap_or_default(),
            false => environment.annotations().clone(),
        };
        Ok(&self.written.insert((target, before)).0)
    }
}

/// What people allowed, and what of it was taken up.
pub fn approval(digest: Option<&Digest>, marked: &Marked) -> Approval {
    Approval { digest: digest.cloned(), tokens: marked.approved.clone() }
}

fn approved(environment: &Environment) -> BTreeSet<Box<str>> {
    let text = environment.annotations().get(names::APPROVED_ANNOTATION).map_or("", String::as_str);
    text.split(',').filter(|token| !token.is_empty()).map(Into::into).collect()
}

fn marks(id: &str) -> InventoryMarks<'_> {
    InventoryMarks {
        id_label: names::APPLYSET_ID,
        tooling: names::APPLYSET_TOOLING,
        kinds: names::APPLYSET_KINDS,
        namespaces: names::APPLYSET_NAMESPACES,
        our_tooling: names::TOOLING,
        id,
    }
}
