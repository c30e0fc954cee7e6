use super::*;
use crate::object::secret::Pins;
use crate::object::{KindInfo, Origin, TreePath};

pub fn kinds() -> Kinds {
    let mut kinds = Kinds::default();
    for (group, kind, scope) in [
        ("", "ConfigMap", KindScope::Namespaced),
        ("", "Secret", KindScope::Namespaced),
        ("", "Namespace", KindScope::Cluster),
        ("", "Service", KindScope::Namespaced),
        ("", "Pod", KindScope::Namespaced),
        ("apps", "Deployment", KindScope::Namespaced),
        ("batch", "Job", KindScope::Namespaced),
        ("autoscaling", "HorizontalPodAutoscaler", KindScope::Namespaced),
    ] {
        let info = KindInfo { plural: kind.to_lowercase() + "s", scope, versions: vec!["v1".into()] };
        kinds.insert(group, kind, info);
    }
    kinds
}

pub fn manifest(value: Value) -> Manifest {
    let place = Place::at(TreePath::new("base/all.yaml").unwrap(), 1, 1);
    Manifest::new(&value, Origin::new(place)).unwrap()
}

pub fn wanted(objects: Vec<Value>) -> Result<WantedApp, Problems> {
    wanted_with(objects, &Pins::offline())
}

pub fn wanted_with(objects: Vec<Value>, pins: &Pins) -> Result<WantedApp, Problems> {
    let app = AppName::new("web").unwrap();
    let environment = EnvironmentName::new("dev").unwrap();
    let desired = Desired::new(app, objects.into_iter().map(manifest).collect(), Vec::new());
    let marks = Stamp {
        environment: &environment,
        environment_label: "fairlead.dev/environment",
        app_label: "fairlead.dev/app",
        part_of_label: "applyset.kubernetes.io/part-of",
        wave_annotation: "fairlead.dev/wave",
        depends_on_annotation: "config.kubernetes.io/depends-on",
        default_namespace: Some("web"),
        pins,
    };
    stamp(desired, &marks, &kinds()).map(|(app, _)| app)
}

pub fn object(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

#[test]
fn a_namespaced_object_goes_where_the_environment_is() {
    let app = wanted(vec![object("v1", "ConfigMap", "a"), object("v1", "Namespace", "web")]).unwrap();
    assert_eq!(app.objects[0].key.to_string(), "ConfigMap web/a");
    assert_eq!(app.objects[1].key.to_string(), "Namespace web");
}

#[test]
fn a_uid_binds_the_body_to_one_object() {
    let app = wanted(vec![object("v1", "ConfigMap", "a")]).unwrap();
    let bound: Value = serde_json::from_slice(&app.objects[0].body_for("u-1")).unwrap();
    assert_eq!(bound["metadata"]["uid"], "u-1");
    let versioned: Value = serde_json::from_slice(&app.objects[0].body_for_version("u-1", "42")).unwrap();
    assert_eq!(versioned["metadata"]["resourceVersion"], "42");
    assert_eq!(versioned["metadata"]["uid"], "u-1");
    let mut unbound = bound;
    unbound["metadata"].as_object_mut().unwrap().remove("uid");
    assert_eq!(unbound, app.objects[0].value());
}

#[test]
fn a_secret_is_sent_as_data() {
    let mut secret = object("v1", "Secret", "s");
    secret["stringData"] = json!({"a": "b"});
    let app = wanted(vec![secret]).unwrap();
    let value = app.objects[0].value();
    assert_eq!(value["data"]["a"], "Yg==");
    assert!(value.get("stringData").is_none());
}

#[test]
fn what_an_autoscaler_scales_has_no_replicas_of_ours() {
    let mut deployment = object("apps/v1", "Deployment", "web");
    deployment["spec"] = json!({"replicas": 2});
    let mut hpa = object("autoscaling/v2", "HorizontalPodAutoscaler", "web");
    hpa["spec"] = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
    let app = wanted(vec![deployment.clone(), hpa]).unwrap();
    assert!(app.objects[0].value()["spec"].get("replicas").is_none());
    let app = wanted(vec![deployment]).unwrap();
    assert_eq!(app.objects[0].value()["spec"]["replicas"], 2);
}

#[test]
fn an_object_written_twice_names_both_places() {
    let problems = wanted(vec![object("v1", "ConfigMap", "a"), object("v1", "ConfigMap", "a")]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "base/all.yaml:1: ConfigMap web/a is written twice; the first is at base/all.yaml:1"
    );
}

#[test]
fn a_wave_that_is_not_a_number_is_refused() {
    let mut object = object("v1", "ConfigMap", "a");
    object["metadata"]["annotations"] = json!({"fairlead.dev/wave": "soon"});
    assert!(wanted(vec![object]).unwrap_err().to_string().contains("not a whole number"));
}

#[test]
fn what_did_not_change_is_shared_with_what_was_before() {
    let old = wanted(vec![object("v1", "ConfigMap", "a"), object("v1", "ConfigMap", "b")]).unwrap();
    let mut changed = object("v1", "ConfigMap", "b");
    changed["data"] = json!({"x": "y"});
    let new = wanted(vec![object("v1", "ConfigMap", "a"), changed]).unwrap().sharing(&old);
    assert!(Arc::ptr_eq(&new.objects[0], &old.objects[0]));
    assert_ne!(new.objects[1].digest, old.objects[1].digest, "a change is never shared away");
}

#[test]
fn the_id_is_that_of_the_applyset_specification() {
    // kubectl's own: the hash of "<name>.<namespace>.<kind>.<group>", with an empty namespace for a cluster's object.
    let id = applyset_id("production", "Environment", "fairlead.dev");
    assert!(id.starts_with("applyset-") && id.ends_with("-v1") && id.len() == 9 + 43 + 3, "{id}");
}
