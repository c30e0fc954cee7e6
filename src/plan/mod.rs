//! Decides what has to be done so that the cluster holds what an app renders to, in which order, and how far each step
//! was proven.
//!
//! [`Wanted`] is an object as it will be sent; [`plan`] compares it with what is [`Live`] and puts what differs into
//! waves; [`check`] takes the server's answers to the dry run of every step and is the only maker of a
//! [`CheckedPlan`], which is all that `cluster` applies. [`prune()`] and [`check_prune`] do the same for what git no longer
//! wants; [`Inventory`] says where to look for it. Nothing here asks anybody anything.

mod adopt;
mod check;
mod consumers;
mod diff;
mod downtime;
mod field_sets;
mod fields;
mod foreign;
mod hooks;
mod inventory;
mod needs;
mod one_first;
mod order;
mod prune;
mod readers;
mod repin;
mod replace;
mod replicas;
mod sealing;
mod stamp;
mod wanted;
mod written;

use std::sync::Arc;

use serde::Serialize;

pub use adopt::{Consent, Edit, Handover, Party, edit, outcome};
pub use check::{
    Answer, Asked, CheckedPlan, CheckedStep, CheckedWave, Proof, Refusal, RefusalKind, Refused, check,
    forcible,
};
pub use consumers::{Consumer, Reading, consumers};
pub use diff::{Change, Reason, compare, compare_owned};
pub use downtime::{Downtime, DowntimeCause, Touched, downtime, selects};
pub use field_sets::Conflict;
pub use fields::{FieldChange, field_changes};
pub use foreign::{other_owner, owned_elsewhere};
pub use hooks::{Hook, Moment, repeated};
pub use inventory::{Inventory, InventoryError, InventoryMarks};
pub use order::{Stage, WaveOrder, order};
pub use prune::{
    Approval, Bound, Budget, Budgets, CheckedPrune, Claim, Claims, Doomed, Due, KeptObject, Known, Marks,
    PruneAnswer, PruneHalt, PrunePlan, PruneRefusal, PruneView, PruneWait, SkipReason, check_prune,
    is_protected, prune,
};
pub use repin::repin;
pub use replace::may_replace;
pub use replicas::{Replicas, left_by_autoscaler, notes};
pub use sealing::{SealedSecret, sealed_secrets};
pub use stamp::{Basis, Stamp, WantedApp, applyset_id, restamp, stamp};
pub use wanted::{GitReplicas, Wanted};
pub use written::{Before, PruneOutcome, WantedKeys, WaveOutcome, Written};

use crate::object::field_path::FieldPath;
use crate::object::{AppName, Digest, Held, Live, ObjectKey, Problems};

/// One thing to do, and why.
#[derive(Clone, Debug)]
pub struct Step {
    pub wanted: Arc<Wanted>,
    pub action: Action,
    pub reason: Reason,
    /// What the index holds of the object, where it holds any.
    pub live: Option<Arc<Live>>,
    pub replicas: Replicas,
    /// What is not sent, because others have set it and it is theirs to set.
    pub withheld: Arc<[FieldPath]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Action {
    Create,
    /// The object that bears this uid, and no other that has come to bear its name.
    Update {
        uid: Box<str>,
    },
}

impl Action {
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update { .. } => "update",
        }
    }
}

/// The steps of one wave; they do not wait for each other.
#[derive(Clone, Debug)]
pub struct Wave {
    pub order: WaveOrder,
    pub steps: Vec<Step>,
}

/// From live to desired, for one app: complete, immutable, printable.
#[derive(Clone, Debug)]
pub struct Plan {
    pub app: AppName,
    pub digest: Digest,
    pub waves: Vec<Wave>,
    pub unchanged: usize,
    /// What tools hold of objects that are ours, and nobody agreed to take over.
    pub shared: Vec<Shared>,
}

/// An object of ours that tools hold fields of, too: what leaves git stays while they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    pub key: ObjectKey,
    pub held: Box<Held>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.waves.is_empty()
    }

    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }

    pub fn count(&self) -> usize {
        self.waves.iter().map(|wave| wave.steps.len()).sum()
    }
}

/// What is live, by key: whatever holds it.
pub trait Lookup {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>>;

    /// Whether an object with these two states was proven to be as wanted although the states do not show it.
    fn known_settled(&self, _wanted: &Wanted, _live: &Live) -> bool {
        false
    }

    /// Whether an autoscaler sets the replicas of this object; `None` where the autoscalers are not known.
    fn autoscaled(&self, _key: &ObjectKey) -> Option<bool> {
        None
    }

    /// Whether any field of this object may be theirs to set who have set it.
    fn may_ignore(&self, _key: &ObjectKey) -> bool {
        false
    }

    /// Whether a field is theirs to set who have set it: then it is neither compared nor sent.
    fn ignores(&self, _wanted: &Wanted, _field: &FieldPath) -> bool {
        false
    }
}

impl Lookup for std::collections::BTreeMap<ObjectKey, Arc<Live>> {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        self.get(key).cloned()
    }
}

/// The fields of an object that others have set and that are theirs to set.
pub fn ignored(wanted: &Wanted, live: Option<&Live>, lookup: &dyn Lookup) -> Arc<[FieldPath]> {
    let Some(live) = live.filter(|live| live.owned.is_some() && lookup.may_ignore(&wanted.key)) else {
        return Arc::default();
    };
    compare_owned(wanted, live).into_iter().filter(|field| lookup.ignores(wanted, field)).collect()
}

/// The steps from what is live to what is wanted, where nobody agreed to take anything over.
pub fn plan(app: &WantedApp, live: &dyn Lookup) -> Result<Plan, Problems> {
    plan_with(app, live, &Consent::default())
}

/// The steps from what is live to what is wanted. Fails only where the order that the manifests ask for is impossible.
pub fn plan_with(app: &WantedApp, live: &dyn Lookup, consent: &Consent) -> Result<Plan, Problems> {
    let mut steps = Vec::new();
    let mut shared = Vec::new();
    let mut unchanged = 0;
    for wanted in &app.objects {
        let found = live.live(&wanted.key);
        let held = found.as_ref().filter(|found| found.owned.is_some()).and_then(|found| found.held.clone());
        let step = |action, reason, found: Option<Arc<Live>>| Step {
            replicas: Replicas::decide(wanted, found.as_deref(), live),
            withheld: ignored(wanted, found.as_deref(), live),
            wanted: wanted.clone(),
            action,
            reason,
            live: found,
        };
        let mut change = compare(wanted, found.as_deref(), live);
        if let (Some(held), Some(found)) = (held, &found) {
            if !consent.covers(&wanted.key, &held) {
                shared.push(Shared { key: wanted.key.clone(), held });
            } else if change == Change::InSync {
                let reason = Reason::Shared { with: held.managers.clone() };
                change = Change::Update { uid: found.uid.clone(), reason };
            }
        }
        match change {
            Change::InSync => unchanged += 1,
            Change::Create(reason) => steps.push(step(Action::Create, reason, None)),
            Change::Update { uid, reason } => steps.push(step(Action::Update { uid }, reason, found)),
        }
    }
    let mut plan =
        Plan { app: app.app.clone(), digest: app.digest.clone(), waves: Vec::new(), unchanged, shared };
    if steps.is_empty() {
        return Ok(plan);
    }
    // The order is that of the whole app, so that a step waits for what it depends on also where that is unchanged.
    let orders = order(&app.objects, &app.needed)?;
    steps.sort_by(|a, b| {
        (&orders[&a.wanted.key], &a.wanted.key).cmp(&(&orders[&b.wanted.key], &b.wanted.key))
    });
    for step in steps {
        let order = orders[&step.wanted.key];
        match plan.waves.last_mut() {
            Some(wave) if wave.order == order => wave.steps.push(step),
            _ => plan.waves.push(Wave { order, steps: vec![step] }),
        }
    }
    one_first::one_first(&mut plan);
    Ok(plan)
}
