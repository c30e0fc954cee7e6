use serde_json::json;

use super::super::repin::repin;
use super::super::stamp::WantedApp;
use super::super::stamp::tests::{object, wanted_with as wanted};
use super::*;
use crate::object::secret::Reference;

pub fn pins(of: &[(&str, &str, &[&str])]) -> Pins {
    let pin = |(secret, version, keys): &(&str, &str, &[&str])| {
        let secret = Reference::parse(secret).expect("a reference").secret;
        let keys = [(Vec::new(), keys.iter().map(|&key| key.into()).collect())].into();
        (secret, Ok(Pin { version: (*version).into(), keys, old_works: true }))
    };
    Pins::read(of.iter().map(pin).collect())
}

pub fn secret() -> Value {
    let mut secret = object("v1", "Secret", "db");
    secret["stringData"] = json!({"URL": "pg://${aws-sm:db#password}@db", "plain": "x"});
    secret
}

pub fn reader() -> Value {
    let mut web = object("apps/v1", "Deployment", "web");
    let container = json!({"name": "web", "envFrom": [{"secretRef": {"name": "db"}}]});
    web["spec"] = json!({"template": {"spec": {"containers": [container]}}});
    web
}

#[test]
fn a_version_stands_on_the_secret_and_rolls_who_reads_it() {
    let of = |version: &str| wanted(vec![secret(), reader()], &pins(&[("aws-sm:db", version, &[])])).unwrap();
    let (first, again, second) = (of("v1"), of("v1"), of("v2"));
    assert_eq!(first.digest, again.digest);
    assert_ne!(first.digest, second.digest);
    assert_eq!(first.content, second.content, "git says the same");
    assert_ne!(first.objects[1].config, second.objects[1].config);
    let value = first.objects[0].value();
    assert_eq!(value["metadata"]["annotations"][VERSIONS], r#"{"aws-sm:db":"v1"}"#);
    assert_eq!(value["data"], json!({"URL": "pg://${aws-sm:db#password}@db", "plain": "eA=="}));
    assert_eq!(first.secrets.values().flatten().map(|version| &**version).collect::<Vec<_>>(), ["v1"]);
    let stored = WantedApp::of_objects(first.app.clone(), first.digest.clone(), first.objects.clone());
    assert_eq!(stored.secrets, first.secrets);
}

#[test]
fn what_is_put_back_runs_with_the_versions_that_are_in_force() {
    let mut map = object("v1", "ConfigMap", "map");
    map["data"] = json!({"a": "b"});
    let of = |version: &str| {
        let objects = vec![secret(), reader(), map.clone()];
        wanted(objects, &pins(&[("aws-sm:db", version, &[])])).unwrap()
    };
    let (old, new) = (of("v1"), of("v2"));
    let again = repin(&old, &new).expect("another version is in force");
    assert_eq!(again.digest, old.digest, "its name is what it was");
    assert_eq!(again.secrets, new.secrets);
    assert_eq!(again.objects, new.objects);
    assert!(Arc::ptr_eq(&again.objects[2], &old.objects[2]), "what reads no secret is what it was");
    assert_eq!(repin(&old, &old).map(|app| app.digest), None);
    let other = Reference::parse("aws-sm:other").unwrap().secret;
    let gone = WantedApp { secrets: [(other, Some("v9".into()))].into(), objects: Vec::new(), ..new };
    assert!(repin(&old, &gone).is_none(), "of a secret that git does not name any more it keeps its own");
}

#[test]
fn without_anybody_who_looks_a_reference_stays() {
    let app = wanted(vec![secret(), reader()], &Pins::offline()).unwrap();
    assert_eq!(app.digest, app.content);
    assert_eq!(app.objects[0].value()["metadata"]["annotations"].get(VERSIONS), None);
    assert!(app.objects[0].sealed().is_some());
}

#[test]
fn what_cannot_be_read_is_told_at_the_secret() {
    let why = wanted(vec![secret()], &pins(&[])).unwrap_err().to_string();
    assert!(why.contains("base/all.yaml") && why.contains("aws-sm:db is not read yet"), "{why}");
}

#[test]
fn what_is_immutable_refers_to_one_version() {
    let of = |reference: &str| {
        let mut secret = object("v1", "Secret", "db");
        secret["immutable"] = json!(true);
        secret["stringData"] = json!({"a": reference});
        wanted(vec![secret], &Pins::offline())
    };
    let why = of("${aws-sm:db}").unwrap_err().to_string();
    assert!(why.contains("it is immutable, and aws-sm:db may change"), "{why}");
    assert!(of("${aws-sm:db@a1b2c3d4-5678-90ab-cdef-EXAMPLE11111}").is_ok());
}

#[test]
fn a_whole_secret_is_written_key_by_key() {
    let mut all = object("v1", "Secret", "all");
    all["metadata"]["annotations"] = json!({FROM: "aws-sm:all"});
    all["data"] = json!({"a": "Z2l0"});
    let app = wanted(vec![all], &pins(&[("aws-sm:all", "v1", &["a", "b"])])).unwrap();
    assert_eq!(app.objects[0].value()["data"], json!({"a": "Z2l0", "b": "${aws-sm:all#b}"}));
}

#[test]
fn a_whole_secret_whose_keys_are_not_known_is_never_written_empty() {
    let mut all = object("v1", "Secret", "all");
    all["metadata"]["annotations"] = json!({FROM: "aws-sm:all"});
    let secret = Reference::parse("aws-sm:all").unwrap().secret;
    let pin = Pin { version: "v1".into(), keys: BTreeMap::new(), old_works: false };
    let why = wanted(vec![all], &Pins::read([(secret, Ok(pin))].into())).unwrap_err().to_string();
    assert!(why.contains("the keys of aws-sm:all are not known yet"), "{why}");
}

#[test]
fn references_stand_nowhere_else() {
    let mut map = object("v1", "ConfigMap", "map");
    map["data"] = json!({"URL": "${aws-sm:db}"});
    let mut noted = secret();
    noted["metadata"]["annotations"] = json!({"note": "${aws-sm:db}"});
    let mut container = reader();
    container["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--db", "${aws-sm:db}"]);
    let mut key = object("v1", "ConfigMap", "map");
    key["data"] = json!({"${aws-sm:db}": "x"});
    let mut from = object("v1", "ConfigMap", "map");
    from["metadata"]["annotations"] = json!({FROM: "aws-sm:db"});
    for (object, at) in [
        (map, ".data.URL"),
        (noted, ".metadata.annotations.note"),
        (container, ".spec.template.spec.containers[0].args[1]"),
        (key, "a key below .data"),
        (from, FROM),
    ] {
        let why = wanted(vec![object], &Pins::offline()).unwrap_err().to_string();
        assert!(why.contains(at) && why.contains("base/all.yaml"), "{at}: {why}");
    }
    let mut escaped = object("v1", "ConfigMap", "map");
    escaped["data"] = json!({"text": "write $${aws-sm:db} there", "shell": "${HOME}"});
    assert!(wanted(vec![escaped], &Pins::offline()).is_ok());
}
