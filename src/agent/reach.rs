//! Which git remotes may be reached: what the agent was told, and the cluster's own addresses, where none is.

use crate::cluster::{Cluster, chain, service_networks};
use crate::config::{self, GitConfig};
use crate::git::Reach;

/// Asks once which networks are the cluster's. A server that does not say still has its own address, which pods are told.
pub(super) async fn reach(config: &GitConfig, cluster: &Cluster) -> Reach {
    let mut own = config.cluster.clone();
    own.extend(config::api_service().map(ipnet::IpNet::from));
    match service_networks(cluster).await {
        Ok(networks) => own.extend(networks),
        Err(error) => tracing::info!(
            error = %chain(&error),
            "the networks of Services are not known; --cluster-network names them, so that no git remote is reached there"
        ),
    }
    Reach {
        hosts: config.hosts.clone(),
        addresses: config.addresses.clone(),
        cluster: own,
        folders: config.folders,
    }
}
