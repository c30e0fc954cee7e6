//! Two regions: a control plane and an agent in each, one repository, one shared place; and a ledger of who wrote when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::manifests::deployment_of;
use super::moto::{Moto, REGION, moto};
use super::{Agent, Bed, Link, SECOND, Setup};

/// The regions, as the tests name them.
pub const WEST: &str = "eu-west-1";
pub const CENTRAL: &str = "eu-central-1";

/// A move has a dozen steps, and waits for renewals of ten seconds twice.
pub const MOVED: Duration = Duration::from_secs(150);

pub struct Site {
    pub region: &'static str,
    pub bed: Bed,
    /// To the shared place.
    pub link: Link,
    table: String,
}

impl Site {
    pub fn agent(&self) -> Agent {
        let place = format!("dynamodb:{REGION}/{}", self.table);
        let mut all: Vec<(&str, String)> = moto().environment();
        all.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
        all.push(("AWS_ENDPOINT_URL", self.link.url()));
        all.extend([("FAIRLEAD_REGION", self.region.to_owned()), ("FAIRLEAD_SHARED_PLACE", place)]);
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.bed.agent_with(&all)
    }

    pub fn status(&self) -> Value {
        self.bed.status()["region"].clone()
    }

    /// How many replicas of a Deployment are wanted here; nothing where it is not here.
    pub fn replicas(&self, name: &str) -> Option<u64> {
        self.bed.deployment(name)?["spec"]["replicas"].as_u64()
    }

    /// Waits until what the status says of the region holds; shows it where it never does.
    #[track_caller]
    pub fn wait(&self, limit: Duration, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            let apps = self.bed.status()["apps"].clone();
            assert!(
                began.elapsed() < limit,
                "not within {limit:?} in {}: {what}:\n{status:#}\n{apps:#}\n{:#?}",
                self.region,
                self.bed.events()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until writers run here at an epoch, and no re-point is under way.
    #[track_caller]
    pub fn wait_active(&self, limit: Duration, epoch: u64) -> Value {
        self.wait(limit, &format!("it is active at epoch {epoch}"), |status| {
            let ended = status["run"] == Value::Null || status["run"]["state"] == "Ended";
            status["writers"] == "running" && status["epoch"] == epoch && ended
        })
    }

    /// Waits until no writer runs here, and another region holds the environment.
    #[track_caller]
    pub fn wait_standby(&self, limit: Duration, holder: &str) -> Value {
        self.wait(limit, "it is a standby", |status| {
            status["writers"] == "stopped"
                && status["holder"]["region"] == holder
                && status["role"] == "standby"
        })
    }
}

pub struct Regions {
    // It goes before what it watches.
    pub ledger: Ledger,
    pub west: Site,
    pub central: Site,
    moto: &'static Moto,
    table: String,
    /// Whether git says that what writes ends by itself.
    pub is_guarded: bool,
    /// What the ConfigMap of the next commit says.
    pub value: AtomicU32,
}

impl Regions {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (moto, table) = (moto(), format!("regions-{name}"));
        moto.table(&table);
        let setup = || Setup::named(&name).region(WEST).region(CENTRAL).alone();
        let first = setup().make();
        let second = setup().over(&first.repo).make();
        let site = |region, bed| Site { region, bed, link: Link::to(moto.port()), table: table.clone() };
        let (west, central) = (site(WEST, first), site(CENTRAL, second));
        let ledger = Ledger::watch(&[&west, &central]);
        Self { west, central, moto, table, ledger, is_guarded: false, value: AtomicU32::new(1) }
    }

    /// What stands in the shared place.
    pub fn record(&self) -> Value {
        self.moto.record(&self.table, &self.west.bed.name).unwrap_or_default()
    }

    /// Commits an app with everything that regions tell apart; `region` is what environment.yaml says, in flow style.
    pub fn commit(&self, region: &str) -> String {
        self.commit_with(region, &[])
    }

    pub fn commit_with(&self, region: &str, more: &[(&str, &str)]) -> String {
        let more_of = format!("rollout: {{timeout: 60s, prune: {{max: 0}}}}\n  region: {{{region}}}");
        let (path, config) = self.west.bed.config("{name: web, path: web}", &more_of);
        let guarded = if self.is_guarded { "fairlead.dev/region-guarded: \"true\"" } else { "" };
        // It takes a while to end, as writers do.
        let writer =
            deployment_of("writer", 2, "registry.example/writer:1", guarded, &[("stop-after", "3s")]);
        let reader = "fairlead.dev/region-part: reader";
        let reader = deployment_of("reader", 3, "registry.example/reader:1", reader, &[]);
        let cron = "---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly, annotations: {GUARDED}}\nspec:\n  schedule: \"0 3 * * *\"\n  jobTemplate:\n    \
                    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers: [{name: main, image: \"registry.example/cron:1\"}]\n"
            .replace("GUARDED", guarded);
        let ingress = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  defaultBackend: {service: {name: web, port: {number: 80}}}\n";
        let config_map = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{value: \"{}\"}}\n",
            self.value.load(Ordering::Relaxed)
        );
        let all = [&writer, &reader, &cron, ingress, &config_map].map(|text| text.to_owned()).concat();
        let component = |region: &str| {
            format!(
                "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n  - target: {{kind: ConfigMap, name: web}}\n    \
                 patch: |-\n      - op: add\n        path: /data/REGION\n        value: {region}\n"
            )
        };
        let (west, central) = (component(WEST), component(CENTRAL));
        let kustomization =
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [all.yaml]\n";
        let files = [
            (path.as_str(), config.as_str()),
            ("web/kustomization.yaml", kustomization),
            ("web/all.yaml", all.as_str()),
            ("overlays/regions/eu-west-1/kustomization.yaml", west.as_str()),
            ("overlays/regions/eu-central-1/kustomization.yaml", central.as_str()),
        ];
        self.west.bed.commit(&[&files[..], more].concat())
    }

    /// Commits which region is active, and at which epoch; the other is the standby.
    pub fn point_to(&self, active: &str, epoch: u64) -> String {
        self.commit(&said(active, epoch, ""))
    }
}

/// What environment.yaml says of regions.
pub fn said(active: &str, epoch: u64, more: &str) -> String {
    let other = if active == WEST { CENTRAL } else { WEST };
    format!("active: {active}, standby: [{other}], epoch: {epoch}{more}")
}

/// When each pod of the writer ran, in each region: at every moment between the two it was seen to run before and after.
type Spans = HashMap<(usize, String), (Instant, Instant)>;

/// Who wrote when. A pod of the writer writes for as long as it runs.
pub struct Ledger {
    spans: Arc<Mutex<Spans>>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ledger {
    fn watch(sites: &[&Site]) -> Self {
        let (spans, end): (Arc<Mutex<Spans>>, Arc<AtomicBool>) = Default::default();
        let threads = sites.iter().enumerate().map(|(n, site)| {
            let (spans, end) = (spans.clone(), end.clone());
            let api = site.bed.api().clone();
            let path = format!("/api/v1/namespaces/{}/pods?labelSelector=app%3Dwriter", site.bed.name);
            std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let pods = api.get(&path).unwrap_or_default();
                    let seen = Instant::now();
                    let running = pods["items"].as_array().into_iter().flatten();
                    let running = running.filter(|pod| pod["status"]["phase"] == "Running");
                    let mut spans = spans.lock().expect("a lock");
                    for pod in running {
                        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                        spans.entry((n, uid)).and_modify(|span| span.1 = began).or_insert((seen, seen));
                    }
                    drop(spans);
                    std::thread::sleep(Duration::from_millis(25));
                }
            })
        });
        let threads = threads.collect();
        Self { spans, end, threads }
    }

    /// How many pods of the writer ran in each region so far; fails where two regions wrote at once.
    #[track_caller]
    pub fn judge(&self) -> [usize; 2] {
        let spans = self.spans.lock().expect("a lock");
        let mut counts = [0, 0];
        for (region, _) in spans.keys() {
            counts[*region] += 1;
        }
        for ((region, pod), span) in spans.iter() {
            for ((other, beside), also) in spans.iter().filter(|((other, _), _)| other != region) {
                let (from, to) = (span.0.max(also.0), span.1.min(also.1));
                assert!(
                    from > to,
                    "two regions wrote at once for {:?}: pod {pod} of region {region}, and pod {beside} of region {other}",
                    to - from
                );
            }
        }
        counts
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A Job for a step of a re-point; the annotations tell the simulated node what becomes of its pod.
pub fn job(name: &str, pod: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  backoffLimit: 0\n  template:\n    metadata: {{annotations: \
         {{{pod}}}}}\n    spec:\n      restartPolicy: Never\n      containers: [{{name: main, image: \"registry.example/job:1\"}}]\n"
    )
}

/// The step of a run in a status.
pub fn step(status: &Value, name: &str) -> Value {
    super::find(&status["run"]["steps"], "step", name)
}

/// Asks something of the re-point that is under way, as an administrator.
pub fn ask(site: &Site, spec: Value) -> String {
    site.bed.ask(&spec)
}

/// Long enough that something would have happened that must not.
pub const A_WHILE: Duration = SECOND.saturating_mul(15);

/// A request about the re-point.
pub fn repoint(action: &str, more: Value) -> Value {
    let mut spec = json!({"verb": "repoint", "action": action, "reason": "a test"});
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    spec
}
