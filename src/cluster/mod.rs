//! The Kubernetes API: asks, watches, applies. Decides nothing.
//!
//! Every call has a deadline and our own retries (`call`). Writes and dry runs are made as an environment's service
//! account; reads as the agent's own. Only steps of a `CheckedPlan` are applied (`apply`), and only objects of a
//! `CheckedPrune` deleted (`prune`). What is live is kept in an index that few label-selected watches feed (`index`), so
//! that nothing is asked twice. A replica whose heartbeat (`lease`) is not confirmed writes nothing (`fence`). What
//! environments remember is kept in Secrets (`state_secrets`).

mod adopt;
mod apply;
mod autoscalers;
mod body;
mod call;
mod census;
mod delete;
mod discovery;
mod drift_reports;
mod dry_run;
mod environments;
#[cfg(test)]
mod fake;
mod fence;
mod filling;
mod heard;
mod hooks;
mod index;
mod judging;
mod lease;
mod networks;
mod pages;
mod previews;
mod prove;
mod prune;
mod refusal;
mod replace;
mod requests;
mod shared_place;
mod sharing;
mod slots;
mod state_secrets;
mod watching;
mod writers;

pub use apply::apply_wave;
pub use call::{Call, CallError, Cluster, ConnectError, ConnectOptions, METADATA, Reply, chain};
pub use discovery::Session;
pub use drift_reports::{DriftReports, StoredReport};
pub use dry_run::{Detail, Proven, Terms};
pub use environments::{EnvironmentEvent, Environments};
pub use fence::{Fence, Fenced, uptime};
pub use filling::{Filling, SecretValues};
pub use hooks::{delete_job, end_job, job_uid, make_hook, prove_hook, start_ttl};
pub use index::{Index, IndexError, Listed, Touched, Watched, Watches};
pub use lease::{Beat, LeaseEvent, Leases};
pub use networks::service_networks;
pub use pages::{PageContent, PageVersion, Pages};
pub use previews::{FoundNamespace, Previews};
pub use prove::{AT_ONCE, prove, prove_one};
pub use prune::{ask_prune, finalizers, prune_wave};
pub use requests::{RequestEvent, Requests};
pub use shared_place::LeasePlace;
pub use state_secrets::{DocumentVersion, KnownDocument, StateSecrets, StateSecretsError, StoredDocument};
pub use writers::stop_writers;
