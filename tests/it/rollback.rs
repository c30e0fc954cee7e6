//! A person wants something older back: it runs again, proven and gated, until git says something new.

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Agent, Bed, Class, Effect, Fault, SECOND, SOON, holds_for, wait_until};

fn version(version: &str) -> String {
    configmap("settings", version)
        + &deployment_of("web", 1, &format!("registry.example/web:{version}"), "", &[])
}

fn runs(bed: &Bed) -> (Value, Value) {
    let image =
        bed.deployment("web").map(|web| web["spec"]["template"]["spec"]["containers"][0]["image"].clone());
    let setting = bed.configmap("settings").map(|found| found["data"]["value"].clone());
    (image.unwrap_or_default(), setting.unwrap_or_default())
}

fn as_of(version: &str) -> (Value, Value) {
    (json!(format!("registry.example/web:{version}")), json!(version))
}

fn commit(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 6s}");
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

/// An environment that ran each of these versions, one after the other.
fn ran(name: &str, versions: &[&str]) -> (Bed, Agent, Vec<String>) {
    let bed = Bed::new(name);
    let agent = bed.agent();
    let went = |text: &&str| {
        let revision = commit(&bed, &version(text));
        bed.wait_ready(&revision);
        revision
    };
    let revisions = versions.iter().map(went).collect();
    (bed, agent, revisions)
}

fn events(bed: &Bed, reason: &str) -> usize {
    bed.wait_events(reason, 1).iter().filter(|event| event.starts_with(reason)).count()
}

#[test]
fn a_person_goes_back_to_what_was_good_before_until_git_says_something_new() {
    let (bed, _agent, revisions) = ran("back-by-hand", &["1", "2"]);
    let env = ["--env", bed.name.as_str()];
    let shown = bed.fairlead(&["rollback", env[0], env[1], "--show"]);
    assert_eq!((shown.code, runs(&bed)), (3, as_of("2")), "{shown:?}");
    let said = bed.fairlead(&["rollback", env[0], env[1]]).ok();
    assert!(said.stderr.contains("runs and is healthy"), "{said:?}");
    assert_eq!(runs(&bed), as_of("1"));
    let app = bed.wait_app("web", "RolledBack");
    assert_eq!(app["quarantined"], app["desired"]);
    assert_ne!(app["effective"], app["desired"]);
    let message = app["message"].as_str().unwrap();
    assert!(message.contains(&revisions[0][..10]) && message.contains("by "), "{message}");
    assert_eq!(bed.condition("Ready")["reason"], "RolledBack");
    assert_eq!(bed.condition("Stalled")["status"], "True");
    assert_eq!((events(&bed, "RollingBack"), events(&bed, "RolledBack")), (1, 1));

    // An unrelated commit changes nothing; what someone changes by hand goes back to what runs.
    bed.wait_seen(&bed.commit(&[("README.md", "words")]));
    bed.set_by_hand("settings");
    wait_until(SOON, "it is put back", || runs(&bed) == as_of("1"));
    // There is nothing before it.
    let said = bed.fairlead(&["rollback", env[0], env[1]]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("--to"), "{said:?}");

    // What was turned down is tried again, and the word that turned it down is not heard twice.
    bed.fairlead(&["retry", env[0], env[1]]).ok();
    bed.wait_app("web", "Ready");
    holds_for(3 * SECOND, "it stays", || runs(&bed) == as_of("2") && bed.app("web")["phase"] == "Ready");

    bed.fairlead(&["rollback", env[0], env[1]]).ok();
    assert_eq!(runs(&bed), as_of("1"));
    bed.wait_ready(&commit(&bed, &version("3")));
    assert_eq!((runs(&bed), bed.app("web")["quarantined"].clone()), (as_of("3"), Value::Null));
    // What they went back to is what was good before.
    bed.fairlead(&["rollback", env[0], env[1]]).ok();
    assert_eq!(runs(&bed), as_of("1"));
}

#[test]
fn any_commit_of_the_branch_can_be_gone_back_to_and_no_other() {
    let (bed, _agent, revisions) = ran("long-ago", &["1", "2", "3", "4"]);
    let back = |to: &str| bed.fairlead(&["rollback", "--env", &bed.name, "--to", to]);
    back(&revisions[0][..12]).ok();
    assert_eq!(runs(&bed), as_of("1"));
    assert!(bed.app("web")["message"].as_str().unwrap().contains(&revisions[0][..10]));
    back(&revisions[1]).ok();
    assert_eq!(runs(&bed), as_of("2"));
    // Of the same repository, and never on this branch.
    bed.repo.write("web/all.yaml", version("elsewhere").as_bytes());
    let elsewhere = bed.repo.push("other");
    for (to, why) in
        [(elsewhere.as_str(), "never had"), ("1234567", "never had"), (&revisions[3], "is what git says")]
    {
        let said = back(to);
        assert!(said.stderr.contains(why), "{said:?}");
        assert_eq!(said.code, i32::from(why == "never had") * 2, "{said:?}");
    }
    assert_eq!(runs(&bed), as_of("2"));
}

#[test]
fn killed_on_the_way_back_with_git_and_its_disk_lost_it_goes_on() {
    for effect in [Effect::KillBefore, Effect::KillAfter] {
        let (bed, agent, _) = ran("killed-by-hand", &["1", "2"]);
        drop(agent);
        let proxy = bed.proxy();
        let agent = bed.agent_through(&proxy);
        bed.wait_app("web", "Ready");
        proxy.set(Fault::nth(Class::Write, 1, effect));
        bed.fairlead(&["rollback", "--env", &bed.name, "--no-wait"]).ok();
        agent.wait(SOON);
        drop(agent);
        std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
        let _agent = bed.agent();
        bed.wait_app("web", "RolledBack");
        assert_eq!(runs(&bed), as_of("1"));
        bed.wait_events("RollingBack", 1);
        assert_eq!(events(&bed, "RollingBack"), 1, "it is asked once");
    }
}

#[test]
fn while_git_is_away_what_is_stored_can_be_gone_back_to() {
    let (bed, _agent, revisions) = ran("away-by-hand", &["1", "2", "3"]);
    std::fs::rename(bed.repo.bare(), bed.repo.bare().with_extension("away")).expect("it moves");
    let said = bed.fairlead(&["rollback", "--env", &bed.name, "--to", &revisions[0]]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains(&revisions[1][..10]), "what is stored is named: {said:?}");
    bed.fairlead(&["rollback", "--env", &bed.name]).ok();
    assert_eq!(runs(&bed), as_of("2"));
}

#[test]
fn what_fails_its_gates_on_the_way_back_halts_and_says_so() {
    let (bed, _agent, _) = ran("fails-by-hand", &["1", "2"]);
    // From now on no pod of this namespace starts.
    bed.api().apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": bed.name},
        "spec": {"hard": {"pods": "0"}},
    }));
    let said = bed.fairlead(&["rollback", "--env", &bed.name]);
    assert_eq!(said.code, 4, "{said:?}");
    let app = bed.wait_app("web", "Halted");
    assert!(app["message"].as_str().unwrap().starts_with("rolled back"), "{app}");
    bed.wait_events("RollbackFailed", 1);
    assert_eq!(events(&bed, "RollbackFailed"), 1);
}

#[test]
fn of_several_apps_only_those_that_are_named_go_back() {
    let bed = Bed::new("several");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_apps(&[("web", &version("1")), ("other", &configmap("other", "1"))]));
    bed.wait_ready(&bed.commit_apps(&[("web", &version("2")), ("other", &configmap("other", "2"))]));
    let said = bed.fairlead(&["rollback", "--env", &bed.name]);
    assert_eq!(said.code, 2, "{said:?}");
    bed.fairlead(&["rollback", "--env", &bed.name, "--app", "other"]).ok();
    let other = || bed.configmap("other").unwrap()["data"]["value"].clone();
    assert_eq!((runs(&bed), other()), (as_of("2"), json!("1")));
    bed.fairlead(&["rollback", "--env", &bed.name, "--app", "web"]).ok();
    assert_eq!((runs(&bed), other()), (as_of("1"), json!("1")));
}
