//! What is told of an object that others changed.

use std::fmt;

use serde_json::Value;

use crate::object::field_path::{FieldPath, value_at};
use crate::object::{FieldHolder, MANAGER, ObjectKey, added_by_others, holders};
use crate::plan::{CheckedStep, Reason};

/// An object that others changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Drifted {
    pub key: ObjectKey,
    /// Which one bore that name; nothing where it is gone.
    pub uid: Option<Box<str>>,
    /// The version of it that was looked at, where it was.
    pub version: Option<Box<str>>,
    /// What of it; nothing where it is gone.
    pub fields: Vec<DriftedField>,
}

/// A field that others changed. What is secret has been taken out of its values.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftedField {
    pub path: FieldPath,
    pub desired: Option<Value>,
    /// Nothing where it was taken away.
    pub live: Option<Value>,
    /// Who holds it now, the latest first. Who took a field away holds nothing.
    pub by: Vec<FieldHolder>,
    /// What a rule says of it, where one does.
    pub rule: Option<String>,
    /// Others added it under what git sets.
    pub is_extra: bool,
}

impl Drifted {
    /// What others changed that a step puts back, with what was seen of it where it was looked at.
    pub fn of(step: &CheckedStep, seen: &mut Vec<Self>) -> Self {
        let key = &step.wanted().key;
        if let Some(at) = seen.iter().position(|drifted| drifted.key == *key) {
            return seen.swap_remove(at);
        }
        let uid = step.live().map(|live| live.uid.clone());
        match step.reason() {
            Reason::Missing | Reason::BeingDeleted => Self::gone(key.clone()),
            Reason::Drifted { fields } => Self::unseen(key.clone(), uid, fields),
            _ => Self::unseen(key.clone(), uid, &[FieldPath::of(&["metadata"])]),
        }
    }

    pub fn gone(key: ObjectKey) -> Self {
        Self { key, uid: None, version: None, fields: Vec::new() }
    }

    /// Fields of which nothing is known but that they are ours no more.
    pub fn unseen(key: ObjectKey, uid: Option<Box<str>>, fields: &[FieldPath]) -> Self {
        let unseen = |path: &FieldPath| DriftedField {
            path: path.clone(),
            desired: None,
            live: None,
            by: Vec::new(),
            rule: None,
            is_extra: false,
        };
        Self { key, uid, version: None, fields: fields.iter().map(unseen).collect() }
    }

    /// The same as one field: the object itself, which is gone.
    pub fn parts(&self) -> Vec<DriftedField> {
        if !self.is_gone() {
            return self.fields.clone();
        }
        let gone = Self::unseen(self.key.clone(), None, &[FieldPath::default()]);
        gone.fields
    }

    pub fn is_gone(&self) -> bool {
        self.fields.is_empty()
    }

    /// What of it another look did not see, nor by the same manager.
    pub fn but(&self, now: &Self) -> Option<Self> {
        if self.is_gone() {
            return (!now.is_gone()).then(|| self.clone());
        }
        let who = |field: &DriftedField| field.by.first().map(|by| by.manager.clone());
        let goes_on = |field: &&DriftedField| {
            self.uid == now.uid
                && now.fields.iter().any(|other| other.path == field.path && who(other) == who(field))
        };
        let fields: Vec<DriftedField> = self.fields.iter().filter(|field| !goes_on(field)).cloned().collect();
        (!fields.is_empty()).then(|| Self { fields, ..self.clone() })
    }
}

/// What a live object says of fields that are ours no more. `show` takes what is secret out of a value.
pub fn drifted_fields(
    desired: &Value,
    live: &Value,
    fields: &[FieldPath],
    show: &dyn Fn(&FieldPath, &Value) -> Value,
) -> Vec<DriftedField> {
    let field = |path: &FieldPath| {
        let mut by = holders(live, path);
        by.retain(|holder| holder.manager != MANAGER);
        by.sort_by(|a, b| b.time.cmp(&a.time));
        DriftedField {
            desired: value_at(desired, path).map(|value| show(path, value)),
            live: value_at(live, path).map(|value| show(path, value)),
            by,
            path: path.clone(),
            rule: None,
            is_extra: false,
        }
    };
    fields.iter().map(field).collect()
}

/// What others added to a live object under what git sets.
pub fn extra_fields(live: &Value, show: &dyn Fn(&FieldPath, &Value) -> Value) -> Vec<DriftedField> {
    let fields = drifted_fields(&Value::Null, live, &added_by_others(live), show);
    fields.into_iter().map(|field| DriftedField { is_extra: true, ..field }).collect()
}

/// So many fields of one object are named.
const SHOWN: usize = 5;

/// `Deployment.apps web/web (.spec.replicas by "kubectl-edit")`, or that it is gone.
impl fmt::Display for Drifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.key)?;
        if self.is_gone() {
            return f.write_str("gone)");
        }
        for (n, field) in self.fields.iter().take(SHOWN).enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}.{}", field.path)?;
            if let Some(holder) = field.by.first() {
                write!(f, " by {:?}", holder.manager)?;
            }
        }
        match self.fields.len().saturating_sub(SHOWN) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_another_look_does_not_see_is_what_ended() {
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "web");
        let path = |name: &str| FieldPath::of(&["spec", name]);
        let both = Drifted::unseen(key.clone(), Some("u".into()), &[path("replicas"), path("paused")]);
        let one = Drifted::unseen(key.clone(), Some("u".into()), &[path("paused")]);
        let gone = Drifted::gone(key.clone());
        let anew = Drifted::unseen(key, Some("v".into()), &[path("paused")]);
        let left = both.but(&one).expect("there is something left");
        assert_eq!(left.fields.iter().map(|field| &field.path).collect::<Vec<_>>(), [&path("replicas")]);
        assert_eq!(one.but(&both), None);
        assert_eq!(both.but(&gone), Some(both.clone()));
        assert_eq!((gone.but(&gone), gone.but(&one)), (None, Some(gone.clone())));
        assert_eq!(one.but(&anew), Some(one.clone()), "it is another object");
    }

    #[test]
    fn a_field_is_told_with_both_values_and_who_holds_it_now() {
        let desired = json!({"spec": {"replicas": 1, "paused": false}});
        let live = json!({
            "metadata": {"managedFields": [
                {"manager": "fairlead", "operation": "Apply", "fieldsV1": {"f:spec": {"f:strategy": {}}}},
                {"manager": "old", "operation": "Update", "time": "2026-01-01T00:00:00Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "kubectl", "operation": "Update", "subresource": "scale", "time": "2026-01-02T00:00:00Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"replicas": 5},
        });
        let paths = [FieldPath::of(&["spec", "replicas"]), FieldPath::of(&["spec", "paused"])];
        let fields = drifted_fields(&desired, &live, &paths, &|_, value| value.clone());
        let told: Vec<_> = fields
            .iter()
            .map(|field| {
                (field.desired.clone(), field.live.clone(), field.by.first().map(ToString::to_string))
            })
            .collect();
        let kubectl = "kubectl (Update through scale) since 2026-01-02T00:00:00Z";
        assert_eq!(told[0], (Some(json!(1)), Some(json!(5)), Some(kubectl.to_owned())));
        assert_eq!(told[1], (Some(json!(false)), None, None));
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "web");
        let drifted = Drifted { key: key.clone(), uid: None, version: None, fields };
        assert_eq!(
            drifted.to_string(),
            "Deployment.apps web/web (.spec.replicas by \"kubectl\", .spec.paused)"
        );
        assert_eq!(Drifted::gone(key).to_string(), "Deployment.apps web/web (gone)");
    }
}
