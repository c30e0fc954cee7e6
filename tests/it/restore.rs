//! A bad change takes itself back: what ran before runs again, and the digest that failed is set aside.

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Agent, Bed, Class, Effect, Fault, SECOND, SOON, holds_for, wait_until};
use crate::state::document;

const CRASHES: &[(&str, &str)] = &[("crash", "always"), ("log", "cannot open the database")];

fn good(version: &str) -> String {
    configmap("settings", version) + &deployment_of("web", 1, "registry.example/web:1", "", &[])
}

fn bad(version: &str) -> String {
    configmap("settings", version) + &deployment_of("web", 1, "registry.example/web:2", "", CRASHES)
}

fn image(bed: &Bed) -> Value {
    bed.deployment("web")
        .map(|web| web["spec"]["template"]["spec"]["containers"][0]["image"].clone())
        .unwrap_or_default()
}

fn setting(bed: &Bed) -> Value {
    bed.configmap("settings").map(|found| found["data"]["value"].clone()).unwrap_or_default()
}

fn healthy(bed: &Bed) -> bool {
    bed.deployment("web").is_some_and(|web| {
        web["status"]["availableReplicas"] == 1
            && web["status"]["updatedReplicas"] == 1
            && web["status"]["observedGeneration"] == web["metadata"]["generation"]
    })
}

/// Commits one app that its gates give six seconds.
fn commit(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 6s}");
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

/// An environment that runs `good("1")`.
fn running(name: &str) -> (Bed, Agent) {
    let bed = Bed::new(name);
    let agent = bed.agent();
    let revision = commit(&bed, &good("1"));
    bed.wait_ready(&revision);
    // Whoever kills it a moment later kills who knows what ran when all was well.
    wait_until(SOON, "it is remembered", || !document(&bed)["apps"]["web"]["lastGood"].is_null());
    (bed, agent)
}

#[test]
fn what_crashes_is_taken_back_and_its_digest_is_not_tried_again() {
    let (bed, _agent) = running("back");
    let first = bed.app("web")["effective"].clone();
    commit(&bed, &bad("2"));
    let app = bed.wait_app("web", "Restored");
    assert_eq!(image(&bed), "registry.example/web:1");
    assert_eq!(setting(&bed), "1", "all of it goes back, not only what failed");
    wait_until(SOON, "it is healthy", || healthy(&bed));
    assert_eq!(app["effective"], first);
    assert_eq!(app["quarantined"], app["desired"]);
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("cannot open the database"), "the pod's last words: {message}");
    assert_eq!(bed.condition("Ready")["reason"], "Restored");
    assert_eq!(bed.condition("Stalled")["status"], "True");
    for reason in ["Restoring", "Restored"] {
        bed.wait_events(reason, 1);
    }

    // An unrelated commit neither tries it again nor is held up.
    let other = bed.commit(&[("README.md", "words")]);
    bed.wait_seen(&other);
    holds_for(3 * SECOND, "it stays as it is", || {
        image(&bed) == "registry.example/web:1" && bed.app("web")["phase"] == "Restored"
    });
    // What someone changes by hand goes back to what runs.
    bed.set_by_hand("settings");
    wait_until(SOON, "it is put back", || setting(&bed) == "1");

    // A new digest clears it.
    let third = commit(&bed, &good("3"));
    bed.wait_ready(&third);
    assert_eq!(setting(&bed), "3");
    assert_eq!(bed.app("web")["quarantined"], Value::Null);
}

#[test]
fn an_unrelated_app_goes_on_while_one_is_taken_back() {
    let bed = Bed::new("apart");
    let _agent = bed.agent();
    let (path, config) =
        bed.config("{name: web, path: web}, {name: other, path: other}", "rollout: {timeout: 6s}");
    let commit = |web: &str, other: &str| {
        let other = configmap("other", other);
        bed.commit(&[(&path, &config), ("web/all.yaml", web), ("other/all.yaml", &other)])
    };
    bed.wait_ready(&commit(&good("1"), "1"));
    commit(&bad("2"), "2");
    bed.wait_app("web", "Restored");
    bed.wait_app("other", "Ready");
    assert_eq!(bed.configmap("other").unwrap()["data"]["value"], "2");
    commit(&bad("2"), "3");
    wait_until(SOON, "the other goes on", || bed.configmap("other").unwrap()["data"]["value"] == "3");
    assert_eq!((bed.app("web")["phase"].clone(), setting(&bed)), (json!("Restored"), json!("1")));
}

#[test]
fn a_first_deploy_has_nothing_to_go_back_to() {
    let bed = Bed::new("firstbad");
    let _agent = bed.agent();
    commit(&bed, &bad("1"));
    let app = bed.wait_app("web", "Halted");
    assert_eq!(app["quarantined"], Value::Null);
    holds_for(2 * SECOND, "it halts", || bed.app("web")["phase"] == "Halted");
}

#[test]
fn a_first_deploy_that_halted_is_tried_again_when_a_person_says_so() {
    let bed = Bed::new("firstretry");
    let _agent = bed.agent();
    commit(&bed, &bad("1"));
    bed.wait_app("web", "Halted");
    bed.fairlead(&["retry", "--env", &bed.name]).ok();
    wait_until(SOON, "it is tried again", || bed.events().iter().any(|event| event.starts_with("Retrying")));
    bed.wait_app("web", "Halted");
}

#[test]
fn a_team_that_wants_to_look_first_halts_instead() {
    let (bed, _agent) = running("halts");
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 6s, onFailure: halt}");
    bed.commit(&[(&path, &config), ("web/all.yaml", &bad("2"))]);
    bed.wait_app("web", "Halted");
    holds_for(2 * SECOND, "it halts", || image(&bed) == "registry.example/web:2");
}

#[test]
fn after_a_restart_it_stays_set_aside_and_a_person_may_try_again() {
    let (bed, agent) = running("aside");
    commit(&bed, &bad("2"));
    bed.wait_app("web", "Restored");
    agent.terminate();
    agent.wait(SOON);
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    let agent = bed.agent();
    bed.set_by_hand("settings");
    wait_until(SOON, "what runs is kept true", || setting(&bed) == "1");
    holds_for(3 * SECOND, "it is not tried again", || image(&bed) == "registry.example/web:1");
    bed.wait_app("web", "Restored");

    let started = |bed: &Bed| bed.events().iter().filter(|event| event.starts_with("Retrying")).count();
    bed.fairlead(&["retry", "--env", &bed.name]).ok();
    wait_until(SOON, "it is tried again", || started(&bed) == 1 && image(&bed) == "registry.example/web:2");
    bed.wait_app("web", "Restored");
    assert_eq!(image(&bed), "registry.example/web:1");
    // Once, also for who starts anew.
    drop(agent);
    let _agent = bed.agent();
    bed.wait_app("web", "Restored");
    holds_for(4 * SECOND, "once", || image(&bed) == "registry.example/web:1");
}

#[test]
fn killed_at_any_write_of_the_way_back_it_goes_on_back() {
    for nth in 1..=2 {
        for effect in [Effect::KillBefore, Effect::KillAfter] {
            let (bed, agent) = running("killedback");
            drop(agent);
            let proxy = bed.proxy();
            let agent = bed.agent_through(&proxy);
            commit(&bed, &bad("2"));
            wait_until(SOON, "the bad one is written", || image(&bed) == "registry.example/web:2");
            proxy.set(Fault::nth(Class::Write, nth, effect.clone()));
            agent.wait(SOON);
            drop(agent);
            std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
            let _agent = bed.agent();
            bed.wait_app("web", "Restored");
            assert_eq!((image(&bed), setting(&bed)), (json!("registry.example/web:1"), json!("1")));
        }
    }
}

#[test]
fn what_fails_on_the_way_back_too_is_told_and_nothing_is_set_aside() {
    let (bed, _agent) = running("around");
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 8s}");
    // From now on no pod of this namespace starts, whatever its image.
    bed.api().apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": bed.name},
        "spec": {"hard": {"pods": "0"}},
    }));
    bed.kubectl(&["delete", "pods", "--all", "--wait=false"]).ok();
    let text = configmap("settings", "2") + &deployment("web", &[]).replace("web:1", "web:2");
    bed.commit(&[(&path, &config), ("web/all.yaml", &text)]);
    let app = bed.wait_app("web", "Halted");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("environmental"), "{message}");
    assert_eq!(app["quarantined"], Value::Null);
    wait_until(SOON, "what ran before was put back all the same", || setting(&bed) == "1");
}

#[test]
fn a_commit_on_the_way_back_takes_over() {
    let (bed, agent) = running("takeover");
    drop(agent);
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    commit(&bed, &bad("2"));
    wait_until(SOON, "the bad one is written", || image(&bed) == "registry.example/web:2");
    proxy.set(Fault::nth(Class::Write, 1, Effect::Delay(2 * SECOND)).times(2));
    wait_until(SOON, "it goes back", || bed.events().iter().any(|event| event.starts_with("Restoring")));
    let third = commit(&bed, &good("3"));
    bed.wait_ready(&third);
    assert_eq!((image(&bed), setting(&bed)), (json!("registry.example/web:1"), json!("3")));
}
