use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{AppName, Digest, EnvironmentName, Gvk, ObjectKey, Place};

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
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    gvk: Gvk,
    name: Box<str>,
    value: Value,
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
}

impl Manifest {
    pub fn new(value: Value, origin: Origin) -> Result<Self, NotAManifest> {
        let map = match &value {
            Value::Object(map) => map,
            Value::Array(_) => return Err(NotAManifest::NotAMap("a list")),
            Value::Null => return Err(NotAManifest::NotAMap("empty")),
            _ => return Err(NotAManifest::NotAMap("a single value")),
        };
        let text = |value: Option<&Value>, field: &'static str| match value {
            None | Some(Value::Null) => Err(NotAManifest::Missing(field)),
            Some(Value::String(text)) if text.is_empty() => Err(NotAManifest::Missing(field)),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(NotAManifest::NotText(field)),
        };
        let api_version = text(map.get("apiVersion"), "apiVersion")?;
        let kind = text(map.get("kind"), "kind")?;
        let name = text(map.get("metadata").and_then(|metadata| metadata.get("name")), "metadata.name")?;
        Ok(Self { gvk: Gvk::from_api_version(&api_version, &kind), name: name.into(), value, origin })
    }

    pub fn gvk(&self) -> &Gvk {
        &self.gvk
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty())
    }

    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.gvk.group, &self.gvk.kind, self.namespace(), &self.name)
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn into_value(self) -> Value {
        self.value
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["annotations"][name].as_str()
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["labels"][name].as_str()
    }

    pub fn digest(&self) -> Digest {
        Digest::of_json(&self.value)
    }

    /// The same object with its content changed; what makes it that object must still be there afterwards.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), NotAManifest> {
        let origin = self.origin.clone();
        let mut value = std::mem::take(&mut self.value);
        change(&mut value);
        *self = Self::new(value, origin)?;
        Ok(())
    }
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
    digest: Digest,
}

impl Desired {
    pub fn new(app: AppName, objects: Vec<Manifest>, notes: Vec<Note>) -> Self {
        // By key, so that moving a file changes nothing.
        let by_key: BTreeMap<ObjectKey, Digest> =
            objects.iter().map(|object| (object.key(), object.digest())).collect();
        let parts: Vec<String> = by_key.iter().map(|(key, digest)| format!("{key} {digest}")).collect();
        let digest = Digest::of_parts(parts.iter().map(String::as_str));
        Self { app, objects, notes, digest }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}
