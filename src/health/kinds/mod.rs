//! The kinds that Kubernetes itself brings (and the Gateway API, and Argo's Rollout, whose status is too rich for a
//! rule): one file each, and the table that leads there.
//!
//! Where the conventions of the field contradict each other, a rule here answers what a rollout gate asks: "may the
//! next wave start?" A paused workload has not rolled out; a running Job has not done its work; a load balancer
//! without an address serves nobody; a disruption budget that allows nothing at this moment is still in force.

mod apiservice;
mod argo_rollout;
mod cronjob;
mod customresourcedefinition;
mod daemonset;
mod deployment;
mod flowcontrol;
mod gateway;
mod horizontalpodautoscaler;
mod ingress;
mod job;
mod namespace;
mod networkpolicy;
mod node;
mod persistentvolume;
mod persistentvolumeclaim;
mod pod;
mod poddisruptionbudget;
mod replicaset;
mod service;
mod statefulset;

use serde_json::Value;

use super::Health;

/// How a built-in kind is judged, or `None` where it has no notion of health of its own.
pub(super) fn judge(group: &str, kind: &str) -> Option<fn(&Value) -> Health> {
    Some(match (group, kind) {
        ("apps" | "extensions", "Deployment") => deployment::judge,
        ("apps" | "extensions", "ReplicaSet") | ("", "ReplicationController") => replicaset::judge,
        ("apps", "StatefulSet") => statefulset::judge,
        ("apps" | "extensions", "DaemonSet") => daemonset::judge,
        ("batch", "Job") => job::judge,
        ("batch", "CronJob") => cronjob::judge,
        ("", "Pod") => pod::judge,
        ("", "PersistentVolumeClaim") => persistentvolumeclaim::judge,
        ("", "PersistentVolume") => persistentvolume::judge,
        ("", "Service") => service::judge,
        ("", "Namespace") => namespace::judge,
        ("", "Node") => node::judge,
        ("networking.k8s.io" | "extensions", "Ingress") => ingress::judge,
        ("networking.k8s.io" | "extensions", "NetworkPolicy") => networkpolicy::judge,
        ("autoscaling", "HorizontalPodAutoscaler") => horizontalpodautoscaler::judge,
        ("policy", "PodDisruptionBudget") => poddisruptionbudget::judge,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => customresourcedefinition::judge,
        ("apiregistration.k8s.io", "APIService") => apiservice::judge,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration") => flowcontrol::judge,
        ("gateway.networking.k8s.io", kind) => return gateway::judge(kind),
        ("argoproj.io", "Rollout") => argo_rollout::judge,
        _ => return None,
    })
}

pub(super) use gateway::judge_other as judge_by_parties;

/// The groups that the API server itself serves. Their kinds without a rule above are data: being there is all.
pub(super) fn is_built_in(group: &str) -> bool {
    const OTHERS: [&str; 15] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
    ];
    matches!(
        group,
        "" | "apps"
            | "batch"
            | "autoscaling"
            | "policy"
            | "extensions"
            | "storage.k8s.io"
            | "resource.k8s.io"
    ) || OTHERS.contains(&group)
}
