use serde_json::json;

use super::super::stamp::tests::{manifest, object};
use super::*;

fn with_spec(api_version: &str, kind: &str, spec: Value) -> Value {
    let mut object = object(api_version, kind, "web");
    object["spec"] = spec;
    object
}

fn deployment(pod: Value) -> Value {
    with_spec("apps/v1", "Deployment", json!({"template": {"spec": pod}}))
}

/// What is read, as `secret/name: how`.
fn shown(object: Value) -> Vec<String> {
    let object = manifest(object);
    let found = reads(&object, &object.value(), Some("web"));
    let line = |(source, how): (&Source, &How)| {
        let kind = if source.secret { "secret" } else { "map" };
        format!("{kind}/{}: {how:?}", source.name)
    };
    found.iter().map(line).collect()
}

#[test]
fn every_way_to_read_is_known_and_classed() {
    let reads_x = |how: &str| vec![format!("secret/x: {how}")];
    let volume = json!([{"name": "v", "secret": {"secretName": "x"}}]);
    let mount = |more: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/x"});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([{"name": "c", "volumeMounts": [mount]}])
    };
    for (case, pod, how) in [
        (
            "env",
            json!({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}]}),
            "Once",
        ),
        ("envFrom", json!({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]}), "Once"),
        (
            "env of an init container",
            json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]}),
            "Once",
        ),
        ("a volume", json!({"volumes": volume, "containers": mount(json!({}))}), "Followed"),
        ("a volume that nobody mounts", json!({"volumes": volume}), "Followed"),
        ("subPath", json!({"volumes": volume, "containers": mount(json!({"subPath": "k"}))}), "Once"),
        (
            "subPathExpr",
            json!({"volumes": volume, "containers": mount(json!({"subPathExpr": "$(A)"}))}),
            "Once",
        ),
        (
            "an empty subPath",
            json!({"volumes": volume, "containers": mount(json!({"subPath": ""}))}),
            "Followed",
        ),
        (
            "a volume of an init container",
            json!({"volumes": volume, "initContainers": mount(json!({}))}),
            "Once",
        ),
        (
            "a volume of a sidecar",
            json!({"volumes": volume, "initContainers": [
                {"restartPolicy": "Always", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]}),
            "Followed",
        ),
        (
            "a projected volume",
            json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "x"}}]}}]}),
            "Followed",
        ),
        ("a pull of images", json!({"imagePullSecrets": [{"name": "x"}]}), "AtStart"),
        ("CSI", json!({"volumes": [{"csi": {"nodePublishSecretRef": {"name": "x"}}}]}), "AtStart"),
        ("storage", json!({"volumes": [{"rbd": {"secretRef": {"name": "x"}}}]}), "AtStart"),
        ("Azure", json!({"volumes": [{"azureFile": {"secretName": "x"}}]}), "AtStart"),
        (
            "a volume and the environment",
            json!({"volumes": volume, "containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]}),
            "Once",
        ),
    ] {
        assert_eq!(shown(deployment(pod.clone())), reads_x(how), "{case}");
        for (api_version, kind) in
            [("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("argoproj.io/v1alpha1", "Rollout")]
        {
            let workload = with_spec(api_version, kind, json!({"template": {"spec": pod}}));
            assert_eq!(shown(workload), reads_x(how), "{case} in {kind}");
        }
        let job = json!({"template": {"spec": pod}});
        assert_eq!(shown(with_spec("batch/v1", "Job", job.clone())), reads_x("AtStart"), "{case} in a Job");
        let cron = json!({"jobTemplate": {"spec": job}});
        assert_eq!(shown(with_spec("batch/v1", "CronJob", cron)), reads_x("AtStart"), "{case} in a CronJob");
    }
}

#[test]
fn what_is_no_workload_reads_too() {
    let ingress = with_spec("networking.k8s.io/v1", "Ingress", json!({"tls": [{"secretName": "x"}, {}]}));
    assert_eq!(shown(ingress), ["secret/x: Watched"]);
    let refs =
        json!([{"name": "x"}, {"name": "y", "kind": "Secret", "group": ""}, {"name": "z", "kind": "Vault"}]);
    let spec = json!({"listeners": [{"tls": {"certificateRefs": refs}}, {"protocol": "HTTP"}]});
    let gateway = with_spec("gateway.networking.k8s.io/v1", "Gateway", spec);
    assert_eq!(shown(gateway), ["secret/x: Watched", "secret/y: Watched"]);
    let mut account = object("v1", "ServiceAccount", "web");
    account["imagePullSecrets"] = json!([{"name": "x"}]);
    assert_eq!(shown(account), ["secret/x: AtStart"]);
    let other = with_spec(
        "example.com/v1",
        "Web",
        json!({"template": {"spec": {"imagePullSecrets": [{"name": "x"}]}}}),
    );
    assert!(shown(other).is_empty());
}

#[test]
fn a_gateway_may_take_a_certificate_of_another_namespace() {
    let refs = json!([{"name": "x", "namespace": "certificates"}]);
    let spec = json!({"listeners": [{"tls": {"certificateRefs": refs}}]});
    let gateway = manifest(with_spec("gateway.networking.k8s.io/v1", "Gateway", spec));
    let found = consumers(&[gateway], Some("web"));
    assert_eq!(found[0].secret.namespace.as_deref(), Some("certificates"));
}

#[test]
fn what_is_told_to_be_left_alone_is_not_rolled() {
    let reading = |annotations: Value, pod: Value| {
        let mut workload = deployment(pod);
        workload["metadata"]["annotations"] = annotations;
        consumers(&[manifest(workload)], Some("web"))[0].reading
    };
    let environment = || json!({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]});
    let volume = || json!({"volumes": [{"secret": {"secretName": "x"}}]});
    let pull = || json!({"imagePullSecrets": [{"name": "x"}]});
    for (annotations, of_environment, of_volume) in [
        (json!({}), Reading::Rolled, Reading::Rolled),
        (json!({RELOAD: "always"}), Reading::Rolled, Reading::Rolled),
        (json!({RELOAD: "env-only"}), Reading::Rolled, Reading::Follows),
        (json!({RELOAD: "never"}), Reading::LeftAlone, Reading::Follows),
        (json!({ON_CHANGE: "ignore"}), Reading::LeftAlone, Reading::Follows),
        (json!({RELOAD: "never", ON_CHANGE: "ignore"}), Reading::LeftAlone, Reading::Follows),
    ] {
        assert_eq!(reading(annotations.clone(), environment()), of_environment, "{annotations}");
        assert_eq!(reading(annotations.clone(), volume()), of_volume, "{annotations}");
        assert_eq!(reading(annotations.clone(), pull()), Reading::AtStart, "{annotations}");
    }
    let mut pod = object("v1", "Pod", "web");
    pod["spec"] = environment();
    assert_eq!(consumers(&[manifest(pod)], None)[0].reading, Reading::LeftAlone, "nothing makes it anew");
}

#[test]
fn words_that_nobody_knows_and_that_contradict_are_told() {
    let told = |annotations: Value| {
        let mut workload = deployment(json!({}));
        workload["metadata"]["annotations"] = annotations;
        let workload = manifest(workload);
        Reload::of(&workload.key(), &workload.value()).unwrap_err()
    };
    assert!(told(json!({RELOAD: "sometimes"})).contains("web is not `always`, `env-only` or `never`"));
    assert!(told(json!({ON_CHANGE: "later"})).contains("`roll` or `ignore`"));
    assert!(told(json!({RELOAD: true})).contains("is not `always`"));
    assert!(told(json!({RELOAD: "env-only", ON_CHANGE: "roll"})).contains("contradict each other"));
}
