//! Three replicas and two hundred environments: what they cost at rest, and how soon a death is made good.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::control_plane::ControlPlane;
use crate::process::Usage;
use crate::subject::{HOME, Measured, NAMESPACE, git, kubectl_apply, platform, remote};

pub const NAME: &str = "environments-200";
const COUNT: usize = 200;
const REPLICAS: [&str; 3] = ["a", "b", "c"];
/// More than any of this ever took.
const LIMIT: Duration = Duration::from_secs(300);

struct Fleet {
    client: kube::Client,
    names: Vec<String>,
    folder: tempfile::TempDir,
}

pub async fn measure(plane: &ControlPlane) -> Vec<Measured> {
    let folder = tempfile::tempdir().expect("a folder");
    let (origin, work) = remote(folder.path());
    let names: Vec<String> = (0..COUNT).map(|n| format!("bench-{n:03}")).collect();
    let fleet = Fleet { client: plane.client().await, names, folder };
    plane.namespace(NAMESPACE).await;
    kubectl_apply(plane, &platform(&origin, &fleet.names));
    let first = fleet.commit(&work, "first");
    let mut results = Vec::new();
    let mut tell = |phase: &str, seconds: f64, requests: f64, used: Usage, server: f64| {
        eprintln!("   {:<14} {phase:<40} {seconds:>7.2} s", "3 replicas");
        results.push(Measured {
            workload: NAME.to_owned(),
            subject: "3 replicas".to_owned(),
            phase: phase.to_owned(),
            objects: COUNT,
            seconds,
            requests: requests as u64,
            client_cpu: used.cpu_seconds,
            server_cpu: server,
            peak_mib: used.peak_mib,
            resident_mib: used.resident_mib,
        });
    };

    let (began, server) = (Instant::now(), plane.usage().cpu_seconds);
    let mut agents = REPLICAS.map(|name| Agent::start(plane, HOME, &fleet.cache(name), name));
    fleet.until("all run", async || fleet.all_run(&first).await).await;
    let (asked, used) = sum(&agents).await;
    tell(
        "a cold start, until all run",
        began.elapsed().as_secs_f64(),
        asked,
        used,
        plane.usage().cpu_seconds - server,
    );
    fleet.until("the shares are even", async || fleet.shares().await.iter().all(|share| *share >= 66)).await;

    // Until what is read once after a start was read.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (before, began, server) = (sum(&agents).await, Instant::now(), plane.usage().cpu_seconds);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = sum(&agents).await;
    let used = Usage { cpu_seconds: after.1.cpu_seconds - before.1.cpu_seconds, ..after.1 };
    tell(
        "10 s of rest",
        began.elapsed().as_secs_f64(),
        after.0 - before.0,
        used,
        plane.usage().cpu_seconds - server,
    );

    let killed = Instant::now();
    agents[1].kill();
    let second = fleet.commit(&work, "second");
    fleet.until("all have an owner", async || fleet.shares().await[1] == 0).await;
    let owned = killed.elapsed().as_secs_f64();
    fleet.until("all run", async || fleet.all_run(&second).await).await;
    let ran = killed.elapsed().as_secs_f64();
    tell("one is killed: all have an owner", owned, 0.0, Usage::default(), 0.0);
    tell("and run a commit of that moment", ran, 0.0, Usage::default(), 0.0);
    results
}

/// Requests, CPU and memory of all of them together.
async fn sum(agents: &[Agent]) -> (f64, Usage) {
    let (mut asked, mut all) = (0.0, Usage::default());
    for agent in agents {
        let text = agent.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with("fairlead_api_requests_total"));
        asked += lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>();
        let used = agent.usage();
        all.cpu_seconds += used.cpu_seconds;
        all.resident_mib += used.resident_mib;
        all.peak_mib += used.peak_mib;
    }
    (asked, all)
}

impl Fleet {
    fn cache(&self, replica: &str) -> PathBuf {
        self.folder.path().join(replica)
    }

    /// Gives each environment an app with one ConfigMap of this value; answers the commit.
    fn commit(&self, work: &Path, value: &str) -> String {
        for name in &self.names {
            let write = |path: String, content: Value| {
                let path = work.join(path);
                std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
                std::fs::write(path, content.to_string()).expect("writing");
            };
            write(
                format!("environments/{name}/environment.yaml"),
                json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "EnvironmentConfig",
                    "spec": {"apps": [{"name": "web", "path": format!("apps/{name}")}]}}),
            );
            write(
                format!("apps/{name}/all.yaml"),
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}),
            );
        }
        git(work, &["add", "-A"]);
        git(work, &["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", value]);
        git(work, &["push", "-q", "origin", "env/bench"]);
        git(work, &["rev-parse", "HEAD"])
    }

    async fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        self.client.request(request).await.unwrap_or_default()
    }

    async fn all_run(&self, revision: &str) -> bool {
        let list = self.get("/apis/fairlead.dev/v1alpha1/environments").await;
        let items = list["items"].as_array().into_iter().flatten();
        let runs = |item: &&Value| {
            let status = &item["status"];
            let mut conditions = status["conditions"].as_array().into_iter().flatten();
            status["revision"] == revision
                && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        items.filter(runs).count() == self.names.len()
    }

    /// How many environments each replica has.
    async fn shares(&self) -> [usize; 3] {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/fairlead-environments");
        let record = self.get(&path).await;
        REPLICAS.map(|replica| {
            let heartbeat = format!("fairlead-{replica}-");
            let annotations = record["metadata"]["annotations"].as_object().into_iter().flatten();
            let owners = annotations.filter(|(name, _)| name.starts_with("owner.fairlead.dev/"));
            owners
                .filter(|(_, owner)| owner.as_str().is_some_and(|owner| owner.starts_with(&heartbeat)))
                .count()
        })
    }

    async fn until(&self, what: &str, check: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !check().await {
            assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
