//! Files of the tree as overlays see them: only from the folder of the kustomization that names them, each parsed once.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::Limits;
use super::cache::Cache;
use super::node::{Node, Odd};
use super::resource::Resource;
use super::source::{Doc, Text, Written};
use crate::object::{EntryKind, Place, Problem, Tree, TreeError, TreePath};
use crate::yaml::Dialect;
use serde_json::Value;

pub(crate) struct Files<'a> {
    pub tree: &'a dyn Tree,
    pub limits: &'a Limits,
    pub cache: &'a Cache,
    /// Files of which it shows in the output which texts stand in quotes; that is found out while merging.
    pub quotes: HashSet<TreePath>,
}

/// The names under which a kustomization is looked for.
pub(crate) const KUSTOMIZATION_NAMES: [&str; 3] =
    ["kustomization.yaml", "kustomization.yml", "Kustomization"];

pub(crate) enum Target {
    File(TreePath),
    Folder(TreePath),
}

impl Files<'_> {
    /// What a path in a kustomization names.
    pub fn resolve(&self, folder: &TreePath, path: &str, place: &Place) -> Result<Target, Problem> {
        if path.is_empty() {
            return Err(Problem::at(place.clone(), "this path is empty"));
        }
        let joined = folder.join(path).map_err(|error| at(place, &error));
        if let Ok(joined) = &joined {
            match self.tree.entry(joined).map_err(|error| at(place, &error))?.map(|entry| entry.kind) {
                Some(EntryKind::File) => return self.inside(folder, joined.clone(), place).map(Target::File),
                Some(EntryKind::Folder) => return Ok(Target::Folder(joined.clone())),
                Some(EntryKind::BadLink) => {
                    return Err(at(place, &TreeError::BadLink { path: joined.clone() }));
                }
                Some(EntryKind::Submodule) => {
                    return Err(at(place, &TreeError::Submodule { path: joined.clone() }));
                }
                Some(EntryKind::BadName) => {
                    return Err(at(place, &TreeError::BadName { path: joined.clone() }));
                }
                None => {}
            }
        }
        if is_remote(path) {
            let message = "this names something outside the repository, which is never fetched";
            return Err(
                Problem::at(place.clone(), message).hint("copy it into the repository and name the copy")
            );
        }
        Err(at(place, &TreeError::Missing { path: joined? }))
    }

    /// A file, which must lie in the folder that names it or below.
    pub fn file(&self, folder: &TreePath, path: &str, place: &Place) -> Result<Text, Problem> {
        match self.resolve(folder, path, place)? {
            Target::File(path) => self.text(&path, place),
            Target::Folder(path) => Err(at(place, &TreeError::NotAFile { path })),
        }
    }

    fn inside(&self, folder: &TreePath, file: TreePath, place: &Place) -> Result<TreePath, Problem> {
        if file.is_within(folder) {
            return Ok(file);
        }
        let message =
            format!("{file} lies outside {folder}, and a kustomization reads files only from its own folder");
        Err(Problem::at(place.clone(), message)
            .hint("give that folder a kustomization.yaml and name the folder"))
    }

    pub fn text(&self, path: &TreePath, place: &Place) -> Result<Text, Problem> {
        let blob = self.tree.read(path, self.limits.yaml.file_bytes).map_err(|error| at(place, &error))?;
        Ok(Text::file(path.clone(), blob.bytes))
    }

    /// The objects of a file, lists expanded.
    pub fn resources(
        &self,
        path: &TreePath,
        place: &Place,
        dialect: Dialect,
    ) -> Result<Arc<Vec<Resource>>, Vec<Problem>> {
        let entry = self.tree.entry(path).map_err(|error| vec![at(place, &error)])?;
        let reading = if self.quotes.contains(path) { Reading::Quotes } else { Reading::Objects };
        // The id is known without the content.
        let known = entry.as_ref().and_then(|entry| self.cache.parsed(&entry.id, path, dialect, reading));
        if let Some(known) = known {
            return Ok(known);
        }
        let blob =
            self.tree.read(path, self.limits.yaml.file_bytes).map_err(|error| vec![at(place, &error)])?;
        let size = blob.bytes.len();
        let text = Text::file(path.clone(), blob.bytes);
        let documents = text.documents(dialect, &self.limits.yaml).map_err(|problem| vec![problem])?;
        let resources = Arc::new(objects(documents, reading)?);
        let id = entry.map_or(blob.id, |entry| entry.id);
        self.cache.keep_parsed(id, path, dialect, reading, &resources, size);
        Ok(resources)
    }

    /// Whether a folder has a kustomization, and which file it is.
    pub fn kustomization(&self, folder: &TreePath) -> Result<Option<TreePath>, Problem> {
        let mut names = Vec::new();
        for name in KUSTOMIZATION_NAMES {
            let path = folder.child(name);
            let entry = self.tree.entry(&path).map_err(|error| at(&Place::file(folder.clone()), &error))?;
            match entry.map(|entry| entry.kind) {
                Some(EntryKind::File) => names.push(path),
                Some(EntryKind::BadLink) => {
                    return Err(at(&Place::file(path.clone()), &TreeError::BadLink { path }));
                }
                _ => {}
            }
        }
        match names.len() {
            0 => Ok(None),
            1 => Ok(names.pop()),
            _ => {
                let files: Vec<&str> = names.iter().map(TreePath::file_name).collect();
                let message = format!("this folder has several kustomizations: {}", files.join(", "));
                Err(Problem::at(Place::file(folder.clone()), message).hint("keep one of them"))
            }
        }
    }
}

pub(crate) fn at(place: &Place, error: &TreeError) -> Problem {
    Problem::at(place.clone(), error.to_string())
}

fn is_remote(path: &str) -> bool {
    let host = path.split(['/', ':']).next().unwrap_or_default();
    path.contains("://")
        || path.starts_with("git::")
        || path.starts_with("git@")
        || path.contains("?ref=")
        || path.contains(".git//")
        || matches!(host, "github.com" | "gitlab.com" | "bitbucket.org" | "dev.azure.com")
}

/// How much of the way that scalars are written is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    /// What shows in the output anyway.
    Objects,
    /// And which texts stand in quotes.
    Quotes,
    /// And how numbers are written: they may be put over text in quotes.
    Patch,
}

/// The objects of some documents. What is only a list of objects is expanded, its items after all others.
pub(crate) fn objects(documents: Vec<Doc>, reading: Reading) -> Result<Vec<Resource>, Vec<Problem>> {
    let mut queue: VecDeque<(Node, Place)> = VecDeque::new();
    let mut found = Vec::new();
    for document in documents {
        let place = document.place();
        let mut node = Node::from(document.value());
        keep_writing(&mut node, &document, reading);
        queue.push_back((node, place));
    }
    let mut resources = Vec::new();
    while let Some((mut node, place)) = queue.pop_front() {
        if node.is_empty() {
            continue;
        }
        if let Err(problem) = check_object(&node, &place) {
            found.push(problem);
            continue;
        }
        let is_list = node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
        match node.as_map_mut().filter(|_| is_list).and_then(|map| map.remove("items")) {
            None => resources.push(Resource::new(node, place)),
            Some(Node::List(items)) => queue.extend(items.into_iter().map(|item| (item, place.clone()))),
            Some(items) if items.is_null() => {}
            Some(_) => found.push(Problem::at(place, "`items` of a list of objects must be a list")),
        }
    }
    if found.is_empty() { Ok(resources) } else { Err(found) }
}

fn check_object(node: &Node, place: &Place) -> Result<(), Problem> {
    let Some(map) = node.as_map() else {
        let problem = Problem::at(place.clone(), format!("this document is {}, not an object", node.what()));
        return Err(problem.hint("an object has apiVersion, kind and metadata"));
    };
    let text = |value: Option<&Node>, field: &str, needed: bool| match value {
        Some(Node::Text(text)) if !text.value.is_empty() || !needed => Ok(()),
        Some(value) if !value.is_null() && value.as_str().is_none() => {
            let problem =
                Problem::at(place.clone(), format!("the object's {field} is {}, not text", value.what()));
            Err(problem.hint("put it in quotes"))
        }
        _ if needed => Err(Problem::at(place.clone(), format!("the object has no {field}"))),
        _ => Ok(()),
    };
    let metadata = map.get("metadata");
    let kind = map.get("kind");
    text(kind, "kind", true)?;
    text(map.get("apiVersion"), "apiVersion", false)?;
    if metadata.is_some_and(|metadata| !metadata.is_null() && metadata.as_map().is_none()) {
        return Err(Problem::at(place.clone(), "the object's metadata is not a map"));
    }
    let is_list = kind.and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
    text(metadata.and_then(|metadata| metadata.get("name")), "metadata.name", !is_list)?;
    text(metadata.and_then(|metadata| metadata.get("namespace")), "metadata.namespace", false)
}

/// Notes how scalars are written, where that can show in the output.
fn keep_writing(node: &mut Node, document: &Doc, reading: Reading) {
    walk(node, &mut String::new(), document, reading);
}

fn walk(node: &mut Node, pointer: &mut String, document: &Doc, reading: Reading) {
    // Most texts need no look at the file, and they are most of what there is.
    let is_known = |node: &Node| match node {
        Node::Text(text) => !text.value.is_empty() && (reading == Reading::Objects || text.is_quoted()),
        _ => false,
    };
    match node {
        Node::Map(map) => {
            for (key, value) in map.iter_mut() {
                if is_known(value) {
                    continue;
                }
                let length = pointer.len();
                pointer.push('/');
                if key.contains(['~', '/']) {
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                } else {
                    pointer.push_str(key);
                }
                walk(value, pointer, document, reading);
                pointer.truncate(length);
            }
        }
        Node::List(items) => {
            for (nth, value) in items.iter_mut().enumerate() {
                if is_known(value) {
                    continue;
                }
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&nth.to_string());
                walk(value, pointer, document, reading);
                pointer.truncate(length);
            }
        }
        Node::Odd(_) => {}
        Node::Text(text) => match document.written(pointer) {
            Some(Written::Quoted) => text.quoted = Some(true),
            Some(Written::Plain(plain)) if text.value.is_empty() && plain.is_empty() => {
                *node = Node::Odd(Box::new(Odd { value: Value::String(String::new()), text: String::new() }));
            }
            _ => {}
        },
        scalar => {
            let shows = ["/metadata/annotations/", "/metadata/labels/", "/data/"];
            let is_float = matches!(scalar, Node::Number(number) if number.is_f64());
            let matters = is_float
                || reading == Reading::Patch
                || scalar.is_null()
                || shows.iter().any(|prefix| pointer.starts_with(prefix));
            if !matters {
                return;
            }
            if let Some(Written::Plain(text)) = document.written(pointer)
                && scalar.scalar().as_deref() != Some(text.as_str())
            {
                let value = std::mem::replace(scalar, Node::Null).into_value();
                *scalar = Node::Odd(Box::new(Odd { value, text }));
            }
        }
    }
}
