//! What the platform grants, and what git may therefore do.

use http::Method;
use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, SECOND, Setup, holds_for, wait_until};

#[test]
fn an_environment_that_cannot_work_is_refused_by_the_api_server() {
    let bed = Bed::new("cel");
    let good = json!({
        "source": {"url": "https://git.example/infra.git", "branch": "env/dev", "path": "environments/dev"},
        "serviceAccount": {"namespace": "fairlead", "name": "deploy"}, "namespaces": ["web"],
    });
    let ask = |name: &str, spec: &Value| {
        let object = json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name}, "spec": spec});
        let path = "/apis/fairlead.dev/v1alpha1/environments?dryRun=All&fieldValidation=Strict";
        let (status, answer) = bed.api().request(Method::POST, path, "application/json", Some(&object));
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask("good", &good).0, 201);
    let long = "x".repeat(64);
    let cases: [(&str, &str, Value, &str); 17] = [
        ("a URL of another kind", "/source/url", json!("ftp://git.example/x"), "the URL must be https://"),
        ("a URL that is a path", "/source/url", json!("/srv/git/x"), "the URL must be https://"),
        (
            "credentials in the URL",
            "/source/url",
            json!("https://ada:secret@git.example/x"),
            "put the password into the secret",
        ),
        (
            "a token in the URL",
            "/source/url",
            json!("https://token@git.example/x"),
            "put the password into the secret",
        ),
        ("a space in the URL", "/source/url", json!("https://git.example/a b"), "the URL must be https://"),
        ("no URL", "/source/url", json!(""), "source.url"),
        ("a branch with ..", "/source/branch", json!("a..b"), "not the name of a branch"),
        ("a branch like a flag", "/source/branch", json!("--upload-pack=x"), "not the name of a branch"),
        ("a path above the root", "/source/path", json!("environments/../../x"), "has no '..'"),
        ("an absolute path", "/source/path", json!("/etc"), "relative to the root"),
        ("a wildcard namespace", "/namespaces", json!(["*"]), "there are no wildcards"),
        ("part of a wildcard", "/namespaces", json!(["web-*"]), "there are no wildcards"),
        ("an uppercase namespace", "/namespaces", json!(["Web"]), "lowercase"),
        ("an account without a name", "/serviceAccount/name", json!(""), "serviceAccount.name"),
        (
            "an account without a namespace",
            "/serviceAccount/namespace",
            json!(""),
            "serviceAccount.namespace",
        ),
        ("an interval that is none", "/source/interval", json!("often"), "source.interval"),
        ("a field that is not there", "/sources", json!({}), "unknown field"),
    ];
    for (what, pointer, value, words) in cases {
        let mut spec = good.clone();
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        spec.pointer_mut(parent).expect("it is there")[field] = value;
        let (status, message) = ask("bad", &spec);
        assert!((400..=422).contains(&status), "{what} was taken: {status}");
        assert!(message.contains(words), "{what}: {message}");
    }
    for missing in ["source", "serviceAccount", "namespaces"] {
        let mut spec = good.clone();
        spec.as_object_mut().expect("a map").remove(missing);
        let (status, message) = ask("bad", &spec);
        assert!(status == 422 && message.contains(missing), "without {missing}: {status} {message}");
    }
    let (status, message) = ask(&long, &good);
    assert!(status == 422 && message.contains("at most 63"), "{status} {message}");
}

#[test]
fn an_environment_that_is_deleted_leaves_its_objects() {
    let bed = Bed::new("gone");
    let agent = bed.agent();
    let revision = bed.commit_web(&(configmap("settings", "1") + &deployment("web", &[])));
    bed.wait_ready(&revision);
    bed.api().delete(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name));
    wait_until(10 * SECOND, "the agent lets go", || agent.has_logged("the Environment is gone"));
    let path = format!("/api/v1/namespaces/{}/configmaps/settings", bed.name);
    bed.api().merge(&path, &json!({"data": {"value": "theirs"}}));
    bed.commit_web(&configmap("settings", "2"));
    holds_for(3 * SECOND, "nobody touches the objects", || {
        bed.configmap("settings").is_some_and(|found| found["data"]["value"] == "theirs")
            && bed.deployment("web").is_some()
    });
}

#[test]
fn git_may_not_ask_for_a_region_that_is_not_granted() {
    let bed = Setup::new("region").region("eu-west-1").make();
    let _agent = bed.agent();
    let (path, config) = bed.config("{name: web, path: web}", "region: {active: eu-west-1}");
    let revision = bed.commit(&[(&path, &config), ("web/all.yaml", &configmap("settings", "1"))]);
    bed.wait_ready(&revision);
    let (path, config) =
        bed.config("{name: web, path: web}", "region: {active: eu-west-1, standby: [us-east-1]}");
    bed.commit(&[(&path, &config), ("web/all.yaml", &configmap("settings", "2"))]);
    wait_until(10 * SECOND, "the environment says so", || {
        bed.condition("Ready")["reason"] == "InvalidConfig"
    });
    let message = bed.condition("Ready")["message"].as_str().unwrap_or_default().to_owned();
    let place = format!("{path}:5");
    assert!(message.contains(&place) && message.contains("does not grant the region us-east-1"), "{message}");
    assert_eq!(bed.condition("Stalled")["status"], "True");
    assert_eq!(bed.configmap("settings").expect("it stays")["data"]["value"], "1", "nothing is written");
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 2, "{planned:?}");
    // The platform grants it, and nobody has to commit again.
    bed.patch_environment(&json!({"spec": {"regions": ["eu-west-1", "us-east-1"]}}));
    wait_until(10 * SECOND, "it is rolled out", || {
        bed.configmap("settings").is_some_and(|found| found["data"]["value"] == "2")
    });
}

#[test]
fn a_broken_environment_file_keeps_what_runs() {
    let bed = Bed::new("config");
    let _agent = bed.agent();
    let revision = bed.commit_web(&configmap("settings", "1"));
    bed.wait_ready(&revision);
    let path = format!("environments/{}/environment.yaml", bed.name);
    let head = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\n";
    let cases = [
        (format!("{head}spec:\n  apps: [{{name: web, path: web}}]\n  widen: true\n"), ":5", "widen"),
        (
            format!("{head}spec:\n  apps:\n    - {{name: web, path: web, dependsOn: [nobody]}}\n"),
            ":5",
            "not an app here",
        ),
        (
            format!("{head}spec:\n  apps: [{{name: web, path: web}}, {{name: web, path: web}}]\n"),
            ":4",
            "two apps are named web",
        ),
        (format!("{head}spec: {{apps: [}}\n"), ":3", ""),
        ("apiVersion: v1\nkind: ConfigMap\n".to_owned(), ":1", "must be fairlead.dev/v1alpha1"),
        (format!("{head}spec: {{namespaces: [kube-system]}}\n"), ":3", "namespaces"),
    ];
    for (content, line, words) in cases {
        let revision = bed.commit(&[(&path, &content)]);
        bed.wait_seen(&revision);
        let ready = bed.condition("Ready");
        let message = ready["message"].as_str().unwrap_or_default();
        assert_eq!(ready["reason"], "InvalidConfig", "{content}\n{message}");
        assert!(
            message.contains(&format!("{path}{line}")) && message.contains(words),
            "{content}\n{message}"
        );
        let validated = bed.fairlead_here(&["validate", "--env", &bed.name]);
        assert_eq!(validated.code, 2, "{content}\n{validated:?}");
    }
    assert_eq!(bed.configmap("settings").expect("it stays")["data"]["value"], "1");
    // What ran is still looked after.
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(10 * SECOND, "it is put back", || bed.configmap("settings").is_some());
}

#[test]
fn an_account_that_the_agent_may_not_become_writes_nothing() {
    let bed = Bed::new("identity");
    bed.patch_environment(
        &json!({"spec": {"serviceAccount": {"namespace": "kube-system", "name": "default"}}}),
    );
    let _agent = bed.agent();
    bed.commit_web(&configmap("settings", "1"));
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("cannot impersonate") && message.contains("the agent may not write as"),
        "{message}"
    );
    bed.patch_environment(
        &json!({"spec": {"serviceAccount": {"namespace": bed.deployers, "name": "deployer"}}}),
    );
    bed.wait_app("web", "Ready");
}

#[test]
fn a_kind_that_the_agent_may_not_read_harms_only_its_app() {
    let bed = Setup::new("unread").grant_everywhere("hidden.example", "*").make();
    let plural = format!("ropes{}", bed.name.replace('-', ""));
    let kind = format!("Rope{}", bed.name.replace('-', ""));
    bed.api().apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.hidden.example")},
        "spec": {
            "group": "hidden.example", "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }));
    wait_until(10 * SECOND, "the kind is served", || {
        bed.api()
            .request(Method::GET, &format!("/apis/hidden.example/v1/{plural}"), "application/json", None)
            .0
            == 200
    });
    let _agent = bed.agent();
    let rope = format!("---\napiVersion: hidden.example/v1\nkind: {kind}\nmetadata: {{name: x}}\n");
    bed.commit_apps(&[("web", &(configmap("beside", "1") + &rope)), ("sibling", &configmap("sibling", "1"))]);
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(&format!("watching {kind}.hidden.example failed"))
            && message.contains("cannot list"),
        "{message}"
    );
    bed.wait_app("sibling", "Ready");
    assert!(bed.configmap("beside").is_none());
}

#[test]
fn an_environment_of_another_class_is_left_to_another_installation() {
    let bed = Bed::new("class");
    bed.patch_environment(&json!({"spec": {"class": "blue"}}));
    let first = bed.commit_web(&configmap("settings", "1"));
    let plain = bed.agent();
    // Once it has its heartbeat and has read the Environments, it would have begun.
    wait_until(30 * SECOND, "the agent is ready", || plain.page("/readyz").0 == 200);
    holds_for(3 * SECOND, "it leaves it alone", || {
        bed.configmap("settings").is_none() && bed.status()["revision"].is_null()
    });
    drop(plain);
    let blue = bed.agent_with(&[("FAIRLEAD_CLASS", "blue")]);
    bed.wait_ready(&first);
    // It is let go as soon as it is another's.
    bed.patch_environment(&json!({"spec": {"class": "green"}}));
    wait_until(30 * SECOND, "it is let go", || blue.has_logged("no longer looks after the environment"));
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    holds_for(2 * SECOND, "it heals nothing any more", || bed.configmap("settings").is_none());
    bed.patch_environment(&json!({"spec": {"class": "blue"}}));
    wait_until(90 * SECOND, "it is looked after again", || bed.configmap("settings").is_some());
}
