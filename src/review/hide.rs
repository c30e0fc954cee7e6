//! Takes values of Secrets out of a report, wherever they stand.
//!
//! What a Secret holds is hidden by its kind already (`redact`). But the same text may stand in an object of another
//! kind, in what the server says about it, or in an annotation: all of that is looked through for the values that git
//! has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::input::AppSide;
use super::report::EnvironmentReport;
use crate::object::DriftRecord;
use crate::object::secret::{Plaintext, Scrubber};
use crate::plan::FieldChange;

/// Words that stand anywhere by themselves, and tell nothing.
const COMMON: [&str; 6] = ["true", "false", "null", "none", "http", "https"];

/// The values of all Secrets of these apps.
pub fn values<'a>(apps: impl Iterator<Item = &'a AppSide>) -> Scrubber {
    let mut values = Vec::new();
    for wanted in apps.filter_map(AppSide::objects).flat_map(|wanted| &wanted.objects) {
        if !wanted.is_secret() {
            continue;
        }
        for (_, value) in wanted.value()["data"].as_object().into_iter().flatten() {
            // What refers to a secret is no base64.
            let Some(Ok(bytes)) = value.as_str().map(|text| STANDARD.decode(text)) else { continue };
            if !COMMON.iter().any(|word| word.as_bytes() == bytes) {
                values.push(Plaintext::new(bytes));
            }
        }
    }
    Scrubber::new(&values)
}

/// The report without these values.
pub fn hide(report: &mut EnvironmentReport, values: &Scrubber) {
    if values.is_empty() {
        return;
    }
    let text = |text: &mut String| *text = values.scrub(text);
    for risk in &mut report.risks {
        text(&mut risk.message);
        risk.field.iter_mut().for_each(text);
    }
    for app in &mut report.apps {
        for problem in &mut app.problems {
            text(&mut problem.message);
            problem.hint.iter_mut().for_each(text);
        }
        for object in &mut app.objects {
            changes(&mut object.changes, values);
            object.made.iter_mut().for_each(|made| value(made, values));
        }
    }
    for drift in &mut report.drift {
        changes(&mut drift.changes, values);
        drift.records.iter_mut().for_each(|record| told(record, values));
    }
    for one in &mut report.stays {
        one.field = values.scrub(&one.field);
        changes(one.change.as_mut_slice(), values);
        one.record.iter_mut().for_each(|record| told(record, values));
    }
    if let Some(prune) = &mut report.prune {
        prune.halts.iter_mut().chain(&mut prune.waits).for_each(text);
    }
    report.unseen.iter_mut().for_each(text);
}

/// What is shown of a record.
fn told(record: &mut DriftRecord, values: &Scrubber) {
    record.path = values.scrub(&record.path);
    record.rule.iter_mut().for_each(|rule| *rule = values.scrub(rule));
}

fn changes(changes: &mut [FieldChange], values: &Scrubber) {
    for change in changes {
        // A key of a map may hold anything, too.
        change.path = values.scrub(&change.path);
        change.before.iter_mut().chain(&mut change.after).for_each(|side| value(side, values));
    }
}

fn value(found: &mut Value, values: &Scrubber) {
    match found {
        Value::String(text) => *text = values.scrub(text),
        Value::Array(items) => items.iter_mut().for_each(|item| value(item, values)),
        Value::Object(map) => {
            let whole = std::mem::take(map);
            for (key, mut item) in whole {
                value(&mut item, values);
                map.insert(values.scrub(&key), item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
