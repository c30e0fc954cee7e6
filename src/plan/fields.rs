//! What changes in an object, field by field, as a person would say it.

use serde::Serialize;
use serde_json::Value;

/// One field, before and after; `None` where it is not there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    pub path: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Fields that the server keeps for itself, or that say nothing to people.
const BOOKKEEPING: &[&str] =
    &["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// The fields in which two states of an object differ. Lists of named things are matched by name, not by position.
pub fn field_changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (mut before, mut after) = (before.clone(), after.clone());
    for value in [&mut before, &mut after] {
        if let Value::Object(root) = value {
            root.remove("status");
            if let Some(Value::Object(metadata)) = root.get_mut("metadata") {
                metadata.retain(|name, _| !BOOKKEEPING.contains(&name.as_str()));
                if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                    annotations.retain(|name, _| {
                        name != crate::object::APPLIED && name != "deployment.kubernetes.io/revision"
                    });
                }
            }
        }
    }
    let mut found = Vec::new();
    walk("", Some(&before), Some(&after), &mut found);
    found
}

fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                walk(&format!("{path}.{}", segment(name)), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => walk_list(path, a, b, found),
        // An empty map or list that comes or goes says nothing.
        (Some(gone), None) | (None, Some(gone)) if is_empty(gone) => {}
        _ => {
            found.push(FieldChange { path: path.to_owned(), before: before.cloned(), after: after.cloned() })
        }
    }
}

fn walk_list(path: &str, before: &[Value], after: &[Value], found: &mut Vec<FieldChange>) {
    let Some(key) = list_key(before, after) else {
        if before.len() == after.len() && before.iter().chain(after).all(|item| item.is_object()) {
            for (n, (a, b)) in before.iter().zip(after).enumerate() {
                walk(&format!("{path}[{n}]"), Some(a), Some(b), found);
            }
        } else {
            let (a, b) = (Value::Array(before.to_vec()), Value::Array(after.to_vec()));
            found.push(FieldChange { path: path.to_owned(), before: Some(a), after: Some(b) });
        }
        return;
    };
    let find = |items: &'_ [Value], id: &Value| items.iter().position(|item| item[key] == *id);
    let count = found.len();
    for item in before {
        let other = find(after, &item[key]).map(|n| &after[n]);
        walk(&format!("{path}[{}]", plain(&item[key])), Some(item), other, found);
    }
    for item in after.iter().filter(|item| find(before, &item[key]).is_none()) {
        walk(&format!("{path}[{}]", plain(&item[key])), None, Some(item), found);
    }
    if found.len() == count {
        let names = |items: &[Value]| Value::Array(items.iter().map(|item| item[key].clone()).collect());
        let (a, b) = (names(before), names(after));
        found.push(FieldChange { path: format!("{path} (order)"), before: Some(a), after: Some(b) });
    }
}

/// The field by which people tell the items of a list apart, where every item has it and no two share it.
fn list_key(before: &[Value], after: &[Value]) -> Option<&'static str> {
    ["name", "containerPort", "port", "mountPath", "key", "ip", "topologyKey", "type"].into_iter().find(
        |key| {
            [before, after].iter().all(|items| {
                let mut ids: Vec<String> = items.iter().map(|item| plain(&item[key])).collect();
                ids.sort();
                let distinct = ids.windows(2).all(|pair| pair[0] != pair[1]);
                distinct && items.iter().all(|item| item[key].is_string() || item[key].is_number())
            })
        },
    )
}

fn segment(name: &str) -> String {
    if name.contains(['.', '/']) { format!("[{name}]") } else { name.to_owned() }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(before: Value, after: Value) -> Vec<String> {
        field_changes(&before, &after)
            .into_iter()
            .map(|change| {
                let show = |value: Option<Value>| value.map_or("-".into(), |value| value.to_string());
                format!("{}: {} → {}", change.path, show(change.before), show(change.after))
            })
            .collect()
    }

    #[test]
    fn containers_are_matched_by_name() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let before = pod(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]));
        let after = pod(json!([{"name": "b", "image": "b:2"}, {"name": "a", "image": "a:1"}]));
        assert_eq!(shown(before, after), ["".to_owned() + ".spec.containers[b].image: \"b:1\" → \"b:2\""]);
    }

    #[test]
    fn bookkeeping_is_left_out() {
        let before = json!({"metadata": {"resourceVersion": "1", "annotations": {"fairlead.dev/applied": "a"}}, "status": {"x": 1}});
        let after =
            json!({"metadata": {"resourceVersion": "2", "annotations": {"fairlead.dev/applied": "b"}}});
        assert!(shown(before, after).is_empty());
    }

    #[test]
    fn what_comes_and_goes_is_shown() {
        assert_eq!(
            shown(json!({"data": {"a": "1"}}), json!({"data": {"b.yaml": "2"}})),
            [".data.a: \"1\" → -", ".data.[b.yaml]: - → \"2\""]
        );
    }
}
