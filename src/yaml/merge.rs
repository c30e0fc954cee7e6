//! `<<`: the entries of other maps.

use std::collections::HashSet;

use super::leaf::Unfit;
use super::map::Growing;
use super::{Dialect, Map, Node};

/// What waits for the end of its map: in YAML what the map says itself wins, wherever it says it.
pub(super) type Waiting = Vec<Map>;

/// Keys that only a `<<` has given so far: the map may give them once more.
pub(super) type Brought = HashSet<String>;

/// Takes in what a `<<` brings.
///
/// In YAML, and in kustomize, the map's own entries win. In go-yaml v2, so for kubectl, the later line wins. Of a list
/// the earlier map wins in both.
pub(super) fn merge(
    value: Node,
    map: &mut Growing,
    waiting: &mut Waiting,
    given: &mut Brought,
    dialect: Dialect,
) -> Result<(), Unfit> {
    let brought = maps(value)?;
    if dialect != Dialect::Kustomize {
        for (key, value) in brought.into_iter().rev().flatten() {
            if map.get(&key).is_none() {
                given.insert(key.clone());
            }
            map.set(key, value);
        }
        return Ok(());
    }
    if !waiting.is_empty() {
        return Err(Unfit::hint("<< is given twice", "write one << with a list"));
    }
    *waiting = brought;
    Ok(())
}

pub(super) fn finish(map: &mut Growing, waiting: Waiting) {
    for (key, value) in waiting.into_iter().flatten() {
        // What is there already stays.
        let _ = map.add(key, value);
    }
}

/// Whether the two rules give different maps.
pub(super) fn depends_on_order(value: &Node, map: &Growing) -> bool {
    let differs = |brought: &Node| {
        let mut entries = brought.as_map().into_iter().flatten();
        entries.any(|(key, value)| map.get(key).is_some_and(|own| own != value))
    };
    match value {
        Node::List(items) => items.iter().any(differs),
        other => differs(other),
    }
}

fn maps(value: Node) -> Result<Waiting, Unfit> {
    let unfit = || Unfit::new("<< takes a map or a list of maps");
    match value {
        Node::Map(map) => Ok(vec![map]),
        Node::List(items) => items
            .into_iter()
            .map(|item| match item {
                Node::Map(map) => Ok(map),
                _ => Err(unfit()),
            })
            .collect(),
        _ => Err(unfit()),
    }
}
