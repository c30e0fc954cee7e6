//! What people are told about deletes.

use std::collections::BTreeMap;

use super::Run;
use crate::api::PruneStatus;
use crate::drift::HandsOff;
use crate::plan::PrunePlan;

/// So many objects are named in a status, an event.
pub(super) const SHOWN: usize = 20;
const KEPT_SHOWN: usize = 10;

pub(super) fn status(
    plan: &PrunePlan,
    runs: &BTreeMap<Box<str>, Run>,
    hold: Option<String>,
    held: &BTreeMap<Box<str>, HandsOff>,
) -> Option<PruneStatus> {
    let runs = runs.values().filter_map(|run| match run {
        Run::Leaving { held, .. } => held.clone(),
        Run::Refused { message, .. } => Some(message.clone()),
        Run::Asking { .. } | Run::Deleting { .. } => None,
    });
    let held = held.iter().map(|(app, hold)| format!("deletes of {app} are held {hold}"));
    let waits = plan.waits.iter().map(ToString::to_string).chain(held);
    let halted = halt_message(plan);
    let message: Vec<String> = halted.clone().into_iter().chain(hold).chain(runs).chain(waits).collect();
    if plan.is_empty() && plan.kept.is_empty() && message.is_empty() {
        return None;
    }
    Some(PruneStatus {
        count: u32::try_from(plan.doomed.len()).unwrap_or(u32::MAX),
        digest: (!plan.is_empty()).then(|| plan.digest.clone()),
        halted: halted.is_some(),
        message: (!message.is_empty()).then(|| message.join("; ")),
        objects: plan.doomed.iter().take(SHOWN).map(|object| object.live.key.to_string()).collect(),
        kept: plan.kept.iter().take(KEPT_SHOWN).map(|kept| format!("{}: {}", kept.key, kept.why)).collect(),
    })
}

pub(super) fn halt_message(plan: &PrunePlan) -> Option<String> {
    if plan.halts.is_empty() {
        return None;
    }
    Some(plan.halts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
