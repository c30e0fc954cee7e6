//! A Secret whose strings hold references: which of its keys, and where.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::reference::{find_reference, unescape};
use super::{Reference, SecretId};

/// The annotation that takes a whole JSON secret: each of its keys becomes a key of the Secret.
pub const FROM: &str = "fairlead.dev/from";
/// The annotation that says with which versions a Secret was written.
pub const VERSIONS: &str = "fairlead.dev/secret-versions";

/// The references of a Secret, key by key.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    pub(super) keys: BTreeMap<Box<str>, Vec<Part>>,
    /// What [`FROM`] names.
    pub(super) whole: Option<Reference>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(Box<str>),
    Hole(Reference),
}

impl Sealed {
    /// Finds the references of a Secret as git has it. Strings that hold some stand in `data` afterwards, as the text they
    /// are in git; of the others, escapes are taken out. What cannot be read is told with its key.
    pub fn seal(secret: &mut Map<String, Value>) -> Result<Option<Self>, String> {
        let mut keys = BTreeMap::new();
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for field in ["data", "stringData"] {
            let Some(Value::Object(map)) = secret.get_mut(field) else { continue };
            let mut taken = Vec::new();
            for (key, value) in map.iter_mut() {
                let Some(text) = value.as_str() else { continue };
                // `data` is base64, be it of a reference: that is how kustomize and charts write one.
                let decoded = if field == "data" && !text.contains("${") { decoded(text) } else { None };
                let is_encoded = decoded.is_some();
                let text = decoded.as_deref().unwrap_or(text);
                match parts(text) {
                    Ok(Some(found)) => taken.push((key.clone(), text.to_owned(), found)),
                    Ok(None) if text.contains("$${aws-") => {
                        let plain = unescape(text);
                        *value = Value::from(if is_encoded { STANDARD.encode(plain) } else { plain });
                    }
                    Ok(None) => {}
                    Err(why) => return Err(format!("{field}.{key}: {why}")),
                }
            }
            for (key, text, found) in taken {
                map.remove(&key);
                texts.insert(key.clone(), text);
                keys.insert(key.into_boxed_str(), found);
            }
            // What `stringData` says of a key that `data` has, too, is what counts.
            if field == "stringData" {
                for key in map.keys() {
                    keys.remove(key.as_str());
                    texts.remove(key);
                }
            }
        }
        let whole = Self::read_from(secret)?;
        if !texts.is_empty() {
            let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(data) = data {
                data.extend(texts.into_iter().map(|(key, text)| (key, Value::from(text))));
            }
        }
        Ok((!keys.is_empty() || whole.is_some()).then_some(Self { keys, whole }))
    }

    /// Finds the references of a Secret that [`Self::seal`] went through before.
    pub fn read(secret: &Value) -> Option<Self> {
        let mut keys = BTreeMap::new();
        for (key, value) in secret["data"].as_object().into_iter().flatten() {
            // base64 has no `$`.
            if let Some(Ok(Some(found))) = value.as_str().map(parts) {
                keys.insert(key.as_str().into(), found);
            }
        }
        let is_expanded = secret["metadata"]["annotations"].get(VERSIONS).is_some();
        let from = secret.as_object().filter(|_| !is_expanded);
        let whole = from.and_then(|secret| Self::read_from(secret).ok()).flatten();
        (!keys.is_empty() || whole.is_some()).then_some(Self { keys, whole })
    }

    fn read_from(secret: &Map<String, Value>) -> Result<Option<Reference>, String> {
        let Some(from) = secret.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(FROM))
        else {
            return Ok(None);
        };
        let text = from.as_str().unwrap_or_default();
        let found =
            Reference::parse(text).map_err(|why| format!("the annotation {FROM} is {text:?}: {why}"))?;
        Ok(Some(found))
    }

    /// Takes the annotation [`FROM`] apart into a reference for each of the keys that the secret has.
    pub fn expand(&mut self, secret: &mut Map<String, Value>, keys: &[Box<str>]) {
        let Some(whole) = self.whole.take() else { return };
        let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(data) = data else { return };
        for key in keys {
            // What git says of a key counts before what comes from outside.
            if data.contains_key(&**key) {
                continue;
            }
            let mut reference = whole.clone();
            reference.key.push(key.clone());
            data.insert(key.to_string(), Value::from(format!("${{{reference}}}")));
            self.keys.insert(key.clone(), vec![Part::Hole(reference)]);
        }
    }

    /// What its annotation [`FROM`] names.
    pub fn whole(&self) -> Option<&Reference> {
        self.whole.as_ref()
    }

    /// The keys of the Secret whose values hold references.
    pub fn sealed_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(|key| &**key)
    }

    /// Every reference.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let holes = self.keys.values().flatten().filter_map(|part| match part {
            Part::Hole(reference) => Some(reference),
            Part::Text(_) => None,
        });
        holes.chain(&self.whole)
    }

    /// What has to be read for it.
    pub fn secrets(&self) -> BTreeSet<&SecretId> {
        self.references().map(|reference| &reference.secret).collect()
    }
}

fn decoded(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok().filter(|text| text.contains("${aws-"))
}

/// Takes a text apart, where it holds references.
fn parts(text: &str) -> Result<Option<Vec<Part>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((range, found)) = find_reference(rest) {
        let reference = found.map_err(|bad| bad.to_string())?;
        let before = rest.get(..range.start).unwrap_or_default();
        if !before.is_empty() {
            parts.push(Part::Text(unescape(before).into()));
        }
        parts.push(Part::Hole(reference));
        rest = rest.get(range.end..).unwrap_or_default();
    }
    if parts.is_empty() {
        return Ok(None);
    }
    if !rest.is_empty() {
        parts.push(Part::Text(unescape(rest).into()));
    }
    Ok(Some(parts))
}
