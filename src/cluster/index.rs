//! What is live, kept by few watches: one for each kind in use, over all namespaces, selected by our label.
//!
//! Kept of each object is what decisions need ([`Live`] and its health), not the object. Kinds whose health says nothing
//! are watched as metadata only, so that the data of ConfigMaps and Secrets never comes here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::autoscalers::{self, Autoscalers};
use super::census::Census;
use super::discovery::Session;
use super::judging::Judges;
use super::sharing::Sharing;
use super::watching;
use crate::api::names;
use crate::health::{self, Assessed, Health, Rule, Status};
use crate::object::{Gvk, HOOK, Live, ObjectKey};
use crate::plan::{Inventory, Lookup, Wanted, WantedKeys};

/// How long a first listing may take before a plan goes on without it, as an error.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);
/// The server ends a watch after this many seconds and it begins anew, so that watches do not stay with one server of
/// several for ever.
pub const WATCH_SECONDS: u32 = 240;

/// What is watched together: a kind in all namespaces, or the Secrets of one, as rights on those are given by namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    gvk: Gvk,
    namespace: Option<Box<str>>,
}

impl Watched {
    pub fn of<'a>(objects: impl Iterator<Item = &'a Wanted>) -> BTreeSet<Self> {
        // By reference first: an app of ten thousand objects has a handful of kinds.
        let found: BTreeSet<(&Gvk, Option<&str>)> =
            objects.map(|wanted| (&wanted.gvk, by_namespace(&wanted.key))).collect();
        found
            .into_iter()
            .map(|(gvk, namespace)| Self { gvk: gvk.clone(), namespace: namespace.map(Into::into) })
            .collect()
    }

    /// Where an environment has or may have objects, by its own word.
    pub fn held(inventory: &Inventory) -> BTreeSet<Self> {
        let mut found = BTreeSet::new();
        for (group, kind) in inventory.group_kinds() {
            let gvk = Gvk::new(group, "", kind);
            if is_secret(group, kind) {
                let of = |namespace: &String| Self {
                    gvk: gvk.clone(),
                    namespace: Some(namespace.as_str().into()),
                };
                found.extend(inventory.namespaces.iter().map(of));
            } else {
                found.insert(Self { gvk, namespace: None });
            }
        }
        found
    }

    fn id(&self) -> Id {
        (self.gvk.group.clone(), self.gvk.kind.clone(), self.namespace.clone())
    }
}

/// Group, kind and, of Secrets, the namespace.
type Id = (Box<str>, Box<str>, Option<Box<str>>);

fn id(key: &ObjectKey) -> Id {
    (key.group.clone(), key.kind.clone(), by_namespace(key).map(Into::into))
}

fn by_namespace(key: &ObjectKey) -> Option<&str> {
    key.namespace.as_deref().filter(|_| is_secret(&key.group, &key.kind))
}

fn is_secret(group: &str, kind: &str) -> bool {
    group.is_empty() && kind == "Secret"
}

#[derive(Clone)]
pub struct Index {
    session: Session,
    selector: &'static str,
    sharing: Arc<Mutex<Sharing>>,
    judges: Judges,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    kinds: HashMap<Id, Kind>,
    census: Census,
    listeners: HashMap<String, Arc<Notify>>,
    /// Pairs of digests and ownerships that a dry run proved to be as wanted although they do not look so.
    settled: HashSet<(ObjectKey, crate::object::Digest, crate::object::Owned)>,
    autoscalers: Autoscalers,
    scaling: Option<Scaling>,
}

/// Whether the autoscalers were listed, and the watch of them.
type Scaling = (watch::Receiver<Option<Result<(), String>>>, AbortOnDropHandle<()>);

struct Kind {
    watched: Watched,
    plural: String,
    objects: HashMap<ObjectKey, Assessed>,
    synced: watch::Receiver<Synced>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone, Debug, PartialEq)]
enum Synced {
    No,
    Yes,
    Failing(String),
}

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("watching {kind} failed: {why}")]
    Watch { kind: String, why: String },
    #[error("listing {kind} took longer than {SYNC_TIMEOUT:?}")]
    TimedOut { kind: String },
}

impl Index {
    /// An index of the objects that bear the label `selector`, whose value is the name of their environment.
    pub fn new(session: Session, selector: &'static str) -> Self {
        Self { session, selector, sharing: Arc::default(), judges: Judges::default(), state: Arc::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding this lock")
    }

    fn share(&self, live: Live) -> Arc<Live> {
        let mut sharing = self.sharing.lock().expect("no one panics while holding this lock");
        Arc::new(sharing.share(live))
    }

    /// Rings whenever an object of this environment changed.
    pub fn listen(&self, environment: &str) -> Arc<Notify> {
        self.lock().listeners.entry(environment.to_owned()).or_default().clone()
    }

    pub fn forget(&self, environment: &str) {
        let mut state = self.lock();
        state.listeners.remove(environment);
        state.census.forget(environment);
        drop(state);
        self.judges.forget(environment);
    }

    /// Judges the objects of an environment by its own rules from now on. Objects are not kept, so the kinds that its
    /// rules name are listed anew where the rules are others than before; until then what is known of them stays.
    pub fn judge(&self, environment: &str, rules: &[Rule]) {
        let Some(changed) = self.judges.set(environment, rules) else { return };
        for kind in self.lock().kinds.values_mut() {
            let gvk = &kind.watched.gvk;
            if changed.concerns(&gvk.group, &gvk.kind) {
                (kind.synced, kind._task) = self.begin(&kind.watched, &kind.plural);
            }
        }
    }

    fn begin(&self, watched: &Watched, plural: &str) -> (watch::Receiver<Synced>, AbortOnDropHandle<()>) {
        let (say, synced) = watch::channel(Synced::No);
        let task = tokio::spawn(self.clone().follow(watched.clone(), plural.to_owned(), say));
        (synced, AbortOnDropHandle::new(task))
    }

    /// Watches these kinds from now on, and waits until each was listed once. A kind that is not served holds nothing.
    pub async fn ensure(&self, watched: &BTreeSet<Watched>) -> Result<(), IndexError> {
        let mut waits = Vec::new();
        for watched in watched {
            let gvk = &watched.gvk;
            let Some(info) = self.session.kinds().get(&gvk.group, &gvk.kind).cloned() else { continue };
            let Some(version) = info.versions.first() else { continue };
            let mut state = self.lock();
            let kind = state.kinds.entry(watched.id()).or_insert_with(|| {
                let gvk = Gvk::new(&gvk.group, version, &gvk.kind);
                let served = Watched { gvk, namespace: watched.namespace.clone() };
                let (synced, task) = self.begin(&served, &info.plural);
                let plural = info.plural.clone();
                Kind { watched: served, plural, objects: HashMap::new(), synced, _task: task }
            });
            waits.push((gvk.group_kind(), kind.synced.clone()));
        }
        for (kind, mut synced) in waits {
            let listed = synced.wait_for(|synced| *synced != Synced::No);
            let state = match tokio::time::timeout(SYNC_TIMEOUT, listed).await {
                Ok(Ok(state)) => state.clone(),
                Ok(Err(_)) => Synced::Failing("the watch ended".to_owned()),
                Err(_) => return Err(IndexError::TimedOut { kind }),
            };
            if let Synced::Failing(why) = state {
                return Err(IndexError::Watch { kind, why });
            }
        }
        Ok(())
    }

    /// Watches all autoscalers from now on, and waits until they were listed once. Where they cannot be, who scales an
    /// object is not known.
    pub async fn ensure_autoscalers(&self) {
        let mut listed = {
            let mut state = self.lock();
            let (listed, _) = state.scaling.get_or_insert_with(|| {
                let (say, listed) = watch::channel(None);
                let index = self.clone();
                let task = tokio::spawn(async move {
                    let session = index.session.clone();
                    autoscalers::follow(&session, say, |change| index.note_autoscalers(change)).await;
                });
                (listed, AbortOnDropHandle::new(task))
            });
            listed.clone()
        };
        let _ = tokio::time::timeout(SYNC_TIMEOUT, listed.wait_for(Option::is_some)).await;
    }

    /// Whoever's workload it is that is scaled from now on, or no more: environments look at their own.
    fn note_autoscalers(&self, change: &mut dyn FnMut(&mut Autoscalers) -> bool) {
        let mut state = self.lock();
        if change(&mut state.autoscalers) {
            state.listeners.values().for_each(|listener| listener.notify_one());
        }
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Assessed> {
        let state = self.lock();
        state.kinds.get(&id(key))?.objects.get(key).cloned()
    }

    /// The health of an object, `Missing` where there is none.
    pub fn health(&self, key: &ObjectKey) -> Health {
        self.get(key).map_or_else(|| health::assess(&Value::Null), |record| record.health)
    }

    /// How many objects and watches there are.
    pub fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.kinds.values().map(|kind| kind.objects.len()).sum(), state.kinds.len())
    }

    /// The objects that bear an environment's label and are not among the wanted; and how many bear it, wanted or not.
    pub fn strays(&self, environment: &str, wanted: &WantedKeys) -> (Vec<Arc<Live>>, usize) {
        let mut state = self.lock();
        let total = state.census.total(environment);
        if let Some(strays) = state.census.strays(environment, wanted) {
            return (strays, total);
        }
        let records = state.kinds.values().flat_map(|kind| kind.objects.values());
        let ours = records.filter(|record| self.bearer(&record.live).is_some_and(|name| name == environment));
        let strays: Vec<Arc<Live>> = ours
            .filter(|record| !wanted.contains(&record.live.key))
            .map(|record| record.live.clone())
            .collect();
        state.census.keep_strays(environment, wanted.clone(), &strays);
        (strays, total)
    }

    /// Where objects bear an environment's label.
    pub fn places(&self, environment: &str) -> Inventory {
        self.lock().census.places(environment)
    }

    /// The environment whose label an object bears.
    fn bearer<'a>(&self, live: &'a Live) -> Option<&'a String> {
        live.labels.get(self.selector)
    }

    /// The objects that bear an environment's label.
    pub fn of_environment(&self, environment: &str) -> BTreeMap<ObjectKey, Arc<Live>> {
        let state = self.lock();
        let ours = |record: &&Assessed| {
            record.live.labels.get(self.selector).is_some_and(|name| name == environment)
        };
        let records = state.kinds.values().flat_map(|kind| kind.objects.values()).filter(ours);
        records.map(|record| (record.live.key.clone(), record.live.clone())).collect()
    }

    /// The Jobs of an app's hooks.
    pub fn hook_jobs(&self, environment: &str, app: &str) -> Vec<Assessed> {
        let state = self.lock();
        let Some(kind) = state.kinds.get(&("batch".into(), "Job".into(), None)) else { return Vec::new() };
        let bears = |record: &Assessed, label: &str, value: &str| {
            record.live.labels.get(label).is_some_and(|found| found == value)
        };
        let ours = |record: &&Assessed| {
            record.live.labels.contains_key(HOOK)
                && bears(record, self.selector, environment)
                && bears(record, names::APP_LABEL, app)
        };
        kind.objects.values().filter(ours).cloned().collect()
    }

    /// Takes what a write answered, so that the next plan sees it before the watch does.
    pub fn note_write(&self, live: Live) {
        let mut state = self.lock();
        let State { kinds, census, .. } = &mut *state;
        let Some(kind) = kinds.get_mut(&id(&live.key)) else { return };
        let bodyless = is_bodyless(&live.key.group, &live.key.kind);
        let old = kind.objects.get(&live.key);
        if old.is_some_and(|old| old.live.uid == live.uid && newer(&old.live, &live)) {
            return;
        }
        // Until the watch brings the object, a changed one has not been observed by its controller.
        let unchanged = old.filter(|old| old.live.resource_version == live.resource_version);
        let health = match unchanged {
            Some(old) => old.health.clone(),
            None if bodyless => Health::new(Status::Healthy, "Exists", "it exists"),
            None => Health::new(Status::Progressing, "JustWritten", "it was just written"),
        };
        let live = self.share(live);
        census.note(old.map(|old| (self.bearer(&old.live), &*old.live)), Some((self.bearer(&live), &live)));
        kind.objects.insert(live.key.clone(), Assessed { live, health });
    }

    /// Remembers that a dry run of `wanted` ended where `live` is.
    pub fn note_settled(&self, wanted: &Wanted, live: &Live) {
        if let Some(owned) = &live.owned {
            self.lock().settled.insert((wanted.key.clone(), wanted.digest.clone(), owned.clone()));
        }
    }

    async fn follow(self, watched: Watched, plural: String, say: watch::Sender<Synced>) {
        let gvk = &watched.gvk;
        let resource = ApiResource {
            group: gvk.group.to_string(),
            version: gvk.version.to_string(),
            api_version: gvk.api_version(),
            kind: gvk.kind.to_string(),
            plural,
        };
        let client = self.session.cluster.client().clone();
        let config = watcher::Config::default().labels(self.selector).timeout(WATCH_SECONDS);
        if is_bodyless(&gvk.group, &gvk.kind) {
            // Of this type the API asks for metadata only.
            let api: Api<PartialObjectMeta<DynamicObject>> = match &watched.namespace {
                Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            let events = watching::watch(api, config);
            let read = |object: PartialObjectMeta<DynamicObject>| {
                let live = Live::from_meta(gvk.clone(), &object.metadata)?;
                let status = if live.deleting { Status::Terminating } else { Status::Healthy };
                let message = if live.deleting { "it is being deleted" } else { "it exists" };
                Some(Assessed { live: self.share(live), health: Health::new(status, "Exists", message) })
            };
            self.take(&watched, events, read, &say).await;
        } else {
            let api: Api<DynamicObject> = Api::all_with(client, &resource);
            let events = watching::watch(api, config);
            let (api_version, kind) = (gvk.api_version(), gvk.kind.to_string());
            let read = |mut object: DynamicObject| {
                let live = Live::from_meta(gvk.clone(), &object.metadata)?;
                object.metadata.managed_fields = None;
                let mut value = object.data;
                value["apiVersion"] = api_version.as_str().into();
                value["kind"] = kind.as_str().into();
                value["metadata"] = serde_json::to_value(&object.metadata).ok()?;
                let health = self.judges.assess(&live, self.selector, &value);
                Some(Assessed { live: self.share(live), health })
            };
            self.take(&watched, events, read, &say).await;
        }
    }

    async fn take<K>(
        &self,
        watched: &Watched,
        events: impl futures::Stream<Item = watcher::Result<watcher::Event<K>>>,
        read: impl Fn(K) -> Option<Assessed>,
        say: &watch::Sender<Synced>,
    ) {
        let mut events = std::pin::pin!(events);
        let mut listing: HashMap<ObjectKey, Assessed> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listing.clear(),
                Ok(watcher::Event::InitApply(object)) => {
                    if let Some(record) = read(object) {
                        listing.insert(record.live.key.clone(), record);
                    }
                }
                Ok(watcher::Event::InitDone) => {
                    self.replace(watched, std::mem::take(&mut listing));
                    say.send_replace(Synced::Yes);
                }
                Ok(watcher::Event::Apply(object)) => {
                    if let Some(record) = read(object) {
                        self.put(watched, record);
                    }
                }
                Ok(watcher::Event::Delete(object)) => {
                    if let Some(record) = read(object) {
                        self.remove(watched, &record.live);
                    }
                }
                Err(error) => {
                    let why = super::call::chain(&error);
                    tracing::warn!(kind = %watched.gvk.group_kind(), error = %why, "a watch failed and begins anew");
                    // What was listed stays: no evidence is not evidence of absence.
                    say.send_if_modified(|synced| {
                        let first = *synced == Synced::No;
                        if first {
                            *synced = Synced::Failing(why);
                        }
                        first
                    });
                }
            }
        }
    }

    fn replace(&self, watched: &Watched, listing: HashMap<ObjectKey, Assessed>) {
        let mut state = self.lock();
        let State { kinds, listeners, census, .. } = &mut *state;
        let Some(kind) = kinds.get_mut(&watched.id()) else { return };
        let mut touched = HashSet::new();
        for record in kind.objects.values() {
            let same = listing.get(&record.live.key).is_some_and(|new| new.live == record.live);
            if !same {
                touched.extend(record.live.labels.get(self.selector).cloned());
            }
        }
        touched.extend(listing.values().filter_map(|record| record.live.labels.get(self.selector).cloned()));
        for old in kind.objects.values().filter(|old| !listing.contains_key(&old.live.key)) {
            census.note(Some((self.bearer(&old.live), &*old.live)), None);
        }
        for (key, new) in &listing {
            let old = kind.objects.get(key);
            census.note(
                old.map(|old| (self.bearer(&old.live), &*old.live)),
                Some((self.bearer(&new.live), &new.live)),
            );
        }
        kind.objects = listing;
        ring(listeners, touched);
    }

    fn put(&self, watched: &Watched, record: Assessed) {
        let mut state = self.lock();
        let State { kinds, listeners, census, .. } = &mut *state;
        let Some(kind) = kinds.get_mut(&watched.id()) else { return };
        let old = kind.objects.get(&record.live.key);
        if old.is_some_and(|old| old.live.uid == record.live.uid && newer(&old.live, &record.live)) {
            return; // The watch is behind a write that we have seen the answer of.
        }
        let touched = record.live.labels.get(self.selector).cloned();
        census.note(
            old.map(|old| (self.bearer(&old.live), &*old.live)),
            Some((self.bearer(&record.live), &record.live)),
        );
        // Whoever had it before has lost it where the label changed.
        let old = kind.objects.insert(record.live.key.clone(), record);
        let lost = old.and_then(|old| old.live.labels.get(self.selector).cloned());
        ring(listeners, touched.iter().cloned().chain(lost.filter(|lost| Some(lost) != touched.as_ref())));
    }

    fn remove(&self, watched: &Watched, live: &Live) {
        let mut state = self.lock();
        let State { kinds, listeners, census, .. } = &mut *state;
        let Some(kind) = kinds.get_mut(&watched.id()) else { return };
        let same = kind.objects.get(&live.key).is_some_and(|old| old.live.uid == live.uid);
        if same {
            let old = kind.objects.remove(&live.key);
            census.note(old.as_ref().map(|old| (self.bearer(&old.live), &*old.live)), None);
            ring(listeners, old.and_then(|old| old.live.labels.get(self.selector).cloned()));
        }
    }
}

fn ring(listeners: &HashMap<String, Arc<Notify>>, environments: impl IntoIterator<Item = String>) {
    for environment in environments {
        if let Some(listener) = listeners.get(&environment) {
            listener.notify_one();
        }
    }
}

/// Whether `a` is newer than `b`. Resource versions of one kind are numbers that grow.
fn newer(a: &Live, b: &Live) -> bool {
    match (a.resource_version.parse::<u64>(), b.resource_version.parse::<u64>()) {
        (Ok(a), Ok(b)) => a > b,
        _ => false,
    }
}

impl Lookup for Index {
    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        self.lock().autoscalers.scale(key)
    }

    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        let state = self.lock();
        let record = state.kinds.get(&id(key))?.objects.get(key)?;
        Some(record.live.clone())
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        let Some(owned) = &live.owned else { return false };
        let state = self.lock();
        // The set is empty unless a server drops fields, and then it is small.
        !state.settled.is_empty()
            && state.settled.contains(&(wanted.key.clone(), wanted.digest.clone(), owned.clone()))
    }
}

/// Kinds that are healthy when they exist.
fn is_bodyless(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("", "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "Endpoints")
            | (
                "rbac.authorization.k8s.io"
                    | "scheduling.k8s.io"
                    | "node.k8s.io"
                    | "storage.k8s.io"
                    | "discovery.k8s.io",
                _
            )
            | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
            | ("admissionregistration.k8s.io", _)
    )
}
