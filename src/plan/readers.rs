//! What a workload reads of the configuration of its app, as one short digest, so that a change of it rolls the readers.
//!
//! The digest stands on the workload itself as soon as it is written. That restarts nothing: it says which configuration
//! its pods were started with. Only where the digest on the workload is another than that of git does it go into the pod
//! template too, in the same write, which rolls the pods once; and from then on it stays there and follows. So whoever
//! begins to use Fairlead, takes over a workload, or updates the agent, restarts nothing by it, and a rollout that was
//! killed between the ConfigMap and its reader still knows that the reader has to follow.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use serde_json::{Map, Value, json};

use super::Step;
use super::field_sets::holds;
use crate::object::secret::{Pins, Sealed};
use crate::object::{CONFIG, Digest, Live, Manifest};

/// On a workload: `ignore` leaves its pods as they are when what they read changes.
const ON_CHANGE: &str = "fairlead.dev/on-config-change";

/// Digits of the digest. It can be read by whoever may see the pods; like the names that kustomize makes of Secrets, it
/// must not be enough to find a value by trying.
const DIGITS: usize = 10;

/// A ConfigMap or Secret, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    secret: bool,
    namespace: Option<Box<str>>,
    name: Box<str>,
}

/// All that workloads of an app read, each with the digest of its content; `None` for what is not of the app.
#[derive(Debug, Default)]
pub struct Configs(BTreeMap<Source, Option<Digest>>);

impl Configs {
    pub fn of(objects: &[Manifest], default_namespace: Option<&str>, pins: &Pins) -> Self {
        let readers = objects.iter().filter(|object| is_reader(object));
        let mut found: BTreeMap<Source, Option<Digest>> = readers
            .flat_map(|reader| reads(&reader.value(), namespace(reader, default_namespace)))
            .map(|source| (source, None))
            .collect();
        if found.is_empty() {
            return Self(found);
        }
        for object in objects {
            if let Some(place) = source(object, default_namespace).and_then(|source| found.get_mut(&source)) {
                *place = Some(content(object.value(), object.is_secret(), pins));
            }
        }
        Self(found)
    }

    /// Whether nothing else has to be looked at for an object that changed: it is no content that others read, and what
    /// it reads itself is known.
    pub fn suffice(&self, changed: &Manifest, default_namespace: Option<&str>, pins: &Pins) -> bool {
        if let Some(source) = source(changed, default_namespace) {
            return match self.0.get(&source) {
                Some(known) => known.as_ref() == Some(&content(changed.value(), changed.is_secret(), pins)),
                None => true,
            };
        }
        !is_reader(changed)
            || reads(&changed.value(), namespace(changed, default_namespace))
                .iter()
                .all(|source| self.0.contains_key(source))
    }

    /// The digest of what an object reads of its app; `None` where it reads nothing, is no workload that can be rolled,
    /// or asks to be left alone. `Err` is a word that nobody knows.
    pub fn digest(
        &self,
        object: &Manifest,
        value: &Value,
        default_namespace: Option<&str>,
    ) -> Result<Option<Box<str>>, String> {
        if self.0.is_empty() || !is_reader(object) {
            return Ok(None);
        }
        match &value["metadata"]["annotations"][ON_CHANGE] {
            Value::Null => {}
            Value::String(word) if word == "roll" => {}
            Value::String(word) if word == "ignore" => return Ok(None),
            _ => {
                return Err(format!(
                    "the annotation {ON_CHANGE} of {} is not `roll` or `ignore`",
                    object.key()
                ));
            }
        }
        let read = reads(value, namespace(object, default_namespace));
        let known: Vec<(&Source, &Digest)> = self
            .0
            .iter()
            .filter(|(source, _)| read.contains(source))
            .filter_map(|(s, d)| Some((s, d.as_ref()?)))
            .collect();
        if known.is_empty() {
            return Ok(None);
        }
        let parts = known.into_iter().flat_map(|(source, digest)| {
            [if source.secret { "Secret" } else { "ConfigMap" }, &source.name, digest.as_str()]
        });
        Ok(Some(Digest::of_parts(parts).as_str()[..DIGITS].into()))
    }
}

impl Step {
    /// Whether the digest goes into the pod template: what the pods read is other than what they were started with, or
    /// it stands there already.
    pub fn rolls(&self) -> bool {
        let Some((wanted, live)) = self.wanted.config.as_deref().zip(self.live.as_deref()) else {
            return false;
        };
        let owned = live.owned.as_ref().map(|owned| owned.fields());
        let Some(Value::Object(owned)) = owned else { return false };
        let field = format!("f:{CONFIG}");
        let here = ["f:metadata", "f:annotations", &field];
        let template = ["f:spec", "f:template", "f:metadata", "f:annotations", &field];
        // What somebody else wrote there is no word of ours.
        holds(&owned, &template) || (holds(&owned, &here) && is_other(live, wanted))
    }
}

fn is_other(live: &Live, wanted: &str) -> bool {
    live.config.as_deref().is_some_and(|config| config != wanted)
}

/// Puts the digest into the pod template.
pub fn put(value: &mut Value, config: &str) {
    let Some(Value::Object(template)) = value["spec"].get_mut("template") else { return };
    let metadata = child(template, "metadata");
    child(metadata, "annotations").insert(CONFIG.into(), config.into());
}

pub fn child<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made a map")
}

/// Workloads that make new pods when their template changes. A Job cannot change, and a CronJob reads when it starts.
fn is_reader(object: &Manifest) -> bool {
    matches!(
        (&*object.gvk().group, &*object.gvk().kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") | ("argoproj.io", "Rollout")
    )
}

fn namespace<'a>(object: &'a Manifest, default: Option<&'a str>) -> Option<&'a str> {
    object.namespace().or(default)
}

/// What an object is to those who read it.
fn source(object: &Manifest, default_namespace: Option<&str>) -> Option<Source> {
    let secret = match (&*object.gvk().group, &*object.gvk().kind) {
        ("", "Secret") => true,
        ("", "ConfigMap") => false,
        _ => return None,
    };
    let namespace = namespace(object, default_namespace).map(Into::into);
    Some(Source { secret, namespace, name: object.name().into() })
}

/// The digest of what pods see of a ConfigMap or Secret, or of what is known of it: of a value from outside its reference and
/// its version. Labels are none of it.
fn content(mut value: Value, is_secret: bool, pins: &Pins) -> Digest {
    let mut versions = BTreeMap::new();
    if let Value::Object(root) = &mut value {
        // What cannot be read is told when the Secret is stamped.
        if let Some(sealed) = is_secret.then(|| Sealed::seal(root).ok()).flatten().flatten() {
            let whole = sealed.whole().map(ToString::to_string);
            let version = |id| pins.get(id).map_or_else(|_| "".into(), |pin| pin.version.clone());
            let ids = sealed.secrets().into_iter();
            versions = ids.map(|id| (id.to_string(), version(id))).collect();
            versions.extend(whole.map(|whole| (whole, "whole".into())));
        }
        encode_string_data(root);
    }
    match versions.is_empty() {
        true => Digest::of_json(&json!([value["data"], value["binaryData"]])),
        false => Digest::of_json(&json!([value["data"], value["binaryData"], versions])),
    }
}

/// The server turns `stringData` into `data` and owns neither by the name it was sent: so it is sent as `data`.
pub fn encode_string_data(root: &mut Map<String, Value>) {
    let Some(Value::Object(plain)) = root.remove("stringData") else {
        return;
    };
    let data = child(root, "data");
    for (key, value) in plain {
        if let Value::String(text) = value {
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(text).into());
        } else {
            data.insert(key, value);
        }
    }
}

/// What the pods of a workload read: volumes, also projected ones, and the environment of every container.
fn reads(value: &Value, namespace: Option<&str>) -> BTreeSet<Source> {
    let pod = &value["spec"]["template"]["spec"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut names: Vec<(bool, Value)> = Vec::new();
    let mut volume = |volume: &Value, secret: &str| {
        names.push((false, volume["configMap"]["name"].clone()));
        names.push((true, volume["secret"][secret].clone()));
    };
    for one in list(&pod["volumes"]) {
        volume(&one, "secretName");
        list(&one["projected"]["sources"]).iter().for_each(|source| volume(source, "name"));
    }
    for container in ["initContainers", "containers"].into_iter().flat_map(|field| list(&pod[field])) {
        for one in list(&container["envFrom"]) {
            names.push((false, one["configMapRef"]["name"].clone()));
            names.push((true, one["secretRef"]["name"].clone()));
        }
        for one in list(&container["env"]) {
            names.push((false, one["valueFrom"]["configMapKeyRef"]["name"].clone()));
            names.push((true, one["valueFrom"]["secretKeyRef"]["name"].clone()));
        }
    }
    let named = |(secret, name): (bool, Value)| {
        Some(Source { secret, namespace: namespace.map(Into::into), name: name.as_str()?.into() })
    };
    names.into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests;
