//! What would be deleted, for `fairlead plan`: the agent's own decision, over the files of a revision in place of a
//! branch, and as if all gates had passed.

use jiff::Timestamp;

use super::desired::Desire;
use super::inventory;
use super::once::Once;
use super::prune::{PruneContext, PruneWorld, Pruner};
use crate::api::Environment;
use crate::cluster::{Index, Watched};
use crate::object::Live;
use crate::plan::{Approval, Known};
use crate::report::PruneReport;

/// `desire` is of all apps: what one drops another may want.
pub async fn plan_prune(
    once: &Once,
    environment: &Environment,
    index: &Index,
    desire: &Desire,
) -> PruneReport {
    let inventory = match inventory::read(environment) {
        Ok(inventory) => inventory,
        Err(error) => return PruneReport::unknown(error.to_string()),
    };
    let watches = index.watch(&Watched::held(&inventory));
    if let Err(error) = watches.listed().await {
        return PruneReport::unknown(error.to_string());
    }
    let mut pruner = Pruner::default();
    pruner.set(desire);
    pruner.allow(PruneContext {
        environment: once.scope.environment.clone(),
        grants: once.scope.grants.clone(),
        approval: Approval::default(),
        hold: None,
    });
    // What the agent remembers is the agent's; a person sees what would go if all of it is known.
    let known = |_: &Live| Known::Same;
    let world =
        PruneWorld { index, known: &known, ready: &|_| true, suspended: false, now: Timestamp::now() };
    let only = once.only.as_ref().map(|app| app.as_str());
    pruner.look(&world).map(|plan| PruneReport::new(&plan, only)).unwrap_or_default()
}
