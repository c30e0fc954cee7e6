//! What git may say of an app: small enough to be written into a test, and rendered once for all stories.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::api::names;
use crate::object::{
    AUTOSCALER, AppName, Desired, Digest, EnvironmentName, HOOK, KindInfo, KindScope, Kinds, Live, MANAGER,
    Manifest, ObjectKey, Origin, Owned, Place, TreePath, WAVE,
};
use crate::plan::{Stamp, Wanted, WantedApp, compare_owned, stamp};

/// The apps that there may be.
pub const APPS: [&str; 3] = ["back", "data", "front"];
pub const ENVIRONMENT: &str = "dev";
/// So many apps that were put together are kept for later stories.
const MANY: usize = 20_000;

/// What becomes of the pods of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Fast,
    Slow,
    /// They crash twice, and then run.
    CrashTwice,
    /// They are ready, and not, and ready, and not, and then stay ready.
    Flap,
    Crash,
    /// They never become ready.
    Hang,
    /// Their controller says that they failed.
    Fail,
    /// The server does not take it.
    Denied,
    /// The server takes the dry run, and not the write.
    DeniedLate,
}

/// How the Job of a hook ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    Succeeds,
    Fails,
    Hangs,
}

/// What an app is made of. Zero is a ConfigMap that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    pub configs: [u8; 3],
    pub web: Option<(u8, Fate)>,
    /// In a later wave.
    pub worker: Option<(u8, Fate)>,
    /// Before it.
    pub migrate: Option<(u8, Ending)>,
    /// After all.
    pub check: Option<Ending>,
}

/// An object of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Config(u8),
    Web,
    Worker,
    Migrate,
}

/// A field that others may take from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// What the object is for: the data of a ConfigMap, the pods of a Deployment.
    Content,
    /// Something beside it.
    Side,
}

/// What others took from us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Taken {
    pub content: bool,
    pub side: bool,
    pub replicas: bool,
    /// It was never ours.
    pub all: bool,
}

impl Taken {
    pub fn has(self, field: Field) -> bool {
        match field {
            Field::Content => self.content,
            Field::Side => self.side,
        }
    }

    pub fn set(&mut self, field: Field, taken: bool) {
        match field {
            Field::Content => self.content = taken,
            Field::Side => self.side = taken,
        }
    }
}

#[derive(Default)]
struct Catalogue {
    apps: HashMap<(usize, Content), Arc<WantedApp>>,
    parts: HashMap<(usize, Content), Arc<WantedApp>>,
    contents: HashMap<(usize, Digest), Content>,
    pods: HashMap<Digest, (u8, Fate)>,
    endings: HashMap<Digest, Ending>,
    lives: HashMap<(Digest, Taken), Live>,
    /// Whether what we own covers what is wanted, as it was found when the two were compared first.
    settled: HashMap<(Digest, Owned), bool>,
}

thread_local! {
    static CATALOGUE: RefCell<Catalogue> = RefCell::default();
}

/// Forgets apps that were put together, once they are many. What they are made of stays.
pub fn tidy_catalogue() {
    CATALOGUE.with_borrow_mut(|all| {
        if all.apps.len() > MANY {
            all.apps.clear();
            all.contents.clear();
        }
    });
}

pub fn app_name(app: usize) -> AppName {
    AppName::new(APPS[app]).expect("it is a name")
}

/// The app that an object is of.
pub fn app_of(key: &ObjectKey) -> usize {
    APPS.iter().position(|name| key.name.starts_with(name)).expect("every object is of an app")
}

pub fn key_of(app: usize, part: Part) -> ObjectKey {
    let name = |last: &str| format!("{}-{last}", APPS[app]);
    match part {
        Part::Config(n) => ObjectKey::new("", "ConfigMap", Some("web"), &name(&format!("config-{n}"))),
        Part::Web => ObjectKey::new("apps", "Deployment", Some("web"), &name("web")),
        Part::Worker => ObjectKey::new("apps", "Deployment", Some("web"), &name("worker")),
        Part::Migrate => ObjectKey::new("batch", "Job", Some("web"), &name("migrate")),
    }
}

/// What an app wants.
pub fn wanted(app: usize, content: Content) -> Arc<WantedApp> {
    CATALOGUE.with_borrow_mut(|all| {
        if let Some(known) = all.apps.get(&(app, content)) {
            return known.clone();
        }
        let made = Arc::new(all.assemble(app, content));
        all.contents.insert((app, made.digest.clone()), content);
        all.apps.insert((app, content), made.clone());
        made
    })
}

impl Catalogue {
    /// Puts an app together from what each of its parts was rendered to; what verifies is of all of it, and made anew.
    fn assemble(&mut self, app: usize, content: Content) -> WantedApp {
        if content.check.is_some() {
            let made = render(app, content);
            self.note(app, content, &made);
            return made;
        }
        let parts = content.parts().map(|part| {
            let known = self.parts.get(&(app, part)).cloned();
            known.unwrap_or_else(|| {
                let made = Arc::new(render(app, part));
                self.note(app, part, &made);
                self.parts.insert((app, part), made.clone());
                made
            })
        });
        let parts: Vec<Arc<WantedApp>> = parts.collect();
        let digest = Digest::of_parts(parts.iter().map(|part| part.digest.as_str()));
        let objects = parts.iter().flat_map(|part| part.objects.clone()).collect();
        let hooks = parts.iter().flat_map(|part| part.hooks.clone()).collect();
        WantedApp { hooks, ..WantedApp::of_objects(app_name(app), digest, objects) }
    }

    fn note(&mut self, app: usize, content: Content, made: &WantedApp) {
        for object in &made.objects {
            let says = match object.key {
                ref key if *key == key_of(app, Part::Web) => content.web,
                ref key if *key == key_of(app, Part::Worker) => content.worker,
                _ => None,
            };
            self.pods.insert(object.digest.clone(), says.unwrap_or((0, Fate::Fast)));
        }
        for hook in &made.hooks {
            let migrates = hook.key == key_of(app, Part::Migrate);
            let ending = if migrates { content.migrate.map(|(_, ending)| ending) } else { content.check };
            self.endings.insert(hook.job.digest.clone(), ending.unwrap_or(Ending::Succeeds));
        }
    }
}

impl Content {
    /// Each of its objects alone.
    fn parts(self) -> impl Iterator<Item = Self> {
        let config = move |n: usize| {
            let mut alone = Self::default();
            alone.configs[n] = self.configs[n];
            alone
        };
        let web = Self { web: self.web, ..Self::default() };
        let worker = Self { worker: self.worker, ..Self::default() };
        let migrate = Self { migrate: self.migrate, ..Self::default() };
        let all = (0..3).map(config).chain([web, worker, migrate]);
        all.filter(|part| *part != Self::default())
    }
}

/// What a digest of an app says.
pub fn content_of(app: usize, digest: &Digest) -> Option<Content> {
    CATALOGUE.with_borrow(|all| all.contents.get(&(app, digest.clone())).copied())
}

/// What the pods of an object are made of.
pub fn pods_of(object: &Wanted) -> (u8, Fate) {
    CATALOGUE.with_borrow(|all| all.pods.get(&object.digest).copied()).unwrap_or((0, Fate::Fast))
}

pub fn fate_of(object: &Wanted) -> Fate {
    pods_of(object).1
}

pub fn ending_of(job: &Wanted) -> Ending {
    CATALOGUE.with_borrow(|all| all.endings.get(&job.digest).copied()).unwrap_or(Ending::Succeeds)
}

fn render(app: usize, content: Content) -> WantedApp {
    let meta = |part: Part| json!({"name": &*key_of(app, part).name, "namespace": "web"});
    let mut objects = Vec::new();
    for (n, version) in (0_u8..).zip(content.configs).filter(|(_, version)| *version > 0) {
        objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(Part::Config(n)),
            "data": {"version": version.to_string(), "side": "git"},
        }));
    }
    let mut workload = |part: Part, (version, fate): (u8, Fate), wave: &str| {
        let mut metadata = meta(part);
        metadata["annotations"] = json!({WAVE: wave});
        objects.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": 2, "revisionHistoryLimit": 3, "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"image": format!("{version}-{fate:?}")}},
            },
        }));
    };
    content.web.into_iter().for_each(|says| workload(Part::Web, says, "0"));
    content.worker.into_iter().for_each(|says| workload(Part::Worker, says, "1"));
    let mut hook = |name: String, moment: &str, image: String| {
        objects.push(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": "web", "annotations": {HOOK: moment}},
            "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "image": image}}},
        }));
    };
    if let Some((version, ending)) = content.migrate {
        hook(key_of(app, Part::Migrate).name.to_string(), "before", format!("{version}-{ending:?}"));
    }
    if let Some(ending) = content.check {
        hook(format!("{}-check", APPS[app]), "verify", format!("{ending:?}"));
    }
    let manifest = |value: Value| {
        let place = Place::at(TreePath::new("base/all.yaml").expect("it is a path"), 1, 1);
        Manifest::new(&value, Origin::new(place)).expect("it is a manifest")
    };
    let environment = EnvironmentName::new(ENVIRONMENT).expect("it is a name");
    let marks = Stamp {
        environment: &environment,
        environment_label: names::ENVIRONMENT_LABEL,
        app_label: names::APP_LABEL,
        part_of_label: names::APPLYSET_PART_OF,
        wave_annotation: WAVE,
        depends_on_annotation: "config.kubernetes.io/depends-on",
        default_namespace: Some("web"),
        pins: &crate::object::secret::Pins::offline(),
    };
    let desired = Desired::new(app_name(app), objects.into_iter().map(manifest).collect(), Vec::new());
    stamp(desired, &marks, &kinds()).expect("it can be sent").0
}

fn kinds() -> Kinds {
    let mut kinds = Kinds::default();
    for (group, kind) in [("", "ConfigMap"), ("apps", "Deployment"), ("batch", "Job")] {
        let info = KindInfo {
            plural: kind.to_lowercase() + "s",
            scope: KindScope::Namespaced,
            versions: vec!["v1".into()],
        };
        kinds.insert(group, kind, info);
    }
    kinds
}

/// The object as the server has it, but for its uid and version.
pub fn live(object: &Wanted, taken: Taken) -> Live {
    CATALOGUE.with_borrow_mut(|all| {
        let known = all.lives.entry((object.digest.clone(), taken));
        known.or_insert_with(|| read_live(object, taken)).clone()
    })
}

/// Whether an object is as it is wanted. Compared once for all stories.
pub fn settled(wanted: &Wanted, live: &Live) -> bool {
    let Some(owned) = live.owned.clone().filter(|_| live.applied.as_ref() == Some(&wanted.digest)) else {
        return false;
    };
    CATALOGUE.with_borrow_mut(|all| {
        let known = all.settled.entry((wanted.digest.clone(), owned));
        *known.or_insert_with(|| compare_owned(wanted, live).is_empty())
    })
}

fn read_live(object: &Wanted, taken: Taken) -> Live {
    let mut value = object.value();
    let mut owned = fields(&value);
    let is_job = &*object.key.kind == "Job";
    let fields =
        [(taken.content, ["f:version", "f:template"]), (taken.side, ["f:side", "f:revisionHistoryLimit"])];
    for (_, names) in fields.iter().filter(|(taken, _)| *taken) {
        for (map, field) in ["f:data", "f:spec"].into_iter().zip(names) {
            owned.get_mut(map).and_then(Value::as_object_mut).map(|map| map.remove(*field));
        }
    }
    // Where nothing of a map is ours, the server leaves it out.
    if let Some(owned) = owned.as_object_mut() {
        owned.retain(|_, below| below.as_object().is_none_or(|below| !below.is_empty()));
    }
    let mut entries = Vec::new();
    if taken.replicas {
        owned["f:spec"].as_object_mut().map(|spec| spec.remove("f:replicas"));
        entries.push(json!({
            "manager": AUTOSCALER, "operation": "Update", "apiVersion": "apps/v1", "subresource": "scale",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }));
    }
    if !taken.all {
        let operation = if is_job { "Update" } else { "Apply" };
        entries.push(json!({
            "manager": MANAGER, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": owned,
        }));
    }
    let metadata = &mut value["metadata"];
    if taken.all {
        metadata["labels"] = json!({});
        metadata["annotations"] = json!({});
    }
    metadata["managedFields"] = entries.into();
    metadata["uid"] = "u".into();
    metadata["resourceVersion"] = "1".into();
    Live::read(&value).expect("it has all that the server writes")
}

/// What our entry covers, where nobody took anything.
fn fields(value: &Value) -> Value {
    let set = |value: &Value| -> Value {
        let names = value.as_object().into_iter().flat_map(Map::keys);
        names.map(|name| (format!("f:{name}"), json!({}))).collect::<Map<_, _>>().into()
    };
    let mut all = Map::new();
    for (name, below) in value.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                let (labels, annotations) = (set(&below["labels"]), set(&below["annotations"]));
                all.insert("f:metadata".into(), json!({"f:labels": labels, "f:annotations": annotations}));
            }
            "spec" | "data" => drop(all.insert(format!("f:{name}"), set(below))),
            other => drop(all.insert(format!("f:{other}"), json!({}))),
        }
    }
    all.into()
}
