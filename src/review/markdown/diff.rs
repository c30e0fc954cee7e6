//! One object of a change: what happens to it, and field by field what becomes of it.

use std::fmt::Write;

use serde_json::Value;

use super::escape::{code, fenced, visible};
use crate::plan::FieldChange;
use crate::review::report::{Action, ObjectChange};
use crate::yaml;

/// An object in one line, and with all its fields.
pub fn object(object: &ObjectChange) -> (String, String) {
    let place = code(&object.place.to_string());
    let mut brief = format!("**{}** {} ({place})", object.action.as_str(), code(&object.object));
    if let Some(app) = &object.moved_from {
        let _ = write!(brief, ", until now of {}", code(app));
    }
    if object.action == Action::Restart {
        brief.push_str(", because what its pods read changes");
    }
    brief.push_str("\n\n");
    let mut full = brief.clone();
    if !object.secrets.is_empty() {
        for used in &object.secrets {
            let side = |side: &Option<String>| side.as_deref().map_or_else(|| "not used".to_owned(), code);
            let _ =
                writeln!(full, "- {}: {} → {}", code(&used.secret), side(&used.before), side(&used.after));
        }
        full.push('\n');
    }
    full.push_str(&fields(&object.changes));
    if let Some(made) = &object.made {
        let mut body = String::new();
        put(&mut body, '+', &yaml::write(made));
        full.push_str(&fenced("diff", &body));
        full.push('\n');
    }
    (brief, full)
}

/// Fields before and after; nothing where there are none.
pub fn fields(changes: &[FieldChange]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut body = String::new();
    for change in changes {
        let _ = writeln!(body, "@@ {} @@", visible(&change.path, &[]));
        let (before, after) = (change.before.as_ref().map(lines), change.after.as_ref().map(lines));
        match (&before, &after) {
            (Some(before), Some(after)) if before.contains('\n') || after.contains('\n') => {
                compare(&mut body, before, after);
            }
            _ => {
                before.iter().for_each(|text| put(&mut body, '-', text));
                after.iter().for_each(|text| put(&mut body, '+', text));
            }
        }
    }
    format!("{}\n", fenced("diff", &body))
}

fn lines(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => yaml::write(value),
        other => other.to_string(),
    }
}

/// Every line of it, so that none can be taken for another.
fn put(body: &mut String, sign: char, text: &str) {
    for line in text.trim_end_matches('\n').split('\n') {
        let _ = writeln!(body, "{sign} {line}");
    }
}

fn compare(body: &mut String, before: &str, after: &str) {
    let diff = similar::TextDiff::from_lines(before, after);
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                similar::ChangeTag::Delete => '-',
                similar::ChangeTag::Insert => '+',
                similar::ChangeTag::Equal => ' ',
            };
            let line = change.value().trim_end_matches('\n');
            let _ = writeln!(body, "{sign} {line}");
        }
    }
}
