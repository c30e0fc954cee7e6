//! What would change hands, as a person would read it.

use std::fmt::Write;

use serde::Serialize;

use crate::object::ObjectKey;
use crate::plan::{Handover, Shared};

/// An object whose fields others would hand over.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HandoverReport {
    pub object: String,
    /// Whether it was agreed to; without that nothing of the app is written.
    pub agreed: bool,
    #[serde(flatten)]
    pub handover: Handover,
}

/// An object of ours that tools deploy, too.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedReport {
    pub object: String,
    pub managers: Vec<String>,
    pub token: String,
}

/// So many fields of one manager are named on a screen; the JSON has all of them.
const FIELDS_SHOWN: usize = 8;

impl HandoverReport {
    pub fn new(key: &ObjectKey, handover: &Handover, agreed: bool) -> Self {
        Self { object: key.to_string(), agreed, handover: handover.clone() }
    }

    /// From whom, and how much.
    pub fn summary(&self) -> String {
        let handover = &self.handover;
        let count = handover.count();
        let fields = if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
        let word = if self.agreed { "agreed to" } else { "nobody agreed to it yet" };
        format!("{} changes hands, {fields} from {}; {word}", self.object, handover.managers().join(", "))
    }

    pub(super) fn risk(&self) -> Option<String> {
        let tended = &self.handover.tended;
        (!tended.is_empty()).then(|| {
            format!(
                "{}: {} may still tend it, and must be switched off first",
                self.object,
                tended.join(" and ")
            )
        })
    }

    pub(super) fn list(&self, out: &mut String) {
        for party in &self.handover.from {
            let through = match party.subresource.as_str() {
                "" => String::new(),
                subresource => format!(" (by {subresource})"),
            };
            let _ = writeln!(out, "        from {}{through}: {}", party.manager, some(&party.fields));
        }
        for field in &self.handover.fields {
            let _ = writeln!(out, "        from {}: {}", field.manager, field.field);
        }
    }
}

fn some(fields: &[String]) -> String {
    let mut text = fields.iter().take(FIELDS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if fields.len() > FIELDS_SHOWN {
        text.push_str(&format!(", and {} more", fields.len() - FIELDS_SHOWN));
    }
    if fields.is_empty() { "nothing that git does not leave alone".to_owned() } else { text }
}

impl SharedReport {
    pub fn new(shared: &Shared) -> Self {
        Self {
            object: shared.key.to_string(),
            managers: shared.held.managers.iter().map(ToString::to_string).collect(),
            token: shared.held.token.to_string(),
        }
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} is deployed by {}, too: what leaves git stays while it is (`fairlead adopt`)",
            self.object,
            self.managers.join(", ")
        )
    }
}
