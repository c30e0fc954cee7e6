//! Secrets that hold references: in which version each is to be written, and that references stand nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::wanted::Wanted;
use crate::object::secret::{
    FROM, Pick, Pin, Pins, Sealed, SecretId, SecretName, Unpinned, VERSIONS, find_reference, versions_of,
    write_versions,
};
use crate::object::{Digest, Manifest, ObjectKey, Place};

/// The secrets that an app refers to, each with the version that is pinned. What cannot be read is told when its object is
/// stamped.
pub(super) fn secrets_of(objects: &[Manifest], pins: &Pins) -> BTreeMap<SecretId, Option<Box<str>>> {
    let mut found = BTreeMap::new();
    for object in objects.iter().filter(|object| object.is_secret()) {
        let mut value = object.value();
        let Some(sealed) = value.as_object_mut().and_then(|root| Sealed::seal(root).ok()).flatten() else {
            continue;
        };
        for secret in sealed.secrets() {
            found.insert(secret.clone(), pins.get(secret).ok().map(|pin| pin.version.clone()));
        }
    }
    found
}

/// The secrets of objects as they were stored, in the versions that they were written with.
pub(super) fn pinned(objects: &[Arc<Wanted>]) -> BTreeMap<SecretId, Option<Box<str>>> {
    let secrets = objects.iter().filter(|object| object.is_secret());
    secrets
        .flat_map(|object| versions_of(&object.value()))
        .map(|(secret, version)| (secret, Some(version)))
        .collect()
}

/// A Secret of an app that holds references: what has to be known before it can be written.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedSecret {
    pub key: ObjectKey,
    /// Where it will be.
    pub name: SecretName,
    pub place: Place,
    /// Its `type`; `Opaque` where it says none.
    pub kind: Box<str>,
    pub sealed: Sealed,
    /// The keys that git holds as they are, in base64.
    pub plain: Map<String, Value>,
}

/// The Secrets of an app that hold references. What cannot be read is told when it is stamped.
pub fn sealed_secrets(objects: &[Manifest], default_namespace: Option<&str>) -> Vec<SealedSecret> {
    let read = |object: &Manifest| {
        let mut value = object.value();
        let root = value.as_object_mut()?;
        let sealed = Sealed::seal(root).ok()??;
        super::readers::encode_string_data(root);
        let mut plain = root.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        sealed.sealed_keys().for_each(|key| {
            plain.remove(key);
        });
        let kind = root.get("type").and_then(Value::as_str).unwrap_or("Opaque").into();
        let namespace = object.namespace().or(default_namespace).map(Into::into);
        let name = SecretName { namespace, name: object.name().into() };
        Some(SealedSecret {
            key: object.key(),
            name,
            place: object.origin.place.clone(),
            kind,
            sealed,
            plain,
        })
    };
    objects.iter().filter(|object| object.is_secret()).filter_map(read).collect()
}

/// The digest of an app: of what it renders to, and of the versions of its secrets.
pub(super) fn mixed(content: &Digest, secrets: &BTreeMap<SecretId, Option<Box<str>>>) -> Digest {
    let pinned: Vec<(String, &str)> = secrets
        .iter()
        .filter_map(|(secret, version)| Some((secret.to_string(), version.as_deref()?)))
        .collect();
    if pinned.is_empty() {
        return content.clone();
    }
    let parts = pinned.iter().flat_map(|(secret, version)| [secret.as_str(), *version]);
    Digest::of_parts(std::iter::once(content.as_str()).chain(parts))
}

/// Reads the references of a Secret, and writes down on it in which versions they are.
pub(super) fn seal(secret: &mut Map<String, Value>, pins: &Pins) -> Result<(), String> {
    if let Some(Value::Object(annotations)) =
        secret.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"))
    {
        annotations.remove(VERSIONS);
    }
    let Some(mut sealed) = Sealed::seal(secret)? else { return Ok(()) };
    let moving = sealed.secrets().into_iter().find(|id| !matches!(id.pick, Pick::Version(_)));
    if let Some(moving) = moving
        && secret.get("immutable") == Some(&Value::Bool(true))
    {
        return Err(format!(
            "it is immutable, and {moving} may change: name a version (`@VERSION-ID`), or leave `immutable` out"
        ));
    }
    let mut pinned: Vec<(SecretId, Pin)> = Vec::new();
    let mut troubles = Vec::new();
    for id in sealed.secrets() {
        match pins.get(id) {
            Ok(pin) => pinned.push((id.clone(), pin.clone())),
            Err(Unpinned::Offline) => return Ok(()),
            Err(Unpinned::Trouble(why)) => troubles.push(why),
        }
    }
    if !troubles.is_empty() {
        return Err(troubles.join("; "));
    }
    if let Some(whole) = sealed.whole() {
        let pin = pinned.iter().find(|(id, _)| *id == whole.secret);
        let keys = pin.and_then(|(_, pin)| pin.keys.get(&whole.key)).cloned();
        // A Secret without them would be written empty.
        let keys = keys.ok_or_else(|| format!("the keys of {whole} are not known yet"))?;
        sealed.expand(secret, &keys);
    }
    let versions = write_versions(pinned.iter().map(|(id, pin)| (id, pin)));
    let metadata = super::readers::child(secret, "metadata");
    super::readers::child(metadata, "annotations").insert(VERSIONS.into(), versions.into());
    Ok(())
}

/// Refuses references where no value may stand: anywhere but in `data` and `stringData` of a Secret.
pub(super) fn refuse_misplaced(manifest: &Manifest, value: &Value) -> Result<(), String> {
    let has_from = manifest.json().contains(FROM);
    if !manifest.json().contains("${aws-") && !has_from {
        return Ok(());
    }
    let secret = manifest.is_secret();
    if has_from && !secret && value["metadata"]["annotations"].get(FROM).is_some() {
        return Err(format!("{} bears the annotation {FROM}, which only a Secret may", manifest.key()));
    }
    let mut path = String::new();
    match misplaced(value, &mut path, secret) {
        None => Ok(()),
        Some(at) => Err(format!(
            "{} refers to a secret at {at}: references stand in `data` and `stringData` of a Secret, and nowhere else",
            manifest.key()
        )),
    }
}

/// Where a reference stands that must not. Of a Secret only what is outside of its data is looked at.
fn misplaced(value: &Value, path: &mut String, is_secret: bool) -> Option<String> {
    match value {
        Value::String(text) => find_reference(text).map(|_| path.clone()),
        Value::Array(items) => items.iter().enumerate().find_map(|(n, item)| {
            let length = path.len();
            path.push_str(&format!("[{n}]"));
            let found = misplaced(item, path, false);
            path.truncate(length);
            found
        }),
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let length = path.len();
            path.push('.');
            if find_reference(name).is_some() {
                return Some(format!("a key below {}", path.trim_end_matches('.')));
            }
            path.push_str(name);
            let holds_values = is_secret && matches!(name.as_str(), "data" | "stringData");
            let found = match value {
                Value::Object(data) if holds_values => data
                    .keys()
                    .any(|key| find_reference(key).is_some())
                    .then(|| format!("a key below {path}")),
                value => misplaced(value, path, false),
            };
            path.truncate(length);
            found
        }),
        _ => None,
    }
}

#[cfg(test)]
pub mod tests;
