//! `<<`: the entries of other maps.

use serde_json::{Map, Value};

use super::Dialect;
use super::node::Unfit;

/// What waits for the end of its map: in YAML what the map says itself wins, wherever it says it.
pub(super) type Waiting = Vec<Map<String, Value>>;

/// Takes in what a `<<` brings.
///
/// In YAML, and in kustomize, the map's own entries win. In go-yaml v2, so for kubectl, the later line wins. Of a list
/// the earlier map wins in both.
pub(super) fn merge(
    value: Value,
    map: &mut Map<String, Value>,
    waiting: &mut Waiting,
    dialect: Dialect,
) -> Result<(), Unfit> {
    let brought = maps(value)?;
    if dialect != Dialect::Kustomize {
        map.extend(brought.into_iter().rev().flatten());
        return Ok(());
    }
    if !waiting.is_empty() {
        return Err(Unfit::hint("<< is given twice", "write one << with a list"));
    }
    *waiting = brought;
    Ok(())
}

pub(super) fn finish(map: &mut Map<String, Value>, waiting: Waiting) {
    for (key, value) in waiting.into_iter().flatten() {
        map.entry(key).or_insert(value);
    }
}

/// Whether the two rules give different maps.
pub(super) fn depends_on_order(value: &Value, map: &Map<String, Value>) -> bool {
    let differs = |brought: &Value| {
        let mut entries = brought.as_object().into_iter().flatten();
        entries.any(|(key, value)| map.get(key).is_some_and(|own| own != value))
    };
    match value {
        Value::Array(items) => items.iter().any(differs),
        other => differs(other),
    }
}

fn maps(value: Value) -> Result<Waiting, Unfit> {
    let unfit = || Unfit::new("<< takes a map or a list of maps");
    match value {
        Value::Object(map) => Ok(vec![map]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => Ok(map),
                _ => Err(unfit()),
            })
            .collect(),
        _ => Err(unfit()),
    }
}
