//! The level `restricted`: what is left to a pod that is hardened by today's practice.

use serde_json::Value;

use super::{Violation, has_own_users, holders, is_windows, said};
use crate::policy::workload::{Pod, containers, name_of};

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn check(pod: &Pod, found: &mut Vec<Violation>) {
    volumes(pod, found);
    users(pod, found);
    if !is_windows(pod) {
        // A pod of Windows that sets any of these is refused by the server.
        seccomp(pod, found);
        for (at, container) in containers(pod) {
            escalation(&at, container, found);
            capabilities(&at, container, found);
        }
    }
}

fn volumes(pod: &Pod, found: &mut Vec<Violation>) {
    let all = pod.spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    for (n, volume) in all.enumerate() {
        let others = volume.as_object().into_iter().flatten();
        let other = others.filter(|(field, value)| *field != "name" && !value.is_null());
        let other = other.map(|(field, _)| field.as_str()).find(|field| !VOLUMES.contains(field));
        // One that says nothing is an emptyDir.
        if let Some(kind) = other {
            found.push((format!("/volumes/{n}/{kind}"), format!("a volume is of the type {kind}")));
        }
    }
}

/// Nobody is root, unless root in the pod is nobody on the node.
fn users(pod: &Pod, found: &mut Vec<Violation>) {
    if has_own_users(pod) {
        return;
    }
    let non_root = |holder: &Value| said(holder, "/securityContext/runAsNonRoot").cloned();
    let of_pod = non_root(pod.spec) == Some(Value::Bool(true));
    for (at, holder, words) in holders(pod) {
        match non_root(holder) {
            Some(Value::Bool(true)) => {}
            Some(_) => {
                found.push((
                    format!("{at}/securityContext/runAsNonRoot"),
                    format!("{words} may run as root (runAsNonRoot)"),
                ));
            }
            None if at.is_empty() || of_pod => {}
            None => found.push((
                at.clone(),
                format!("{words} does not say runAsNonRoot: true, and neither does the pod"),
            )),
        }
        if said(holder, "/securityContext/runAsUser").is_some_and(|user| *user == 0) {
            found.push((
                format!("{at}/securityContext/runAsUser"),
                format!("{words} runs as root (runAsUser: 0)"),
            ));
        }
    }
}

/// A profile that is not allowed at all is found by the level below.
fn seccomp(pod: &Pod, found: &mut Vec<Violation>) {
    let has = |holder: &Value| said(holder, "/securityContext/seccompProfile").is_some();
    let of_pod = has(pod.spec);
    for (at, container) in containers(pod).filter(|(_, container)| !of_pod && !has(container)) {
        let name = name_of(container);
        let what = format!(
            "the container {name} has no seccompProfile (RuntimeDefault or Localhost), and neither does the pod"
        );
        found.push((at, what));
    }
}

fn escalation(at: &str, container: &Value, found: &mut Vec<Violation>) {
    let pointer = "/securityContext/allowPrivilegeEscalation";
    let name = name_of(container);
    match said(container, pointer) {
        Some(Value::Bool(false)) => {}
        Some(_) => found
            .push((format!("{at}{pointer}"), format!("the container {name} may escalate its privileges"))),
        None => {
            found.push((
                at.to_owned(),
                format!("the container {name} does not say allowPrivilegeEscalation: false"),
            ));
        }
    }
}

fn capabilities(at: &str, container: &Value, found: &mut Vec<Violation>) {
    let name = name_of(container);
    let listed = |field: &str| {
        let pointer = format!("/securityContext/capabilities/{field}");
        said(container, &pointer).and_then(Value::as_array).into_iter().flatten()
    };
    if !listed("drop").any(|capability| *capability == "ALL") {
        found.push((
            at.to_owned(),
            format!("the container {name} does not drop all capabilities (drop: [ALL])"),
        ));
    }
    for (n, capability) in
        listed("add").enumerate().filter(|(_, capability)| **capability != "NET_BIND_SERVICE")
    {
        let pointer = format!("{at}/securityContext/capabilities/add/{n}");
        found.push((pointer, format!("the container {name} adds the capability {capability}")));
    }
}
