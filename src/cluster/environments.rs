//! The Environments of the cluster: watched, and answered with status and events.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use http::StatusCode;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::{ANYTHING, Call, CallError, Cluster, JSON, Reply};
use super::discovery::escape;
use super::drift_reports::DriftReports;
use super::heard::QUIET;
use super::pages::{self, Pages};
use super::watching;
use crate::api::{Environment, Identity, names};
use crate::object::{MANAGER, ObjectKey, chain};

/// As whom something is read first; nobody but the caller where it is none.
type Reader<'a> = Option<&'a Identity>;

/// A change of what the platform says.
#[derive(Debug)]
pub enum EnvironmentEvent {
    /// Everything there is; what is not in it is gone.
    All(Vec<Environment>),
    Changed(Box<Environment>),
    Gone(String),
    Failed(String),
}

/// Every request goes by [`Cluster::send`], with the deadline, the retries and the slots of all others; only the watch
/// is kube's.
#[derive(Clone)]
pub struct Environments {
    cluster: Cluster,
    instance: Arc<str>,
    said: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Environments {
    pub fn new(cluster: &Cluster, instance: &str) -> Self {
        Self { cluster: cluster.clone(), instance: instance.into(), said: Arc::default() }
    }

    pub async fn get(&self, name: &str) -> Result<Option<Environment>, CallError> {
        self.find(path::<Environment>(None, name)).await
    }

    /// An Environment with all that its status says of its apps: what has no room there is read from its pages.
    pub async fn get_whole(&self, name: &str) -> Result<Option<Environment>, CallError> {
        let Some(mut found) = self.get(name).await? else { return Ok(None) };
        if let Some(status) = &mut found.status {
            let pages = match status.pages {
                Some(_) => self.pages().read(name).await?,
                None => Vec::new(),
            };
            status.complete(pages);
        }
        Ok(Some(found))
    }

    /// The DriftReports of the Environments.
    pub fn drift_reports(&self) -> DriftReports {
        DriftReports::new(&self.cluster)
    }

    /// The pages of the Environments.
    pub fn pages(&self) -> Pages {
        Pages::new(&self.cluster)
    }

    pub async fn list(&self) -> Result<Vec<Environment>, CallError> {
        let list: List<Environment> =
            self.cluster.send(&Call::get(Environment::url_path(&(), None))).await?.read()?;
        Ok(list.items)
    }

    /// Whether the watch of them stands: the server says something at least once a minute, be it that there is nothing new.
    pub fn is_heard(&self) -> bool {
        let heard = self.cluster.hearing().of(&Environment::url_path(&(), None));
        heard.told.max(heard.began).is_some_and(|last| last.elapsed() < QUIET)
    }

    /// Every change from now on, beginning with all there is. Failures are told and tried again.
    pub fn watch(&self) -> impl Stream<Item = EnvironmentEvent> + use<> {
        let mut listing = Vec::new();
        let api = Api::<Environment>::all(self.cluster.client().clone());
        watching::watch(api, watcher::Config::default()).filter_map(move |event| {
            let told = match event {
                Ok(watcher::Event::Init) => {
                    listing = Vec::new();
                    None
                }
                Ok(watcher::Event::InitApply(environment)) => {
                    listing.push(environment);
                    None
                }
                Ok(watcher::Event::InitDone) => Some(EnvironmentEvent::All(std::mem::take(&mut listing))),
                Ok(watcher::Event::Apply(environment)) => {
                    Some(EnvironmentEvent::Changed(Box::new(environment)))
                }
                Ok(watcher::Event::Delete(environment)) => {
                    Some(EnvironmentEvent::Gone(environment.name_any()))
                }
                Err(error) => Some(EnvironmentEvent::Failed(chain(&error))),
            };
            std::future::ready(told)
        })
    }

    /// Takes these steps of a JSON Patch on the status of this Environment, and of no other that may come to bear its name;
    /// where a version is given only if nobody wrote since. Answers the version that it has now.
    pub async fn patch_status(
        &self,
        environment: &Environment,
        steps: Vec<Value>,
        version: Option<&str>,
    ) -> Result<String, CallError> {
        let mut all = vec![json!({"op": "test", "path": "/metadata/uid", "value": environment.uid()})];
        if let Some(version) = version {
            // Answered by a conflict where it is another one by now.
            all.push(json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}));
        }
        all.extend(steps);
        let path = path::<Environment>(None, &environment.name_any());
        let path = format!("{path}/status?fieldManager={MANAGER}");
        pages::version(&self.cluster.send(&Call::json_patch(path, &Value::Array(all), None)).await?)
    }

    /// Writes our own labels and annotations of an Environment, and no others. Of this one and no other that may come to
    /// bear its name: where it is gone, nothing is made.
    pub async fn mark(
        &self,
        environment: &Environment,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        let patch = json!({
            "apiVersion": Environment::api_version(&()), "kind": Environment::kind(&()),
            "metadata": {"uid": environment.uid(), "labels": labels, "annotations": annotations},
        });
        self.apply(path::<Environment>(None, &environment.name_any()), &patch).await
    }

    /// Puts our finalizer on an Environment, or takes it off; the others stay. Bound to the version that was looked at.
    pub async fn finalize(&self, environment: &Environment, hold: bool) -> Result<(), CallError> {
        let mut all: Vec<&str> = environment.finalizers().iter().map(String::as_str).collect();
        all.retain(|name| *name != names::FINALIZER);
        if hold {
            all.push(names::FINALIZER);
        }
        let version = environment.resource_version();
        let patch =
            json!({"metadata": {"uid": environment.uid(), "resourceVersion": version, "finalizers": all}});
        self.merge(&environment.name_any(), &patch).await
    }

    /// Asks the cluster for whom it takes us.
    pub async fn whoami(&self) -> Result<Option<String>, CallError> {
        let review = json!({
            "apiVersion": SelfSubjectReview::api_version(&()), "kind": SelfSubjectReview::kind(&()),
        });
        let call = Call::create(SelfSubjectReview::url_path(&(), None), review.to_string().into(), None);
        let answer = self.cluster.send(&call.accept(JSON)).await?.json()?;
        Ok(answer["status"]["userInfo"]["username"].as_str().map(str::to_owned))
    }

    /// An Event, as `kubectl describe` shows them. Failing to write one is no reason to fail.
    ///
    /// Not kube's `Recorder`: that one counts up the first of a reason, and so would show the first note for ever.
    pub async fn event(
        &self,
        environment: &Environment,
        warning: bool,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        // The API takes at most 1024 bytes; a longer note would lose the whole event.
        let note: String = note.chars().take(NOTE_LIMIT).collect();
        if self.said_lately(format!("{}\n{reason}\n{note}", environment.name_any())) {
            return;
        }
        let now = MicroTime(jiff::Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:016x}", environment.name_any(), fastrand::u64(..))),
                namespace: Some(EVENT_NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(now),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(note),
            reporting_controller: Some("fairlead".to_owned()),
            reporting_instance: Some(self.instance.to_string()),
            regarding: Some(ObjectReference {
                api_version: Some(Environment::api_version(&()).into()),
                kind: Some(Environment::kind(&()).into()),
                name: Some(environment.name_any()),
                uid: environment.uid(),
                ..ObjectReference::default()
            }),
            ..Event::default()
        };
        let body = match serde_json::to_vec(&event) {
            Ok(body) => body,
            Err(error) => return tracing::warn!(%error, reason, "an event cannot be written as JSON"),
        };
        let call = Call::create(Event::url_path(&(), Some(EVENT_NAMESPACE)), body.into(), None);
        match self.cluster.send(&call).await {
            Ok(_) => {}
            // A try before was done after all, and its answer was lost.
            Err(error) if error.is_already_there() => {}
            Err(error) => tracing::warn!(error = %chain(&error), reason, "writing an event failed"),
        }
    }

    /// Whether the same was said a moment ago: something that repeats itself must not fill the cluster.
    fn said_lately(&self, what: String) -> bool {
        let Ok(mut said) = self.said.lock() else { return false };
        let now = Instant::now();
        said.retain(|_, at| now.duration_since(*at) < EVENT_REPEATS);
        if said.contains_key(&what) {
            return true;
        }
        said.insert(what, now);
        false
    }

    /// The values of a Secret in the agent's own namespace.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, CallError> {
        self.find(path::<Secret>(Some(namespace), name)).await
    }

    /// A ConfigMap in the agent's own namespace.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, CallError> {
        self.find(path::<ConfigMap>(Some(namespace), name)).await
    }

    /// The pods that a selector finds: asked for only when a gate wants to say why it waits.
    pub async fn pods(
        &self,
        namespace: &str,
        selector: &str,
        reader: Reader<'_>,
    ) -> Result<Vec<Value>, CallError> {
        self.select::<Pod>(namespace, selector, &format!("limit={POD_LIMIT}"), reader).await
    }

    /// A workload as it is, with what its controller says of it.
    pub async fn workload(&self, key: &ObjectKey) -> Result<Option<Value>, CallError> {
        let (namespace, name) = (key.namespace.as_deref(), &*key.name);
        let path = match (&*key.group, &*key.kind) {
            ("apps", "Deployment") => path::<Deployment>(namespace, name),
            ("apps", "StatefulSet") => path::<StatefulSet>(namespace, name),
            ("apps", "DaemonSet") => path::<DaemonSet>(namespace, name),
            ("apps", "ReplicaSet") => path::<ReplicaSet>(namespace, name),
            ("batch", "Job") => path::<Job>(namespace, name),
            _ => return Ok(None),
        };
        self.find(path).await
    }

    /// The ReplicaSets that a selector finds: they tell which pods are of the newest template.
    pub async fn replica_sets(
        &self,
        namespace: &str,
        selector: &str,
        reader: Reader<'_>,
    ) -> Result<Vec<Value>, CallError> {
        // From the server's cache, as old as that may be.
        let cached = "resourceVersion=0&resourceVersionMatch=NotOlderThan";
        self.select::<ReplicaSet>(namespace, selector, cached, reader).await
    }

    /// The last lines of the container that ran before, or of this one where none did.
    pub async fn log_tail(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        reader: Reader<'_>,
    ) -> Option<String> {
        let log = format!("{}/log", path::<Pod>(Some(namespace), pod));
        for previous in [true, false] {
            let container = escape(container);
            let call = Call::get(format!(
                "{log}?container={container}&previous={previous}&tailLines={LOG_LINES}&limitBytes={LOG_BYTES}"
            ))
            .accept(ANYTHING);
            let Ok(Ok(reply)) = tokio::time::timeout(LOG_TIMEOUT, self.read_as(call, reader)).await else {
                continue;
            };
            let text = String::from_utf8_lossy(&reply.body);
            if !text.trim().is_empty() {
                return Some(text.trim().lines().collect::<Vec<_>>().join(" | "));
            }
        }
        None
    }

    /// Reads as an environment's account where that may. Where it may not, as the agent: that a gate waits for pods that the
    /// account cannot read is no reason not to see why.
    async fn read_as<'a>(&self, call: Call<'a>, reader: Reader<'a>) -> Result<Reply, CallError> {
        if reader.is_some() {
            match self.cluster.send(&Call { identity: reader, ..call.clone() }).await {
                Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => {}
                read => return read,
            }
        }
        self.cluster.send(&call).await
    }

    async fn find<T: DeserializeOwned>(&self, path: String) -> Result<Option<T>, CallError> {
        match self.cluster.send(&Call::get(path)).await {
            Ok(reply) => reply.read().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists what a label selector finds in a namespace.
    async fn select<K: Resource<DynamicType = ()>>(
        &self,
        namespace: &str,
        selector: &str,
        query: &str,
        reader: Reader<'_>,
    ) -> Result<Vec<Value>, CallError> {
        let root = K::url_path(&(), Some(namespace));
        let call = Call::get(format!("{root}?labelSelector={}&{query}", escape(selector)));
        let mut list: List<Value> = self.read_as(call, reader).await?.read()?;
        for item in &mut list.items {
            // Only the list says of which kind its items are.
            if let Some(item) = item.as_object_mut() {
                item.insert("apiVersion".to_owned(), K::api_version(&()).into());
                item.insert("kind".to_owned(), K::kind(&()).into());
            }
        }
        Ok(list.items)
    }

    async fn apply(&self, path: String, patch: &Value) -> Result<(), CallError> {
        let path = format!("{path}?fieldManager={MANAGER}&force=true");
        self.cluster.send(&Call::apply(path, patch.to_string().into(), None)).await.map(drop)
    }

    async fn merge(&self, name: &str, patch: &Value) -> Result<(), CallError> {
        self.cluster.send(&Call::merge_patch(path::<Environment>(None, name), patch, None)).await.map(drop)
    }
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

fn path<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> String {
    format!("{}/{}", K::url_path(&(), namespace), escape(name))
}

/// As much of a log as fits into a status beside everything else.
const LOG_LINES: i64 = 5;
const LOG_BYTES: i64 = 1000;
/// A kubelet that does not answer must not hold up the reason that we have already.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the events of cluster-scoped objects are: `kubectl describe` looks for them there.
const EVENT_NAMESPACE: &str = "default";
/// The same event is written again after this long at the earliest.
const EVENT_REPEATS: Duration = Duration::from_secs(300);
/// Characters of an event's note, so that even four-byte ones fit into the API's 1024 bytes.
const NOTE_LIMIT: usize = 250;
/// Enough pods to say why a workload is not healthy.
const POD_LIMIT: u32 = 50;

#[cfg(test)]
mod tests;
