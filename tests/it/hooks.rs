//! Jobs that run once on the way: in their place, once for what they do, whatever happens to the agent meanwhile.

mod killed;

use std::time::Instant;

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Agent, Bed, Class, Proxy, Record, SECOND, SOON, Setup, holds_for, wait_until};

/// A Job that is marked as a hook. `spec` are lines of its spec, in flow style; `pod` tells the simulated node.
fn hook(name: &str, marks: &str, spec: &str, pod: &[(&str, &str)], image: &str) -> String {
    let pod: Vec<String> =
        pod.iter().map(|(key, value)| format!("sim.fairlead.dev/{key}: {value:?}")).collect();
    format!(
        "---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, annotations: {{{marks}}}}}
spec:
  backoffLimit: 0
  {spec}
  template:
    metadata: {{annotations: {{{}}}}}
    spec:
      restartPolicy: Never
      containers: [{{name: main, image: {image:?}, envFrom: [{{configMapRef: {{name: settings}}}}]}}]
",
        pod.join(", ")
    )
}

fn migration(image: &str, pod: &[(&str, &str)]) -> String {
    hook("migrate", "fairlead.dev/hook: before", "", pod, image)
}

/// What the app is beside its hooks.
fn web(version: &str) -> String {
    configmap("settings", version)
        + &deployment_of("web", 1, &format!("registry.example/web:{version}"), "", &[])
}

/// For a hook that runs until [`let_end`], whatever the machine does meanwhile.
const UNTIL_TOLD: &[(&str, &str)] = &[("run-for", "10m")];
/// Gates that give a hook more time than any test takes.
const PATIENT: &str = "rollout: {timeout: 5m}";

/// Commits one app that its gates give 12 seconds.
fn commit(bed: &Bed, manifests: &str) -> String {
    commit_with(bed, manifests, "rollout: {timeout: 12s}")
}

fn commit_with(bed: &Bed, manifests: &str, rollout: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", rollout);
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

fn jobs(bed: &Bed) -> Vec<Value> {
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", bed.name);
    bed.api().get(&path).unwrap_or_default()["items"].as_array().cloned().unwrap_or_default()
}

fn jobs_of(bed: &Bed, hook: &str) -> Vec<Value> {
    let mut all = jobs(bed);
    all.retain(|job| job["metadata"]["labels"]["fairlead.dev/hook"] == hook);
    all
}

fn is(job: &Value, condition: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|found| found["type"] == condition && found["status"] == "True")
}

fn uid(job: &Value) -> String {
    job["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn image(bed: &Bed) -> Value {
    let web = bed.deployment("web").unwrap_or_default();
    web["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// Ends what runs for hooks: their pods run for as long as their annotation says, and the simulated node reads it again.
fn let_end(bed: &Bed) {
    bed.kubectl(&["annotate", "pods", "-l", "job-name", "--overwrite", "sim.fairlead.dev/run-for=1s"]).ok();
}

/// The Jobs that the server made, by the number of times that it did: of each name there is one.
fn made(records: &[Record]) -> usize {
    let made = records.iter().filter(|record| {
        record.class == Class::Write && record.path.ends_with("/jobs") && record.status == Some(201)
    });
    made.count()
}

/// Who made it, and how: created by us, and never applied.
fn managers(job: &Value) -> Vec<(String, String)> {
    let entries = job["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = entries.iter().filter(|entry| entry["subresource"].is_null());
    own.map(|entry| (text(&entry["manager"]), text(&entry["operation"]))).collect()
}

/// An environment that runs version 1, and the agent through a proxy.
fn running(name: &str) -> (Bed, Proxy, Agent) {
    let bed = Bed::new(name);
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    let revision = commit(&bed, &web("1"));
    bed.wait_ready(&revision);
    (bed, proxy, agent)
}

#[test]
fn hooks_run_in_their_place_and_once_for_what_they_do() {
    let bed = Bed::new("hooks");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let hooks = migration("m:1", &[])
        + &hook("second", "fairlead.dev/hook: before, fairlead.dev/wave: '1'", "", &[], "m:1")
        + &hook("warm", "helm.sh/hook: 'post-install,post-upgrade'", "", &[], "w:1")
        + &hook("check", "helm.sh/hook: test", "", &[], "c:1");
    let revision = commit(&bed, &(web("1") + &hooks));
    bed.wait_ready(&revision);
    let short = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if path.ends_with("/jobs") { "a hook".to_owned() } else { name }
    };
    let records = proxy.records();
    let wrote: Vec<String> = records
        .iter()
        .filter(|record| record.class == Class::Write)
        .map(|record| short(&record.path))
        .collect();
    assert_eq!(wrote, ["settings", "a hook", "a hook", "web", "a hook", "a hook"]);
    let mut names: Vec<(String, String)> = jobs(&bed)
        .iter()
        .map(|job| {
            assert!(is(job, "Complete"));
            assert_eq!(managers(job), [("fairlead".to_owned(), "Update".to_owned())]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&job["metadata"]["creationTimestamp"]),
                text(&job["metadata"]["labels"]["fairlead.dev/hook"]),
            )
        })
        .collect();
    names.sort();
    let order: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(order, ["migrate", "second", "warm", "check"], "one after the other: {names:?}");
    let identity =
        jobs_of(&bed, "migrate")[0]["metadata"]["annotations"]["fairlead.dev/hook-identity"].clone();
    let name = jobs_of(&bed, "migrate")[0]["metadata"]["name"].clone();
    assert_eq!(name, format!("migrate-{}", &identity.as_str().unwrap()[..8]));

    // What is new for the app and not for its hooks: only what verifies it runs again, and the older one goes.
    let checked = uid(&jobs_of(&bed, "check")[0]);
    let began = Instant::now();
    let revision = commit(&bed, &(web("2") + &hooks));
    bed.wait_ready(&revision);
    assert_eq!(made(&proxy.since(began, &[Class::Write])), 1);
    wait_until(SOON, "the older one is gone", || jobs_of(&bed, "check").len() == 1);
    assert_ne!(uid(&jobs_of(&bed, "check")[0]), checked);

    // Drift is put back without any hook, and at rest nothing is written.
    let began = Instant::now();
    bed.kubectl(&["delete", "configmap", "settings"]).ok();
    wait_until(SOON, "it is put back", || bed.configmap("settings").is_some());
    holds_for(2 * SECOND, "no hook runs for it", || made(&proxy.since(began, &[Class::Write])) == 0);
    assert_eq!(proxy.since(began, &[Class::Write]).len(), 1);

    // A migration that does something else runs before the app changes, and the older Job goes when all is well.
    let began = Instant::now();
    let revision = commit(&bed, &(web("3") + &hooks.replace("m:1", "m:2")));
    bed.wait_ready(&revision);
    assert_eq!(made(&proxy.since(began, &[Class::Write])), 3, "both before, and the check");
    wait_until(SOON, "the older ones are gone", || jobs(&bed).len() == 4);
    assert!(bed.events().iter().all(|event| !event.starts_with("HookNotTidied")), "{:#?}", bed.events());
    assert_eq!(bed.status()["prune"], Value::Null, "they are nobody's strays");
}

#[test]
fn a_migration_that_fails_is_taken_back_and_the_app_is_never_touched() {
    let (bed, _proxy, _agent) = running("hookfail");
    let generation = bed.deployment("web").unwrap()["metadata"]["generation"].clone();
    let fails = [("job", "fail"), ("log", "column users.name is gone"), ("exit-code", "3")];
    commit(&bed, &(web("2") + &migration("m:1", &fails)));
    let app = bed.wait_app("web", "Restored");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("column users.name is gone"), "its last words: {message}");
    assert!(message.contains("Job.batch") && message.contains("migrate-"), "{message}");
    assert_eq!(app["quarantined"], app["desired"]);
    let web = bed.deployment("web").unwrap();
    assert_eq!((image(&bed), &web["metadata"]["generation"]), (json!("registry.example/web:1"), &generation));
    assert_eq!(bed.configmap("settings").unwrap()["data"]["value"], "1", "what it read goes back");
    let job = jobs_of(&bed, "migrate");
    assert!(job.len() == 1 && is(&job[0], "Failed"), "it stays, for whoever looks");
}

#[test]
fn what_a_migration_did_stays_when_the_app_is_taken_back() {
    let (bed, proxy, _agent) = running("hookstays");
    let bad = deployment_of("web", 1, "registry.example/web:2", "", &[("crash", "always")]);
    let began = Instant::now();
    commit(&bed, &(configmap("settings", "2") + &bad + &migration("m:1", &[])));
    let app = bed.wait_app("web", "Restored");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("is not taken back") && message.contains("migrate-"), "{message}");
    assert_eq!((image(&bed), jobs_of(&bed, "migrate").len()), (json!("registry.example/web:1"), 1));
    assert_eq!(made(&proxy.since(began, &[Class::Write])), 1);
}

#[test]
fn what_is_found_wrong_last_of_all_fails_the_rollout() {
    let (bed, _proxy, _agent) = running("hookcheck");
    let check =
        hook("check", "fairlead.dev/hook: verify", "", &[("job", "fail"), ("log", "no answer")], "c:1");
    commit(&bed, &(web("2") + &check));
    wait_until(SOON, "the new one runs first", || image(&bed) == "registry.example/web:2");
    let app = bed.wait_app("web", "Restored");
    assert!(app["message"].as_str().unwrap().contains("no answer"), "{app}");
    assert_eq!(image(&bed), "registry.example/web:1");
}

#[test]
fn a_first_deploy_whose_migration_fails_halts_and_a_person_has_it_run_again() {
    let bed = Bed::new("hookretry");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    // Its pod waits for a Secret that is not part of the app, until its time is over.
    let waits = migration("m:1", &[])
        .replace("envFrom: [{configMapRef", "envFrom: [{secretRef: {name: elsewhere}}, {configMapRef");
    commit_with(&bed, &(web("1") + &waits), "rollout: {timeout: 4s}");
    let app = bed.wait_app("web", "Halted");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("DeadlineExceeded") && message.contains("fairlead retry"), "{message}");
    assert!(bed.deployment("web").is_none(), "nothing of the app is written");
    let first = uid(&jobs_of(&bed, "migrate")[0]);

    // Neither time nor a restart runs it again.
    drop(agent);
    let agent = bed.agent_through(&proxy);
    bed.wait_app("web", "Halted");
    holds_for(3 * SECOND, "it is not run again", || made(&proxy.records()) == 1);

    bed.api().create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "elsewhere", "namespace": bed.name},
        "stringData": {"a": "b"},
    }));
    bed.fairlead(&["retry", "--env", &bed.name]).ok();
    bed.wait_app("web", "Ready");
    let job = &jobs_of(&bed, "migrate")[0];
    assert!(is(job, "Complete") && uid(job) != first);
    assert_eq!(made(&proxy.records()), 2);
    // The word is spent.
    drop(agent);
    let _agent = bed.agent_through(&proxy);
    bed.wait_app("web", "Ready");
    holds_for(2 * SECOND, "once", || made(&proxy.records()) == 2);
}

#[test]
fn a_success_that_is_gone_stays_a_success() {
    let (bed, proxy, agent) = running("hookttl");
    let marks = "fairlead.dev/hook: before";
    let lives = hook("migrate", marks, "ttlSecondsAfterFinished: 1", &[], "m:1");
    let helm = "helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-delete-policy: hook-succeeded";
    let goes = hook("goes", helm, "", &[], "m:1");
    let revision = commit(&bed, &(web("2") + &lives + &goes));
    bed.wait_ready(&revision);
    wait_until(SOON, "both are gone", || jobs(&bed).is_empty());
    assert_eq!(made(&proxy.records()), 2);
    drop(agent);
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    let _agent = bed.agent_through(&proxy);
    let revision = commit(&bed, &(web("3") + &lives + &goes));
    bed.wait_ready(&revision);
    assert_eq!((made(&proxy.records()), jobs(&bed).len()), (2, 0), "they ran, and are not run again");
}

#[test]
fn what_somebody_deletes_while_it_runs_is_not_made_again_unasked() {
    let (bed, proxy, _agent) = running("hookgone");
    commit(&bed, &(web("2") + &migration("m:1", &[("run-for", "60s")])));
    wait_until(SOON, "it runs", || jobs_of(&bed, "migrate").iter().any(|job| job["status"]["active"] == 1));
    bed.kubectl(&["delete", "jobs", "--all", "--wait=false"]).ok();
    let app = bed.wait_app("web", "Restored");
    assert!(app["message"].as_str().unwrap().contains("nobody knows what it did"), "{app}");
    holds_for(3 * SECOND, "it is not made again", || made(&proxy.records()) == 1);
}

#[test]
fn a_job_of_that_name_that_is_not_ours_is_refused() {
    let (bed, _proxy, _agent) = running("hookforged");
    let manifests = web("2") + &migration("m:1", &[]);
    bed.repo.write("web/all.yaml", manifests.as_bytes());
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]).json();
    let hook = &plan["apps"][0]["hooks"][0];
    assert_eq!((&hook["moment"], &hook["state"]), (&json!("before"), &json!("due")), "{plan:#}");
    let job = hook["job"].as_str().unwrap().rsplit('/').next().unwrap();
    // All that can be known beforehand is forged: the name, the labels, the identity.
    let labels = bed.deployment("web").unwrap()["metadata"]["labels"].clone();
    let mut forged = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": job, "namespace": bed.name, "labels": labels,
            "annotations": {"fairlead.dev/hook-identity": hook["identity"]}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}},
    });
    forged["metadata"]["labels"]["fairlead.dev/hook"] = json!("migrate");
    bed.api().create(&forged);
    wait_until(SOON, "it completes", || jobs(&bed).iter().all(|job| is(job, "Complete")));
    commit(&bed, &manifests);
    let app = bed.wait_app("web", "Restored");
    assert!(app["message"].as_str().unwrap().contains("did not make it"), "{app}");
    assert_eq!(image(&bed), "registry.example/web:1");
}

#[test]
fn a_newer_commit_takes_a_running_migration_over_or_waits_for_its_end() {
    let (bed, proxy, _agent) = running("hookpre");
    let long = |image: &str| migration(image, UNTIL_TOLD);
    let running = |bed: &Bed| jobs_of(bed, "migrate").iter().any(|job| job["status"]["active"] == 1);
    commit_with(&bed, &(web("2") + &long("m:1")), PATIENT);
    wait_until(SOON, "it runs", || running(&bed));
    // The same migration: it is waited for, and not begun again.
    let revision = commit_with(&bed, &(web("3") + &long("m:1")), PATIENT);
    wait_until(SOON, "the newer one is at work", || {
        bed.configmap("settings").unwrap()["data"]["value"] == "3"
    });
    assert!(running(&bed));
    let_end(&bed);
    bed.wait_ready(&revision);
    assert_eq!((made(&proxy.records()), image(&bed)), (1, json!("registry.example/web:3")));

    // Another: the older one ends first.
    commit_with(&bed, &(web("4") + &long("m:2")), PATIENT);
    wait_until(SOON, "it runs", || running(&bed));
    let revision = commit_with(&bed, &(web("5") + &migration("m:3", &[("run-for", "2s")])), PATIENT);
    wait_until(SOON, "it says what it waits for", || {
        let app = bed.app("web");
        app["waitingOn"]["what"][0].as_str().is_some_and(|what| what.contains("older commit"))
    });
    let_end(&bed);
    let most = std::cell::Cell::new(0);
    wait_until(SOON, "it is ready", || {
        let active = jobs(&bed).iter().filter(|job| job["status"]["active"] == 1).count();
        most.set(most.get().max(active));
        bed.status()["revision"] == revision && bed.app("web")["phase"] == "Ready"
    });
    assert!(most.get() <= 1, "never two at once");
    assert_eq!(made(&proxy.records()), 3, "each once");
    assert_eq!(image(&bed), "registry.example/web:5");
}

#[test]
fn a_migration_that_must_not_be_interrupted_is_waited_for_also_by_who_has_none() {
    let (bed, _proxy, agent) = running("hookheld");
    let marks = "fairlead.dev/hook: before, fairlead.dev/interruptible: 'false'";
    commit_with(&bed, &(web("2") + &hook("migrate", marks, "", UNTIL_TOLD, "m:1")), PATIENT);
    wait_until(SOON, "it runs", || jobs(&bed).iter().any(|job| job["status"]["active"] == 1));
    let revision = commit_with(&bed, &web("3"), PATIENT);
    wait_until(SOON, "it says what it waits for", || {
        let message = bed.app("web")["message"].clone();
        message.as_str().is_some_and(|message| message.contains("not to be interrupted"))
    });
    drop(agent);
    let _agent = bed.agent();
    let written = || bed.configmap("settings").unwrap()["data"]["value"] == "3";
    holds_for(4 * SECOND, "nothing is written while it runs", || !written());
    let_end(&bed);
    wait_until(SOON, "it ends before anything is written", || {
        // In this order: it may end, and be written, between the two looks.
        let before = written();
        let ended = jobs(&bed).iter().all(|job| is(job, "Complete"));
        assert!(ended || !before, "written while it runs");
        ended
    });
    bed.wait_ready(&revision);
    assert!(written());
}

#[test]
fn an_image_that_cannot_be_had_holds_nobody_up() {
    let (bed, _proxy, _agent) = running("hookimage");
    commit_with(&bed, &(web("2") + &migration("registry.example/does-not-exist:1", &[])), PATIENT);
    let app = bed.wait_app("web", "Restored");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains("ImagePullBackOff") && message.contains("nothing of it ran"), "{message}");
    assert!(jobs(&bed).is_empty(), "it cannot begin later");
    // Also where a newer commit puts it right before that is noticed.
    commit_with(&bed, &(web("3") + &migration("registry.example/does-not-exist:2", &[])), PATIENT);
    wait_until(SOON, "it waits for its image", || !jobs(&bed).is_empty());
    let revision = commit_with(&bed, &(web("4") + &migration("m:1", &[])), PATIENT);
    bed.wait_ready(&revision);
    assert_eq!(image(&bed), "registry.example/web:4");
}

#[test]
fn a_restart_waits_for_the_hook_that_runs() {
    let (bed, proxy, agent) = running("hookrestart");
    let revision = commit(&bed, &(web("2") + &migration("m:1", &[("run-for", "5s")])));
    wait_until(SOON, "it runs", || jobs(&bed).iter().any(|job| job["status"]["active"] == 1));
    drop(agent);
    std::fs::remove_dir_all(bed.cache()).expect("its disk is lost");
    let _agent = bed.agent_through(&proxy);
    bed.wait_ready(&revision);
    assert_eq!((made(&proxy.records()), image(&bed)), (1, json!("registry.example/web:2")));
}

#[test]
fn the_jobs_of_hooks_go_with_their_environment() {
    let bed = Bed::new("hookleave");
    bed.patch_environment(&json!({"spec": {"onDelete": "remove"}}));
    let _agent = bed.agent();
    let revision = commit(&bed, &(web("1") + &migration("m:1", &[])));
    bed.wait_ready(&revision);
    wait_until(SOON, "it is held", || {
        bed.environment()["metadata"]["finalizers"][0] == "fairlead.dev/remove"
    });
    // One that only looks like it stays.
    let mut copy = jobs_of(&bed, "migrate")[0].clone();
    let labels = copy["metadata"]["labels"].take();
    bed.api().create(&json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "copy", "namespace": bed.name, "labels": labels},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}},
    }));
    bed.kubectl(&["delete", "environment", &bed.name, "--wait=false"]).ok();
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON, "it is gone", || bed.environment() == Value::Null);
    let left: Vec<Value> = jobs(&bed).iter().map(|job| job["metadata"]["name"].clone()).collect();
    assert_eq!(left, ["copy"]);
    assert!(bed.deployment("web").is_none());
}

#[test]
fn a_person_who_applies_by_hand_runs_hooks_too() {
    let bed = Setup::new("hookhand").without_environment().make();
    let manifests = |version: &str| web(version) + &migration("m:1", &[]);
    let apply = |version: &str| {
        let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 30s}");
        bed.repo.write(&path, config.as_bytes());
        bed.repo.write("web/all.yaml", manifests(version).as_bytes());
        bed.fairlead_here(&["apply", "--env", &bed.name, "-n", &bed.name]).ok();
    };
    apply("1");
    let first = uid(&jobs_of(&bed, "migrate")[0]);
    apply("1");
    apply("2");
    assert_eq!(jobs_of(&bed, "migrate").iter().map(uid).collect::<Vec<_>>(), [first]);
    assert_eq!(image(&bed), "registry.example/web:2");
}

#[test]
fn a_job_that_is_no_hook_is_made_anew_where_it_changes() {
    let bed = Bed::new("jobanew");
    let _agent = bed.agent();
    let job = |image: &str| hook("load", "", "", &[], image);
    bed.wait_ready(&commit(&bed, &(web("1") + &job("l:1"))));
    let first = bed.get("batch/v1", "jobs", "load").unwrap();
    bed.repo.write("web/all.yaml", (web("1") + &job("l:2")).as_bytes());
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert!(plan.stdout.contains("recreate Job.batch"), "{plan:?}");
    bed.wait_ready(&commit(&bed, &(web("1") + &job("l:2"))));
    let second = bed.get("batch/v1", "jobs", "load").unwrap();
    assert_ne!(uid(&first), uid(&second));
    assert!(is(&second, "Complete"));
    assert_eq!(second["spec"]["template"]["spec"]["containers"][0]["image"], "l:2");
}

#[test]
fn another_kind_is_made_anew_where_a_person_names_its_uid() {
    let (bed, _proxy, _agent) = running("anew");
    let first = uid(&bed.deployment("web").unwrap());
    let other = |annotations: &str| {
        let text = deployment_of("web", 1, "registry.example/web:2", annotations, &[]);
        configmap("settings", "2") + &text.replace("app: web", "app: other")
    };
    commit(&bed, &other(""));
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap();
    assert!(message.contains(&format!("fairlead.dev/replace: {first}")), "{message}");
    assert_eq!(bed.configmap("settings").unwrap()["data"]["value"], "1", "nothing is written");
    commit(&bed, &other("fairlead.dev/replace: 'true'"));
    holds_for(2 * SECOND, "any other word is none", || uid(&bed.deployment("web").unwrap()) == first);
    let revision = commit(&bed, &other(&format!("fairlead.dev/replace: {first}")));
    bed.wait_ready(&revision);
    assert_ne!(uid(&bed.deployment("web").unwrap()), first);
}
