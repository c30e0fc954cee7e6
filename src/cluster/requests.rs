//! The Requests of the cluster: made for people, watched, answered, and removed.

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher;
use serde::Deserialize;
use serde_json::json;

use super::call::{Call, CallError, Cluster, JSON};
use super::delete::{Delete, Propagation};
use super::discovery::escape;
use super::watching;
use crate::api::{PersonSpec, Request, RequestSpec, RequestStatus};
use crate::object::chain;

/// A change of what people ask for.
#[derive(Debug)]
pub enum RequestEvent {
    /// Everything there is; what is not in it is gone.
    All(Vec<Request>),
    Changed(Box<Request>),
    Gone(Box<Request>),
    Failed(String),
}

#[derive(Clone)]
pub struct Requests {
    cluster: Cluster,
}

impl Requests {
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone() }
    }

    /// Makes a Request, and answers it as the server has it.
    pub async fn create(&self, name: &str, spec: &RequestSpec) -> Result<Request, CallError> {
        self.create_as(name, spec, None).await
    }

    /// The same as a person: whether they may is for the server to say.
    pub async fn create_as(
        &self,
        name: &str,
        spec: &RequestSpec,
        person: Option<&PersonSpec>,
    ) -> Result<Request, CallError> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let request = Request { metadata, spec: spec.clone(), status: None };
        let body = serde_json::to_vec(&request).map_err(CallError::Unreadable)?;
        let call = Call::create(Request::url_path(&(), None), body.into(), None).accept(JSON).by(person);
        match self.cluster.send(&call).await {
            Ok(reply) => reply.read(),
            // A try before was done after all, and its answer was lost: nobody else makes up this name.
            Err(error) if error.is_already_there() => match self.get(name).await? {
                Some(there) if there.spec == *spec => Ok(there),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Whether the server would let a person make a Request; nothing is made.
    pub async fn would_create(
        &self,
        name: &str,
        spec: &RequestSpec,
        person: &PersonSpec,
    ) -> Result<(), CallError> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let request = Request { metadata, spec: spec.clone(), status: None };
        let body = serde_json::to_vec(&request).map_err(CallError::Unreadable)?;
        let path = format!("{}?dryRun=All", Request::url_path(&(), None));
        let call = Call::create(path, body.into(), None).by(Some(person));
        self.cluster.send(&call).await.map(drop)
    }

    pub async fn get(&self, name: &str) -> Result<Option<Request>, CallError> {
        match self.cluster.send(&Call::get(path(name))).await {
            Ok(reply) => reply.read().map(Some),
            Err(error) if error.is_not_found() && !error.is_unserved() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn list(&self) -> Result<Vec<Request>, CallError> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Request>,
        }
        let reply = self.cluster.send(&Call::get(Request::url_path(&(), None))).await?;
        Ok(reply.read::<List>()?.items)
    }

    /// Every change from now on, beginning with all there is. Failures are told and tried again.
    pub fn watch(&self) -> impl Stream<Item = RequestEvent> + use<> {
        let mut listing = Vec::new();
        let api = Api::<Request>::all(self.cluster.client().clone());
        watching::watch(api, watcher::Config::default()).filter_map(move |event| {
            let told = match event {
                Ok(watcher::Event::Init) => {
                    listing = Vec::new();
                    None
                }
                Ok(watcher::Event::InitApply(request)) => {
                    listing.push(request);
                    None
                }
                Ok(watcher::Event::InitDone) => Some(RequestEvent::All(std::mem::take(&mut listing))),
                Ok(watcher::Event::Apply(request)) => Some(RequestEvent::Changed(Box::new(request))),
                Ok(watcher::Event::Delete(request)) => Some(RequestEvent::Gone(Box::new(request))),
                Err(error) => Some(RequestEvent::Failed(chain(&error))),
            };
            std::future::ready(told)
        })
    }

    /// Says what came of a Request: of this one, and no other that may come to bear its name.
    pub async fn write_status(&self, name: &str, uid: &str, status: &RequestStatus) -> Result<(), CallError> {
        let patch = json!({"metadata": {"uid": uid}, "status": status});
        let path = format!("{}/status?fieldManager={}", path(name), crate::object::MANAGER);
        self.cluster.send(&Call::merge_patch(path, &patch, None)).await.map(drop)
    }

    pub async fn remove(&self, name: &str, uid: &str) -> Result<(), CallError> {
        let delete = Delete { uid, version: None, propagation: Propagation::Background, dry_run: false };
        match self.cluster.send(&delete.call(&path(name), None)).await {
            Ok(_) => Ok(()),
            // It is gone, or another bears its name.
            Err(error) if matches!(error.status().map(|s| s.as_u16()), Some(404 | 409)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn path(name: &str) -> String {
    format!("{}/{}", Request::url_path(&(), None), escape(name))
}
