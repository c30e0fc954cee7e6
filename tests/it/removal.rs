//! An Environment that is deleted: its objects stay, or go with it, and a person says so twice.

use serde_json::json;

use crate::bed::manifests::{annotated_configmap, configmap};
use crate::bed::{Agent, Bed, Class, Effect, Fault, SECOND, SOON, Setup, holds_for, wait_until};

fn configmaps(names: &[&str]) -> String {
    names.iter().map(|name| configmap(name, "1")).collect()
}

/// A small environment whose objects go with it.
fn removable(name: &str) -> (Bed, Agent) {
    let bed = Setup::new(name).make();
    bed.patch_environment(&json!({"spec": {"onDelete": "remove"}}));
    let (path, config) = bed
        .config("{name: web, path: web, dependsOn: [db]}, {name: db, path: db}", "rollout: {timeout: 60s}");
    let web = configmaps(&["web-a", "web-b"]) + &annotated_configmap("late", &[("fairlead.dev/wave", "3")]);
    let db = configmaps(&["db-a"]) + &annotated_configmap("stays", &[("fairlead.dev/prune", "never")]);
    let agent = bed.agent();
    let revision = bed.commit(&[(&path, &config), ("web/all.yaml", &web), ("db/all.yaml", &db)]);
    bed.wait_ready(&revision);
    wait_until(SOON, "it is held", || {
        bed.environment()["metadata"]["finalizers"][0] == "fairlead.dev/remove"
    });
    (bed, agent)
}

fn delete(bed: &Bed) {
    bed.kubectl(&["delete", "environment", &bed.name, "--wait=false"]).ok();
}

fn state(bed: &Bed) -> usize {
    let selector = format!("labelSelector=fairlead.dev/state-of%3D{}", bed.name);
    let path = format!("/api/v1/namespaces/{}/secrets?{selector}", crate::bed::rbac::STATE_NAMESPACE);
    bed.api().get(&path).expect("a list")["items"].as_array().map_or(0, Vec::len)
}

const GOING: [&str; 4] = ["web-a", "web-b", "late", "db-a"];

#[test]
fn what_it_made_stays_when_an_environment_goes() {
    let bed = Bed::new("goes");
    let _agent = bed.agent();
    let revision = bed.commit_web(&configmaps(&["a", "b"]));
    bed.wait_ready(&revision);
    bed.kubectl(&["delete", "environment", &bed.name, "--timeout=20s"]).ok();
    holds_for(3 * SECOND, "its objects stay", || {
        bed.configmap("a").is_some() && bed.configmap("b").is_some()
    });
}

#[test]
fn what_it_made_goes_with_it_once_a_person_let_it() {
    let (bed, _agent) = removable("whole");
    let began = std::time::Instant::now();
    delete(&bed);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    let prune = bed.status()["prune"].clone();
    assert!(prune["message"].as_str().unwrap().contains("is being deleted"), "{prune:#}");
    assert_eq!(prune["count"], 4, "{prune:#}");
    holds_for(3 * SECOND, "nothing goes unasked", || GOING.iter().all(|name| bed.configmap(name).is_some()));
    // Git is not needed for it.
    std::fs::remove_dir_all(bed.repo.url().trim_start_matches("file://")).expect("the remote goes");
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON, "the Environment is gone", || bed.environment().is_null());
    assert!(GOING.iter().all(|name| bed.configmap(name).is_none()));
    assert!(bed.configmap("stays").is_some(), "it says never");
    assert_eq!(state(&bed), 0, "nothing is remembered of it");
    assert!(began.elapsed() < SOON * 2);
}

#[test]
fn it_is_taken_down_in_the_opposite_order() {
    let (bed, agent) = removable("order");
    agent.terminate();
    agent.wait(SOON);
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    delete(&bed);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    let began = std::time::Instant::now();
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON, "the Environment is gone", || bed.environment().is_null());
    let deletes = proxy.since(began, &[Class::Write]);
    let names: Vec<&str> = deletes.iter().filter_map(|record| record.path.rsplit('/').next()).collect();
    assert_eq!(names, ["late", "web-a", "web-b", "db-a"], "the latest wave first, and what is needed last");
}

#[test]
fn killed_while_it_is_taken_down_the_next_start_goes_on() {
    let (bed, agent) = removable("killed");
    agent.terminate();
    agent.wait(SOON);
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    delete(&bed);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    proxy.set(Fault::nth(Class::Write, 2, Effect::KillAfter));
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    agent.wait(SOON);
    drop(agent);
    let _agent = bed.agent();
    wait_until(SOON, "the Environment is gone", || bed.environment().is_null());
    assert!(GOING.iter().all(|name| bed.configmap(name).is_none()));
}

#[test]
fn git_that_answers_only_while_it_is_taken_down_is_no_hindrance() {
    let (bed, agent) = removable("lategit");
    agent.terminate();
    agent.wait(SOON);
    let remote = std::path::PathBuf::from(bed.repo.url().trim_start_matches("file://"));
    let away = remote.with_extension("away");
    std::fs::rename(&remote, &away).expect("the remote goes");
    let _agent = bed.agent();
    delete(&bed);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    std::fs::rename(&away, &remote).expect("the remote is back");
    // As long as a poll that failed before takes to come again.
    holds_for(8 * SECOND, "nothing goes unasked", || GOING.iter().all(|name| bed.configmap(name).is_some()));
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON, "the Environment is gone", || bed.environment().is_null());
    assert!(GOING.iter().all(|name| bed.configmap(name).is_none()));
}

#[test]
fn what_holds_an_object_is_named() {
    let (bed, _agent) = removable("stuck");
    let url = format!("/api/v1/namespaces/{}/configmaps/web-a", bed.name);
    bed.api().merge(&url, &json!({"metadata": {"finalizers": ["example.org/held"]}}));
    delete(&bed);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON * 2, "it is named", || {
        bed.status()["prune"]["message"].as_str().is_some_and(|text| text.contains("example.org/held"))
    });
    assert!(bed.configmap("db-a").is_some(), "what it needs waits for it");
    bed.api().merge(&url, &json!({"metadata": {"finalizers": null}}));
    wait_until(SOON, "the Environment is gone", || bed.environment().is_null());
}

#[test]
fn a_person_who_thinks_again_keeps_all() {
    let (bed, _agent) = removable("keep");
    delete(&bed);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    bed.patch_environment(&json!({"spec": {"onDelete": "keep"}}));
    wait_until(SOON, "the Environment is gone", || bed.environment().is_null());
    holds_for(2 * SECOND, "its objects stay", || GOING.iter().all(|name| bed.configmap(name).is_some()));
}
