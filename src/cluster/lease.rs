//! Heartbeats and the record of who has which environment, as Leases in the agent's own namespace.
//!
//! They are written with the agent's own identity and past the fence, which they raise. One watch shows all of them, in
//! the order in which they changed: the decisions of [`crate::ownership`] rest on that.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use serde_json::json;

use super::call::Cluster;
use super::watching;
use crate::api::names;
use crate::object::{MANAGER, chain};
use crate::ownership::{
    Claim, Epoch, OwnershipRecord, ReplicaId, SeenLease, Share, Timing, Version, Written,
};

/// The one Lease that says who has which environment.
const RECORD: &str = "fairlead-environments";
const HEARTBEAT: &str = "heartbeat";
const ENVIRONMENTS: &str = "environments";
/// So much of the instance's name goes into the Lease's.
const INSTANCE_CHARS: usize = 40;

#[derive(Clone)]
pub struct Leases {
    api: Api<Lease>,
    namespace: String,
    timing: Timing,
}

#[derive(Debug)]
pub enum LeaseEvent {
    /// Everything there is; what is not in it is gone.
    All(Vec<SeenLease>),
    Changed(SeenLease),
    Gone(ReplicaId),
    RecordGone,
    Failed(String),
}

/// What came of a heartbeat.
#[derive(Debug)]
pub enum Beat {
    Confirmed,
    /// The Lease is gone: somebody took us for dead, and others have our environments.
    Lost,
    /// Nobody knows; the next one may be confirmed.
    Failed(String),
}

impl Leases {
    pub fn new(cluster: &Cluster, namespace: &str, timing: Timing) -> Self {
        let api = Api::namespaced(cluster.unfenced().clone(), namespace);
        Self { api, namespace: namespace.to_owned(), timing }
    }

    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// A name for a heartbeat that no other run of any replica has had.
    pub fn new_id(instance: &str) -> ReplicaId {
        let plain =
            instance.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        let plain: String = plain.take(INSTANCE_CHARS).collect();
        ReplicaId::new(format!("fairlead-{}-{:08x}", plain.trim_matches('-'), fastrand::u32(..)))
    }

    /// Every change from now on, beginning with all there is. Failures are told and tried again.
    pub fn watch(&self) -> impl Stream<Item = LeaseEvent> + Send + use<> {
        let mut listing = Vec::new();
        let config = watcher::Config::default().labels(names::LEASE_LABEL);
        watching::watch(self.api.clone(), config).filter_map(move |event| {
            let told = match event {
                Ok(watcher::Event::Init) => {
                    listing = Vec::new();
                    None
                }
                Ok(watcher::Event::InitApply(lease)) => {
                    listing.extend(read(&lease));
                    None
                }
                Ok(watcher::Event::InitDone) => Some(LeaseEvent::All(std::mem::take(&mut listing))),
                Ok(watcher::Event::Apply(lease)) => read(&lease).map(LeaseEvent::Changed),
                Ok(watcher::Event::Delete(lease)) => Some(match lease.name_any() {
                    name if name == RECORD => LeaseEvent::RecordGone,
                    name => LeaseEvent::Gone(ReplicaId::new(name)),
                }),
                Err(error) => Some(LeaseEvent::Failed(chain(&error))),
            };
            std::future::ready(told)
        })
    }

    /// The first heartbeat.
    pub async fn join(&self, id: &ReplicaId, scope: &Share) -> Beat {
        let only = match scope {
            Share::All => None,
            Share::Only(names) => Some(names.iter().cloned().collect::<Vec<_>>().join(",")),
        };
        let lease = Lease {
            metadata: ObjectMeta {
                annotations: only.map(|only| BTreeMap::from([(names::ONLY_ANNOTATION.to_owned(), only)])),
                ..metadata(id.as_str(), HEARTBEAT)
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(id.to_string()),
                lease_duration_seconds: i32::try_from(self.timing.takeover.as_secs()).ok(),
                acquire_time: Some(MicroTime(jiff::Timestamp::now())),
                renew_time: Some(MicroTime(jiff::Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        match self.within(self.api.create(&params(), &lease)).await {
            Ok(_) => Beat::Confirmed,
            // Our first try was done after all, and its answer was lost. When that was, nobody knows.
            Err(Failure::Refused(409, _)) => self.renew(id).await,
            Err(Failure::Refused(404, _)) => {
                Beat::Failed(format!("there is no namespace {}", self.namespace))
            }
            Err(error) => Beat::Failed(error.to_string()),
        }
    }

    /// A further heartbeat. The Lease's name is ours alone and never used again, so that it exists is all the condition
    /// there is: who takes over deletes it. A patch never makes it anew, as a replace would.
    pub async fn renew(&self, id: &ReplicaId) -> Beat {
        let patch = json!({"spec": {"renewTime": MicroTime(jiff::Timestamp::now())}});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match self.within(self.api.patch_metadata(id.as_str(), &params, &Patch::Merge(&patch))).await {
            Ok(_) => Beat::Confirmed,
            Err(Failure::Refused(404, _)) => Beat::Lost,
            Err(error) => Beat::Failed(error.to_string()),
        }
    }

    /// Ends a heartbeat on purpose: whoever is left takes over at once.
    pub async fn release(&self, id: &ReplicaId) -> Result<(), String> {
        match self.within(self.api.delete(id.as_str(), &DeleteParams::default())).await {
            Ok(_) | Err(Failure::Refused(404, _)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Ends the heartbeat of a replica that is dead, unless it moved meanwhile. Says whether it did end.
    pub async fn bury(&self, id: &ReplicaId, version: &Version) -> Result<bool, String> {
        let unmoved = Preconditions { resource_version: Some(version.as_str().to_owned()), uid: None };
        match self.within(self.api.delete(id.as_str(), &DeleteParams::default().preconditions(unmoved))).await
        {
            Ok(_) => Ok(true),
            Err(Failure::Refused(404 | 409, _)) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Puts a record in the place of the version that we saw.
    pub async fn write(&self, record: &OwnershipRecord, base: Option<&Version>) -> Written {
        let claims = record.claims.iter().map(|(environment, claim)| {
            let annotation = format!("{}{environment}", names::OWNER_ANNOTATIONS);
            (annotation, format!("{} {}", claim.owner, claim.epoch))
        });
        let lease = Lease {
            metadata: ObjectMeta {
                annotations: Some(claims.collect()),
                resource_version: base.map(|version| version.as_str().to_owned()),
                ..metadata(RECORD, ENVIRONMENTS)
            },
            spec: Some(LeaseSpec {
                lease_transitions: i32::try_from(record.epoch.0).ok(),
                renew_time: Some(MicroTime(jiff::Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        let answer = match base {
            Some(_) => self.within(self.api.replace(RECORD, &params(), &lease)).await,
            None => self.within(self.api.create(&params(), &lease)).await,
        };
        match answer {
            Ok(lease) => match read(&lease) {
                Some(SeenLease::Record { record, version }) => Written::Done { record, version },
                _ => Written::Unknown,
            },
            Err(Failure::Refused(404 | 409, _)) => Written::Conflict,
            Err(Failure::Refused(status, message)) if (400..500).contains(&status) => {
                tracing::warn!(error = %message, "writing who has which environment was refused");
                Written::Refused
            }
            Err(error) => {
                tracing::warn!(%error, "writing who has which environment failed");
                Written::Unknown
            }
        }
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timing.attempt, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(Failure::Refused(status.code, status.message.clone())),
            Ok(Err(error)) => Err(Failure::Unreachable(error)),
            Err(_) => Err(Failure::TimedOut(self.timing.attempt)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{1}")]
    Refused(u16, String),
    #[error("{}", chain(.0))]
    Unreachable(kube::Error),
    #[error("the API server did not answer within {0:?}")]
    TimedOut(Duration),
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

fn metadata(name: &str, kind: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([(names::LEASE_LABEL.to_owned(), kind.to_owned())])),
        ..ObjectMeta::default()
    }
}

fn read(lease: &Lease) -> Option<SeenLease> {
    let version = Version::new(lease.metadata.resource_version.as_deref()?);
    match lease.labels().get(names::LEASE_LABEL)?.as_str() {
        HEARTBEAT => {
            let only = lease.annotations().get(names::ONLY_ANNOTATION);
            let scope =
                only.map_or(Share::All, |only| Share::Only(only.split(',').map(str::to_owned).collect()));
            Some(SeenLease::Heartbeat { id: ReplicaId::new(lease.name_any()), version, scope })
        }
        ENVIRONMENTS if lease.name_any() == RECORD => {
            let claims = lease.annotations().iter().filter_map(|(annotation, value)| {
                let environment = annotation.strip_prefix(names::OWNER_ANNOTATIONS)?;
                let (owner, epoch) = value.split_once(' ')?;
                let claim = Claim { owner: ReplicaId::new(owner), epoch: Epoch(epoch.parse().ok()?) };
                Some((environment.to_owned(), claim))
            });
            let epoch = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
            let record = OwnershipRecord {
                epoch: Epoch(u64::try_from(epoch).unwrap_or_default()),
                claims: claims.collect(),
            };
            Some(SeenLease::Record { record, version })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_a_name_of_its_own_that_kubernetes_takes() {
        let (one, two) = (Leases::new_id("Node_7.example"), Leases::new_id("Node_7.example"));
        assert_ne!(one, two);
        assert!(one.as_str().starts_with("fairlead-node-7-example-"), "{one}");
    }

    #[test]
    fn a_lease_that_says_nothing_is_not_taken_for_one_that_does() {
        let mut lease = Lease { metadata: metadata("x", "something"), ..Lease::default() };
        assert_eq!(read(&lease), None);
        lease.metadata = metadata("x", HEARTBEAT);
        assert_eq!(read(&lease), None, "without a version it was never stored");
        lease.metadata.resource_version = Some("7".to_owned());
        assert!(matches!(read(&lease), Some(SeenLease::Heartbeat { scope: Share::All, .. })));
    }
}
