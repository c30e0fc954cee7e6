//! What someone who uses a service notices of a rollout, and what the status says meanwhile: a client asks the ready
//! endpoints all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bed::{Agent, Bed, Count, SECOND, SOON, Setup, Traffic, wait_until};

const GRACEFUL: &str = "{rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}";

/// A Deployment of three pods that answer, and a Service before them. A pod counts once it was ready for a second, and one
/// that is told to go answers for two seconds more, as each that cares for its clients does.
fn web(version: &str, strategy: &str, image: &str, pod: &[(&str, &str)]) -> String {
    let pod: String =
        pod.iter().map(|(name, value)| format!(", sim.fairlead.dev/{name}: {value:?}")).collect();
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 3
  minReadySeconds: 1
  selector: {{matchLabels: {{app: web}}}}
  strategy: {strategy}
  template:
    metadata:
      labels: {{app: web, version: {version:?}}}
      annotations: {{sim.fairlead.dev/stop-after: 2s{pod}}}
    spec: {{containers: [{{name: main, image: {image:?}, ports: [{{containerPort: 8080}}]}}]}}
"
    )
}

fn good(version: &str) -> String {
    web(version, GRACEFUL, "registry.example/web:1", &[])
}

fn commit(bed: &Bed, manifests: &str) -> String {
    commit_within(bed, "80s", manifests)
}

fn commit_within(bed: &Bed, timeout: &str, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", &format!("rollout: {{timeout: {timeout}}}"));
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

/// Each phase that the status said, in order.
struct Phases {
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Phases {
    fn follow(bed: &Bed) -> Self {
        let (seen, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name);
        let thread = {
            let (api, seen, stop) = (bed.api().clone(), seen.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let environment = api.get(&path).unwrap_or_default();
                    let phase =
                        environment["status"]["apps"][0]["phase"].as_str().unwrap_or("none").to_owned();
                    let mut seen = seen.lock().expect("a lock");
                    if seen.last() != Some(&phase) {
                        seen.push(phase);
                    }
                    drop(seen);
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        Self { seen, stop, thread: Some(thread) }
    }

    fn end(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.seen.lock().expect("a lock").clone()
    }
}

/// Whether these come in this order among those that were seen. What lasts only a moment may not have been.
fn in_order(seen: &[String], phases: &[&str]) -> bool {
    let mut rest = seen.iter();
    phases.iter().all(|phase| rest.any(|seen| seen == phase))
}

struct Story {
    bed: Bed,
    _agent: Agent,
    traffic: Traffic,
    phases: Phases,
}

impl Story {
    /// Three pods of version 1 answer.
    fn begin(name: &str) -> Self {
        Self::begin_with(name, &good("1"))
    }

    fn begin_with(name: &str, manifests: &str) -> Self {
        Self::begin_in(Bed::new(name), manifests)
    }

    fn begin_in(bed: Bed, manifests: &str) -> Self {
        let agent = bed.agent();
        let first = commit(&bed, manifests);
        bed.wait_ready(&first);
        let traffic = Traffic::begin(bed.api(), &bed.name, "web");
        wait_until(SOON, "someone answers", || traffic.count().answered > 20);
        let phases = Phases::follow(&bed);
        Self { bed, _agent: agent, traffic, phases }
    }

    /// What was counted, and what the status said; a while after, so that what comes late is counted, too.
    fn end(self) -> (Count, Vec<String>) {
        std::thread::sleep(2 * SECOND);
        (self.traffic.end(), self.phases.end())
    }

    /// Nobody noticed anything, and the status said this.
    #[track_caller]
    fn unnoticed(self, phases: &[&str], version: &str) {
        let (count, seen) = self.end();
        assert!(count.failed.is_empty(), "{count:?}");
        assert!(count.versions.contains_key(version), "{count:?}");
        assert!(in_order(&seen, phases), "{seen:?}");
    }
}

#[test]
fn nobody_notices_a_good_commit() {
    let story = Story::begin("tgood");
    let second = commit(&story.bed, &good("2"));
    story.bed.wait_ready(&second);
    story.unnoticed(&["Ready", "Ready"], "2");
}

#[test]
fn nobody_notices_a_slow_start() {
    let story = Story::begin("tslow");
    let slow = web("2", GRACEFUL, "registry.example/web:1", &[("ready-after", "2500ms")]);
    let second = commit(&story.bed, &slow);
    story.bed.wait_ready(&second);
    story.unnoticed(&["Ready", "Waiting", "Ready"], "2");
}

#[test]
fn nobody_notices_what_crashes_and_is_taken_back() {
    let story = Story::begin("tcrash");
    commit(&story.bed, &web("2", GRACEFUL, "registry.example/web:1", &[("crash", "always")]));
    story.bed.wait_app("web", "Restored");
    story.unnoticed(&["Ready", "Waiting", "Restored"], "1");
}

#[test]
fn nobody_notices_what_is_never_ready_and_is_taken_back_when_its_time_is_over() {
    let story = Story::begin("tnever");
    let never = web("2", GRACEFUL, "registry.example/web:1", &[("never-ready", "true")]);
    commit_within(&story.bed, "12s", &never);
    let app = story.bed.wait_app("web", "Restored");
    assert!(app["message"].as_str().unwrap().contains("not healthy in time"), "{app}");
    story.unnoticed(&["Ready", "Waiting", "Restored"], "1");
}

#[test]
fn nobody_notices_an_image_that_is_not_there() {
    let story = Story::begin("timage");
    commit(&story.bed, &web("2", GRACEFUL, "registry.example/does-not-exist:2", &[]));
    story.bed.wait_app("web", "Restored");
    story.unnoticed(&["Ready", "Waiting", "Restored"], "1");
}

#[test]
fn nobody_notices_a_migration_that_fails() {
    let story = Story::begin("tmigrate");
    let migration = "---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {fairlead.dev/hook: before}}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {sim.fairlead.dev/job: fail, sim.fairlead.dev/log: the table is locked}}
    spec: {restartPolicy: Never, containers: [{name: main, image: registry.example/migrate:1}]}
";
    commit(&story.bed, &(good("2") + migration));
    let app = story.bed.wait_app("web", "Restored");
    assert!(app["message"].as_str().unwrap().contains("the table is locked"), "{app}");
    let web = story.bed.deployment("web").expect("the Deployment");
    assert_eq!(web["spec"]["template"]["metadata"]["labels"]["version"], "1", "nothing of the new version");
    story.unnoticed(&["Ready", "Restored"], "1");
}

#[test]
fn nobody_notices_ten_commits_in_a_minute() {
    let story = Story::begin("tten");
    let mut last = String::new();
    for version in 2..12 {
        last = commit(&story.bed, &good(&version.to_string()));
        std::thread::sleep(3 * SECOND);
    }
    story.bed.wait_ready(&last);
    story.unnoticed(&["Ready", "Waiting", "Ready"], "11");
}

#[test]
fn nobody_notices_a_commit_during_a_restore() {
    // One pod may go before another is there, so that the way back takes its time.
    let strategy = "{rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}";
    let slow = web("1", strategy, "registry.example/web:1", &[("ready-after", "6s")]);
    let story = Story::begin_with("tduring", &slow);
    commit(&story.bed, &web("2", strategy, "registry.example/web:1", &[("crash", "always")]));
    story.bed.wait_app("web", "Restoring");
    let third = commit(&story.bed, &good("3"));
    story.bed.wait_ready(&third);
    story.unnoticed(&["Ready", "Waiting", "Restoring", "Ready"], "3");
}

#[test]
fn a_node_that_is_lost_on_the_way_is_not_the_commits_failure() {
    let story = Story::begin("tnode");
    let bed = &story.bed;
    let slow = web("2", GRACEFUL, "registry.example/web:1", &[("ready-after", "2s")]);
    let second = commit(bed, &slow);
    bed.wait_app("web", "Waiting");
    let pods = bed.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}"]).ok().stdout;
    let node = pods.trim();
    bed.kubectl(&[
        "delete",
        "pods",
        "--field-selector",
        &format!("spec.nodeName={node}"),
        "--force",
        "--grace-period=0",
    ])
    .ok();
    bed.wait_ready(&second);
    let (count, seen) = story.end();
    assert!(count.versions.contains_key("2"), "{count:?}");
    assert!(!seen.iter().any(|phase| phase.starts_with("Restor") || phase == "Halted"), "{seen:?}");
}

/// The object of a node goes, as when a machine is taken away, and the cluster itself notices its pods a minute later.
#[test]
fn a_node_that_is_taken_away_is_not_the_commits_failure() {
    let story = Story::begin_in(Setup::new("tgone").alone().make(), &good("1"));
    let bed = &story.bed;
    let slow = web("2", GRACEFUL, "registry.example/web:1", &[("ready-after", "25s")]);
    let second = commit_within(bed, "4m", &slow);
    bed.wait_app("web", "Waiting");
    let nodes = bed.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]).ok().stdout;
    let node = nodes.split_whitespace().next().expect("a pod has a node").to_owned();
    bed.kubectl(&["delete", "node", &node]).ok();
    let pods_there = || {
        let selector = format!("spec.nodeName={node}");
        bed.kubectl(&["get", "pods", "--field-selector", &selector, "-o", "name"]).ok().stdout
    };
    assert!(!pods_there().is_empty(), "its pods are noticed later");
    wait_until(120 * SECOND, "its pods are noticed", || pods_there().is_empty());
    assert_ne!(bed.app("web")["effective"], bed.app("web")["desired"], "on the way");
    wait_until(240 * SECOND, "the commit runs", || {
        bed.status()["revision"] == second.as_str() && bed.condition("Ready")["status"] == "True"
    });
    let (count, seen) = story.end();
    assert!(count.versions.contains_key("2"), "{count:?}");
    assert!(!seen.iter().any(|phase| phase.starts_with("Restor") || phase == "Halted"), "{seen:?}");
}

#[test]
fn a_strategy_that_stops_all_pods_at_once_is_counted() {
    let story = Story::begin("tbad");
    let all_at_once = "{rollingUpdate: {maxUnavailable: 100%, maxSurge: 0}}";
    let second =
        commit(&story.bed, &web("2", all_at_once, "registry.example/web:1", &[("ready-after", "3s")]));
    story.bed.wait_ready(&second);
    let (count, _) = story.end();
    assert!(!count.failed.is_empty(), "{count:?}");
}
