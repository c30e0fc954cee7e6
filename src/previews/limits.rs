//! What a preview may be made of, whatever its pull request says. What is let is let by name; and of what is let, what could
//! reach beyond the preview is not: another one's host, a Service that leads elsewhere, a priority over others.

use super::names::host_parts;
use crate::api::{PolicyMatch, PolicySpec};

/// No kind is among them that is of no namespace, grants a right, bounds a namespace or holds a secret.
const KINDS: [&str; 10] = [
    "ConfigMap",
    "Service",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "Deployment.apps",
    "StatefulSet.apps",
    "Job.batch",
    "CronJob.batch",
    "HorizontalPodAutoscaler.autoscaling",
    "PodDisruptionBudget.policy",
];
/// Where the base branch says under which hosts.
const ROUTES: [&str; 2] = ["Ingress.networking.k8s.io", "HTTPRoute.gateway.networking.k8s.io"];

/// The kinds that a preview may have.
pub fn kinds(host: Option<&str>) -> Vec<String> {
    let routes = if host.is_some() { &ROUTES[..] } else { &[] };
    KINDS.iter().chain(routes).map(|kind| (*kind).to_owned()).collect()
}

/// What must hold of its objects, beside what the platform asks of those of its environment.
pub fn policies(host: Option<&str>, number: u64) -> Vec<PolicySpec> {
    let policy = |name: &str, kinds: &[&str], expression: String, message: &str| PolicySpec {
        name: format!("preview-{name}"),
        expression: Some(expression),
        message: Some(message.to_owned()),
        severity: crate::api::Severity::Deny,
        matches: Some(PolicyMatch { kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect() }),
    };
    let mut all = vec![
        PolicySpec {
            name: "restricted-pods".to_owned(),
            expression: None,
            message: None,
            severity: crate::api::Severity::Deny,
            matches: None,
        },
        policy(
            "services",
            &["Service"],
            "(!has(spec.type) || spec.type == 'ClusterIP') && !has(spec.externalIPs)".to_owned(),
            "a Service of a preview leads to pods of the preview",
        ),
        policy(
            "priorities",
            &["Deployment.apps", "StatefulSet.apps", "Job.batch"],
            "!has(spec.template.spec.priorityClassName)".to_owned(),
            "a preview comes before nobody",
        ),
        policy(
            "job-priorities",
            &["CronJob.batch"],
            "!has(spec.jobTemplate.spec.template.spec.priorityClassName)".to_owned(),
            "a preview comes before nobody",
        ),
    ];
    if let Some((begin, end)) = host.and_then(|pattern| host_parts(pattern, number).ok()) {
        // Both were checked to be of letters, digits, '-' and '.' alone.
        let is_its = |host: &str| {
            format!(
                "{host}.startsWith('{begin}') && {host}.endsWith('{end}') && size({host}) > {}",
                begin.len() + end.len()
            )
        };
        all.push(policy(
            "hosts",
            &ROUTES[..1],
            format!(
                "!has(spec.defaultBackend) && spec.rules.all(rule, {}) && \
                 (!has(metadata.annotations) || metadata.annotations.all(name, !name.contains('snippet')))",
                is_its("rule.host")
            ),
            "an Ingress of a preview is of hosts of the preview, and configures nothing else of its controller",
        ));
        all.push(policy(
            "routes",
            &ROUTES[1..],
            format!("size(spec.hostnames) > 0 && spec.hostnames.all(host, {})", is_its("host")),
            "an HTTPRoute of a preview is of hosts of the preview",
        ));
    }
    all
}
