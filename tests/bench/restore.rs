//! A bad commit, until what ran before is verified: how soon the failure is known, and how long the way back takes beside
//! a good commit of the same size.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::control_plane::ControlPlane;
use crate::process::Usage;
use crate::subject::{HOME, Measured, NAMESPACE, git, kubectl_apply, platform, remote};

pub const NAME: &str = "restore-100";
/// Half of them Deployments of one pod, half ConfigMaps.
const COUNT: usize = 100;
const LIMIT: Duration = Duration::from_secs(300);
const ENVIRONMENT: &str = "/apis/fairlead.dev/v1alpha1/environments/bench";

pub async fn measure(plane: &ControlPlane) -> Vec<Measured> {
    let folder = tempfile::tempdir().expect("a folder");
    let (origin, work) = remote(folder.path());
    let client = plane.client().await;
    plane.namespace(NAMESPACE).await;
    kubectl_apply(plane, &platform(&origin, &["bench".to_owned()]));
    let first = commit(&work, "1", false);
    let agent = Agent::start(plane, HOME, &folder.path().join("cache"), "bench");
    let mut results = Vec::new();
    let mut tell = |phase: &str, seconds: f64, used: Usage| {
        eprintln!("   {:<14} {phase:<40} {seconds:>7.2} s", "fairlead");
        results.push(Measured {
            workload: NAME.to_owned(),
            subject: "fairlead".to_owned(),
            phase: phase.to_owned(),
            objects: COUNT,
            seconds,
            requests: 0,
            client_cpu: 0.0,
            server_cpu: 0.0,
            peak_mib: used.peak_mib,
            resident_mib: used.resident_mib,
        });
    };
    until("the first runs", async || app(&client).await.0 == "Ready" && revision(&client).await == first)
        .await;

    let began = Instant::now();
    let second = commit(&work, "2", false);
    until("the second runs", async || app(&client).await.0 == "Ready" && revision(&client).await == second)
        .await;
    tell("a good commit, until it is verified", began.elapsed().as_secs_f64(), agent.usage());

    let began = Instant::now();
    commit(&work, "3", true);
    until("it is known to have failed", async || began_back(&client).await).await;
    let known = began.elapsed();
    until("what ran before is verified", async || app(&client).await.0 == "Restored").await;
    tell("a bad commit, until its failure is known", known.as_secs_f64(), agent.usage());
    tell("and until the last good one is verified", (began.elapsed() - known).as_secs_f64(), agent.usage());
    results
}

/// All of them with this version; with `bad` one of the Deployments ends as soon as it runs.
fn commit(work: &Path, version: &str, bad: bool) -> String {
    let objects: Vec<String> = (0..COUNT)
        .map(|n| {
            let name = format!("object-{n:03}");
            if n % 2 == 1 {
                return json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"version": version}});
            }
            let crash = if bad && n == 0 { json!({"sim.fairlead.dev/crash": "always"}) } else { json!({}) };
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name, "version": version}, "annotations": crash},
                    "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]}}}})
        })
        .map(|object| object.to_string())
        .collect();
    let config = json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "EnvironmentConfig",
        "spec": {"apps": [{"name": "web", "path": "apps/web"}]}});
    for (path, content) in [
        ("environments/bench/environment.yaml", config.to_string()),
        ("apps/web/all.yaml", objects.join("\n---\n")),
    ] {
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, content).expect("writing");
    }
    git(work, &["add", "-A"]);
    git(work, &["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", version]);
    git(work, &["push", "-q", "origin", "env/bench"]);
    git(work, &["rev-parse", "HEAD"])
}

async fn get(client: &kube::Client, path: &str) -> Value {
    client.request(http::Request::get(path).body(Vec::new()).expect("a request")).await.unwrap_or_default()
}

/// Its phase and message.
async fn app(client: &kube::Client) -> (String, String) {
    let app = get(client, ENVIRONMENT).await["status"]["apps"][0].clone();
    let text = |field: &str| app[field].as_str().unwrap_or_default().to_owned();
    (text("phase"), text("message"))
}

async fn revision(client: &kube::Client) -> String {
    get(client, ENVIRONMENT).await["status"]["revision"].as_str().unwrap_or_default().to_owned()
}

/// The event of it is written at once; the status may skip what lasts but a moment.
async fn began_back(client: &kube::Client) -> bool {
    let events = get(client, "/apis/events.k8s.io/v1/namespaces/default/events").await;
    let mut items = events["items"].as_array().into_iter().flatten();
    items.any(|event| event["reason"] == "Restoring")
}

async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
