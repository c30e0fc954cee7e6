//! What an environment remembers outlives the agent, its disk and its remote; what is damaged is named, and is no evidence.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::rbac::STATE_NAMESPACE;
use crate::bed::{Agent, Bed, Class, Effect, Fault, SECOND, SOON, holds_for, wait_until};

const INSTANT: std::time::Duration = std::time::Duration::from_millis(2_500);

fn configmaps(names: &[&str]) -> String {
    names.iter().map(|name| configmap(name, "1")).collect()
}

/// The Secrets that hold what an environment remembers.
fn secrets(bed: &Bed) -> Vec<Value> {
    let selector = format!("labelSelector=fairlead.dev/state-of%3D{}", bed.name);
    let path = format!("/api/v1/namespaces/{STATE_NAMESPACE}/secrets?{selector}");
    bed.api().get(&path).expect("a list")["items"].as_array().expect("items").clone()
}

fn path(secret: &str) -> String {
    format!("/api/v1/namespaces/{STATE_NAMESPACE}/secrets/{secret}")
}

fn names(bed: &Bed) -> Vec<String> {
    secrets(bed).iter().filter_map(|secret| secret["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

fn bytes(secret: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(secret["data"][field].as_str().expect("a field")).expect("base64")
}

/// What is remembered of each app: what the pieces say that the document names, and then its journal.
pub fn document(bed: &Bed) -> Value {
    let Some(secret) = bed.api().get(&path(&format!("state-{}", bed.name))) else { return Value::Null };
    let document: Value = serde_json::from_slice(&bytes(&secret, "document")).expect("JSON");
    let piece = |digest: &Value| {
        let secret = bed.api().get(&path(&piece_name(bed, digest)));
        bytes(&secret.expect("a piece that is named is there"), "piece")
    };
    let list = |list: &Value| {
        let names = list["names"].as_array().into_iter().flatten();
        let all: Vec<u8> = names.flat_map(piece).collect();
        if all.is_empty() { Vec::new() } else { zstd::decode_all(all.as_slice()).expect("zstd") }
    };
    let runs = document["runs"].as_array().into_iter().flatten();
    let mut text: Vec<u8> = std::iter::once(&document["apps"]).chain(runs).flat_map(list).collect();
    text.extend(zstd::decode_all(bytes(&secret, "journal").as_slice()).expect("zstd"));
    let mut apps = json!({});
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).expect("JSON");
        let Some(app) = line["a"].as_str() else { continue };
        match (&line["n"], &line["f"]) {
            (Value::Object(_), _) => apps[app] = line["n"].clone(),
            (_, Value::Object(fields)) => {
                fields.iter().for_each(|(field, value)| apps[app][field] = value.clone());
            }
            _ => drop(apps.as_object_mut().expect("a map").remove(app)),
        }
    }
    json!({"apps": apps})
}

fn piece_name(bed: &Bed, digest: &Value) -> String {
    format!("piece-{}-{}", bed.name, &digest.as_str().expect("a digest")[..40])
}

/// So much, and so odd, that what an app wants stands in pieces of its own.
fn large(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let text: String = (0..300_000).map(|_| random.alphanumeric()).collect();
    configmap("large", &text)
}

/// The pieces of what the app `web` ran last when all was well.
fn last_good(bed: &Bed) -> (String, Vec<String>) {
    let good = document(bed)["apps"]["web"]["lastGood"].clone();
    let pieces = good["pieces"]["names"].as_array().into_iter().flatten();
    let pieces = pieces.map(|digest| piece_name(bed, digest)).collect();
    (good["revision"].as_str().unwrap_or_default().to_owned(), pieces)
}

/// Waits until what a commit brought is remembered.
#[track_caller]
fn wait_kept(bed: &Bed, revision: &str) {
    bed.wait_ready(revision);
    wait_until(SOON, "it is remembered", || last_good(bed).0 == revision);
}

fn stop(agent: Agent) {
    agent.terminate();
    agent.wait(SECOND * 20);
}

#[test]
fn two_generations_are_remembered_without_the_values_of_secrets() {
    let bed = Bed::new("remember");
    let _agent = bed.agent();
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n";
    let mut generations = Vec::new();
    for seed in [1, 2, 3] {
        let revision = bed.commit_web(&(large(seed) + secret));
        wait_kept(&bed, &revision);
        generations.push(last_good(&bed).1);
    }
    assert!(generations.iter().all(|pieces| !pieces.is_empty()), "{generations:?}");
    wait_until(SOON, "the first generation is dropped", || {
        let there = names(&bed);
        generations[0].iter().all(|piece| !there.contains(piece))
            && generations[1].iter().chain(&generations[2]).all(|piece| there.contains(piece))
    });
    for secret in secrets(&bed) {
        let name = secret["metadata"]["name"].as_str().unwrap().to_owned();
        let text = if name.starts_with("state-") {
            let journal = zstd::decode_all(bytes(&secret, "journal").as_slice()).expect("zstd");
            [bytes(&secret, "document"), journal].concat()
        } else {
            assert_eq!(secret["immutable"], true, "{name}");
            zstd::decode_all(bytes(&secret, "piece").as_slice()).expect("zstd")
        };
        let text = String::from_utf8(text).expect("UTF-8");
        for value in ["hunter2", &STANDARD.encode("hunter2")] {
            assert!(!text.contains(value), "{name} holds {value}");
        }
    }
}

#[test]
fn of_an_app_that_is_gone_nothing_is_remembered() {
    let bed = Bed::new("appgone");
    let _agent = bed.agent();
    let both = bed.commit_apps(&[("web", &configmaps(&["a"])), ("api", &configmaps(&["b"]))]);
    bed.wait_ready(&both);
    wait_until(SOON, "both are remembered", || document(&bed)["apps"]["api"]["lastGood"].is_object());
    let pieces = names(&bed).len();
    let one = bed.commit_web(&configmaps(&["a", "c"]));
    wait_kept(&bed, &one);
    assert!(document(&bed)["apps"]["api"].is_null(), "{:#}", document(&bed));
    wait_until(SOON, "nor are its pieces", || names(&bed).len() <= pieces);
}

#[test]
fn while_the_document_is_gone_its_pieces_wait_for_it() {
    let bed = Bed::new("putback");
    let agent = bed.agent();
    let first = bed.commit_web(&large(1));
    wait_kept(&bed, &first);
    stop(agent);
    let secret = path(&format!("state-{}", bed.name));
    bed.api().delete(&secret);
    let before = names(&bed);
    assert!(!before.is_empty());
    let (file, config) = bed.config("", "rollout: {timeout: 60s}");
    let empty = bed.commit(&[(&file, &config)]);
    let _agent = bed.agent();
    bed.wait_seen(&empty);
    assert!(before.iter().all(|piece| names(&bed).contains(piece)), "{before:?}");
}

#[test]
fn an_object_that_someone_made_again_is_not_ours_to_delete() {
    let bed = Bed::new("again");
    let agent = bed.agent();
    let first = bed.commit_web(&configmaps(&["kept", "again", "goes"]));
    wait_kept(&bed, &first);
    stop(agent);
    // As a restored backup may bring it: the same content, labels, annotations and managedFields, and another uid.
    let mut copy = bed.configmap("again").expect("it is there");
    let url = format!("/api/v1/namespaces/{}/configmaps", bed.name);
    bed.api().delete(&format!("{url}/again"));
    for servers_own in ["uid", "resourceVersion", "creationTimestamp"] {
        copy["metadata"].as_object_mut().unwrap().remove(servers_own);
    }
    copy["metadata"].as_object_mut().unwrap().remove("managedFields");
    bed.api().apply_as("fairlead", &copy);
    let made = bed.configmap("again").expect("it is there again");
    assert!(made["metadata"]["managedFields"].to_string().contains("\"fairlead\""), "{made:#}");
    let second = bed.commit_web(&configmaps(&["kept"]));
    let _agent = bed.agent();
    bed.wait_ready(&second);
    wait_until(SOON, "the one that is ours goes", || bed.configmap("goes").is_none());
    holds_for(INSTANT, "the other stays", || bed.configmap("again").is_some());
    let kept = bed.status()["prune"]["kept"].to_string();
    assert!(kept.contains("another uid"), "{kept}");
}

#[test]
fn what_was_made_by_an_agent_that_died_before_it_heard_so_is_still_ours() {
    let bed = Bed::new("unheard");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    bed.wait_seen_by_agent();
    proxy.set(Fault::nth(Class::Write, 2, Effect::KillAfter));
    bed.commit_web(&configmaps(&["a", "b", "c"]));
    agent.wait(SOON);
    drop(agent);
    // Before anyone is there to see it: none of the three is wanted any more.
    let others: Vec<String> = (0..12).map(|n| format!("other-{n}")).collect();
    let second = bed.commit_web(&configmaps(&others.iter().map(String::as_str).collect::<Vec<_>>()));
    let _agent = bed.agent();
    bed.wait_ready(&second);
    wait_until(SOON, "what was made goes", || {
        ["a", "b", "c"].iter().all(|name| bed.configmap(name).is_none())
    });
}

#[test]
fn after_the_memory_is_lost_nothing_is_deleted_unasked() {
    let bed = Bed::new("amnesia");
    let agent = bed.agent();
    let first = bed.commit_web(&configmaps(&["kept", "goes"]));
    wait_kept(&bed, &first);
    stop(agent);
    for name in names(&bed) {
        bed.api().delete(&path(&name));
    }
    let second = bed.commit_web(&configmaps(&["kept"]));
    let _agent = bed.agent();
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    let message = bed.status()["prune"]["message"].to_string();
    assert!(message.contains("nobody remembers"), "{message}");
    holds_for(INSTANT, "it stays", || bed.configmap("goes").is_some());
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON, "it goes", || bed.configmap("goes").is_none());
    bed.wait_ready(&second);
    // And what is wanted is remembered from now on.
    let third = bed.commit_web(&configmaps(&["other"]));
    bed.wait_ready(&third);
    wait_until(SOON, "it goes unasked", || bed.configmap("kept").is_none());
}

#[test]
fn a_piece_that_is_missing_or_altered_is_named_and_made_again() {
    for altered in [false, true] {
        let bed = Bed::new("damage");
        let agent = bed.agent();
        let first = bed.commit_web(&large(1));
        wait_kept(&bed, &first);
        stop(agent);
        let (_, pieces) = last_good(&bed);
        let mut secret = bed.api().get(&path(&pieces[0])).expect("the piece");
        bed.api().delete(&path(&pieces[0]));
        if altered {
            secret["data"]["piece"] = STANDARD.encode("something else").into();
            for servers_own in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                secret["metadata"].as_object_mut().unwrap().remove(servers_own);
            }
            bed.api().create(&secret);
        }
        let agent = bed.agent();
        wait_until(SOON * 2, "it is named", || {
            bed.events().iter().any(|event| event.starts_with("StateDamaged") && event.contains(&pieces[0]))
        });
        if !altered {
            // Nothing runs but what is remembered, so it is known what the piece held.
            wait_until(SOON, "it is made again", || bed.api().get(&path(&pieces[0])).is_some());
        }
        let second = bed.commit_web(&(large(1) + &configmap("b", "1")));
        wait_kept(&bed, &second);
        stop(agent);
    }
}

#[test]
fn what_many_apps_do_at_once_is_remembered_in_a_few_requests() {
    let bed = Bed::new("batched");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.wait_seen_by_agent();
    let began = std::time::Instant::now();
    let apps: Vec<(String, String)> =
        (0..40).map(|n| (format!("app-{n}"), configmaps(&[&format!("a-{n}"), &format!("b-{n}")]))).collect();
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let revision = bed.commit_apps(&apps);
    bed.wait_ready(&revision);
    let all_kept = || {
        let apps = document(&bed)["apps"].clone();
        (0..40).all(|n| apps[format!("app-{n}")]["lastGood"].is_object())
    };
    wait_until(SOON, "all are remembered", all_kept);
    let requests = proxy.since(began, &[Class::State]).len();
    assert!(requests < 60, "{requests} requests for 40 apps");
    assert_eq!(names(&bed), [format!("state-{}", bed.name)], "all of it is short enough for the journal");
}

#[test]
fn a_memory_that_cannot_be_read_stops_its_environment_and_names_the_secret() {
    let bed = Bed::new("garbled");
    let agent = bed.agent();
    let first = bed.commit_web(&configmaps(&["a"]));
    wait_kept(&bed, &first);
    stop(agent);
    let secret = path(&format!("state-{}", bed.name));
    bed.api().merge(&secret, &json!({"data": {"document": STANDARD.encode("{\"version\": 1, ")}}));
    bed.commit_web(&configmaps(&["b"]));
    let _agent = bed.agent();
    wait_until(SOON, "it says so", || bed.condition("Ready")["reason"] == "StateUnavailable");
    let message = bed.condition("Ready")["message"].to_string();
    assert!(message.contains(&format!("{STATE_NAMESPACE}/state-{}", bed.name)), "{message}");
    holds_for(INSTANT, "nothing is written", || bed.configmap("b").is_none() && bed.configmap("a").is_some());
    bed.api().delete(&secret);
    wait_until(SOON * 2, "it begins anew", || bed.configmap("b").is_some());
}

#[test]
fn after_a_restart_a_field_that_was_ours_is_taken_back_by_a_commit() {
    let bed = Bed::new("takeback");
    let agent = bed.agent();
    let first = bed.commit_web(&configmap("a", "1"));
    wait_kept(&bed, &first);
    stop(agent);
    bed.set_by_hand("a");
    let second = bed.commit_web(&configmap("a", "2"));
    let _agent = bed.agent();
    bed.wait_ready(&second);
    assert_eq!(bed.configmap("a").unwrap()["data"]["value"], "2");
}

#[test]
fn nothing_is_written_where_it_cannot_be_remembered() {
    let bed = Bed::new("unkept");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.wait_seen_by_agent();
    proxy.set(Fault::nth(Class::State, 1, Effect::Answer { status: 403, retry_after: None }).times(2));
    let first = bed.commit_web(&configmaps(&["a"]));
    bed.wait_app("web", "Refused");
    assert!(bed.configmap("a").is_none());
    // And it goes on by itself.
    wait_kept(&bed, &first);
}
