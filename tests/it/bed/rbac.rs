//! Rights as they are shipped: the agent's own are those of `charts/fairlead/templates/rbac.yaml`, and each environment
//! writes as an account of its own that may do no more than the test's kinds need.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Api, wait_until};

pub const NAMESPACE: &str = "fairlead";
pub const ACCOUNT: &str = "fairlead";
/// Where the agents keep what environments remember, unless they are told otherwise.
pub const STATE_NAMESPACE: &str = "fairlead-state";

/// Groups whose kinds tests define; the chart's `readMore`.
pub const TEST_GROUP: &str = "bed.fairlead.dev";

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

const READ: [&str; 3] = ["get", "list", "watch"];

/// What the agent reads with its own identity: the rules of the chart's first role, as they are shipped, and its
/// `readMore` for the kinds that tests define.
fn agent_rules() -> Vec<Value> {
    let chart = include_str!("../../../charts/fairlead/templates/rbac.yaml");
    let rules = chart.split_once("\nrules:\n").expect("the role has rules").1;
    let rules = rules.split_once("  {{- range .Values.readMore }}").expect("the role ends with readMore").0;
    let mut rules: Vec<Value> = serde_saphyr::from_str(rules).expect("the rules are YAML");
    rules.push(rule(&[TEST_GROUP], &["*"], &READ));
    rules
}

/// The admission policies of the chart, as they are shipped, for an agent of the release `fairlead`.
fn policies() -> Vec<Value> {
    documents(&[
        include_str!("../../../charts/fairlead/templates/environmentpolicy.yaml"),
        include_str!("../../../charts/fairlead/templates/requestpolicy.yaml"),
    ])
}

/// What templates of the chart come to, with previews.
fn documents(templates: &[&str]) -> Vec<Value> {
    let kinds = include_str!("../../../charts/fairlead/templates/_names.tpl");
    let kinds = kinds.split_once("\"fairlead.previewKinds\" -}}\n").expect("the kinds of previews").1;
    let text = templates.join("\n---\n");
    let text: Vec<&str> =
        text.lines().filter(|line| !line.contains("{{-") && line.trim() != "labels:").collect();
    let text = text
        .join("\n")
        .replace(
            r#"{{ include "fairlead.agents" . }}"#,
            &format!(r#"["system:serviceaccount:{NAMESPACE}:{ACCOUNT}"]"#),
        )
        .replace(r#"{{ include "fairlead.previewKinds" . }}"#, kinds.lines().next().expect("a list"))
        .replace(
            r#"{{ include "fairlead.previewAccounts" . }}"#,
            &format!(r#"["{NAMESPACE}/{ACCOUNT}-previews"]"#),
        )
        .replace("{{ .Values.previews.enabled }}", "true")
        .replace("{{ $name }}", ACCOUNT)
        .replace("{{ .Release.Namespace }}", NAMESPACE)
        .replace("{{ $state }}", STATE_NAMESPACE)
        .replace("{{ toJson .Values.platformGroups }}", r#"["system:masters"]"#);
    assert!(!text.contains("{{"), "{text}");
    let documents =
        text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).expect("YAML"));
    documents.filter(|document| document["kind"].is_string()).collect()
}

/// All that comes with `previews.enabled` of the chart; answers the account that previews are written as.
pub fn previews(api: &Api) -> Value {
    for object in documents(&[
        include_str!("../../../charts/fairlead/templates/previews.yaml"),
        include_str!("../../../charts/fairlead/templates/previewpolicy.yaml"),
    ]) {
        apply_any(api, &object);
    }
    let account = format!("{ACCOUNT}-previews");
    let elsewhere = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}});
    let user = format!("system:serviceaccount:{NAMESPACE}:{account}");
    wait_until(Duration::from_secs(20), "the policy of previews holds", || {
        let (status, answer) = api.request_with(
            http::Method::POST,
            "/api/v1/namespaces?dryRun=All",
            "application/json",
            Some(&elsewhere),
            &[("Impersonate-User", &user)],
        );
        status == 403 && answer["message"].to_string().contains("begin with preview-")
    });
    allowed(
        api,
        (NAMESPACE, ACCOUNT),
        &json!({"verb": "create", "group": "fairlead.dev", "resource": "environments"}),
    );
    json!({"namespace": NAMESPACE, "name": account})
}

fn apply_any(api: &Api, object: &Value) {
    let plural = match object["kind"].as_str() {
        Some("ValidatingAdmissionPolicy") => "validatingadmissionpolicies",
        Some("ValidatingAdmissionPolicyBinding") => "validatingadmissionpolicybindings",
        _ => return drop(api.apply(object)),
    };
    let name = object["metadata"]["name"].as_str().expect("a name");
    let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}?fieldManager=bed&force=true");
    let (status, answer) =
        api.request(http::Method::PATCH, &path, "application/apply-patch+yaml", Some(object));
    assert!((200..300).contains(&status), "{path}: {status} {}", answer["message"]);
}

/// Makes them, and waits until they hold.
fn install_policies(api: &Api) {
    policies().iter().for_each(|policy| apply_any(api, policy));
    let forged = json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "Request", "metadata": {"name": "forged"},
        "spec": {"verb": "retry", "environment": "none", "by": "somebody else"},
    });
    let path = "/apis/fairlead.dev/v1alpha1/requests?dryRun=All";
    wait_until(Duration::from_secs(20), "the policies hold", || {
        api.request(http::Method::POST, path, "application/json", Some(&forged)).0 == 403
    });
}

/// A role and its binding to one account; in all namespaces where none is named.
fn bind(api: &Api, name: &str, namespace: Option<&str>, rules: &[Value], account: (&str, &str)) {
    let (role, binding) =
        if namespace.is_some() { ("Role", "RoleBinding") } else { ("ClusterRole", "ClusterRoleBinding") };
    let metadata = match namespace {
        Some(namespace) => json!({"name": name, "namespace": namespace}),
        None => json!({"name": name}),
    };
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": role, "metadata": metadata, "rules": rules,
    }));
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": binding, "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": account.0, "name": account.1}],
    }));
}

/// Makes the agent's account and answers a token of it.
pub fn install(api: &Api) -> String {
    api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
    api.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
    }));
    install_policies(api);
    bind(api, "fairlead", None, &agent_rules(), (NAMESPACE, ACCOUNT));
    let events = rule(&["events.k8s.io"], &["events"], &["create", "patch"]);
    bind(api, "fairlead-events", Some("default"), &[events], (NAMESPACE, ACCOUNT));
    allowed(
        api,
        (NAMESPACE, ACCOUNT),
        &json!({"verb": "create", "group": "events.k8s.io", "resource": "events", "namespace": "default"}),
    );
    let leases = rule(
        &["coordination.k8s.io"],
        &["leases"],
        &["get", "list", "watch", "create", "update", "patch", "delete"],
    );
    bind(api, "fairlead", Some(NAMESPACE), &[leases], (NAMESPACE, ACCOUNT));
    allowed(
        api,
        (NAMESPACE, ACCOUNT),
        &json!({"verb": "create", "group": "coordination.k8s.io", "resource": "leases", "namespace": NAMESPACE}),
    );
    api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STATE_NAMESPACE}}));
    let secrets = rule(&[""], &["secrets"], &["get", "list", "create", "update", "delete"]);
    bind(api, "fairlead-state", Some(STATE_NAMESPACE), &[secrets], (NAMESPACE, ACCOUNT));
    allowed(
        api,
        (NAMESPACE, ACCOUNT),
        &json!({"verb": "create", "resource": "secrets", "namespace": STATE_NAMESPACE}),
    );
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}});
    let answer = api.post(&path, &request);
    answer["status"]["token"].as_str().expect("a token").to_owned()
}

/// Makes the deploy account of an environment, which may do nothing yet, and gives the agent the right to become it and no one
/// else.
pub fn account(api: &Api, namespace: &str, deployers: &str) {
    let deployer = (deployers, "deployer");
    api.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": deployer.1, "namespace": deployers},
    }));
    let become_it = json!({
        "apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": [deployer.1], "verbs": ["impersonate"],
    });
    bind(api, "fairlead-as-deployer", Some(deployers), &[become_it], (NAMESPACE, ACCOUNT));
    let secrets = rule(&[""], &["secrets"], &READ);
    bind(api, "fairlead-secrets", Some(namespace), &[secrets], (NAMESPACE, ACCOUNT));
    let question = json!({"verb": "list", "resource": "secrets", "namespace": namespace});
    allowed(api, (NAMESPACE, ACCOUNT), &question);
}

/// Lets a deploy account write the kinds of tests.
pub fn grant(api: &Api, namespace: &str, deployers: &str, cluster_rules: &[Value]) {
    let deployer = (deployers, "deployer");
    let write = ["create", "patch", "delete"];
    let rules = [
        rule(
            &[""],
            &["configmaps", "secrets", "services", "serviceaccounts", "persistentvolumeclaims", "pods"],
            &write,
        ),
        rule(&["apps"], &["deployments", "statefulsets", "daemonsets"], &write),
        rule(&["batch"], &["jobs", "cronjobs"], &write),
        rule(&["autoscaling"], &["horizontalpodautoscalers"], &write),
        rule(&["policy"], &["poddisruptionbudgets"], &write),
        rule(&["networking.k8s.io"], &["ingresses", "networkpolicies"], &write),
        rule(&[TEST_GROUP], &["*"], &write),
    ];
    bind(api, "deployer", Some(namespace), &rules, deployer);
    if !cluster_rules.is_empty() {
        bind(api, &format!("{namespace}-deployer"), None, cluster_rules, deployer);
    }
    // The authorizer learns of a binding by a watch; a test must not meet the moment before.
    let question = json!({"verb": "create", "resource": "configmaps", "namespace": namespace});
    allowed(api, deployer, &question);
}

/// A person who may read, make Requests, and do these verbs on an environment; answers their name and a token.
pub fn person(api: &Api, namespace: &str, name: &str, environment: &str, verbs: &[&str]) -> (String, String) {
    api.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
    }));
    let verbs: Vec<String> = verbs.iter().map(|verb| format!("environments/{verb}")).collect();
    let rules = [
        rule(&["fairlead.dev"], &["environments"], &READ),
        rule(&["fairlead.dev"], &["requests"], &["get", "list", "watch", "create"]),
        json!({"apiGroups": ["fairlead.dev"], "resources": verbs, "resourceNames": [environment], "verbs": ["create"]}),
    ];
    bind(api, &format!("{namespace}-{name}"), None, &rules, (namespace, name));
    let question = json!({"verb": "create", "group": "fairlead.dev", "resource": "requests"});
    allowed(api, (namespace, name), &question);
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}});
    let token = api.post(&path, &request)["status"]["token"].as_str().expect("a token").to_owned();
    (format!("system:serviceaccount:{namespace}:{name}"), token)
}

/// A user of the cluster, as its identity provider names them, who may make Requests and do these verbs on an environment;
/// and as whom the agent may make Requests, as the chart lets it.
pub fn user(api: &Api, name: &str, environment: &str, verbs: &[&str]) {
    let verbs: Vec<String> = verbs.iter().map(|verb| format!("environments/{verb}")).collect();
    let role = format!("{environment}-{}", name.replace('@', "-"));
    let mut rules = vec![rule(&["fairlead.dev"], &["requests"], &["create"])];
    if !verbs.is_empty() {
        rules.push(json!({"apiGroups": ["fairlead.dev"], "resources": verbs, "resourceNames": [environment], "verbs": ["create"]}));
    }
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": rules,
    }));
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }));
    // identities.yaml of the chart.
    let become_them = [
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "resourceNames": [name], "verbs": ["impersonate:user-info"]}),
        rule(&["fairlead.dev"], &["requests"], &["impersonate-on:user-info:create"]),
    ];
    bind(api, &format!("{role}-people"), None, &become_them, (NAMESPACE, ACCOUNT));
    allowed(
        api,
        (NAMESPACE, ACCOUNT),
        &json!({"verb": "impersonate:user-info", "group": "authentication.k8s.io", "resource": "users", "name": name}),
    );
}

/// Gives a person every right to Environments that RBAC has.
pub fn grant_environments(api: &Api, namespace: &str, name: &str) {
    let rules = [rule(&["fairlead.dev"], &["environments", "environments/status"], &["*"])];
    bind(api, &format!("{namespace}-{name}-environments"), None, &rules, (namespace, name));
}

/// Waits until an account may do something.
pub fn allowed(api: &Api, account: (&str, &str), question: &Value) {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{}:{}", account.0, account.1),
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": question,
        },
    });
    wait_until(Duration::from_secs(10), "the rights are known", || {
        let answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review);
        answer["status"]["allowed"] == true
    });
}
