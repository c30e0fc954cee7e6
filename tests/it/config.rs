//! Changed configuration rolls its readers, once.

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, SECOND, SOON, holds_for, wait_until};

const DIGEST: &str = "fairlead.dev/config";

/// A Deployment that reads the ConfigMap `conf` and the Secret `key`.
fn reader(annotations: &str) -> String {
    deployment("web", &[]).replace("annotations: {}}\nspec", &format!("annotations: {{{annotations}}}}}\nspec")).replace(
        "image: ",
        "envFrom: [{configMapRef: {name: conf}}], env: [{name: K, valueFrom: {secretKeyRef: {name: key, key: k}}}], image: ",
    )
}

fn secret(value: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\nstringData: {{k: {value:?}}}\n")
}

fn generation(bed: &Bed) -> i64 {
    bed.deployment("web").expect("it was made")["metadata"]["generation"].as_i64().expect("it has one")
}

/// How often its pods were made anew: the Deployment's own count of its templates.
fn rolls(bed: &Bed) -> Value {
    bed.deployment("web").unwrap()["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone()
}

fn in_template(bed: &Bed) -> Value {
    bed.deployment("web").unwrap()["spec"]["template"]["metadata"]["annotations"][DIGEST].clone()
}

#[test]
fn a_configmap_that_changes_alone_rolls_its_readers_exactly_once() {
    let bed = Bed::new("config");
    let _agent = bed.agent();
    let all = |conf: &str, key: &str| configmap("conf", conf) + &secret(key) + &reader("");
    bed.wait_ready(&bed.commit_web(&all("1", "a")));
    let first = generation(&bed);
    assert_eq!(in_template(&bed), Value::Null, "nothing rolled yet");

    // Each of what it reads; both at once are one roll.
    bed.wait_ready(&bed.commit_web(&all("2", "a")));
    assert_eq!(generation(&bed), first + 1);
    assert!(in_template(&bed).is_string());
    bed.wait_ready(&bed.commit_web(&all("2", "b")));
    assert_eq!(generation(&bed), first + 2);
    bed.wait_ready(&bed.commit_web(&all("3", "c")));
    assert_eq!(generation(&bed), first + 3);
    let pods = bed.api().get(&format!("/api/v1/namespaces/{}/pods", bed.name)).expect("there are pods");
    let digests: Vec<&Value> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| &pod["metadata"]["annotations"][DIGEST])
        .collect();
    assert_eq!(digests, [&in_template(&bed)], "what runs was started with what git says");

    // What nobody reads, and what somebody else changed and is put back, roll nothing.
    bed.wait_ready(&bed.commit_web(&(all("3", "c") + &configmap("other", "1"))));
    let path = format!("/api/v1/namespaces/{}/configmaps/conf", bed.name);
    bed.api().merge(&path, &json!({"data": {"value": "drifted"}}));
    wait_until(SOON, "it is put back", || bed.configmap("conf").unwrap()["data"]["value"] == "3");
    holds_for(3 * SECOND, "nothing rolls", || generation(&bed) == first + 3);
    assert_eq!(rolls(&bed), "4");
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 0, "{planned:?}");
}

#[test]
fn a_workload_is_left_alone_where_it_says_so_and_where_it_reads_nothing_of_its_app() {
    let bed = Bed::new("config-none");
    let _agent = bed.agent();
    let ignoring = |conf: &str| {
        configmap("conf", conf) + &secret("a") + &reader("fairlead.dev/on-config-change: ignore")
    };
    bed.wait_ready(&bed.commit_web(&ignoring("1")));
    bed.wait_ready(&bed.commit_web(&ignoring("2")));
    assert_eq!(rolls(&bed), "1");

    // To ask for it again restarts nothing: what its pods were started with is not known.
    let all = |conf: &str| configmap("conf", conf) + &secret("a") + &reader("");
    bed.wait_ready(&bed.commit_web(&all("2")));
    assert_eq!(rolls(&bed), "1");
    bed.wait_ready(&bed.commit_web(&all("3")));
    assert_eq!(rolls(&bed), "2");
}

#[test]
fn a_change_of_configuration_that_is_taken_back_rolls_back_what_reads_it() {
    let bed = Bed::new("config-back");
    let _agent = bed.agent();
    let all = |conf: &str, pod: &[(&str, &str)]| {
        let reader = reader("").replace("annotations: {}}\n    spec", "annotations: {POD}}\n    spec");
        let pod: Vec<String> =
            pod.iter().map(|(key, value)| format!("sim.fairlead.dev/{key}: {value:?}")).collect();
        configmap("conf", conf) + &secret("a") + &reader.replace("POD", &pod.join(", "))
    };
    bed.wait_ready(&bed.commit_web(&all("1", &[])));
    bed.wait_ready(&bed.commit_web(&all("2", &[])));
    let good = in_template(&bed);
    assert!(good.is_string(), "its pods rolled with the configuration");
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 10s}");
    let bad = all("3", &[("crash", "always")]);
    bed.commit(&[(&path, &config), ("web/all.yaml", &bad)]);
    bed.wait_app("web", "Restored");
    assert_eq!(in_template(&bed), good);
    assert_eq!(bed.configmap("conf").unwrap()["data"]["value"], "2");
}
