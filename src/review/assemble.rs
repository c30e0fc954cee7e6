//! Makes the report.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::Delta;
use super::drifted::{DriftSides, drifted};
use super::hide::{hide, values};
use super::input::{AppSide, Change, LiveSide};
use super::report::{
    Action, AppReport, AppState, Counts, Drift, DriftCause, EnvironmentReport, ObjectChange, Report,
    SecretUse, Side, Verdict,
};
use super::risk::{Risk, RiskClass, Severity};
use super::rules::{Scene, judge};
use crate::object::secret::{Sealed, versions_of};
use crate::object::{AppName, ObjectKey};
use crate::plan::{FieldChange, Reason, Wanted, compare_owned, field_changes};
use crate::policy;
use crate::redact;
use crate::report::{AppPlan, StepReport};

/// Says what a change does to each of these environments.
pub fn review(cluster: Option<String>, base: Side, head: Side, changes: &[Change<'_>]) -> Report {
    let environments: Vec<EnvironmentReport> = changes.iter().map(review_one).collect();
    let verdict = environments.iter().map(|one| one.verdict).max().unwrap_or(Verdict::Nothing);
    Report { version: 1, cluster, base, head, verdict, environments }
}

fn review_one(change: &Change<'_>) -> EnvironmentReport {
    let scene = Scene::new(change);
    let mut risks = judge(&scene);
    let apps = apps(&scene, &risks);
    if apps.is_empty() {
        // Nothing would roll out anyway.
        risks.retain(|risk| risk.class != RiskClass::WillNotRollOut);
    }
    let live = change.live.as_ref();
    let mut report = EnvironmentReport {
        environment: change.environment.to_string(),
        verdict: Verdict::Nothing,
        live: live.is_some(),
        unseen: change.unseen.clone(),
        counts: count(&scene, &apps),
        risks,
        drift: live.map(|live| drift(&scene, live)).unwrap_or_default(),
        stays: Vec::new(),
        apps,
        prune: live.and_then(|live| live.plan.prune.clone()),
    };
    tell_who(&mut report, change);
    report.verdict = verdict(&report);
    let after = change.after.iter().flatten();
    hide(&mut report, &values(change.before.iter().chain(after)));
    report
}

/// Adds what the history knows of drift: to what would be written over who changed it, and beside it what stays.
fn tell_who(report: &mut EnvironmentReport, change: &Change<'_>) {
    // Of an environment with which the change has nothing to do, nothing is told.
    if !report.has_changes() {
        return;
    }
    let found = drifted(&DriftSides {
        cluster: None,
        environment: &change.environment,
        branch: "",
        records: &change.records,
        plan: change.live.as_ref().map(|live| &live.plan),
    });
    for one in found.overwritten {
        // What git changes anyway is no drift, but for the fields of which it is known.
        let drift = report.drift.iter_mut().find(|drift| drift.object == one.object);
        match (drift, one.record) {
            (Some(drift), Some(record)) => drift.records.push(record),
            (None, Some(record)) => report.drift.push(Drift {
                app: one.app,
                object: one.object,
                cause: DriftCause::Changed,
                changes: one.change.into_iter().collect(),
                records: vec![record],
            }),
            (_, None) => {}
        }
    }
    report.drift.sort_by(|a, b| (&a.app, &a.object).cmp(&(&b.app, &b.object)));
    report.stays = found.stays;
}

fn verdict(report: &EnvironmentReport) -> Verdict {
    let refuses = |risk: &Risk| {
        risk.severity == Severity::Error
            && matches!(
                risk.class,
                RiskClass::Broken
                    | RiskClass::Refused
                    | RiskClass::Policy
                    | RiskClass::RemovedApi
                    | RiskClass::Immutable
                    | RiskClass::TakesOver
                    | RiskClass::QuotaExceeded
            )
    };
    if report.risks.iter().any(refuses) {
        Verdict::Refused
    } else if report.risks.iter().any(|risk| risk.severity > Severity::Note) {
        Verdict::Risky
    } else if report.has_changes() {
        Verdict::Changes
    } else {
        Verdict::Nothing
    }
}

fn count(scene: &Scene<'_>, apps: &[AppReport]) -> Counts {
    let mut counts = Counts::default();
    for object in apps.iter().flat_map(|app| &app.objects) {
        *match object.action {
            Action::Create => &mut counts.create,
            Action::Update => &mut counts.update,
            Action::Recreate => &mut counts.recreate,
            Action::Delete => &mut counts.delete,
            Action::Restart => &mut counts.restart,
        } += 1;
    }
    let touched = counts.create + counts.update + counts.recreate + counts.restart;
    counts.unchanged = scene.after.len().saturating_sub(touched);
    counts
}

fn apps(scene: &Scene<'_>, risks: &[Risk]) -> Vec<AppReport> {
    let recreated: BTreeSet<&str> = risks
        .iter()
        .filter(|risk| risk.class == RiskClass::Recreates)
        .filter_map(|risk| risk.object.as_deref())
        .collect();
    let mut objects: BTreeMap<&AppName, Vec<ObjectChange>> = BTreeMap::new();
    for delta in &scene.deltas {
        objects.entry(delta.app()).or_default().push(object(delta, &recreated));
    }
    let (before, after) = (&scene.change.before, scene.change.after.as_deref().unwrap_or_default());
    let is_new = |app: &AppName| !before.iter().any(|side| side.app == *app);
    let mut found = Vec::new();
    for side in after {
        let objects = objects.remove(&side.app).unwrap_or_default();
        let denied = side.findings.iter().any(|finding| finding.severity == policy::Severity::Deny);
        let state = match () {
            () if side.wanted.is_err() || denied => AppState::Broken,
            () if is_new(&side.app) => AppState::Added,
            () if !objects.is_empty() => AppState::Changed,
            () => continue,
        };
        let problems = side.wanted.as_ref().err().map_or(Vec::new(), |problems| problems.as_slice().to_vec());
        let digest = side.objects().map(|wanted| wanted.digest.clone());
        found.push(AppReport { app: side.app.to_string(), state, digest, problems, objects });
    }
    let stays = |app: &AppName| after.iter().any(|side| side.app == *app);
    let gone = |side: &&AppSide| scene.change.after.is_ok() && !stays(&side.app);
    for side in before.iter().filter(gone) {
        let objects = objects.remove(&side.app).unwrap_or_default();
        let (state, app) = (AppState::Removed, side.app.to_string());
        found.push(AppReport { app, state, digest: None, problems: Vec::new(), objects });
    }
    found.sort_by(|a, b| a.app.cmp(&b.app));
    found
}

fn object(delta: &Delta, recreated: &BTreeSet<&str>) -> ObjectChange {
    let object = delta.key.to_string();
    let action = match (&delta.before, &delta.after) {
        (None, _) => Action::Create,
        (_, None) => Action::Delete,
        _ if delta.restarts => Action::Restart,
        _ if recreated.contains(object.as_str()) => Action::Recreate,
        _ => Action::Update,
    };
    let changes = match action {
        Action::Update | Action::Recreate => {
            redact::changes(delta.key, field_changes(delta.before(), delta.after()))
        }
        _ => Vec::new(),
    };
    let moved =
        delta.before.as_ref().zip(delta.after.as_ref()).filter(|(before, after)| before.app != after.app);
    ObjectChange {
        action,
        place: delta.place().clone(),
        moved_from: moved.map(|(before, _)| before.app.to_string()),
        changes,
        secrets: secrets(delta),
        made: (action == Action::Create).then(|| made(delta)),
        object,
    }
}

/// The whole of what is made. Of a Secret it shows what it is and which keys it has.
fn made(delta: &Delta) -> Value {
    let shown = |path: &str, value: &Value| redact::value(delta.key, path, value);
    match delta.after() {
        Value::Object(root) if redact::is_secret(delta.key) => {
            let field = |(name, value): (&String, &Value)| match value {
                Value::Object(metadata) if name == "metadata" => {
                    let inner = |(field, value): (&String, &Value)| {
                        (field.clone(), shown(&format!("metadata.{field}"), value))
                    };
                    (name.clone(), Value::Object(metadata.iter().map(inner).collect()))
                }
                value => (name.clone(), shown(name, value)),
            };
            Value::Object(root.iter().map(field).collect())
        }
        whole => shown("", whole),
    }
}

/// The secrets that an object refers to, where anything about them changes.
fn secrets(delta: &Delta) -> Vec<SecretUse> {
    if !redact::is_secret(delta.key) {
        return Vec::new();
    }
    let of = |wanted: Option<&Wanted>| -> BTreeMap<String, String> {
        let Some(wanted) = wanted else { return BTreeMap::new() };
        let value = wanted.value();
        let known = versions_of(&value);
        let pinned = known.iter().map(|(secret, version)| (secret.to_string(), format!("version {version}")));
        let mut all: BTreeMap<String, String> = pinned.collect();
        for secret in Sealed::read(&value).iter().flat_map(Sealed::secrets) {
            all.entry(secret.to_string()).or_insert_with(|| "referred to".to_owned());
        }
        all
    };
    let before = of(delta.before.as_ref().map(|state| state.wanted));
    let after = of(delta.after.as_ref().map(|state| state.wanted));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let uses = names.into_iter().map(|secret| SecretUse {
        secret: secret.clone(),
        before: before.get(secret).cloned(),
        after: after.get(secret).cloned(),
    });
    uses.filter(|one| one.before != one.after).collect()
}

fn drift(scene: &Scene<'_>, live: &LiveSide) -> Vec<Drift> {
    let deltas: BTreeMap<String, &Delta> =
        scene.deltas.iter().map(|delta| (delta.key.to_string(), delta)).collect();
    let mut found = Vec::new();
    for plan in &live.plan.apps {
        for step in &plan.steps {
            let delta = deltas.get(&step.object).copied();
            found.extend(drift_of(scene, plan, step, delta));
        }
    }
    for gone in live.plan.prune.iter().flat_map(|prune| &prune.objects) {
        if deltas.get(&gone.object).is_none_or(|delta| delta.after.is_some()) {
            found.push(Drift {
                app: gone.app.clone(),
                object: gone.object.clone(),
                cause: DriftCause::LeftOver,
                changes: Vec::new(),
                records: Vec::new(),
            });
        }
    }
    found.sort_by(|a, b| (&a.app, &a.object).cmp(&(&b.app, &b.object)));
    found
}

fn drift_of(scene: &Scene<'_>, plan: &AppPlan, step: &StepReport, delta: Option<&Delta>) -> Option<Drift> {
    let before = before_of(scene, step, delta);
    let (cause, changes) = match (&step.reason, before) {
        // What git did not have is not missed.
        (Reason::Missing | Reason::BeingDeleted, Some(_)) => (DriftCause::Missing, Vec::new()),
        (Reason::Drifted { .. }, _) => (DriftCause::Changed, beside(&step.changes, delta)),
        (Reason::Changed { from, .. }, Some(before)) if *from == before.digest => {
            let taken = step.live.as_ref().map(|live| compare_owned(before, live)).unwrap_or_default();
            let changes: Vec<FieldChange> = step
                .changes
                .iter()
                .filter(|change| taken.iter().any(|field| covers(&format!(".{field}"), &change.path)))
                .cloned()
                .collect();
            if changes.is_empty() {
                return None;
            }
            (DriftCause::Changed, changes)
        }
        (Reason::Changed { .. }, Some(_)) => (DriftCause::Behind, beside(&step.changes, delta)),
        _ => return None,
    };
    let (app, object) = (plan.app.clone(), step.object.clone());
    Some(Drift { app, object, cause, changes, records: Vec::new() })
}

/// The object as git had it, where it did.
fn before_of<'a>(scene: &Scene<'a>, step: &StepReport, delta: Option<&Delta<'a>>) -> Option<&'a Wanted> {
    match delta {
        Some(delta) => delta.before.as_ref().map(|state| state.wanted),
        None => {
            let key = step.live.as_ref().map(|live| live.key.clone());
            let named = |key: &&ObjectKey| key.to_string() == step.object;
            let key = key.or_else(|| scene.before.keys().find(named).cloned());
            key.and_then(|key| scene.before.get(&key)).map(|wanted| &**wanted)
        }
    }
}

/// The changes that git does not make.
fn beside(changes: &[FieldChange], delta: Option<&Delta>) -> Vec<FieldChange> {
    let Some(delta) = delta else { return changes.to_vec() };
    let own = field_changes(delta.before(), delta.after());
    let is_part = |path: &str, of: &str| {
        path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
    };
    let is_own = |change: &&FieldChange| {
        own.iter().any(|own| is_part(&own.path, &change.path) || is_part(&change.path, &own.path))
    };
    changes.iter().filter(|change| !is_own(change)).cloned().collect()
}

/// Whether a field is another, or part of it. Items of lists are named in two ways, by number and by name.
fn covers(field: &str, other: &str) -> bool {
    let (field, other) = (without_items(field), without_items(other));
    other.strip_prefix(&*field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        || field.strip_prefix(&*other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn without_items(path: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain.trim_end_matches('.').to_owned()
}
