//! A change at the line that sets a field now, whatever is written there: the value itself, an image's tag, a literal of a
//! generator, a part of a chart's value.

use serde_json::Value;

use super::Wish;
use super::edited::Edited;
use crate::object::field_path::{PathStep, plain};
use crate::object::{Place, TreePath};
use crate::render::Setting;
use crate::yaml::{Dialect, Editor, Spot};

/// A node of a file, or of text that a file holds.
pub(super) struct Node {
    path: TreePath,
    editor: Editor,
    spot: Spot,
    inner: Option<(Editor, Spot)>,
}

impl Node {
    /// All nodes that begin at a place, the innermost first.
    pub fn at(state: &Edited<'_>, place: &Place) -> Vec<Self> {
        let Some(text) = state.text(&place.path) else { return Vec::new() };
        let Some(editor) = Editor::new(&text, dialect(&place.path)) else { return Vec::new() };
        let mut nodes = Vec::new();
        for spot in editor.spots(place.line, place.column).into_iter().rev() {
            let node =
                |inner| Self { path: place.path.clone(), editor: editor.clone(), spot: spot.clone(), inner };
            let Some(line) = spot.inner else {
                nodes.push(node(None));
                continue;
            };
            let held = value_in(&editor, &spot);
            let inner =
                held.as_ref().and_then(Value::as_str).and_then(|text| Editor::new(text, Dialect::Kustomize));
            let Some(inner) = inner else { continue };
            let spots = inner.spots(line, place.column).into_iter().filter(|spot| spot.inner.is_none());
            nodes.extend(
                spots.rev().collect::<Vec<_>>().into_iter().map(|spot| node(Some((inner.clone(), spot)))),
            );
        }
        nodes
    }

    pub fn value(&self) -> Option<Value> {
        match &self.inner {
            Some((editor, spot)) => value_in(editor, spot),
            None => value_in(&self.editor, &self.spot),
        }
    }

    pub fn pointer(&self) -> &str {
        self.inner.as_ref().map_or(&self.spot.pointer, |(_, spot)| &spot.pointer)
    }

    /// The same, at another pointer of the same document.
    pub fn pointing(mut self, pointer: &str) -> Self {
        let spot = self.inner.as_mut().map_or(&mut self.spot, |(_, spot)| spot);
        spot.pointer = pointer.to_owned();
        self
    }

    /// The tree with something else there, or nothing.
    pub fn set<'a>(&self, state: &Edited<'a>, below: &str, value: Option<&Value>) -> Option<Edited<'a>> {
        let edited = match &self.inner {
            None => self.editor.set(self.spot.document, &format!("{}{below}", self.spot.pointer), value)?,
            Some((inner, spot)) => {
                let text = inner.set(spot.document, &format!("{}{below}", spot.pointer), value)?;
                let text = Value::from(text.text());
                self.editor.set(self.spot.document, &self.spot.pointer, Some(&text))?
            }
        };
        Some(state.with(&self.path, edited.text()))
    }
}

fn value_in(editor: &Editor, spot: &Spot) -> Option<Value> {
    editor.values()?.get(spot.document)?.pointer(&spot.pointer).cloned()
}

/// As what a file is read. Between objects and values of charts it makes no difference here.
pub(super) fn dialect(path: &TreePath) -> Dialect {
    match path.file_name() {
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => Dialect::Config,
        _ => Dialect::Kustomize,
    }
}

/// The tree in which what set a field sets it otherwise.
pub(super) fn set_here<'a>(
    state: &Edited<'a>,
    setting: &Setting,
    before: Option<&Value>,
    wish: &Wish,
) -> Option<Edited<'a>> {
    let live = wish.live.as_ref();
    match setting.by {
        "images" => image(state, setting, live?),
        "literal" | "env file" | "file" | "generator merge" | "generator replace" => {
            given(state, setting, wish)
        }
        "chart value" => {
            let value = chart_value(setting.value.as_ref()?, before?, live?)?;
            same(state, setting)?.set(state, "", Some(&value))
        }
        "JSON patch" if live.is_none() => {
            let node = same(state, setting)?;
            let operation = node.pointer().strip_suffix("/value")?.to_owned();
            node.pointing(&operation).set(state, "", None)
        }
        "resource" | "patch" | "JSON patch" | "replicas" | "labels" | "annotations" => {
            same(state, setting)?.set(state, "", live)
        }
        _ => None,
    }
}

/// The node at a setting's place that says what it says.
fn same(state: &Edited<'_>, setting: &Setting) -> Option<Node> {
    let wanted = setting.value.as_ref()?;
    let says = |node: &Node| {
        node.value()
            .is_some_and(|value| value == *wanted || is_scalar(wanted) && plain(&value) == plain(wanted))
    };
    Node::at(state, &setting.place).into_iter().find(says)
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// Name, tag and digest of an image.
fn split(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let after = rest.rfind('/').map_or(0, |at| at + 1);
    match rest[after..].find(':') {
        Some(at) => (&rest[..after + at], Some(&rest[after + at + 1..]), digest),
        None => (rest, None, digest),
    }
}

fn image<'a>(state: &Edited<'a>, setting: &Setting, live: &Value) -> Option<Edited<'a>> {
    let (name, tag, digest) = split(live.as_str()?);
    let mut state = state.clone();
    let mut place = setting.place.clone();
    // One field after the other: a line that goes moves those below it, so tags and digests are put before they are taken.
    let wanted = [("newName", Some(name)), ("newTag", tag), ("digest", digest)];
    let (set, taken): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, value)| value.is_some());
    for (field, value) in set.into_iter().chain(taken) {
        let (entry, says) = image_entry(&state, &place)?;
        let now = says.get(field).map(plain);
        let now = if field == "newName" { now.or_else(|| says.get("name").map(plain)) } else { now };
        if now.as_deref() != value {
            let value = value.map(Value::from);
            let pointer = entry.pointer().to_owned();
            state = entry.set(&state, &format!("/{field}"), value.as_ref())?;
            place = place_of(&state, &place.path, &pointer).unwrap_or(place);
        }
    }
    Some(state)
}

/// The entry of `images` in which a place is.
fn image_entry(state: &Edited<'_>, place: &Place) -> Option<(Node, Value)> {
    Node::at(state, place).into_iter().find_map(|node| {
        let parts: Vec<&str> = node.pointer().split('/').collect();
        let entry = parts.get(..3).filter(|parts| parts[1] == "images")?.join("/");
        let node = node.pointing(&entry);
        let says = node.value()?;
        Some((node, says))
    })
}

/// Where a node of a file stands that is its only document.
fn place_of(state: &Edited<'_>, path: &TreePath, pointer: &str) -> Option<Place> {
    let text = state.text(path)?;
    let documents =
        crate::yaml::read(text.as_bytes(), path, dialect(path), &crate::yaml::Limits::default()).ok()?;
    Some(documents.first()?.place_of(pointer))
}

/// What a generator makes a key of: a literal, a line of a file of them, or a file.
fn given<'a>(state: &Edited<'a>, setting: &Setting, wish: &Wish) -> Option<Edited<'a>> {
    let Some(PathStep::Key(key)) = wish.path.0.last() else { return None };
    let live = match &wish.live {
        Some(live) => Some(live.as_str()?),
        None => None,
    };
    let lead = format!("{key}=");
    let is_literal = |node: &Node| {
        node.value().is_some_and(|value| value.as_str().is_some_and(|text| text.starts_with(&lead)))
    };
    let is_of_kustomization = dialect(&setting.place.path) == Dialect::Config;
    let node = Node::at(state, &setting.place).into_iter().find(is_literal);
    if let Some(node) = node.filter(|_| is_of_kustomization) {
        return node.set(state, "", live.map(|live| Value::from(literal(key, live))).as_ref());
    }
    let text = state.text(&setting.place.path)?;
    let is_whole = setting.value.as_ref().and_then(Value::as_str) == Some(&*text);
    if is_whole && setting.by != "env file" {
        return Some(state.with(&setting.place.path, live?));
    }
    let number = usize::try_from(setting.place.line).ok()?.checked_sub(1)?;
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let line = *lines.get(number)?;
    let written = line.trim_start();
    written.starts_with(&lead).then_some(())?;
    let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
    let indent = &line[..line.len() - written.len()];
    let new = match live {
        Some(live) if live.contains(['\r', '\n']) => return None,
        Some(live) => format!("{indent}{lead}{live}{end}"),
        None => String::new(),
    };
    lines[number] = &new;
    Some(state.with(&setting.place.path, &lines.concat()))
}

/// A literal whose value is exactly this: one layer of quotes around it would be taken off.
fn literal(key: &str, value: &str) -> String {
    let is_in = |quote: char| value.len() >= 2 && value.starts_with(quote) && value.ends_with(quote);
    match (is_in('"'), is_in('\'')) {
        (true, _) => format!("{key}='{value}'"),
        (_, true) => format!("{key}=\"{value}\""),
        _ => format!("{key}={value}"),
    }
}

/// What a chart's value has to be, so that a field that it is, or is a part of, is something else.
pub(super) fn chart_value(said: &Value, before: &Value, live: &Value) -> Option<Value> {
    if !is_scalar(said) || !is_scalar(live) {
        return None;
    }
    let (part, whole, new) = (plain(said), plain(before), plain(live));
    let text = match part == whole {
        true => new,
        false => {
            let at = whole.find(&part).filter(|at| !part.is_empty() && !whole[at + 1..].contains(&part))?;
            let (lead, tail) = (&whole[..at], &whole[at + part.len()..]);
            new.strip_prefix(lead)?.strip_suffix(tail)?.to_owned()
        }
    };
    Some(match said {
        Value::String(_) => Value::from(text),
        _ => match serde_json::from_str::<Value>(&text)
            .ok()
            .filter(|value| is_scalar(value) && plain(value) == text)
        {
            Some(value) => value,
            None => Value::from(text),
        },
    })
}
