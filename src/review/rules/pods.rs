//! What containers and pods may do that they could not do before: to their node, and as whom.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Found;
use crate::object::ObjectKey;
use crate::policy::{containers, name_of, pods_of};
use crate::review::compare::Delta;
use crate::review::risk::{RiskClass, Severity};

/// Something that a pod may do. The words are its name: what stands in them before is no news.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Power {
    class: RiskClass,
    severity: Severity,
    what: String,
}

pub fn judge(delta: &Delta, found: &mut Found) {
    if delta.after.is_none() {
        return;
    }
    let had = powers(delta.key, delta.before());
    for power in powers(delta.key, delta.after()) {
        if !had.iter().any(|old| old.class == power.class && old.what == power.what) {
            let message = format!("{}: {}", delta.key, power.what);
            found.say(delta, (power.class, power.severity), message);
        }
    }
    if delta.before.is_some() {
        lost_fences(delta, found);
    }
}

fn powers(key: &ObjectKey, object: &Value) -> BTreeSet<Power> {
    let mut all = BTreeSet::new();
    for (_, pod) in pods_of(key, object) {
        let mut say = |class, severity, what: String| {
            all.insert(Power { class, severity, what });
        };
        for (field, what) in [
            ("hostNetwork", "its pods use the network of their node"),
            ("hostPID", "its pods see the processes of their node"),
            ("hostIPC", "its pods share the memory of their node's processes"),
        ] {
            if pod.spec[field] == true {
                say(RiskClass::GainsHostAccess, Severity::Error, what.to_owned());
            }
        }
        for volume in pod.spec["volumes"].as_array().into_iter().flatten() {
            if let Some(path) = volume["hostPath"]["path"].as_str() {
                say(
                    RiskClass::GainsHostAccess,
                    Severity::Error,
                    format!("its pods mount {path} of their node"),
                );
            }
        }
        if pod.spec["securityContext"]["windowsOptions"]["hostProcess"] == true {
            say(
                RiskClass::GainsPrivileges,
                Severity::Error,
                "its pods run as processes of their node".to_owned(),
            );
        }
        for (_, container) in containers(&pod) {
            of_container(container, &pod.spec["securityContext"], &mut say);
        }
    }
    all
}

fn of_container(container: &Value, pod: &Value, say: &mut dyn FnMut(RiskClass, Severity, String)) {
    let name = name_of(container);
    let own = &container["securityContext"];
    // What a container does not say, its pod says for it.
    let said = |field: &str| if own[field].is_null() { &pod[field] } else { &own[field] };
    let mut gains = |severity, what: String| {
        say(RiskClass::GainsPrivileges, severity, format!("the container {name} {what}"))
    };
    if own["privileged"] == true {
        gains(Severity::Error, "is privileged: it may do all that its node may".to_owned());
    }
    if own["allowPrivilegeEscalation"] == true {
        gains(Severity::Warning, "may get more privileges than it starts with".to_owned());
    }
    for capability in own["capabilities"]["add"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let grave =
            !matches!(capability, "NET_BIND_SERVICE" | "CHOWN" | "SETUID" | "SETGID" | "FOWNER" | "KILL");
        let severity = if grave { Severity::Error } else { Severity::Warning };
        gains(severity, format!("has the capability {capability}"));
    }
    if said("runAsUser") == 0 {
        gains(Severity::Warning, "runs as root".to_owned());
    }
    if own["procMount"] == "Unmasked" {
        gains(Severity::Error, "sees all of /proc".to_owned());
    }
    if said("seccompProfile")["type"] == "Unconfined" {
        gains(Severity::Warning, "is not confined by seccomp".to_owned());
    }
    if said("appArmorProfile")["type"] == "Unconfined" {
        gains(Severity::Warning, "is not confined by AppArmor".to_owned());
    }
    if own["windowsOptions"]["hostProcess"] == true {
        gains(Severity::Error, "runs as a process of its node".to_owned());
    }
    for port in container["ports"].as_array().into_iter().flatten() {
        if let Some(port) = port["hostPort"].as_i64().filter(|port| *port != 0) {
            let what = format!("the container {name} takes the port {port} of its node");
            say(RiskClass::GainsHostAccess, Severity::Warning, what);
        }
    }
}

/// What held containers back, and stands there no longer. What they may then is what Kubernetes lets by itself.
fn lost_fences(delta: &Delta, found: &mut Found) {
    let (had, has) = (fences(delta.key, delta.before()), fences(delta.key, delta.after()));
    for (name, fence) in had {
        let is_there = has.iter().any(|(other, _)| *other == name);
        if is_there && !has.contains(&(name.clone(), fence)) {
            let message = format!("{}: the container {name} {fence} no longer", delta.key);
            found.say(delta, (RiskClass::GainsPrivileges, Severity::Warning), message);
        }
    }
}

/// By the name of the container; each container stands there at least once, with nothing.
fn fences(key: &ObjectKey, object: &Value) -> BTreeSet<(String, &'static str)> {
    let mut found = BTreeSet::new();
    for (_, pod) in pods_of(key, object) {
        let outer = &pod.spec["securityContext"];
        for (_, container) in containers(&pod) {
            let own = &container["securityContext"];
            let said = |field: &str| if own[field].is_null() { &outer[field] } else { &own[field] };
            let name = name_of(container).to_owned();
            let dropped = own["capabilities"]["drop"].as_array().into_iter().flatten();
            let all: [(bool, &str); 6] = [
                (true, ""),
                (own["allowPrivilegeEscalation"] == false, "is kept from getting more privileges"),
                (said("runAsNonRoot") == true, "is kept from running as root"),
                (own["readOnlyRootFilesystem"] == true, "is kept from writing its own files"),
                (dropped.into_iter().any(|one| one == "ALL"), "drops all capabilities"),
                (pod.spec["hostUsers"] == false, "has users of its own"),
            ];
            found.extend(all.into_iter().filter(|(is, _)| *is).map(|(_, what)| (name.clone(), what)));
        }
    }
    found
}
