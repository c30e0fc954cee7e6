//! Where drift stands, in the cluster, in metrics and at the command line.

use std::time::Instant;

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, Class, Effect, End, Fault, SECOND, SOON, find, holds_for, wait_until};
use crate::drift_who::report;

fn count(bed: &Bed, what: &str) -> u64 {
    report(bed)["counts"][what].as_u64().unwrap_or(u64::MAX)
}

#[test]
fn a_report_says_what_is_open_and_what_was_put_back_and_nothing_at_rest() {
    let bed = Bed::new("reported");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    let (path, config) =
        bed.config("{name: web, path: web}", "drift: {rules: [{policy: report, kinds: [ConfigMap]}]}");
    let manifests = configmap("settings", "1") + &configmap("other", "1") + &deployment("web", &[]);
    let revision = bed.commit(&[(&path, &config), ("web/all.yaml", &manifests)]);
    bed.wait_ready(&revision);
    wait_until(SOON, "there is a report", || count(&bed, "open") == 0);
    assert_eq!(report(&bed)["summary"], "as git says");

    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    bed.set_by_hand("settings");
    bed.kubectl(&["delete", "configmap/other"]).ok();
    wait_until(SOON, "all of it is told", || count(&bed, "open") == 2 && count(&bed, "putBack") == 1);
    let told = report(&bed);
    let back = &told["putBack"][0];
    assert_eq!(
        (&back["field"], &back["desired"], &back["live"]),
        (&json!("/spec/replicas"), &json!("1"), &json!("3")),
        "{told:#}"
    );
    assert_eq!((&back["who"], &back["action"]), (&json!("unknown"), &json!("healed")), "{told:#}");
    assert!(back["latencyMs"].as_u64().is_some(), "{told:#}");
    let settings = find(&told["open"], "object", &format!("ConfigMap {}/settings", bed.name));
    assert_eq!(
        (&settings["field"], &settings["live"]),
        (&json!("/data/value"), &json!("\"by hand\"")),
        "{told:#}"
    );
    assert_eq!(find(&told["open"], "class", "deleted")["action"], "reported", "{told:#}");
    let shown = bed.kubectl(&["get", "driftreports", &bed.name]).ok().stdout;
    assert!(shown.contains("2 fields are not as git says"), "{shown}");
    let metrics = agent.page("/metrics").1;
    let of =
        |name: &str, label: &str| format!("fairlead_drift_{name}{{environment=\"{}\",{label}}}", bed.name);
    for line in [
        of("seen_total", "class=\"changed\"") + " 2",
        of("seen_total", "class=\"deleted\"") + " 1",
        of("handled_total", "action=\"healed\"") + " 1",
        of("open", "action=\"reported\"") + " 2",
        "fairlead_drift_heal_seconds_count 1".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }

    // At rest nothing is written, and what is written comes in no quick succession.
    std::thread::sleep(2 * SECOND);
    let (rest, writes) = (Instant::now(), |since| {
        let of = |record: &crate::bed::Record| record.path.contains("/driftreports");
        proxy.since(since, &[Class::Status]).into_iter().filter(of).collect::<Vec<_>>()
    });
    holds_for(12 * SECOND, "nothing is written", || writes(rest).is_empty());
    let began = Instant::now();
    for n in 0..6 {
        bed.kubectl(&["scale", "deployment/web", &format!("--replicas={}", n + 4)]).ok();
        std::thread::sleep(SECOND);
    }
    assert!(writes(began).len() <= 2, "{:#?}", writes(began));

    // Who comes after a restart knows what was put back, and that nothing else is new.
    agent.terminate();
    agent.wait(SOON);
    drop(agent);
    let before = report(&bed)["putBack"].clone();
    let _agent = bed.agent_through(&proxy);
    wait_until(SOON, "it is known again", || count(&bed, "open") == 2);
    holds_for(3 * SECOND, "what was put back stands there", || {
        let now = report(&bed)["putBack"].clone();
        before
            .as_array()
            .is_some_and(|rows| rows.iter().all(|row| now.as_array().is_some_and(|now| now.contains(row))))
    });

    // It goes with its Environment.
    bed.api().delete(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name));
    wait_until(SOON, "it is gone", || report(&bed) == Value::Null);
}

#[test]
fn the_command_line_shows_filters_and_follows_drift() {
    let bed = Bed::new("shown");
    let _agent = bed.agent();
    let (path, config) = bed.config("{name: web, path: web}", "drift: {policy: report}");
    let manifests = configmap("one", "1") + &configmap("two", "1") + &deployment("web", &[]);
    bed.wait_ready(&bed.commit(&[(&path, &config), ("web/all.yaml", &manifests)]));
    let drift = |more: &[&str]| bed.fairlead_here(&[&["drift", &bed.name], more].concat());
    let none = drift(&[]);
    assert!(none.code == 0 && none.stderr.contains("nothing of the environment"), "{none:?}");

    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    bed.set_by_hand("one");
    bed.set_by_hand("two");
    let all = drift(&[]);
    assert!(
        all.code == 3
            && all.stdout.contains("2 objects have one cause: \"kubectl-patch\" changed .data.value"),
        "{all:?}"
    );
    assert!(all.stdout.contains("ENV") && all.stdout.contains("POLICY"), "{all:?}");
    let one = drift(&["--object", &format!("ConfigMap {}/one", bed.name)]);
    assert!(
        one.code == 3 && !one.stdout.contains("/two") && !one.stdout.contains("spec.replicas"),
        "{one:?}"
    );
    let cause = drift(&["--cause", "kubectl-patch:data.value", "-o", "json"]).json();
    assert_eq!(cause.as_array().map(Vec::len), Some(2), "{cause:#}");
    let nothing = drift(&["--cause", "nobody"]);
    assert!(nothing.code == 0 && nothing.stderr.contains("what was asked for"), "{nothing:?}");
    assert_eq!(drift(&["--since", "yesterday"]).code, 2);

    // What comes and goes, as it happens.
    let repo = bed.repo.work();
    let mut command = crate::bed::fairlead();
    let mut following = command
        .env("KUBECONFIG", &bed.control_plane().kubeconfig)
        .args(["drift", &bed.name, "--follow", "-o", "json", "--repo", repo.to_str().expect("UTF-8")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(following.stdout.take().expect("a pipe")));
    let mut lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let first: Vec<Value> = lines.by_ref().take(3).collect();
    assert!(first.iter().all(|line| line["what"] == "drift"), "{first:#?}");
    bed.kubectl(&["patch", "configmap", "two", "--type=merge", "--patch", r#"{"data":{"value":"again"}}"#])
        .ok();
    let again = lines.next().expect("it goes on");
    assert_eq!(
        (&again["what"], &again["fields"][0]["live"]),
        (&json!("drift"), &json!("again")),
        "{again:#}"
    );
    let id = following.id().to_string();
    let told = std::process::Command::new("kill").args(["-INT", &id]).status();
    assert!(told.is_ok_and(|status| status.success()));
    assert_eq!(following.wait().expect("it ends").code(), Some(3));

    // A commit puts it back, and what was seen is remembered.
    let (path, config) = bed.config("{name: web, path: web}", "drift: {policy: heal}");
    bed.wait_ready(&bed.commit(&[(&path, &config)]));
    wait_until(SOON, "all is put back", || drift(&[]).code == 0);
    wait_until(SOON, "what was put back is told", || {
        let since = drift(&["--since", "24h"]);
        since.code == 0 && since.stdout.contains("/spec/replicas") && since.stdout.contains("healed after")
    });
    let since =
        drift(&["--since", "24h", "-o", "json", "--object", &format!("ConfigMap {}/two", bed.name)]).json();
    assert!(since[0]["object"].as_str().is_some_and(|object| object.ends_with("/two")), "{since:#}");
}

#[test]
fn what_cannot_be_verified_is_unknown_and_never_in_sync() {
    let bed = Bed::new("unknown");
    let proxy = bed.proxy();
    let more = [("FAIRLEAD_UNKNOWN_AFTER", "10s")];
    let agent = crate::bed::Agent::with(proxy.kubeconfig(), &bed.cache(), &bed.name, &more);
    bed.wait_ready(&bed.commit_web(&(configmap("settings", "1") + &deployment("web", &[]))));
    wait_until(SOON, "there is a report", || count(&bed, "unknown") == 0);
    assert_eq!(bed.condition("Verified"), Value::Null, "where all is well it is not even said");

    // In whichever of three ways a watch dies, what was missed is found, and nothing is unknown.
    let path = "/deployments";
    let ways = [
        Effect::Expired,
        Effect::Ends { after: 0, how: End::Gone },
        Effect::Ends { after: 0, how: End::Close },
    ];
    for (n, way) in ways.into_iter().enumerate() {
        proxy.set(Fault::nth(Class::Watch, 1, way.clone()).times(2).on(path));
        proxy.end_watches(path);
        bed.kubectl(&["scale", "deployment/web", &format!("--replicas={}", n + 2)]).ok();
        wait_until(SOON, &format!("it is put back ({way:?})"), || {
            bed.deployment("web").is_some_and(|web| web["spec"]["replicas"] == 1)
        });
        assert_eq!(bed.condition("Verified"), Value::Null, "{way:?}");
    }

    // All watches of Deployments end, and no list is answered.
    for class in [Class::Watch, Class::List] {
        proxy.set(Fault::nth(class, 1, Effect::answer(500)).times(usize::MAX / 2).on(path));
    }
    proxy.end_watches(path);
    wait_until(SOON, "it is unknown", || bed.condition("Verified")["status"] == "Unknown");
    let message = bed.condition("Verified")["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("Deployment.apps since ") && !message.contains("ConfigMap"), "{message}");
    let status = bed.fairlead(&["status", &bed.name]).ok().stdout;
    assert!(status.contains(", Unknown") && status.contains("unknown   whether"), "{status}");
    wait_until(SOON, "the report says so", || count(&bed, "unknown") == 1);
    let told = report(&bed);
    assert_eq!(told["summary"], "1 kind could not be verified", "{told:#}");
    assert!(told["unknown"][0]["lastVerified"].is_string(), "{told:#}");
    let drift = bed.fairlead_here(&["drift", &bed.name]);
    assert!(
        drift.code == 1 && drift.stdout.contains("Deployment.apps: unknown, verified last at"),
        "{drift:?}"
    );
    let metrics = agent.page("/metrics").1;
    assert!(
        metrics.contains(&format!("fairlead_drift_unknown_kinds{{environment=\"{}\"}} 1", bed.name)),
        "{metrics}"
    );
    // What happens meanwhile is found once it is seen again.
    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    proxy.clear();
    wait_until(SOON, "it is known again", || bed.condition("Verified")["status"] == "True");
    wait_until(SOON, "what was missed is put back", || {
        bed.deployment("web").is_some_and(|web| web["spec"]["replicas"] == 1)
    });
    wait_until(SOON, "the report says so", || count(&bed, "unknown") == 0 && count(&bed, "open") == 0);
}
