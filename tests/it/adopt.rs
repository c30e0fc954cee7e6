//! What others deployed and git takes over: kubectl, Helm, Flux, Argo CD. The tools are the real ones where there is one
//! here, and else applies by the names of their field managers.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, SOON, Said, Seen, Setup, holds_for, wait_until};
use crate::helm::helm_binary;

/// Manifests in a file, for tools that read those.
fn file(bed: &Bed, manifests: &str) -> String {
    let path = bed.cache().with_file_name(format!("{:016x}.yaml", fastrand::u64(..)));
    std::fs::write(&path, manifests).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

fn kubectl(bed: &Bed, arguments: &[&str], manifests: &str) {
    let path = file(bed, manifests);
    bed.kubectl(&[arguments, &["-f", &path]].concat()).ok();
}

fn helm(bed: &Bed, arguments: &[&str], manifests: &str) {
    let chart = bed.cache().with_file_name("chart");
    std::fs::create_dir_all(chart.join("templates")).expect("a folder");
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n").expect("a file");
    std::fs::write(chart.join("templates/all.yaml"), manifests).expect("a file");
    let home = bed.cache().with_file_name("helm");
    let said: Said = Command::new(helm_binary())
        .env_clear()
        .env("HOME", &home)
        .env("KUBECONFIG", &bed.control_plane().kubeconfig)
        .args(["install", "shop"])
        .arg(&chart)
        .args(["--namespace", &bed.name])
        .args(arguments)
        .output()
        .expect("helm runs")
        .into();
    said.ok();
}

type Deploy = fn(&Bed, &str);

const TOOLS: [(&str, Deploy); 7] = [
    ("kubectl", |bed, manifests| kubectl(bed, &["apply"], manifests)),
    ("kubectl-server", |bed, manifests| kubectl(bed, &["apply", "--server-side"], manifests)),
    ("kubectl-create", |bed, manifests| kubectl(bed, &["create"], manifests)),
    ("helm4", |bed, manifests| helm(bed, &[], manifests)),
    ("helm3", |bed, manifests| helm(bed, &["--server-side=false"], manifests)),
    ("flux", |bed, manifests| {
        kubectl(bed, &["apply", "--server-side", "--field-manager=kustomize-controller"], manifests);
    }),
    ("argocd", |bed, manifests| kubectl(bed, &["apply", "--field-manager=argocd-controller"], manifests)),
];

fn settings(data: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {data}\n")
}

fn uid(object: &Value) -> Value {
    object["metadata"]["uid"].clone()
}

/// Who holds fields of an object itself, and not of a subresource.
fn managers(object: &Value) -> BTreeSet<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["subresource"] == Value::Null)
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect()
}

fn ours() -> BTreeSet<String> {
    BTreeSet::from(["fairlead".to_owned()])
}

fn adopt(bed: &Bed, more: &[&str]) -> Said {
    bed.fairlead(&[&["adopt", "--env", &bed.name], more].concat())
}

#[test]
fn what_each_tool_deployed_is_taken_over_and_then_leaves_with_git() {
    std::thread::scope(|scope| {
        for part in TOOLS.chunks(2) {
            scope.spawn(move || part.iter().for_each(|(tool, deploy)| take_over(tool, *deploy)));
        }
    });
}

fn take_over(tool: &str, deploy: Deploy) {
    let bed = Bed::new(&format!("from-{tool}"));
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let web = deployment("web", &[]) + service;
    let leaves = configmap("leaves", "1");
    deploy(&bed, &(settings("{a: \"1\", b: \"2\"}") + &leaves + &web));
    let service_before = bed.get("v1", "services", "web").expect("it was deployed");
    let before = [bed.configmap("settings"), bed.configmap("leaves"), bed.deployment("web")];
    let before: Vec<Value> =
        before.into_iter().map(|object| uid(&object.expect("it was deployed"))).collect();

    // Not one value differs, and still it is somebody else's until somebody says otherwise.
    let _agent = bed.agent();
    let first = bed.commit_web(&(settings("{a: \"1\", b: \"2\"}") + &leaves + &web));
    let refused = bed.wait_app("web", "Refused");
    let message = refused["message"].to_string();
    let command = format!("fairlead adopt --env {} --app web 'ConfigMap {}/settings'", bed.name, bed.name);
    assert!(message.contains(&command), "{tool}: {message}");
    assert_eq!(refused["adoption"]["count"], 4, "{tool}: {refused:#}");
    assert!(
        !managers(&bed.configmap("settings").unwrap()).contains("fairlead"),
        "{tool}: nothing is written"
    );
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(plan.code, 2, "{tool}: {plan:?}");
    assert!(plan.stdout.contains("changes hands"), "{tool}: {plan:?}");

    adopt(&bed, &[]).ok();
    bed.wait_ready(&first);
    let after =
        [bed.configmap("settings"), bed.configmap("leaves"), bed.deployment("web")].map(Option::unwrap);
    for (object, before) in after.iter().zip(&before) {
        assert_eq!(uid(object), *before, "{tool}: it was made anew");
        assert_eq!(managers(object), ours(), "{tool}: {object:#}");
        let annotations = object["metadata"]["annotations"].to_string();
        assert!(
            !annotations.contains("last-applied") && !annotations.contains("meta.helm.sh"),
            "{annotations}"
        );
    }
    let revision = &after[2]["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!(revision, "1", "{tool}: its pods are the same");
    let service_after = bed.get("v1", "services", "web").expect("it is there");
    assert_eq!(service_after["spec"]["clusterIP"], service_before["spec"]["clusterIP"], "{tool}");
    assert_eq!(managers(&service_after), ours(), "{tool}");
    bed.wait_events("Adopted web: took over", 1);
    assert_eq!(bed.app("web")["adoption"], Value::Null);

    // A field and an object leave git.
    let second = bed.commit_web(&(settings("{a: \"1\"}") + &web));
    bed.wait_ready(&second);
    assert_eq!(bed.configmap("settings").unwrap()["data"], json!({"a": "1"}), "{tool}");
    wait_until(SOON, "the object leaves", || bed.configmap("leaves").is_none());
}

#[test]
fn a_plan_shows_what_changes_hands_and_what_goes() {
    let bed = Bed::new("shows");
    kubectl(&bed, &["apply"], &settings("{a: \"1\", b: \"2\"}"));
    bed.kubectl(&["label", "configmap/settings", "team=x"]).ok();
    bed.commit_web(&settings("{a: \"3\"}"));
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]);
    assert_eq!(plan.code, 2, "{plan:?}");
    let app = plan.json()["apps"][0].clone();
    let handover = &app["handovers"][0];
    assert_eq!(handover["agreed"], false);
    assert_eq!(handover["object"], format!("ConfigMap {}/settings", bed.name));
    let from: Vec<&str> =
        handover["from"].as_array().unwrap().iter().filter_map(|party| party["manager"].as_str()).collect();
    assert_eq!(from, ["kubectl-client-side-apply", "kubectl-label"]);
    assert!(handover["from"][0]["fields"].to_string().contains(".data.b"), "{handover:#}");
    // The outcome, as the server would have it.
    let changes = app["steps"][0]["changes"].to_string();
    for gone in [".data.b", ".metadata.labels.team", "last-applied-configuration"] {
        assert!(changes.contains(gone), "{gone}: {changes}");
    }
    let text = bed.fairlead_here(&["plan", "--env", &bed.name]).stdout;
    assert!(
        text.contains("⇄ web: ConfigMap") && text.contains("from kubectl-label: .metadata.labels.team"),
        "{text}"
    );
    assert!(text.contains(".data.b: 2 → (removed)"), "{text}");

    // What the plan said is what comes.
    let agent = bed.agent();
    bed.wait_app("web", "Refused");
    adopt(&bed, &[]).ok();
    bed.wait_app("web", "Ready");
    drop(agent);
    let after = bed.configmap("settings").unwrap();
    assert_eq!(after["data"], json!({"a": "3"}));
    assert_eq!(after["metadata"]["labels"]["team"], Value::Null);
}

#[test]
fn no_field_is_away_for_a_moment_while_it_changes_hands() {
    let bed = Bed::new("moment");
    kubectl(&bed, &["apply"], &settings("{a: \"1\", b: \"2\"}"));
    let seen = Seen::of(&bed, "configmap/settings", ".data");
    let _agent = bed.agent();
    bed.commit_web(&settings("{a: \"1\"}"));
    bed.wait_app("web", "Refused");
    adopt(&bed, &[]).ok();
    bed.wait_app("web", "Ready");
    assert_eq!(seen.until(r#"{"a":"1"}"#), [r#"{"a":"1","b":"2"}"#, r#"{"a":"1"}"#]);
}

#[test]
fn one_object_is_agreed_to_by_name_and_the_others_wait() {
    let bed = Bed::new("byname");
    kubectl(&bed, &["apply"], &(configmap("a", "1") + &configmap("b", "1")));
    let _agent = bed.agent();
    bed.commit_web(&(configmap("a", "1") + &configmap("b", "1")));
    bed.wait_app("web", "Refused");
    let named = format!("ConfigMap {}/a", bed.name);
    let shown = adopt(&bed, &["--show"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.stdout.contains(&named), "{shown:?}");
    assert_eq!(adopt(&bed, &["--app", "web", &format!("ConfigMap {}/c", bed.name)]).code, 2);
    adopt(&bed, &["--app", "web", &named]).ok();
    wait_until(SOON, "one is left", || bed.app("web")["adoption"]["count"] == 1);
    holds_for(2 * SECOND, "one refusal refuses the app", || {
        managers(&bed.configmap("a").unwrap()) == BTreeSet::from(["kubectl-client-side-apply".to_owned()])
    });
    adopt(&bed, &["--app", "web"]).ok();
    bed.wait_app("web", "Ready");
    assert_eq!(managers(&bed.configmap("a").unwrap()), ours());
}

#[test]
fn more_than_is_listed_is_agreed_to_in_turns() {
    let bed = Bed::new("many");
    let many: String = (0..230).map(|n| configmap(&format!("c{n:03}"), "1")).collect();
    kubectl(&bed, &["create"], &many);
    let _agent = bed.agent();
    bed.commit_web(&many);
    let refused = bed.wait_app("web", "Refused");
    assert_eq!(refused["adoption"]["count"], 230);
    assert_eq!(refused["adoption"]["objects"].as_array().map(Vec::len), Some(200));
    let said = adopt(&bed, &[]).ok();
    assert!(said.stderr.contains("agreed: 230 objects"), "{said:?}");
    bed.wait_app("web", "Ready");
    assert_eq!(managers(&bed.configmap("c229").unwrap()), ours());
}

#[test]
fn what_was_agreed_to_holds_for_that_state_and_no_other() {
    let bed = Bed::new("exactly");
    kubectl(&bed, &["apply"], &settings("{a: \"1\"}"));
    let _agent = bed.agent();
    bed.commit_web(&settings("{a: \"2\"}"));
    let refused = bed.wait_app("web", "Refused");
    let token = refused["adoption"]["objects"][0]["token"].clone();
    std::thread::sleep(SECOND); // Entries are dated by the second.
    kubectl(&bed, &["apply"], &settings("{a: \"1\", b: \"2\"}"));
    bed.wait_request(&bed.ask(&json!({"verb": "adopt", "tokens": [token]})), "Done");
    let settings = || bed.configmap("settings").unwrap();
    holds_for(4 * SECOND, "another state was agreed to", || settings()["data"]["a"] == "1");
    wait_until(SOON, "the new state is shown", || {
        bed.app("web")["adoption"]["objects"][0]["token"].as_str().is_some_and(|now| now != token)
    });
    adopt(&bed, &[]).ok();
    bed.wait_app("web", "Ready");
    assert_eq!(settings()["data"], json!({"a": "2"}));
}

fn app_that_adopts(bed: &Bed, adopt: &str, manifests: &str) -> String {
    let config = bed.config(&format!("{{name: web, path: web, adopt: {adopt}}}"), "rollout: {timeout: 60s}");
    bed.commit(&[(&config.0, &config.1), ("web/all.yaml", manifests)])
}

#[test]
fn git_takes_over_by_its_own_word_where_the_environment_lets_it() {
    let bed = Bed::new("word");
    kubectl(&bed, &["apply"], &settings("{a: \"1\", b: \"2\"}"));
    let _agent = bed.agent();
    let file = format!("environments/{}/environment.yaml", bed.name);
    let first = app_that_adopts(&bed, "true", &settings("{a: \"1\"}"));
    wait_until(SOON, "it is not granted", || bed.condition("Ready")["reason"] == "InvalidConfig");
    let message = bed.condition("Ready")["message"].to_string();
    assert!(
        message.contains(&format!("{file}:4")) && message.contains("does not let git take over"),
        "{message}"
    );
    assert_eq!(bed.configmap("settings").unwrap()["data"]["b"], "2");
    bed.patch_environment(&json!({"spec": {"adopt": ["kubectl"]}}));
    bed.wait_ready(&first);
    assert_eq!(bed.configmap("settings").unwrap()["data"], json!({"a": "1"}));
    assert_eq!(managers(&bed.configmap("settings").unwrap()), ours());

    // The word is used up: who comes back is told about, and not fought.
    std::thread::sleep(SECOND);
    kubectl(&bed, &["apply"], &settings("{a: \"1\", b: \"2\"}"));
    wait_until(SOON, "it is told", || {
        bed.events().iter().any(|event| event.starts_with("StillAtWork") && event.contains("settings"))
    });
    holds_for(3 * SECOND, "what came back is left alone", || {
        bed.configmap("settings").unwrap()["data"]["b"] == "2"
    });
    assert_eq!(bed.condition("Ready")["status"], "True");
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]).json();
    assert_eq!(plan["apps"][0]["handovers"][0]["agreed"], true, "a new look has not used its word: {plan:#}");
    // A person may take it over again.
    adopt(&bed, &[]).ok();
    wait_until(SOON, "what git does not say goes", || {
        bed.configmap("settings").unwrap()["data"] == json!({"a": "1"})
    });
}

#[test]
fn what_a_tool_deploys_beside_us_is_told_and_goes_when_somebody_agrees() {
    let bed = Bed::new("beside");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&settings("{a: \"1\", b: \"2\"}")));
    kubectl(&bed, &["apply", "--server-side"], &settings("{a: \"1\", b: \"2\"}"));
    wait_until(SOON, "it is seen", || bed.app("web")["adoption"]["count"] == 1);
    assert_eq!(bed.app("web")["adoption"]["needed"], false);
    assert_eq!(bed.condition("Ready")["status"], "True", "nothing has to be done about it");
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.stdout.contains("is deployed by kubectl, too"), "{plan:?}");
    // What two hold does not go when one leaves it out.
    bed.wait_ready(&bed.commit_web(&settings("{a: \"1\"}")));
    assert_eq!(bed.configmap("settings").unwrap()["data"]["b"], "2");
    adopt(&bed, &[]).ok();
    wait_until(SOON, "what git does not say goes", || {
        bed.configmap("settings").unwrap()["data"] == json!({"a": "1"})
    });
    assert_eq!(managers(&bed.configmap("settings").unwrap()), ours());
    wait_until(SOON, "nothing is left to tell", || bed.app("web")["adoption"] == Value::Null);
}

#[test]
fn what_git_does_not_say_goes_only_if_the_server_would_have_it_so() {
    let bed = Bed::new("judged");
    let claim = |class: &str| {
        format!(
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec: {{accessModes: [ReadWriteOnce], {class}resources: {{requests: {{storage: 1Gi}}}}}}\n"
        )
    };
    kubectl(&bed, &["create"], &claim("storageClassName: fast, "));
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.commit_web(&claim(""));
    bed.wait_app("web", "Refused");
    adopt(&bed, &["--timeout", "20s"]).ok();
    wait_until(SOON, "the outcome is refused", || {
        bed.app("web")["message"].to_string().contains("as it would be once others handed it over")
    });
    assert!(
        bed.app("web")["message"].to_string().contains("say in git what has to stay"),
        "{}",
        bed.app("web")
    );
    assert_eq!(proxy.count(Class::Write), 0, "nothing changed hands");
}

#[test]
fn what_others_hold_that_git_does_not_claim_stays_theirs() {
    let bed = Bed::new("theirs");
    bed.api().create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": bed.name},
        "data": {"a": "theirs", "b": "theirs"},
    }));
    let _agent = bed.agent();
    bed.commit_web(&settings("{a: ours}"));
    let refused = bed.wait_app("web", "Refused")["message"].to_string();
    assert!(
        refused.contains(".data.a is held by \\\"somebody\\\"") && refused.contains("fairlead adopt"),
        "{refused}"
    );
    adopt(&bed, &[]).ok();
    bed.wait_app("web", "Ready");
    let after = bed.configmap("settings").unwrap();
    assert_eq!(after["data"], json!({"a": "ours", "b": "theirs"}));
    assert_eq!(managers(&after), BTreeSet::from(["fairlead".to_owned(), "somebody".to_owned()]));
}

#[test]
fn an_object_of_another_environment_is_never_adopted() {
    let first = Bed::new("holder");
    let second = Setup::new("taker").grant_namespace(&first.name).make();
    second.patch_environment(&json!({"spec": {"adopt": ["kubectl", "fairlead"]}}));
    let _agent = first.agent_of(&[&first.name, &second.name]);
    let shared = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared, namespace: {}}}\ndata: {{value: \"1\"}}\n",
        first.name
    );
    first.wait_ready(&first.commit_web(&shared));
    kubectl(&first, &["apply"], &shared);
    app_that_adopts(&second, "true", &shared.replace("\"1\"", "\"2\""));
    let refused = second.wait_app("web", "Refused")["message"].to_string();
    assert!(refused.contains(&format!("belongs to the Environment {}", first.name)), "{refused}");
    assert_eq!(second.app("web")["adoption"], Value::Null, "there is nothing to agree to");
    holds_for(2 * SECOND, "it stays as it is", || {
        first.configmap("shared").is_some_and(|found| found["data"]["value"] == "1")
    });
}

#[test]
fn killed_at_any_write_of_a_hand_over_the_next_start_ends_it() {
    // Two objects: an edit and an apply for each.
    for n in 1..=4 {
        for effect in [Effect::KillBefore, Effect::KillAfter] {
            let what = format!("killed at write {n}, {effect:?}");
            let bed = Bed::new("handed");
            let web = deployment("web", &[]);
            kubectl(&bed, &["apply"], &(settings("{a: \"1\", b: \"2\"}") + &web));
            let before = (uid(&bed.configmap("settings").unwrap()), uid(&bed.deployment("web").unwrap()));
            let proxy = bed.proxy();
            let agent = bed.agent_through(&proxy);
            bed.commit_web(&(settings("{a: \"1\"}") + &web));
            bed.wait_app("web", "Refused");
            proxy.set(Fault::nth(Class::Write, n, effect));
            // The agent may be dead before it says that it took it up.
            let _ = adopt(&bed, &["--timeout", "3s"]);
            let _ = agent.wait(SOON);
            drop(agent);
            let _agent = bed.agent_through(&proxy);
            bed.wait_app("web", "Ready");
            let (settings, web) = (bed.configmap("settings").unwrap(), bed.deployment("web").unwrap());
            assert_eq!((uid(&settings), uid(&web)), before, "{what}: made anew");
            assert_eq!(settings["data"], json!({"a": "1"}), "{what}");
            assert_eq!((managers(&settings), managers(&web)), (ours(), ours()), "{what}");
            let revision = &web["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            assert_eq!(revision, "1", "{what}: its pods are the same");
        }
    }
}

#[test]
fn without_an_agent_a_person_takes_over_by_the_same_verb() {
    let bed = Setup::new("alone").without_environment().make();
    kubectl(&bed, &["apply"], &settings("{a: \"1\", b: \"2\"}"));
    bed.commit_web(&settings("{a: \"1\"}"));
    let here = |arguments: &[&str]| {
        bed.fairlead_here(&[arguments, &["--env", &bed.name, "--namespace", &bed.name]].concat())
    };
    let refused = here(&["apply"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("fairlead adopt --env"), "{refused:?}");
    let shown = here(&["adopt", "--show"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert_eq!(bed.configmap("settings").unwrap()["data"]["b"], "2");
    here(&["adopt"]).ok();
    assert_eq!(bed.configmap("settings").unwrap()["data"], json!({"a": "1"}));
    assert_eq!(here(&["plan"]).code, 0);
}
