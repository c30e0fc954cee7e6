use super::super::stamp::tests::{object, wanted};
use super::*;
use crate::plan::{Stage, WantedApp, plan};

fn job(name: &str, annotations: Value) -> Value {
    let mut job = object("batch/v1", "Job", name);
    job["metadata"]["annotations"] = annotations;
    job["spec"] = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [
        {"name": "main", "image": "m:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}});
    job
}

fn app(objects: Vec<Value>) -> WantedApp {
    wanted(objects).unwrap()
}

fn one(job: Value) -> Arc<Hook> {
    let app = app(vec![job]);
    assert!(app.objects.is_empty(), "a hook is no object");
    app.hooks[0].clone()
}

#[test]
fn a_mark_says_when_it_runs() {
    for (word, moment) in [("before", Moment::Before), ("after", Moment::After), ("verify", Moment::Verify)] {
        let hook = one(job("a", json!({HOOK: word})));
        assert_eq!((hook.install, hook.upgrade), (Some(moment), Some(moment)));
    }
    let left = app(vec![job("a", json!({HOOK: "never"}))]);
    assert!(left.hooks.is_empty() && left.objects.is_empty() && left.left.len() == 1);
    assert!(wanted(vec![job("a", json!({HOOK: "soon"}))]).is_err());
    let mut config = object("v1", "ConfigMap", "a");
    config["metadata"]["annotations"] = json!({HOOK: "before"});
    assert!(wanted(vec![config]).unwrap_err().to_string().contains("only Jobs and Pods"));
}

#[test]
fn helms_words_are_read_as_helm_means_them() {
    use Moment::{After, Before, Verify};
    for (words, install, upgrade) in [
        ("pre-install,pre-upgrade", Some(Before), Some(Before)),
        ("post-install, post-upgrade", Some(After), Some(After)),
        ("post-install,pre-upgrade", Some(After), Some(Before)),
        ("pre-upgrade,pre-rollback", None, Some(Before)),
        ("test", Some(Verify), Some(Verify)),
    ] {
        let hook = one(job("a", json!({HELM_HOOK: words, HELM_WEIGHT: "-5"})));
        assert_eq!((hook.install, hook.upgrade, hook.weight), (install, upgrade, -5), "{words}");
    }
    let app =
        app(vec![job("a", json!({HELM_HOOK: "post-delete"})), job("b", json!({HELM_HOOK: "crd-install"}))]);
    assert_eq!((app.hooks.len(), app.objects.len(), app.left.len()), (0, 1, 1));
    for wrong in ["pre-install,post-install", "pre-instal"] {
        assert!(wanted(vec![job("a", json!({HELM_HOOK: wrong}))]).is_err(), "{wrong}");
    }
    // Our own word wins over Helm's.
    assert_eq!(one(job("a", json!({HELM_HOOK: "post-install", HOOK: "before"}))).upgrade, Some(Before));
}

#[test]
fn the_name_bears_what_it_does_and_nothing_else() {
    let first = one(job("migrate", json!({HOOK: "before"})));
    assert_eq!(&*first.job.key.name, format!("migrate-{}", &first.identity.as_str()[..8]));
    // Another moment, another label: the same work.
    let mut same = job("migrate", json!({HOOK: "after", "note": "x"}));
    same["metadata"]["labels"] = json!({"helm.sh/chart": "web-2"});
    assert_eq!(one(same).identity, first.identity);
    let mut other = job("migrate", json!({HOOK: "before"}));
    other["spec"]["template"]["spec"]["containers"][0]["image"] = json!("m:2");
    assert_ne!(one(other).identity, first.identity);
    let long = one(job(&"x".repeat(80), json!({HOOK: "before"})));
    assert_eq!(long.job.key.name.len(), 63);
    let value = long.job.value();
    assert_eq!(value["metadata"]["labels"][HOOK].as_str().unwrap().len(), 63);
    assert_eq!(value["metadata"]["annotations"][HOOK_IDENTITY], long.identity.as_str());
    assert_eq!(value["metadata"]["annotations"].get(APPLIED), None, "it was never applied");
}

#[test]
fn what_verifies_is_of_what_it_verifies() {
    let with = |version: &str, word: &str| {
        let mut config = object("v1", "ConfigMap", "a");
        config["data"] = json!({"version": version});
        app(vec![config, job("check", json!({HOOK: word}))]).hooks[0].identity.clone()
    };
    assert_ne!(with("1", "verify"), with("2", "verify"));
    assert_eq!(with("1", "verify"), with("1", "verify"));
    assert_eq!(with("1", "before"), with("2", "before"));
}

#[test]
fn a_pod_is_run_as_a_job() {
    let mut pod = object("v1", "Pod", "check");
    pod["metadata"]["annotations"] = json!({HELM_HOOK: "test", "sidecar.example/inject": "false"});
    pod["spec"] = json!({"containers": [{"name": "main", "image": "c:1"}]});
    assert!(wanted(vec![pod.clone()]).unwrap_err().to_string().contains("never ends"));
    pod["spec"]["restartPolicy"] = json!("Never");
    let job = one(pod).job.value();
    assert_eq!((&job["kind"], &job["spec"]["backoffLimit"]), (&json!("Job"), &json!(0)));
    let template = &job["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"], json!({"sidecar.example/inject": "false"}));
    assert_eq!(template["spec"]["containers"][0]["image"], "c:1");
}

#[test]
fn a_job_that_removes_itself_and_is_no_hook_is_told_about() {
    let timed = |name: &str, annotations: Value| {
        let mut timed = job(name, annotations);
        timed["spec"]["ttlSecondsAfterFinished"] = json!(60);
        timed
    };
    let app =
        app(vec![timed("once", json!({HOOK: "before"})), timed("again", json!({})), job("kept", json!({}))]);
    let told = repeated(&app.objects);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Job.batch ") && told[0].contains("again: it runs again"), "{told:?}");
}

#[test]
fn the_time_to_live_begins_when_the_end_is_known() {
    let mut timed = job("a", json!({HOOK: "before", HELM_DELETE: "before-hook-creation,hook-succeeded"}));
    timed["spec"]["ttlSecondsAfterFinished"] = json!(0);
    let hook = one(timed);
    assert_eq!((hook.ttl, hook.delete), (Some(0), true));
    let body: Value = serde_json::from_slice(&hook.body(90)).unwrap();
    assert_eq!(body["spec"].get("ttlSecondsAfterFinished"), None);
    assert_eq!(body["spec"]["activeDeadlineSeconds"], 90);
    let mut own = job("a", json!({HOOK: "before"}));
    own["spec"]["activeDeadlineSeconds"] = json!(5);
    let body: Value = serde_json::from_slice(&one(own).body(90)).unwrap();
    assert_eq!(body["spec"]["activeDeadlineSeconds"], 5);
}

#[test]
fn what_a_hook_needs_is_written_before_it_and_nothing_else() {
    let mut config = object("v1", "ConfigMap", "settings");
    config["metadata"]["annotations"] =
        json!({"config.kubernetes.io/depends-on": "/namespaces/web/ConfigMap/first"});
    let mut early = object("v1", "Secret", "by-helm");
    early["metadata"]["annotations"] = json!({HELM_HOOK: "pre-install"});
    let mut database = object("apps/v1", "Deployment", "db");
    database["spec"] = json!({"template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [
        {"name": "db", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "password", "key": "x"}}}]}]}}});
    let mut service = object("v1", "Service", "db");
    service["spec"] = json!({"selector": {"app": "db"}});
    let on_database = "apps/namespaces/web/Deployment/db";
    let app = app(vec![
        config,
        early,
        database,
        service,
        object("v1", "ConfigMap", "first"),
        object("v1", "Secret", "password"),
        object("v1", "ConfigMap", "other"),
        object("apps/v1", "Deployment", "web"),
        job("migrate", json!({HOOK: "before", "config.kubernetes.io/depends-on": on_database})),
    ]);
    let names: Vec<&str> = app.needed.iter().map(|key| &*key.name).collect();
    assert_eq!(names, ["first", "settings", "by-helm", "password", "db", "db"]);
    let plan = plan(&app, &BTreeMap::new()).unwrap();
    let stages: Vec<(Stage, Vec<&str>)> = plan
        .waves
        .iter()
        .map(|wave| (wave.order.stage, wave.steps.iter().map(|step| &*step.wanted.key.name).collect()))
        .collect();
    let hooks = stages.iter().position(|(stage, _)| *stage == Stage::Main).unwrap();
    assert!(stages[..hooks].iter().all(|(stage, _)| *stage == Stage::Needed));
    let main: Vec<&str> = stages[hooks..].iter().flat_map(|(_, names)| names.clone()).collect();
    assert_eq!(main, ["other", "web"]);
}

#[test]
fn a_name_is_cut_between_letters() {
    // The server refuses such a name; that must not be found out by a panic.
    let hook = one(job(&format!("a{}", "é".repeat(40)), json!({HOOK: "before"})));
    assert!(hook.job.key.name.len() <= 63, "{}", hook.job.key);
    assert_eq!(Digest::from("ééééééé").short(), "éééééé");
    assert_eq!(crate::object::Revision::new("aééééé").short(), "aéééé");
}
