//! What of an environment is not as it was applied, at one look: for people at a command line.

use std::sync::Arc;

use jiff::Timestamp;

use super::hands::look;
use super::once::{Once, OnceError};
use crate::api::AppStatus;
use crate::cluster::Watched;
use crate::drift::Rules;
use crate::object::field_path::FieldPath;
use crate::object::{AppName, Tree};
use crate::plan::Lookup;
use crate::plan::{Consent, Reason, Wanted, WantedApp, compare_owned, plan_with};
use crate::report::DriftedObject;

/// What others changed of what the tree says, where that was applied. What a newer commit will change is no drift.
pub async fn drift_once(once: &Once, tree: &dyn Tree) -> Result<Vec<DriftedObject>, OnceError> {
    let desire = once.narrow(once.desire(tree).await?)?;
    let rules = Rules::new(&desire.config.drift);
    let hands = once.hands();
    let mut found = Vec::new();
    for (spec, wanted) in desire.apps {
        let wanted = wanted?;
        let watches = hands.index.watch(&Watched::of(wanted.all().map(|object| &**object)));
        watches.listed().await?;
        let scalers = hands.index.watch_autoscalers();
        let _ = scalers.listed().await;
        let objects = changed(once, &spec.name, &wanted, &hands.index)?;
        for drifted in look(&hands, &objects).await {
            let of = objects.iter().find(|(object, _)| object.key == drifted.key);
            let now = Timestamp::now();
            let verdict = |field: Option<&FieldPath>| match of {
                Some((object, _)) => rules.judge(object, field, now),
                None => rules.judge_nothing(),
            };
            found.push(DriftedObject::new(once.scope.environment.as_str(), &spec.name, &drifted, &|field| {
                let verdict = verdict(field);
                (verdict.policy, verdict.rule.and_then(|rule| rules.describe(rule)))
            }));
        }
    }
    Ok(found)
}

/// An object, and the fields of it that others changed.
type Changed = (Arc<Wanted>, Vec<FieldPath>);

/// The objects that are not as they were applied, each with its fields; none where it is gone.
fn changed(
    once: &Once,
    app: &AppName,
    wanted: &WantedApp,
    lookup: &dyn Lookup,
) -> Result<Vec<Changed>, OnceError> {
    let statuses = once.platform.iter().filter_map(|environment| environment.status.as_ref());
    let runs = statuses.flat_map(|status| &status.apps).find(|status| status.name == *app);
    let is_applied = runs.and_then(AppStatus::running) == Some(&wanted.digest);
    let plan = plan_with(wanted, lookup, &Consent::default())?;
    let found = plan.steps().filter_map(|step| {
        let fields = match &step.reason {
            Reason::Drifted { fields } => fields.clone(),
            // Of what runs nothing else can have taken it away.
            Reason::Missing if is_applied => Vec::new(),
            Reason::Changed { .. } | Reason::NeverApplied if is_applied => {
                let live = step.live.as_ref()?;
                let mut fields = compare_owned(&step.wanted, live);
                if fields.is_empty() {
                    fields.push(FieldPath::of(&["metadata", "annotations"]));
                }
                fields
            }
            _ => return None,
        };
        Some((step.wanted.clone(), fields))
    });
    Ok(found.collect())
}
