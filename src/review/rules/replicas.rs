//! Too few pods: none at all, fewer than a budget wants, or none for a while.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Found, Scene};
use crate::object::ObjectKey;
use crate::plan::{Downtime, DowntimeCause, FieldChange, Touched, WantedApp, downtime as downtime_of};
use crate::plan::{field_changes, selects};
use crate::review::compare::{Delta, Objects};
use crate::review::risk::{Risk, RiskClass, Severity};

const WORKLOADS: [(&str, &str); 3] =
    [("apps", "Deployment"), ("apps", "StatefulSet"), ("argoproj.io", "Rollout")];
const BUDGET: [(&str, &str); 1] = [("policy", "PodDisruptionBudget")];

pub fn judge(delta: &Delta, found: &mut Found) {
    let is_workload = WORKLOADS.iter().any(|(group, kind)| delta.is(group, kind));
    let replicas = |object: &Value| object["spec"]["replicas"].as_i64();
    if !is_workload || delta.after.is_none() || replicas(delta.after()) != Some(0) {
        return;
    }
    if delta.before.is_some() && replicas(delta.before()) != Some(0) {
        let message = format!("{} would run no replicas", delta.key);
        let field = Some(".spec.replicas".to_owned());
        found.at(delta, (RiskClass::ScaledToZero, Severity::Error), field, message);
    }
}

/// Workloads that have fewer replicas than a budget wants available: both, and the two numbers.
fn below(side: &Objects<'_>, namespace: &str) -> BTreeMap<(ObjectKey, ObjectKey), (i64, i64)> {
    let mut found = BTreeMap::new();
    let budgets: Vec<_> = side.within(Some(namespace), &BUDGET).collect();
    if budgets.is_empty() {
        return found;
    }
    let floors = floors(side, namespace);
    for (workload, value) in side.within(Some(namespace), &WORKLOADS) {
        let replicas = match floors.get(workload) {
            Some(floor) => *floor,
            None => value["spec"]["replicas"].as_i64().unwrap_or(1),
        };
        let labels = value["spec"]["template"]["metadata"]["labels"].as_object();
        for (budget, rule) in &budgets {
            // A share of the replicas is never more than they are.
            let Some(least) = rule["spec"]["minAvailable"].as_i64() else { continue };
            if replicas < least && selects(&rule["spec"]["selector"], labels) {
                found.insert(((*budget).clone(), workload.clone()), (replicas, least));
            }
        }
    }
    found
}

/// The fewest replicas that autoscalers leave.
fn floors(side: &Objects<'_>, namespace: &str) -> BTreeMap<ObjectKey, i64> {
    const SCALERS: [(&str, &str); 2] =
        [("autoscaling", "HorizontalPodAutoscaler"), ("keda.sh", "ScaledObject")];
    let floor = |(key, scaler): (&ObjectKey, Value)| {
        let target = &scaler["spec"]["scaleTargetRef"];
        let api_version = target["apiVersion"].as_str().unwrap_or("apps/v1");
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let kind = target["kind"].as_str().unwrap_or("Deployment");
        let scaled = ObjectKey::new(group, kind, Some(namespace), target["name"].as_str()?);
        let (field, absent) = match &*key.kind {
            "ScaledObject" => ("minReplicaCount", 0),
            _ => ("minReplicas", 1),
        };
        Some((scaled, scaler["spec"][field].as_i64().unwrap_or(absent)))
    };
    side.within(Some(namespace), &SCALERS).filter_map(floor).collect()
}

pub fn budgets(scene: &Scene<'_>, found: &mut Found) {
    for namespace in scene.namespaces() {
        let old = below(&scene.before, namespace);
        for ((budget, workload), (replicas, least)) in below(&scene.after, namespace) {
            if old.contains_key(&(budget.clone(), workload.clone())) {
                continue;
            }
            let message = format!(
                "{workload} would have {replicas} replicas, and {budget} wants {least} available: no node of theirs can be drained"
            );
            let wanted = scene.after.get(&workload);
            found.push(Risk {
                app: scene.after.app(&workload).map(ToString::to_string),
                object: Some(workload.to_string()),
                place: wanted.map(|wanted| wanted.place.clone()),
                ..Risk::new(RiskClass::BelowDisruptionBudget, Severity::Warning, message)
            });
        }
    }
}

pub fn downtime(scene: &Scene<'_>, found: &mut Found) {
    let apps: BTreeSet<_> = scene.deltas.iter().map(Delta::app).collect();
    for side in scene.change.after.iter().flatten().filter(|side| apps.contains(&side.app)) {
        let Some(wanted) = side.objects() else { continue };
        let of_app: Vec<&Delta> =
            scene.deltas.iter().filter(|delta| delta.after.is_some() && *delta.app() == side.app).collect();
        let seen = scene.plan_of(&side.app).filter(|plan| plan.digest.is_some());
        let now = match seen {
            Some(plan) => plan.downtime.clone(),
            None => judged(wanted, &of_app, scene.change.production),
        };
        let before = scene.change.before.iter().find(|old| old.app == side.app).and_then(|old| old.objects());
        let was: BTreeSet<(String, DowntimeCause)> = before
            .map(|before| all_of(before, &of_app, scene.change.production))
            .unwrap_or_default()
            .into_iter()
            .map(|down| (down.object, down.cause))
            .collect();
        for down in now {
            let as_before = was.contains(&(down.object.clone(), down.cause));
            // What stops all pods does so in this rollout, too, however long it is like that.
            let stops = matches!(down.cause, DowntimeCause::Recreate | DowntimeCause::AllAtOnce);
            let (severity, more) = match (as_before, stops) {
                (true, false) => continue,
                (true, true) => (Severity::Note, " (as before this change)"),
                (false, _) if down.cause == DowntimeCause::NoSpread => (Severity::Note, ""),
                (false, _) => (Severity::Warning, ""),
            };
            let message = format!("{}: {}{more}", down.object, down.message);
            found.push(Risk {
                app: Some(side.app.to_string()),
                object: Some(down.object),
                ..Risk::new(RiskClass::Downtime, severity, message)
            });
        }
    }
}

fn judged(app: &WantedApp, deltas: &[&Delta], production: bool) -> Vec<Downtime> {
    let changes: Vec<Option<Vec<FieldChange>>> = deltas.iter().map(|delta| changes_of(delta)).collect();
    let touched: Vec<Touched> = deltas
        .iter()
        .zip(&changes)
        .filter_map(|(delta, changes)| {
            let wanted = delta.after.as_ref()?.wanted;
            Some(Touched { wanted, after: None, changes: changes.as_deref() })
        })
        .collect();
    downtime_of(app, &touched, production)
}

/// What is said of the same objects as they were, as if all of each was new.
fn all_of(app: &WantedApp, deltas: &[&Delta], production: bool) -> Vec<Downtime> {
    let touched: Vec<Touched> = deltas
        .iter()
        .filter_map(|delta| {
            Some(Touched { wanted: delta.before.as_ref()?.wanted, after: None, changes: None })
        })
        .collect();
    downtime_of(app, &touched, production)
}

fn changes_of(delta: &Delta) -> Option<Vec<FieldChange>> {
    delta.before.as_ref()?;
    if delta.restarts {
        let path = ".spec.template.metadata.annotations".to_owned();
        return Some(vec![FieldChange { path, before: None, after: None }]);
    }
    Some(field_changes(delta.before(), delta.after()))
}
