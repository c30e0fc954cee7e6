//! The shared place of regions as a Lease in a cluster that belongs to none of them.
//!
//! The record stands in an annotation. The API server refuses a patch that names an older resourceVersion, and a read without one
//! tells what its store has: both hold with several API servers, too.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};

use crate::object::{MANAGER, chain};
use crate::region::{Answer, Call, PlaceError, RegionRecord, Stored, Version};

/// On the Lease: the record, as JSON.
const RECORD: &str = "fairlead.dev/region-record";

/// One Lease of one cluster.
#[derive(Clone)]
pub struct LeasePlace {
    api: Api<Lease>,
    namespace: Box<str>,
    name: Box<str>,
    within: Duration,
}

impl LeasePlace {
    /// A call may take so long. The client must not ask again by itself: what came of a swap would be another one's answer.
    pub fn new(client: kube::Client, namespace: &str, name: &str, within: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.into(),
            name: name.into(),
            within,
        }
    }

    /// Asks what the fence wants to know. A call is made once.
    pub async fn ask(&self, call: Call) -> Answer {
        let answered = match call {
            Call::Read => self.read().await,
            Call::Swap { from, record } => self.swap(from, &record).await,
        };
        answered.unwrap_or_else(Answer::Failed)
    }

    fn place(&self) -> Box<str> {
        format!("the Lease {}/{} of the cluster with the shared place", self.namespace, self.name).into()
    }

    async fn read(&self) -> Result<Answer, PlaceError> {
        match self.call("get", self.api.get_opt(&self.name)).await? {
            Ok(None) => Ok(Answer::Read(None)),
            Ok(Some(lease)) => Ok(Answer::Read(Some(self.stored(&lease)?))),
            Err(status) => Err(self.refused("get", &status)),
        }
    }

    async fn swap(&self, from: Option<Version>, record: &RegionRecord) -> Result<Answer, PlaceError> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.to_string()),
                annotations: Some(BTreeMap::from([(RECORD.to_owned(), record.to_json())])),
                resource_version: from.as_ref().map(|version| version.as_str().to_owned()),
                ..ObjectMeta::default()
            },
            // For people who look at it with kubectl.
            spec: Some(LeaseSpec {
                holder_identity: Some(record.holder.to_string()),
                lease_transitions: i32::try_from(record.epoch.0).ok(),
                ..LeaseSpec::default()
            }),
        };
        // A patch never makes a Lease anew, as a replace would, whatever version it names.
        let (verb, answered) = match &from {
            Some(_) => {
                let params =
                    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                let patch = Patch::Merge(&lease);
                ("patch", self.call("patch", self.api.patch(&self.name, &params, &patch)).await?)
            }
            None => {
                let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
                ("create", self.call("create", self.api.create(&params, &lease)).await?)
            }
        };
        match answered {
            Ok(lease) => {
                let version =
                    lease.resource_version().ok_or_else(|| self.unreadable("it has no resourceVersion"))?;
                Ok(Answer::Swapped(Version::new(&version)))
            }
            Err(status) if status.code == 409 => Ok(Answer::Conflict),
            // What was read is gone. A namespace that is gone is another matter.
            Err(status) if status.code == 404 && from.is_some() => Ok(Answer::Conflict),
            Err(status) => Err(self.refused(verb, &status)),
        }
    }

    /// What the server said, or why it said nothing.
    async fn call<T>(
        &self,
        verb: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<Result<T, Box<kube::core::Status>>, PlaceError> {
        let unreachable = |why: String| PlaceError::Unreachable { place: self.place(), why: why.into() };
        match tokio::time::timeout(self.within, call).await {
            Ok(Ok(answer)) => Ok(Ok(answer)),
            Ok(Err(kube::Error::Api(status))) if status.code >= 500 || status.code == 429 => {
                Err(unreachable(format!("{verb}: {}", status.message)))
            }
            Ok(Err(kube::Error::Api(status))) => Ok(Err(status)),
            Ok(Err(error)) => Err(unreachable(format!("{verb}: {}", chain(&error)))),
            Err(_) => Err(unreachable(format!("{verb}: no answer within {:?}", self.within))),
        }
    }

    fn stored(&self, lease: &Lease) -> Result<Stored, PlaceError> {
        let text = lease.annotations().get(RECORD);
        let text = text.ok_or_else(|| self.unreadable("it has no annotation fairlead.dev/region-record"))?;
        let version = lease.resource_version().ok_or_else(|| self.unreadable("it has no resourceVersion"))?;
        Ok(Stored { record: RegionRecord::from_json(&self.place(), text)?, version: Version::new(&version) })
    }

    fn unreadable(&self, why: &str) -> PlaceError {
        PlaceError::Unreadable { place: self.place(), why: why.into() }
    }

    fn refused(&self, verb: &str, status: &kube::core::Status) -> PlaceError {
        let place = self.place();
        match status.code {
            401 | 403 => {
                let right =
                    format!("{verb} on leases.coordination.k8s.io in the namespace {}", self.namespace);
                PlaceError::Denied { place, right: right.into() }
            }
            404 => PlaceError::Missing { place },
            code => PlaceError::Other {
                place,
                why: format!("{verb} is refused with {code}: {}", status.message).into(),
            },
        }
    }
}
