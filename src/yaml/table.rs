//! Our readings against those of kubectl and kustomize, which `tests/it/yaml.rs` took down in `tests/yaml/expected.json`.
//! Where we mean to differ, `tests/yaml/differences.txt` says so and why.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Dialect, Limits, read};
use crate::object::TreePath;

#[path = "../../tests/yaml/cases.rs"]
mod cases;

/// `kubectl | name of the case | what we do instead and why`
fn differences() -> BTreeMap<(&'static str, &'static str), &'static str> {
    include_str!("../../tests/yaml/differences.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(|line| {
            let (dialect, rest) = line.split_once(" | ").expect(line);
            let (name, why) = rest.rsplit_once(" | ").expect(line);
            ((dialect, name), why)
        })
        .collect()
}

fn ours(body: &str, dialect: Dialect) -> Value {
    let text = format!("{}{body}", cases::HEADER);
    let path = TreePath::new("object.yaml").unwrap();
    let Ok(documents) = read(text.as_bytes(), &path, dialect, &Limits::default()) else {
        return json!("refused");
    };
    let [document] = <[_; 1]>::try_from(documents).expect("one document");
    let mut value = document.into_value();
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| !["apiVersion", "kind", "metadata"].contains(&key.as_str()));
    }
    value
}

/// The expectations went through text: a number above `i64` is a float to every reader of JSON in Kubernetes.
fn as_kubernetes_reads(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_u64() && !number.is_i64() => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(as_kubernetes_reads).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, as_kubernetes_reads(value))).collect(),
        other => other,
    }
}

#[test]
fn we_read_yaml_as_kubectl_and_kustomize_do() {
    let expected: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(include_str!("../../tests/yaml/expected.json")).unwrap();
    let meant = differences();
    let (mut agree, mut wrong, mut stale) = (0, Vec::new(), meant.clone());
    let cases = cases::cases();
    for case in &cases {
        for (name, wanted) in &expected[&case.name] {
            let dialect = match name.as_str() {
                "kubectl" => Dialect::Kubectl,
                "kustomize" => Dialect::Kustomize,
                _ => Dialect::Config,
            };
            let (wanted, found) = (as_kubernetes_reads(wanted.clone()), ours(&case.body, dialect));
            if wanted == found {
                agree += 1;
            } else if meant.contains_key(&(name.as_str(), case.name.as_str())) {
                stale.remove(&(name.as_str(), case.name.as_str()));
            } else {
                wrong.push(format!("{name} | {} | theirs {wanted}, ours {found}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{agree} agree, {} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(stale.is_empty(), "these agree by now: {stale:#?}");
}
