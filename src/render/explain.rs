//! What set a field: the file that an object comes from, and whatever changed the field since, each with the line where
//! the value stands.
//!
//! Rendering notes what changed an object after each step ([`super::trace`]) and the place of the entry or patch that did.
//! Where exactly in that entry or patch the value stands is looked up here, in the files, for the fields that are asked for.

use std::collections::HashMap;

use serde_json::Value;

use super::cache::Cache;
use super::kustomization::block_of;
use super::load::Files;
use super::source::{Doc, Text};
use super::trace::{Change, Stage, Trace, carry};
use super::{Limits, Rendered, finish, folder};
use crate::object::field_path::{FieldPath, Part, PathStep, at, parts_of, path_of, plain, resolve, words};
use crate::object::{ChartAnswers, Manifest, Place, Problems, Tree, TreePath};
use crate::yaml::Dialect;

/// An object and its way.
#[derive(Debug)]
pub struct Explained {
    pub manifest: Manifest,
    /// `None` in a plain folder, where nothing changes what a file says.
    trace: Option<Trace>,
}

/// Something that set a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// `resource`, `patch`, `images`, `literal` …
    pub by: &'static str,
    /// Where the value stands.
    pub place: Place,
    /// What it was taken from, where it was not written there.
    pub from: Option<String>,
    /// `None` where the field was taken away.
    pub value: Option<Value>,
}

/// No object of that kind ever had such a field; with the part of the path up to which there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has no field {wanted}{}", if known.is_empty() { String::new() } else { format!(" (there is {known})") })]
pub struct NoSuchField {
    pub wanted: String,
    pub known: String,
}

/// Renders a folder as [`super::build_with`] does, and keeps what set each field.
pub fn explain(
    tree: &dyn Tree,
    path: &TreePath,
    limits: &Limits,
    charts: &ChartAnswers,
) -> Result<Rendered<Vec<Explained>>, Problems> {
    let cache = Cache::none();
    let files = Files::new(tree, limits, &cache, charts);
    if files.kustomization(path)?.is_none() {
        let (manifests, ..) = folder::plain(&files, path)?;
        let plain = manifests.into_iter().map(Explained::as_it_is);
        return Ok(Rendered::Done(plain.collect()));
    }
    Ok(match finish::traced(files, path)? {
        Rendered::NeedCharts(needed) => Rendered::NeedCharts(needed),
        Rendered::Done(traced) => {
            let explained = |(manifest, trace)| Explained { manifest, trace: Some(trace) };
            Rendered::Done(traced.into_iter().map(explained).collect())
        }
    })
}

impl Explained {
    /// An object that nothing changes once it is there.
    pub fn as_it_is(manifest: Manifest) -> Self {
        Self { manifest, trace: None }
    }

    /// The names that it had on its way, the first one first.
    pub fn names(&self) -> Vec<String> {
        let states = self.states();
        let mut names: Vec<String> =
            states.iter().filter_map(|state| state.pointer("/metadata/name")).map(plain).collect();
        names.dedup();
        names
    }

    /// The names and namespaces that it had on its way, the last ones first.
    pub fn identities(&self) -> Vec<(String, Option<String>)> {
        let mut found: Vec<(String, Option<String>)> = Vec::new();
        for state in self.states().iter().rev() {
            let text = |pointer: &str| state.pointer(pointer).map(plain);
            let Some(name) = text("/metadata/name") else { continue };
            let identity = (name, text("/metadata/namespace"));
            if !found.contains(&identity) {
                found.push(identity);
            }
        }
        found
    }

    /// Where the strategic-merge patches stand that changed it, the last one last.
    pub fn patches(&self) -> Vec<Place> {
        let stages = self.stages().iter().filter(|stage| stage.by == "patch");
        let mut places: Vec<Place> =
            stages.flat_map(|stage| &stage.changes).map(|change| change.place.clone()).collect();
        places.dedup();
        places
    }

    fn stages(&self) -> &[Stage] {
        self.trace.as_ref().map_or(&[], |trace| &trace.stages)
    }

    /// What it was at first and after each stage.
    fn states(&self) -> Vec<Value> {
        let first = self.trace.as_ref().map_or_else(|| self.manifest.value(), |trace| trace.first.clone());
        std::iter::once(first).chain(self.stages().iter().map(|stage| stage.value.clone())).collect()
    }

    /// Finds a field by what a person wrote: `spec.replicas`, `/spec/replicas`, `spec.containers[name=web]`. What is gone
    /// is found where it was last.
    pub fn find(&self, text: &str) -> Result<FieldPath, NoSuchField> {
        let words = words(text);
        let mut states = self.states();
        states.push(self.manifest.value());
        let mut known = None;
        for state in states.iter().rev() {
            match resolve(state, &words) {
                Ok(parts) => return Ok(path_of(state, &parts)),
                Err(parts) => drop(known.get_or_insert_with(|| path_of(state, &parts))),
            }
        }
        let known = known.unwrap_or_default().to_string();
        Err(NoSuchField { wanted: text.to_owned(), known })
    }

    /// The fields that something other than their first file set, in the order of their names.
    pub fn changed(&self) -> Vec<FieldPath> {
        let states = self.states();
        let Some(last) = states.last() else { return Vec::new() };
        let mut paths: Vec<FieldPath> = Vec::new();
        for (nth, stage) in self.stages().iter().enumerate() {
            let later = &states[nth + 1..];
            for change in &stage.changes {
                let path = match &change.after {
                    // What is there again was set again.
                    None => Some(path_of(&states[nth], &change.parts))
                        .filter(|path| parts_of(last, path).is_none()),
                    Some(_) => {
                        let mut steps = later.windows(2);
                        let parts = steps
                            .try_fold(change.parts.clone(), |parts, pair| carry(&parts, &pair[0], &pair[1]));
                        parts.map(|parts| path_of(last, &parts))
                    }
                };
                paths.extend(path.filter(|path| !paths.contains(path)));
            }
        }
        paths.sort_by_key(ToString::to_string);
        paths
    }

    /// Those of them that are parts of a field.
    pub fn changed_below(&self, path: &FieldPath) -> Vec<FieldPath> {
        let mut paths = self.changed();
        paths.retain(|changed| changed != path && changed.0.starts_with(&path.0));
        paths
    }

    /// The value of a field as it leaves.
    pub fn value(&self, path: &FieldPath) -> Option<Value> {
        let now = self.manifest.value();
        at(&now, &parts_of(&now, path)?).cloned()
    }

    /// What set a field, the last one last.
    pub fn settings(&self, tree: &dyn Tree, limits: &Limits, path: &FieldPath) -> Vec<Setting> {
        let mut places = Places { tree, limits, files: HashMap::new() };
        let (states, stages) = (self.states(), self.stages());
        let there = (0..states.len()).rev().find_map(|nth| Some((nth, parts_of(&states[nth], path)?)));
        let Some((last, mut parts)) = there else { return Vec::new() };
        let mut settings = Vec::new();
        // The stage after a state has the state's number.
        if let Some(stage) = stages.get(last) {
            settings.push(taken(&mut places, stage, &parts, &states[last]));
        }
        for (nth, stage) in stages.iter().enumerate().take(last).rev() {
            let (before, after) = (&states[nth], &states[nth + 1]);
            let old = carry(&parts, after, before);
            let value = old.as_ref().and_then(|old| at(before, old));
            let is_within = |change: &Change| change.after.is_some() && parts.starts_with(&change.parts);
            if value != at(after, &parts) && (value.is_none() || stage.changes.iter().any(is_within)) {
                settings.push(set(&mut places, stage, &parts, (before, after)));
            }
            match old {
                Some(old) => parts = old,
                None => {
                    settings.reverse();
                    return settings;
                }
            }
        }
        settings.push(self.given(&mut places, &parts, &states[0]));
        settings.reverse();
        settings
    }

    /// Who set a field first.
    fn given(&self, places: &mut Places<'_>, parts: &[Part], first: &Value) -> Setting {
        let trace = self.trace.as_ref();
        let given = trace.and_then(|trace| trace.given.iter().find(|given| parts.starts_with(&given.parts)));
        let origin = &self.manifest.origin.place;
        let (by, place) = match given {
            Some(given) => (given.by, given.place.clone()),
            None if trace.is_some_and(|trace| trace.is_generated) => ("generator", origin.clone()),
            None => ("resource", places.in_object(origin, &path_of(first, parts), first)),
        };
        Setting { by, place, from: None, value: at(first, parts).cloned() }
    }
}

/// A stage took a field away.
fn taken(places: &mut Places<'_>, stage: &Stage, parts: &[Part], before: &Value) -> Setting {
    let is_it = |change: &&Change| change.after.is_none() && parts.starts_with(&change.parts);
    let change = stage.changes.iter().find(is_it).or(stage.changes.first());
    let (place, from) = match change {
        Some(change) => {
            let path = path_of(before, parts);
            let place = places.exact(stage.by, &change.place, &path, [at(before, parts), None]);
            (place, change.from.clone())
        }
        None => (Place::file(TreePath::root()), None),
    };
    Setting { by: stage.by, place, from, value: None }
}

/// A stage set a field.
fn set(places: &mut Places<'_>, stage: &Stage, parts: &[Part], (before, after): (&Value, &Value)) -> Setting {
    let old = carry(parts, after, before).and_then(|old| at(before, &old));
    let is_it = |change: &&Change| change.after.is_some() && parts.starts_with(&change.parts);
    let change = stage.changes.iter().find(is_it);
    let value = at(after, parts).cloned();
    let (place, from) = match change {
        Some(change) => {
            let place = places.exact(stage.by, &change.place, &path_of(after, parts), [old, value.as_ref()]);
            (place, change.from.clone())
        }
        // Only parts of it changed, in several places.
        None => {
            let first = stage.changes.iter().find(|change| change.parts.starts_with(parts));
            let first = first.or(stage.changes.first());
            (first.map_or_else(|| Place::file(TreePath::root()), |change| change.place.clone()), None)
        }
    };
    Setting { by: stage.by, place, from, value }
}

/// The value that a step leads to, and its part of a JSON pointer.
fn below<'a>(value: &'a Value, step: &PathStep) -> Option<(String, &'a Value)> {
    match step {
        PathStep::Key(key) => Some((key.replace('~', "~0").replace('/', "~1"), value.as_object()?.get(key)?)),
        PathStep::Item { key, value: wanted } => {
            let items = value.as_array()?;
            let at = items.iter().position(|item| item.get(key) == Some(wanted))?;
            Some((at.to_string(), &items[at]))
        }
        PathStep::Index(at) => Some((at.to_string(), value.as_array()?.get(*at)?)),
    }
}

/// Where things stand in files, each read once.
struct Places<'a> {
    tree: &'a dyn Tree,
    limits: &'a Limits,
    files: HashMap<TreePath, Vec<Doc>>,
}

impl Places<'_> {
    fn file(&mut self, path: &TreePath) -> &[Doc] {
        let (tree, limits) = (self.tree, &self.limits.yaml);
        self.files.entry(path.clone()).or_insert_with(|| {
            let Ok(blob) = tree.read(path, limits.file_bytes) else { return Vec::new() };
            Text::file(path.clone(), blob.bytes).documents(Dialect::Kustomize, limits).unwrap_or_default()
        })
    }

    /// Where a field of an object stands that begins at a place.
    fn in_object(&mut self, place: &Place, path: &FieldPath, object: &Value) -> Place {
        let limits = self.limits.yaml.clone();
        let docs = self.file(&place.path);
        if let Some(doc) = docs.iter().find(|doc| doc.place().line == place.line) {
            let listed = doc.value()["items"].as_array().and_then(|items| {
                items.iter().position(|item| {
                    ["/kind", "/metadata/name", "/metadata/namespace"]
                        .iter()
                        .all(|at| item.pointer(at) == object.pointer(at))
                })
            });
            return match listed {
                Some(at) => pointed(doc, &format!("/items/{at}"), path),
                None => pointed(doc, "", path),
            };
        }
        // Text in a kustomization.
        for doc in docs {
            for pointer in texts_in(doc.value()) {
                let inner =
                    block_of(doc, &pointer).documents(Dialect::Kustomize, &limits).unwrap_or_default();
                if let Some(inner) = inner.iter().find(|inner| inner.place().line == place.line) {
                    return pointed(inner, "", path);
                }
            }
        }
        place.clone()
    }

    /// The entry or operation that stands at a place.
    fn entry(&mut self, place: &Place) -> Option<(Doc, String)> {
        let limits = self.limits.yaml.clone();
        let docs = self.file(&place.path);
        let inner = docs.iter().flat_map(|doc| {
            let texts = texts_in(doc.value()).into_iter();
            let read = |text: Text| text.documents(Dialect::Config, &limits).unwrap_or_default();
            texts.flat_map(move |pointer| read(block_of(doc, &pointer)))
        });
        // What is inside text is more exact.
        let mut all = inner.chain(docs.iter().cloned());
        all.find_map(|doc| entry_at(&doc, place).map(|pointer| (doc, pointer)))
    }

    /// Where in an operation of a JSON patch a field's value stands.
    fn in_operation(&mut self, place: &Place, path: &FieldPath) -> Place {
        let Some((doc, entry)) = self.entry(place) else { return place.clone() };
        let Some(operation) =
            doc.value().pointer(&entry).filter(|operation| operation.get("value").is_some())
        else {
            return place.clone();
        };
        let target = operation.get("path").and_then(Value::as_str).unwrap_or_default();
        let depth = target.split('/').skip(1).count();
        let rest = FieldPath(path.0.get(depth..).unwrap_or_default().to_vec());
        pointed(&doc, &format!("{entry}/value"), &rest)
    }

    /// Where the value stands that a change has set.
    fn exact(&mut self, by: &str, stands: &Place, path: &FieldPath, values: [Option<&Value>; 2]) -> Place {
        let last = path.0.iter().rev().find_map(|step| match step {
            PathStep::Key(key) => Some(key.replace('~', "~0").replace('/', "~1")),
            _ => None,
        });
        let last = last.unwrap_or_default();
        let fields: Vec<String> = match by {
            "patch" => return self.in_object(stands, path, &Value::Null),
            "JSON patch" => return self.in_operation(stands, path),
            "replicas" => vec!["/count".to_owned()],
            "images" => image_fields(values),
            "labels" | "annotations" => vec![
                format!("/pairs/{last}"),
                format!("/{last}"),
                format!("/labels/{last}"),
                format!("/annotations/{last}"),
            ],
            _ => return stands.clone(),
        };
        let Some((doc, entry)) = self.entry(stands) else { return stands.clone() };
        let there = |field: &String| doc.value().pointer(&format!("{entry}{field}")).is_some();
        match fields.iter().find(|field| there(field)) {
            Some(field) => doc.place_of(&format!("{entry}{field}")),
            None => stands.clone(),
        }
    }
}

/// What of an image's entry made the difference.
fn image_fields(values: [Option<&Value>; 2]) -> Vec<String> {
    let [before, after] = values.map(|value| value.and_then(Value::as_str).unwrap_or_default());
    let (old, new) = (super::images::split(before), super::images::split(after));
    let mut fields = Vec::new();
    if old.1 != new.1 || old.2 != new.2 {
        fields.extend(["/newTag".to_owned(), "/digest".to_owned()]);
    }
    fields.push("/newName".to_owned());
    fields
}

/// The place of a field below a pointer, or of the nearest thing above it that is written there.
fn pointed(doc: &Doc, root: &str, path: &FieldPath) -> Place {
    let mut pointer = root.to_owned();
    let mut value = doc.value().pointer(root);
    for step in &path.0 {
        let Some((part, next)) = value.and_then(|value| below(value, step)) else { break };
        pointer.push('/');
        pointer.push_str(&part);
        value = Some(next);
    }
    doc.place_of(&pointer)
}

/// Pointers to everything of several lines in a document.
fn texts_in(value: &Value) -> Vec<String> {
    fn walk(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
        let length = pointer.len();
        let mut each = |part: &str, value: &Value| {
            pointer.push('/');
            pointer.push_str(part);
            walk(value, pointer, found);
            pointer.truncate(length);
        };
        match value {
            Value::String(text) if text.contains('\n') => found.push(pointer.clone()),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(nth, item)| each(&nth.to_string(), item))
            }
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| each(&key.replace('~', "~0").replace('/', "~1"), value));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, &mut String::new(), &mut found);
    found
}

/// The entry of a kustomization, or the document, that stands at a place.
fn entry_at(doc: &Doc, place: &Place) -> Option<String> {
    let entries = doc.value().as_object().into_iter().flatten().flat_map(|(key, value)| {
        let items = value.as_array().map_or(0, Vec::len);
        (0..items).map(move |nth| format!("/{key}/{nth}")).chain(std::iter::once(format!("/{key}")))
    });
    let operations = (0..doc.value().as_array().map_or(0, Vec::len)).map(|nth| format!("/{nth}"));
    let mut all = entries.chain(operations).filter(|pointer| doc.place_of(pointer) == *place);
    all.next().or_else(|| (doc.place() == *place).then(String::new))
}
