//! Git is away, or says less than before: the cluster stays as it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::manifests::{configmap, deployment};
use crate::bed::web::{Manners, Web};
use crate::bed::{Agent, Bed, Class, SECOND, SOON, holds_for, wait_until};

fn configmaps(names: &[&str], value: &str) -> String {
    names.iter().map(|name| configmap(name, value)).collect()
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn uids(bed: &Bed) -> BTreeMap<&'static str, String> {
    let uid = |name| Some((name, bed.configmap(name)?["metadata"]["uid"].as_str()?.to_owned()));
    NAMES.into_iter().filter_map(uid).collect()
}

/// The environment follows the same repository over http, with whatever manners the server has.
fn over_http(bed: &Bed) -> Web {
    let web = Web::start(bed.repo.bare().parent().expect("it is in a folder"), Manners::default());
    bed.patch_environment(&json!({"spec": {"source": {"url": web.url()}}}));
    web
}

/// Not a picture of a repository: what no compression makes small.
fn noise(bytes: usize) -> String {
    (0..bytes).map(|_| fastrand::alphanumeric()).collect()
}

/// The trouble is named, nothing changes while it lasts, and it passes by itself.
fn is_named_and_harmless(bed: &Bed, reason: &str) {
    wait_until(SOON, "the environment names it", || bed.condition("Ready")["reason"] == reason);
    let before = uids(bed);
    holds_for(2 * SECOND, "nothing is deleted or made anew", || uids(bed) == before);
}

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

#[test]
fn a_remote_that_comes_and_goes_is_followed_to_its_newest_commit() {
    let bed = Bed::new("flaps");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.wait_ready(&bed.commit_web(&configmaps(&NAMES, "0")));
    let (away, before) = (bed.repo.bare().with_extension("away"), uids(&bed));
    let mut revision = String::new();
    for n in 1..=8 {
        std::fs::rename(bed.repo.bare(), &away).expect("it moves");
        std::thread::sleep(Duration::from_millis(700));
        std::fs::rename(&away, bed.repo.bare()).expect("it moves back");
        revision = bed.commit_web(&configmaps(&NAMES, &n.to_string()));
        std::thread::sleep(Duration::from_millis(300));
    }
    bed.wait_ready(&revision);
    assert_eq!(uids(&bed), before);
    for name in NAMES {
        assert_eq!(bed.configmap(name).expect("it is there")["data"]["value"], "8");
    }
    let deletes = proxy
        .records()
        .iter()
        .filter(|record| record.method == "DELETE" && record.class == Class::Write)
        .count();
    assert_eq!(deletes, 0);
}

#[test]
fn a_branch_that_is_pushed_back_is_followed_and_asks_before_it_deletes_much() {
    let bed = Bed::new("back");
    let _agent = bed.agent();
    let first = bed.commit_web(&configmaps(&NAMES[..1], "1"));
    bed.wait_ready(&first);
    bed.wait_ready(&bed.commit_web(&configmaps(&NAMES, "2")));
    let before = uids(&bed);
    bed.repo.git(&["push", "--quiet", "--force", "origin", &format!("{first}:refs/heads/main")]);
    bed.wait_ready(&first);
    assert_eq!(bed.configmap("a").expect("it is there")["data"]["value"], "1");
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    holds_for(2 * SECOND, "nothing is deleted", || uids(&bed) == before);
}

#[test]
fn a_history_that_is_rewritten_to_the_same_files_changes_nothing() {
    let bed = Bed::new("rewritten");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.commit_web(&configmaps(&NAMES, "1"));
    bed.wait_ready(&bed.commit(&[("README.md", "one")]));
    bed.repo.git(&["checkout", "--quiet", "--orphan", "fresh"]);
    let began = Instant::now();
    let rewritten = bed.repo.push("main");
    bed.wait_ready(&rewritten);
    let wrote = proxy.since(began, &[Class::DryRun, Class::Write]);
    assert!(wrote.is_empty(), "{wrote:#?}");
    assert!(bed.repo.git(&["rev-list", "--count", "HEAD"]) == "1", "it has no history");
}

#[test]
fn a_transfer_that_is_cut_and_a_server_that_refuses_are_named_and_pass() {
    let bed = Bed::new("cutshort");
    let web = over_http(&bed);
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&configmaps(&NAMES, "1")));
    for (n, (reason, wrong)) in [
        ("TransferBroken", Manners { cut: Some(100), ..Manners::default() }),
        ("Unreachable", Manners { status: Some("503 Service Unavailable"), ..Manners::default() }),
    ]
    .into_iter()
    .enumerate()
    {
        web.change(|manners| *manners = wrong);
        // In the cut one, all but one object leave git: what came of it is not believed.
        bed.repo.write("noise", noise(20_000).as_bytes());
        bed.commit_web(&configmaps(&NAMES[..1], "2"));
        is_named_and_harmless(&bed, reason);
        assert_eq!(uids(&bed).len(), NAMES.len());
        web.change(|manners| *manners = Manners::default());
        bed.wait_ready(&bed.commit_web(&configmaps(&NAMES, &format!("passed {n}"))));
    }
}

#[test]
fn a_full_disk_is_named_changes_nothing_and_passes() {
    let bed = Bed::new("disk");
    let _agent = Agent::on_a_small_disk(&bed.control_plane().agent_kubeconfig, &bed.cache(), &bed.name);
    let small = bed.commit_web(&configmaps(&NAMES, "1"));
    bed.wait_ready(&small);
    bed.repo.write("noise", noise(3_000_000).as_bytes());
    bed.commit_web(&configmaps(&NAMES[..1], "2"));
    is_named_and_harmless(&bed, "DiskFull");
    assert_eq!(uids(&bed).len(), NAMES.len());
    bed.repo.git(&["reset", "--quiet", "--hard", &small]);
    bed.wait_ready(&bed.commit_web(&configmaps(&NAMES, "3")));
    assert_eq!(bed.configmap("e").expect("it is there")["data"]["value"], "3");
}
