//! `fairlead history` with a long history.

use std::process::{Command, Output};

use fairlead::object::EventKind;
use serde_json::Value;

use crate::bed::{Bed, PASSWORD, days_ago, drift, drifted, event, happened, hours_ago, now, rollout};

struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs it with nothing of the environment of the tests.
fn fairlead(arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().expect("a folder");
    let output: Output = Command::new(env!("CARGO_BIN_EXE_fairlead"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    let said = Said {
        code: output.status.code().expect("it exits"),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    assert!(
        !said.out.contains(PASSWORD) && !said.err.contains(PASSWORD),
        "a password is shown: {}",
        said.err
    );
    said
}

async fn filled() -> [Bed; 2] {
    let beds = Bed::both().await;
    for bed in &beds {
        let mut entries: Vec<_> =
            (1..=1500).map(|n| drifted(drift(&format!("app-{n}"), days_ago(2)))).collect();
        entries.extend([
            rollout("web", hours_ago(1)),
            happened(event(EventKind::Hold, hours_ago(2))),
            happened(event(EventKind::Request, hours_ago(3))),
            happened(event(EventKind::Restore, hours_ago(4))),
            happened(event(EventKind::Rotation, hours_ago(5))),
            drifted(drift("web", hours_ago(6))),
        ]);
        bed.write(entries).await;
    }
    beds
}

fn rows(said: &Said) -> Vec<Value> {
    let value: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{} {}", said.out, said.err));
    value.as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_drift_and_events_are_one_time_line() {
    for bed in filled().await {
        let history = |more: &[&str]| fairlead(&[&["history", "--history", &bed.url], more].concat());
        let all = rows(&history(&["-o", "json"]));
        assert_eq!(all.len(), 50, "as many as the limit says");
        let kinds: Vec<String> = all[..6]
            .iter()
            .map(|row| match row["type"].as_str().unwrap() {
                "event" => row["kind"].as_str().unwrap().to_owned(),
                other => other.to_owned(),
            })
            .collect();
        assert_eq!(kinds, ["rollout", "hold", "request", "restore", "rotation", "drift"]);
        assert_eq!((&all[0]["app"], &all[0]["author"]), (&"web".into(), &"Ada".into()));
        assert_eq!(all[5]["principal"]["user"], "ada@example.org");
        let text = history(&["--since", "24h"]).out;
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("Deployment.apps shop/web /spec/replicas: 2 → it's \"5\""), "{text}");
        let yaml = history(&["--kind", "events", "-o", "yaml", "--limit", "1"]).out;
        assert!(yaml.contains("kind: hold") && !yaml.contains("rotation"), "{yaml}");
        let of_one = rows(&history(&["--object", "deployment/shop/web", "--kind", "drift", "-o", "json"]));
        assert_eq!(of_one.len(), 1);
        assert_eq!(rows(&history(&["--env", "other", "-o", "json"])).len(), 0);
        for wrong in [["--object", "web"], ["--since", "yesterday"], ["--kind", "dreams"]] {
            let said = history(&wrong);
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{wrong:?} {}", said.err);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_everything_in_the_order_of_time_a_line_each() {
    for bed in filled().await {
        let said = fairlead(&["history", "--history", &bed.url, "--export"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let lines: Vec<Value> =
            said.out.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
        assert_eq!(lines.len(), 1506);
        assert_eq!(lines[1505]["type"], "rollout");
        let seen: Vec<jiff::Timestamp> =
            lines[..1501].iter().map(|line| line["firstSeen"].as_str().unwrap().parse().unwrap()).collect();
        assert!(seen.is_sorted());
        let some = fairlead(&[
            "history",
            "--history",
            &bed.url,
            "--export",
            "--kind",
            "events,rollouts",
            "--since",
            "150m",
        ]);
        assert_eq!(some.out.lines().count(), 2, "{}", some.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_the_day_and_the_record_and_fails() {
    // All of one day that is over, whatever the hour: what is of today or yesterday may be sealed or not.
    for bed in Bed::both().await {
        bed.write((1..=1500).map(|n| drifted(drift(&format!("app-{n}"), days_ago(2)))).collect()).await;
        let verify = || fairlead(&["history", "--history", &bed.url, "--verify"]);
        let before = verify();
        assert!(before.code == 0 && before.out.contains("no day is sealed yet"), "{}", before.out);
        let sealed = bed.look_after(now()).await.sealed;
        let day = fairlead::history::date(sealed[0].day);
        let whole = verify();
        assert_eq!((whole.code, whole.err.as_str()), (0, ""), "{}", whole.out);
        assert!(whole.out.contains("1500 records of 1 sealed days are as they were sealed"), "{}", whole.out);
        let known = format!("{day}={}", sealed[0].digest);
        assert!(whole.out.contains(&format!("sealed last: {known}")), "{}", whole.out);
        assert_eq!(fairlead(&["history", "--history", &bed.url, "--verify", "--sealed", &known]).code, 0);
        let other = format!("{day}={}", "0".repeat(64));
        assert_eq!(fairlead(&["history", "--history", &bed.url, "--verify", "--sealed", &other]).code, 1);
        bed.sql("DELETE FROM drift WHERE name = 'app-1234'").await;
        let broken = verify();
        assert_eq!(broken.code, 1);
        let first = broken.out.lines().next().unwrap();
        assert!(
            first.starts_with(&format!("{day}: the record ")) && first.ends_with(" of drift was removed"),
            "{first}"
        );
        let json = fairlead(&["history", "--history", &bed.url, "--verify", "-o", "json"]);
        let value: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((json.code, &value["whole"], &value["wrong"]), (1, &false.into(), &1.into()));
    }
}

#[test]
fn a_server_that_cannot_be_asked_is_told_without_the_password() {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).unwrap().port();
    for url in [
        format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x"),
        format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?sslmode=nonsense"),
        format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?{PASSWORD}=1"),
        format!("postgres://u@127.0.0.1:{port}/x?password={PASSWORD}"),
        format!("redis://u:{PASSWORD}@127.0.0.1:{port}/x"),
    ] {
        let said = fairlead(&["history", "--history", &url]);
        assert!(said.code == 1 || said.code == 2, "{}", said.err);
        assert!(said.err.starts_with("error: "), "{}", said.err);
    }
}

#[test]
fn what_only_a_long_history_has_is_not_asked_of_a_cluster() {
    for more in ["--export", "--verify", "--kind=drift", "--object=Deployment/shop/web"] {
        let said = fairlead(&["history", more]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains("--history"), "{}", said.err);
    }
    assert_eq!(fairlead(&["history"]).code, 2);
}
