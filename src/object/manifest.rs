use serde::Serialize;
use serde_json::Value;

use super::{AppName, Digest, EnvironmentName, Gvk, Hash, Hashes, ObjectKey, Place};

/// What changed an object on its way from its first file: for `explain`, and for the place that an error names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Touch {
    /// `patch`, `namespace`, `images` …
    pub by: &'static str,
    pub place: Place,
}

/// Where an object came from: the place of its first line, and whatever touched it since, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    pub place: Place,
    pub touched: Vec<Touch>,
}

impl Origin {
    pub fn new(place: Place) -> Self {
        Self { place, touched: Vec::new() }
    }
}

/// One object that has what every object needs: `apiVersion`, `kind`, `metadata.name`.
///
/// It holds its JSON as text: ten thousand objects of 3 KiB are 30 MB this way and 150 MB as trees of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    gvk: Gvk,
    name: Box<str>,
    namespace: Option<Box<str>>,
    /// Compact, keys sorted: equal content is equal text.
    json: Box<str>,
    pub origin: Origin,
}

/// Why a value is not an object that can be sent to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAManifest {
    #[error("this document is {0}, not an object")]
    NotAMap(&'static str),
    #[error("the object has no {0}")]
    Missing(&'static str),
    #[error("the object's {0} must be a string")]
    NotText(&'static str),
    #[error("lists and maps of the object are nested more than {} deep", Manifest::DEEPEST)]
    TooDeep,
}

/// The texts by which an object is known, each as it was found: `Err` where there is something that is no text.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub api_version: Result<&'a str, ()>,
    pub kind: Result<&'a str, ()>,
    pub name: Result<&'a str, ()>,
    pub namespace: &'a str,
}

impl Manifest {
    /// Lists and maps inside one another: serde_json reads up to 127. No file is so deep, but patches put one into another.
    pub const DEEPEST: usize = 120;

    pub fn new(value: &Value, origin: Origin) -> Result<Self, NotAManifest> {
        match value {
            Value::Object(_) => {}
            Value::Array(_) => return Err(NotAManifest::NotAMap("a list")),
            Value::Null => return Err(NotAManifest::NotAMap("empty")),
            _ => return Err(NotAManifest::NotAMap("a single value")),
        }
        fn text(value: &Value) -> Result<&str, ()> {
            match value {
                Value::Null => Ok(""),
                Value::String(text) => Ok(text),
                _ => Err(()),
            }
        }
        let identity = Identity {
            api_version: text(&value["apiVersion"]),
            kind: text(&value["kind"]),
            name: text(&value["metadata"]["name"]),
            namespace: value["metadata"]["namespace"].as_str().unwrap_or_default(),
        };
        Self::written(identity, &value.to_string(), origin)
    }

    /// An object of which the JSON is there already: compact, keys sorted.
    pub fn written(identity: Identity<'_>, json: &str, origin: Origin) -> Result<Self, NotAManifest> {
        let text = |found: Result<&'_ str, ()>, field: &'static str| match found {
            Ok("") => Err(NotAManifest::Missing(field)),
            Ok(text) => Ok(text.to_owned()),
            Err(()) => Err(NotAManifest::NotText(field)),
        };
        let api_version = text(identity.api_version, "apiVersion")?;
        let kind = text(identity.kind, "kind")?;
        let name = text(identity.name, "metadata.name")?.into();
        let namespace = Some(identity.namespace).filter(|namespace| !namespace.is_empty()).map(Into::into);
        let gvk = Gvk::from_api_version(&api_version, &kind);
        if is_deeper(json, Self::DEEPEST) {
            return Err(NotAManifest::TooDeep);
        }
        Ok(Self { gvk, name, namespace, json: json.into(), origin })
    }

    pub fn gvk(&self) -> &Gvk {
        &self.gvk
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.gvk.group, &self.gvk.kind, self.namespace(), &self.name)
    }

    pub fn is_secret(&self) -> bool {
        &*self.gvk.kind == "Secret" && self.gvk.group.is_empty()
    }

    pub fn json(&self) -> &str {
        &self.json
    }

    /// Reads the JSON: for one look at one object at a time.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).expect("we wrote this JSON ourselves")
    }

    pub fn hash(&self) -> Hash {
        Hash::of(self.json.as_bytes())
    }
}

fn is_deeper(json: &str, most: usize) -> bool {
    // Most objects do not open so many at all.
    if json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= most {
        return false;
    }
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    json.bytes().any(|byte| {
        match (in_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > most
    })
}

/// What a render is made for. The region decides which regional component joins; the rest names the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RenderContext {
    pub environment: EnvironmentName,
    pub app: AppName,
    pub cluster: Option<String>,
    pub region: Option<String>,
    pub role: Option<String>,
}

/// A word about the input that is not an error: said by `validate` and in plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    pub place: Option<Place>,
    pub message: String,
}

/// What an app renders to: its objects, unique by key, in the order they were written.
#[derive(Clone, Debug)]
pub struct Desired {
    pub app: AppName,
    pub objects: Vec<Manifest>,
    pub notes: Vec<Note>,
    /// What it has in other regions alone, by what this one is now.
    pub elsewhere: Vec<Manifest>,
    /// What each object's content hashes to, in their order.
    contents: Hashes,
    digest: Digest,
}

impl Desired {
    pub fn new(app: AppName, objects: Vec<Manifest>, notes: Vec<Note>) -> Self {
        let contents: Hashes = objects.iter().map(Manifest::hash).collect();
        // In no order, so that moving a file changes nothing.
        let digest = contents.digest();
        Self { app, objects, notes, elsewhere: Vec::new(), contents, digest }
    }

    pub fn contents(&self) -> &Hashes {
        &self.contents
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_again_is_no_manifest() {
        let origin = || Origin::new(Place::file(crate::object::TreePath::root()));
        let deep = |depth: usize| {
            let mut value = Value::from("[[{\\\"{[");
            (0..depth).for_each(|_| value = Value::Array(vec![value.take()]));
            serde_json::json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "x": value})
        };
        let deepest = Manifest::new(&deep(Manifest::DEEPEST - 1), origin()).unwrap();
        assert_eq!(deepest.value()["kind"], "A");
        assert_eq!(Manifest::new(&deep(Manifest::DEEPEST), origin()), Err(NotAManifest::TooDeep));
        let mut wide = deep(1);
        wide["x"] = vec![Value::Array(vec!["]}".repeat(9).into()]); 500].into();
        assert!(Manifest::new(&wide, origin()).is_ok(), "many beside one another are not deep");
    }
}
