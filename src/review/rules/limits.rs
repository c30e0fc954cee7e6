//! What the platform does not let, or warns of.

use super::{Found, Scene};
use crate::policy::Severity as Word;
use crate::review::risk::{Risk, RiskClass, Severity};

pub fn judge(scene: &Scene<'_>, found: &mut Found) {
    let old: Vec<&str> =
        scene.change.before.iter().flat_map(|side| &side.findings).map(|finding| &*finding.message).collect();
    for side in scene.change.after.iter().flatten() {
        for finding in side.findings.iter().filter(|finding| !old.contains(&&*finding.message)) {
            let severity = match finding.severity {
                Word::Deny => Severity::Error,
                Word::Warn => Severity::Warning,
            };
            let message = match finding.hint {
                Some(hint) => format!("{} ({hint})", finding.message),
                None => finding.message.clone(),
            };
            found.push(Risk {
                app: Some(side.app.to_string()),
                object: finding.key.as_ref().map(ToString::to_string),
                place: finding.place.clone(),
                field: Some(finding.pointer.replace('/', ".")).filter(|field| !field.is_empty()),
                ..Risk::new(RiskClass::Policy, severity, message)
            });
        }
    }
}
