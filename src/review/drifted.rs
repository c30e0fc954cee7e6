//! What of an environment has drifted from its branch, for who is about to merge: what the records of the history say is open,
//! and what of that the plan of a change would write over.

use crate::object::{DriftAction, DriftClass, DriftRecord, EnvironmentName};
use crate::plan::{FieldChange, Reason};
use crate::report::{PlanReport, StepReport};

/// What a comment about drift is made from.
#[derive(Clone, Copy)]
pub struct DriftSides<'a> {
    pub cluster: Option<&'a str>,
    pub environment: &'a EnvironmentName,
    pub branch: &'a str,
    /// Of whatever environment, open or over.
    pub records: &'a [DriftRecord],
    /// What a merge would write; none where nobody asked the cluster.
    pub plan: Option<&'a PlanReport>,
}

/// A field that is not as the branch says, or an object that is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Drifting {
    pub app: String,
    pub object: String,
    /// As a plan writes it; nothing where the object is gone.
    pub field: String,
    /// What differs: from git to live; where a merge would write over it from live to what it writes.
    pub change: Option<FieldChange>,
    /// The record of it; none where only the plan knows.
    pub record: Option<DriftRecord>,
}

/// What has drifted, by what a merge would do about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftReport {
    pub overwritten: Vec<Drifting>,
    pub stays: Vec<Drifting>,
}

/// Sorts what has drifted. Each field of an object is there once.
pub fn drifted(sides: &DriftSides<'_>) -> DriftReport {
    let mut report = DriftReport::default();
    let steps = sides.plan.iter().flat_map(|plan| &plan.apps);
    let steps: Vec<(&str, &StepReport)> =
        steps.flat_map(|app| app.steps.iter().map(|step| (app.app.as_str(), step))).collect();
    let mut records: Vec<&DriftRecord> = sides
        .records
        .iter()
        .filter(|record| record.environment == *sides.environment && record.closed.is_none())
        // What is theirs by a rule has not drifted.
        .filter(|record| record.action != DriftAction::Ignored)
        .collect();
    records.sort_by(|a, b| {
        (&a.app, &a.object, &a.path, &b.last_seen).cmp(&(&b.app, &b.object, &b.path, &a.last_seen))
    });
    // Of several managers of one field the last one counts.
    records.dedup_by(|newer, kept| (&newer.object, &newer.path) == (&kept.object, &kept.path));
    let mut told: Vec<(String, String)> = Vec::new();
    for record in records {
        let (object, field) = (record.object.to_string(), field_of(&record.path));
        let step = steps.iter().find(|(_, step)| step.object == object).map(|(_, step)| *step);
        let written = step.and_then(|step| written(step, &field));
        let drifting = |change| Drifting {
            app: record.app.as_ref().map(ToString::to_string).unwrap_or_default(),
            object: object.clone(),
            field: field.clone(),
            change,
            record: Some(record.clone()),
        };
        match written {
            Some(change) => report.overwritten.push(drifting(change)),
            None => report.stays.push(drifting(difference(record, &field))),
        }
        told.push((object, field));
    }
    for (app, step) in steps {
        let seen =
            |field: &str| told.iter().any(|(object, known)| *object == step.object && overlap(known, field));
        let unseen = |field: String, change| Drifting {
            app: app.to_owned(),
            object: step.object.clone(),
            field,
            change,
            record: None,
        };
        let Reason::Drifted { fields } = &step.reason else { continue };
        for field in fields.iter().map(|field| format!(".{field}")).filter(|field| !seen(field)) {
            let change = step.changes.iter().find(|change| overlap(&field, &change.path)).cloned();
            report.overwritten.push(unseen(field, change));
        }
    }
    report.overwritten.sort_by(|a, b| (&a.app, &a.object, &a.field).cmp(&(&b.app, &b.object, &b.field)));
    report
}

/// What a step writes over a field, where it does; the inner nothing where it makes the object anew.
fn written(step: &StepReport, field: &str) -> Option<Option<FieldChange>> {
    if field.is_empty() {
        return matches!(step.reason, Reason::Missing | Reason::NeverApplied | Reason::BeingDeleted)
            .then_some(None);
    }
    let change = step.changes.iter().find(|change| overlap(field, &change.path));
    change.map(|change| Some(change.clone()))
}

/// What a record says of both sides.
fn difference(record: &DriftRecord, field: &str) -> Option<FieldChange> {
    // A value that was cut is text that is no JSON any more.
    let value = |text: &Option<String>| {
        text.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()))
    };
    let (before, after) = (value(&record.desired), value(&record.live));
    let is_known = before.is_some() || after.is_some();
    (record.class != DriftClass::Deleted && is_known).then(|| FieldChange {
        path: field.to_owned(),
        before,
        after,
    })
}

/// The field of a record as a plan writes it: `.spec.containers[name=web].image` for
/// `/spec/containers/name=web/image`.
pub fn field_of(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_item =
            part.split_once('=').is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_alphabetic()));
        match is_number || is_item || part.is_empty() || part.contains(['.', '/', '[', ']']) {
            true => text.push_str(&format!("[{part}]")),
            false => text.push_str(&format!(".{part}")),
        }
    }
    text
}

/// Whether one field is the other, or a part of it.
fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (plain(one), plain(other));
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
    };
    is_within(&one, &other) || is_within(&other, &one)
}

/// A key of a map is told in brackets by one and with a dot by another; so both are told with a dot here.
fn plain(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(begin) = rest.find('[') {
        let (before, inside) = (&rest[..begin], &rest[begin + 1..]);
        let Some(end) = inside.find(']') else { break };
        text.push_str(before);
        text.push('.');
        text.push_str(&inside[..end]);
        rest = &inside[end + 1..];
    }
    text.push_str(rest);
    text
}
