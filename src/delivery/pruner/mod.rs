//! What becomes of the objects that git no longer wants: where it stands for each app's name, and what is to be done next.

mod next;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::action::Again;
use super::fact::Fact;
use super::people::Approved;
use super::says::Says;
use super::ticket::Ticket;
use super::world::World;
use crate::api::{PruneBudget, PruneStatus, names};
use crate::drift::HandsOff;
use crate::object::{AppName, Digest, EnvironmentName, Live, ObjectKey};
use crate::plan::{
    Approval, Bound, Budget, Budgets, CheckedPrune, Claim, Claims, Doomed, Inventory, Known, Marks,
    PrunePlan, PruneView, SkipReason, WantedApp, WantedKeys, applyset_id, prune,
};
use crate::policy::Grants;

/// What the platform and people say about deleting.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneTerms {
    pub environment: EnvironmentName,
    pub grants: Option<Grants>,
    pub approval: Approval,
    /// Why nothing may be deleted now, although the apps are known: what they were read from is in doubt.
    pub hold: Option<String>,
}

/// The deletes of an environment. Knows nothing until a configuration was read.
#[derive(Debug, Default)]
pub struct Pruner {
    terms: Option<PruneTerms>,
    claims: Option<Claims>,
    wanted: Inventory,
    /// Some app's files are wrong, so that `wanted` is not all.
    unrendered: bool,
    /// What git says may be deleted without a person's word.
    budgets: Option<Budgets>,
    pub(in crate::delivery) seen: Option<PrunePlan>,
    pub(in crate::delivery) runs: BTreeMap<Box<str>, Run>,
    /// Whose deletes wait because a person asked for it.
    held: BTreeMap<Box<str>, HandsOff>,
    told: Option<String>,
    facts: Vec<Fact>,
}

/// The deletes of one app's name.
#[derive(Debug)]
pub(in crate::delivery) enum Run {
    /// Asked about.
    Asking {
        ticket: Ticket,
        stopping: bool,
        attempts: u32,
    },
    /// A wave is being deleted.
    Deleting {
        ticket: Ticket,
        stopping: bool,
        prune: Arc<CheckedPrune>,
        wave: usize,
        attempts: u32,
    },
    /// A wave was deleted and is not gone yet.
    Leaving {
        prune: Arc<CheckedPrune>,
        wave: usize,
        since: Timestamp,
        asked: Option<Ticket>,
        held: Option<String>,
    },
    Refused {
        message: String,
        again: Again,
    },
}

/// What the pruner is told when it decides.
pub struct PruneWorld<'a> {
    pub world: &'a dyn World,
    /// What is remembered of an object.
    pub known: &'a dyn Fn(&Live) -> Known,
    /// Whether an app runs what git says and has nothing under way.
    pub ready: &'a dyn Fn(&AppName) -> bool,
    /// Whether a process that begins would know what an app runs now, or that git does not name it any more.
    pub saved: &'a dyn Fn(&AppName) -> bool,
    pub suspended: bool,
    /// The hold by which commits of an app wait: what they drop does, too.
    pub hold: &'a dyn Fn(&AppName) -> Option<&'a HandsOff>,
    pub now: Timestamp,
}

impl Pruner {
    /// Takes what a revision says. Deletes that are under way are stopped between two requests: what they delete may be
    /// wanted again.
    pub fn set(&mut self, says: &Says, budgets: Budgets) {
        let claims: Vec<Claim> = says
            .apps
            .iter()
            .map(|(spec, wanted)| Claim {
                app: spec.name.clone(),
                wanted: wanted.as_ref().ok().cloned(),
                depends_on: spec.depends_on.clone(),
            })
            .collect();
        self.wanted = Inventory::default();
        claims.iter().filter_map(|claim| claim.wanted.as_ref()).for_each(|app| self.wanted.add_wanted(app));
        self.unrendered = claims.iter().any(|claim| claim.wanted.is_none());
        self.claims = Some(Claims::new(&claims));
        self.budgets = Some(budgets);
        self.seen = None;
        self.forget_runs();
    }

    /// Takes what is remembered of an app while nobody knows what git says: nothing is deleted for it.
    pub fn expect(&mut self, app: &WantedApp) {
        self.wanted.add_wanted(app);
    }

    /// Takes that the environment itself goes: nothing is wanted any more.
    pub fn leave(&mut self, depends_on: impl IntoIterator<Item = (AppName, Vec<AppName>)>) {
        self.wanted = Inventory::default();
        self.unrendered = false;
        self.claims = Some(Claims::leaving(depends_on));
        self.seen = None;
        self.forget_runs();
    }

    /// What stays, once there is nothing more to delete.
    pub fn left(&self) -> Option<Vec<String>> {
        let plan = self.seen.as_ref()?;
        let going = plan.kept.iter().any(|kept| kept.why == SkipReason::BeingDeleted);
        let done = plan.is_empty() && !going && self.runs.is_empty();
        done.then(|| plan.kept.iter().map(|kept| format!("{} ({})", kept.key, kept.why)).collect())
    }

    /// Says under which terms is deleted; without, nothing is.
    pub fn allow(&mut self, terms: PruneTerms) {
        if self.terms.as_ref() != Some(&terms) {
            let before = self.terms.as_ref().map(|before| &before.grants);
            if terms.hold.is_some() || before != Some(&terms.grants) {
                // What was granted when it was asked about may not be any more.
                self.forget_runs();
            }
            self.terms = Some(terms);
        }
    }

    fn forget_runs(&mut self) {
        self.stop();
        self.runs.retain(|_, run| matches!(run, Run::Asking { .. } | Run::Deleting { .. }));
    }

    /// Ends what is under way as soon as it can.
    pub fn stop(&mut self) {
        for run in self.runs.values_mut() {
            if let Run::Asking { stopping, .. } | Run::Deleting { stopping, .. } = run {
                *stopping = true;
            }
        }
    }

    /// Whether an action is still wanted.
    pub fn awaits(&self, ticket: &Ticket) -> bool {
        self.runs.values().any(|run| match run {
            Run::Asking { ticket: known, stopping, .. } | Run::Deleting { ticket: known, stopping, .. } => {
                known == ticket && !stopping
            }
            Run::Leaving { asked, .. } => asked.as_ref() == Some(ticket),
            Run::Refused { .. } => false,
        })
    }

    /// Whether any app wants an object; nobody knows before a configuration was read.
    pub fn wants(&self, key: &ObjectKey) -> Option<bool> {
        self.claims.as_ref().filter(|_| !self.unrendered).map(|claims| claims.wants(key))
    }

    /// Whether git names an app; nobody knows before a configuration was read, or when the environment itself goes.
    pub fn names(&self, app: &AppName) -> Option<bool> {
        self.claims.as_ref().filter(|claims| !claims.is_leaving()).map(|claims| claims.names(app))
    }

    /// All that is wanted, where that is known.
    pub fn wanted_keys(&self) -> Option<&WantedKeys> {
        self.claims.as_ref().filter(|_| !self.unrendered).map(Claims::keys)
    }

    /// The kinds and namespaces of what is wanted.
    pub fn wanted(&self) -> &Inventory {
        &self.wanted
    }

    /// The kinds and namespaces where something is or will be; `None` while that is not known for sure.
    pub fn needed(&self, world: &dyn World) -> Option<Inventory> {
        self.terms.as_ref().filter(|terms| terms.hold.is_none())?;
        if self.unrendered || self.claims.is_none() {
            return None;
        }
        let mut needed = self.wanted.clone();
        needed.extend(&world.places());
        Some(needed)
    }

    /// The tokens of an approved set that are still to be deleted, for the parent to remember; `None` while nobody looked.
    pub fn approved(&self) -> Option<BTreeSet<Box<str>>> {
        let plan = self.seen.as_ref()?;
        Some(match plan.is_approved() {
            true => plan.doomed.iter().map(Doomed::token).collect(),
            false => BTreeSet::new(),
        })
    }

    /// The set that was allowed to go, and what that came to; `None` while nobody can say.
    pub fn approval_came_to(&self) -> Option<(Digest, Approved)> {
        let (plan, terms) = (self.seen.as_ref()?, self.terms.as_ref()?);
        let digest = terms.approval.digest.clone()?;
        let came_to = if plan.is_approved() {
            let written = plan.doomed.iter().all(|object| terms.approval.tokens.contains(&object.token()));
            // Before that a restart would not go on with the rest of it.
            written.then_some(Approved::Goes)?
        } else if !plan.halts.is_empty() {
            (plan.digest != digest).then(|| Approved::Another(plan.digest.clone()))?
        } else if plan.is_empty() && !plan.waits.is_empty() {
            return None;
        } else {
            Approved::NotNeeded
        };
        Some((digest, came_to))
    }

    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// What git says of its budget, once it was heard.
    pub fn budgets(&self) -> Option<&Budgets> {
        self.budgets.as_ref()
    }

    /// Looks at what git no longer wants.
    pub fn look(&self, world: &PruneWorld) -> Option<PrunePlan> {
        let (terms, claims) = (self.terms.as_ref()?, self.claims.as_ref()?);
        let budgets =
            self.budgets.clone().unwrap_or_else(|| Budgets::settled(budget_of(PruneBudget::default())));
        let limit = terms.grants.as_ref().and_then(|grants| grants.prune);
        let budget = limit.map_or(budgets.counts(), |limit| budgets.counts().within(limit));
        let bound = match () {
            () if budget != budgets.counts() => Bound::Platform,
            () if budgets.is_raised() => Bound::NextCommit,
            () => Bound::Git,
        };
        let environment = terms.environment.as_str();
        let (strays, total) = world.world.strays(claims.keys());
        let part_of = applyset_id(environment, "Environment", names::GROUP);
        let view = PruneView {
            marks: Marks {
                app_label: names::APP_LABEL,
                environment_label: names::ENVIRONMENT_LABEL,
                environment,
                part_of_label: names::APPLYSET_PART_OF,
                part_of: &part_of,
            },
            claims,
            total,
            budget,
            bound,
            approval: &terms.approval,
            known: world.known,
            granted: &|live| terms.grants.as_ref().is_none_or(|grants| grants.may_touch(&live.key).is_ok()),
            ready: world.ready,
        };
        Some(prune(&view, &strays))
    }

    pub fn status(&self) -> Option<PruneStatus> {
        let hold = self.terms.as_ref().and_then(|terms| terms.hold.clone());
        status::status(self.seen.as_ref()?, &self.runs, hold, &self.held)
    }
}

/// What git says, as the pruner counts.
pub fn budget_of(says: PruneBudget) -> Budget {
    Budget { max: says.max, percent: says.percent }
}
