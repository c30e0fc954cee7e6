//! Those who are measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairlead::api::names;
use fairlead::object::{APPLIED, Digest};
use fairlead::plan::applyset_id;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::bare;
use crate::control_plane::ControlPlane;
use crate::process::{Usage, usage};
use crate::workload::{Phase, Workload};

#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub workload: String,
    pub subject: String,
    pub phase: String,
    pub objects: usize,
    pub seconds: f64,
    pub requests: u64,
    pub client_cpu: f64,
    pub server_cpu: f64,
    pub peak_mib: f64,
    pub resident_mib: f64,
}

pub trait Subject {
    fn namespace(&self, workload: &Workload) -> String;
    fn apply<'a>(
        &'a mut self,
        plane: &'a ControlPlane,
        workload: &'a Workload,
        phase: Phase,
    ) -> BoxFuture<'a, Measured>;
}

/// Takes the figures around a piece of work.
struct Meter<'a> {
    plane: &'a ControlPlane,
    resource: &'static str,
    requests: u64,
    server: Usage,
    began: Instant,
}

impl<'a> Meter<'a> {
    async fn start(plane: &'a ControlPlane, workload: &Workload) -> Self {
        let resource = workload.resource().1;
        let requests = plane.requests(resource).await;
        Self { plane, resource, requests, server: plane.usage(), began: Instant::now() }
    }

    async fn stop(
        self,
        workload: &Workload,
        subject: &str,
        phase: &str,
        client_cpu: f64,
        memory: Usage,
    ) -> Measured {
        self.stop_at(Instant::now(), workload, subject, phase, client_cpu, memory).await
    }

    async fn stop_at(
        self,
        ended: Instant,
        workload: &Workload,
        subject: &str,
        phase: &str,
        client_cpu: f64,
        memory: Usage,
    ) -> Measured {
        let server_cpu = self.plane.usage().cpu_seconds - self.server.cpu_seconds;
        Measured {
            workload: workload.name.to_owned(),
            subject: subject.to_owned(),
            phase: phase.to_owned(),
            objects: workload.count,
            seconds: (ended - self.began).as_secs_f64(),
            requests: self.plane.requests(self.resource).await - self.requests,
            client_cpu,
            server_cpu,
            peak_mib: memory.peak_mib,
            resident_mib: memory.resident_mib,
        }
    }
}

/// What the agent sends: the objects, with what it writes on each.
pub fn bodies(workload: &Workload, namespace: &str, phase: Phase) -> Vec<(String, Bytes)> {
    let (root, plural) = workload.resource();
    let part_of = applyset_id("bench", "Environment", names::GROUP);
    let body = |mut object: Value| {
        let digest = Digest::of_parts([object.to_string().as_str()]);
        let metadata = &mut object["metadata"];
        metadata["labels"][names::ENVIRONMENT_LABEL] = "bench".into();
        metadata["labels"][names::APP_LABEL] = "bench".into();
        metadata["labels"][names::APPLYSET_PART_OF] = part_of.as_str().into();
        metadata["annotations"][APPLIED] = digest.as_str().into();
        let name = metadata["name"].as_str().unwrap_or_default();
        (format!("/{root}/namespaces/{namespace}/{plural}/{name}"), Bytes::from(object.to_string()))
    };
    workload.objects(namespace, phase).into_iter().map(body).collect()
}

/// Shows the server a few such objects, for it learns a kind when it first sees one.
pub async fn warm(plane: &ControlPlane, workload: &Workload) {
    plane.namespace("warm").await;
    kubectl_apply(plane, &identity("warm"));
    let bodies = bodies(workload, "warm", Phase::First);
    bare::prove_and_apply(&plane.client().await, &user("warm"), &bodies[..WARM], 8).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
}

const WARM: usize = 50;

/// As whom is written, in a namespace.
pub fn identity(namespace: &str) -> [Value; 2] {
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deploy", "namespace": namespace}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "deploy", "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "deploy", "namespace": namespace}]}),
    ]
}

pub fn user(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:deploy")
}

pub struct Bare {
    client: kube::Client,
    concurrency: usize,
}

impl Bare {
    pub async fn new(plane: &ControlPlane, concurrency: usize) -> Self {
        Self { client: plane.client().await, concurrency }
    }
}

impl Subject for Bare {
    fn namespace(&self, _: &Workload) -> String {
        format!("bare-{}", self.concurrency)
    }

    fn apply<'a>(
        &'a mut self,
        plane: &'a ControlPlane,
        workload: &'a Workload,
        phase: Phase,
    ) -> BoxFuture<'a, Measured> {
        Box::pin(async move {
            let namespace = self.namespace(workload);
            if phase == Phase::First {
                kubectl_apply(plane, &identity(&namespace));
            }
            let (bodies, user) = (bodies(workload, &namespace, phase), user(&namespace));
            let meter = Meter::start(plane, workload).await;
            let before = usage(std::process::id());
            bare::prove_and_apply(&self.client, &user, &bodies, self.concurrency).await;
            let cpu = usage(std::process::id()).cpu_seconds - before.cpu_seconds;
            let name = format!("bare client, {}", self.concurrency);
            meter.stop(workload, &name, phase.name(), cpu, Usage::default()).await
        })
    }
}

pub struct Kubectl {
    folder: tempfile::TempDir,
}

impl Kubectl {
    pub fn new(_: &ControlPlane) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }
}

impl Subject for Kubectl {
    fn namespace(&self, _: &Workload) -> String {
        "kubectl".to_owned()
    }

    fn apply<'a>(
        &'a mut self,
        plane: &'a ControlPlane,
        workload: &'a Workload,
        phase: Phase,
    ) -> BoxFuture<'a, Measured> {
        Box::pin(async move {
            for (name, text) in workload.files(&self.namespace(workload), phase) {
                std::fs::write(self.folder.path().join(name), text).expect("writing");
            }
            let meter = Meter::start(plane, workload).await;
            let before = children_cpu();
            let status = Command::new(&plane.kubectl)
                .args(["--kubeconfig", &plane.kubeconfig.to_string_lossy(), "apply", "--server-side", "-f"])
                .arg(self.folder.path())
                .stdout(Stdio::null())
                .status()
                .expect("kubectl runs");
            assert!(status.success());
            let cpu = children_cpu() - before;
            meter.stop(workload, "kubectl apply --server-side", phase.name(), cpu, Usage::default()).await
        })
    }
}

/// CPU of children that have ended, in seconds.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field =
        |n: usize| rest.split_whitespace().nth(n).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (field(13) + field(14)) / 100.0
}

/// The agent itself, following a git remote.
pub struct Fairlead {
    agent: Agent,
    folder: tempfile::TempDir,
}

/// What it writes into.
pub const NAMESPACE: &str = "fairlead-bench";
/// The agent's own, which is granted to no environment.
pub const HOME: &str = "fairlead";

impl Fairlead {
    pub async fn new(plane: &ControlPlane, _: &Workload) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (remote, work) = remote(folder.path());
        let config = json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "EnvironmentConfig", "spec": {
            "apps": [{"name": "bench", "path": "apps/bench"}]}});
        std::fs::create_dir_all(work.join("environments/bench")).expect("a folder");
        std::fs::write(work.join("environments/bench/environment.yaml"), config.to_string())
            .expect("writing");
        plane.namespace(NAMESPACE).await;
        kubectl_apply(plane, &platform(&remote, &["bench".to_owned()]));
        let agent = Agent::start(plane, HOME, &folder.path().join("cache"), "bench");
        Self { agent, folder }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    async fn metric(&self, name: &str) -> f64 {
        self.agent.metric(name).await
    }

    async fn until(&self, name: &str, at_least: f64) -> Instant {
        let began = Instant::now();
        loop {
            if self.metric(name).await >= at_least {
                return Instant::now();
            }
            assert!(began.elapsed() < Duration::from_secs(600), "{name} did not reach {at_least}");
            // The agent is asked on the time that is measured: often enough, and no more.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn usage(&self) -> Usage {
        self.agent.usage()
    }

    /// Where the agent keeps its history.
    pub fn history(&self) -> PathBuf {
        self.folder.path().join("cache/history.sqlite")
    }

    /// What only an agent does: seeing an edit by hand, and resting.
    pub async fn extras(&mut self, plane: &ControlPlane, workload: &Workload) -> Vec<Measured> {
        let mut results = Vec::new();
        let (_, plural) = workload.resource();
        // Three edits; the middle one counts.
        let mut seen = Vec::new();
        for n in 0..3 {
            let writes = self.metric(WRITES).await;
            let meter = Meter::start(plane, workload).await;
            let patch = if plural == "configmaps" {
                r#"{"data":{"round":"by hand"}}"#
            } else {
                r#"{"spec":{"replicas":1}}"#
            };
            kubectl(
                plane,
                &["-n", NAMESPACE, "patch", plural, &format!("object-{n:05}"), "--type=merge", "-p", patch],
            );
            let edited = Instant::now();
            let ended = self.until(WRITES, writes + 1.0).await;
            let mut measured =
                meter.stop_at(ended, workload, "fairlead", "edit put back", 0.0, self.usage()).await;
            measured.seconds = ended.saturating_duration_since(edited).as_secs_f64();
            seen.push(measured);
        }
        seen.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        results.push(seen.swap_remove(1));
        // Rest: after a commit has settled, ten seconds of nothing.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (cpu, writes, dry_runs, reads) = (
            self.usage().cpu_seconds,
            self.metric(WRITES).await,
            self.metric(DRY_RUNS).await,
            self.metric(READS).await,
        );
        let meter = Meter::start(plane, workload).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let used = self.usage();
        let asked = self.metric(WRITES).await + self.metric(DRY_RUNS).await + self.metric(READS).await
            - writes
            - dry_runs
            - reads;
        let mut measured =
            meter.stop(workload, "fairlead", "10 s of rest", used.cpu_seconds - cpu, used).await;
        measured.requests = asked as u64;
        results.push(measured);
        for measured in &results {
            eprintln!("   {:<14} {:<12} {:>7.2} s", measured.subject, measured.phase, measured.seconds);
        }
        results
    }
}

const WRITES: &str = "fairlead_api_requests_total{verb=\"write\"}";
const DRY_RUNS: &str = "fairlead_api_requests_total{verb=\"dry_run\"}";
const READS: &str = "fairlead_api_requests_total{verb=\"read\"}";
const ROLLED_OUT: &str = "fairlead_events_total{environment=\"bench\",reason=\"RolledOut\"}";

impl Subject for Fairlead {
    fn namespace(&self, _: &Workload) -> String {
        NAMESPACE.to_owned()
    }

    fn apply<'a>(
        &'a mut self,
        plane: &'a ControlPlane,
        workload: &'a Workload,
        phase: Phase,
    ) -> BoxFuture<'a, Measured> {
        Box::pin(async move {
            let folder = self.work().join("apps/bench");
            std::fs::create_dir_all(&folder).expect("a folder");
            for (name, text) in workload.files(NAMESPACE, phase) {
                std::fs::write(folder.join(name), text).expect("writing");
            }
            if phase == Phase::Nothing {
                // A commit that changes the app's files and nothing that they render to: the whole pass, for nothing.
                std::fs::write(folder.join("objects-0000.yaml"), {
                    let text = std::fs::read_to_string(folder.join("objects-0000.yaml")).expect("reading");
                    format!("# a word\n{text}")
                })
                .expect("writing");
            }
            git(&self.work(), &["add", "-A"]);
            git(
                &self.work(),
                &["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", phase.name()],
            );
            let (writes, rolled) = (self.metric(WRITES).await, self.metric(ROLLED_OUT).await);
            let cpu = self.usage().cpu_seconds;
            git(&self.work(), &["push", "-q", "origin", "env/bench"]);
            let meter = Meter::start(plane, workload).await;
            let ended = match phase {
                Phase::Nothing => {
                    let head = git(&self.work(), &["rev-parse", "HEAD"]);
                    seen(plane, &head).await
                }
                _ => {
                    let ended = self.until(WRITES, writes + workload.changed(phase) as f64).await;
                    self.until(ROLLED_OUT, rolled + 1.0).await;
                    ended
                }
            };
            let used = self.usage();
            meter.stop_at(ended, workload, "fairlead", phase.name(), used.cpu_seconds - cpu, used).await
        })
    }
}

/// When the Environment says that it has this commit.
async fn seen(plane: &ControlPlane, head: &str) -> Instant {
    let client = plane.client().await;
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(600), "{head} is not told as running");
        let request = http::Request::get("/apis/fairlead.dev/v1alpha1/environments/bench")
            .body(Vec::new())
            .expect("a request");
        let found: Value = client.request(request).await.expect("the Environment");
        if found["status"]["revision"] == head && found["status"]["conditions"][0]["status"] == "True" {
            return Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a platform says of these environments, all of one branch and one namespace.
pub fn platform(remote: &Path, environments: &[String]) -> Vec<Value> {
    let mut objects: Vec<Value> =
        fairlead::api::crds().iter().map(|crd| serde_json::to_value(crd).expect("JSON")).collect();
    objects.extend(identity(NAMESPACE));
    objects.extend(environments.iter().map(|name| {
        json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name}, "spec": {
            "source": {"url": format!("file://{}", remote.display()), "branch": "env/bench"},
            "serviceAccount": {"namespace": NAMESPACE, "name": "deploy"}, "namespaces": [NAMESPACE]}})
    }));
    objects
}

pub fn kubectl_apply(plane: &ControlPlane, objects: &[Value]) {
    let (definitions, rest): (Vec<&Value>, Vec<&Value>) =
        objects.iter().partition(|object| object["kind"] == "CustomResourceDefinition");
    let apply = |part: &[&Value]| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text: Vec<String> = part.iter().map(|object| object.to_string()).collect();
        std::fs::write(file.path(), text.join("\n---\n")).expect("writing");
        kubectl(plane, &["apply", "--server-side", "-f", &file.path().to_string_lossy()]);
    };
    if !definitions.is_empty() {
        apply(&definitions);
        for name in ["environments", "environmentpages"] {
            let crd = format!("crd/{name}.fairlead.dev");
            kubectl(plane, &["wait", "--for=condition=Established", &crd, "--timeout=30s"]);
        }
    }
    apply(&rest);
}

fn kubectl(plane: &ControlPlane, arguments: &[&str]) {
    let status = Command::new(&plane.kubectl)
        .args(["--kubeconfig", &plane.kubeconfig.to_string_lossy()])
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .expect("kubectl runs");
    assert!(status.success(), "kubectl {arguments:?}");
}

/// A bare remote and a working copy of it, on its only branch.
pub fn remote(folder: &Path) -> (PathBuf, PathBuf) {
    let (remote, work) = (folder.join("remote.git"), folder.join("work"));
    git(folder, &["init", "-q", "--bare", "-b", "env/bench", "remote.git"]);
    git(folder, &["clone", "-q", "remote.git", "work"]);
    git(&work, &["checkout", "-q", "-b", "env/bench"]);
    (remote, work)
}

pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(folder).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
