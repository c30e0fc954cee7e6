//! A gate judges what its rollout changed and what it broke beside, ends early where a failure is known for one, and
//! leaves alone what was broken before.

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Bed, SECOND, SOON, wait_until};

fn commit(bed: &Bed, rollout: &str, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", &format!("rollout: {rollout}"));
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

/// A Deployment that runs as long as a ConfigMap that is not git's is there.
fn beside() -> String {
    deployment("beside", &[]).replace(
        "[{name: main, image: \"registry.example/web:1\"}]",
        "[{name: main, image: \"registry.example/web:1\", envFrom: [{configMapRef: {name: outside}}]}]",
    )
}

fn make_outside(bed: &Bed) {
    bed.kubectl(&["create", "configmap", "outside", "--from-literal=a=b"]).ok();
}

/// Something around it breaks, and its pod does not come back.
fn break_beside(bed: &Bed) {
    bed.kubectl(&["delete", "configmap", "outside"]).ok();
    bed.kubectl(&["delete", "pod", "-l", "app=beside", "--wait=false"]).ok();
    wait_until(SOON, "it is broken", || available(bed, "beside") == 0);
}

fn available(bed: &Bed, name: &str) -> i64 {
    bed.deployment(name).map_or(0, |found| found["status"]["availableReplicas"].as_i64().unwrap_or(0))
}

#[test]
fn a_crash_loop_ends_the_wait_before_its_time() {
    let bed = Bed::new("early");
    let _agent = bed.agent();
    let began = std::time::Instant::now();
    commit(&bed, "{timeout: 10m}", &deployment("web", &[("crash", "always"), ("log", "no such host")]));
    let message = bed.wait_app("web", "Halted")["message"].to_string();
    assert!(began.elapsed() < 60 * SECOND, "it did not wait for its ten minutes");
    assert!(message.contains("failed: Deployment.apps") && message.contains("no such host"), "{message}");
    assert!(message.contains("restarted"), "{message}");
}

#[test]
fn an_image_that_is_not_there_ends_the_wait_before_its_time() {
    let bed = Bed::new("noimage");
    let _agent = bed.agent();
    let first = commit(&bed, "{timeout: 10m}", &deployment("web", &[]));
    bed.wait_ready(&first);
    commit(&bed, "{timeout: 10m}", &deployment_of("web", 1, "registry.example/does-not-exist:1", "", &[]));
    let message = bed.wait_app("web", "Restored")["message"].to_string();
    assert!(message.contains("does-not-exist"), "{message}");
}

#[test]
fn with_no_limit_of_restarts_a_gate_waits_its_whole_time() {
    let bed = Bed::new("patient");
    let _agent = bed.agent();
    commit(&bed, "{timeout: 14s, restarts: 0}", &deployment("web", &[("crash", "always")]));
    let message = bed.wait_app("web", "Halted")["message"].to_string();
    assert!(message.contains("not healthy in time"), "{message}");
}

#[test]
fn what_breaks_beside_a_rollout_stops_it() {
    let bed = Bed::new("beside");
    make_outside(&bed);
    let _agent = bed.agent();
    let rollout = "{timeout: 20s, onFailure: halt}";
    let first = commit(&bed, rollout, &(deployment("web", &[]) + &beside()));
    bed.wait_ready(&first);
    commit(&bed, rollout, &(deployment("web", &[("ready-after", "12s")]) + &beside()));
    bed.wait_app("web", "Waiting");
    break_beside(&bed);
    let message = bed.wait_app("web", "Halted")["message"].to_string();
    assert!(message.contains("Deployment.apps") && message.contains("/beside"), "{message}");
}

#[test]
fn what_was_broken_before_does_not_hold_up_a_rollout() {
    let bed = Bed::new("before");
    make_outside(&bed);
    let _agent = bed.agent();
    let rollout = "{timeout: 20s, onFailure: halt}";
    let first = commit(&bed, rollout, &(configmap("settings", "1") + &deployment("web", &[]) + &beside()));
    bed.wait_ready(&first);
    break_beside(&bed);
    let changed = configmap("settings", "2") + &deployment("web", &[("log", "new")]) + &beside();
    let second = commit(&bed, rollout, &changed);
    bed.wait_ready(&second);
    assert_eq!(available(&bed, "beside"), 0, "it is broken still, and that was not the question");
}

#[test]
fn a_failure_in_the_time_to_settle_takes_the_change_back() {
    let bed = Bed::new("settle");
    let _agent = bed.agent();
    let rollout = "{timeout: 30s, settle: 20s}";
    let first = commit(&bed, "{timeout: 30s}", &(configmap("settings", "1") + &deployment("web", &[])));
    bed.wait_ready(&first);
    // It is ready at first, and ends again and again after that.
    let flaky =
        deployment("web", &[("crash", "always"), ("crash-after", "1500ms"), ("ready-after", "100ms")]);
    commit(&bed, rollout, &(configmap("settings", "2") + &flaky));
    let message = bed.wait_app("web", "Restored")["message"].to_string();
    assert!(message.contains("Deployment.apps"), "{message}");
    let settings = bed.configmap("settings").expect("it is there");
    assert_eq!(settings["data"]["value"], "1");
}

#[test]
fn who_comes_after_a_restart_waits_at_the_same_gate() {
    let bed = Bed::new("resume");
    let late = configmap("late", "1")
        .replace("{name: late}", "{name: late, annotations: {fairlead.dev/wave: \"1\"}}");
    let agent = bed.agent();
    // It is not ready before the agent is killed, begins anew, and has had time to go on.
    let manifests = configmap("first", "1") + &deployment("web", &[("ready-after", "25s")]) + &late;
    commit(&bed, "{timeout: 60s}", &manifests);
    bed.wait_app("web", "Waiting");
    wait_until(SOON, "it waits for the Deployment", || bed.deployment("web").is_some());
    drop(agent);
    let _agent = bed.agent();
    wait_until(60 * SECOND, "the last wave is written", || {
        let written = bed.configmap("late").is_some();
        assert!(!written || available(&bed, "web") == 1, "the gate before it was passed unseen");
        written
    });
}

#[test]
fn after_a_restart_what_broke_meanwhile_is_no_failed_rollout() {
    let bed = Bed::new("meanwhile");
    make_outside(&bed);
    let agent = bed.agent();
    let first = commit(&bed, "{timeout: 5s}", &(deployment("web", &[]) + &beside()));
    bed.wait_ready(&first);
    drop(agent);
    break_beside(&bed);
    let _agent = bed.agent();
    let second = bed.commit(&[("README.md", "words")]);
    bed.wait_ready(&second);
    assert_eq!(available(&bed, "beside"), 0);
}
