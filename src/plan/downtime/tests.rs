use serde_json::json;

use super::super::stamp::tests::{object, wanted};
use super::*;

/// What the server would make of a Deployment that gets one new image.
fn deployment(replicas: i64) -> Value {
    let mut deployment = object("apps/v1", "Deployment", "web");
    deployment["metadata"]["namespace"] = json!("web");
    deployment["spec"] = json!({
        "replicas": replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "readinessProbe": {"tcpSocket": {"port": 80}}}]},
        },
    });
    deployment
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

fn change(path: &str) -> FieldChange {
    FieldChange { path: path.to_owned(), before: None, after: Some(json!("x")) }
}

/// What is said where this path of the first object changes, beside others of its app.
fn said_of(objects: Vec<Value>, path: Option<&str>, production: bool) -> Vec<DowntimeCause> {
    let app = wanted(objects).unwrap();
    let changes = path.map(|path| vec![change(path)]);
    let touched = Touched { wanted: &app.objects[0], after: None, changes: changes.as_deref() };
    downtime(&app, &[touched], production).into_iter().map(|down| down.cause).collect()
}

fn said(objects: Vec<Value>) -> Vec<DowntimeCause> {
    said_of(objects, Some(".spec.template.spec.containers[main].image"), false)
}

fn other(api_version: &str, kind: &str, spec: Value) -> Value {
    let mut other = object(api_version, kind, "other");
    other["metadata"]["namespace"] = json!("web");
    other["spec"] = spec;
    other
}

fn budget(spec: Value) -> Value {
    let mut budget = other("policy/v1", "PodDisruptionBudget", spec);
    budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    budget
}

use DowntimeCause::*;

#[test]
fn each_way_to_be_down_is_told() {
    assert_eq!(said(vec![deployment(3)]), []);
    assert_eq!(said(vec![deployment(1)]), [OneReplica]);
    let recreate = with(deployment(3), "/spec/strategy", json!({"type": "Recreate"}));
    assert_eq!(said(vec![recreate]), [Recreate]);
    let unprobed = with(deployment(3), "/spec/template/spec/containers/0", json!({"name": "main"}));
    assert_eq!(said(vec![unprobed]), [NoReadinessProbe]);
    for (at_once, replicas, all) in
        [("100%", 3, true), ("99%", 3, false), ("3", 3, true), ("2", 3, false), ("25%", 2, false)]
    {
        let written = at_once.parse::<i64>().map_or(json!(at_once), |pods| json!(pods));
        let web = with(deployment(replicas), "/spec/strategy/rollingUpdate/maxUnavailable", written);
        assert_eq!(said(vec![web]), if all { vec![AllAtOnce] } else { vec![] }, "{at_once} of {replicas}");
    }
}

#[test]
fn a_budget_that_spares_none_is_told_once() {
    for (spec, none) in [
        (json!({"maxUnavailable": 0}), true),
        (json!({"maxUnavailable": "10%"}), false),
        (json!({"minAvailable": 3}), true),
        (json!({"minAvailable": "100%"}), true),
        (json!({"minAvailable": "67%"}), true),
        (json!({"minAvailable": 2}), false),
    ] {
        let expected = if none { vec![NoDisruptionAllowed] } else { vec![] };
        assert_eq!(said(vec![deployment(3), budget(spec.clone())]), expected, "{spec}");
        assert_eq!(said_of(vec![budget(spec.clone()), deployment(3)], None, false), expected, "{spec}");
    }
    let app = wanted(vec![deployment(3), budget(json!({"maxUnavailable": 0}))]).unwrap();
    let touched: Vec<Touched> =
        app.objects.iter().map(|wanted| Touched { wanted, after: None, changes: None }).collect();
    let found = downtime(&app, &touched, false);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].object, "PodDisruptionBudget.policy web/other");
    let mut elsewhere = budget(json!({"maxUnavailable": 0}));
    elsewhere["spec"]["selector"] = json!({"matchLabels": {"app": "else"}});
    assert_eq!(said(vec![deployment(3), elsewhere]), []);
}

#[test]
fn in_production_replicas_are_kept_apart() {
    let image = Some(".spec.template.spec.containers[main].image");
    assert_eq!(said_of(vec![deployment(2)], image, true), [NoSpread]);
    assert_eq!(said_of(vec![deployment(1)], image, true), [OneReplica]);
    let mut spread = deployment(2);
    spread["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1}]);
    assert_eq!(said_of(vec![spread], image, true), []);
    let mut apart = deployment(2);
    apart["spec"]["template"]["spec"]["affinity"] =
        json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}});
    assert_eq!(said_of(vec![apart], image, true), []);
}

#[test]
fn there_are_no_false_alarms() {
    // Nothing of it is rolled.
    assert_eq!(said_of(vec![deployment(1)], Some(".metadata.labels.team"), true), []);
    assert_eq!(said(vec![deployment(0)]), []);
    let job = other("batch/v1", "Job", json!({"template": {"spec": {"containers": [{"name": "main"}]}}}));
    assert_eq!(said_of(vec![job], None, true), []);
    // An autoscaler keeps enough of them, whatever git says.
    let scaler = |least: i64| {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        other(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"minReplicas": least, "scaleTargetRef": target}),
        )
    };
    assert_eq!(said(vec![deployment(1), scaler(2)]), []);
    assert_eq!(said(vec![deployment(3), scaler(1)]), [OneReplica]);
    let to_none = other("keda.sh/v1alpha1", "ScaledObject", json!({"scaleTargetRef": {"name": "web"}}));
    assert_eq!(said(vec![deployment(1), to_none]), []);
    // Somebody deletes the pods by hand.
    let mut daemons = with(deployment(1), "/kind", json!("DaemonSet"));
    daemons["spec"]["updateStrategy"] =
        json!({"type": "OnDelete", "rollingUpdate": {"maxUnavailable": "100%"}});
    assert_eq!(said(vec![daemons.clone()]), []);
    daemons["spec"]["updateStrategy"]["type"] = json!("RollingUpdate");
    assert_eq!(said(vec![daemons]), [AllAtOnce]);
}

#[test]
fn what_the_server_makes_of_it_counts() {
    let app = wanted(vec![deployment(1)]).unwrap();
    let (live, changes) = (deployment(4), [change(".spec.template.spec.containers[main].image")]);
    let touched = Touched { wanted: &app.objects[0], after: Some(&live), changes: Some(&changes) };
    assert_eq!(downtime(&app, &[touched], false), []);
}
