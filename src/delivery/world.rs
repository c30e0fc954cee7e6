use std::sync::Arc;

use crate::health::{self, Assessed, Health};
use crate::object::{AppName, Live, ObjectKey};
use crate::plan::{Inventory, Known, Lookup, WantedKeys};
use crate::state::Memory;

/// What is known of the cluster and of what is remembered, at the moment of a decision.
pub trait World: Lookup {
    /// An object as it was seen last, with its verdict.
    fn assessed(&self, key: &ObjectKey) -> Option<Assessed>;

    /// The Jobs of an app's hooks.
    fn hook_jobs(&self, app: &AppName) -> Vec<Assessed>;

    /// The objects that bear the environment's label and are not wanted, and how many bear it in all.
    fn strays(&self, wanted: &WantedKeys) -> (Vec<Arc<Live>>, usize);

    /// Where objects bear the environment's label.
    fn places(&self) -> Inventory;

    /// Whether every kind that an app wants was listed.
    fn listed(&self, app: &AppName) -> Listing;

    /// Whether every kind in which the environment may have objects was listed.
    fn inventory_listed(&self) -> Listing;

    /// Whether it stands on the Environment that it has objects of these kinds, in these namespaces.
    fn inventory_written(&self, wanted: &Inventory) -> bool;

    /// What is remembered outside of this process; nothing is for a person at a command line.
    fn memory(&self) -> Option<Arc<Memory>>;

    /// What is remembered of an object: whether it is the one that was written under its name.
    fn knows(&self, live: &Live) -> Known {
        self.memory().map_or(Known::Not, |memory| memory.ledger.knows(live))
    }

    /// The health of an object, `Missing` where there is none.
    fn health(&self, key: &ObjectKey) -> Health {
        self.assessed(key).map_or_else(|| health::assess(&serde_json::Value::Null), |found| found.health)
    }
}

/// Whether kinds were listed, so that what is not known is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    Done,
    /// These kinds are being listed.
    UnderWay(Vec<String>),
    /// It cannot be.
    Failing(String),
}
