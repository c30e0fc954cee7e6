//! What would be deleted, for `fairlead plan`: the agent's own decision, over the files of a revision in place of a
//! branch, and as if all gates had passed.

use jiff::Timestamp;

use super::cluster_view::{ClusterView, Guards};
use super::desired::{Desire, DesiredScope};
use super::hands::Hands;
use super::inventory;
use crate::api::Environment;
use crate::cluster::Watched;
use crate::delivery::{PruneTerms, PruneWorld, Pruner, Says, budget_of};
use crate::object::{AppName, Live};
use crate::plan::{Approval, Budgets, Known};
use crate::report::PruneReport;

/// `desire` is of all apps: what one drops another may want.
pub async fn plan_prune(
    hands: &Hands,
    (scope, only): (&DesiredScope, Option<&AppName>),
    environment: &Environment,
    desire: &Desire,
) -> PruneReport {
    let inventory = match inventory::read(environment) {
        Ok(inventory) => inventory,
        Err(error) => return PruneReport::unknown(error.to_string()),
    };
    let watches = hands.index.watch(&Watched::held(&inventory));
    if let Err(error) = watches.listed().await {
        return PruneReport::unknown(error.to_string());
    }
    let mut pruner = Pruner::default();
    let budgets = Budgets::settled(budget_of(desire.config.rollout.prune));
    let says = Says {
        apps: desire.apps.clone(),
        rollout: desire.config.rollout.clone(),
        drift: Default::default(),
        commit: None,
    };
    pruner.set(&says, budgets);
    pruner.allow(PruneTerms {
        environment: scope.environment.clone(),
        grants: scope.grants.clone(),
        approval: Approval::default(),
        hold: None,
    });
    // What the agent remembers is the agent's; a person sees what would go if all of it is known.
    let known = |_: &Live| Known::Same;
    let guards = Guards::new(&hands.index);
    let world = PruneWorld {
        // What is held waits, and goes when it is held no more.
        hold: &|_| None,
        world: &ClusterView::new(hands, &guards, None),
        known: &known,
        ready: &|_| true,
        saved: &|_| true,
        suspended: false,
        now: Timestamp::now(),
    };
    pruner.look(&world).map(|plan| PruneReport::new(&plan, only.map(AppName::as_str))).unwrap_or_default()
}
