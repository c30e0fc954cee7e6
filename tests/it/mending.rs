//! What others change while a rollout waits is put back on the way, and the commit is not blamed for it.

use std::collections::BTreeSet;

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, SECOND, wait_until};

fn commit(bed: &Bed, rollout: &str, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", &format!("rollout: {rollout}"));
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

fn image(bed: &Bed) -> String {
    let web = bed.deployment("web").expect("the Deployment");
    web["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_is_deleted_while_a_gate_waits_comes_back_before_it_opens() {
    let bed = Bed::new("gone-while");
    let _agent = bed.agent();
    let rollout = "{timeout: 60s}";
    let manifests = |version: &str, after: &str| {
        configmap("before", version)
            + &configmap("beside", "1")
            + &deployment("web", &[("ready-after", after), ("log", version)])
    };
    let first = commit(&bed, rollout, &manifests("1", "100ms"));
    bed.wait_ready(&first);
    let second = commit(&bed, rollout, &manifests("2", "30s"));
    wait_until(15 * SECOND, "the gate of the Deployment waits", || {
        bed.app("web")["waitingOn"]["what"].to_string().contains("Deployment")
    });
    // One that this rollout did not have to write, and one that it did. What is seen to go a moment later is put back with
    // the first, and told with it or not.
    bed.kubectl(&["delete", "configmap/beside", "configmap/before"]).ok();
    wait_until(14 * SECOND, "both are back while the gate waits", || {
        bed.configmap("before").is_some() && bed.configmap("beside").is_some()
    });
    let app = bed.app("web");
    assert_ne!(app["desired"], app["effective"], "the gate is shut still: {app:#}");
    bed.wait_ready(&second);
    assert_eq!(bed.app("web").get("quarantined"), None);
    let events = bed.wait_events("RolledOut", 2);
    let told = |event: &&String| event.starts_with("Drifted") && event.contains("beside");
    assert_eq!(events.iter().filter(told).count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|event| event.starts_with("RolloutStarted")).count(), 2, "{events:?}");
    assert_eq!(events.iter().filter(|event| event.starts_with("RolledOut")).count(), 2, "{events:?}");
}

#[test]
fn a_commit_is_not_blamed_for_what_somebody_else_did_to_it() {
    let bed = Bed::new("blamed");
    let _agent = bed.agent();
    let rollout = "{timeout: 30s}";
    let first = commit(&bed, rollout, &deployment("web", &[]));
    bed.wait_ready(&first);
    let second = commit(&bed, rollout, &deployment("web", &[("ready-after", "15s")]));
    bed.wait_app("web", "Waiting");
    bed.kubectl(&["set", "image", "deployment/web", "main=registry.example/else:9"]).ok();
    wait_until(10 * SECOND, "the image is put back", || image(&bed) == "registry.example/web:1");
    bed.wait_ready(&second);
    assert_eq!(bed.app("web").get("quarantined"), None);
    assert!(!bed.events().iter().any(|event| event.starts_with("Restoring")), "{:?}", bed.events());
}

#[test]
fn who_deletes_it_every_time_gets_a_verdict() {
    let bed = Bed::new("fought");
    let _agent = bed.agent();
    let rollout = "{timeout: 8s, onFailure: halt}";
    let first = commit(&bed, rollout, &(configmap("fought", "1") + &deployment("web", &[])));
    bed.wait_ready(&first);
    commit(&bed, rollout, &(configmap("fought", "1") + &deployment("web", &[("never-ready", "true")])));
    bed.wait_app("web", "Waiting");
    let path = format!("/api/v1/namespaces/{}/configmaps/fought", bed.name);
    let mut made: BTreeSet<String> = BTreeSet::new();
    wait_until(90 * SECOND, "it halts", || {
        if let Some(found) = bed.api().get(&path) {
            made.insert(found["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
            bed.api().delete(&path);
        }
        bed.app("web")["phase"] == "Halted"
    });
    assert!((2..=7).contains(&made.len()), "it was made {} times", made.len());
}
