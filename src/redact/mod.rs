//! Takes the content of Secrets out of what people see.
//!
//! What a plan shows of a Secret is that a key changes, never what it holds; the same for what `kubectl apply` left in
//! an annotation, which is a copy of the object.

mod forms;

pub use forms::mask;
use serde_json::Value;

use crate::object::ObjectKey;
use crate::plan::FieldChange;

const HIDDEN: &str = "(hidden)";

/// The same changes with nothing secret in them.
pub fn changes(key: &ObjectKey, changes: Vec<FieldChange>) -> Vec<FieldChange> {
    let secret = is_secret(key);
    changes
        .into_iter()
        .flat_map(|change| if secret { one_by_one(change) } else { vec![change] })
        .map(|change| if secret || holds_a_copy(&change.path) { hide(change) } else { change })
        .collect()
}

/// Whether everything in an object of this kind is to be hidden but names.
pub fn is_secret(key: &ObjectKey) -> bool {
    key.group.is_empty() && &*key.kind == "Secret"
}

fn holds_a_copy(path: &str) -> bool {
    path.contains("last-applied-configuration")
}

/// `.data` as a whole says less than its keys do.
fn one_by_one(change: FieldChange) -> Vec<FieldChange> {
    let keys: std::collections::BTreeSet<String> = [&change.before, &change.after]
        .into_iter()
        .filter_map(|side| side.as_ref()?.as_object())
        .flat_map(|map| map.keys().cloned())
        .collect();
    if !matches!(change.path.as_str(), ".data" | ".stringData") || keys.is_empty() {
        return vec![change];
    }
    let side = |side: &Option<Value>, key: &str| side.as_ref().and_then(|side| side.get(key)).cloned();
    keys.iter()
        .map(|key| FieldChange {
            path: format!("{}.{key}", change.path),
            before: side(&change.before, key),
            after: side(&change.after, key),
        })
        .collect()
}

/// A value of an object with nothing secret in it; keys stay.
pub fn value(key: &ObjectKey, path: &str, value: &Value) -> Value {
    const SHOWN: [&str; 6] =
        ["apiVersion", "kind", "type", "immutable", "metadata.name", "metadata.namespace"];
    let is_open = !is_secret(key) || SHOWN.contains(&path) || path.starts_with("metadata.labels");
    masked(value, !is_open || holds_a_copy(path))
}

fn masked(value: &Value, all: bool) -> Value {
    match value {
        Value::Object(map) => {
            let masked =
                |(key, value): (&String, &Value)| (key.clone(), masked(value, all || holds_a_copy(key)));
            Value::Object(map.iter().map(masked).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| masked(item, all)).collect()),
        Value::Null => Value::Null,
        _ if all => Value::from(HIDDEN),
        other => other.clone(),
    }
}

fn hide(change: FieldChange) -> FieldChange {
    let shown = |path: &str| {
        path.starts_with(".metadata.labels") || matches!(path, ".type" | ".immutable" | ".metadata.name")
    };
    if shown(&change.path) {
        return change;
    }
    let hide = |side: Option<Value>| side.map(|_| Value::from(HIDDEN));
    FieldChange { path: change.path, before: hide(change.before), after: hide(change.after) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_shows_its_keys_and_nothing_else() {
        let key = ObjectKey::new("", "Secret", Some("web"), "db");
        let change = |path: &str, before: Value, after: Value| FieldChange {
            path: path.into(),
            before: Some(before),
            after: Some(after),
        };
        let shown = changes(
            &key,
            vec![
                change(".data", json!({"a": "Y2FuYXJ5"}), json!({"b": "Y2FuYXJ5"})),
                change(".metadata.annotations.note", json!("canary"), json!("canary2")),
            ],
        );
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("Y2FuYXJ5") && !text.contains("canary"), "{text}");
        assert_eq!(
            shown.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(),
            [".data.a", ".data.b", ".metadata.annotations.note"]
        );
    }

    #[test]
    fn values_of_a_secret_are_hidden_at_any_depth() {
        let key = ObjectKey::new("", "Secret", Some("web"), "db");
        let object = json!({"data": {"a": "Y2FuYXJ5"}, "metadata": {"annotations": {"note": "canary"}}});
        let shown = value(&key, "", &object).to_string();
        assert!(!shown.contains("Y2FuYXJ5") && !shown.contains("canary"), "{shown}");
        assert!(shown.contains("\"a\""), "{shown}");
        assert_eq!(value(&key, "metadata.labels.app", &json!("web")), json!("web"));
        let other = ObjectKey::new("", "ConfigMap", Some("web"), "db");
        let copy = json!({"kubectl.kubernetes.io/last-applied-configuration": "canary", "a": "b"});
        let shown = value(&other, "metadata.annotations", &copy).to_string();
        assert!(!shown.contains("canary") && shown.contains("\"b\""), "{shown}");
    }

    #[test]
    fn the_copy_that_kubectl_leaves_is_hidden_everywhere() {
        let key = ObjectKey::new("", "ConfigMap", Some("web"), "db");
        let path = ".metadata.annotations.[kubectl.kubernetes.io/last-applied-configuration]";
        let shown = changes(
            &key,
            vec![FieldChange { path: path.into(), before: None, after: Some(json!("canary")) }],
        );
        assert_eq!(shown[0].after, Some(json!(HIDDEN)));
    }
}
