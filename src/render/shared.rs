//! Labels and annotations that one transformer put into several places of an object.
//!
//! In kustomize these places hold one and the same YAML node from then on: a later layer that changes the label in
//! `metadata` changes the selector and the pod template with it. Trees rely on that without knowing, so it is kept.

use super::fields::field_name;
use crate::yaml::{Map, Node, Text};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathPart {
    Key(String),
    Index(usize),
}

/// A place in an object, from its root.
pub(crate) type Path = Vec<PathPart>;

/// Groups of places that hold one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Vec<Vec<Path>>);

pub(crate) fn get<'a>(node: &'a Node, path: &[PathPart]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, step| match step {
        PathPart::Key(key) => node.get(key),
        PathPart::Index(at) => node.as_list()?.get(*at),
    })
}

pub(crate) fn get_mut<'a>(node: &'a mut Node, path: &[PathPart]) -> Option<&'a mut Node> {
    path.iter().try_fold(node, |node, step| match (step, node) {
        (PathPart::Key(key), Node::Map(map)) => map.get_mut(key),
        (PathPart::Index(at), Node::List(items)) => items.get_mut(*at),
        _ => None,
    })
}

impl Shared {
    /// After a JSON patch every place has a node of its own.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What kustomize writes anew below a place shares nothing any more.
    pub fn part(&mut self, place: &[&str]) {
        let is_below = |path: &Path| {
            path.len() > place.len()
                && path
                    .iter()
                    .zip(place)
                    .all(|(step, key)| matches!(step, PathPart::Key(have) if have == key))
        };
        for group in &mut self.0 {
            group.retain(|path| !is_below(path));
        }
    }

    /// Puts one entry into several maps of an object. Where it is new, the places share it from now on.
    pub fn put(&mut self, object: &mut Node, maps: &[Path], key: &str, value: &str) {
        let mut new = Vec::new();
        for map in maps {
            let Some(Node::Map(entries)) = get_mut(object, map) else {
                continue;
            };
            let mut path = map.clone();
            path.push(PathPart::Key(key.to_owned()));
            match entries.get(key) {
                Some(old) => {
                    let value = Node::Text(Text::new(value, old.is_quoted()));
                    entries.insert(key.to_owned(), value.clone());
                    self.spread(object, &path, &value);
                }
                None => {
                    entries.insert(key.to_owned(), Node::fresh(value));
                    new.push(path);
                }
            }
        }
        if new.len() > 1 {
            self.0.push(new);
        }
    }

    fn spread(&self, object: &mut Node, changed: &Path, value: &Node) {
        for group in self.0.iter().filter(|group| group.contains(changed)) {
            for path in group.iter().filter(|path| *path != changed) {
                if let Some(place) = get_mut(object, path) {
                    *place = value.clone();
                }
            }
        }
    }

    /// What a strategic merge wrote to one place of a group stands in all of them, the last place counting.
    pub fn after_merge(&mut self, object: &mut Node, patch: &Node) {
        for group in &mut self.0 {
            group.sort();
            let written =
                group.iter().rev().find(|path| get(patch, path).is_some_and(|value| !value.is_null()));
            let value = written.and_then(|path| get(object, path)).cloned();
            set_all(object, group, value);
            group.retain(|path| get(object, path).is_some());
        }
    }

    /// The values of all groups, to find out what something that is about to run changes.
    pub fn values(&self, object: &Node) -> Vec<Option<Node>> {
        let first = |group: &Vec<Path>| group.iter().find_map(|path| get(object, path)).cloned();
        self.0.iter().map(first).collect()
    }

    pub fn after_change(&self, object: &mut Node, before: &[Option<Node>]) {
        for (group, before) in self.0.iter().zip(before) {
            let changed = group
                .iter()
                .filter_map(|path| get(object, path))
                .find(|value| Some(*value) != before.as_ref());
            let changed = changed.cloned();
            set_all(object, group, changed);
        }
    }
}

fn set_all(object: &mut Node, group: &[Path], value: Option<Node>) {
    let Some(value) = value.filter(Node::is_scalar) else {
        return;
    };
    for path in group {
        if let Some(place) = get_mut(object, path) {
            *place = value.clone();
        }
    }
}

/// The maps that a rule's path leads to, made where they are missing and may be made.
pub(crate) fn locate(
    node: &mut Node,
    path: &[String],
    create: bool,
    here: &mut Path,
    found: &mut Vec<Path>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        match node {
            Node::Map(_) => found.push(here.clone()),
            node if node.is_null() => {}
            node => return Err(format!("there is {} instead of a map", node.what())),
        }
        return Ok(());
    };
    match node {
        node if node.is_null() => Ok(()),
        Node::List(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                here.push(PathPart::Index(at));
                locate(item, path, create, here, found)?;
                here.pop();
            }
            Ok(())
        }
        Node::Map(map) => {
            let (key, is_list) = field_name(first)?;
            if create && !is_list && map.get(key).is_none_or(Node::is_null) {
                map.insert(key.to_owned(), Node::Map(Map::new()));
            }
            let field = match map.get_mut(key) {
                Some(field) if !field.is_null() => field,
                _ => return Ok(()),
            };
            here.push(PathPart::Key(key.to_owned()));
            locate(field, rest, create, here, found)?;
            here.pop();
            Ok(())
        }
        other => Err(format!("{} leads through {}", path.join("/"), other.what())),
    }
}
