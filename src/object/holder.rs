//! Who holds a field of an object, by the entries of its `managedFields`.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::ManagedEntry;
use super::field_path::{FieldPath, PathStep, value_at};

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
