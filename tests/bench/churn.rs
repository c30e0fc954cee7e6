//! What comes and goes: ten thousand names that each live for one commit, and two hundred environments. What the agent
//! holds afterwards is to be what it held before.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::control_plane::ControlPlane;
use crate::subject::{HOME, Measured, NAMESPACE, git, kubectl_apply, platform, remote};

pub const NAME: &str = "churn";
/// In each of two rounds. What the first leaves behind may be room that is kept for the second; what both do is a leak.
const COMMITS: usize = 125;
/// New with each commit, and deleted with the next.
const NEW: usize = 40;
const STAY: usize = 200;
const ENVIRONMENTS: usize = 200;
const LIMIT: Duration = Duration::from_secs(300);
/// Until memory that was freed is given back to the system, and what is read once after a start was read.
const REST: Duration = Duration::from_secs(10);
const ENVIRONMENT: &str = "/apis/fairlead.dev/v1alpha1/environments";

struct Churn<'a> {
    plane: &'a ControlPlane,
    client: kube::Client,
    agent: Agent,
    results: Vec<Measured>,
}

pub async fn measure(plane: &ControlPlane) -> Vec<Measured> {
    let folder = tempfile::tempdir().expect("a folder");
    let (origin, work) = remote(folder.path());
    plane.namespace(NAMESPACE).await;
    // The first one stays. It uses what the others use, so that its watches see all of them.
    let names: Vec<String> = (0..=ENVIRONMENTS).map(|n| format!("churn-{n:03}")).collect();
    let (first, others) = names.split_first().expect("there is one");
    kubectl_apply(plane, &platform(&origin, std::slice::from_ref(first)));
    let revision = commit(&work, &names, "0");
    let agent = Agent::start(plane, HOME, &folder.path().join("cache"), "bench");
    let mut churn = Churn { plane, client: plane.client().await, agent, results: Vec::new() };
    churn.until("the first runs", async |churn| churn.runs(&revision).await == 1).await;
    churn.tell("before, after a rest", 0.0, 0).await;

    let new = COMMITS * NEW;
    for (round, phase) in [format!("{new} names came and went"), format!("and {new} more")].iter().enumerate()
    {
        let began = Instant::now();
        for n in 1..=COMMITS {
            let revision = commit(&work, &names, &(round * COMMITS + n).to_string());
            churn
                .until("it runs, and nothing else is left", async |churn| churn.is_done(&revision).await)
                .await;
        }
        churn.tell(phase, began.elapsed().as_secs_f64(), new).await;
    }

    for round in ["200 environments came and went", "and 200 more"] {
        let began = Instant::now();
        kubectl_apply(plane, &platform(&origin, others));
        churn.until("all run", async |churn| churn.runs("").await == names.len()).await;
        for name in others {
            churn.delete(&format!("{ENVIRONMENT}/{name}")).await;
            churn.delete(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}")).await;
        }
        churn.until("all are gone", async |churn| churn.runs("").await == 1).await;
        churn.tell(round, began.elapsed().as_secs_f64(), ENVIRONMENTS).await;
    }
    churn.results
}

impl Churn<'_> {
    async fn tell(&mut self, phase: &str, seconds: f64, objects: usize) {
        tokio::time::sleep(REST).await;
        let used = self.agent.usage();
        let objects_now = self.agent.metric("fairlead_index_objects").await;
        let watches = self.agent.metric("fairlead_index_watches").await;
        let phase = format!("{phase} ({objects_now} objects, {watches} watches)");
        eprintln!("   {:<14} {phase:<60} {seconds:>7.2} s {:>6.1} MiB", "fairlead", used.resident_mib);
        self.results.push(Measured {
            workload: NAME.to_owned(),
            subject: "fairlead".to_owned(),
            phase,
            objects: objects.max(1),
            seconds,
            requests: 0,
            client_cpu: used.cpu_seconds,
            server_cpu: self.plane.usage().cpu_seconds,
            peak_mib: used.peak_mib,
            resident_mib: used.resident_mib,
        });
    }

    async fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        self.client.request(request).await.unwrap_or_default()
    }

    async fn delete(&self, path: &str) {
        let request = http::Request::delete(path).body(Vec::new()).expect("a request");
        self.client.request::<Value>(request).await.expect("it is deleted");
    }

    /// How many environments are ready and run this, or any, revision.
    async fn runs(&self, revision: &str) -> usize {
        let list = self.get(ENVIRONMENT).await;
        let items = list["items"].as_array().into_iter().flatten();
        let runs = |item: &&Value| {
            let status = &item["status"];
            let mut conditions = status["conditions"].as_array().into_iter().flatten();
            (revision.is_empty() || status["revision"] == revision)
                && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        items.filter(runs).count()
    }

    /// Whether the first environment runs this, and what the last commit named is deleted.
    async fn is_done(&self, revision: &str) -> bool {
        self.runs(revision).await == 1
            && self.agent.metric("fairlead_index_objects").await == (STAY + NEW) as f64
    }

    async fn until(&self, what: &str, check: impl AsyncFn(&Self) -> bool) {
        let began = Instant::now();
        while !check(self).await {
            assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Gives the first environment what stays and what is new with this commit, and each other one object of its name.
fn commit(work: &Path, names: &[String], version: &str) -> String {
    let write = |path: String, content: String| {
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, content).expect("writing");
    };
    let configmap = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"for": name}})
            .to_string()
    };
    for name in names.iter().filter(|_| version == "0") {
        let config = json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "EnvironmentConfig",
            "spec": {
            "rollout": {"prune": {"max": 2 * NEW, "percent": 50}},
            "apps": [{"name": "web", "path": format!("apps/{name}")}]}});
        write(format!("environments/{name}/environment.yaml"), config.to_string());
        write(format!("apps/{name}/all.yaml"), configmap(name));
    }
    let stay = (0..STAY).map(|n| configmap(&format!("stays-{n}")));
    let new = (0..NEW).map(|n| configmap(&format!("settings-{version}-{n}")));
    write(format!("apps/{}/all.yaml", names[0]), stay.chain(new).collect::<Vec<_>>().join("\n---\n"));
    git(work, &["add", "-A"]);
    git(work, &["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", version]);
    git(work, &["push", "-q", "origin", "env/bench"]);
    git(work, &["rev-parse", "HEAD"])
}
