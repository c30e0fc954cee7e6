//! A patch in the app's own folder: for what is said in files that others read, too.

use serde_json::{Map, Value, json};

use super::Wish;
use super::edited::Edited;
use super::set_here::{Node, dialect};
use crate::object::field_path::{FieldPath, Part, PathStep, parts_of, plain, value_at};
use crate::object::{Tree, TreePath};
use crate::render::Explained;
use crate::yaml::{self, Editor};

/// The names by which kustomize knows its file.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The kustomization of a folder, where it has one.
pub(super) fn kustomization(state: &Edited<'_>, folder: &TreePath) -> Option<TreePath> {
    let paths = KUSTOMIZATIONS.map(|name| folder.child(name));
    paths.into_iter().find(|path| matches!(state.kind(path), Ok(Some(crate::object::EntryKind::File))))
}

/// A tree, where it could be made, and how it says it.
type Said<'a> = (String, Option<Edited<'a>>);

/// What adds to patches that are there, or adds one.
pub(super) fn patched<'a>(
    state: &Edited<'a>,
    folder: &TreePath,
    object: &Explained,
    wish: &Wish,
) -> Vec<Said<'a>> {
    let Some(file) = kustomization(state, folder) else { return Vec::new() };
    let mut ways = Vec::new();
    for place in object.patches().into_iter().rev().filter(|place| place.path.is_within(folder)) {
        let node = Node::at(state, &place).into_iter().find(|node| node.pointer().is_empty());
        let edited = node.and_then(|node| {
            let (pointer, value) = into_patch(&node.value()?, &wish.path, wish.live.as_ref())?;
            node.set(state, &pointer, Some(&value))
        });
        ways.push((format!("the patch at {place}"), edited));
    }
    for entry in entries(object, wish) {
        ways.push((format!("a new patch in {file}"), add(state, &file, &entry)));
    }
    ways
}

fn add<'a>(state: &Edited<'a>, file: &TreePath, entry: &Value) -> Option<Edited<'a>> {
    let editor = Editor::new(&state.text(file)?, dialect(file))?;
    let has_some = editor.values()?.first()?.get("patches").is_some_and(Value::is_array);
    let edited = match has_some {
        true => editor.set(0, "/patches/-", Some(entry)),
        false => editor.set(0, "/patches", Some(&json!([entry]))),
    };
    Some(state.with(file, edited?.text()))
}

/// The entries of `patches` that say it, the plainest first.
fn entries(object: &Explained, wish: &Wish) -> Vec<Value> {
    let gvk = object.manifest.gvk();
    let mut entries = Vec::new();
    let identities = object.identities();
    if let Some(content) = nested(&wish.path.0, wish.live.as_ref()) {
        for (name, namespace) in &identities {
            let mut patch =
                json!({"apiVersion": gvk.api_version(), "kind": &*gvk.kind, "metadata": {"name": name}});
            if let Some(namespace) = namespace {
                patch["metadata"]["namespace"] = namespace.as_str().into();
            }
            merge(&mut patch, content.clone());
            entries.push(json!({"patch": yaml::write(&patch).trim_end()}));
        }
    }
    if let Some(operations) = operations(&object.manifest.value(), wish) {
        for (name, namespace) in &identities {
            let mut target = json!({"version": &*gvk.version, "kind": &*gvk.kind, "name": name});
            if !gvk.group.is_empty() {
                target["group"] = (&*gvk.group).into();
            }
            if let Some(namespace) = namespace {
                target["namespace"] = namespace.as_str().into();
            }
            entries.push(json!({"patch": yaml::write(&operations).trim_end(), "target": target}));
        }
    }
    entries
}

/// A field by itself, as a strategic merge takes it. What goes by its number in a list cannot be said so.
fn nested(path: &[PathStep], live: Option<&Value>) -> Option<Value> {
    let Some((step, rest)) = path.split_first() else { return Some(live.cloned().unwrap_or(Value::Null)) };
    Some(match step {
        PathStep::Key(key) => Value::Object([(key.clone(), nested(rest, live)?)].into_iter().collect()),
        PathStep::Item { key, value } => {
            let mut item = match nested(rest, live)? {
                Value::Object(map) => map,
                Value::Null if rest.is_empty() => {
                    [("$patch".to_owned(), "delete".into())].into_iter().collect()
                }
                _ => return None,
            };
            item.insert(key.clone(), value.clone());
            json!([item])
        }
        PathStep::Index(_) => return None,
    })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(map), Value::Object(more)) => {
            for (key, value) in more {
                merge(map.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Where in a patch that is there a field goes, and what is to stand there.
fn into_patch(patch: &Value, path: &FieldPath, live: Option<&Value>) -> Option<(String, Value)> {
    let (mut pointer, mut here) = (String::new(), patch);
    for (at, step) in path.0.iter().enumerate() {
        let rest = &path.0[at..];
        match step {
            PathStep::Key(key) => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
                match here.get(key) {
                    Some(next) => here = next,
                    None => return Some((pointer, nested(&rest[1..], live)?)),
                }
            }
            PathStep::Item { key, value } => {
                let items = here.as_array()?;
                match items.iter().position(|item| item.get(key) == Some(value)) {
                    Some(found) => {
                        pointer.push_str(&format!("/{found}"));
                        here = &items[found];
                    }
                    None => {
                        let item = nested(rest, live)?.as_array()?.first()?.clone();
                        return Some((format!("{pointer}/-"), item));
                    }
                }
            }
            PathStep::Index(_) => return None,
        }
    }
    Some((pointer, live.cloned().unwrap_or(Value::Null)))
}

/// The same as a JSON patch, which makes sure that it meets the items of lists that it means.
fn operations(object: &Value, wish: &Wish) -> Option<Value> {
    let (mut pointer, mut operations) = (String::new(), Vec::new());
    let (last, above) = wish.path.0.split_last()?;
    let mut here = FieldPath::default();
    for step in above {
        push(object, &mut here, &mut pointer, step, &mut operations)?;
    }
    let is_there = value_at(object, &wish.path).is_some();
    match last {
        PathStep::Key(key) => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        step => push(object, &mut here, &mut pointer, step, &mut operations)?,
    }
    let mut operation = Map::new();
    let word = match (&wish.live, is_there) {
        (None, _) => "remove",
        (Some(_), true) => "replace",
        (Some(_), false) => "add",
    };
    operation.insert("op".to_owned(), word.into());
    operation.insert("path".to_owned(), pointer.into());
    if let Some(live) = &wish.live {
        operation.insert("value".to_owned(), live.clone());
    }
    operations.push(Value::Object(operation));
    Some(Value::Array(operations))
}

fn push(
    object: &Value,
    here: &mut FieldPath,
    pointer: &mut String,
    step: &PathStep,
    operations: &mut Vec<Value>,
) -> Option<()> {
    here.0.push(step.clone());
    match parts_of(object, here)?.pop()? {
        Part::Key(key) => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Part::At(at) => pointer.push_str(&format!("/{at}")),
    }
    if let PathStep::Item { key, value } = step
        && !plain(value).is_empty()
    {
        operations.push(json!({"op": "test", "path": format!("{pointer}/{key}"), "value": value}));
    }
    Some(())
}
