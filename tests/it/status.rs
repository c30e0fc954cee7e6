//! What stands in the status of an Environment, what in its pages, and what it costs to keep them.

use std::time::Instant;

use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::{Bed, Class, Proxy, Record, SECOND, SOON, fairlead, wait_until};

/// More than fit into a status in full.
const COUNT: usize = 150;
const WRONG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\ndata: {value: {not: text}}\n";

/// Apps of one ConfigMap each, and one that is refused.
fn commit(bed: &Bed, value: impl Fn(usize) -> String) -> String {
    let name = |n: usize| format!("app-{n:03}");
    let mut apps: Vec<(String, String)> =
        (0..COUNT).map(|n| (name(n), configmap(&name(n), &value(n)))).collect();
    apps.push(("wrong".to_owned(), WRONG.to_owned()));
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    bed.commit_apps(&apps)
}

fn pages(bed: &Bed) -> Vec<Value> {
    let path = format!(
        "/apis/fairlead.dev/v1alpha1/environmentpages?labelSelector=fairlead.dev%2Fenvironment%3D{}",
        bed.name
    );
    bed.api().get(&path).and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
}

fn in_pages(bed: &Bed) -> usize {
    pages(bed).iter().filter_map(|page| page["spec"]["apps"].as_array().map(Vec::len)).sum()
}

fn settles(bed: &Bed, revision: &str) {
    wait_until(4 * SOON, "all is told", || {
        let status = bed.status();
        status["revision"] == revision && status["summary"] == format!("{COUNT}/{}", COUNT + 1).as_str()
    });
}

fn told_since(proxy: &Proxy, began: Instant, path: &str) -> Vec<Record> {
    let mut told = proxy.since(began, &[Class::Status]);
    told.retain(|record| record.path.contains(path));
    told
}

#[test]
fn a_large_environment_says_little_and_its_pages_the_rest() {
    let bed = Bed::new("pages");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    settles(&bed, &commit(&bed, |_| "1".to_owned()));
    // What became of their rollouts makes it too much for one status.
    wait_until(SOON, "it has pages", || bed.status()["pages"].is_number());
    let app = bed.app("app-007");
    let fields: Vec<&String> = app.as_object().expect("a row").keys().collect();
    assert_eq!(fields, ["desired", "name", "objects", "phase"], "{app}");
    let wrong = bed.app("wrong");
    assert_eq!((&wrong["phase"], &wrong["history"]), (&json!("Refused"), &Value::Null));
    assert!(wrong["message"].as_str().is_some_and(|message| message.contains("value")), "{wrong}");
    let (status, whole) = (bed.status().to_string().len(), bed.environment().to_string().len());
    assert!(
        whole - status < 6_000,
        "what the server keeps beside it: {whole} bytes with a status of {status}"
    );
    assert!(status < (COUNT + 1) * 140 + 4_000, "{status} bytes");

    // Nobody is told 150 times of the same; and nothing is left out.
    wait_until(SOON, "all of it is told", || {
        bed.events().iter().any(|event| event.contains(" more, of app-"))
    });
    let told = bed.events().iter().filter(|event| event.starts_with("RolledOut ")).count();
    assert!(told < COUNT / 2, "{told} events");

    // The command line tells all of it.
    let history =
        || bed.fairlead(&["history", "--env", &bed.name, "--limit", "999", "-o", "json"]).ok().json();
    let is_on_its_page = || {
        let desired = bed.app("app-007")["desired"].clone();
        history().as_array().is_some_and(|rows| rows.iter().any(|row| row["digest"] == desired))
    };
    wait_until(SOON, "the pages have the rest", || {
        history().as_array().is_some_and(|rows| rows.len() == COUNT + 1)
    });
    let shown = bed.fairlead(&["status", &bed.name, "-o", "json"]).ok().json();
    let app = &shown["status"]["apps"][7];
    assert_eq!((&app["effective"], &app["history"][0]["outcome"]), (&app["desired"], &json!("done")));
    assert_eq!(shown["status"]["apps"].as_array().map(Vec::len), Some(COUNT + 1));
    let page = pages(&bed).swap_remove(0);
    assert_eq!(page["metadata"]["ownerReferences"][0]["name"], bed.name.as_str());
    assert_eq!(json!(pages(&bed).len()), bed.status()["pages"]);

    // One app that changes costs a few small patches, and its own page.
    std::thread::sleep(6 * SECOND); // So that all pages are written.
    let began = Instant::now();
    settles(&bed, &commit(&bed, |n| if n == 7 { "2".to_owned() } else { "1".to_owned() }));
    wait_until(SOON, "its page is written", is_on_its_page);
    let told = told_since(&proxy, began, "/environments/");
    assert!(told.iter().all(|record| record.bytes < 3_000), "{told:#?}");
    let told = told_since(&proxy, began, "/environmentpages/");
    assert!(told.len() == 1 && told[0].bytes < 3_000, "{told:#?}");

    // What somebody else writes there is no reason to stop.
    bed.patch_environment(&json!({"metadata": {"annotations": {"example.org/by": "hand"}}}));
    settles(&bed, &commit(&bed, |n| if n == 7 { "3".to_owned() } else { "1".to_owned() }));
    assert_eq!(bed.environment()["metadata"]["annotations"]["example.org/by"], "hand");

    // A new process knows what stands there, and writes none of it again.
    std::thread::sleep(6 * SECOND);
    agent.terminate();
    agent.wait(SOON);
    drop(agent);
    let began = Instant::now();
    let _agent = bed.agent_through(&proxy);
    let last = commit(&bed, |n| if n == 7 { "4".to_owned() } else { "1".to_owned() });
    settles(&bed, &last);
    wait_until(SOON, "its page is written", is_on_its_page);
    let written = told_since(&proxy, began, "/environmentpages/");
    let numbers: std::collections::BTreeSet<&str> =
        written.iter().filter_map(|record| record.path.rsplit('.').next()).collect();
    // That of the app, and that of the one that is asked about and refused again.
    assert!(numbers.len() <= 2, "{written:#?}");

    bed.api().delete(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name));
    wait_until(SOON, "its pages go with it", || pages(&bed).is_empty());
}

#[test]
fn an_environment_that_shrinks_needs_no_pages() {
    let bed = Bed::new("shrinks");
    let _agent = bed.agent();
    settles(&bed, &commit(&bed, |_| "1".to_owned()));
    wait_until(SOON, "it has pages", || in_pages(&bed) == COUNT + 1);
    // What left git stays until somebody approves; the apps are gone all the same.
    bed.commit_web(&configmap("one", "1"));
    wait_until(SOON, "they are gone", || pages(&bed).is_empty() && bed.status()["pages"] == Value::Null);
    assert_eq!(bed.app("web")["history"].as_array().map(Vec::len), Some(1), "it says so itself");
}

#[test]
fn every_request_says_who_sends_it() {
    let bed = Bed::new("user-agent");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.wait_ready(&bed.commit_web(&configmap("one", "1")));
    let mut command = fairlead();
    command.env("KUBECONFIG", proxy.kubeconfig()).args(["status", &bed.name]);
    let before = proxy.records().len();
    assert!(command.output().expect("the binary runs").status.success());
    let records = proxy.records();
    assert!(records.len() > before, "the command line asked");
    let ours = concat!("fairlead/", env!("CARGO_PKG_VERSION"));
    let other: Vec<&Record> = records.iter().filter(|record| record.user_agent != ours).collect();
    assert!(other.is_empty(), "{other:#?}");
}
