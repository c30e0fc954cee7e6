//! What a story's git says of fields that others change, and what that means: decided here once more, in few words, so that
//! the room is not judged by its own.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::content::{Field, Part, key_of};
use crate::api::DriftPolicy;
use crate::drift::Rules;
use crate::object::ObjectKey;
use crate::object::field_path::FieldPath;

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub policy: DriftPolicy,
    pub app: usize,
    pub part: Part,
    /// Of all of the object where none is given.
    pub field: Option<Field>,
    /// When it ends, in seconds since the story began.
    pub until: Option<u64>,
}

/// What git says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policies {
    /// What no rule is about is only reported.
    pub reports: bool,
    pub rules: [Option<Rule>; 3],
}

/// When a story begins.
pub fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("it is a time")
}

impl Rule {
    fn ends(self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.until?).unwrap_or(i64::MAX);
        Some(start() + SignedDuration::from_secs(seconds))
    }
}

impl Policies {
    /// The policy of a field, or of an object as a whole.
    pub fn of(&self, key: &ObjectKey, field: Option<Field>, now: Timestamp) -> DriftPolicy {
        let is_about = |rule: &&Rule| {
            key_of(rule.app, rule.part) == *key
                && rule.ends().is_none_or(|end| now < end)
                && (rule.field.is_none() || rule.field == field)
        };
        match self.rules.iter().flatten().find(is_about) {
            Some(rule) => rule.policy,
            None if self.reports => DriftPolicy::Report,
            None => DriftPolicy::Heal,
        }
    }

    /// The same, as the room takes it.
    pub fn compile(&self) -> Arc<Rules> {
        let rule = |rule: &Rule| {
            let key = key_of(rule.app, rule.part);
            let kind = if key.group.is_empty() {
                key.kind.to_string()
            } else {
                format!("{}.{}", key.kind, key.group)
            };
            let mut said =
                json!({"policy": rule.policy, "kinds": [kind], "names": [&*key.name], "reason": "theirs"});
            if let Some(field) = rule.field {
                said["fields"] = json!([field.path(rule.part)]);
            }
            if let Some(end) = rule.ends() {
                said["until"] = json!(end.to_string());
            }
            said
        };
        let policy = if self.reports { "report" } else { "heal" };
        let said =
            json!({"policy": policy, "rules": self.rules.iter().flatten().map(rule).collect::<Vec<_>>()});
        Arc::new(Rules::new(&serde_json::from_value(said).expect("these are rules")))
    }
}

impl Field {
    pub const ALL: [Self; 2] = [Self::Content, Self::Side];

    /// The way to it, as a rule names it.
    fn path(self, part: Part) -> &'static str {
        match (self, part) {
            (Self::Content, Part::Config(_)) => "data.version",
            (Self::Content, _) => "spec.template",
            (Self::Side, Part::Config(_)) => "data.side",
            (Self::Side, _) => "spec.revisionHistoryLimit",
        }
    }

    /// The field that a path is of.
    pub fn at(path: &FieldPath) -> Option<Self> {
        let path = path.to_string();
        match path.as_str() {
            "data.side" | "spec.revisionHistoryLimit" => Some(Self::Side),
            "data.version" => Some(Self::Content),
            path if path.starts_with("spec.template") => Some(Self::Content),
            _ => None,
        }
    }
}
