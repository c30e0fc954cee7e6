//! What reads ConfigMaps and Secrets, and how: once, when it starts, or again when they change. Whoever reads them once is
//! rolled when they change; whoever follows them may be left alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::object::secret::SecretName;
use crate::object::{Gvk, Manifest, ObjectKey};

/// On a workload: which changes of what it reads roll its pods. `always`, which is the default; `env-only`, which leaves
/// volumes to follow by themselves; `never`.
const RELOAD: &str = "fairlead.dev/reload";

/// The older word for it: `roll` is `always`, and `ignore` is `never`.
pub(super) const ON_CHANGE: &str = "fairlead.dev/on-config-change";

/// A ConfigMap or Secret, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub secret: bool,
    pub namespace: Option<Box<str>>,
    pub name: Box<str>,
}

/// How something is read. What is read in several ways counts as the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// By a controller that takes up each change, as those of Ingresses and Gateways do.
    Watched,
    /// When something next begins: an image is pulled, a volume is attached, a Job starts.
    AtStart,
    /// From a volume that follows each change.
    Followed,
    /// Once, when a container starts: the environment, a file that is mounted by `subPath`, a volume of an init container.
    Once,
}

/// Which changes roll a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    Always,
    EnvOnly,
    Never,
}

impl Reload {
    /// Reads the annotations of a workload. `Err` says which word nobody knows.
    pub fn of(key: &ObjectKey, value: &Value) -> Result<Self, String> {
        let annotation = |name: &str| match &value["metadata"]["annotations"][name] {
            Value::Null => None,
            word => Some(word.as_str().unwrap_or_default().to_owned()),
        };
        let word = annotation(RELOAD)
            .map(|word| match &*word {
                "always" => Ok(Self::Always),
                "env-only" => Ok(Self::EnvOnly),
                "never" => Ok(Self::Never),
                _ => Err(format!("the annotation {RELOAD} of {key} is not `always`, `env-only` or `never`")),
            })
            .transpose()?;
        let older = annotation(ON_CHANGE)
            .map(|word| match &*word {
                "roll" => Ok(Self::Always),
                "ignore" => Ok(Self::Never),
                _ => Err(format!("the annotation {ON_CHANGE} of {key} is not `roll` or `ignore`")),
            })
            .transpose()?;
        match (word, older) {
            (Some(word), Some(older)) if word != older => {
                Err(format!("the annotations {RELOAD} and {ON_CHANGE} of {key} contradict each other"))
            }
            (word, older) => Ok(word.or(older).unwrap_or(Self::Always)),
        }
    }

    fn rolls(self, how: How) -> bool {
        match self {
            Self::Always => how >= How::Followed,
            Self::EnvOnly => how == How::Once,
            Self::Never => false,
        }
    }
}

/// How an object that reads a Secret comes to the new content of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Its pods are rolled.
    Rolled,
    /// It reads once, and is not rolled: pods go on with what they were started with.
    LeftAlone,
    /// It is not rolled, and its volumes follow by themselves.
    Follows,
    /// It reads when it next begins: a Job, a pull of an image.
    AtStart,
    /// Its controller takes up each change.
    Watched,
}

impl Reading {
    /// Says it to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rolled => "is rolled",
            Self::LeftAlone => "is not rolled, and may run with an older version until its pods are new",
            Self::Follows => "is not rolled; its volumes follow within two minutes",
            Self::AtStart => "reads it when it next starts something",
            Self::Watched => "takes it up by itself",
        }
    }
}

/// An object that reads a Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    pub object: ObjectKey,
    pub secret: SecretName,
    pub reading: Reading,
}

/// All objects of an app that read Secrets, of this app or of others.
pub fn consumers(objects: &[Manifest], default_namespace: Option<&str>) -> Vec<Consumer> {
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| may_read(object.gvk())) {
        let value = object.value();
        // A word that nobody knows is told when the object is stamped.
        let reload = Reload::of(&object.key(), &value).unwrap_or(Reload::Always);
        for (source, how) in reads(object, &value, default_namespace) {
            if !source.secret {
                continue;
            }
            let reading = match how {
                How::Watched => Reading::Watched,
                How::AtStart => Reading::AtStart,
                How::Followed | How::Once if is_rolled(object) && reload.rolls(how) => Reading::Rolled,
                How::Followed => Reading::Follows,
                How::Once => Reading::LeftAlone,
            };
            let secret = SecretName { namespace: source.namespace, name: source.name };
            found.push(Consumer { object: object.key(), secret, reading });
        }
    }
    found
}

/// What a workload is rolled for.
pub(super) fn rolled_for(
    object: &Manifest,
    value: &Value,
    default_namespace: Option<&str>,
) -> Result<BTreeSet<Source>, String> {
    if !is_rolled(object) {
        return Ok(BTreeSet::new());
    }
    let reload = Reload::of(&object.key(), value)?;
    let read = reads(object, value, default_namespace).into_iter();
    Ok(read.filter(|(_, how)| reload.rolls(*how)).map(|(source, _)| source).collect())
}

/// Workloads that make new pods when their template changes. A Job cannot change, and a CronJob reads when it starts.
pub(super) fn is_rolled(object: &Manifest) -> bool {
    matches!(
        (&*object.gvk().group, &*object.gvk().kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") | ("argoproj.io", "Rollout")
    )
}

/// Whether objects of a kind may read a ConfigMap or Secret in a way that is known.
pub(super) fn may_read(gvk: &Gvk) -> bool {
    matches!(
        (&*gvk.group, &*gvk.kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("argoproj.io", "Rollout")
            | ("batch", "Job" | "CronJob")
            | ("", "Pod" | "ReplicationController" | "ServiceAccount")
            | ("networking.k8s.io", "Ingress")
            | ("gateway.networking.k8s.io", "Gateway")
    )
}

/// What an object reads, and how.
pub(super) fn reads(
    object: &Manifest,
    value: &Value,
    default_namespace: Option<&str>,
) -> BTreeMap<Source, How> {
    let mut found = Found { namespace: object.namespace().or(default_namespace), sources: BTreeMap::new() };
    let spec = &value["spec"];
    match (&*object.gvk().group, &*object.gvk().kind) {
        ("", "Pod") => found.pod(spec),
        ("batch", "CronJob") => {
            found.pod(&spec["jobTemplate"]["spec"]["template"]["spec"]);
            found.all_at_start();
        }
        ("batch", "Job") => {
            found.pod(&spec["template"]["spec"]);
            found.all_at_start();
        }
        ("", "ServiceAccount") => {
            for one in list(&value["imagePullSecrets"]) {
                found.add(true, &one["name"], How::AtStart);
            }
        }
        ("networking.k8s.io", "Ingress") => {
            for one in list(&spec["tls"]) {
                found.add(true, &one["secretName"], How::Watched);
            }
        }
        ("gateway.networking.k8s.io", "Gateway") => {
            list(&spec["listeners"]).iter().for_each(|listener| found.certificates(listener));
        }
        _ if may_read(object.gvk()) => found.pod(&spec["template"]["spec"]),
        _ => {}
    }
    found.sources
}

struct Found<'a> {
    namespace: Option<&'a str>,
    sources: BTreeMap<Source, How>,
}

impl Found<'_> {
    fn add(&mut self, secret: bool, name: &Value, how: How) {
        self.add_in(secret, self.namespace.map(Into::into), name, how);
    }

    fn add_in(&mut self, secret: bool, namespace: Option<Box<str>>, name: &Value, how: How) {
        let Some(name) = name.as_str().filter(|name| !name.is_empty()) else { return };
        let known = self.sources.entry(Source { secret, namespace, name: name.into() }).or_insert(how);
        *known = how.max(*known);
    }

    fn all_at_start(&mut self) {
        self.sources.values_mut().for_each(|how| *how = How::AtStart);
    }

    fn pod(&mut self, pod: &Value) {
        for one in list(&pod["imagePullSecrets"]) {
            self.add(true, &one["name"], How::AtStart);
        }
        let once = mounted_once(pod);
        for one in list(&pod["volumes"]) {
            let is_once = one["name"].as_str().is_some_and(|name| once.contains(name));
            self.volume(one, if is_once { How::Once } else { How::Followed });
        }
        let containers = ["initContainers", "containers"].into_iter().flat_map(|field| list(&pod[field]));
        for container in containers {
            for one in list(&container["envFrom"]) {
                self.add(false, &one["configMapRef"]["name"], How::Once);
                self.add(true, &one["secretRef"]["name"], How::Once);
            }
            for one in list(&container["env"]) {
                self.add(false, &one["valueFrom"]["configMapKeyRef"]["name"], How::Once);
                self.add(true, &one["valueFrom"]["secretKeyRef"]["name"], How::Once);
            }
        }
    }

    fn volume(&mut self, volume: &Value, how: How) {
        self.add(false, &volume["configMap"]["name"], how);
        self.add(true, &volume["secret"]["secretName"], how);
        for source in list(&volume["projected"]["sources"]) {
            self.add(false, &source["configMap"]["name"], how);
            self.add(true, &source["secret"]["name"], how);
        }
        // With these a volume is attached; what is attached stays so.
        self.add(true, &volume["azureFile"]["secretName"], How::AtStart);
        self.add(true, &volume["csi"]["nodePublishSecretRef"]["name"], How::AtStart);
        for kind in ["cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"] {
            self.add(true, &volume[kind]["secretRef"]["name"], How::AtStart);
        }
    }

    fn certificates(&mut self, listener: &Value) {
        for one in list(&listener["tls"]["certificateRefs"]) {
            let is_secret = one["kind"].as_str().is_none_or(|kind| kind == "Secret")
                && one["group"].as_str().is_none_or(str::is_empty);
            if is_secret {
                let namespace = one["namespace"].as_str().or(self.namespace).map(Into::into);
                self.add_in(true, namespace, &one["name"], How::Watched);
            }
        }
    }
}

/// The volumes whose content some container sees only as it was at its start: mounted by `subPath`, which does not follow, or
/// in an init container that has ended. One that runs beside the others, as a sidecar, has not.
fn mounted_once(pod: &Value) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (field, ends) in [("initContainers", true), ("containers", false)] {
        for container in list(&pod[field]) {
            let ends = ends && container["restartPolicy"] != "Always";
            for mount in list(&container["volumeMounts"]) {
                let has = |name: &str| mount[name].as_str().is_some_and(|path| !path.is_empty());
                if ends || has("subPath") || has("subPathExpr") {
                    found.extend(mount["name"].as_str());
                }
            }
        }
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
