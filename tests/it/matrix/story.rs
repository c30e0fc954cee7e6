//! One story, told again and again: two apps are applied in several waves, one changes while another replica takes over,
//! and what left git is deleted. What came of it is compared with what comes of it when nothing goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::plan::applyset_id;
use serde_json::{Value, json};

use crate::bed::manifests::{configmap, definition, deployment_of};
use crate::bed::{Agent, Bed, Class, ControlPlane, Effect, Fault, Proxy, Record, SAYS, SECOND, Setup, find};

/// How long one part of a story may take: a takeover after a kill, and the longest pauses between tries, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// A refusal that is not tried again by itself.
const STUCK: Duration = Duration::from_secs(2);

/// What goes wrong in one telling.
#[derive(Clone, Debug, PartialEq)]
pub struct Harm {
    pub class: Class,
    pub nth: usize,
    pub effect: Effect,
}

impl std::fmt::Display for Harm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {:?}", self.class, self.nth, self.effect)
    }
}

impl Harm {
    /// A rollout may halt on this one: a server that refuses what it took the dry run of, or what could be asked only when
    /// a part of the rollout was written. No pass but that of a new start tries it again.
    fn halts(&self) -> bool {
        matches!(self.class, Class::Write | Class::DryRun) && self.effect == Effect::answer(422)
    }

    fn kills(&self) -> bool {
        matches!(self.effect, Effect::KillBefore | Effect::KillAfter)
    }
}

/// How a story ends.
#[derive(Debug, PartialEq)]
pub struct Ending {
    /// By kind and name, without what each creation makes anew.
    pub objects: BTreeMap<String, Value>,
    /// By object, how often it was made and how often deleted.
    pub made: BTreeMap<String, usize>,
    pub deleted: BTreeMap<String, usize>,
    /// What the Environment says of where its objects are.
    pub inventory: BTreeMap<String, Value>,
}

pub struct Told {
    pub ending: Ending,
    /// Requests by class, before the next pass.
    pub counts: BTreeMap<Class, usize>,
    pub harmed: bool,
    pub took: Duration,
}

/// The replicas of one story: who looks after it first, and who is there to take over.
struct Crew<'a> {
    bed: &'a Bed,
    proxy: &'a Proxy,
    caches: tempfile::TempDir,
    agents: Vec<(&'static str, Agent)>,
}

impl Crew<'_> {
    fn join(&mut self, name: &'static str) {
        let instance = format!("{}-{name}", self.bed.name);
        let cache = self.caches.path().join(name);
        let agent = Agent::replica(self.proxy.kubeconfig(), &cache, &[&self.bed.name], &instance);
        self.agents.push((name, agent));
    }

    fn agent(&self, name: &str) -> &Agent {
        &self.agents.iter().find(|(known, _)| *known == name).expect("it joined").1
    }

    /// As when a pod's container is begun anew. All of them, since only one of them has the environment.
    fn restart(&mut self) {
        let names: Vec<&'static str> = self.agents.drain(..).map(|(name, _)| name).collect();
        names.into_iter().for_each(|name| self.join(name));
    }
}

/// Tells the story once.
pub fn tell(control_plane: &Arc<ControlPlane>, harm: Option<&Harm>) -> Told {
    let began = Instant::now();
    let bed = Setup::new("story")
        .within(control_plane)
        .grant_kind("CustomResourceDefinition", "apiextensions.k8s.io", "customresourcedefinitions")
        .make();
    let proxy = bed.proxy();
    let mut crew = Crew {
        bed: &bed,
        proxy: &proxy,
        caches: tempfile::TempDir::new().expect("a folder"),
        agents: Vec::new(),
    };
    let kills = harm.is_some_and(Harm::kills);
    if let Some(Harm { class, nth, effect }) = harm.cloned() {
        proxy.set(Fault::nth(class, nth, effect));
    }
    let cast = Cast::of(&bed);
    let first = bed.commit_apps(&[("web", &cast.web(1)), ("extra", &configmap("x0", "1"))]);
    crew.join("a");
    if kills {
        proxy.attach(crew.agent("a").killer());
    }
    wait(&mut crew, "the first replica has it", harm, |bed| bed.status() != Value::Null);
    crew.join("b");
    ready(&mut crew, &first, harm);

    if !kills {
        // In the middle of the next wave the first is told to end, and the second goes on.
        proxy.attach(crew.agent("a").terminator());
        proxy.set(Fault::nth(Class::Write, 2, Effect::Tell));
    }
    // A rollout that is refused halts, and is told: the way back has its own tests.
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 60s, onFailure: halt}");
    let second = bed.commit(&[(&path, &config), ("web/all.yaml", &cast.web(2))]);
    ready(&mut crew, &second, harm);
    wait(&mut crew, "what left git is deleted", harm, |bed| {
        cast.leaves().iter().all(|path| bed.api().get(path).is_none()) && bed.status()["prune"] == Value::Null
    });
    // The kinds that are no longer held are struck off a moment later.
    let kinds = "applyset.kubernetes.io/contains-group-kinds";
    wait(&mut crew, "the inventory shrinks", harm, |bed| {
        !bed.environment()["metadata"]["annotations"][kinds].to_string().contains("Service,")
            && !bed.environment()["metadata"]["annotations"][kinds].to_string().contains("Service\"")
    });

    let mut counts = BTreeMap::new();
    proxy.records().iter().for_each(|record| *counts.entry(record.class).or_default() += 1);

    // The next pass, of someone who remembers nothing.
    crew.restart();
    let again = Instant::now();
    let third = bed.commit(&[("README.md", "the next pass")]);
    ready(&mut crew, &third, harm);
    let late: Vec<String> =
        proxy.since(again, &[Class::DryRun, Class::Write]).iter().map(Record::to_string).collect();
    assert!(late.is_empty(), "the next pass wrote {late:#?}");

    let ending = cast.ending(&proxy);
    let harmed = proxy.records().iter().any(|record| {
        harm.is_some_and(|harm| record.harmed.as_deref() == Some(&format!("{:?}", harm.effect)))
    });
    drop(crew);
    cast.leave();
    Told { ending, counts, harmed, took: began.elapsed() }
}

#[track_caller]
fn ready(crew: &mut Crew, revision: &str, harm: Option<&Harm>) {
    wait(crew, "the commit is ready", harm, |bed| {
        let status = bed.status();
        find(&status["conditions"], "type", "Ready")["status"] == "True" && status["revision"] == revision
    });
}

/// Waits until something holds. Where the fault is one that nobody comes back from, it must have been named, and then the
/// replicas are begun anew. One that ended because its first words were refused is begun anew, too, as a pod is.
#[track_caller]
fn wait(crew: &mut Crew, what: &str, harm: Option<&Harm>, holds: impl Fn(&Bed) -> bool) {
    let began = Instant::now();
    let mut stuck: Option<Instant> = None;
    while !holds(crew.bed) {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}:\n{:#}", crew.bed.status());
        std::thread::sleep(Duration::from_millis(100));
        if harm.is_some_and(Harm::halts) {
            let stalled = crew.bed.condition("Stalled");
            // What the server says of a Secret is not told, as it may quote it.
            let said = stalled["message"].to_string();
            let named = said.contains(SAYS) || said.contains("the Secret was refused: Invalid");
            let named = named && stalled["status"] == "True" && stalled["reason"] == "Halted";
            stuck = if named { stuck.or(Some(Instant::now())) } else { None };
            if stuck.is_some_and(|since| since.elapsed() > STUCK) {
                crew.restart();
                std::thread::sleep(SECOND);
                stuck = None;
            }
        }
        if crew.agents.iter().all(|(_, agent)| agent.has_ended()) && !crew.agents.is_empty() {
            crew.restart();
        }
    }
}

/// The objects of a story. The kind that it defines is its own, as definitions have no namespace.
struct Cast<'a> {
    bed: &'a Bed,
    kind: String,
    plural: String,
}

impl<'a> Cast<'a> {
    fn of(bed: &'a Bed) -> Self {
        let plain = bed.name.replace('-', "");
        Self { bed, kind: format!("Rope{plain}"), plural: format!("ropes{plain}") }
    }

    fn web(&self, version: u32) -> String {
        let Self { kind, plural, .. } = self;
        let mut text = definition(kind, plural);
        text += &format!(
            "---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: runner}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{password: swordfish}}
---
apiVersion: bed.fairlead.dev/v1
kind: {kind}
metadata: {{name: one}}
spec: {{metres: {version}}}
"
        );
        if version == 1 {
            text.push_str(&format!(
                "---\napiVersion: bed.fairlead.dev/v1\nkind: {kind}\nmetadata: {{name: two}}\nspec: {{metres: 2}}\n"
            ));
            text.push_str("---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n");
        }
        for n in 0..9 - version {
            text.push_str(&configmap(
                &format!("c{n}"),
                if n == 0 { ["", "1", "2"][version as usize] } else { "1" },
            ));
        }
        if version == 2 {
            text.push_str(&configmap("new", "2"));
        }
        // It reads what the second commit changes: whatever happens between the two, it is rolled once.
        let web = deployment_of("web", 1, &format!("registry.example/web:{version}"), "", &[]);
        let reads = "envFrom: [{configMapRef: {name: c0}}, {secretRef: {name: key}}], image:";
        text + &web.replacen("image:", reads, 1)
    }

    /// What the second commit no longer has.
    fn leaves(&self) -> Vec<String> {
        let within = format!("namespaces/{}", self.bed.name);
        vec![
            format!("/api/v1/{within}/configmaps/c7"),
            format!("/api/v1/{within}/configmaps/x0"),
            format!("/api/v1/{within}/services/web"),
            format!("/apis/bed.fairlead.dev/v1/{within}/{}/two", self.plural),
        ]
    }

    fn collections(&self) -> Vec<String> {
        let within = format!("namespaces/{}", self.bed.name);
        let mut found: Vec<String> = ["configmaps", "secrets", "services", "serviceaccounts"]
            .map(|kind| format!("/api/v1/{within}/{kind}"))
            .into();
        found.push(format!("/apis/apps/v1/{within}/deployments"));
        found.push(format!("/apis/bed.fairlead.dev/v1/{within}/{}", self.plural));
        found.push("/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned());
        found
    }

    fn ending(&self, proxy: &Proxy) -> Ending {
        let mut objects = BTreeMap::new();
        for collection in self.collections() {
            let path = format!("{collection}?labelSelector=fairlead.dev/environment%3D{}", self.bed.name);
            let list = self.bed.api().get(&path).unwrap_or_default();
            for object in list["items"].as_array().into_iter().flatten() {
                let name =
                    format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
                objects.insert(self.plain(&name), self.lasting(object));
            }
        }
        let (mut made, mut deleted) = (BTreeMap::new(), BTreeMap::new());
        for record in proxy.records().iter().filter(|record| record.class == Class::Write && record.forwarded)
        {
            let path = self.plain(&record.path);
            match (record.method.as_str(), record.status) {
                ("PATCH", Some(201)) => *made.entry(path).or_default() += 1,
                ("DELETE", Some(200 | 202)) => *deleted.entry(path).or_default() += 1,
                _ => {}
            }
        }
        let mut inventory = BTreeMap::new();
        for field in ["labels", "annotations"] {
            let found = self.bed.environment()["metadata"][field].clone();
            for (name, value) in found.as_object().into_iter().flatten() {
                if name.contains("applyset") || name.contains("approve") {
                    inventory.insert(name.clone(), json!(self.plain(value.as_str().unwrap_or_default())));
                }
            }
        }
        Ending { objects, made, deleted, inventory }
    }

    /// What of an object is the same in every telling. The generation says that nothing changed to and fro.
    fn lasting(&self, object: &Value) -> Value {
        let mut kept = object.clone();
        let metadata = &object["metadata"];
        let mut plain = serde_json::Map::new();
        for field in ["name", "namespace", "labels", "annotations", "generation", "finalizers"] {
            if !metadata[field].is_null() {
                plain.insert(field.to_owned(), metadata[field].clone());
            }
        }
        kept["metadata"] = plain.into();
        kept.as_object_mut().expect("an object").remove("status");
        if let Some(spec) = kept["spec"].as_object_mut() {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        serde_json::from_str(&self.plain(&kept.to_string())).expect("JSON stays JSON")
    }

    /// Without the names that are this telling's own, and without digests, which cover them.
    fn plain(&self, text: &str) -> String {
        let set = applyset_id(&self.bed.name, "Environment", "fairlead.dev");
        let text = text.replace(&set, "SET").replace(&self.bed.name, "ENV");
        let plain = self.bed.name.replace('-', "");
        let text = text.replace(&plain, "ENV");
        let digest = regex::Regex::new("[0-9a-f]{64}").expect("a pattern");
        digest.replace_all(&text, "DIGEST").into_owned()
    }

    /// Takes away what would make the next tellings slower: each definition is served, and each pod looked after.
    fn leave(&self) {
        let api = self.bed.api();
        api.delete(&format!("/apis/fairlead.dev/v1alpha1/environments/{}", self.bed.name));
        api.delete(&format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.bed.fairlead.dev",
            self.plural
        ));
        api.delete(&format!("/apis/apps/v1/namespaces/{}/deployments/web", self.bed.name));
    }
}
