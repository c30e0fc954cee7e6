//! Who holds a field of an object, by the entries of its `managedFields`.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::field_path::{FieldPath, Part, PathStep, path_of, value_at};
use super::{MANAGER, ManagedEntry};

/// A manager that holds a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldHolder {
    pub manager: String,
    pub operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

impl fmt::Display for FieldHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.manager, self.operation)?;
        if !self.subresource.is_empty() {
            write!(f, " through {}", self.subresource)?;
        }
        f.write_str(")")?;
        match &self.time {
            Some(time) => write!(f, " since {time}"),
            None => Ok(()),
        }
    }
}

/// Who holds a field of an object.
pub fn holders(object: &Value, path: &FieldPath) -> Vec<FieldHolder> {
    let holding = ManagedEntry::all(object)
        .into_iter()
        .filter(|entry| entry.fields.as_object().is_some_and(|fields| holds(fields, object, &path.0)));
    let holder = |entry: ManagedEntry| FieldHolder {
        manager: entry.manager,
        operation: entry.operation,
        subresource: entry.subresource,
        time: entry.time,
    };
    holding.map(holder).collect()
}

/// The fields that others added under what we set: in a map or a list of ours, what of it is theirs alone. The status is
/// nobody's to apply, and what stands beside all of ours at the top of an object is another matter.
pub fn added_by_others(object: &Value) -> Vec<FieldPath> {
    let (ours, theirs): (Vec<_>, Vec<_>) = ManagedEntry::all(object)
        .into_iter()
        .filter(|entry| entry.subresource != "status")
        .partition(|entry| entry.manager == MANAGER && entry.operation == "Apply");
    let Some(ours) = ours.first().and_then(|entry| entry.fields.as_object()) else { return Vec::new() };
    let mut walk = Added { parts: Vec::new(), found: Vec::new() };
    for entry in &theirs {
        if let Some(theirs) = entry.fields.as_object() {
            walk.go(object, ours, theirs);
        }
    }
    let mut paths: Vec<FieldPath> = Vec::new();
    for parts in &walk.found {
        let path = path_of(object, parts);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Goes through a live object, and notes what of it others hold and we do not.
struct Added {
    parts: Vec<Part>,
    found: Vec<Vec<Part>>,
}

impl Added {
    fn go(&mut self, value: &Value, ours: &Map<String, Value>, theirs: &Map<String, Value>) {
        match value {
            Value::Object(map) => {
                for (key, below) in map {
                    let name = format!("f:{key}");
                    let of = (ours.get(&name), theirs.get(&name));
                    self.child(Part::Key(key.clone()), below, of);
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    let of = |set: &'_ Map<String, Value>| set.keys().find(|name| names(name, item)).cloned();
                    let of = (
                        of(ours).and_then(|name| ours.get(&name)),
                        of(theirs).and_then(|name| theirs.get(&name)),
                    );
                    self.child(Part::At(n), item, of);
                }
            }
            _ => {}
        }
    }

    fn child(&mut self, part: Part, value: &Value, (ours, theirs): (Option<&Value>, Option<&Value>)) {
        let Some(theirs) = theirs else { return };
        let is_top = self.parts.is_empty();
        self.parts.push(part);
        match (ours.and_then(Value::as_object), theirs.as_object()) {
            (None, _) if is_top => {}
            (None, _) => self.found.push(self.parts.clone()),
            // What is held as one has nothing under it.
            (Some(ours), Some(theirs)) if !ours.is_empty() && !theirs.is_empty() => {
                self.go(value, ours, theirs)
            }
            (Some(_), _) => {}
        }
        self.parts.pop();
    }
}

/// Whether a set of fields holds a field: it, something in it, or all that it is a part of.
fn holds(set: &Map<String, Value>, value: &Value, path: &[PathStep]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    // A leaf is held as one.
    if set.is_empty() {
        return true;
    }
    let (below, next) = match first {
        PathStep::Key(key) => (set.get(&format!("f:{key}")), value.get(key)),
        PathStep::Item { .. } | PathStep::Index(_) => {
            let item = value_at(value, &FieldPath(vec![first.clone()]));
            (
                item.and_then(|item| set.iter().find(|(name, _)| names(name, item))).map(|(_, below)| below),
                item,
            )
        }
    };
    match (below.and_then(Value::as_object), next) {
        (Some(below), Some(next)) => holds(below, next, rest),
        _ => false,
    }
}

/// Whether `k:{"name":"web"}` or `v:"web"` names an item.
fn names(name: &str, item: &Value) -> bool {
    if let Some(keys) = name.strip_prefix("k:") {
        let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
        return !keys.is_empty() && keys.iter().all(|(key, value)| item.get(key) == Some(value));
    }
    let value = name.strip_prefix("v:").and_then(|text| serde_json::from_str::<Value>(text).ok());
    value.as_ref() == Some(item)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_what_they_hold_alone_under_something_of_ours() {
        let object = json!({
            "metadata": {"labels": {"app": "web", "seen": "yes"}, "annotations": {"note": "x"}, "managedFields": [
                {"manager": "fairlead", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:replicas": {}, "f:selector": {},
                        "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}},
                {"manager": "injector", "operation": "Update", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:seen": {}, "f:app": {}}, "f:annotations": {".": {}, "f:note": {}}},
                    "f:spec": {"f:replicas": {}, "f:selector": {"f:a": {}}, "f:paused": {},
                        "f:containers": {"k:{\"name\":\"side\"}": {".": {}, "f:name": {}},
                            "k:{\"name\":\"web\"}": {"f:env": {}}}},
                    "f:data": {"f:x": {}}}},
                {"manager": "kubelet", "operation": "Update", "subresource": "status",
                 "fieldsV1": {"f:spec": {"f:hidden": {}}}},
            ]},
            "data": {"x": "y"},
            "spec": {"replicas": 5, "paused": true, "hidden": 1, "selector": {"a": "b"},
                "containers": [{"name": "web", "image": "i", "env": []}, {"name": "side"}]},
        });
        let found: Vec<String> = added_by_others(&object).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "metadata.annotations",
                "metadata.labels.seen",
                "spec.containers[name=web].env",
                "spec.containers[name=side]",
                "spec.paused",
            ]
        );
        assert!(added_by_others(&json!({"spec": {"a": 1}})).is_empty(), "nothing of it is ours");
    }

    #[test]
    fn a_field_is_held_by_whoever_holds_it_or_all_around_it() {
        let object = json!({
            "metadata": {"managedFields": [
                {"manager": "fairlead", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {},
                    "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}},
                {"manager": "scaler", "operation": "Update", "subresource": "scale",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "atomic", "operation": "Update", "fieldsV1": {"f:spec": {"f:selector": {}}}},
            ]},
            "spec": {"replicas": 5, "selector": {"a": "b"}, "containers": [{"name": "old"}, {"name": "web", "image": "i"}]},
        });
        let step = |text: &str| PathStep::Key(text.to_owned());
        let item = PathStep::Item { key: "name".to_owned(), value: json!("web") };
        let managers = |path: Vec<PathStep>| -> Vec<String> {
            holders(&object, &FieldPath(path)).into_iter().map(|holder| holder.manager).collect()
        };
        assert_eq!(managers(vec![step("spec"), step("replicas")]), ["fairlead", "scaler"]);
        assert_eq!(managers(vec![step("spec"), step("containers"), item, step("image")]), ["fairlead"]);
        assert_eq!(managers(vec![step("spec"), step("selector"), step("a")]), ["atomic"]);
        assert!(managers(vec![step("spec"), step("containers"), PathStep::Index(0)]).is_empty());
    }
}
