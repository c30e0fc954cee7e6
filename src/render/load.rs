//! Files of the tree as overlays see them: only from the folder of the kustomization that names them, each parsed once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Limits;
use super::cache::Cache;
use super::held::Held;
use super::kustomization::At;
use super::many;
use super::resource::Resource;
use super::source::Text;
use crate::object::{ChartAnswers, EntryKind, Place, Problem, Tree, TreeError, TreePath};
use crate::yaml::{Dialect, Node};

pub(crate) struct Files<'a> {
    pub tree: &'a dyn Tree,
    pub limits: &'a Limits,
    pub cache: &'a Cache,
    /// What helm rendered so far.
    pub charts: &'a ChartAnswers,
    /// What was read as text, and not as objects alone.
    texts: Mutex<HashSet<TreePath>>,
    /// When the time is over, by the clock of the limits.
    ends: Duration,
    /// The memory that this render holds.
    pub held: Held<'a>,
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// The names under which a kustomization is looked for.
pub(crate) const KUSTOMIZATION_NAMES: [&str; 3] =
    ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The objects of a file, or what is wrong with it.
pub(crate) type Read = Result<Arc<Vec<Resource>>, Vec<Problem>>;

/// What an entry names, and its objects where it is a file.
pub(crate) type Ahead = (Result<Target, Problem>, Option<Read>);

pub(crate) enum Target {
    File(TreePath),
    Folder(TreePath),
}

impl<'a> Files<'a> {
    pub fn new(tree: &'a dyn Tree, limits: &'a Limits, cache: &'a Cache, charts: &'a ChartAnswers) -> Self {
        let ends = (limits.clock)().saturating_add(limits.time);
        let held = Held::new(limits);
        Self { tree, limits, cache, charts, texts: Mutex::default(), ends, held }
    }

    /// What is small can be read many times over, so that no other limit ends it: this one does.
    pub fn in_time(&self, place: &Place) -> Result<(), Problem> {
        // Who waits for memory that others have is not late.
        if (self.limits.clock)() < self.ends.saturating_add(self.held.waited()) {
            return Ok(());
        }
        let message = format!("rendering this took longer than {}", seconds(self.limits.time));
        Err(Problem::at(place.clone(), message).hint("make it smaller, or allow it more time"))
    }

    /// What a path in a kustomization names.
    pub fn resolve(&self, folder: &TreePath, path: &str, place: &Place) -> Result<Target, Problem> {
        if path.is_empty() {
            return Err(Problem::at(place.clone(), "this path is empty"));
        }
        let joined = folder.join(path).map_err(|error| at(place, &error));
        if let Ok(joined) = &joined {
            match self.tree.kind(joined).map_err(|error| at(place, &error))? {
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
        self.in_time(place)?;
        let blob = self.tree.read(path, self.limits.yaml.file_bytes).map_err(|error| at(place, &error))?;
        self.held.hold(blob.bytes.len(), place)?;
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        Ok(Text::file(path.clone(), blob.bytes))
    }

    /// Takes what was read as text so far.
    pub fn take_texts(&self) -> HashSet<TreePath> {
        std::mem::take(&mut self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What some entries of `resources` name, and what is in those that are files, read on all cores.
    pub fn ahead(&self, folder: &TreePath, entries: &[At<String>], dialect: Dialect) -> VecDeque<Ahead> {
        let read = |entry: &At<String>| {
            let target = self.resolve(folder, &entry.it, &entry.place);
            let objects = match &target {
                Ok(Target::File(file)) => Some(
                    self.in_time(&entry.place)
                        .map_err(|problem| vec![problem])
                        .and_then(|()| self.resources(file, &entry.place, dialect)),
                ),
                _ => None,
            };
            (target, objects)
        };
        many::map(entries, read).into()
    }

    /// The objects of a file, lists expanded.
    pub fn resources(&self, path: &TreePath, place: &Place, dialect: Dialect) -> Read {
        // The id is known without the content.
        let id = match self.cache.keeps() {
            true => self.tree.entry(path).map_err(|error| vec![at(place, &error)])?.map(|entry| entry.id),
            false => None,
        };
        if let Some(known) = id.as_ref().and_then(|id| self.cache.parsed(id, path, dialect)) {
            self.held
                .copies(known.iter().map(|resource| &resource.node), place)
                .map_err(|problem| vec![problem])?;
            return Ok(known);
        }
        let blob =
            self.tree.read(path, self.limits.yaml.file_bytes).map_err(|error| vec![at(place, &error)])?;
        let size = blob.bytes.len();
        let text = Text::file(path.clone(), blob.bytes);
        let documents = self.held.nodes(&text, dialect, place)?;
        let resources = Arc::new(objects(documents)?);
        if let Some(id) = id {
            self.cache.keep_parsed(id, path, dialect, &resources, size);
        }
        Ok(resources)
    }

    /// Whether a folder has a kustomization, and which file it is.
    pub fn kustomization(&self, folder: &TreePath) -> Result<Option<TreePath>, Problem> {
        let mut names = Vec::new();
        for name in KUSTOMIZATION_NAMES {
            let path = folder.child(name);
            let kind = self.tree.kind(&path).map_err(|error| at(&Place::file(folder.clone()), &error))?;
            match kind {
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

/// The objects of some documents. What is only a list of objects is expanded, its items after all others.
pub(crate) fn objects(documents: Vec<(Node, Place)>) -> Result<Vec<Resource>, Vec<Problem>> {
    let mut queue = VecDeque::from(documents);
    let mut found = Vec::new();
    let mut resources = Vec::with_capacity(queue.len());
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
