//! Bad input, each kind of it: a clear error that names the place, nothing written for that app, the others go on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::{Bed, Repo, SECOND, Setup, Webhook, wait_until};

/// An app whose files are wrong in one way.
struct Case {
    name: &'static str,
    /// What the answer must hold: the place, and what is wrong.
    says: Vec<String>,
    /// Whether it is found without a cluster.
    offline: bool,
    path: String,
}

struct Cases<'a> {
    repo: &'a Repo,
    all: Vec<Case>,
}

impl Cases<'_> {
    /// A folder of its own, with a ConfigMap beside what is wrong, which must not be written.
    fn folder(&mut self, name: &'static str, offline: bool, says: &[&str]) -> String {
        let path = format!("apps/{name}");
        self.repo.write(format!("{path}/beside.yaml"), configmap(&format!("{name}-beside"), "1").as_bytes());
        let says = says.iter().map(|&text| text.to_owned()).collect();
        self.all.push(Case { name, says, offline, path: path.clone() });
        path
    }

    fn file(&mut self, name: &'static str, offline: bool, content: impl AsRef<[u8]>, says: &[&str]) {
        let folder = self.folder(name, offline, says);
        self.repo.write(format!("{folder}/bad.yaml"), content.as_ref());
    }

    fn kustomization(&mut self, name: &'static str, content: &str, says: &[&str]) -> String {
        let folder = self.folder(name, true, says);
        self.repo.write(
            format!("{folder}/kustomization.yaml"),
            format!("resources: [beside.yaml]\n{content}").as_bytes(),
        );
        folder
    }

    fn config(&self, bed: &Bed) -> (String, String) {
        let mut apps: Vec<String> =
            self.all.iter().map(|case| format!("{{name: {}, path: {}}}", case.name, case.path)).collect();
        apps.push("{name: sibling, path: apps/sibling}".to_owned());
        self.repo.write("apps/sibling/all.yaml", configmap("sibling", "1").as_bytes());
        bed.config(&apps.join(", "), "rollout: {timeout: 60s}")
    }
}

fn files(cases: &mut Cases, namespace: &str) {
    let header = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    cases.file("not-yaml", true, "a: b\n  c: [d\n", &["apps/not-yaml/bad.yaml:2"]);
    cases.file(
        "list",
        true,
        "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x}\n",
        &["apps/list/bad.yaml:1"],
    );
    cases.file(
        "no-kind",
        true,
        "apiVersion: v1\nmetadata: {name: x}\n",
        &["apps/no-kind/bad.yaml:1", "kind"],
    );
    cases.file("no-name", true, "apiVersion: v1\nkind: ConfigMap\n", &["apps/no-name/bad.yaml", "name"]);
    cases.file(
        "duplicate-key",
        true,
        format!("{header}data:\n  a: one\n  a: two\n"),
        &["apps/duplicate-key/bad.yaml:6", "twice"],
    );
    cases.file(
        "duplicate-object",
        true,
        configmap("x", "1") + &configmap("x", "2"),
        &["apps/duplicate-object/bad.yaml:7", "twice", "apps/duplicate-object/bad.yaml:2"],
    );
    cases.file(
        "utf-16",
        true,
        "\u{feff}apiVersion: v1\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
        &["apps/utf-16/bad.yaml", "UTF-16"],
    );
    cases.file("not-utf-8", true, b"apiVersion: v1\nkind: \xff\xfe\n", &["apps/not-utf-8/bad.yaml", "UTF-8"]);
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    cases.file("alias-bomb", true, format!("{header}{bomb}"), &["apps/alias-bomb/bad.yaml", "alias"]);
    cases.file(
        "deep",
        true,
        format!("{header}data: {}{}\n", "[".repeat(20_000), "]".repeat(20_000)),
        &["apps/deep/bad.yaml", "deep"],
    );
    cases.file("large-file", true, "# padding\n".repeat(5 << 20), &["apps/large-file/bad.yaml", "limit"]);
    let large = format!("{header}data: {{a: {}}}\n", "x".repeat(1_600_000));
    cases.file("large-object", true, large, &["apps/large-object/bad.yaml:1", "bytes"]);
    cases.file(
        "removed-ingress",
        true,
        "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: x}\nspec: {backend: {serviceName: a, servicePort: 80}}\n",
        &["apps/removed-ingress/bad.yaml:1", "extensions/v1beta1", "networking.k8s.io/v1"],
    );
    cases.file(
        "removed-pdb",
        true,
        "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: x}\nspec: {minAvailable: 1}\n",
        &["apps/removed-pdb/bad.yaml:1", "policy/v1beta1", "policy/v1"],
    );
    cases.file(
        "unknown-field",
        true,
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {port: [{port: 80}]}\n",
        &["apps/unknown-field/bad.yaml", "port"],
    );
    cases.file(
        "unknown-builtin",
        true,
        "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: x}\n",
        &["apps/unknown-builtin/bad.yaml:1", "Deploymnet"],
    );
    cases.file(
        "circle",
        false, // Offline nobody knows the namespace that objects without one go to.
        ["one", "two"].map(|name| {
            let other = if name == "one" { "two" } else { "one" };
            format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, annotations: {{config.kubernetes.io/depends-on: /namespaces/{namespace}/Service/{other}}}}}\nspec: {{ports: [{{port: 80}}]}}\n")
        }).concat(),
        &["apps/circle/bad.yaml:2", "wait for each other", "→"],
    );
    cases.file(
        "bad-wave",
        true,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {fairlead.dev/wave: soon}}\n",
        &["apps/bad-wave/bad.yaml:1", "not a whole number"],
    );
}

fn trees(cases: &mut Cases) {
    for (name, to) in [
        ("link-out", "../../../../../../../../etc/passwd"),
        ("link-absolute", "/etc/passwd"),
        ("link-self", "bad.yaml"),
        ("link-dangling", "nothing.yaml"),
    ] {
        let folder = cases.folder(name, true, &["bad.yaml", "symbolic link"]);
        cases.repo.link(&format!("{folder}/bad.yaml"), to);
    }
    cases.kustomization(
        "dots-out",
        "components: [../../../../outside]\n",
        &["apps/dots-out/kustomization.yaml:2", "leaves the repository"],
    );
    cases.folder(
        "path-out",
        true,
        &["environment.yaml:4: app path-out", "\"../outside\" leaves the repository"],
    );
    cases.all.last_mut().expect("it was just put there").path = "../outside".to_owned();
    cases.folder("no-folder", true, &["there is no file or folder apps/nowhere"]);
    cases.all.last_mut().expect("it was just put there").path = "apps/nowhere".to_owned();
    let folder = cases.folder("not-utf-8-path", true, &["apps/not-utf-8-path", "not UTF-8"]);
    cases
        .repo
        .write(Path::new(&folder).join(OsStr::from_bytes(b"bad-\xff.yaml")), configmap("x", "1").as_bytes());
    cases.kustomization(
        "patch-nothing",
        "patches:\n  - patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: nobody}}'\n",
        &["apps/patch-nothing/kustomization.yaml:3", "nobody"],
    );
    cases.kustomization(
        "unsupported",
        "resource: [x.yaml]\n",
        &["apps/unsupported/kustomization.yaml:2", "resource"],
    );
    let folder = cases.kustomization("cycle", "", &["cycle"]);
    cases.repo.write(format!("{folder}/kustomization.yaml"), b"resources: [beside.yaml, ../cycle-two]\n");
    cases.repo.write("apps/cycle-two/kustomization.yaml", b"resources: [../cycle]\n");
    let folder = cases.folder("submodule", true, &["submodule"]);
    let inner = cases.repo.work().join(&folder).join("inner");
    std::fs::create_dir_all(&inner).expect("a folder");
    std::fs::write(inner.join("x.yaml"), configmap("x", "1")).expect("a file");
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m", "x"],
    ] {
        let done = Command::new("git").current_dir(&inner).args(arguments).output().expect("git runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn of_the_cluster(cases: &mut Cases) {
    cases.file(
        "unknown-kind",
        false,
        "apiVersion: ships.example/v1\nkind: Ship\nmetadata: {name: x}\n",
        &["apps/unknown-kind/bad.yaml:1", "Ship"],
    );
    cases.file(
        "not-granted",
        false,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: kube-system}\n",
        &["apps/not-granted/bad.yaml:1", "kube-system", "is not granted"],
    );
    cases.file(
        "cluster-kind",
        false,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: bed-x}\nrules: []\n",
        &["apps/cluster-kind/bad.yaml:1", "is cluster-scoped", "is not granted"],
    );
    cases.file(
        "denied",
        false,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\nrules: []\n",
        &["apps/denied/bad.yaml:1", "cannot patch resource \"roles\"", "lacks this right"],
    );
    cases.file(
        "webhook",
        false,
        configmap("rejected-by-webhook", "1"),
        &["apps/webhook/bad.yaml:2", "the house rules forbid rejected-by-webhook"],
    );
    cases.file("policy", false, configmap("unwanted", "1"), &["apps/policy/bad.yaml:2", "no unwanted names"]);
    cases.file(
        "invalid",
        false,
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 99999}]}\n",
        &["apps/invalid/bad.yaml:1", "spec.ports[0].port"],
    );
}

/// A webhook and an admission policy of the cluster that say no to names in this namespace.
fn admission(bed: &Bed) {
    let webhook = Webhook::start();
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": bed.name}});
    let configmaps = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]});
    bed.api().apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": bed.name},
        "webhooks": [{
            "name": "names.bed.fairlead.dev", "clientConfig": {"url": webhook.url, "caBundle": webhook.ca_bundle},
            "rules": [configmaps], "namespaceSelector": here, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "timeoutSeconds": 5,
        }],
    }));
    let mut policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": bed.name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [configmaps]},
            "validations": [{"expression": "!object.metadata.name.startsWith('unwanted')", "message": "no unwanted names"}],
        },
    });
    let apply = |object: &Value| {
        let metadata = &object["metadata"]["name"];
        let plural = if object["kind"] == "ValidatingAdmissionPolicy" {
            "validatingadmissionpolicies"
        } else {
            "validatingadmissionpolicybindings"
        };
        let path = format!(
            "/apis/admissionregistration.k8s.io/v1/{plural}/{}?fieldManager=bed&force=true",
            metadata.as_str().expect("a name")
        );
        let (status, answer) =
            bed.api().request(Method::PATCH, &path, "application/apply-patch+yaml", Some(object));
        assert!(status < 300, "{answer}");
    };
    apply(&policy);
    policy["kind"] = json!("ValidatingAdmissionPolicyBinding");
    policy["spec"] = json!({"policyName": bed.name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}});
    apply(&policy);
    for name in ["rejected-x", "unwanted-x"] {
        wait_until(20 * SECOND, "the rule is in force", || {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
            let path = format!("/api/v1/namespaces/{}/configmaps?dryRun=All", bed.name);
            bed.api().request(Method::POST, &path, "application/json", Some(&object)).0 >= 400
        });
    }
}

#[test]
fn bad_input_is_refused_with_its_place_and_harms_only_its_app() {
    let bed = Bed::new("input");
    admission(&bed);
    let mut cases = Cases { repo: &bed.repo, all: Vec::new() };
    files(&mut cases, &bed.name);
    trees(&mut cases);
    of_the_cluster(&mut cases);
    let (path, config) = cases.config(&bed);
    let revision = bed.commit(&[(&path, &config)]);

    let validated = bed.fairlead_here(&["validate", "--env", &bed.name]);
    let committed = bed.fairlead_here(&["validate", "--env", &bed.name, "--rev", "HEAD"]);
    assert_eq!((validated.code, committed.code), (2, 2), "{validated:?}");
    let account = format!("{}/deployer", bed.deployers);
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name, "--rev", "HEAD", "--as", &account]);
    assert_eq!(planned.code, 2, "{planned:?}");

    let _agent = bed.agent();
    bed.wait_seen(&revision);
    bed.wait_app("sibling", "Ready");
    let mut wrong = Vec::new();
    for case in &cases.all {
        let app = bed.wait_app(case.name, "Refused");
        let message = app["message"].as_str().unwrap_or_default();
        let mut answers = vec![("the agent", message), ("plan", &planned.stdout)];
        if case.offline {
            // A folder does not say which of its folders are submodules; a commit does.
            if case.name != "submodule" {
                answers.push(("validate", &validated.stdout));
            }
            answers.push(("validate --rev", &committed.stdout));
        }
        for (who, answer) in answers {
            let lines: Vec<&str> = answer
                .lines()
                .filter(|line| case.says.iter().all(|text| line.contains(text.as_str())))
                .collect();
            // The plan puts the hint on a line of its own.
            let whole = who == "plan" && case.says.iter().all(|text| answer.contains(text.as_str()));
            if lines.is_empty() && !whole {
                let mine: Vec<&str> =
                    answer.lines().filter(|line| line.contains(case.name) || who == "the agent").collect();
                wrong.push(format!(
                    "{}: {who} does not say {:?}: {}",
                    case.name,
                    case.says,
                    mine.join("\n    ")
                ));
            }
        }
        if bed.configmap(&format!("{}-beside", case.name)).is_some() {
            wrong.push(format!("{}: something of it was written", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(bed.condition("Stalled")["status"], "True");
}

#[test]
fn a_namespace_that_does_not_exist_is_waited_for() {
    let setup = Setup::new("nowhere");
    let missing = format!("{}-missing", setup.name());
    let bed = setup.grant_namespace(&missing).grant_everywhere("", "configmaps").make();
    let _agent = bed.agent();
    let within = |namespace: &str, name: &str| {
        configmap(name, "1")
            .replace(&format!("{{name: {name}}}"), &format!("{{name: {name}, namespace: {namespace}}}"))
    };
    let web = within(&bed.name, "beside") + &within(&missing, "lost");
    bed.commit_apps(&[("web", &web), ("sibling", &within(&bed.name, "sibling"))]);
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    let words = format!("web/all.yaml:7: ConfigMap {missing}/lost: the namespace {missing} does not exist");
    assert!(message.contains(&words), "{message}");
    bed.wait_app("sibling", "Ready");
    assert!(bed.configmap("beside").is_none());
    // Someone makes it, and nobody has to commit again.
    bed.api().apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": missing}}));
    bed.wait_app("web", "Ready");
}
