//! Refuses what another Environment applied and has not let go.

use std::collections::BTreeMap;

use crate::api::names;
use crate::cluster::{Environments, chain};
use crate::object::EnvironmentName;
use crate::plan::{Answer, Plan, Refusal, RefusalKind, other_owner, owned_elsewhere};

/// Turns the answer to each step that would take an object from another Environment into a refusal. An Environment that
/// is gone owns nothing: what it left may be taken over.
pub async fn refuse_foreign(
    environments: &Environments,
    environment: &EnvironmentName,
    plan: &Plan,
    answers: &mut [Answer],
) {
    let mut known: BTreeMap<&str, Result<bool, String>> = BTreeMap::new();
    for (step, answer) in plan.steps().zip(answers) {
        let Some(live) = step.live.as_deref() else { continue };
        let Some(owner) = other_owner(live, names::ENVIRONMENT_LABEL, environment.as_str()) else { continue };
        if !known.contains_key(owner) {
            let found = environments.get(owner).await;
            known.insert(owner, found.map(|found| found.is_some()).map_err(|error| chain(&error)));
        }
        match known.get(owner) {
            Some(Ok(false)) | None => {}
            Some(Ok(true)) => *answer = Answer::Refused(owned_elsewhere(step, owner)),
            Some(Err(why)) => {
                let message = format!("whether there is an Environment {owner}, which it belongs to: {why}");
                *answer = Answer::Refused(Refusal::new(RefusalKind::Unreachable, &step.wanted, message));
            }
        }
    }
}
