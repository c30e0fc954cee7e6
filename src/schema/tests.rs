use serde_json::{Value, json};

use super::*;
use crate::object::KindScope;

fn found(object: &Value) -> Vec<String> {
    let gvk = Gvk::from_api_version(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    check(builtin(), &gvk, object).iter().map(Finding::to_string).collect()
}

#[test]
fn built_in_kinds_have_scope_plural_and_versions() {
    let kind = |api: &str, kind: &str| builtin().kind(&Gvk::from_api_version(api, kind));
    let deployment = kind("apps/v1", "Deployment").unwrap();
    assert_eq!((deployment.plural.as_str(), deployment.scope), ("deployments", KindScope::Namespaced));
    assert_eq!(kind("v1", "Namespace").unwrap().scope, KindScope::Cluster);
    assert_eq!(kind("rbac.authorization.k8s.io/v1", "ClusterRole").unwrap().scope, KindScope::Cluster);
    assert_eq!(kind("autoscaling/v1", "HorizontalPodAutoscaler").unwrap().versions, ["v2", "v1"]);
    assert_eq!(
        kind("apiextensions.k8s.io/v1", "CustomResourceDefinition").unwrap().scope,
        KindScope::Cluster
    );
    assert!(kind("apps/v1beta1", "Deployment").is_none());
    assert!(kind("example.com/v1", "Deployment").is_none());
    assert!(
        builtin().owns_group("apps") && builtin().owns_group("") && !builtin().owns_group("cert-manager.io")
    );
}

#[test]
fn removed_apis_name_their_successor() {
    let removed = |api: &str, kind: &str| {
        let removed = builtin().removed(&Gvk::from_api_version(api, kind))?;
        Some((removed.release.as_str(), removed.instead.as_deref()))
    };
    assert_eq!(removed("extensions/v1beta1", "Ingress"), Some(("1.22", Some("networking.k8s.io/v1"))));
    assert_eq!(removed("policy/v1beta1", "PodDisruptionBudget"), Some(("1.25", Some("policy/v1"))));
    assert_eq!(removed("batch/v1beta1", "CronJob"), Some(("1.25", Some("batch/v1"))));
    assert_eq!(
        removed("autoscaling/v2beta2", "HorizontalPodAutoscaler"),
        Some(("1.26", Some("autoscaling/v2")))
    );
    assert_eq!(removed("policy/v1beta1", "PodSecurityPolicy"), Some(("1.25", None)));
    let flow = Some(("1.26", Some("flowcontrol.apiserver.k8s.io/v1")));
    assert_eq!(removed("flowcontrol.apiserver.k8s.io/v1beta1", "FlowSchema"), flow);
    assert_eq!(removed("apps/v1", "Deployment"), None);
}

#[test]
fn a_release_is_known_by_its_name_or_refused_by_it() {
    for (asked, known) in
        [("1.36", "1.36."), ("v1.34", "1.34."), ("v1.33.2-eks-1a2b", "1.33."), ("1.32", "1.32.")]
    {
        assert!(release(asked).unwrap().release().starts_with(known), "{asked}");
    }
    for unknown in ["1.31", "1.3", "1", "2.36", "latest", "", "1.360"] {
        let said = release(unknown).unwrap_err().to_string();
        assert!(said.ends_with("known are 1.36, 1.35, 1.34, 1.33, 1.32"), "{said}");
    }
    // Each has what it had: a kind that came later, and one that left.
    let gvk = Gvk::from_api_version("resource.k8s.io/v1", "ResourceClaim");
    assert!(release("1.34").unwrap().kind(&gvk).is_some() && release("1.33").unwrap().kind(&gvk).is_none());
    let pod = |name: &str| {
        let all = release(name).unwrap();
        let pod = all.root(&Gvk::new("", "v1", "Pod")).unwrap();
        pod.resolve(&pod.field("spec").unwrap().shape).unwrap().field("hostnameOverride").is_some()
    };
    assert!(pod("1.35") && !pod("1.32"));
}

#[test]
fn what_is_removed_is_not_served_and_its_successor_is() {
    for (gvk, removed) in &builtin().removed {
        assert!(builtin().kind(gvk).is_none(), "{gvk} is served");
        let Some(instead) = &removed.instead else { continue };
        let (api, kind) = instead.split_once(' ').unwrap_or((instead, &gvk.kind));
        assert!(
            builtin().kind(&Gvk::from_api_version(api, kind)).is_some(),
            "{gvk}: {instead} is not served"
        );
    }
}

#[test]
fn every_reference_leads_to_a_type() {
    for at in 0..builtin().types.len() {
        let one = TypeRef { all: builtin(), at: u32::try_from(at).unwrap() };
        for (name, field) in one.fields() {
            if let Some(below) = one.resolve(&field.shape) {
                assert!(!below.name().is_empty(), "{}.{name}", one.name());
            }
        }
    }
}

#[test]
fn lists_know_how_they_merge() {
    let pod = builtin().root(&Gvk::new("", "v1", "Pod")).unwrap();
    let spec = pod.resolve(&pod.field("spec").unwrap().shape).unwrap();
    let containers = spec.field("containers").unwrap();
    assert_eq!(containers.items, Items::Keyed(vec!["name".to_owned()]));
    let patch = containers.patch.as_ref().unwrap();
    assert!(patch.merge && !patch.retain_keys && patch.merge_key.as_deref() == Some("name"));
    assert!(spec.field("volumes").unwrap().patch.as_ref().unwrap().retain_keys);
    let container = spec.resolve(&containers.shape).unwrap();
    let ports = container.field("ports").unwrap();
    assert_eq!(ports.items, Items::Keyed(vec!["containerPort".to_owned(), "protocol".to_owned()]));
    assert_eq!(container.field("args").unwrap().items, Items::Atomic);
}

#[test]
fn an_object_of_the_right_shape_passes() {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "annotations": null},
        "spec": {
            "replicas": 2,
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{
                    "name": "a", "image": "b", "ports": [{"containerPort": 80}],
                    "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}},
                }]},
            },
        },
        "status": {"anything": "goes"},
    });
    assert_eq!(found(&object), [""; 0]);
    assert_eq!(found(&json!({"apiVersion": "example.com/v1", "kind": "Foo", "spec": {"a": 1}})), [""; 0]);
}

#[test]
fn what_a_strict_server_would_refuse_is_named() {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"a/b": 1}},
        "spec": {
            "replica": 2,
            "template": {"spec": {"containers": [{
                "name": "a", "Image": "b", "imagePullPolcy": "Always", "env": {"A": "b"}, "somethingElse": 1,
                "ports": [{"containerPort": "80"}, {"containerPort": 1.5}],
            }]}},
        },
    });
    assert_eq!(
        found(&object),
        [
            "metadata.labels.a/b must be text (put it in quotes), and is a number",
            "spec.replica: there is no field \"replica\" here; did you mean \"replicas\"?",
            "spec.template.spec.containers[0].Image: there is no field \"Image\" here; did you mean \"image\"?",
            "spec.template.spec.containers[0].env must be a list, and is a map",
            "spec.template.spec.containers[0].imagePullPolcy: there is no field \"imagePullPolcy\" here; did you mean \
             \"imagePullPolicy\"?",
            "spec.template.spec.containers[0].ports[0].containerPort must be a whole number, and is text",
            "spec.template.spec.containers[0].ports[1].containerPort must be a whole number, and is a number with a \
             fraction",
            "spec.template.spec.containers[0].somethingElse: there is no field \"somethingElse\" here",
            "spec lacks \"selector\"",
        ]
    );
}
