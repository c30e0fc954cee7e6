//! The life of a preview, on a real API server: an environment of its own for a pull request, made of its merge, bounded
//! before anything of it runs, updated by a push, and really gone when it is closed. A folder stands in for a forge.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::{Agent, Bed, SECOND, Setup, find, holds_for, rbac, wait_until};

const SOON: Duration = Duration::from_secs(180);

/// What passes the restricted level of pod security, and a policy that would open what the preview closes.
const APP: &str = "---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: registry.example/web:1
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
";

struct Previewed {
    bed: Bed,
    folder: tempfile::TempDir,
}

impl Previewed {
    fn new(name: &str) -> Self {
        let setup = Setup::new(name).alone();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(setup.name())).expect("a folder");
        let spec = json!({"pullRequests": {
            "forge": "files", "repository": setup.name(), "interval": "1s",
            "people": [{"login": "ada", "user": "ada@example.org"}, {"login": "bob", "user": "bob@example.org"}],
            "previews": {"serviceAccount": {"namespace": "fairlead", "name": "fairlead-previews"}, "max": 2, "forks": true},
        }});
        let bed = setup.limits(spec).make();
        rbac::previews(bed.api());
        let config = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{name: web, path: web}]\n  previews: {label: preview, host: '{app}-{pr}.preview.example', forks: true}\n";
        bed.repo.write(format!("environments/{}/environment.yaml", bed.name), config.as_bytes());
        bed.repo.write("web/all.yaml", format!("{APP}{}", configmap("settings", "1")).as_bytes());
        bed.repo.push("main");
        Self { bed, folder }
    }

    fn agent(&self) -> Agent {
        let folder = self.folder.path().to_string_lossy().into_owned();
        self.bed.agent_of_all(&[("FAIRLEAD_PULL_REQUESTS_FOLDER", &folder)])
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(&self.bed.name).join(name);
        // As people save files, and not in two halves.
        let half = path.with_extension("half");
        std::fs::write(&half, text).expect("a file");
        std::fs::rename(half, path).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(&self.bed.name).join(name)).unwrap_or_default()
    }

    fn wait(&self, name: &str, words: &[&str]) -> String {
        let all = || words.iter().all(|word| self.read(name).contains(word));
        wait_until(SOON, &format!("{name} says {words:?}, and not {}", self.read(name)), all);
        self.read(name)
    }

    /// Pushes settings to a branch of their own.
    fn push(&self, branch: &str, value: &str) -> String {
        self.push_app(branch, &format!("{APP}{}", configmap("settings", value)))
    }

    fn push_app(&self, branch: &str, manifests: &str) -> String {
        let repo = &self.bed.repo;
        repo.git(&["checkout", "--quiet", "-B", branch]);
        repo.write("web/all.yaml", manifests.as_bytes());
        let commit = repo.push(branch);
        repo.git(&["checkout", "--quiet", "main"]);
        commit
    }

    fn name(&self, number: u64) -> String {
        format!("preview-{}-{number}", self.bed.name)
    }

    fn environment(&self, number: u64) -> Option<Value> {
        self.bed.api().get(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", self.name(number)))
    }

    fn namespace(&self, number: u64) -> Option<Value> {
        self.bed.api().get(&format!("/api/v1/namespaces/{}", self.name(number)))
    }

    fn object(&self, number: u64, group: &str, plural: &str, name: &str) -> Option<Value> {
        let root = if group.contains('/') { "/apis" } else { "/api" };
        self.bed.api().get(&format!("{root}/{group}/namespaces/{}/{plural}/{name}", self.name(number)))
    }

    fn value(&self, number: u64) -> Value {
        self.object(number, "v1", "configmaps", "settings").unwrap_or_default()["data"]["value"].clone()
    }

    #[track_caller]
    fn wait_healthy(&self, number: u64, head: &str) {
        let mut seen = Value::Null;
        let began = std::time::Instant::now();
        loop {
            seen = self.environment(number).unwrap_or(seen);
            let status = &seen["status"];
            let ready = find(&status["conditions"], "type", "Ready")["status"] == "True";
            if ready && status["revision"] == head && seen["spec"]["suspended"] == false {
                return;
            }
            assert!(
                began.elapsed() < SOON,
                "{number} is not healthy at {head}:\n{seen:#}\n{}",
                self.read("7.md")
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    #[track_caller]
    fn wait_gone(&self, number: u64) {
        wait_until(SOON, "nothing is left of it", || {
            self.environment(number).is_none() && self.namespace(number).is_none()
        });
    }
}

#[test]
fn a_labelled_pull_request_has_an_environment_of_its_own_until_it_is_closed() {
    let previewed = Previewed::new("previews");
    let _agent = previewed.agent();
    let head = previewed.push("more", "2");
    previewed.write("7.yaml", "head: more\nbase: main\nlabels: [preview]\n");
    previewed.wait_healthy(7, &head);
    assert_eq!(previewed.value(7), "2");
    let labels = previewed.namespace(7).expect("it is there")["metadata"]["labels"].clone();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted", "{labels}");
    for (group, plural) in
        [("v1", "resourcequotas"), ("v1", "limitranges"), ("networking.k8s.io/v1", "networkpolicies")]
    {
        assert!(previewed.object(7, group, plural, "fairlead-preview").is_some(), "{plural}");
    }
    let opens = previewed.object(7, "networking.k8s.io/v1", "networkpolicies", "open");
    assert_eq!(opens, None, "what the pull request says opens nothing");
    previewed.wait("7.md", &["### Previews", "**healthy**"]);
    assert_eq!(
        previewed.bed.configmap("settings").map(|found| found["data"]["value"].clone()),
        Some(json!("1"))
    );

    // A push goes into it, and it stays one.
    let head = previewed.push("more", "3");
    previewed.wait_healthy(7, &head);
    previewed.wait("7.md", &["https://web-7.preview.example"]);
    assert_eq!(previewed.value(7), "3");

    // The forge is away, and its list is empty: that removes nothing.
    let folder = previewed.folder.path().join(&previewed.bed.name);
    let away = previewed.folder.path().join("away");
    std::fs::rename(&folder, &away).expect("it is moved");
    holds_for(6 * SECOND, "it stays", || previewed.environment(7).is_some() && previewed.value(7) == "3");
    std::fs::create_dir(&folder).expect("a folder");
    holds_for(6 * SECOND, "it stays", || previewed.environment(7).is_some() && previewed.value(7) == "3");
    std::fs::remove_dir_all(&folder).expect("it goes");
    std::fs::rename(&away, &folder).expect("it is back");

    previewed.write("7.yaml", "head: more\nbase: main\nlabels: [preview]\nstate: closed\n");
    previewed.wait_gone(7);

    // One that would have another one's host is refused, and says why.
    let evil = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  rules:\n    - {host: a.example}\n    - {host: shop.example}\n";
    previewed.push_app("evil", &format!("{APP}{evil}"));
    previewed.write("9.yaml", "head: evil\nbase: main\nlabels: [preview]\n");
    wait_until(SOON, "it is refused", || {
        let app = find(&previewed.environment(9).unwrap_or_default()["status"]["apps"], "name", "web");
        app["phase"] == "Refused" && app["message"].to_string().contains("hosts of the preview")
    });
    let web = previewed.object(9, "apps/v1", "deployments", "web");
    assert_eq!(web, None, "nothing of it runs");
    // A fork gets none for a label, and says so nowhere in the cluster.
    previewed.write("8.yaml", "head: more\nbase: main\nlabels: [preview]\nfork: true\n");
    previewed.wait("8.md", &["changes without risks"]);
    holds_for(4 * SECOND, "a fork gets none", || previewed.environment(8).is_none());
}

#[test]
fn who_may_asks_for_a_preview_and_has_it_taken_away_and_an_agent_that_dies_leaves_nothing() {
    let previewed = Previewed::new("previews-asked");
    let bed = &previewed.bed;
    rbac::user(bed.api(), "ada@example.org", &bed.name, &["preview"]);
    rbac::user(bed.api(), "bob@example.org", &bed.name, &["retry"]);
    let agent = previewed.agent();
    let head = previewed.push("more", "2");
    previewed.write("7.yaml", "head: more\nbase: main\n");
    previewed.wait("7.md", &["changes without risks"]);
    let said = |id: u64, by: &str, text: &str| json!({"id": id, "by": by, "text": text});
    let mut all = vec![said(2, "bob", "/fairlead preview")];
    previewed.write("7.comments.yaml", &json!(all).to_string());
    previewed.wait("7.md", &["refused", "environments.fairlead.dev/preview"]);
    assert_eq!(previewed.environment(7), None);
    all.push(said(3, "ada", "/fairlead preview"));
    previewed.write("7.comments.yaml", &json!(all).to_string());
    // It dies while it makes one, and goes on.
    wait_until(SOON, "it is being made", || previewed.environment(7).is_some());
    agent.signal("KILL");
    agent.wait(SOON);
    let agent = previewed.agent();
    previewed.wait_healthy(7, &head);

    // The agent itself is let make no other Environments than those of previews, and these in their bounds.
    let spec = previewed.environment(7).expect("it is there")["spec"].clone();
    let make = |change: &dyn Fn(&mut Value)| {
        let mut spec = spec.clone();
        (spec["suspended"], spec["preview"]["of"]) = (json!(true), json!("nobody"));
        spec["namespaces"] = json!(["preview-nobody-7"]);
        change(&mut spec);
        let environment = json!({
            "apiVersion": "fairlead.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "preview-nobody-7"}, "spec": spec,
        });
        let path = "/apis/fairlead.dev/v1alpha1/environments";
        let user = format!("system:serviceaccount:{}:{}", rbac::NAMESPACE, rbac::ACCOUNT);
        let headers = [("Impersonate-User", user.as_str())];
        bed.api().request_with(http::Method::POST, path, "application/json", Some(&environment), &headers).0
    };
    let deployer = json!({"namespace": bed.deployers, "name": "deployer"});
    assert_eq!(make(&|spec| spec["namespaces"] = json!(["kube-system"])), 403);
    assert_eq!(make(&|spec| spec["serviceAccount"] = deployer.clone()), 403);
    assert_eq!(make(&|spec| spec["clusterKinds"] = json!(["Namespace"])), 403);
    assert_eq!(make(&|spec| spec["secrets"] = json!(["*"])), 403);
    assert_eq!(make(&|spec| spec["kinds"]["allowed"] = json!(["*"])), 403);
    assert_eq!(make(&|spec| spec["preview"] = Value::Null), 403);
    // One of an environment that is no more goes.
    assert_eq!(make(&|_| {}), 201);
    wait_until(SOON, "it goes", || {
        bed.api().get("/apis/fairlead.dev/v1alpha1/environments/preview-nobody-7").is_none()
    });
    // One of a fork runs the commit that was named, and reaches itself alone; what is pushed then does not run.
    let forked = previewed.push("forked", "3");
    previewed.write("8.yaml", "head: forked\nbase: main\nlabels: [preview]\nfork: true\n");
    previewed.wait("8.md", &["changes without risks"]);
    let mut to_fork = vec![said(2, "ada", "/fairlead preview")];
    previewed.write("8.comments.yaml", &json!(to_fork).to_string());
    previewed.wait("8.md", &["it comes from a fork: look at the commit and name it"]);
    assert_eq!(previewed.environment(8), None);
    to_fork.push(said(3, "ada", &format!("/fairlead preview @{}", &forked[..10])));
    previewed.write("8.comments.yaml", &json!(to_fork).to_string());
    previewed.wait_healthy(8, &forked);
    let fence = previewed.object(8, "networking.k8s.io/v1", "networkpolicies", "fairlead-preview");
    let egress = fence.expect("it is there")["spec"]["egress"].clone();
    assert_eq!(egress, json!([{"to": [{"podSelector": {}}]}]));
    let pushed = previewed.push("forked", "4");
    previewed.wait("8.md", &["goes on to", &pushed[..10], "/fairlead preview @"]);
    assert_eq!(previewed.value(8), "3");
    all.push(said(4, "ada", "/fairlead preview stop"));
    previewed.write("7.comments.yaml", &json!(all).to_string());
    wait_until(SOON, "it is taken away", || {
        previewed.environment(7).is_some_and(|it| it["spec"]["suspended"] == true)
    });
    agent.signal("KILL");
    agent.wait(SOON);
    // It is closed while nobody looks, and somebody takes away the Environment of another one.
    previewed.write("7.yaml", "head: more\nbase: main\nstate: closed\n");
    let orphan = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": previewed.name(9), "labels": {"fairlead.dev/preview": previewed.name(9)}},
    });
    bed.api().apply(&orphan);
    let _agent = previewed.agent();
    previewed.wait_gone(7);
    previewed.wait_gone(9);
}
