//! What the scenarios share: a real control plane, an environment of their own in it, a git remote, the real agent, and
//! a proxy between agent and API server that counts and harms.
//!
//! The agent runs as a service account with the rights of the shipped chart ([`rbac`]), never as an administrator.

mod agent;
mod api;
mod controlplane;
mod link;
mod listener;
pub mod manifests;
pub mod moto;
mod proxy;
pub mod rbac;
pub mod regions;
mod repo;
mod seen;
mod traffic;
#[allow(dead_code, reason = "the tests of git ask it for more")]
#[path = "../../git/web.rs"]
pub mod web;
mod webhook;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub use agent::Agent;
pub use api::Api;
pub use controlplane::{ControlPlane, config};
pub use link::Link;
pub use listener::Listener;
pub use proxy::{Behind, Class, Effect, End, Fault, Proxy, Record, SAYS};
pub use repo::{Repo, git_command};
pub use seen::Seen;
pub use traffic::{Count, Traffic};
pub use webhook::Webhook;

/// Runs clients and proxies; the tests themselves are plain threads.
pub static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads start")
});

pub const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything here takes on a busy machine, and short enough that a hang is seen.
pub const SOON: Duration = Duration::from_secs(90);

/// Waits until something holds; says what it waited for where it never does.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// Watches for a while that something stays as it is.
#[track_caller]
pub fn holds_for(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(holds(), "after {:?} no longer: {what}", began.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The binary under test, without this machine's settings.
pub fn fairlead() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    for name in [
        "KUBECONFIG",
        "PAGER",
        "POD_NAME",
        "POD_NAMESPACE",
        "FAIRLEAD_CACHE",
        "FAIRLEAD_HISTORY",
        "FAIRLEAD_NOTIFY_URL",
        "FAIRLEAD_LOG",
        "FAIRLEAD_LISTEN",
    ] {
        command.env_remove(name);
    }
    command
}

/// What the platform says of an environment, before it is made.
pub struct Setup {
    name: String,
    namespaces: Vec<String>,
    cluster_kinds: Vec<String>,
    /// Rules for cluster-scoped objects that the deploy account gets.
    cluster_rules: Vec<Value>,
    regions: Vec<String>,
    suspended: bool,
    alone: Option<Arc<ControlPlane>>,
    without_environment: bool,
    without_rights: bool,
    repo: Option<Repo>,
    /// What else stands in the spec.
    limits: Value,
}

impl Setup {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self {
            namespaces: vec![name.clone()],
            name,
            cluster_kinds: Vec::new(),
            cluster_rules: Vec::new(),
            regions: Vec::new(),
            suspended: false,
            alone: None,
            without_environment: false,
            without_rights: false,
            repo: None,
            limits: json!({}),
        }
    }

    /// Under a name of its own: the regions of an environment have one name in all clusters.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), namespaces: vec![name.to_owned()], ..Self::new(name) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A further namespace that is granted; it is not made.
    pub fn grant_namespace(mut self, name: &str) -> Self {
        self.namespaces.push(name.to_owned());
        self
    }

    /// A cluster-scoped kind that is granted, with the right to write it.
    pub fn grant_kind(mut self, kind: &str, group: &str, plural: &str) -> Self {
        self.cluster_kinds.push(if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") });
        self.cluster_rules
            .push(json!({"apiGroups": [group], "resources": [plural], "verbs": ["create", "patch"]}));
        self
    }

    /// A right in all namespaces, for kinds and namespaces that do not exist yet.
    pub fn grant_everywhere(mut self, group: &str, plural: &str) -> Self {
        self.cluster_rules
            .push(json!({"apiGroups": [group], "resources": [plural], "verbs": ["create", "patch"]}));
        self
    }

    /// More fields of the spec: the platform's limits.
    pub fn limits(mut self, limits: Value) -> Self {
        self.limits = limits;
        self
    }

    pub fn region(mut self, name: &str) -> Self {
        self.regions.push(name.to_owned());
        self
    }

    pub fn suspended(mut self) -> Self {
        self.suspended = true;
        self
    }

    /// In a control plane of its own, which may be harmed.
    pub fn alone(mut self) -> Self {
        self.alone = Some(Arc::new(ControlPlane::own(&[])));
        self
    }

    /// In one that a few share.
    pub fn within(mut self, control_plane: &Arc<ControlPlane>) -> Self {
        self.alone = Some(control_plane.clone());
        self
    }

    /// Nothing in the cluster says what git may do: a person's own `fairlead apply`.
    pub fn without_environment(mut self) -> Self {
        self.without_environment = true;
        self
    }

    /// Its account may do nothing: the test says what.
    pub fn without_rights(mut self) -> Self {
        self.without_rights = true;
        self
    }

    /// Follows a remote that another environment follows, too.
    pub fn over(mut self, repo: &Repo) -> Self {
        self.repo = Some(repo.clone());
        self
    }

    pub fn make(self) -> Bed {
        let cluster = match self.alone {
            Some(own) => Cluster::Own(own),
            None => Cluster::Shared(ControlPlane::shared()),
        };
        let repo = self.repo.unwrap_or_default();
        let scratch = TempDir::new().expect("a temporary folder");
        let bed = Bed { deployers: format!("{}-deploy", self.name), name: self.name, cluster, repo, scratch };
        let api = bed.api();
        for namespace in [&bed.name, &bed.deployers] {
            api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        }
        rbac::account(api, &bed.name, &bed.deployers);
        if !self.without_rights {
            rbac::grant(api, &bed.name, &bed.deployers, &self.cluster_rules);
        }
        if !self.without_environment {
            let mut spec = json!({
                "source": {"url": bed.repo.url(), "branch": "main"},
                "serviceAccount": {"namespace": bed.deployers, "name": "deployer"},
                "namespaces": self.namespaces, "clusterKinds": self.cluster_kinds,
                "regions": self.regions, "suspended": self.suspended,
            });
            let more = self.limits.as_object().cloned().unwrap_or_default();
            spec.as_object_mut().expect("a map").extend(more);
            api.apply(&json!({
                "apiVersion": "fairlead.dev/v1alpha1", "kind": "Environment", "metadata": {"name": bed.name},
                "spec": spec,
            }));
        }
        bed
    }
}

enum Cluster {
    Shared(&'static ControlPlane),
    Own(Arc<ControlPlane>),
}

/// An environment, its namespace and its deploy account in a cluster, and its git remote.
pub struct Bed {
    /// Of the environment, and of its namespace.
    pub name: String,
    /// The namespace of its deploy account.
    pub deployers: String,
    cluster: Cluster,
    pub repo: Repo,
    scratch: TempDir,
}

impl Bed {
    pub fn new(name: &str) -> Self {
        Setup::new(name).make()
    }

    pub fn control_plane(&self) -> &ControlPlane {
        match &self.cluster {
            Cluster::Shared(shared) => shared,
            Cluster::Own(own) => own,
        }
    }

    /// The API server, as an administrator.
    pub fn api(&self) -> &Api {
        &self.control_plane().api
    }

    pub fn cache(&self) -> PathBuf {
        self.scratch.path().join("cache")
    }

    pub fn agent(&self) -> Agent {
        self.agent_of(&[&self.name])
    }

    /// The agent with more in its process environment.
    pub fn agent_with(&self, more: &[(&str, &str)]) -> Agent {
        Agent::with(&self.control_plane().agent_kubeconfig, &self.cache(), &self.name, more)
    }

    /// The agent of all environments that there are, with more in its process environment.
    pub fn agent_of_all(&self, more: &[(&str, &str)]) -> Agent {
        Agent::of_all(&self.control_plane().agent_kubeconfig, &self.cache(), more)
    }

    /// The agent as it is where nothing is said of git remotes.
    pub fn agent_without_git_flags(&self) -> Agent {
        Agent::without_git_flags(&self.control_plane().agent_kubeconfig, &self.cache(), &self.name)
    }

    /// One agent for several environments.
    pub fn agent_of(&self, environments: &[&str]) -> Agent {
        Agent::start(&self.control_plane().agent_kubeconfig, &self.cache(), environments)
    }

    pub fn proxy(&self) -> Proxy {
        Proxy::start(self.control_plane())
    }

    /// The agent, whose way to the API server leads through the proxy.
    pub fn agent_through(&self, proxy: &Proxy) -> Agent {
        let agent = Agent::start(proxy.kubeconfig(), &self.cache(), &[&self.name]);
        proxy.attach(agent.killer());
        agent
    }

    /// Writes the files, commits all and pushes; answers the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            self.repo.write(path, content.as_bytes());
        }
        self.repo.push("main")
    }

    /// Commits one app `web` of these manifests, in an environment that waits a minute for its gates.
    pub fn commit_web(&self, manifests: &str) -> String {
        self.commit_apps(&[("web", manifests)])
    }

    /// Commits apps by name, each a folder of its own name.
    pub fn commit_apps(&self, apps: &[(&str, &str)]) -> String {
        let entries: Vec<String> =
            apps.iter().map(|(name, _)| format!("{{name: {name}, path: {name}}}")).collect();
        let config = self.config(&entries.join(", "), "rollout: {timeout: 60s}");
        let mut files = vec![(config.0.clone(), config.1.clone())];
        files.extend(apps.iter().map(|(name, content)| (format!("{name}/all.yaml"), (*content).to_owned())));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
        self.commit(&files)
    }

    /// The path and content of `environment.yaml`: the apps in flow style, and further lines of the spec.
    pub fn config(&self, apps: &str, more: &str) -> (String, String) {
        let content = format!(
            "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{apps}]\n  {more}\n"
        );
        (format!("environments/{}/environment.yaml", self.name), content)
    }

    pub fn environment(&self) -> Value {
        self.api().get(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", self.name)).unwrap_or_default()
    }

    pub fn patch_environment(&self, patch: &Value) {
        self.api().merge(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", self.name), patch);
    }

    /// A kubeconfig of somebody with a token.
    pub fn kubeconfig_of(&self, name: &str, token: &str) -> PathBuf {
        let path = self.scratch.path().join(format!("{name}.kubeconfig"));
        self.control_plane().write_kubeconfig(&path, token);
        path
    }

    /// Makes a Request of this environment in an administrator's name; answers its name.
    pub fn ask(&self, spec: &Value) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{}-{}", self.name, COUNT.fetch_add(1, Ordering::Relaxed));
        let mut spec = spec.clone();
        spec["environment"] = self.name.as_str().into();
        spec["by"] = self.api().whoami().into();
        self.api().create(&json!({
            "apiVersion": "fairlead.dev/v1alpha1", "kind": "Request", "metadata": {"name": name}, "spec": spec,
        }));
        name
    }

    /// The Requests of this environment with a verb.
    pub fn requests(&self, verb: &str) -> Vec<Value> {
        let all = self.api().get("/apis/fairlead.dev/v1alpha1/requests").unwrap_or_default();
        let items = all["items"].as_array().cloned().unwrap_or_default();
        let mine = |request: &Value| {
            request["spec"]["environment"] == self.name.as_str() && request["spec"]["verb"] == verb
        };
        items.into_iter().filter(mine).collect()
    }

    /// Waits until a Request is in a state; answers it.
    #[track_caller]
    pub fn wait_request(&self, name: &str, state: &str) -> Value {
        let path = format!("/apis/fairlead.dev/v1alpha1/requests/{name}");
        let began = Instant::now();
        loop {
            let found = self.api().get(&path).unwrap_or_default();
            if found["status"]["state"] == state {
                return found;
            }
            assert!(began.elapsed() < SOON, "the request is not {state} within {SOON:?}:\n{found:#}");
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    /// The same, in the name of the agent, whom the policies of the chart let write what they let nobody else.
    pub fn patch_environment_as_agent(&self, patch: &Value) {
        let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}?fieldManager=somebody", self.name);
        let agent = format!("system:serviceaccount:{}:{}", rbac::NAMESPACE, rbac::ACCOUNT);
        let (status, answer) = self.api().request_with(
            http::Method::PATCH,
            &path,
            "application/merge-patch+json",
            Some(patch),
            &[("Impersonate-User", &agent)],
        );
        assert_eq!(status, 200, "{answer}");
    }

    pub fn status(&self) -> Value {
        self.environment()["status"].clone()
    }

    pub fn condition(&self, kind: &str) -> Value {
        find(&self.status()["conditions"], "type", kind)
    }

    /// The status of an app.
    pub fn app(&self, name: &str) -> Value {
        find(&self.status()["apps"], "name", name)
    }

    /// Waits until an app is in a phase; answers its status.
    #[track_caller]
    pub fn wait_app(&self, name: &str, phase: &str) -> Value {
        let mut seen = Value::Null;
        let began = Instant::now();
        while seen["phase"] != phase {
            let limit = began.elapsed() < SOON;
            assert!(limit, "the app {name} is not {phase} within {SOON:?}:\n{:#}", self.status());
            std::thread::sleep(Duration::from_millis(60));
            seen = self.app(name);
        }
        seen
    }

    /// Waits until all apps run this commit and passed their gates.
    #[track_caller]
    pub fn wait_ready(&self, revision: &str) {
        let began = Instant::now();
        loop {
            let status = self.status();
            let ready = find(&status["conditions"], "type", "Ready")["status"] == "True";
            if ready && status["revision"] == revision {
                return;
            }
            assert!(began.elapsed() < SOON, "{revision} is not ready within {SOON:?}:\n{status:#}");
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    /// Waits until an agent looks after the environment.
    #[track_caller]
    pub fn wait_seen_by_agent(&self) {
        wait_until(SOON, "an agent looks after it", || self.status() != Value::Null);
    }

    /// Waits until the agent has looked at this commit.
    #[track_caller]
    pub fn wait_seen(&self, revision: &str) {
        wait_until(SOON, "the commit is seen", || self.status()["revision"] == revision);
    }

    /// An object of the environment's namespace, by the plural of its kind.
    pub fn get(&self, group_version: &str, plural: &str, name: &str) -> Option<Value> {
        self.api().get(&api::path(group_version, Some(&self.name), plural, name))
    }

    pub fn configmap(&self, name: &str) -> Option<Value> {
        self.get("v1", "configmaps", name)
    }

    pub fn deployment(&self, name: &str) -> Option<Value> {
        self.get("apps/v1", "deployments", name)
    }

    /// kubectl as an administrator, in the environment's namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        self.control_plane().kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Changes the value of a ConfigMap as somebody does who is not the agent.
    pub fn set_by_hand(&self, name: &str) {
        let patch = r#"{"data":{"value":"by hand"}}"#;
        self.kubectl(&["patch", "configmap", name, "--type=merge", "--patch", patch]).ok();
    }

    /// A verb of the command line, as an administrator of the cluster.
    pub fn fairlead(&self, arguments: &[&str]) -> Said {
        let mut command = fairlead();
        command.env("KUBECONFIG", &self.control_plane().kubeconfig).args(arguments);
        command.output().expect("the binary runs").into()
    }

    /// The same, of the files as they lie in the working copy.
    pub fn fairlead_here(&self, arguments: &[&str]) -> Said {
        let repo = self.repo.work();
        self.fairlead(&[arguments, &["--repo", repo.to_str().expect("UTF-8")]].concat())
    }

    /// Notes of the Events about the environment.
    pub fn events(&self) -> Vec<String> {
        let all = self.api().get("/apis/events.k8s.io/v1/namespaces/default/events").unwrap_or_default();
        let ours = |event: &&Value| event["regarding"]["name"] == self.name.as_str();
        let items = all["items"].as_array().cloned().unwrap_or_default();
        let text = |event: &Value| {
            format!("{} {}", event["reason"].as_str().unwrap_or(""), event["note"].as_str().unwrap_or(""))
        };
        items.iter().filter(ours).map(text).collect()
    }

    /// Waits for so many Events that begin like this, and returns all: they are written after the status that says the same.
    pub fn wait_events(&self, begin: &str, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        wait_until(SOON, &format!("{count} events tell of {begin}"), || {
            events = self.events();
            events.iter().filter(|event| event.starts_with(begin)).count() >= count
        });
        events
    }
}

/// The item of a list whose field has this value.
pub fn find(list: &Value, field: &str, value: &str) -> Value {
    let items = list.as_array().into_iter().flatten();
    items.into_iter().find(|item| item[field] == value).cloned().unwrap_or_default()
}
