//! What a preview may be made of, whatever its pull request says. What is let is let by name; and of what is let, what could
//! reach beyond the preview is not: another one's host, a Service that leads elsewhere, a volume that is somebody's already,
//! a priority over others.
//!
//! Annotations are let by name as well. Controllers of a cluster take orders by them, each its own: a name in DNS
//! (external-dns), a certificate for another's name (cert-manager), another one's host on an ingress (nginx's
//! `server-alias`), a network beside the policies (Multus), a role of the cloud (kube2iam). Nobody can list them all.

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
/// Annotations that order nothing of a controller of the cluster, by how they begin; and all that have no domain.
const ANNOTATIONS: [&str; 14] = [
    "fairlead.dev/",
    "app.kubernetes.io/",
    "config.kubernetes.io/",
    "internal.config.kubernetes.io/",
    "kubectl.kubernetes.io/",
    "checksum/",
    "helm.sh/",
    "meta.helm.sh/",
    "prometheus.io/",
    "kubernetes.io/ingress.class",
    "nginx.ingress.kubernetes.io/rewrite-target",
    "nginx.ingress.kubernetes.io/ssl-redirect",
    "nginx.ingress.kubernetes.io/proxy-body-size",
    "nginx.ingress.kubernetes.io/proxy-read-timeout",
];
/// In seconds: a program that needs longer to end is no preview.
const GRACE: u32 = 600;
/// Where the base branch says under which hosts.
const ROUTES: [&str; 2] = ["Ingress.networking.k8s.io", "HTTPRoute.gateway.networking.k8s.io"];

/// The kinds that a preview may have.
pub fn kinds(host: Option<&str>) -> Vec<String> {
    let routes = if host.is_some() { &ROUTES[..] } else { &[] };
    KINDS.iter().chain(routes).map(|kind| (*kind).to_owned()).collect()
}

/// What must hold of its objects, beside what the platform asks of those of its environment. `annotations` are those that
/// the platform lets beside ours: whole names, or beginnings that end in `/`.
pub fn policies(host: Option<&str>, number: u64, annotations: &[String]) -> Vec<PolicySpec> {
    let policy = |name: &str, kinds: &[&str], expression: String, message: &str| PolicySpec {
        name: format!("preview-{name}"),
        expression: Some(expression),
        message: Some(message.to_owned()),
        severity: crate::api::Severity::Deny,
        matches: (!kinds.is_empty())
            .then(|| PolicyMatch { kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect() }),
    };
    let noted = |metadata: &str| are_let(metadata, annotations);
    let message =
        "a preview has annotations that order nothing of a controller, and those that the platform lets";
    let claim = |spec: &str| {
        format!(
            "!has({spec}.volumeName) && !has({spec}.selector) && \
             !(has({spec}.storageClassName) && {spec}.storageClassName == '')"
        )
    };
    let taken = "a claim of a preview is for a new volume";
    let mut all = vec![
        PolicySpec {
            name: "restricted-pods".to_owned(),
            expression: None,
            message: None,
            severity: crate::api::Severity::Deny,
            matches: None,
        },
        policy("annotations", &[], noted("metadata"), message),
        policy(
            "pod-annotations",
            &["Deployment.apps", "StatefulSet.apps", "Job.batch"],
            format!("!has(spec.template.metadata) || ({})", noted("spec.template.metadata")),
            message,
        ),
        policy(
            "job-annotations",
            &["CronJob.batch"],
            format!("!has(spec.jobTemplate.metadata) || ({})", noted("spec.jobTemplate.metadata")),
            message,
        ),
        policy(
            "job-pod-annotations",
            &["CronJob.batch"],
            format!(
                "!has(spec.jobTemplate.spec.template.metadata) || ({})",
                noted("spec.jobTemplate.spec.template.metadata")
            ),
            message,
        ),
        // A namespace is gone when all in it is: what never goes would keep a place for ever.
        policy("finalizers", &[], unfinalized("metadata"), "nothing of a preview has a finalizer"),
        policy(
            "pods-end",
            &["Deployment.apps", "StatefulSet.apps", "Job.batch"],
            ends("spec.template"),
            "pods of a preview end within ten minutes and have no finalizer",
        ),
        policy(
            "job-pods-end",
            &["CronJob.batch"],
            format!(
                "(!has(spec.jobTemplate.metadata) || {}) && {}",
                unfinalized("spec.jobTemplate.metadata"),
                ends("spec.jobTemplate.spec.template")
            ),
            "pods of a preview end within ten minutes and have no finalizer",
        ),
        // Those of folders are left out anyway.
        policy(
            "budgets",
            &["PodDisruptionBudget.policy"],
            "has(spec.maxUnavailable) && !(string(spec.maxUnavailable) in ['0', '0%'])".to_owned(),
            "a preview holds no node up: its budgets say maxUnavailable, and more than 0",
        ),
        policy("claims", &["PersistentVolumeClaim"], claim("spec"), taken),
        policy(
            "claim-templates",
            &["StatefulSet.apps"],
            format!(
                "!has(spec.volumeClaimTemplates) || spec.volumeClaimTemplates.all(one, {})",
                claim("one.spec")
            ),
            taken,
        ),
        policy(
            "own-claims",
            &["Deployment.apps", "StatefulSet.apps", "Job.batch"],
            own_claims("spec.template.spec", claim),
            taken,
        ),
        policy(
            "job-claims",
            &["CronJob.batch"],
            own_claims("spec.jobTemplate.spec.template.spec", claim),
            taken,
        ),
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
                 (!has(spec.tls) || spec.tls.all(one, !has(one.hosts) || one.hosts.all(host, {})))",
                is_its("rule.host"),
                is_its("host")
            ),
            "an Ingress of a preview is of hosts of the preview, and so are its certificates",
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

/// Whether all annotations of some metadata are let, as CEL says it.
fn are_let(metadata: &str, more: &[String]) -> String {
    // What is no annotation's name could end the text that it stands in.
    let is_plain =
        |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./-_".contains(&byte));
    let names = ANNOTATIONS.into_iter().chain(more.iter().map(String::as_str).filter(is_plain));
    let (begin, whole): (Vec<&str>, Vec<&str>) = names.partition(|name| name.ends_with('/'));
    let list = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
    format!(
        "!has({metadata}.annotations) || {metadata}.annotations.all(name, !name.contains('/') || name in [{}] || \
         [{}].exists(begin, name.startsWith(begin)))",
        list(&whole),
        list(&begin)
    )
}

fn unfinalized(metadata: &str) -> String {
    format!("(!has({metadata}.finalizers) || size({metadata}.finalizers) == 0)")
}

/// That pods of a template come to their end.
fn ends(template: &str) -> String {
    let grace = format!("{template}.spec.terminationGracePeriodSeconds");
    format!(
        "(!has({template}.metadata) || {}) && (!has({grace}) || {grace} <= {GRACE})",
        unfinalized(&format!("{template}.metadata"))
    )
}

/// That the claims within volumes of pods are for new volumes, too.
fn own_claims(pod: &str, claim: impl Fn(&str) -> String) -> String {
    format!(
        "!has({pod}.volumes) || {pod}.volumes.all(one, !has(one.ephemeral) || !has(one.ephemeral.volumeClaimTemplate) || \
         ({}))",
        claim("one.ephemeral.volumeClaimTemplate.spec")
    )
}
