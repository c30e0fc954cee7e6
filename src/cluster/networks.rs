//! The networks that the cluster gives its Services addresses from, as the API server names them (Kubernetes 1.33 and newer).

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::core::ObjectList;

use super::call::{Call, CallError, Cluster};

/// Asks for the networks of Services. What is no network is left out.
pub async fn service_networks(cluster: &Cluster) -> Result<Vec<IpNet>, CallError> {
    let call = Call::get("/apis/networking.k8s.io/v1/servicecidrs");
    let list: ObjectList<ServiceCIDR> = cluster.send(&call).await?.read()?;
    let named = list.items.into_iter().filter_map(|item| item.spec?.cidrs).flatten();
    Ok(named.filter_map(|network| network.parse().ok()).collect())
}
