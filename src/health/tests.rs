//! The fixtures: one object per file under `fixtures/<group>/<Kind>/<status>[-<claim>].yaml`; the file's name is the
//! verdict that is expected.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

fn fixtures() -> Vec<(PathBuf, Value)> {
    static FIXTURES: std::sync::OnceLock<Vec<(PathBuf, Value)>> = std::sync::OnceLock::new();
    FIXTURES.get_or_init(read_fixtures).clone()
}

fn read_fixtures() -> Vec<(PathBuf, Value)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, Value)>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, found);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let object =
                    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                found.push((path, object));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/health/fixtures"), &mut found);
    found
}

fn expected(path: &Path) -> Status {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let status = name.split('-').next().unwrap();
    let known = Status::ALL.into_iter().find(|known| known.as_str() == status);
    known.unwrap_or_else(|| panic!("{} does not begin with a status", path.display()))
}

#[test]
fn every_fixture_is_judged_as_its_name_says() {
    let mut wrong = Vec::new();
    let fixtures = fixtures();
    for (path, object) in &fixtures {
        let (health, expected) = (assess(object), expected(path));
        if health.status != expected {
            wrong.push(format!("{}: {health}", path.display()));
        }
        assert!(
            !health.reason.is_empty() && !health.reason.contains(' '),
            "{}: reason {health}",
            path.display()
        );
        assert!(!health.message.is_empty(), "{}: no message", path.display());
    }
    assert!(wrong.is_empty(), "{} of {} fixtures:\n{}", wrong.len(), fixtures.len(), wrong.join("\n"));
}

#[test]
fn every_fixture_lies_in_the_folder_of_its_kind() {
    for (path, object) in fixtures() {
        let group = text(&object["apiVersion"]).split_once('/').map_or("core", |(group, _)| group);
        let folder = format!("{group}/{}", text(&object["kind"]));
        assert!(path.parent().unwrap().ends_with(&folder), "{} holds a {folder}", path.display());
    }
}

#[test]
fn every_shipped_rule_has_fixtures() {
    let fixtures = fixtures();
    let groups: Vec<_> =
        fixtures.iter().map(|(_, object)| text(&object["apiVersion"]).split('/').next().unwrap()).collect();
    for group in Rules::shipped().groups() {
        let end = group.trim_start_matches('*');
        assert!(groups.iter().any(|known| known.ends_with(end)), "no fixture for {group}");
    }
}

#[test]
fn whatever_is_being_deleted_is_terminating() {
    for (path, mut object) in fixtures() {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(assess(&object).status, Status::Terminating, "{}", path.display());
    }
}

#[test]
fn an_object_that_its_controller_has_not_seen_is_never_healthy() {
    for (path, mut object) in fixtures() {
        if object["status"]["observedGeneration"].is_null() || expected(&path) != Status::Healthy {
            continue;
        }
        object["metadata"]["generation"] = json!(1_000_000);
        assert_ne!(assess(&object).status, Status::Healthy, "{}", path.display());
    }
}

#[test]
fn what_says_that_it_failed_is_never_healthy() {
    for (path, mut object) in fixtures() {
        let group = text(&object["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        let suits = !kinds::is_built_in(group) && kinds::judge(group, text(&object["kind"])).is_none();
        if !suits || !object["status"].is_object() {
            continue;
        }
        for said in ["Failed", "Degraded", "Stalled", "ErrorOccurred", "ReleaseFailed"] {
            let failure = json!({"type": said, "status": "True", "reason": "DiskFull"});
            let had = object["status"]["conditions"].clone();
            match object["status"]["conditions"].as_array_mut() {
                Some(conditions) => conditions.insert(0, failure),
                None => object["status"]["conditions"] = json!([failure]),
            }
            assert_ne!(assess(&object).status, Status::Healthy, "{said}: {}", path.display());
            object["status"]["conditions"] = had;
        }
        for field in ["phase", "state"] {
            let had = object["status"][field].clone();
            object["status"][field] = json!("Failed");
            assert_ne!(assess(&object).status, Status::Healthy, "{field}: {}", path.display());
            object["status"][field] = had;
        }
    }
}

#[test]
fn what_is_not_ready_is_never_healthy() {
    for (path, mut object) in fixtures() {
        let Some(conditions) = object["status"]["conditions"].as_array_mut() else { continue };
        let Some(ready) = conditions.iter_mut().find(|c| c["type"] == "Ready" && c["status"] == "True")
        else {
            continue;
        };
        ready["status"] = json!("False");
        ready["reason"] = json!("ReconcileFailed");
        assert_ne!(assess(&object).status, Status::Healthy, "{}", path.display());
    }
}

#[test]
fn an_absent_object_is_missing() {
    assert_eq!(assess(&Value::Null).status, Status::Missing);
}

#[test]
fn a_list_counts_as_what_it_holds() {
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "web"}});
    let verdicts = report(&[json!({"apiVersion": "v1", "kind": "List", "items": [config, config]}), config]);
    assert_eq!(verdicts.len(), 3);
    assert_eq!(
        serde_json::to_value(&verdicts[0]).unwrap(),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "namespace": "web", "name": "a",
            "status": "healthy", "reason": "Exists", "message": "nothing to wait for",
        })
    );
}

mod nothing_panics {
    use proptest::prelude::*;

    use super::*;

    fn arbitrary() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-zA-Z0-9 :-]{0,12}".prop_map(Value::from),
            prop::sample::select(vec![
                "True",
                "False",
                "Ready",
                "Failed",
                "Always",
                "Running",
                "9223372036854775807"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn key() -> impl Strategy<Value = String> {
        let known = vec![
            "conditions",
            "type",
            "status",
            "phase",
            "state",
            "reason",
            "message",
            "replicas",
            "observedGeneration",
            "containerStatuses",
            "waiting",
            "terminated",
            "restartCount",
            "exitCode",
            "loadBalancer",
            "ingress",
            "health",
            "parents",
            "restartPolicy",
        ];
        prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => "[a-z]{1,6}".prop_map(|s| s)]
    }

    /// Replaces one value somewhere inside, chosen by `at`.
    fn spoil(object: &mut Value, at: usize, with: Value) {
        let size = match object {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        if size == 0 || at % 7 == 6 {
            *object = with;
            return;
        }
        let next = match object {
            Value::Object(map) => map.values_mut().nth(at % size),
            Value::Array(list) => list.get_mut(at % size),
            _ => None,
        };
        if let Some(next) = next {
            spoil(next, at / 2, with);
        }
    }

    proptest! {
        #[test]
        fn on_arbitrary_json(value in arbitrary()) {
            assess(&value);
            pods::explain(std::slice::from_ref(&value));
        }

        #[test]
        fn on_arbitrary_parts_of_known_kinds(
            which in any::<prop::sample::Index>(), metadata in arbitrary(), spec in arbitrary(), status in arbitrary(),
        ) {
            let fixtures = FIXTURES.get_or_init(fixtures);
            let (_, known) = which.get(fixtures);
            let mut object = json!({"metadata": metadata, "spec": spec, "status": status});
            object["apiVersion"] = known["apiVersion"].clone();
            object["kind"] = known["kind"].clone();
            assess(&object);
            pods::explain(std::slice::from_ref(&object));
        }

        #[test]
        fn on_fixtures_with_one_value_spoiled(
            which in any::<prop::sample::Index>(), at in any::<usize>(), with in arbitrary(),
        ) {
            let fixtures = FIXTURES.get_or_init(fixtures);
            let mut object = which.get(fixtures).1.clone();
            spoil(&mut object, at, with);
            assess(&object);
            pods::explain(std::slice::from_ref(&object));
        }
    }

    static FIXTURES: std::sync::OnceLock<Vec<(PathBuf, Value)>> = std::sync::OnceLock::new();
}
