//! `scope: environment`: when one app fails, all go back to what they ran when every one of them was well.

use serde_json::Value;

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Agent, Bed, SOON, wait_until};
use crate::state::document;

const CRASHES: &[(&str, &str)] = &[("crash", "always"), ("log", "no such table")];

fn commit(bed: &Bed, api: &str, web: &str) -> String {
    let apps = "{name: api, path: api}, {name: web, path: web}, {name: beside, path: beside}";
    let (path, config) = bed.config(apps, "rollout: {timeout: 20s, scope: environment}");
    let beside = configmap("beside", "1");
    bed.commit(&[
        (&path, &config),
        ("api/all.yaml", api),
        ("web/all.yaml", web),
        ("beside/all.yaml", &beside),
    ])
}

fn api(version: &str) -> String {
    configmap("api", version)
}

fn web(version: &str, pod: &[(&str, &str)]) -> String {
    configmap("web", version) + &deployment("web", pod)
}

fn runs(bed: &Bed) -> [Value; 2] {
    ["api", "web"]
        .map(|name| bed.configmap(name).map(|found| found["data"]["value"].clone()).unwrap_or_default())
}

fn all_remembered(bed: &Bed) -> bool {
    let apps = document(bed)["apps"].clone();
    ["api", "web", "beside"].iter().all(|app| {
        let app = &apps[app];
        !app["withAll"].is_null() && app["withAll"]["digest"] == app["lastGood"]["digest"]
    })
}

/// An environment whose apps run version 1, of which `api` went on to 2 when `web` failed.
fn failed(name: &str) -> (Bed, Agent) {
    let bed = Bed::new(name);
    let agent = bed.agent();
    let first = commit(&bed, &api("1"), &web("1", &[]));
    bed.wait_ready(&first);
    wait_until(SOON, "it is remembered that all are well", || all_remembered(&bed));
    commit(&bed, &api("2"), &web("2", CRASHES));
    (bed, agent)
}

#[test]
fn when_one_fails_all_go_back_and_a_new_digest_lets_all_try_again() {
    let (bed, _agent) = failed("together");
    let failed = bed.wait_app("web", "Restored");
    assert!(failed["message"].as_str().unwrap().contains("no such table"), "{failed}");
    let beside = bed.wait_app("api", "Restored");
    assert!(beside["message"].as_str().unwrap().contains("web failed"), "{beside}");
    assert_eq!(runs(&bed), ["1", "1"]);
    assert_eq!(bed.app("beside")["phase"], "Ready", "what did not change has nowhere to go");

    // Of the two only the one that failed changes: the other had to wait for it, and goes with it.
    let third = commit(&bed, &api("2"), &web("3", &[]));
    bed.wait_ready(&third);
    assert_eq!(runs(&bed), ["2", "3"]);
}

#[test]
fn after_a_restart_all_stay_back_and_are_tried_again_together() {
    let (bed, agent) = failed("stays");
    bed.wait_app("api", "Restored");
    bed.wait_app("web", "Restored");
    drop(agent);
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    let _agent = bed.agent();
    bed.wait_app("api", "Restored");
    bed.wait_app("web", "Restored");
    assert_eq!(runs(&bed), ["1", "1"]);

    bed.fairlead(&["retry", "--env", &bed.name, "--app", "api"]).ok();
    let retried = || bed.events().iter().filter(|event| event.starts_with("Retrying web")).count();
    wait_until(SOON, "the one that failed is tried again, with the other", || {
        retried() == 1 && runs(&bed) == ["2", "2"]
    });
    bed.wait_app("web", "Restored");
    bed.wait_app("api", "Restored");
    assert_eq!(runs(&bed), ["1", "1"]);
    assert_eq!(retried(), 1, "once");
}
