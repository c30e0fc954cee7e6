//! What a workload reads of the configuration of its app, and of Secrets of other apps, as short digests, so that a change of
//! it rolls the readers.
//!
//! The digest stands on the workload itself as soon as it is written. That restarts nothing: it says which configuration
//! its pods were started with. Only where the digest on the workload is another than that of git does it go into the pod
//! template too, in the same write, which rolls the pods once; and from then on it stays there and follows. So whoever
//! begins to use Fairlead, takes over a workload, or updates the agent, restarts nothing by it, and a rollout that was
//! killed between the ConfigMap and its reader still knows that the reader has to follow.

use std::collections::BTreeMap;

use base64::Engine;
use serde_json::{Map, Value, json};

use super::Step;
use super::consumers::{Reload, Source, may_read, reads, rolled_for};
use super::field_sets::holds;
use crate::object::secret::{Pins, Sealed, SecretId, SecretName};
use crate::object::{CONFIG, Digest, Manifest, SHARED_CONFIG};

/// Digits of the digest. It can be read by whoever may see the pods; like the names that kustomize makes of Secrets, it
/// must not be enough to find a value by trying.
const DIGITS: usize = 10;

/// All that workloads of an app read, each with the digest of its content.
#[derive(Debug, Default)]
pub struct Configs {
    /// `None` for what is not of the app.
    own: BTreeMap<Source, Option<Digest>>,
    /// Secrets of other apps of the environment, with the versions that they are read in.
    shared: BTreeMap<Source, BTreeMap<SecretId, Box<str>>>,
}

/// The digests of what a workload reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDigests {
    /// Of its app; `None` where it reads nothing of it, is no workload that can be rolled, or is to be left alone.
    pub own: Option<Box<str>>,
    /// Of other apps of its environment. It stands apart, so that an agent that begins to look at those restarts nothing.
    pub shared: Option<Box<str>>,
}

impl Configs {
    pub fn of(objects: &[Manifest], default_namespace: Option<&str>, pins: &Pins) -> Self {
        let mut own: BTreeMap<Source, Option<Digest>> = BTreeMap::new();
        for object in objects.iter().filter(|object| may_read(object.gvk())) {
            // A word that nobody knows is told when the object is stamped.
            let read = rolled_for(object, &object.value(), default_namespace).unwrap_or_default();
            own.extend(read.into_iter().map(|source| (source, None)));
        }
        if own.is_empty() {
            return Self::default();
        }
        for object in objects {
            if let Some(place) = source(object, default_namespace).and_then(|source| own.get_mut(&source)) {
                *place = Some(content(object.value(), object.is_secret(), pins));
            }
        }
        let foreign = own.iter().filter(|(source, content)| source.secret && content.is_none());
        let shared = foreign.filter_map(|(source, _)| {
            let name = SecretName { namespace: source.namespace.clone(), name: source.name.clone() };
            let versions = pins.beside(&name)?.iter();
            let versions = versions.filter_map(|id| Some((id.clone(), pins.get(id).ok()?.version.clone())));
            Some((source.clone(), versions.collect()))
        });
        let shared = shared.collect();
        Self { own, shared }
    }

    /// The secrets that other apps put into what is read, with the versions that are in force.
    pub fn shared(&self) -> impl Iterator<Item = (&SecretId, &Box<str>)> {
        self.shared.values().flatten()
    }

    /// Whether nothing else has to be looked at for an object that changed: it is no content that others read, and it reads
    /// what it did before.
    pub fn suffice(
        &self,
        changed: &Manifest,
        before: impl FnOnce() -> Value,
        default_namespace: Option<&str>,
        pins: &Pins,
    ) -> bool {
        if let Some(source) = source(changed, default_namespace) {
            return match self.own.get(&source) {
                Some(known) => known.as_ref() == Some(&content(changed.value(), changed.is_secret(), pins)),
                None => true,
            };
        }
        if !may_read(changed.gvk()) {
            return true;
        }
        let Ok(before) = Manifest::new(&before(), changed.origin.clone()) else { return false };
        let read = |object: &Manifest| {
            let value = object.value();
            (Reload::of(&changed.key(), &value), reads(object, &value, default_namespace))
        };
        read(changed) == read(&before)
    }

    /// The digests of what an object reads. `Err` is a word that nobody knows.
    pub fn digests(
        &self,
        object: &Manifest,
        value: &Value,
        default_namespace: Option<&str>,
    ) -> Result<ConfigDigests, String> {
        let read = rolled_for(object, value, default_namespace)?;
        let own = self.own.iter().filter(|(source, _)| read.contains(source));
        let own = own.filter_map(|(source, digest)| Some((source, digest.as_ref()?)));
        let own = own.flat_map(|(source, digest)| {
            [if source.secret { "Secret" } else { "ConfigMap" }, &source.name, digest.as_str()]
        });
        let mut shared: Vec<String> = Vec::new();
        for (source, versions) in self.shared.iter().filter(|(source, _)| read.contains(source)) {
            for (secret, version) in versions {
                shared.extend([source.name.to_string(), secret.to_string(), version.to_string()]);
            }
        }
        Ok(ConfigDigests {
            own: short(own.collect()),
            shared: short(shared.iter().map(String::as_str).collect()),
        })
    }
}

fn short(parts: Vec<&str>) -> Option<Box<str>> {
    let is_some = !parts.is_empty();
    is_some.then(|| Digest::of_parts(parts).as_str()[..DIGITS].into())
}

impl Step {
    /// Whether digests go into the pod template.
    pub fn rolls(&self) -> bool {
        !self.template_digests().is_empty()
    }

    /// The digests that go into the pod template, by annotation: those of what the pods were started with another of, and
    /// those that stand there already.
    pub fn template_digests(&self) -> Vec<(&'static str, &str)> {
        let Some(live) = self.live.as_deref() else { return Vec::new() };
        let wanted = &self.wanted;
        let digests = [
            (CONFIG, wanted.config.as_deref(), live.config.as_deref()),
            (SHARED_CONFIG, wanted.shared.as_deref(), live.shared.as_deref()),
        ];
        let digests = digests.map(|(name, wanted, live)| Some((name, wanted?, live)));
        if digests.iter().all(Option::is_none) {
            return Vec::new();
        }
        let owned = live.owned.as_ref().map(|owned| owned.fields());
        let Some(Value::Object(owned)) = owned else { return Vec::new() };
        let goes = |name: &str, wanted: &str, live: Option<&str>| {
            let field = format!("f:{name}");
            let here = ["f:metadata", "f:annotations", &field];
            let template = ["f:spec", "f:template", "f:metadata", "f:annotations", &field];
            // What somebody else wrote there is no word of ours.
            holds(&owned, &template) || (holds(&owned, &here) && is_other(live, wanted))
        };
        let digests = digests.into_iter().flatten().filter(|(name, wanted, live)| goes(name, wanted, *live));
        digests.map(|(name, wanted, _)| (name, wanted)).collect()
    }
}

fn is_other(live: Option<&str>, wanted: &str) -> bool {
    live.is_some_and(|live| live != wanted)
}

/// Puts digests into the pod template.
pub fn put(value: &mut Value, digests: &[(&str, &str)]) {
    let Some(Value::Object(template)) = value["spec"].get_mut("template") else { return };
    let annotations = child(child(template, "metadata"), "annotations");
    annotations.extend(digests.iter().map(|(name, digest)| ((*name).to_owned(), Value::from(*digest))));
}

pub fn child<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made a map")
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

#[cfg(test)]
mod tests;
