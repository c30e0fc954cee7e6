//! What was seen to go wrong where a decision about an app met something unexpected: each once, on a real control plane. The
//! simulator tells the same in thousands of ways (`src/delivery/simulation`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, SOON, holds_for, wait_until};
use crate::state::document;

const CRASHES: &[(&str, &str)] = &[("crash", "always"), ("log", "cannot open the database")];
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three Deployments, each in a wave of its own.
fn three(version: &str, pod: &[(&str, &str)]) -> String {
    let image = format!("registry.example/web:{version}");
    let all = NAMES.iter().enumerate();
    let made =
        all.map(|(n, name)| deployment_of(name, 1, &image, &format!("fairlead.dev/wave: \"{n}\""), pod));
    made.collect::<String>() + &configmap("settings", version)
}

fn images(bed: &Bed) -> Vec<Value> {
    let image = |web: Value| web["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    NAMES.iter().map(|name| bed.deployment(name).map(image).unwrap_or_default()).collect()
}

fn commit(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 8s}");
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

#[test]
fn a_restore_ends_whatever_a_commit_that_does_not_render_says() {
    let bed = Bed::new("brokenback");
    let _agent = bed.agent();
    // What is put back takes its time to become ready, so that it is under way for a while.
    bed.wait_ready(&commit(&bed, &three("1", &[("ready-after", "2s")])));
    // The second fails, so one runs what is new, one crashes, and one was never written.
    let image = |n: usize, image: &str, pod: &[(&str, &str)]| {
        deployment_of(NAMES[n], 1, image, &format!("fairlead.dev/wave: \"{n}\""), pod)
    };
    let bad = image(0, "registry.example/web:2", &[("ready-after", "1s")])
        + &image(1, "registry.example/web:2", CRASHES)
        + &image(2, "registry.example/web:2", &[])
        + &configmap("settings", "2");
    commit(&bed, &bad);
    bed.wait_app("web", "Restoring");
    let broken = bed.commit(&[("web/all.yaml", "{ this is no YAML: [")]);
    bed.wait_seen(&broken);
    let back = vec![json!("registry.example/web:1"); 3];
    wait_until(SOON, "all of it is put back", || images(&bed) == back);
    assert_eq!(bed.configmap("settings").unwrap()["data"]["value"], "1");
    wait_until(SOON, "it says what is wrong", || {
        bed.app("web")["message"].as_str().is_some_and(|message| message.contains("web/all.yaml"))
    });
    // The commit that puts it right rolls out.
    bed.wait_ready(&commit(&bed, &three("3", &[])));
    assert_eq!(images(&bed), vec![json!("registry.example/web:3"); 3]);
}

#[test]
fn what_left_git_is_not_made_anew_from_memory() {
    let bed = Bed::new("leftaway");
    let agent = bed.agent();
    bed.wait_ready(
        &bed.commit_apps(&[("stays", &configmap("stays", "1")), ("goes", &configmap("goes", "1"))]),
    );
    wait_until(SOON, "both are remembered", || {
        let apps = document(&bed)["apps"].clone();
        ["stays", "goes"].iter().all(|name| !apps[name]["lastGood"].is_null())
    });
    let (path, config) = bed.config("{name: stays, path: stays}", "rollout: {prune: {percent: 100}}");
    bed.commit(&[(&path, &config)]);
    wait_until(SOON, "what left git is deleted", || bed.configmap("goes").is_none());
    agent.terminate();
    agent.wait(SOON);
    drop(agent);
    let away = bed.repo.bare().with_extension("away");
    std::fs::rename(bed.repo.bare(), &away).expect("it moves");
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    bed.set_by_hand("stays");
    let _agent = bed.agent();
    wait_until(SOON, "what is remembered is kept true", || {
        bed.configmap("stays").is_some_and(|found| found["data"]["value"] == "1")
    });
    holds_for(3 * SECOND, "what left git stays away", || bed.configmap("goes").is_none());
}

#[test]
fn a_hook_of_an_odd_name_harms_only_its_own_app() {
    let bed = Bed::new("oddhook");
    let agent = bed.agent();
    let odd = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a{}, annotations: {{fairlead.dev/hook: before}}}}\n\
         spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: m, image: m}}]}}}}}}\n",
        "é".repeat(40)
    );
    bed.commit_apps(&[("odd", &(odd + &configmap("odd", "1"))), ("other", &configmap("other", "1"))]);
    wait_until(SOON, "the other app is written", || bed.configmap("other").is_some());
    let app = bed.wait_app("odd", "Refused");
    assert!(app["message"].as_str().unwrap().contains("odd/all.yaml"), "{app}");
    bed.wait_app("other", "Ready");
    assert!(bed.configmap("odd").is_none(), "nothing of what is refused is written");
    assert!(!agent.has_logged("panicked"), "it is an error, and no panic");
}

#[test]
fn a_time_limit_that_no_clock_holds_is_an_error_with_its_line() {
    let bed = Bed::new("oddlimit");
    let agent = bed.agent();
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 4000000d}");
    bed.commit(&[(&path, &config), ("web/all.yaml", &configmap("settings", "1"))]);
    wait_until(SOON, "it is told", || bed.condition("Ready")["reason"] == "InvalidConfig");
    let message = bed.condition("Ready")["message"].clone();
    assert!(message.as_str().unwrap().contains("environment.yaml:"), "{message}");
    assert!(message.as_str().unwrap().contains("at most 7d"), "{message}");
    assert!(!agent.has_logged("panicked"));
    bed.wait_ready(&commit(&bed, &configmap("settings", "1")));
}

#[test]
fn an_app_that_comes_back_takes_no_older_write_for_its_own() {
    let bed = Bed::new("comesback");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let commit = |web: Option<&str>| {
        let (apps, more) = match web {
            Some(_) => ("{name: web, path: web}, {name: other, path: other}", "rollout: {timeout: 8s}"),
            None => ("{name: other, path: other}", "rollout: {timeout: 8s, prune: {percent: 0}}"),
        };
        let (path, config) = bed.config(apps, more);
        let other = configmap("other", "1");
        bed.commit(&[(&path, &config), ("web/all.yaml", web.unwrap_or("")), ("other/all.yaml", &other)])
    };
    bed.wait_ready(&commit(Some(&configmap("settings", "1"))));
    // The write of the second version is slow, and its app leaves git and comes back meanwhile.
    let slow = Effect::Delay(Duration::from_secs(4));
    proxy.set(Fault::nth(Class::Write, 1, slow).on("/configmaps/settings"));
    commit(Some(&configmap("settings", "2")));
    wait_until(SOON, "the slow write is under way", || proxy.harmed() == 1);
    let without = commit(None);
    bed.wait_seen(&without);
    let last = commit(Some(&configmap("settings", "3")));
    bed.wait_ready(&last);
    assert_eq!(bed.configmap("settings").unwrap()["data"]["value"], "3");
    holds_for(5 * SECOND, "the late answer changes nothing", || {
        bed.configmap("settings").is_some_and(|found| found["data"]["value"] == "3")
            && bed.app("web")["phase"] == "Ready"
    });
}
