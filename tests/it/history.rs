//! What became of each rollout is told: in the status, in the history on disk, and to whoever wants to be told.

use serde_json::Value;

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Bed, SECOND, SOON, Said, holds_for, wait_until};

const CRASHES: &[(&str, &str)] = &[("crash", "always"), ("log", "cannot open the database")];

fn version(version: &str, more: &[(&str, &str)]) -> String {
    configmap("settings", version)
        + &deployment_of("web", 1, &format!("registry.example/web:{version}"), "", more)
        + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: hunter2}\n"
}

fn commit(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 6s}");
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

fn outcomes(said: &Said) -> Vec<String> {
    let rows = said.json();
    let rows = rows.as_array().expect("it is a list").clone();
    rows.iter().map(|row| row["outcome"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_rollout_is_told_by_the_status_and_on_disk() {
    let bed = Bed::new("history");
    let agent = bed.agent();
    let revision = commit(&bed, &version("1", &[]));
    bed.wait_ready(&revision);
    bed.wait_ready(&commit(&bed, &version("2", &[])));
    commit(&bed, &version("3", CRASHES));
    bed.wait_app("web", "Restored");
    bed.fairlead(&["rollback", "--env", &bed.name]).ok();
    let wrong = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: {not: text}}\n";
    commit(&bed, wrong);
    bed.wait_app("web", "Refused");
    let told = || bed.fairlead(&["history", "--env", &bed.name, "-o", "json"]);
    let all = ["refused", "rolledBack", "restored", "done", "done"];
    wait_until(SOON, "all of it is told", || outcomes(&told()) == all);
    let rows = told().ok().json();
    assert_eq!((&rows[4]["revision"], &rows[4]["author"]), (&revision.as_str().into(), &"Ada".into()));
    assert_eq!((&rows[3]["from"], &rows[3]["objects"]), (&rows[4]["digest"], &2.into()));
    assert_eq!((&rows[1]["digest"], &rows[1]["from"]), (&rows[4]["digest"], &rows[2]["digest"]));
    assert!(rows[1]["by"].is_string(), "{rows:#}");
    assert!(rows[2]["why"].as_str().unwrap().contains("cannot open the database"), "{rows:#}");

    // The same stands on disk, where nothing is written at rest.
    let file = bed.cache().join("history.sqlite");
    let url = format!("sqlite:{}", file.display());
    // Who asked for the rollback stands on the time line, too.
    let url = ["--history", &url, "--kind", "rollouts"];
    let kept = || bed.fairlead(&[&["history", "--env", &bed.name, "-o", "json"][..], &url].concat());
    wait_until(SOON, "all of it is kept", || outcomes(&kept()) == all);
    let journal = file.with_extension("sqlite-wal");
    let written = || std::fs::metadata(&journal).and_then(|found| found.modified()).ok();
    let before = written();
    holds_for(3 * SECOND, "at rest nothing is written", || written() == before);
    for path in [&file, &journal] {
        let bytes = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "a value of a Secret is kept");
    }
    let text = bed.fairlead(&["history", "--env", &bed.name, "--app", "web", "--limit", "2"]).ok();
    assert_eq!(text.stdout.lines().count(), 3, "{text:?}");

    // With its disk lost the environment still knows.
    agent.terminate();
    agent.wait(SOON);
    drop(agent);
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    let _agent = bed.agent();
    bed.wait_ready(&commit(&bed, &version("4", &[])));
    let all = ["done", "refused", "rolledBack", "restored", "done", "done"];
    wait_until(SOON, "it goes on", || outcomes(&told()) == all);
}

#[test]
fn a_disk_that_takes_no_history_holds_up_nothing() {
    let bed = Bed::new("nohistory");
    // Where the file would be is a folder.
    std::fs::create_dir_all(bed.cache().join("history.sqlite")).expect("it is made");
    let agent = bed.agent();
    bed.wait_ready(&commit(&bed, &version("1", &[])));
    bed.wait_ready(&commit(&bed, &version("2", &[])));
    wait_until(SOON, "it is counted", || {
        let metrics = agent.page("/metrics").1;
        let line = metrics.lines().find(|line| line.starts_with("fairlead_history_failures "));
        line.is_some_and(|line| !line.ends_with(" 0"))
    });
    assert_eq!(agent.log().iter().filter(|line| line.contains("the history cannot be written")).count(), 1);
}

#[test]
fn a_server_that_is_away_holds_up_nothing_and_its_password_is_shown_nowhere() {
    const PASSWORD: &str = "s3cret-w0rd";
    let bed = Bed::new("nodatabase");
    // A port that nobody listens on.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).unwrap().port();
    let url = format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/history");
    let agent = bed.agent_with(&[("FAIRLEAD_HISTORY", &url)]);
    bed.wait_ready(&commit(&bed, &version("1", &[])));
    wait_until(SOON, "it is told", || agent.has_logged("the history cannot be written"));
    assert!(!agent.has_logged(PASSWORD), "the log has the password");
    assert!(!agent.page("/metrics").1.contains(PASSWORD), "the metrics have the password");
    for wrong in
        [format!("{url}?sslmode=never"), format!("{url}?{PASSWORD}=1"), format!("redis://u:{PASSWORD}@h/x")]
    {
        let said = bed.fairlead(&["agent", "--history", &wrong]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.stderr.contains("no place for the history") && !format!("{said:?}").contains(PASSWORD),
            "{said:?}"
        );
    }
}

#[test]
fn whoever_wants_to_be_told_is_told_what_is_taken_back() {
    let bed = Bed::new("notices");
    let hook = crate::bed::Listener::start();
    let agent = bed.agent_with(&[("FAIRLEAD_NOTIFY_URL", &hook.url("s3cret-path"))]);
    bed.wait_ready(&commit(&bed, &version("1", &[])));
    commit(&bed, &version("2", CRASHES));
    bed.wait_app("web", "Restored");
    // What a slow machine makes the environment itself say is no part of it.
    let of_web = || hook.bodies().into_iter().filter(|body| body["app"] == "web");
    let reasons = || -> Vec<Value> { of_web().map(|body| body["reason"].clone()).collect() };
    wait_until(SOON, "it is told", || reasons().contains(&"Restored".into()));
    assert_eq!(reasons(), ["RolledOut", "Halted", "Restoring", "Restored"]);
    assert!(of_web().all(|body| body["environment"] == bed.name.as_str()));
    assert!(!agent.has_logged("s3cret-path"), "the URL is a secret");
    let gauge = format!("fairlead_app_quarantined{{environment=\"{}\",app=\"web\"}} 1", bed.name);
    wait_until(SOON, "the metrics say so", || agent.page("/metrics").1.contains(&gauge));
}
