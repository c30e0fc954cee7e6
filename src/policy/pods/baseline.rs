//! The level `baseline`: what no usual application needs.

use serde_json::Value;

use super::{Level, Violation, has_own_users, holders, said};
use crate::policy::workload::{Pod, containers, name_of};

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn check(pod: &Pod, level: Level, found: &mut Vec<Violation>) {
    host_namespaces(pod, found);
    security_contexts(pod, level, found);
    app_armor_annotations(pod, found);
    if level == Level::Baseline {
        // At the level restricted the volumes that are allowed are named.
        host_paths(pod, found);
    }
    sysctls(pod, found);
    for (at, container) in containers(pod) {
        host_ports(&at, container, found);
        hosts_of_probes(&at, container, found);
    }
}

fn is_off(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn host_namespaces(pod: &Pod, found: &mut Vec<Violation>) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        let pointer = format!("/{field}");
        if said(pod.spec, &pointer).is_some_and(|value| !is_off(value)) {
            found.push((pointer, format!("the pod shares the node's namespace ({field})")));
        }
    }
}

fn security_contexts(pod: &Pod, level: Level, found: &mut Vec<Violation>) {
    for (at, holder, words) in holders(pod) {
        let field = |below: &str| {
            let pointer = format!("/securityContext{below}");
            said(holder, &pointer).map(|value| (format!("{at}{pointer}"), value))
        };
        let mut say = |pointer: String, what: String| found.push((pointer, format!("{words} {what}")));
        if let Some((pointer, _)) = field("/windowsOptions/hostProcess").filter(|(_, value)| !is_off(value)) {
            say(pointer, "is a HostProcess container".to_owned());
        }
        for part in ["type", "user", "role"] {
            let Some((pointer, value)) = field(&format!("/seLinuxOptions/{part}")) else { continue };
            let allowed: &[&str] = if part == "type" { &SELINUX_TYPES } else { &[""] };
            if !value.as_str().is_some_and(|text| allowed.contains(&text)) {
                say(pointer, format!("sets an SELinux {part} that is not allowed"));
            }
        }
        for (profile, name) in [("appArmorProfile", "AppArmor"), ("seccompProfile", "seccomp")] {
            let Some((pointer, value)) = field(&format!("/{profile}")) else { continue };
            let kind = value.get("type").and_then(Value::as_str);
            if !matches!(kind, Some("RuntimeDefault" | "Localhost")) {
                say(
                    format!("{pointer}/type"),
                    format!("has a {name} profile that is neither RuntimeDefault nor Localhost"),
                );
            }
        }
        if at.is_empty() {
            continue;
        }
        if let Some((pointer, _)) = field("/privileged").filter(|(_, value)| !is_off(value)) {
            say(pointer, "is privileged".to_owned());
        }
        let unmasked = field("/procMount").filter(|(_, value)| *value != "Default");
        if let Some((pointer, _)) = unmasked.filter(|_| level == Level::Restricted || !has_own_users(pod)) {
            say(pointer, "has another /proc than the default".to_owned());
        }
        if level == Level::Baseline
            && let Some((pointer, value)) = field("/capabilities/add")
        {
            let more = value.as_array().into_iter().flatten();
            for (n, name) in more
                .enumerate()
                .filter(|(_, name)| !name.as_str().is_some_and(|name| CAPABILITIES.contains(&name)))
            {
                say(format!("{pointer}/{n}"), format!("adds the capability {name}"));
            }
        }
    }
}

fn app_armor_annotations(pod: &Pod, found: &mut Vec<Violation>) {
    let annotations = pod.metadata.get("annotations").and_then(Value::as_object).into_iter().flatten();
    for (name, profile) in annotations.filter(|(name, _)| name.starts_with(APPARMOR_ANNOTATION)) {
        let allowed = profile.as_str().is_some_and(|profile| {
            profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/")
        });
        if !allowed {
            let what = format!(
                "the annotation {name} asks for an AppArmor profile that is neither runtime/default nor localhost/…"
            );
            found.push((String::new(), what));
        }
    }
}

fn host_paths(pod: &Pod, found: &mut Vec<Violation>) {
    let volumes = pod.spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    for (n, _) in volumes.enumerate().filter(|(_, volume)| said(volume, "/hostPath").is_some()) {
        found.push((format!("/volumes/{n}/hostPath"), "a volume is a path of the node".to_owned()));
    }
}

fn sysctls(pod: &Pod, found: &mut Vec<Violation>) {
    let all = said(pod.spec, "/securityContext/sysctls").and_then(Value::as_array).into_iter().flatten();
    for (n, sysctl) in all.enumerate() {
        let name = sysctl.get("name").and_then(Value::as_str).unwrap_or_default();
        if !SYSCTLS.contains(&name) {
            found.push((format!("/securityContext/sysctls/{n}"), format!("the pod sets the sysctl {name}")));
        }
    }
}

fn host_ports(at: &str, container: &Value, found: &mut Vec<Violation>) {
    let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
    for (n, port) in ports.enumerate() {
        if said(port, "/hostPort").is_some_and(|port| *port != 0) {
            let what = format!("the container {} takes a port of the node", name_of(container));
            found.push((format!("{at}/ports/{n}/hostPort"), what));
        }
    }
}

fn hosts_of_probes(at: &str, container: &Value, found: &mut Vec<Violation>) {
    let askers =
        ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/postStart", "lifecycle/preStop"];
    for asker in askers {
        for way in ["httpGet", "tcpSocket"] {
            let pointer = format!("/{asker}/{way}/host");
            if said(container, &pointer).is_some_and(|host| *host != "") {
                let what = format!("the container {} has the node ask another host", name_of(container));
                found.push((format!("{at}{pointer}"), what));
            }
        }
    }
}
