//! How the objects of an app are written for what runs of it in a region.
//!
//! Whatever can start a pod is taken for a writer unless git says that it is none: what is forgotten does no harm in a standby.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::name::Epoch;
use super::part::{Part, Scale};
use crate::object::{Desired, HOOK, Manifest, Problem, Problems, REGION_EPOCH, REGION_GUARDED, REGION_PART};

/// No node bears it: what selects nodes by it runs nowhere.
const NOWHERE: &str = "fairlead.dev/region-stopped";
const HELM_HOOK: &str = "helm.sh/hook";

/// What an object is for the regions of its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Runs only where the region holds.
    Writer,
    /// The same, and is started after the writers: cron jobs, consumers of queues.
    Consumer,
    /// Runs in a warm standby too.
    Reader,
    /// Is there only in the region that traffic goes to.
    Traffic,
    /// Is the same in all regions.
    Everywhere,
}

const USES: [(&str, Use); 5] = [
    ("writer", Use::Writer),
    ("consumer", Use::Consumer),
    ("reader", Use::Reader),
    ("traffic", Use::Traffic),
    ("everywhere", Use::Everywhere),
];

/// Whether an object may be written in a region that holds some epoch, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// It starts nothing that only an active region may run.
    Nothing,
    /// It starts what may run at this epoch alone; and whether that ends by itself.
    At { epoch: Epoch, ends: bool },
    /// It starts what only an active region may run, and does not say at which epoch.
    Unknown,
}

/// What writing this object would start.
pub fn starts(group: &str, kind: &str, object: &Value) -> Starts {
    if is_workload(group, kind) && is_stopped(kind, object) {
        return Starts::Nothing;
    }
    if !is_fenced(group, kind, object) {
        return Starts::Nothing;
    }
    match annotation(object, REGION_EPOCH).and_then(|epoch| epoch.parse().ok()) {
        Some(epoch) => Starts::At { epoch: Epoch(epoch), ends: ends_by_itself(object) },
        None => Starts::Unknown,
    }
}

/// Whether what runs of this object is told when to end, and then ends by itself.
pub fn ends_by_itself(object: &Value) -> bool {
    annotation(object, REGION_GUARDED) == Some("true")
}

/// What stops an object that only an active region may run, as a merge patch; nothing where it is stopped, or need not be.
pub fn stop(group: &str, kind: &str, object: &Value) -> Option<Value> {
    if !is_workload(group, kind) || starts(group, kind, object) == Starts::Nothing {
        return None;
    }
    Some(match kind {
        "CronJob" | "Job" => json!({"spec": {"suspend": true}}),
        "DaemonSet" => json!({"spec": {"template": {"spec": {"nodeSelector": {NOWHERE: "true"}}}}}),
        _ => json!({"spec": {"replicas": 0}}),
    })
}

/// Whether only an active region may run this object, be it stopped.
pub fn is_fenced(group: &str, kind: &str, object: &Value) -> bool {
    let is_known = is_workload(group, kind) || (is_custom(group) && !is_scaler(group, kind));
    is_known && matches!(use_of(group, kind, object), Ok(Use::Writer | Use::Consumer))
}

/// Whether it is stopped by being deleted: nobody knows how else to stop what a custom resource has run.
pub fn stops_by_going(group: &str, kind: &str, object: &Value) -> bool {
    !is_workload(group, kind) && is_fenced(group, kind, object)
}

/// Whether kinds of a group are defined by who installs them, and may run something: those of Kubernetes itself have no dot in
/// theirs, or end with its own domain.
pub fn is_custom(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

impl Part {
    /// Writes an app for what runs here.
    pub fn shape(&self, desired: Desired) -> Result<Desired, Problems> {
        let Desired { app, objects, notes, .. } = desired;
        let (mut shaped, mut found) = (Vec::with_capacity(objects.len()), Vec::new());
        let (autoscaled, mut elsewhere) = (autoscaled(&objects), Vec::new());
        for object in objects {
            match self.shape_one(object.clone(), &autoscaled) {
                Ok(Some(object)) => shaped.push(object),
                Ok(None) => elsewhere.push(object),
                Err(problem) => found.push(problem),
            }
        }
        Problems::check(found)?;
        let mut desired = Desired::new(app, shaped, notes);
        desired.elsewhere = elsewhere;
        Ok(desired)
    }

    /// One object as it is here; nothing where it is not.
    fn shape_one(&self, manifest: Manifest, scalers: &Autoscaled) -> Result<Option<Manifest>, Problem> {
        let (group, kind) = (manifest.gvk().group.clone(), manifest.gvk().kind.clone());
        let is_marked = manifest.json().contains(REGION_PART);
        if !is_workload(&group, &kind)
            && !is_scaler(&group, &kind)
            && !is_traffic(&group, &kind)
            && !is_marked
        {
            return Ok(Some(manifest));
        }
        let mut object = manifest.value();
        if is_scaler(&group, &kind) {
            let (_, target) = scaled(&object).unwrap_or_default();
            let use_of = scalers.uses.get(&(kind_of_target(&object), target)).copied().unwrap_or(Use::Writer);
            return Ok(Some(manifest).filter(|_| self.is_autoscaled(use_of)));
        }
        let here =
            use_of(&group, &kind, &object).map_err(|why| Problem::at(manifest.origin.place.clone(), why))?;
        let runs = match here {
            Use::Everywhere => return Ok(Some(manifest)),
            Use::Traffic => return Ok(Some(manifest).filter(|_| self.traffic)),
            Use::Writer => self.writers,
            Use::Consumer => self.consumers,
            Use::Reader if self.scale == Scale::Full => return Ok(Some(manifest)),
            Use::Reader => None,
        };
        if !is_workload(&group, &kind) && (here == Use::Reader || runs.is_none()) {
            // Nobody knows how to stop it: it is there where it may run.
            return Ok(Some(manifest).filter(|_| here == Use::Reader && self.scale == Scale::Warm));
        }
        if runs.is_none() && (kind.as_ref() == "Pod" || is_hook(&object)) && here != Use::Reader {
            return Ok(None);
        }
        match runs {
            Some(epoch) => {
                object["metadata"]["annotations"][REGION_EPOCH] = epoch.to_string().into();
                let target = (kind.to_string(), manifest.name().to_owned());
                let least = scalers.least.get(&target);
                let is_scaled = self.is_autoscaled(here) && least.is_some();
                if is_workload(&group, &kind)
                    && is_scalable(&kind)
                    && !is_scaled
                    && object["spec"].get("replicas").is_none()
                {
                    // What was stopped has none, and stays so where nobody says how many. Its autoscaler comes later, and
                    // finds as many as it would have at least.
                    object["spec"]["replicas"] = least.copied().unwrap_or(1).into();
                }
            }
            None if here == Use::Reader && self.scale == Scale::Warm => {
                let count = object["spec"]["replicas"].as_u64().unwrap_or(1).min(1);
                if is_scalable(&kind) {
                    object["spec"]["replicas"] = count.into();
                }
            }
            None => match kind.as_ref() {
                "Pod" => return Ok(None),
                "CronJob" | "Job" => object["spec"]["suspend"] = true.into(),
                "DaemonSet" => object["spec"]["template"]["spec"]["nodeSelector"] = json!({NOWHERE: "true"}),
                _ => object["spec"]["replicas"] = 0.into(),
            },
        }
        Manifest::new(&object, manifest.origin.clone())
            .map(Some)
            .map_err(|error| Problem::at(manifest.origin.place.clone(), error.to_string()))
    }

    /// Whether autoscalers of such objects are there. Beside what is stopped one would be of no use, and writers get theirs once
    /// they run: an autoscaler leaves alone what has no replicas.
    fn is_autoscaled(&self, of: Use) -> bool {
        match of {
            Use::Writer | Use::Consumer => self.consumers.is_some(),
            Use::Reader => self.scale == Scale::Full,
            Use::Traffic | Use::Everywhere => true,
        }
    }
}

/// What autoscalers of an app scale, by kind and name: what that is for regions, and how many there are at least.
#[derive(Default)]
struct Autoscaled {
    uses: BTreeMap<(String, String), Use>,
    least: BTreeMap<(String, String), u64>,
}

fn autoscaled(objects: &[Manifest]) -> Autoscaled {
    let mut known = Autoscaled::default();
    let scalers = objects.iter().filter(|object| is_scaler(&object.gvk().group, &object.gvk().kind));
    for scaler in scalers {
        let value = scaler.value();
        let Some((least, target)) = scaled(&value) else { continue };
        known.least.insert((kind_of_target(&value), target), least);
    }
    if known.least.is_empty() {
        return known;
    }
    for object in objects {
        let target = (object.gvk().kind.to_string(), object.name().to_owned());
        if known.least.contains_key(&target)
            && let Ok(found) = use_of(&object.gvk().group, &object.gvk().kind, &object.value())
        {
            known.uses.insert(target, found);
        }
    }
    known
}

/// How many there are at least of what an autoscaler scales, and its name.
fn scaled(scaler: &Value) -> Option<(u64, String)> {
    let spec = &scaler["spec"];
    let least = spec.get("minReplicas").or_else(|| spec.get("minReplicaCount"));
    let least = least.and_then(Value::as_u64).unwrap_or(1).max(1);
    Some((least, spec["scaleTargetRef"]["name"].as_str()?.to_owned()))
}

fn kind_of_target(scaler: &Value) -> String {
    scaler["spec"]["scaleTargetRef"]["kind"].as_str().unwrap_or("Deployment").to_owned()
}

fn is_workload(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job" | "CronJob")
            | ("", "Pod" | "ReplicationController")
    )
}

fn is_scalable(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController")
}

fn is_scaler(group: &str, kind: &str) -> bool {
    matches!((group, kind), ("autoscaling", "HorizontalPodAutoscaler") | ("keda.sh", "ScaledObject"))
}

fn is_traffic(group: &str, kind: &str) -> bool {
    match group {
        "networking.k8s.io" => kind == "Ingress",
        "gateway.networking.k8s.io" => {
            matches!(kind, "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute")
        }
        _ => false,
    }
}

fn is_stopped(kind: &str, object: &Value) -> bool {
    let spec = &object["spec"];
    match kind {
        "CronJob" | "Job" => spec["suspend"] == true,
        "DaemonSet" => spec["template"]["spec"]["nodeSelector"][NOWHERE] == "true",
        "Pod" => false,
        _ => spec["replicas"] == 0,
    }
}

/// Jobs of hooks that write once on the way: those of a standby would write there.
fn is_hook(object: &Value) -> bool {
    annotation(object, HOOK).or_else(|| annotation(object, HELM_HOOK)).is_some()
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

fn use_of(group: &str, kind: &str, object: &Value) -> Result<Use, String> {
    match annotation(object, REGION_PART) {
        Some(said) => {
            let known = USES.into_iter().find(|(name, _)| *name == said).map(|(_, found)| found);
            known.ok_or_else(|| {
                let names: Vec<&str> = USES.iter().map(|(name, _)| *name).collect();
                format!("the annotation {REGION_PART} is {said:?}, and not one of {}", names.join(", "))
            })
        }
        None if is_traffic(group, kind) => Ok(Use::Traffic),
        None if (group, kind) == ("batch", "CronJob") => Ok(Use::Consumer),
        None if is_workload(group, kind) => Ok(Use::Writer),
        None => Ok(Use::Everywhere),
    }
}

#[cfg(test)]
mod tests;
