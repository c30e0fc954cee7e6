//! Git is away, or says less than before: the cluster stays as it is.

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, SECOND, SOON, holds_for, wait_until};

#[test]
fn an_unreachable_remote_changes_nothing() {
    let bed = Bed::new("unreachable");
    let _agent = bed.agent();
    let revision = bed.commit_web(&(configmap("settings", "1") + &deployment("web", &[])));
    bed.wait_ready(&revision);
    let away = bed.repo.bare().with_extension("away");
    std::fs::rename(bed.repo.bare(), &away).expect("it moves");
    // Three looks in a row, each later than the one before.
    wait_until(SOON, "the environment says so", || bed.condition("Ready")["status"] == "False");
    let ready = bed.condition("Ready");
    assert_eq!(bed.condition("Stalled")["status"], "False", "it may pass: {ready}");
    assert_eq!(bed.status()["revision"], revision.as_str());
    assert!(bed.configmap("settings").is_some() && bed.deployment("web").is_some());
    // What others change is still put back.
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(10 * SECOND, "it is put back", || bed.configmap("settings").is_some());
    std::fs::rename(&away, bed.repo.bare()).expect("it moves back");
    let revision = bed.commit_web(&configmap("settings", "2"));
    bed.fairlead(&["apply", "--env", &bed.name, "--no-wait"]).ok();
    bed.wait_ready(&revision);
}

#[test]
fn a_deleted_branch_changes_nothing() {
    let bed = Bed::new("branch");
    let _agent = bed.agent();
    let revision = bed.commit_web(&configmap("settings", "1"));
    bed.wait_ready(&revision);
    bed.repo.git(&["--git-dir", "../infra.git", "update-ref", "-d", "refs/heads/main"]);
    wait_until(SOON, "the environment says so", || bed.condition("Ready")["reason"] == "BranchGone");
    holds_for(2 * SECOND, "nothing is deleted", || bed.configmap("settings").is_some());
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(10 * SECOND, "it is put back", || bed.configmap("settings").is_some());
    let revision = bed.commit_web(&configmap("settings", "2"));
    bed.wait_ready(&revision);
}

#[test]
fn an_empty_tree_is_not_an_environment_without_apps() {
    let bed = Bed::new("less");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&configmap("settings", "1")));
    bed.repo.remove("web");
    bed.repo.remove("environments");
    bed.wait_seen(&bed.repo.push("main"));
    assert_eq!(bed.condition("Ready")["status"], "False");
    assert!(bed.configmap("settings").is_some(), "it was deleted");
}

#[test]
fn environments_over_one_remote_roll_out_from_one_clone() {
    let bed = Bed::new("shared");
    let second = crate::bed::Setup::new("sharing").over(&bed.repo).make();
    let _agent = bed.agent_of(&[&bed.name, &second.name]);
    let (path, config) = second.config("{name: web, path: web}", "rollout: {timeout: 60s}");
    bed.repo.write(path, config.as_bytes());
    let revision = bed.commit_web(&configmap("settings", "1"));
    bed.wait_ready(&revision);
    second.wait_ready(&revision);
    let mirrors = std::fs::read_dir(bed.cache().join("git")).expect("the cache is there").count();
    assert_eq!(mirrors, 1, "one remote, one clone");
}
