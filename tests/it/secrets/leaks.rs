//! Values that have something to escape, through what fails and quotes them: admission, typed Secrets, an application's last
//! words; at trace level, and looked for in every form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::{Secrets, files, reading};
use crate::bed::manifests::deployment;
use crate::bed::{SECOND, SOON, wait_until};

/// It has what JSON and URLs escape, and is never in git.
const VALUE: &str = "k4n\"ari/q7+&\\ü-5d";

/// All forms in which it may be quoted.
fn forms() -> Vec<(&'static str, String)> {
    let json = json!(VALUE).to_string().trim_matches('"').to_owned();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let url: String = VALUE
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    let twice = json!(json!(VALUE).to_string()).to_string().trim_matches(['"', '\\']).to_owned();
    let base64 = STANDARD.encode(VALUE).trim_end_matches('=').to_owned();
    vec![
        ("it is", VALUE.to_owned()),
        ("JSON", json),
        ("JSON within JSON", twice),
        ("hex", hex(VALUE.as_bytes())),
        ("a URL", url),
        ("base64", base64),
    ]
}

#[track_caller]
fn is_clean(what: &str, text: &str) {
    for (form, needle) in forms() {
        assert!(!text.contains(&needle), "{what} holds the value as {form}");
    }
}

/// A policy of admission whose answer quotes the value that it refuses.
fn quoting_policy(name: &str) -> [Value; 2] {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"],
                                   "operations": ["CREATE", "UPDATE"]}],
            },
            "validations": [{
                "expression": "!has(object.data) || !('refuse' in object.data)",
                "messageExpression": "'I do not like ' + object.data['refuse']",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    [policy, binding]
}

/// A Secret of another name and type, of these keys.
fn secret(secrets: &Secrets, name: &str, kind: &str, strings: &str) -> String {
    secrets
        .secret(strings)
        .replace("name: db", &format!("name: {name}"))
        .replace("stringData", &format!("type: {kind}\nstringData"))
}

#[test]
fn what_fails_with_a_value_and_quotes_it_is_told_without_it() {
    let secrets = Secrets::new("quote");
    let bed = &secrets.bed;
    for object in quoting_policy(&bed.name) {
        bed.api().apply(&object);
    }
    let probe = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}, "data": {"refuse": "eA=="}});
    let path = format!("/api/v1/namespaces/{}/secrets/probe?fieldManager=bed&force=true", bed.name);
    wait_until(20 * SECOND, "the policy is in force", || {
        bed.api().request(Method::PATCH, &path, "application/apply-patch+yaml", Some(&probe)).0 >= 400
    });
    secrets.put("db", &json!({"password": VALUE}).to_string());
    // One that lacks a comma: its content is in what a parser would say.
    secrets.put("broken", &format!("{{\"password\": \"{}\" \"x\": 1}}", VALUE.replace(['"', '\\'], "")));
    let agent = secrets.agent_with(&[("FAIRLEAD_SECRETS_INTERVAL", "1s"), ("FAIRLEAD_LOG", "trace")]);
    let refers = "\"${aws-sm:NAME/db#password}\"";
    let apps = ["refused", "tls", "docker", "broken", "bad"];
    let list = apps.map(|app| format!("{{name: {app}, path: {app}}}")).join(", ");
    let (path, config) = bed.config(&format!("{{name: web, path: web}}, {list}"), "rollout: {timeout: 20s}");
    let own = secrets.secret(&format!("password: {refers}")) + &reading("web", &[]);
    let refused = secret(&secrets, "refused", "Opaque", &format!("refuse: {refers}"));
    let tls = secret(&secrets, "tls", "kubernetes.io/tls", &format!("tls.crt: {refers}, tls.key: {refers}"));
    let docker =
        secret(&secrets, "docker", "kubernetes.io/dockerconfigjson", &format!(".dockerconfigjson: {refers}"));
    let broken = secret(&secrets, "broken", "Opaque", "a: \"${aws-sm:NAME/broken#password}\"");
    let bad = secret(&secrets, "-bad-", "Opaque", &format!("a: {refers}"));
    bed.commit(&[
        (&path, &config),
        ("web/all.yaml", &own),
        ("refused/all.yaml", &refused),
        ("tls/all.yaml", &tls),
        ("docker/all.yaml", &docker),
        ("broken/all.yaml", &broken),
        ("bad/all.yaml", &(bad + &deployment("bad", &[]))),
    ]);
    wait_until(SOON, "the app that is fine runs with the value", || secrets.value("password") == VALUE);
    bed.wait_app("web", "Ready");
    for (app, why) in [("refused", "the Secret was refused"), ("bad", "-bad-")] {
        let told = bed.wait_app(app, "Refused");
        let message = told["message"].as_str().unwrap_or_default();
        assert!(message.contains(why), "{app}: {message}");
    }
    for (app, why) in
        [("tls", "tls.crt"), ("docker", ".dockerconfigjson is not the JSON"), ("broken", "it is not JSON")]
    {
        wait_until(SOON, "it is told by its key", || {
            bed.app(app)["message"].as_str().is_some_and(|message| message.contains(why))
        });
    }

    is_clean("the Environment", &bed.environment().to_string());
    is_clean("the events", &bed.events().join("\n"));
    is_clean("the log at trace", &agent.log().join("\n"));
    is_clean("the metrics", &agent.page("/metrics").1);
    for arguments in [
        &["status", bed.name.as_str()][..],
        &["status", &bed.name, "-o", "json"],
        &["plan", "--env", &bed.name],
        &["drift", &bed.name],
        &["history", "--env", &bed.name],
        &["secrets", &bed.name, "-o", "json"],
        &["render", "--env", &bed.name],
        &["report", "--env", &bed.name, "--against", "HEAD"],
    ] {
        let said = bed.fairlead_here(arguments);
        is_clean(&format!("{arguments:?}"), &(said.stdout + &said.stderr));
    }
    // All that the API server stores of the namespace, but for the Secrets.
    for path in [
        format!("/api/v1/namespaces/{}/events", bed.name),
        format!("/api/v1/namespaces/{}/pods", bed.name),
        format!("/api/v1/namespaces/{}/configmaps", bed.name),
        format!("/apis/apps/v1/namespaces/{}/deployments", bed.name),
        format!("/apis/apps/v1/namespaces/{}/replicasets", bed.name),
    ] {
        is_clean(&path, &bed.api().get(&path).unwrap_or_default().to_string());
    }
    drop(agent);
    for file in files(&bed.cache()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        is_clean(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}
