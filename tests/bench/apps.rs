//! Many apps of four objects each, in one environment and in ten: what the first rollout, one app that changed and rest cost,
//! beside a bare client that proves and applies the same objects, and how soon people are told.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::bare;
use crate::control_plane::ControlPlane;
use crate::subject::{HOME, NAMESPACE, git, kubectl_apply, platform, remote, user};

pub const NAME: &str = "apps";
const SIZES: [(usize, usize); 6] = [(100, 1), (100, 10), (300, 1), (300, 10), (1_000, 1), (1_000, 10)];
const OBJECTS: usize = 4;
/// More than any of this ever took.
const LIMIT: Duration = Duration::from_secs(900);
/// After a rollout, until what is told and remembered late was written.
const SETTLE: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(10);
/// One app changes so often; the middle one counts.
const CHANGES: usize = 5;

/// What one size cost.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    apps: usize,
    environments: usize,
    /// From the push of the first commit until every environment says Ready.
    first: f64,
    bare: f64,
    /// Requests of the first rollout, and how many of them were for state, status, pages and events.
    requests: f64,
    own: f64,
    /// From the push of a change of one app until its environment says Ready, and the requests for it.
    changed: f64,
    changed_requests: f64,
    rest_requests: f64,
    agent_mib: f64,
    agent_peak_mib: f64,
    /// The control plane's memory at the end of the first rollout, and after the bare client.
    server_mib: f64,
    bare_mib: f64,
    server_cpu: f64,
    bare_cpu: f64,
    /// The largest status, in bytes as JSON.
    status_bytes: usize,
}

pub async fn measure(only: Option<usize>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (apps, environments) in SIZES.into_iter().filter(|(apps, _)| only.is_none_or(|only| only == *apps)) {
        let row = one(apps, environments).await;
        eprintln!("   {row:?}");
        rows.push(row);
    }
    rows
}

async fn one(apps: usize, environments: usize) -> Row {
    let names: Vec<String> = (0..environments).map(|n| format!("bench-{n}")).collect();
    let (bare, bare_mib, bare_cpu) = bare_client(apps).await;

    let plane = ControlPlane::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (origin, work) = remote(folder.path());
    let client = plane.client().await;
    plane.namespace(NAMESPACE).await;
    kubectl_apply(&plane, &platform(&origin, &names));
    warm(&client).await;
    commit(&work, &names, 0, |_| 0);
    let agent = Agent::start(&plane, HOME, &folder.path().join("cache"), "bench");
    until_ready(&client, &names, &git(&work, &["rev-parse", "HEAD"])).await;

    let (before, cpu) = (asked(&agent).await, plane.usage().cpu_seconds);
    let head = commit(&work, &names, apps, |_| 1);
    let began = Instant::now();
    git(&work, &["push", "-q", "origin", "env/bench"]);
    until_ready(&client, &names, &head).await;
    let first = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let (after, server) = (asked(&agent).await, plane.usage());

    let mut changes = Vec::new();
    for round in 0..CHANGES {
        let (one, value) = (round * 7 % apps, round + 2);
        let head = commit(&work, &names, apps, |n| if n == one { value } else { 1 });
        let began = Instant::now();
        git(&work, &["push", "-q", "origin", "env/bench"]);
        until_ready(&client, &names, &head).await;
        changes.push(began.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    changes.sort_by(f64::total_cmp);
    tokio::time::sleep(SETTLE).await;
    let changed = asked(&agent).await;
    tokio::time::sleep(REST).await;
    let rest = asked(&agent).await;
    let used = agent.usage();
    Row {
        apps,
        environments,
        first,
        bare,
        requests: after.0 - before.0,
        own: after.1 - before.1,
        changed: changes[CHANGES / 2],
        changed_requests: (changed.0 - after.0) / CHANGES as f64,
        rest_requests: rest.0 - changed.0,
        agent_mib: used.resident_mib,
        agent_peak_mib: used.peak_mib,
        server_mib: server.resident_mib,
        bare_mib,
        server_cpu: server.cpu_seconds - cpu,
        bare_cpu,
        status_bytes: largest_status(&client, &names).await,
    }
}

/// The roofline, on a control plane of its own: its seconds, and the memory that it leaves and the CPU that it costs there.
async fn bare_client(apps: usize) -> (f64, f64, f64) {
    let plane = ControlPlane::start();
    plane.namespace(NAMESPACE).await;
    kubectl_apply(&plane, &crate::subject::identity(NAMESPACE));
    let client = plane.client().await;
    warm(&client).await;
    let bodies: Vec<(String, Bytes)> = (0..apps).flat_map(|n| objects(n, 1)).map(request).collect();
    let (began, cpu) = (Instant::now(), plane.usage().cpu_seconds);
    bare::prove_and_apply(&client, &user(NAMESPACE), &bodies, 16).await;
    let seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let used = plane.usage();
    (seconds, used.resident_mib, used.cpu_seconds - cpu)
}

/// Shows the server a few such objects, for it learns a kind when it first sees one.
async fn warm(client: &kube::Client) {
    let bodies: Vec<(String, Bytes)> = (90_000..90_010).flat_map(|n| objects(n, 1)).map(request).collect();
    bare::prove_and_apply(client, &user(NAMESPACE), &bodies, 8).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// A Deployment without pods, its account, and two ConfigMaps.
fn objects(n: usize, value: usize) -> [Value; OBJECTS] {
    let name = format!("app-{n:05}");
    let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let settings: Vec<String> = (0..20).map(|k| format!("setting-{k} = value of some length")).collect();
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(&name)}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(&name),
            "data": {"value": value.to_string()}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(&format!("{name}-settings")),
            "data": {"settings.conf": settings.join("\n")}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&name), "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "serviceAccountName": name, "containers": [{"name": "web", "image": "example/web:1"}]}}}}),
    ]
}

fn request(object: Value) -> (String, Bytes) {
    let (root, plural) = match object["kind"].as_str().expect("a kind") {
        "ServiceAccount" => ("api/v1", "serviceaccounts"),
        "ConfigMap" => ("api/v1", "configmaps"),
        _ => ("apis/apps/v1", "deployments"),
    };
    let name = object["metadata"]["name"].as_str().expect("a name");
    (format!("/{root}/namespaces/{NAMESPACE}/{plural}/{name}"), Bytes::from(object.to_string()))
}

/// Commits so many apps, divided among the environments, each with a value; answers the commit.
fn commit(work: &Path, names: &[String], apps: usize, value: impl Fn(usize) -> usize) -> String {
    let write = |path: String, content: String| {
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, content).expect("writing");
    };
    for (place, name) in names.iter().enumerate() {
        let own = (0..apps).filter(|n| n % names.len() == place);
        let entries: Vec<Value> =
            own.map(|n| json!({"name": format!("app-{n:05}"), "path": format!("apps/{n}")})).collect();
        let config = json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "EnvironmentConfig", "spec": {"apps": entries}});
        write(format!("environments/{name}/environment.yaml"), config.to_string());
    }
    for n in 0..apps {
        let text: Vec<String> = objects(n, value(n)).iter().map(Value::to_string).collect();
        write(format!("apps/{n}/all.yaml"), text.join("\n---\n"));
    }
    git(work, &["add", "-A"]);
    git(work, &["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "a change"]);
    if apps == 0 {
        git(work, &["push", "-q", "origin", "env/bench"]);
    }
    git(work, &["rev-parse", "HEAD"])
}

/// Waits until every environment says that it runs this commit.
async fn until_ready(client: &kube::Client, names: &[String], head: &str) {
    let began = Instant::now();
    let mut left: Vec<&String> = names.iter().collect();
    while !left.is_empty() {
        assert!(began.elapsed() < LIMIT, "{left:?} not ready within {LIMIT:?}");
        let name = left[0];
        let found = get(client, &format!("/apis/fairlead.dev/v1alpha1/environments/{name}")).await;
        let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if found["status"]["revision"] == head && ready {
            left.remove(0);
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn largest_status(client: &kube::Client, names: &[String]) -> usize {
    let mut largest = 0;
    for name in names {
        let found = get(client, &format!("/apis/fairlead.dev/v1alpha1/environments/{name}")).await;
        largest = largest.max(found["status"].to_string().len());
    }
    largest
}

async fn get(client: &kube::Client, path: &str) -> Value {
    client.request(http::Request::get(path).body(Vec::new()).expect("a request")).await.unwrap_or_default()
}

/// All requests of the agent but watches and heartbeats, and those of its own identity that write: state, status, pages and
/// events.
async fn asked(agent: &Agent) -> (f64, f64) {
    let text = agent.metrics().await;
    let of =
        |line: &str| line.rsplit_once(' ').and_then(|(_, count)| count.parse::<f64>().ok()).unwrap_or(0.0);
    let lines = || text.lines().filter(|line| line.starts_with("fairlead_api_requests_total"));
    (lines().map(of).sum(), lines().filter(|line| line.contains("own")).map(of).sum())
}

pub fn table(rows: &[Row]) -> String {
    let mut out = String::from("\n### apps of 4 objects\n\n");
    out.push_str("| apps | environments | first, s | bare client, s | × | requests | for state and status | one changed, s | its requests | requests in 10 s of rest | agent MiB (peak) | control plane MiB | × bare client | server CPU s | bare client's | status bytes |\n");
    out.push_str("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} ({:.1} %) | {:.2} | {:.0} | {:.0} | {:.0} ({:.0}) | {:.0} | {:.2} | {:.0} | {:.0} | {} |",
            row.apps,
            row.environments,
            row.first,
            row.bare,
            row.first / row.bare,
            row.requests,
            row.own,
            row.own * 100.0 / row.requests,
            row.changed,
            row.changed_requests,
            row.rest_requests,
            row.agent_mib,
            row.agent_peak_mib,
            row.server_mib,
            row.server_mib / row.bare_mib,
            row.server_cpu,
            row.bare_cpu,
            row.status_bytes,
        );
    }
    out
}
