//! Git is away when the agent starts, and so is its disk: what is remembered is kept true.

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, SOON, holds_for, wait_until};

fn version(version: &str, crash: &[(&str, &str)]) -> String {
    configmap("settings", version)
        + &deployment_of("web", 1, &format!("registry.example/web:{version}"), "", crash)
        + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: hunter2}\n"
}

const CRASHES: &[(&str, &str)] = &[("crash", "always")];

fn commit(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 6s}");
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

fn setting(bed: &Bed) -> Value {
    bed.configmap("settings").map(|found| found["data"]["value"].clone()).unwrap_or_default()
}

/// The remote and the agent's disk are gone; answers where the remote is kept.
fn lose(bed: &Bed) -> std::path::PathBuf {
    let away = bed.repo.bare().with_extension("away");
    std::fs::rename(bed.repo.bare(), &away).expect("it moves");
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    away
}

#[test]
fn what_runs_is_kept_true_without_git_and_git_is_followed_when_it_returns() {
    let bed = Bed::new("nogit");
    let agent = bed.agent();
    bed.wait_ready(&commit(&bed, &version("1", &[])));
    agent.terminate();
    agent.wait(SOON);
    let secret = || bed.get("v1", "secrets", "login").map(|found| found["data"].clone());
    let before = secret();
    let away = lose(&bed);
    bed.set_by_hand("settings");
    bed.kubectl(&["delete", "deployment/web"]).ok();
    let _agent = bed.agent();
    wait_until(SOON, "it is put back", || setting(&bed) == "1" && bed.deployment("web").is_some());
    bed.wait_app("web", "Ready");
    let ready = bed.condition("Ready");
    assert_eq!((ready["status"].clone(), ready["reason"].clone()), (json!("False"), json!("NoRepository")));
    assert!(ready["message"].as_str().unwrap().contains("remembered"), "{ready}");
    assert_eq!(secret(), before, "values of Secrets are not stored, so it is left alone");

    std::fs::rename(&away, bed.repo.bare()).expect("it moves back");
    let revision = commit(&bed, &version("2", &[]));
    bed.fairlead(&["apply", "--env", &bed.name, "--no-wait"]).ok();
    bed.wait_ready(&revision);
    assert_eq!(setting(&bed), "2");
}

#[test]
fn killed_on_the_way_back_with_its_disk_and_git_gone_the_way_back_is_finished() {
    let bed = Bed::new("nogitback");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    bed.wait_ready(&commit(&bed, &version("1", &[])));
    let image =
        || bed.deployment("web").map(|web| web["spec"]["template"]["spec"]["containers"][0]["image"].clone());
    commit(&bed, &version("2", CRASHES));
    wait_until(SOON, "the bad one is written", || image() == Some(json!("registry.example/web:2")));
    proxy.set(Fault::nth(Class::Write, 1, Effect::KillBefore));
    agent.wait(SOON);
    drop(agent);
    assert_eq!(image(), Some(json!("registry.example/web:2")), "nothing of the way back was written");
    lose(&bed);
    let _agent = bed.agent();
    let app = bed.wait_app("web", "Restored");
    assert_eq!((image(), setting(&bed)), (Some(json!("registry.example/web:1")), json!("1")));
    assert_eq!(app["quarantined"], app["desired"]);
    // Only git knows what would be tried again.
    bed.fairlead(&["retry", "--env", &bed.name]).ok();
    holds_for(3 * SECOND, "it stays", || image() == Some(json!("registry.example/web:1")));
    // What is deleted by hand comes back as well.
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(SOON, "it is put back", || setting(&bed) == "1");
}

#[test]
fn a_rollout_that_was_under_way_stays_where_it_is_until_git_returns() {
    let bed = Bed::new("nogitforth");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    bed.wait_ready(&commit(&bed, &version("1", &[])));
    proxy.set(Fault::nth(Class::Write, 1, Effect::KillAfter));
    let revision = commit(&bed, &version("2", &[]));
    agent.wait(SOON);
    drop(agent);
    let away = lose(&bed);
    let _agent = bed.agent();
    wait_until(SOON, "it says so", || {
        bed.app("web")["message"].as_str().is_some_and(|message| message.contains("under way"))
    });
    let found = (setting(&bed), bed.deployment("web"));
    holds_for(3 * SECOND, "nothing is written", || (setting(&bed), bed.deployment("web")) == found);
    std::fs::rename(&away, bed.repo.bare()).expect("it moves back");
    bed.fairlead(&["apply", "--env", &bed.name, "--no-wait"]).ok();
    bed.wait_ready(&revision);
    assert_eq!(setting(&bed), "2");
}
