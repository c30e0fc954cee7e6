//! What others do to what git says.

use std::time::Instant;

use serde_json::json;

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, holds_for, wait_until};

#[test]
fn edits_by_hand_are_put_back() {
    let bed = Bed::new("edits");
    let _agent = bed.agent();
    let revision = bed.commit_web(&(configmap("settings", "1") + &deployment("web", &[])));
    bed.wait_ready(&revision);
    let replicas = || bed.deployment("web").map(|web| web["spec"]["replicas"].clone());
    let image =
        || bed.deployment("web").map(|web| web["spec"]["template"]["spec"]["containers"][0]["image"].clone());

    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    wait_until(10 * SECOND, "the replicas are put back", || replicas() == Some(json!(1)));

    bed.kubectl(&["set", "image", "deployment/web", "main=registry.example/else:9"]).ok();
    wait_until(10 * SECOND, "the image is put back", || image() == Some(json!("registry.example/web:1")));

    bed.kubectl(&["label", "configmap/settings", "fairlead.dev/environment-", "fairlead.dev/app-"]).ok();
    wait_until(10 * SECOND, "the labels are put back", || {
        bed.configmap("settings")
            .is_some_and(|found| found["metadata"]["labels"]["fairlead.dev/environment"] == bed.name.as_str())
    });

    bed.kubectl(&["label", "--overwrite", "configmap/settings", "fairlead.dev/environment=elsewhere"]).ok();
    wait_until(20 * SECOND, "a changed label is put back", || {
        bed.configmap("settings")
            .is_some_and(|found| found["metadata"]["labels"]["fairlead.dev/environment"] == bed.name.as_str())
    });

    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(10 * SECOND, "what was deleted is made anew", || {
        bed.configmap("settings").is_some_and(|found| found["data"]["value"] == "1")
    });
    bed.wait_ready(&revision);
    let events = bed.wait_events("Drifted web: ", 3);
    assert!(events.iter().any(|event| event.contains(".spec.replicas")), "{events:?}");
}

#[test]
fn a_field_that_git_does_not_name_is_left_alone() {
    let bed = Bed::new("foreign");
    let _agent = bed.agent();
    let revision = bed.commit_web(&configmap("settings", "1"));
    bed.wait_ready(&revision);
    let path = format!("/api/v1/namespaces/{}/configmaps/settings", bed.name);
    bed.api()
        .merge(&path, &json!({"data": {"theirs": "yes"}, "metadata": {"annotations": {"note": "ours"}}}));
    holds_for(3 * SECOND, "the field of another stays", || {
        bed.configmap("settings").is_some_and(|found| found["data"]["theirs"] == "yes")
    });
    assert_eq!(bed.condition("Ready")["status"], "True");
}

#[test]
fn a_first_claim_on_what_another_manager_holds_is_refused_with_its_name() {
    let bed = Bed::new("claim");
    bed.api().create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": bed.name},
        "data": {"value": "theirs"},
    }));
    let _agent = bed.agent();
    bed.commit_apps(&[
        ("web", &(configmap("settings", "ours") + &configmap("beside", "1"))),
        ("other", &configmap("other", "1")),
    ]);
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains(".data.value is held by \"somebody\""), "{message}");
    assert!(message.contains("web/all.yaml:2"), "{message}");
    bed.wait_app("other", "Ready");
    assert_eq!(bed.configmap("settings").expect("it stays")["data"]["value"], "theirs");
    assert!(bed.configmap("beside").is_none(), "nothing of the app is written");

    // When the other lets go, the claim is made: asked again without a commit.
    bed.api().delete(&format!("/api/v1/namespaces/{}/configmaps/settings", bed.name));
    bed.wait_app("web", "Ready");
    assert_eq!(bed.configmap("settings").expect("it is made")["data"]["value"], "ours");
}

#[test]
fn what_the_server_writes_otherwise_is_not_drift() {
    let bed = Bed::new("defaults");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    // Quantities in other words, numbers where text is kept, fields that are null, empty or what the server defaults to.
    let manifests = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, creationTimestamp: null, labels: {}}
spec:
  replicas: 1
  strategy: {}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      nodeSelector: {}
      containers:
        - name: main
          image: registry.example/web:1
          ports: [{containerPort: 8080}]
          env: [{name: EMPTY, value: \"\"}]
          resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: 0.1, memory: \"134217728\"}}
status: {}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: empty}
data: {}
";
    let revision = bed.commit_web(manifests);
    bed.wait_ready(&revision);
    drop(agent);
    let (began, writes) = (Instant::now(), proxy.count(Class::Write));
    assert_eq!(writes, 4, "each object was written once");
    let revision = bed.commit(&[("README.md", "words")]);
    let _next = bed.agent_through(&proxy);
    bed.wait_ready(&revision);
    holds_for(2 * SECOND, "nothing is written again", || {
        proxy.since(began, &[Class::Write]).is_empty() && bed.condition("Ready")["status"] == "True"
    });
}

#[test]
fn replicas_under_an_autoscaler_are_not_ours() {
    let bed = Bed::new("scaled");
    let _agent = bed.agent();
    let scaler = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n";
    let revision = bed.commit_web(&(deployment("web", &[]) + scaler));
    bed.wait_ready(&revision);
    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    holds_for(3 * SECOND, "what scaled it is left alone", || {
        bed.deployment("web").is_some_and(|web| web["spec"]["replicas"] == 3)
    });
}

/// A write that is held up while the object changes.
fn late_write(name: &str, meanwhile: impl FnOnce(&Bed)) -> (Bed, Vec<Option<u16>>) {
    let bed = Bed::new(name);
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let first = bed.commit_web(&configmap("a", "1"));
    bed.wait_ready(&first);
    let began = Instant::now();
    proxy.set(Fault::nth(Class::Write, 1, Effect::Delay(3 * SECOND)));
    let second = bed.commit_web(&configmap("a", "2"));
    wait_until(20 * SECOND, "the write is on its way", || !proxy.since(began, &[Class::Write]).is_empty());
    meanwhile(&bed);
    bed.wait_ready(&second);
    wait_until(20 * SECOND, "git's word stands", || {
        bed.configmap("a").is_some_and(|found| found["data"]["value"] == "2")
    });
    let codes = proxy.since(began, &[Class::Write]).iter().map(|record| record.status).collect();
    (bed, codes)
}

#[test]
fn a_write_that_was_held_up_never_lands_over_a_newer_one() {
    let (_bed, codes) = late_write("late", |bed| {
        // What another replica would have written, had it taken over.
        let mut newer = bed.configmap("a").expect("it is there");
        newer["data"]["value"] = json!("newer");
        newer["metadata"]["annotations"]["fairlead.dev/applied"] = json!("0".repeat(64));
        let metadata = newer["metadata"].as_object_mut().expect("a map");
        metadata.retain(|name, _| matches!(name.as_str(), "name" | "namespace" | "labels" | "annotations"));
        bed.api().apply_as("fairlead", &newer);
    });
    assert_eq!(codes[0], Some(409), "{codes:?}");
    assert_eq!(codes.last(), Some(&Some(200)), "it was planned anew: {codes:?}");
}

#[test]
fn a_new_version_that_changes_nothing_of_ours_does_not_hold_a_write_up() {
    let (bed, codes) = late_write("busy", |bed| {
        let url = format!("/api/v1/namespaces/{}/configmaps/a", bed.name);
        bed.api().merge(&url, &json!({"metadata": {"annotations": {"example.org/seen": "yes"}}}));
    });
    assert_eq!(codes, [Some(409), Some(200)], "the version was old, and all else as planned");
    assert!(!bed.events().iter().any(|event| event.contains("Refused")), "{:?}", bed.events());
}
