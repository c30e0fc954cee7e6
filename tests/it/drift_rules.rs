//! What a team's rules say of what others change, and how patient the agent is with whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Bed, SECOND, SOON, holds_for, wait_until};

fn commit(bed: &Bed, drift: &str, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", &format!("drift: {drift}"));
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

fn replicas(bed: &Bed) -> Option<u64> {
    bed.deployment("web")?["spec"]["replicas"].as_u64()
}

fn image(bed: &Bed) -> Option<Value> {
    Some(bed.deployment("web")?["spec"]["template"]["spec"]["containers"][0]["image"].clone())
}

fn message(bed: &Bed) -> String {
    bed.app("web")["message"].as_str().unwrap_or_default().to_owned()
}

fn scale(bed: &Bed, replicas: u32) {
    bed.kubectl(&["scale", "deployment/web", &format!("--replicas={replicas}")]).ok();
}

#[test]
fn who_changes_a_field_again_and_again_is_met_ever_later_and_told_once() {
    let bed = Bed::new("fight");
    let _agent = bed.agent();
    bed.wait_ready(&commit(&bed, "{}", &deployment("web", &[])));
    let (ends, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", bed.name);
            while !ends.load(Ordering::Relaxed) {
                if replicas(&bed) == Some(1) {
                    bed.api().merge(&path, &json!({"spec": {"replicas": 3}}));
                    changes.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(SECOND / 50);
            }
        });
        bed.wait_events("Fight", 1);
        holds_for(12 * SECOND, "it is told once", || {
            bed.events().iter().filter(|event| event.starts_with("Fight ")).count() == 1
        });
        ends.store(true, Ordering::Relaxed);
    });
    // Without pauses it is put back several times a second.
    let changes = changes.load(Ordering::Relaxed);
    assert!((4..=12).contains(&changes), "{changes} times");
    let event = bed.events().into_iter().find(|event| event.starts_with("Fight ")).expect("it was told");
    assert!(event.contains("(.spec.replicas): \"somebody\" changes it"), "{event}");
    wait_until(SOON, "it is put back all the same", || replicas(&bed) == Some(1));
    wait_until(SOON, "the status says so", || message(&bed).contains("again and again"));
    assert_eq!(bed.condition("Ready")["status"], "True");
    // Another field is another matter.
    bed.kubectl(&["set", "image", "deployment/web", "main=registry.example/else:9"]).ok();
    wait_until(5 * SECOND, "the image is put back", || image(&bed) == Some("registry.example/web:1".into()));
}

#[test]
fn what_is_only_reported_stays_and_is_told_until_a_commit_changes_the_object() {
    let bed = Bed::new("reports");
    let agent = bed.agent();
    let manifests = |image: &str| configmap("settings", "1") + &deployment_of("web", 1, image, "", &[]);
    bed.wait_ready(&commit(&bed, "{policy: report}", &manifests("registry.example/web:1")));
    scale(&bed, 3);
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    let told = |bed: &Bed, what: &str| {
        let told = |event: &String| event.starts_with("DriftReported") && event.contains(what);
        bed.events().iter().filter(|event| told(event)).count()
    };
    wait_until(SOON, "both are told", || {
        told(&bed, ".spec.replicas by \"kubectl") > 0 && told(&bed, "settings (gone)") > 0
    });
    holds_for(3 * SECOND, "they stay", || replicas(&bed) == Some(3) && bed.configmap("settings").is_none());
    let app = bed.app("web");
    assert_eq!(app["phase"], "Ready", "{app}");
    assert!(message(&bed).contains(".spec.replicas"), "{app}");
    assert_eq!(told(&bed, ".spec.replicas by"), 1);

    // Who comes after a restart sees the same, and writes nothing.
    agent.terminate();
    agent.wait(SOON);
    drop(agent);
    let _agent = bed.agent();
    wait_until(SOON, "it is seen again", || message(&bed).contains(".spec.replicas"));
    assert_eq!(replicas(&bed), Some(3));

    let drift = bed.fairlead_here(&["drift", &bed.name]);
    assert_eq!(drift.code, 3, "{drift:?}");
    assert!(drift.stdout.contains(".spec.replicas: 1 in git, 3 live (report)"), "{drift:?}");
    assert!(drift.stdout.contains("held by kubectl (Update through scale)"), "{drift:?}");
    assert!(drift.stdout.contains("settings: gone"), "{drift:?}");
    let json = bed.fairlead_here(&["drift", &bed.name, "-o", "json"]).json();
    assert!(json.to_string().contains("\"subresource\":\"scale\""), "{json:#}");

    // A person sees what a commit would overwrite.
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(plan.code, 3, "{plan:?}");
    assert!(plan.stdout.contains("changed by someone else: .spec.replicas"), "{plan:?}");
    bed.wait_ready(&commit(&bed, "{policy: report}", &manifests("registry.example/web:2")));
    // What the commit changes is as it says; what it does not change stays as others left it.
    assert_eq!((replicas(&bed), bed.configmap("settings").is_some()), (Some(1), false));
    wait_until(SOON, "only the other is still told of", || {
        let said = message(&bed);
        said.contains("settings") && !said.contains(".spec.replicas")
    });
    let all = configmap("settings", "2") + &deployment_of("web", 1, "registry.example/web:2", "", &[]);
    bed.wait_ready(&commit(&bed, "{policy: report}", &all));
    assert!(bed.configmap("settings").is_some(), "the commit brings it");
    wait_until(SOON, "nothing is said any more", || message(&bed).is_empty());
}

#[test]
fn what_is_theirs_by_a_rule_is_neither_told_nor_written_until_the_rule_goes() {
    let bed = Bed::new("theirs");
    let _agent = bed.agent();
    let rule = "{rules: [{policy: ignore, kinds: [Deployment.apps], fields: [spec.replicas], reason: scaled by hand}]}";
    bed.wait_ready(&commit(&bed, rule, &deployment_of("web", 1, "registry.example/web:1", "", &[])));
    scale(&bed, 3);
    holds_for(2 * SECOND, "it stays", || replicas(&bed) == Some(3));
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]).ok();
    assert!(
        plan.stdout.contains(".spec.replicas was changed by others, and is theirs by a rule"),
        "{plan:?}"
    );
    let drift = bed.fairlead_here(&["drift", &bed.name]);
    assert_eq!((drift.code, &*drift.stdout), (0, ""), "{drift:?}");
    let all = bed.fairlead_here(&["drift", &bed.name, "--all"]);
    assert!(all.code == 3 && all.stdout.contains("ignore, reason: scaled by hand"), "{all:?}");
    // What is put back, and what a commit brings, leave it alone.
    bed.kubectl(&["set", "image", "deployment/web", "main=registry.example/else:9"]).ok();
    wait_until(SOON, "the image is put back", || image(&bed) == Some("registry.example/web:1".into()));
    assert_eq!(replicas(&bed), Some(3));
    bed.wait_ready(&commit(&bed, rule, &deployment_of("web", 1, "registry.example/web:2", "", &[])));
    assert_eq!((replicas(&bed), image(&bed)), (Some(3), Some("registry.example/web:2".into())));
    let events = bed.events();
    let told = |event: &&String| event.starts_with("Drift") && event.contains(".spec.replicas");
    assert_eq!(events.iter().filter(told).count(), 0, "{events:#?}");

    commit(&bed, "{}", &deployment_of("web", 1, "registry.example/web:2", "", &[]));
    wait_until(SOON, "without the rule it is git's", || replicas(&bed) == Some(1));
}

#[test]
fn an_object_that_is_theirs_may_be_gone_while_others_are_put_back() {
    let bed = Bed::new("gone");
    let _agent = bed.agent();
    let rule = "{rules: [{policy: ignore, kinds: [ConfigMap], reason: made by hand}]}";
    bed.wait_ready(&commit(&bed, rule, &(configmap("settings", "1") + &deployment("web", &[]))));
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    scale(&bed, 3);
    wait_until(SOON, "what is git's is put back", || replicas(&bed) == Some(1));
    holds_for(2 * SECOND, "what is theirs stays gone", || bed.configmap("settings").is_none());
    assert_eq!(bed.app("web")["phase"], "Ready");
}

#[test]
fn of_one_object_each_field_goes_its_own_way_and_a_rule_ends_by_itself() {
    let bed = Bed::new("fields");
    let _agent = bed.agent();
    let object = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {ours: a, told: a, theirs: a}\n";
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(40);
    let rules = format!(
        "{{rules: [{{policy: report, fields: [data.told]}}, \
         {{policy: ignore, fields: [/data/theirs], reason: an incident, until: \"{ends}\"}}]}}"
    );
    bed.wait_ready(&commit(&bed, &rules, object));
    let path = format!("/api/v1/namespaces/{}/configmaps/settings", bed.name);
    bed.api().merge(&path, &json!({"data": {"ours": "b", "told": "b", "theirs": "b"}}));
    let data = || bed.configmap("settings").map(|found| found["data"].clone());
    wait_until(SOON, "what is git's is put back", || data().is_some_and(|data| data["ours"] == "a"));
    assert_eq!(data(), Some(json!({"ours": "a", "told": "b", "theirs": "b"})));
    wait_until(SOON, "what is only reported is told", || message(&bed).contains(".data.told"));
    assert!(!message(&bed).contains("theirs"), "{}", message(&bed));
    wait_until(SOON, "the rule ends, and with it the exception", || {
        data() == Some(json!({"ours": "a", "told": "b", "theirs": "a"}))
    });
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_with_its_line() {
    let bed = Bed::new("badrules");
    let _agent = bed.agent();
    let good = commit(&bed, "{}", &configmap("settings", "1"));
    bed.wait_ready(&good);
    commit(&bed, "{rules: [{policy: ignore, fields: [spec.replicas]}]}", &configmap("settings", "2"));
    wait_until(SOON, "it is told", || {
        let ready = bed.condition("Ready").to_string();
        ready.contains("says why") && ready.contains("environment.yaml:5")
    });
    assert_eq!(bed.configmap("settings").expect("it is there")["data"]["value"], "1");
}

#[test]
fn what_a_person_holds_is_left_alone_until_they_release_it_or_its_time_is_over() {
    let bed = Bed::new("held");
    let agent = bed.agent();
    let manifests = |image: &str| configmap("settings", "1") + &deployment_of("web", 1, image, "", &[]);
    bed.wait_ready(&commit(&bed, "{}", &manifests("registry.example/web:1")));
    let long = bed.fairlead(&["hold", &bed.name, "--for", "48h"]);
    assert!(long.code == 2 && long.stderr.contains("the platform allows"), "{long:?}");
    let object = format!("Deployment.apps {}/web", bed.name);
    bed.fairlead(&["hold", &bed.name, "--object", &object, "--for", "1h", "--reason", "an incident"]).ok();
    scale(&bed, 3);
    bed.set_by_hand("settings");
    let setting = || bed.configmap("settings").map(|found| found["data"]["value"].clone());
    wait_until(SOON, "what nobody holds is put back", || setting() == Some("1".into()));
    holds_for(2 * SECOND, "what is held stays", || replicas(&bed) == Some(3));
    wait_until(SOON, "the status says who and why", || {
        message(&bed).contains("which is held by ") && message(&bed).contains("(an incident)")
    });
    // It holds after a restart, too.
    agent.terminate();
    agent.wait(SOON);
    drop(agent);
    let _agent = bed.agent();
    wait_until(SOON, "it is known again", || message(&bed).contains("which is held by "));
    assert_eq!(replicas(&bed), Some(3));
    let requests = bed.fairlead(&["requests", &bed.name]).ok();
    assert!(requests.stdout.contains("Going"), "{requests:?}");
    bed.fairlead(&["release", &bed.name, "--reason", "over"]).ok();
    wait_until(SOON, "it is put back", || replicas(&bed) == Some(1));
    let url = format!("sqlite:{}", bed.cache().join("history.sqlite").display());
    let history = || bed.fairlead(&["history", "--history", &url, "--kind", "drift,events"]).ok().stdout;
    let line =
        |text: &str, words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    wait_until(SOON, "all of it is in the history", || {
        let text = history();
        line(&text, &["drift changed", "healed", "kubectl", "/spec/replicas: 1 → 3"])
            && line(&text, &["drift changed", "healed", "/data/value"])
            && line(&text, &["hold", "an incident"])
            && line(&text, &["release"])
    });

    bed.fairlead(&["hold", &bed.name, "--app", "web", "--for", "30s", "--deploys"]).ok();
    commit(&bed, "{}", &manifests("registry.example/web:2"));
    let app = bed.wait_app("web", "Suspended");
    assert!(app["message"].as_str().is_some_and(|words| words.contains("commits are held by")), "{app}");
    holds_for(3 * SECOND, "the commit waits", || image(&bed) == Some("registry.example/web:1".into()));
    wait_until(SOON, "it ends by itself", || image(&bed) == Some("registry.example/web:2".into()));
}

#[test]
fn what_others_add_is_told_where_a_rule_says_so_and_stays() {
    let bed = Bed::new("extra");
    let _agent = bed.agent();
    let rule = "{policy: report, extra: true, kinds: [ConfigMap], fields: [data]}";
    bed.wait_ready(&commit(&bed, &format!("{{rules: [{rule}]}}"), &configmap("settings", "1")));
    let path = format!("/api/v1/namespaces/{}/configmaps/settings", bed.name);
    bed.api().merge(&path, &json!({"data": {"added": "by hand"}, "metadata": {"labels": {"seen": "yes"}}}));
    wait_until(SOON, "it is told", || {
        bed.events()
            .iter()
            .any(|event| event.starts_with("DriftReported") && event.contains("(.data.added by"))
    });
    wait_until(SOON, "the status says so", || message(&bed).contains("someone else added to"));
    assert_eq!(bed.app("web")["phase"], "Ready");
    let drift = bed.fairlead_here(&["drift", &bed.name]);
    assert_eq!(drift.code, 3, "{drift:?}");
    assert!(drift.stdout.contains(".data.added: nothing in git, \"by hand\" live (report)"), "{drift:?}");
    assert!(!drift.stdout.contains("seen"), "no rule is about labels: {drift:?}");
    holds_for(2 * SECOND, "it stays", || {
        bed.configmap("settings").is_some_and(|found| found["data"]["added"] == "by hand")
    });
    let rows = || bed.api().get(&format!("/apis/fairlead.dev/v1alpha1/driftreports/{}", bed.name));
    wait_until(SOON, "the report has it", || {
        rows().is_some_and(|report| report["spec"]["open"][0]["class"] == "extra")
    });
    // What git sets is put back as ever.
    bed.api().merge(&path, &json!({"data": {"value": "2"}}));
    bed.api().merge(&path, &json!({"data": {"added": null}}));
    wait_until(SOON, "nothing is left of it", || bed.fairlead_here(&["drift", &bed.name]).code == 0);
    wait_until(SOON, "nor in the status", || !message(&bed).contains("someone else added to"));
}
