//! People ask by Requests: in their own name, with the right to that verb on that environment and no other, and each is
//! executed once.

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::{Agent, Api, Bed, SECOND, SOON, Said, fairlead, holds_for, rbac, wait_until};

const REQUESTS: &str = "/apis/fairlead.dev/v1alpha1/requests";

/// A person, by a service account: what they may do is what plain RBAC grants.
struct Person {
    name: String,
    kubeconfig: PathBuf,
    api: Api,
}

/// Somebody who may read and make Requests, and do these verbs on the environment.
fn person(bed: &Bed, name: &str, verbs: &[&str]) -> Person {
    let (user, token) = rbac::person(bed.api(), &bed.name, name, &bed.name, verbs);
    let kubeconfig = bed.kubeconfig_of(name, &token);
    let api = Api::of(&kubeconfig);
    Person { name: user, kubeconfig, api }
}

impl Person {
    fn fairlead(&self, arguments: &[&str]) -> Said {
        let mut command = fairlead();
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        command.output().expect("the binary runs").into()
    }

    fn send(&self, method: Method, path: &str, content: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.api.request(method, path, content, Some(body));
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    }

    fn ask(&self, name: &str, spec: &Value) -> (u16, String) {
        let request = json!({
            "apiVersion": "fairlead.dev/v1alpha1", "kind": "Request", "metadata": {"name": name}, "spec": spec,
        });
        self.send(Method::POST, REQUESTS, "application/json", &request)
    }
}

fn value(bed: &Bed) -> Value {
    bed.configmap("settings").map(|found| found["data"]["value"].clone()).unwrap_or_default()
}

/// An environment that ran two versions.
fn ran_two(name: &str) -> (Bed, Agent) {
    let bed = Bed::new(name);
    let agent = bed.agent();
    for version in ["1", "2"] {
        bed.wait_ready(&bed.commit_web(&configmap("settings", version)));
    }
    (bed, agent)
}

#[test]
fn on_call_may_retry_and_roll_back_one_environment_and_nothing_else() {
    let (bed, _agent) = ran_two("oncall");
    let other = Bed::new("oncall-other");
    let ada = person(&bed, "ada", &["retry", "rollback"]);
    let env = ["--env", bed.name.as_str()];

    let said = ada.fairlead(&["rollback", env[0], env[1], "--reason", "it is slow"]).ok();
    assert!(said.stderr.contains("runs and is healthy"), "{said:?}");
    assert_eq!(value(&bed), "1");
    let request = bed.requests("rollback").remove(0);
    assert_eq!(request["spec"]["by"], ada.name.as_str());
    assert_eq!(request["spec"]["reason"], "it is slow");
    assert_eq!(
        (&request["status"]["state"], &request["status"]["executedBy"]),
        (&json!("Done"), &json!("bed"))
    );
    let said = ada.fairlead(&["retry", env[0], env[1]]).ok();
    assert!(said.stderr.contains("is tried again"), "{said:?}");
    wait_until(SOON, "it is tried again", || value(&bed) == "2");
    bed.wait_app("web", "Ready");
    wait_until(SOON, "the record says who and why", || {
        let history = bed.fairlead(&["history", env[0], env[1], "-o", "json"]).json();
        let hers = |one: &&Value| one["by"] == ada.name.as_str();
        let why = |one: &Value| one["why"].as_str().is_some_and(|why| why.ends_with(": it is slow"));
        history.as_array().is_some_and(|all| all.iter().filter(hers).any(why))
    });

    // Another verb, and another environment: one line says which right is missing.
    let said = ada.fairlead(&["apply", env[0], env[1]]);
    assert_eq!(said.code, 1, "{said:?}");
    let line = format!(
        "error: you may not `apply` on the Environment {0}: needs create on environments.fairlead.dev/apply, name {0}\n",
        bed.name
    );
    assert_eq!(said.stderr, line);
    let digest = "0".repeat(64);
    let spec = json!({"verb": "approve", "environment": bed.name, "digest": digest, "by": ada.name});
    assert_eq!(ada.ask("ada-approves", &spec).0, 403);
    let spec =
        json!({"verb": "retry", "environment": other.name, "app": "web", "digest": digest, "by": ada.name});
    let (status, message) = ada.ask("ada-elsewhere", &spec);
    assert!(status == 403 && message.contains("environments.fairlead.dev/retry"), "{status} {message}");
    // Nor in the name of another.
    let spec = json!({"verb": "retry", "environment": bed.name, "app": "web", "digest": digest, "by": "bob"});
    let (status, message) = ada.ask("as-bob", &spec);
    assert!(status == 403 && message.contains("spec.by is to be"), "{status} {message}");
    // Nor change the Environment.
    let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name);
    let patch = json!({"spec": {"suspended": true}});
    assert_eq!(ada.send(Method::PATCH, &path, "application/merge-patch+json", &patch).0, 403);
}

#[test]
fn who_may_write_environments_and_is_not_the_platform_changes_nothing_that_matters() {
    let bed = Bed::new("team");
    let eve = person(&bed, "eve", &["retry"]);
    // A right that somebody granted too widely.
    rbac::grant_environments(bed.api(), &bed.name, "eve");
    let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name);
    let merge = "application/merge-patch+json";
    wait_until(SOON, "the right is known", || {
        eve.send(Method::PATCH, &path, merge, &json!({"metadata": {"annotations": {"note": "mine"}}})).0
            == 200
    });
    let before = bed.environment();
    for patch in [
        json!({"spec": {"serviceAccount": {"namespace": "kube-system", "name": "admin"}}}),
        json!({"spec": {"source": {"url": "https://evil.example/infra.git"}}}),
        json!({"spec": {"namespaces": ["kube-system"]}}),
        json!({"metadata": {"annotations": {"fairlead.dev/approved": "abc"}}}),
        json!({"metadata": {"annotations": {"applyset.kubernetes.io/tooling": "helm/v3"}}}),
        json!({"metadata": {"labels": {"applyset.kubernetes.io/id": "x"}}}),
        json!({"metadata": {"finalizers": ["example.org/mine"]}}),
    ] {
        let (status, message) = eve.send(Method::PATCH, &path, merge, &patch);
        assert_eq!(status, 403, "{patch}: {message}");
    }
    let status = json!({"status": {"summary": "all is well"}});
    assert_eq!(eve.send(Method::PATCH, &format!("{path}/status"), merge, &status).0, 403);
    assert_eq!(eve.send(Method::DELETE, &path, "application/json", &Value::Null).0, 403);
    let after = bed.environment();
    assert_eq!(
        (&after["spec"], after["metadata"]["uid"].as_str()),
        (&before["spec"], before["metadata"]["uid"].as_str())
    );

    // Nor can what came of a request be forged, or a request be changed once it was let in.
    let name = bed.ask(&json!({"verb": "apply"}));
    let forged = json!({"status": {"state": "Done", "message": "", "at": "", "executedBy": "me"}});
    let at = format!("{REQUESTS}/{name}");
    assert_eq!(bed.api().request(Method::PATCH, &format!("{at}/status"), merge, Some(&forged)).0, 403);
    let other = json!({"spec": {"verb": "retry"}});
    let (status, answer) = bed.api().request(Method::PATCH, &at, merge, Some(&other));
    assert!(status == 422 && answer["message"].to_string().contains("does not change"), "{status} {answer}");
}

#[test]
fn what_cannot_be_executed_is_refused_with_the_reason() {
    let bed = Bed::new("refused");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&configmap("settings", "1")));
    let desired = bed.app("web")["desired"].clone();
    let cases = [
        (json!({"verb": "explode"}), "nobody knows the verb"),
        (json!({"verb": "retry", "app": "web"}), "digest is missing"),
        (json!({"verb": "retry", "app": "Web!", "digest": desired}), "app:"),
        (json!({"verb": "retry", "app": "web", "digest": desired}), "nothing of"),
        (json!({"verb": "retry", "app": "nobody", "digest": desired}), "no app nobody"),
        (json!({"verb": "rollback", "app": "nobody", "digest": desired}), "no app nobody"),
        (json!({"verb": "rollback", "app": "web", "digest": "0".repeat(64)}), "git said 0000"),
        (json!({"verb": "rollback", "app": "web", "digest": desired, "to": "HEAD"}), "to is \"HEAD\""),
        (json!({"verb": "adopt"}), "tokens are missing"),
    ];
    for (spec, words) in cases {
        let refused = bed.wait_request(&bed.ask(&spec), "Refused");
        let message = refused["status"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(words), "{spec}: {message}");
    }
    let stray = json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "Request", "metadata": {"name": format!("{}-stray", bed.name)},
        "spec": {"verb": "apply", "environment": "no-such-environment", "by": bed.api().whoami()},
    });
    bed.api().create(&stray);
    let refused = bed.wait_request(&format!("{}-stray", bed.name), "Refused");
    assert!(
        refused["status"]["message"].to_string().contains("no Environment no-such-environment"),
        "{refused}"
    );
    let listed = bed.fairlead(&["requests", &bed.name]).ok().stdout;
    assert!(listed.contains("explode") && listed.contains("nobody knows the verb"), "{listed}");
    assert_eq!(bed.fairlead(&["requests", &bed.name, "-o", "json"]).json().as_array().map(Vec::len), Some(9));
}

#[test]
fn a_request_is_executed_once_whatever_becomes_of_the_agent() {
    let (bed, agent) = ran_two("once");
    let desired = bed.app("web")["desired"].clone();
    let name = bed.ask(&json!({"verb": "rollback", "app": "web", "digest": desired}));
    bed.wait_request(&name, "Done");
    assert_eq!(value(&bed), "1");
    // As it is where the agent is killed before it could say what came of it.
    agent.killer()();
    drop(agent);
    let path = format!("{REQUESTS}/{name}/status");
    let patch = json!({"status": null});
    let headers = [
        ("Impersonate-User", "system:serviceaccount:fairlead:fairlead"),
        ("Impersonate-Group", "system:masters"),
    ];
    let api = bed.api();
    let (status, answer) =
        api.request_with(Method::PATCH, &path, "application/merge-patch+json", Some(&patch), &headers);
    assert_eq!(status, 200, "{answer}");
    let _agent = bed.agent();
    bed.wait_request(&name, "Done");
    let events = || bed.events().iter().filter(|event| event.starts_with("RollingBack")).count();
    bed.wait_events("RollingBack", 1);
    assert_eq!(events(), 1, "it was not begun again");
    // What is asked for afterwards is not undone by the older word.
    let quarantined = bed.app("web")["quarantined"].clone();
    bed.wait_request(&bed.ask(&json!({"verb": "retry", "app": "web", "digest": quarantined})), "Done");
    bed.wait_app("web", "Ready");
    holds_for(3 * SECOND, "it stays", || value(&bed) == "2" && events() == 1);
}
