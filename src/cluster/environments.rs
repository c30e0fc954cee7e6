//! The Environments of the cluster: watched, and answered with status and events.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::Cluster;
use super::watching;
use crate::api::{Environment, EnvironmentStatus, names};
use crate::object::{MANAGER, ObjectKey};

/// A change of what the platform says.
#[derive(Debug)]
pub enum EnvironmentEvent {
    /// Everything there is; what is not in it is gone.
    All(Vec<Environment>),
    Changed(Box<Environment>),
    Gone(String),
    Failed(String),
}

#[derive(Clone)]
pub struct Environments {
    api: Api<Environment>,
    client: kube::Client,
    instance: Arc<str>,
    said: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Environments {
    pub fn new(cluster: &Cluster, instance: &str) -> Self {
        let client = cluster.client().clone();
        Self { api: Api::all(client.clone()), client, instance: instance.into(), said: Arc::default() }
    }

    pub async fn get(&self, name: &str) -> Result<Option<Environment>, kube::Error> {
        self.api.get_opt(name).await
    }

    pub async fn list(&self) -> Result<Vec<Environment>, kube::Error> {
        Ok(self.api.list(&ListParams::default()).await?.items)
    }

    /// Every change from now on, beginning with all there is. Failures are told and tried again.
    pub fn watch(&self) -> impl Stream<Item = EnvironmentEvent> + use<> {
        let mut listing = Vec::new();
        watching::watch(self.api.clone(), watcher::Config::default()).filter_map(move |event| {
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
                Err(error) => Some(EnvironmentEvent::Failed(super::call::chain(&error))),
            };
            std::future::ready(told)
        })
    }

    pub async fn write_status(&self, name: &str, status: &EnvironmentStatus) -> Result<(), kube::Error> {
        let patch = json!({
            "apiVersion": Environment::api_version(&()), "kind": Environment::kind(&()), "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        self.api.patch_status(name, &params, &Patch::Apply(&patch)).await.map(drop)
    }

    /// Writes our own labels and annotations of an Environment, and no others. Of this one and no other that may come to
    /// bear its name: where it is gone, nothing is made.
    pub async fn mark(
        &self,
        environment: &Environment,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), kube::Error> {
        let patch = json!({
            "apiVersion": Environment::api_version(&()), "kind": Environment::kind(&()),
            "metadata": {"uid": environment.uid(), "labels": labels, "annotations": annotations},
        });
        let params = PatchParams::apply(MANAGER).force();
        self.api.patch_metadata(&environment.name_any(), &params, &Patch::Apply(&patch)).await.map(drop)
    }

    /// Puts our finalizer on an Environment, or takes it off; the others stay. Bound to the version that was looked at.
    pub async fn finalize(&self, environment: &Environment, hold: bool) -> Result<(), kube::Error> {
        let mut all: Vec<&str> = environment.finalizers().iter().map(String::as_str).collect();
        all.retain(|name| *name != names::FINALIZER);
        if hold {
            all.push(names::FINALIZER);
        }
        let version = environment.resource_version();
        let patch =
            json!({"metadata": {"uid": environment.uid(), "resourceVersion": version, "finalizers": all}});
        self.api
            .patch_metadata(&environment.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map(drop)
    }

    /// Leaves a word on an Environment that its owner reads.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) -> Result<(), kube::Error> {
        let patch = json!({"metadata": {"annotations": {annotation: value}}});
        self.api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
    }

    /// Who we are to this cluster.
    pub async fn whoami(&self) -> Result<Option<String>, kube::Error> {
        let review = SelfSubjectReview::default();
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        Ok(answer.status.and_then(|status| status.user_info).and_then(|user| user.username))
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
        let api = Api::<Event>::namespaced(self.client.clone(), EVENT_NAMESPACE);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::warn!(error = %super::call::chain(&error), reason, "writing an event failed");
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
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, kube::Error> {
        Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(name).await
    }

    /// The pods that a selector finds: asked for only when a gate wants to say why it waits.
    pub async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Value>, kube::Error> {
        let params = ListParams::default().labels(selector).limit(POD_LIMIT);
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace).list(&params).await?;
        Ok(pods.items.iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect())
    }

    /// A workload as it is, with what its controller says of it.
    pub async fn workload(&self, key: &ObjectKey) -> Result<Option<Value>, kube::Error> {
        match (&*key.group, &*key.kind) {
            ("apps", "Deployment") => self.one::<Deployment>(key).await,
            ("apps", "StatefulSet") => self.one::<StatefulSet>(key).await,
            ("apps", "DaemonSet") => self.one::<DaemonSet>(key).await,
            ("apps", "ReplicaSet") => self.one::<ReplicaSet>(key).await,
            ("batch", "Job") => self.one::<Job>(key).await,
            _ => Ok(None),
        }
    }

    async fn one<K>(&self, key: &ObjectKey) -> Result<Option<Value>, kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let found = Api::<K>::namespaced(self.client.clone(), namespace).get_opt(&key.name).await?;
        Ok(found.and_then(|found| serde_json::to_value(found).ok()))
    }

    /// The ReplicaSets that a selector finds: they tell which pods are of the newest template.
    pub async fn replica_sets(&self, namespace: &str, selector: &str) -> Result<Vec<Value>, kube::Error> {
        let params = ListParams::default().labels(selector).match_any();
        let sets = Api::<ReplicaSet>::namespaced(self.client.clone(), namespace).list(&params).await?;
        Ok(sets.items.iter().filter_map(|set| serde_json::to_value(set).ok()).collect())
    }

    /// The last lines of the container that ran before, or of this one where none did.
    pub async fn log_tail(&self, namespace: &str, pod: &str, container: &str) -> Option<String> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        for previous in [true, false] {
            let params = LogParams {
                container: Some(container.to_owned()),
                previous,
                tail_lines: Some(LOG_LINES),
                limit_bytes: Some(LOG_BYTES),
                ..LogParams::default()
            };
            let asked = tokio::time::timeout(LOG_TIMEOUT, pods.logs(pod, &params)).await;
            if let Ok(Ok(text)) = asked
                && !text.trim().is_empty()
            {
                return Some(text.trim().lines().collect::<Vec<_>>().join(" | "));
            }
        }
        None
    }
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
