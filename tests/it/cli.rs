//! What people and pipelines see: kubectl on Environments, and the verbs that ask a cluster.

use std::time::Duration;

use serde_json::json;

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Bed, SECOND, Setup, wait_until};

#[test]
fn kubectl_reads_well() {
    let bed = Bed::new("read");
    let _agent = bed.agent();
    let revision = bed.commit_web(&configmap("settings", "1"));
    let waited = bed.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=40s",
        &format!("environment/{}", bed.name),
    ]);
    assert_eq!(waited.code, 0, "{waited:?}");
    let table = bed.kubectl(&["get", "env", &bed.name]).ok().stdout;
    let head: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["NAME", "READY", "STATE", "REVISION", "APPS", "AGE"], "{table}");
    let row: Vec<&str> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..5], [&bed.name, "True", "Ready", &revision[..10], "1/1"], "{table}");
    let described = bed.kubectl(&["describe", "environment", &bed.name]).ok().stdout;
    for words in ["Events:", "RolloutStarted", "RolledOut", "web: ", "Phase:", "Effective:"] {
        assert!(described.contains(words), "no {words:?} in:\n{described}");
    }
    let waited = bed.kubectl(&[
        "wait",
        "--for=jsonpath={.status.apps[0].phase}=Ready",
        "--timeout=5s",
        &format!("environment/{}", bed.name),
    ]);
    assert_eq!(waited.code, 0, "{waited:?}");
}

#[test]
fn status_shows_one_and_all() {
    let bed = Bed::new("status");
    let _agent = bed.agent();
    let revision = bed.commit_apps(&[
        ("web", &deployment("web", &[("never-ready", "true")])),
        ("other", &configmap("other", "1")),
    ]);
    bed.wait_app("web", "Waiting");
    bed.wait_app("other", "Ready");
    let one = bed.fairlead(&["status", &bed.name]).ok().stdout;
    for words in [
        &revision[..],
        "web Waiting, 1 objects, wave 1 of 1",
        "waits since",
        "Deployment.apps",
        "git says",
        "other Ready",
    ] {
        assert!(one.contains(words), "no {words:?} in:\n{one}");
    }
    let all = bed.fairlead(&["status"]).ok().stdout;
    assert!(all.lines().any(|line| line.starts_with(&bed.name) && line.contains("1/2")), "{all}");
    let json = bed.fairlead(&["status", "--env", &bed.name, "-o", "json"]).ok().json();
    assert_eq!(json["status"]["apps"][1]["waitingOn"]["what"].as_array().map(Vec::len), Some(1), "{json:#}");
    let none = bed.fairlead(&["status", "nothing-of-this-name"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stderr.contains("there is no Environment"), "{none:?}");
}

#[test]
fn plan_tells_by_its_exit_code_whether_something_would_change() {
    let bed = Bed::new("plan");
    let agent = bed.agent();
    let web = configmap("settings", "1") + &deployment("web", &[]);
    let revision = bed.commit_web(&web);
    bed.wait_ready(&revision);
    drop(agent);
    let same = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(same.stdout.contains("0 to create, 0 to update, 2 unchanged"), "{}", same.stdout);

    bed.repo.write("web/all.yaml", (web.replace("\"1\"", "\"2\"") + &configmap("more", "1")).as_bytes());
    let changed = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(changed.code, 3, "{changed:?}");
    for words in ["1 to create, 1 to update, 1 unchanged", "+ create ConfigMap", ".data.value: 1 → 2"] {
        assert!(changed.stdout.contains(words), "no {words:?} in:\n{}", changed.stdout);
    }
    // Of a commit instead of the files as they lie there.
    let committed = bed.fairlead_here(&["plan", "--env", &bed.name, "--rev", "HEAD"]);
    assert_eq!(committed.code, 0, "{committed:?}");

    let json = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]);
    assert_eq!(json.code, 3);
    let report = json.json();
    assert_eq!(report["environment"], bed.name.as_str());
    let app = &report["apps"][0];
    assert_eq!(
        (&app["app"], &app["create"], &app["update"], &app["unchanged"]),
        (&json!("web"), &json!(1), &json!(1), &json!(1))
    );
    assert_eq!(app["digest"].as_str().map(str::len), Some(64));
    let steps = app["steps"].as_array().expect("steps");
    let more = steps.iter().find(|step| step["action"] == "create").expect("one is made");
    assert_eq!(more["object"], format!("ConfigMap {}/more", bed.name));
    assert_eq!(more["place"]["path"], "web/all.yaml");
    assert_eq!(more["proof"]["proof"], "accepted");
    assert_eq!(more["reason"]["reason"], "missing");
    let update = steps.iter().find(|step| step["action"] == "update").expect("one is changed");
    assert_eq!(update["changes"][0]["path"], ".data.value");
    assert_eq!((&update["changes"][0]["before"], &update["changes"][0]["after"]), (&json!("1"), &json!("2")));

    bed.repo.write("web/all.yaml", web.replace("replicas: 1", "replicas: -1").as_bytes());
    let refused = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("spec.replicas"), "{}", refused.stdout);
    assert_eq!(
        bed.configmap("settings").expect("it is there")["data"]["value"],
        "1",
        "a plan writes nothing"
    );
    assert!(bed.configmap("more").is_none());
}

#[test]
fn plan_puts_a_switch_off_and_a_takeover_first() {
    let bed = Bed::new("risks");
    let agent = bed.agent();
    let revision = bed.commit_web(&deployment("web", &[]));
    bed.wait_ready(&revision);
    drop(agent);
    bed.api().create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": bed.name}, "data": {"value": "1"},
    }));
    let web = deployment("web", &[]).replace("replicas: 1", "replicas: 0") + &configmap("theirs", "1");
    bed.repo.write("web/all.yaml", web.as_bytes());
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 3, "{planned:?}");
    assert!(planned.stdout.contains("would run no replicas"), "{}", planned.stdout);
    assert!(planned.stdout.contains("exists and was not made by Fairlead"), "{}", planned.stdout);
}

#[test]
fn apply_leaves_a_request_where_an_agent_owns_the_environment() {
    let bed = Bed::new("request");
    let revision = bed.commit_web(&deployment("web", &[("ready-after", "2s")]));
    // Nobody answers yet: the request is left there.
    let asked = bed.fairlead(&["apply", "--env", &bed.name, "--no-wait"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert_eq!(bed.requests("apply").len(), 1);
    assert!(bed.deployment("web").is_none(), "a person's apply writes nothing here");
    let impatient = bed.fairlead(&["wait", "--env", &bed.name, "--timeout", "1s"]);
    assert_eq!(impatient.code, 1, "{impatient:?}");
    assert!(impatient.stderr.contains("no agent has looked at it yet"), "{impatient:?}");

    let _agent = bed.agent();
    let applied = bed.fairlead(&["apply", "--env", &bed.name, "--timeout", "40s"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(bed.deployment("web").expect("it was made")["status"]["readyReplicas"], 1);
    assert_eq!(bed.status()["revision"], revision.as_str());
    let requests = bed.requests("apply");
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request["status"]["state"] == "Done"), "{requests:?}");

    let as_another = bed.fairlead_here(&["apply", "--env", &bed.name, "--app", "web"]);
    assert_eq!(as_another.code, 2, "{as_another:?}");
    assert!(as_another.stderr.contains("an agent owns"), "{as_another:?}");
}

#[test]
fn apply_rolls_out_by_itself_where_nobody_owns_the_environment() {
    let bed = Setup::new("byhand").without_environment().make();
    let (path, config) = bed.config("{name: web, path: web}, {name: db, path: db}", "rollout: {timeout: 6s}");
    bed.repo.write(path, config.as_bytes());
    bed.repo.write("db/all.yaml", configmap("db", "1").as_bytes());
    bed.repo.write("web/all.yaml", deployment("web", &[]).as_bytes());
    let apply = || bed.fairlead_here(&["apply", "--env", &bed.name, "--namespace", &bed.name]);
    let done = apply();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("web: ") && done.stderr.contains("runs and is healthy"), "{}", done.stderr);
    assert_eq!(bed.deployment("web").expect("it was made")["status"]["readyReplicas"], 1);
    let again = apply();
    assert_eq!(again.code, 0, "{again:?}");

    bed.repo
        .write("web/all.yaml", deployment("web", &[("crash", "always"), ("log", "no database")]).as_bytes());
    let failed = apply();
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(
        failed.stderr.contains("CrashLoopBackOff") && failed.stderr.contains("no database"),
        "{}",
        failed.stderr
    );

    bed.repo.write("web/all.yaml", deployment("web", &[]).replace("replicas: 1", "replicas: -1").as_bytes());
    bed.repo.write("db/all.yaml", configmap("db", "2").as_bytes());
    let refused = apply();
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("spec.replicas"), "{}", refused.stderr);
    assert_eq!(bed.configmap("db").expect("it is there")["data"]["value"], "2", "the other app went on");

    // As an account that may write nothing there.
    let stranger = format!("{}/default", bed.deployers);
    bed.repo.write("db/all.yaml", configmap("db", "3").as_bytes());
    let denied = bed.fairlead_here(&[
        "apply",
        "--env",
        &bed.name,
        "--namespace",
        &bed.name,
        "--app",
        "db",
        "--as",
        &stranger,
    ]);
    assert_eq!(denied.code, 2, "{denied:?}");
    assert!(denied.stderr.contains("cannot patch resource \"configmaps\""), "{}", denied.stderr);
    assert_eq!(bed.configmap("db").expect("it is there")["data"]["value"], "2");
}

#[test]
fn wait_counts_a_refusal_and_follows_a_rollout() {
    let bed = Bed::new("wait");
    let _agent = bed.agent();
    let revision = bed.commit_web(&deployment("web", &[("ready-after", "3s")]));
    let waited = bed.fairlead(&["wait", "--env", &bed.name, "--revision", &revision, "--timeout", "40s"]);
    assert_eq!(waited.code, 0, "{waited:?}");
    assert!(waited.stderr.contains("Waiting: web waits: Deployment.apps"), "{}", waited.stderr);

    let wrong = bed.commit_web(&deployment("web", &[]).replace("replicas: 1", "replicas: -1"));
    let waited = bed.fairlead(&["wait", "--env", &bed.name, "--revision", &wrong, "--timeout", "40s"]);
    assert_eq!(waited.code, 4, "{waited:?}");
    assert!(waited.stderr.contains("spec.replicas"), "{}", waited.stderr);

    let never = bed.fairlead(&["wait", "--env", &bed.name, "--revision", "0000000", "--timeout", "1s"]);
    assert_eq!(never.code, 1, "{never:?}");
    let nobody = bed.fairlead(&["wait", "--env", "nothing-of-this-name"]);
    assert_eq!(nobody.code, 2, "{nobody:?}");
}

#[test]
fn the_printed_definitions_are_taken_by_a_server() {
    let bed = Bed::new("crd");
    let file = bed.repo.work().join("crds.yaml");
    std::fs::write(&file, bed.fairlead(&["crd"]).ok().stdout).expect("it is written");
    let applied = bed.kubectl(&[
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "-f",
        file.to_str().expect("UTF-8"),
    ]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert!(applied.stdout.contains("environments.fairlead.dev"), "{applied:?}");
    let explained = bed.kubectl(&["explain", "environment.spec.source"]).ok().stdout;
    assert!(explained.contains("branch") && explained.contains("environment.yaml"), "{explained}");
}

#[test]
fn without_a_cluster_a_verb_says_so() {
    let bed = Bed::new("nocluster");
    let missing = bed.fairlead(&["status", "--kubeconfig", "/nowhere/kubeconfig"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(
        missing.stderr.contains("/nowhere/kubeconfig") && missing.stderr.contains("hint:"),
        "{missing:?}"
    );
    let usage = bed.fairlead(&["plan"]);
    assert_eq!(usage.code, 2, "{usage:?}");
    let help = bed.fairlead(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Exit codes"), "{}", help.stdout);
}

#[test]
fn a_suspended_environment_shows_what_would_change_and_writes_nothing() {
    let bed = Setup::new("suspended").suspended().make();
    let _agent = bed.agent();
    bed.commit_web(&(configmap("settings", "1") + &configmap("more", "1")));
    let app = bed.wait_app("web", "Suspended");
    assert_eq!(app["message"], "2 objects would change");
    assert_eq!(bed.condition("Ready")["reason"], "Suspended");
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(bed.configmap("settings").is_none());
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 3, "{planned:?}");

    bed.patch_environment(&json!({"spec": {"suspended": false}}));
    bed.wait_app("web", "Ready");
    bed.patch_environment(&json!({"spec": {"suspended": true}}));
    wait_until(10 * SECOND, "the agent has seen it", || {
        bed.status()["observedGeneration"] == bed.environment()["metadata"]["generation"]
    });
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    bed.wait_app("web", "Suspended");
    std::thread::sleep(SECOND);
    assert!(bed.configmap("settings").is_none(), "not even drift is put back");
    bed.patch_environment(&json!({"spec": {"suspended": false}}));
    wait_until(10 * SECOND, "it is put back", || bed.configmap("settings").is_some());
}

#[test]
fn health_judges_what_a_cluster_holds() {
    let bed = Bed::new("health");
    let _agent = bed.agent();
    let revision = bed.commit_web(&deployment("web", &[]));
    bed.wait_ready(&revision);
    let file = bed.repo.work().join("live.json");
    std::fs::write(&file, bed.kubectl(&["get", "deployment,pods", "-o", "json"]).ok().stdout)
        .expect("it is written");
    let judged = bed.fairlead(&["health", "-f", file.to_str().expect("UTF-8"), "-o", "json"]).ok().json();
    let verdicts = judged.as_array().expect("a list");
    assert_eq!(verdicts.len(), 2, "{judged:#}");
    assert!(verdicts.iter().all(|verdict| verdict["status"] == "healthy"), "{judged:#}");
    let script = bed.fairlead(&["completions", "bash"]).ok().stdout;
    assert!(
        script.contains("fairlead") && script.contains("--kubeconfig"),
        "the completions are of this program"
    );
}

#[test]
fn a_plan_says_where_nobody_would_answer() {
    let bed = Bed::new("downtime");
    let _agent = bed.agent();
    let web = |replicas: u32, image: &str, more: &str| {
        let probe = "readinessProbe: {tcpSocket: {port: 80}}, image";
        let web = deployment_of("web", replicas, image, "", &[]).replacen("image", probe, 1);
        web.replacen("  replicas:", &format!("{more}  replicas:"), 1)
    };
    let planned = |manifests: &str| {
        bed.repo.write("web/all.yaml", manifests.as_bytes());
        let text = bed.fairlead_here(&["plan", "--env", &bed.name]).stdout;
        let json = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]).json();
        let causes: Vec<String> = json["apps"][0]["downtime"]
            .as_array()
            .expect("it is a list")
            .iter()
            .map(|down| down["cause"].as_str().expect("a word").to_owned())
            .collect();
        (text, causes)
    };
    bed.wait_ready(&bed.commit_web(&web(1, "registry.example/web:1", "")));
    // As it is, and with other labels only, it is nobody's news.
    assert_eq!(planned(&web(1, "registry.example/web:1", "")).1, Vec::<String>::new());
    let recreate = "  strategy: {type: Recreate}\n";
    let (text, causes) = planned(&web(1, "registry.example/web:2", recreate));
    assert_eq!(causes, ["recreate", "oneReplica"]);
    let told = text.find("its strategy is Recreate").expect("it is told");
    assert!(told < text.find("wave 1").expect("the steps follow"), "risks come first:\n{text}");
    assert_eq!(planned(&web(3, "registry.example/web:2", "")).1, Vec::<String>::new());
    let all = "  strategy: {rollingUpdate: {maxUnavailable: 100%}}\n";
    assert_eq!(planned(&web(3, "registry.example/web:2", all)).1, ["allAtOnce"]);
    let said = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  production: true\n  apps: [{name: web, path: web}]\n";
    bed.repo.write(format!("environments/{}/environment.yaml", bed.name), said.as_bytes());
    assert_eq!(planned(&web(3, "registry.example/web:2", "")).1, ["noSpread"]);
}
