//! Sets of fields as `managedFields` writes them (`fieldsV1`): what one holds of another, and what goes when nobody holds
//! it any more.
//!
//! A set is a tree of maps: `f:` a field, `k:` an item of a list by its keys, `v:` an item by its value, `.` the thing
//! itself beside what is below it; a leaf is an empty map.

use serde::Serialize;
use serde_json::{Map, Value};

pub type Fields = Map<String, Value>;

/// A field that is ours to write, and that another manager holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    pub field: String,
    pub manager: String,
}

/// What either holds.
pub fn union(a: &Fields, b: &Fields) -> Fields {
    let mut all = a.clone();
    for (name, below) in b {
        match (all.get_mut(name), below) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => {
                // A leaf is the thing itself, and stays so when something below it comes in.
                let leaf = mine.is_empty() != theirs.is_empty();
                *mine = union(mine, theirs);
                if leaf {
                    mine.insert(".".into(), Value::Object(Fields::new()));
                }
            }
            _ => {
                all.insert(name.clone(), below.clone());
            }
        }
    }
    all
}

/// Takes one field out, and what is below it; what then holds nothing more goes with it.
pub fn cut(set: &mut Fields, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        set.remove(*first);
        return;
    }
    let Some(Value::Object(below)) = set.get_mut(*first) else { return };
    if below.is_empty() {
        return; // It is held as one, and there is no part of it to let go.
    }
    cut(below, rest);
    if below.is_empty() {
        set.remove(*first);
    }
}

pub fn holds(set: &Fields, path: &[&str]) -> bool {
    match path.split_first() {
        None => true,
        Some((first, rest)) => match set.get(*first) {
            Some(Value::Object(below)) => holds(below, rest),
            _ => false,
        },
    }
}

/// Of the fields, those that a value has.
pub fn within(set: &Fields, value: &Value) -> Fields {
    let mut found = Fields::new();
    for (name, below) in set {
        if name == "." {
            found.insert(name.clone(), below.clone());
            continue;
        }
        let (Some(child), Value::Object(fields)) = (child(value, name), below) else { continue };
        let kept = within(fields, child);
        if fields.is_empty() || !kept.is_empty() {
            found.insert(name.clone(), Value::Object(kept));
        }
    }
    found
}

/// Whether both hold one and the same field.
pub fn overlap(a: &Fields, b: &Fields) -> bool {
    a.iter().filter(|(name, _)| *name != ".").any(|(name, mine)| match (mine, b.get(name)) {
        (Value::Object(mine), Some(Value::Object(theirs))) => {
            mine.is_empty() || theirs.is_empty() || overlap(mine, theirs)
        }
        _ => false,
    })
}

/// The fields as people write them, as `plan` shows changes.
pub fn paths(set: &Fields) -> Vec<String> {
    let mut found = Vec::new();
    walk_paths(set, &mut String::new(), &mut found);
    found
}

fn walk_paths(set: &Fields, path: &mut String, found: &mut Vec<String>) {
    for (name, below) in set.iter().filter(|(name, _)| *name != ".") {
        let length = path.len();
        path.push_str(&segment(name));
        match below {
            Value::Object(below) if below.keys().any(|name| name != ".") => walk_paths(below, path, found),
            // A map that holds itself alone says nothing beside what is in it.
            Value::Object(below) if !below.is_empty() && !name.starts_with("k:") => {}
            _ => found.push(path.clone()),
        }
        path.truncate(length);
    }
}

fn segment(name: &str) -> String {
    if let Some(field) = name.strip_prefix("f:") {
        return if field.contains(['.', '/']) { format!(".[{field}]") } else { format!(".{field}") };
    }
    if let Some(keys) = name.strip_prefix("k:") {
        let keys: Fields = serde_json::from_str(keys).unwrap_or_default();
        let words: Vec<String> = keys.values().map(plain).collect();
        return format!("[{}]", words.join(","));
    }
    let value = name.strip_prefix("v:").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    format!("[{}]", plain(&value))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Takes out of an object what was held until now (`last`) and is not held by anybody any more, as the API server does
/// when an apply leaves a field out: a field goes with all that is in it, unless somebody holds something there.
pub fn remove_unheld(value: &mut Value, last: &Fields, kept: &Fields) {
    for (name, below) in last.iter().filter(|(name, _)| *name != ".") {
        let Value::Object(below) = below else { continue };
        match kept.get(name) {
            Some(Value::Object(held)) if held.is_empty() || below.is_empty() => {}
            Some(Value::Object(held)) => {
                if let Some(child) = child_mut(value, name) {
                    remove_unheld(child, below, held);
                }
            }
            // An item of which only parts were held stays without them.
            _ if name.starts_with("k:") && !below.is_empty() && !below.contains_key(".") => {
                if let Some(child) = child_mut(value, name) {
                    remove_unheld(child, below, &Fields::new());
                }
            }
            _ => remove(value, name),
        }
    }
}

fn remove(value: &mut Value, name: &str) {
    match value {
        Value::Object(map) => {
            if let Some(field) = name.strip_prefix("f:") {
                map.remove(field);
            }
        }
        Value::Array(items) => {
            if let Some(at) = position(items, name) {
                items.remove(at);
            }
        }
        _ => {}
    }
}

fn child<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(name.strip_prefix("f:")?),
        Value::Array(items) => items.get(position(items, name)?),
        _ => None,
    }
}

fn child_mut<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(map) => map.get_mut(name.strip_prefix("f:")?),
        Value::Array(items) => {
            let at = position(items, name)?;
            items.get_mut(at)
        }
        _ => None,
    }
}

/// Which item of a list an entry means: by the keys that the item itself gives (others were defaulted), or by its value.
pub fn position(items: &[Value], name: &str) -> Option<usize> {
    if let Some(keys) = name.strip_prefix("k:") {
        let keys: Fields = serde_json::from_str(keys).ok()?;
        return items.iter().position(|item| {
            keys.iter().all(|(key, value)| item.get(key).is_none_or(|given| given == value))
                && keys.keys().any(|key| item.get(key).is_some())
        });
    }
    let value: Value = serde_json::from_str(name.strip_prefix("v:")?).ok()?;
    items.iter().position(|item| *item == value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_union_holds_what_either_held() {
        let one = set(json!({"f:spec": {"f:replicas": {}, "f:template": {}}}));
        let other = set(json!({"f:spec": {"f:paused": {}, "f:template": {"f:spec": {}}}, "f:data": {}}));
        assert_eq!(
            Value::Object(union(&one, &other)),
            json!({"f:data": {}, "f:spec": {
                "f:paused": {}, "f:replicas": {}, "f:template": {".": {}, "f:spec": {}}}})
        );
        assert_eq!(union(&one, &other), union(&other, &one));
        assert_eq!(union(&one, &one), one);
    }

    #[test]
    fn what_is_cut_leaves_no_empty_shell() {
        let mut fields = set(json!({"f:spec": {"f:replicas": {}}, "f:data": {"f:a": {}}}));
        cut(&mut fields, &["f:spec", "f:replicas"]);
        assert_eq!(Value::Object(fields.clone()), json!({"f:data": {"f:a": {}}}));
        // Held as one: cutting a part would let go of all of it.
        let mut whole = set(json!({"f:spec": {}}));
        cut(&mut whole, &["f:spec", "f:replicas"]);
        assert_eq!(Value::Object(whole), json!({"f:spec": {}}));
    }

    #[test]
    fn what_was_applied_is_told_from_what_was_defaulted() {
        // The entry that `kubectl apply` left, and what stands in its annotation.
        let entry = set(json!({"f:spec": {
            "f:progressDeadlineSeconds": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {"f:spec": {"f:dnsPolicy": {}, "f:containers": {"k:{\"name\":\"main\"}": {
                ".": {}, "f:name": {}, "f:imagePullPolicy": {},
                "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                    ".": {}, "f:containerPort": {}, "f:protocol": {}}}}}}}}}));
        let applied = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "main", "ports": [{"containerPort": 80}]}]}}}});
        assert_eq!(
            Value::Object(within(&entry, &applied)),
            json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {
                ".": {}, "f:name": {},
                "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                    ".": {}, "f:containerPort": {}}}}}}}}})
        );
    }

    #[test]
    fn two_hold_the_same_where_a_leaf_is_in_both() {
        let labels = |name: &str| set(json!({"f:metadata": {"f:labels": {".": {}, name: {}}}}));
        assert!(overlap(&labels("f:a"), &labels("f:a")));
        assert!(!overlap(&labels("f:a"), &labels("f:b")), "a map that both write into is nobody's own");
        let whole = set(json!({"f:spec": {"f:selector": {}}}));
        let part = set(json!({"f:spec": {"f:selector": {"f:matchLabels": {}}}}));
        assert!(overlap(&whole, &part) && overlap(&part, &whole));
    }

    #[test]
    fn paths_are_those_of_a_plan() {
        let fields = set(json!({
            "f:metadata": {"f:annotations": {".": {}, "f:a.b/c": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}}}, "f:selector": {}}}));
        assert_eq!(
            paths(&fields),
            [
                ".metadata.annotations.[a.b/c]",
                ".metadata.finalizers[x/y]",
                ".spec.containers[main].image",
                ".spec.selector"
            ]
        );
    }

    #[test]
    fn what_nobody_holds_any_more_goes() {
        let mut object = json!({
            "metadata": {"labels": {"a": "1", "b": "2", "theirs": "3"}, "finalizers": ["x", "y"]},
            "spec": {
                "replicas": 7, "paused": true,
                "containers": [{"name": "one", "image": "i", "tty": true}, {"name": "two", "image": "i"}]
            }
        });
        let last = set(json!({
            "f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:paused": {}, "f:strategy": {"f:type": {}}, "f:containers": {
                "k:{\"name\":\"one\"}": {".": {}, "f:name": {}, "f:image": {}, "f:tty": {}},
                "k:{\"name\":\"two\"}": {".": {}, "f:name": {}, "f:image": {}}}}}));
        let kept = set(json!({
            "f:metadata": {"f:labels": {"f:a": {}, "f:theirs": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"one\"}": {".": {}, "f:name": {}, "f:image": {}}}}}));
        remove_unheld(&mut object, &last, &kept);
        assert_eq!(
            object,
            json!({
                "metadata": {"labels": {"a": "1", "theirs": "3"}},
                "spec": {"replicas": 7, "containers": [{"name": "one", "image": "i"}]}
            })
        );
    }

    #[test]
    fn an_item_of_which_a_part_was_held_stays_without_it() {
        let mut object = json!({"containers": [{"name": "sidecar", "image": "theirs", "tty": true}]});
        let last = set(json!({"f:containers": {"k:{\"name\":\"sidecar\"}": {"f:tty": {}}}}));
        let kept = set(json!({"f:containers": {}}));
        remove_unheld(&mut object, &last, &kept);
        assert_eq!(object["containers"][0]["tty"], true, "somebody holds the list as one");
        let kept = set(json!({"f:containers": {"k:{\"name\":\"other\"}": {}}}));
        remove_unheld(&mut object, &last, &kept);
        assert_eq!(object, json!({"containers": [{"name": "sidecar", "image": "theirs"}]}));
    }
}
