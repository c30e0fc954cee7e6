//! Lists with two merge keys: container ports, service ports, topology spread constraints.
//!
//! Items may leave a key out (`protocol`), and kustomize then pairs them by the keys that are there. This follows its
//! steps, because the order of the result hangs on them, and refuses where they lose an item.

use super::schema::Schema;
use super::strategic::{Fault, Merger};
use crate::yaml::Node;

type Keys = Vec<String>;

pub(super) fn merge<'a>(
    merger: &mut Merger<'a>,
    dest: Vec<Node>,
    patch: Vec<Node>,
    keys: &[String],
    schema: Option<Schema<'a>>,
) -> Result<Vec<Node>, Fault> {
    let mut all: Vec<Keys> = Vec::new();
    for item in patch.iter().chain(&dest) {
        let values: Keys = keys.iter().map(|key| key_text(item, key)).collect();
        if !all.contains(&values) {
            all.push(values);
        }
    }
    for one in 0..all.len() {
        for other in 0..all.len() {
            if let Some(both) = join(&all[one], &all[other]) {
                all[one].clone_from(&both);
                all[other] = both;
            }
        }
    }
    let used: Vec<usize> =
        (0..keys.len()).filter(|&at| all.iter().any(|values| !values[at].is_empty())).collect();
    if used.is_empty() && !all.is_empty() {
        return Err(merger.lost_item());
    }
    if all.iter().any(|values| used.iter().all(|&at| values[at].is_empty())) {
        return Err(merger.lost_item());
    }
    let before: Vec<Keys> = dest.iter().map(|item| tuple(item, keys)).collect();
    let mut dest: Vec<Option<Node>> = dest.into_iter().map(Some).collect();
    let mut deleted: Vec<usize> = Vec::new();
    // What was merged, in the order of the patch and then of the object; with the place in the object where it has one.
    let mut merged: Vec<(Option<usize>, Node)> = Vec::new();
    for (nth, values) in all.iter().enumerate() {
        if all[..nth].contains(values) {
            continue;
        }
        let given: Vec<usize> = used.iter().copied().filter(|&at| !values[at].is_empty()).collect();
        let fits = |item: &Node| given.iter().all(|&at| has(item, &keys[at], &values[at]));
        let at = dest.iter().position(|item| item.as_ref().is_some_and(fits));
        let change = patch.iter().find(|item| fits(item)).cloned();
        // What leaves out a key that counts is not found when it shall go, and stays as it was.
        let stays = given.len() < used.len()
            && at.is_some_and(|at| used.iter().any(|&key| before[at][key].is_empty()));
        let unchanged = at.filter(|_| stays).and_then(|at| dest[at].clone());
        let original = at.and_then(|at| dest[at].take());
        match merger.merge_item(original, change, schema)?.filter(|item| !item.is_empty()) {
            None if stays => {
                if let Some(at) = at {
                    dest[at] = unchanged;
                }
            }
            // With all others of its keys.
            None => {
                deleted.extend((0..before.len()).filter(|&n| at.is_some_and(|at| before[n] == before[at])))
            }
            Some(mut item) => {
                for &key in &used {
                    if let Some(map) = item.as_map_mut()
                        && !map.contains_key(&keys[key])
                        && !values[key].is_empty()
                    {
                        map.insert(keys[key].clone(), plain(&values[key]));
                    }
                }
                merged.push((at, item));
            }
        }
    }
    let result = if used.len() == 1 {
        // One key that counts: as in any other list, the patch's items first. Of items of one key the last one counts, as
        // it is written, at the place of the first; where one is deleted, all are.
        let mut result: Vec<Node> = merged.into_iter().map(|(_, item)| item).collect();
        for item in dest.into_iter().flatten() {
            let key = &keys[used[0]];
            let at = result.iter().position(|other| key_text(other, key) == key_text(&item, key));
            if let (Some(at), Some(item)) = (at, merger.merge_item(Some(item), None, schema)?) {
                result[at] = item;
            }
        }
        result
    } else {
        in_the_objects_order(merged, dest, keys, &used)
    };
    let kept = |wanted: &Keys| {
        result.iter().any(|item| {
            let have = tuple(item, keys);
            wanted.iter().zip(&have).all(|(wanted, have)| wanted.is_empty() || wanted == have)
        })
    };
    let mut distinct: Vec<&Keys> = Vec::new();
    for (at, wanted) in before.iter().enumerate() {
        if !deleted.contains(&at) && !distinct.contains(&wanted) {
            distinct.push(wanted);
        }
    }
    let gone = |item: &Node| item.get("$patch").is_some();
    let patch_kept =
        patch.iter().filter(|item| !gone(item)).all(|item| result.iter().any(|have| covers(have, item)));
    if result.len() < distinct.len() || !distinct.into_iter().all(kept) || !patch_kept {
        return Err(merger.lost_item());
    }
    Ok(result)
}

/// New items first, then those of the object in its order. One that leaves a key out takes the place of all that agree
/// with it in the others.
fn in_the_objects_order(
    merged: Vec<(Option<usize>, Node)>,
    mut dest: Vec<Option<Node>>,
    keys: &[String],
    used: &[usize],
) -> Vec<Node> {
    let mut result = Vec::new();
    for (at, item) in merged {
        match at {
            Some(at) => dest[at] = Some(item),
            None => result.push(item),
        }
    }
    for item in dest.into_iter().flatten() {
        let given: Vec<&String> =
            used.iter().map(|&at| &keys[at]).filter(|key| item.get(key).is_some()).collect();
        let same = |other: &Node| given.iter().all(|key| key_text(other, key) == key_text(&item, key));
        result.retain(|other| !same(other));
        result.push(item);
    }
    result
}

fn tuple(item: &Node, keys: &[String]) -> Keys {
    keys.iter().map(|key| key_text(item, key)).collect()
}

fn key_text(item: &Node, key: &str) -> String {
    item.get(key).filter(|value| !value.is_empty()).and_then(Node::scalar).unwrap_or_default()
}

fn has(item: &Node, key: &str, value: &str) -> bool {
    item.get(key).and_then(Node::scalar).is_some_and(|text| text == value)
}

/// Two tuples that agree in one key and contradict each other in none name one item.
fn join(one: &Keys, other: &Keys) -> Option<Keys> {
    let mut agree = false;
    let mut both = Keys::new();
    for (one, other) in one.iter().zip(other) {
        if one == other {
            agree = true;
        } else if !one.is_empty() && !other.is_empty() {
            return None;
        }
        both.push(if one.is_empty() { other.clone() } else { one.clone() });
    }
    agree.then_some(both)
}

/// Whether everything that a patch item says stands in an item.
fn covers(item: &Node, patch: &Node) -> bool {
    match (item, patch) {
        (Node::Map(item), Node::Map(patch)) => patch.iter().all(|(key, value)| match item.get(key) {
            Some(have) => covers(have, value),
            None => value.is_null(),
        }),
        (item, patch) if item.is_scalar() && patch.is_scalar() => item.scalar() == patch.scalar(),
        _ => true,
    }
}

/// A key that an item takes over from its pair, read as if it had been written there.
fn plain(text: &str) -> Node {
    text.parse::<i64>().map_or_else(|_| Node::text(text), |number| Node::Number(number.into()))
}
