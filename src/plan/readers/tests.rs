use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::super::consumers::ON_CHANGE;
use super::super::sealing::tests::pins;
use super::super::stamp::tests::{manifest, object, wanted, wanted_with};
use super::super::{Action, Reason, Replicas, WantedApp};
use super::*;
use crate::object::secret::{Pins, Reference};
use crate::object::{Gvk, Live};

fn configmap(name: &str, value: &str) -> Value {
    let mut configmap = object("v1", "ConfigMap", name);
    configmap["data"] = json!({"value": value});
    configmap
}

fn deployment(pod: Value) -> Value {
    let mut deployment = object("apps/v1", "Deployment", "web");
    deployment["spec"] = json!({"template": {"metadata": {"labels": {"app": "web"}}, "spec": pod}});
    deployment
}

fn mounting(name: &str) -> Value {
    deployment(json!({"volumes": [{"name": "v", "configMap": {"name": name}}]}))
}

fn config(app: &WantedApp) -> Option<&str> {
    let found = app.objects.iter().find(|object| &*object.gvk.kind == "Deployment").unwrap();
    found.config.as_deref()
}

#[test]
fn the_digest_follows_the_content_and_nothing_else() {
    let of = |objects: Vec<Value>| config(&wanted(objects).unwrap()).map(str::to_owned);
    let first = of(vec![configmap("a", "1"), mounting("a")]);
    assert!(first.is_some());
    assert_ne!(first, of(vec![configmap("a", "2"), mounting("a")]));
    let mut labelled = configmap("a", "1");
    labelled["metadata"]["labels"] = json!({"x": "y"});
    assert_eq!(first, of(vec![labelled, mounting("a"), configmap("other", "9")]));
    // Of another app, of another namespace, of another kind: none of ours.
    assert_eq!(None, of(vec![configmap("b", "1"), mounting("a")]));
    let mut elsewhere = configmap("a", "1");
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    assert_eq!(None, of(vec![elsewhere, mounting("a")]));
}

#[test]
fn a_secret_reads_the_same_however_it_is_written() {
    let secret = |field: &str, value: &str| {
        let mut secret = object("v1", "Secret", "s");
        secret[field] = json!({"k": value});
        let pod = json!({"containers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]});
        config(&wanted(vec![secret, deployment(pod)]).unwrap()).unwrap().to_owned()
    };
    assert_eq!(secret("stringData", "b"), secret("data", "Yg=="));
    assert_ne!(secret("stringData", "b"), secret("stringData", "c"));
}

#[test]
fn a_workload_can_ask_to_be_left_alone() {
    let of = |word: &str| {
        let mut deployment = mounting("a");
        deployment["metadata"]["annotations"] = json!({ON_CHANGE: word});
        wanted(vec![configmap("a", "1"), deployment]).map(|app| config(&app).map(str::to_owned))
    };
    assert_eq!(of("ignore").unwrap(), None);
    assert!(of("roll").unwrap().is_some());
    let error = of("later").unwrap_err().to_string();
    assert!(error.contains("base/all.yaml:1: ") && error.contains("`roll` or `ignore`"), "{error}");
}

/// The step that updates what bears this digest; `here` and `template`: whether our own entry holds it there.
fn step(live: Option<&str>, here: bool, template: bool) -> Step {
    let app = wanted(vec![configmap("a", "1"), mounting("a")]).unwrap();
    let wanted = app.objects[1].clone();
    let mut owned = json!({"f:metadata": {"f:annotations": {}}, "f:spec": {"f:replicas": {}}});
    let field = format!("f:{CONFIG}");
    if here {
        owned["f:metadata"]["f:annotations"][&field] = json!({});
    }
    if template {
        owned["f:spec"]["f:template"]["f:metadata"]["f:annotations"][&field] = json!({});
    }
    let live = Live::read(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "web", "uid": "u", "resourceVersion": "1",
            "annotations": live.map(|live| json!({CONFIG: live})).unwrap_or(json!({})),
            "managedFields": [{"manager": "fairlead", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": owned}],
        },
    }));
    assert_eq!(wanted.gvk, Gvk::new("apps", "v1", "Deployment"));
    Step {
        wanted,
        action: Action::Update { uid: "u".into() },
        reason: Reason::Drifted { fields: Vec::new() },
        live: live.map(Arc::new),
        replicas: Replicas::Git,
        withheld: Arc::default(),
    }
}

#[test]
fn pods_roll_when_what_they_were_started_with_is_another() {
    let now = step(None, false, false).wanted.config.clone().unwrap();
    assert!(!step(None, false, false).rolls(), "nobody knows what they were started with");
    assert!(!step(Some(&now), true, false).rolls(), "it is the same");
    assert!(step(Some("0123456789"), true, false).rolls());
    assert!(!step(Some("0123456789"), false, false).rolls(), "somebody else wrote that");
    assert!(step(Some(&now), true, true).rolls(), "what is there stays");
    let mut first = step(Some("0123456789"), true, false);
    first.live = None;
    assert!(!first.rolls());
}

#[test]
fn the_digest_is_put_into_the_template_and_nothing_else_changes() {
    let step = step(Some("0123456789"), true, false);
    let plain: Value = serde_json::from_slice(&step.wanted.body_for("u")).unwrap();
    let rolled = step.wanted.body_but(&[], &step.template_digests(), Some("u"), None);
    let mut rolled: Value = serde_json::from_slice(&rolled).unwrap();
    let annotations = rolled["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(annotations.unwrap()[CONFIG], *step.wanted.config.as_deref().unwrap());
    assert_eq!(rolled, plain);
}

#[test]
fn what_others_read_is_never_changed_alone() {
    let pins = Pins::offline();
    let configs = Configs::of(&[manifest(configmap("a", "1")), manifest(mounting("a"))], Some("web"), &pins);
    let suffice =
        |changed: Value, before: Value| configs.suffice(&manifest(changed), || before, Some("web"), &pins);
    assert!(!suffice(configmap("a", "2"), configmap("a", "1")));
    assert!(suffice(configmap("a", "1"), configmap("a", "1")));
    assert!(suffice(configmap("b", "2"), configmap("b", "1")));
    assert!(suffice(mounting("a"), mounting("a")));
    assert!(!suffice(mounting("b"), mounting("a")));
    assert!(!suffice(deployment(json!({})), mounting("a")), "it reads less");
    let mut left_alone = mounting("a");
    left_alone["metadata"]["annotations"] = json!({ON_CHANGE: "ignore"});
    assert!(!suffice(left_alone, mounting("a")));
}

/// A workload that reads a Secret of another app, which refers to `aws-sm:db`.
fn reading_of_another(version: &str, is_known: bool) -> WantedApp {
    let pod = json!({"containers": [{"envFrom": [{"secretRef": {"name": "theirs"}}]}]});
    let name = SecretName { namespace: Some("web".into()), name: "theirs".into() };
    let secret = Reference::parse("aws-sm:db").unwrap().secret;
    let beside = is_known.then(|| (name, BTreeSet::from([secret]))).into_iter().collect();
    let pins = pins(&[("aws-sm:db", version, &[])]).with_beside(beside);
    wanted_with(vec![configmap("a", "1"), deployment(pod)], &pins).unwrap()
}

#[test]
fn a_version_of_another_apps_secret_is_a_digest_of_its_own() {
    let (unknown, first, second) =
        (reading_of_another("v1", false), reading_of_another("v1", true), reading_of_another("v2", true));
    let shared = |app: &WantedApp| app.objects[1].shared.clone();
    assert_eq!(shared(&unknown), None);
    assert!(shared(&first).is_some() && shared(&first) != shared(&second));
    assert_eq!(first.objects[1].config, None, "of its own app it reads nothing");
    assert!(unknown.secrets.is_empty());
    assert_eq!(first.secrets.values().flatten().map(|version| &**version).collect::<Vec<_>>(), ["v1"]);
    assert_eq!(first.content, second.content);
    assert_ne!(first.digest, second.digest, "it is rolled out");
}

#[test]
fn a_digest_that_is_new_to_a_workload_rolls_nothing_and_its_change_does() {
    let rolls = |live: Option<&str>| {
        let wanted = reading_of_another("v1", true).objects[1].clone();
        let digest = wanted.shared.clone().unwrap();
        let annotations =
            live.map(|live| json!({SHARED_CONFIG: if live == "same" { &*digest } else { live }}));
        let mut owned = json!({"f:metadata": {"f:annotations": {}}});
        if live.is_some() {
            owned["f:metadata"]["f:annotations"][format!("f:{SHARED_CONFIG}")] = json!({});
        }
        let live = Live::read(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "web", "uid": "u", "resourceVersion": "1",
                "annotations": annotations.unwrap_or(json!({})),
                "managedFields": [{"manager": "fairlead", "operation": "Apply", "apiVersion": "apps/v1",
                                   "fieldsType": "FieldsV1", "fieldsV1": owned}],
            },
        }));
        let step = Step {
            wanted,
            action: Action::Update { uid: "u".into() },
            reason: Reason::Drifted { fields: Vec::new() },
            live: live.map(Arc::new),
            replicas: Replicas::Git,
            withheld: Arc::default(),
        };
        step.rolls()
    };
    assert!(!rolls(None), "an agent that did not look at other apps wrote it");
    assert!(!rolls(Some("same")));
    assert!(rolls(Some("0123456789")));
}
