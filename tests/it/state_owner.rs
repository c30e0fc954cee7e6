//! What an environment remembers belongs to an Environment's uid, and not to its name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::rbac::STATE_NAMESPACE;
use crate::bed::{Agent, Bed, SECOND, SOON, holds_for, wait_until};

fn configmaps(names: &[&str]) -> String {
    names.iter().map(|name| configmap(name, "1")).collect()
}

fn path(bed: &Bed) -> String {
    format!("/api/v1/namespaces/{STATE_NAMESPACE}/secrets/state-{}", bed.name)
}

/// The head of what is remembered.
fn head(bed: &Bed) -> Value {
    let Some(secret) = bed.api().get(&path(bed)) else { return Value::Null };
    let bytes = STANDARD.decode(secret["data"]["document"].as_str().expect("a document")).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn stop(agent: Agent) {
    agent.terminate();
    agent.wait(SOON);
}

/// Deletes the Environment, and makes another of its name; git drops something in between.
fn make_anew(bed: &Bed) {
    let mut environment = bed.environment();
    let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name);
    bed.api().delete(&path);
    wait_until(SOON, "it is gone", || bed.environment().is_null());
    bed.commit_web(&configmaps(&["a", "b", "c", "d"]));
    environment.as_object_mut().expect("a map").remove("status");
    environment["metadata"] = json!({"name": bed.name});
    bed.api().create(&environment);
}

/// An environment with two objects, of which git wants one by now.
fn with_something_left_over(name: &str) -> (Bed, Agent) {
    let bed = Bed::new(name);
    let agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&configmaps(&["a", "b", "c", "d", "e"])));
    wait_until(SOON, "it is remembered", || head(&bed)["uid"] == bed.environment()["metadata"]["uid"]);
    (bed, agent)
}

fn starts_from_nothing(bed: &Bed) {
    wait_until(SOON, "it is remembered for the new one", || {
        head(bed)["uid"] == bed.environment()["metadata"]["uid"]
    });
    wait_until(SOON, "it asks before it deletes", || bed.status()["prune"]["halted"] == true);
    let message = bed.status()["prune"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("nobody remembers having written 1"), "{message}");
    holds_for(3 * SECOND, "nothing is deleted", || bed.configmap("e").is_some());
}

#[test]
fn another_environment_of_the_name_starts_from_nothing_and_prunes_nothing() {
    let (bed, _agent) = with_something_left_over("anew");
    let before = head(&bed)["uid"].clone();
    make_anew(&bed);
    starts_from_nothing(&bed);
    assert_ne!(head(&bed)["uid"], before);
}

#[test]
fn another_environment_that_was_made_while_no_agent_ran_starts_from_nothing_as_well() {
    let (bed, agent) = with_something_left_over("anewaway");
    stop(agent);
    make_anew(&bed);
    let _agent = bed.agent();
    starts_from_nothing(&bed);
}

#[test]
fn what_was_remembered_before_uids_were_is_not_lost() {
    let (bed, agent) = with_something_left_over("upgrade");
    stop(agent);
    let mut document = head(&bed);
    for newer in ["uid", "budgets"] {
        document.as_object_mut().expect("a map").remove(newer);
    }
    let data = json!({"data": {"document": STANDARD.encode(document.to_string())}});
    bed.api().merge(&path(&bed), &data);
    let second = bed.commit_web(&configmaps(&["a", "b", "c", "d"]));
    let _agent = bed.agent();
    bed.wait_ready(&second);
    wait_until(SOON, "what is remembered as ours goes unasked", || bed.configmap("e").is_none());
    wait_until(SOON, "it says whose it is", || head(&bed)["uid"] == bed.environment()["metadata"]["uid"]);
}

#[test]
fn what_an_environment_remembered_goes_with_it() {
    let (bed, agent) = with_something_left_over("buried");
    bed.api().delete(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name));
    wait_until(SOON, "it is cleared away", || bed.api().get(&path(&bed)).is_none());
    assert!(bed.configmap("e").is_some(), "its objects stay");
    stop(agent);
    // And what went while no agent ran, by the next one.
    let (bed, agent) = with_something_left_over("buriedlate");
    stop(agent);
    bed.api().delete(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name));
    let _agent = bed.agent();
    wait_until(SOON, "it is cleared away", || bed.api().get(&path(&bed)).is_none());
}
