//! Reads a release's data; `tests/schema-gen/generate.py`, which writes it, explains its letters.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::types::{Field, Items, Patch, Shape, Type};
use super::{Builtin, Removed};
use crate::object::{Gvk, KindInfo, KindScope, Kinds};

/// Served versions with their types, the preferred one first.
type Versions = Vec<(String, u32)>;

#[derive(Deserialize)]
struct Data {
    version: String,
    kinds: Vec<(String, String, String, bool, Versions)>,
    removed: Vec<(String, String, String, String, Option<String>)>,
    types: Vec<(String, BTreeMap<String, String>)>,
}

pub(super) fn parse(text: &str) -> Builtin {
    let data: Data = serde_json::from_str(text).expect("the generated schema data is JSON of its own shape");
    let mut kinds = Kinds::default();
    let mut roots = std::collections::HashMap::new();
    for (group, kind, plural, namespaced, versions) in data.kinds {
        for (version, at) in &versions {
            roots.insert(Gvk::new(&group, version, &kind), *at);
        }
        let scope = if namespaced { KindScope::Namespaced } else { KindScope::Cluster };
        let versions = versions.into_iter().map(|(version, _)| version).collect();
        kinds.insert(&group, &kind, KindInfo { plural, scope, versions });
    }
    let removed = data.removed.into_iter().map(|(group, version, kind, release, instead)| {
        (Gvk::new(&group, &version, &kind), Removed { release, instead })
    });
    let types = data.types.into_iter().map(|(name, fields)| Type {
        name,
        fields: fields.into_iter().map(|(name, text)| (name, field(&text))).collect(),
    });
    Builtin { release: data.version, kinds, removed: removed.collect(), roots, types: types.collect() }
}

fn field(text: &str) -> Field {
    let mut words = text.split('|');
    let shape = shape(words.next().unwrap_or_default());
    let mut field = Field { shape, required: false, items: Items::Unsaid, patch: None };
    for word in words {
        match word.split_once('=') {
            None if word == "r" => field.required = true,
            None if word == "l" => field.items = Items::Set,
            None => field.items = Items::Atomic,
            Some(("l", keys)) => field.items = Items::Keyed(keys.split(',').map(str::to_owned).collect()),
            Some(("p", strategy)) => {
                let has = |wanted: &str| strategy.split(',').any(|word| word == wanted);
                field.patch = Some(Patch {
                    merge: has("merge"),
                    retain_keys: has("retainKeys"),
                    replace: has("replace"),
                    merge_key: None,
                });
            }
            // The generator writes the merge key after the strategy.
            Some((_, key)) => {
                if let Some(patch) = &mut field.patch {
                    patch.merge_key = Some(key.to_owned());
                }
            }
        }
    }
    field
}

fn shape(text: &str) -> Shape {
    match text.split_at_checked(1) {
        Some(("[", items)) => Shape::List(Box::new(shape(items))),
        Some(("{", values)) => Shape::Map(Box::new(shape(values))),
        Some(("#", number)) => number.parse().map_or(Shape::Anything, Shape::Type),
        Some(("s", _)) => Shape::Text,
        Some(("i", _)) => Shape::Integer,
        Some(("n", _)) => Shape::Number,
        Some(("b", _)) => Shape::Boolean,
        Some(("o", _)) => Shape::Object,
        Some(("x", _)) => Shape::IntegerOrText,
        Some(("q", _)) => Shape::Quantity,
        Some(("t", _)) => Shape::Time,
        Some(("y", _)) => Shape::Base64,
        _ => Shape::Anything,
    }
}
