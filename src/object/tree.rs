use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Digest;

/// A path inside a tree: relative, `/` between parts, no `.` or `..`, no empty part; the root is the empty path.
///
/// Only [`TreePath::join`] makes longer ones from what users wrote, so nothing outside the tree can be named.
/// Every object, and whatever touched it, names the file where it stands: a copy costs no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TreePath(Arc<str>);

impl Serialize for TreePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl TryFrom<String> for TreePath {
    type Error = TreeError;

    fn try_from(text: String) -> Result<Self, TreeError> {
        Self::new(&text)
    }
}

impl TreePath {
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path as it stands in the repository or on the command line.
    pub fn new(text: &str) -> Result<Self, TreeError> {
        Self::root().join(text)
    }

    /// Resolves what a file of this folder wrote. `..` may climb, but not out of the tree.
    pub fn join(&self, text: &str) -> Result<Self, TreeError> {
        if text.starts_with('/') {
            return Err(TreeError::Absolute { path: text.to_owned() });
        }
        let mut parts: Vec<&str> = self.0.split('/').filter(|part| !part.is_empty()).collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(TreeError::Escapes { path: text.to_owned() });
                    }
                }
                name if name.contains('\0') => {
                    return Err(TreeError::Escapes { path: text.to_owned() });
                }
                name => parts.push(name),
            }
        }
        Ok(Self(parts.join("/").into()))
    }

    /// A child by the name it has in the repository; not for text that users wrote.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.into()) } else { Self(format!("{}/{name}", self.0).into()) }
    }

    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).into()))
    }

    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `folder` or lies below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        folder.0.is_empty()
            || self.0 == folder.0
            || self.0.strip_prefix(&*folder.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    File,
    Folder,
    /// A symbolic link that resolves to a file inside the tree has kind `File`; these are the ones that do not.
    BadLink,
    Submodule,
    /// A name that is not UTF-8 (shown with replacement characters).
    BadName,
}

/// One name in a folder, with the id of its content: equal ids mean equal content, in any revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
    pub id: Digest,
}

/// A file's content.
#[derive(Clone, Debug)]
pub struct Blob {
    pub bytes: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("the path {path:?} is absolute; paths are relative to the file that names them")]
    Absolute { path: String },
    #[error("the path {path:?} leaves the repository")]
    Escapes { path: String },
    #[error("there is no file or folder {path}")]
    Missing { path: TreePath },
    #[error("{path} is a folder, not a file")]
    NotAFile { path: TreePath },
    #[error("{path} is a file, not a folder")]
    NotAFolder { path: TreePath },
    #[error("{path} is a symbolic link that leaves the repository, goes in a circle or leads nowhere")]
    BadLink { path: TreePath },
    #[error("{path} is a git submodule, and submodules are never read")]
    Submodule { path: TreePath },
    #[error("{path} has a name that is not UTF-8")]
    BadName { path: TreePath },
    #[error("{path} holds {size} bytes; the limit for a file is {limit}")]
    TooLarge { path: TreePath, size: u64, limit: u64 },
    #[error("{path} could not be read: {why}")]
    Unreadable { path: TreePath, why: String },
}

/// The files of one revision, however they are stored: git's object store, a working folder, a map in memory.
///
/// Symbolic links are followed inside the tree only, and never out of it.
pub trait Tree: Send + Sync {
    /// What is at a path, or `None` where nothing is.
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError>;

    /// What kind of thing is at a path: [`Tree::entry`] without the id, which may cost more than a look.
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        Ok(self.entry(path)?.map(|entry| entry.kind))
    }

    /// The names in a folder, sorted by name.
    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError>;

    /// Which names of a folder stand for something else than when the folder had this id; `None` where only a look at
    /// each can tell.
    fn differences(&self, folder: &TreePath, before: &Digest) -> Result<Option<Vec<Box<str>>>, TreeError> {
        let _ = (folder, before);
        Ok(None)
    }

    /// A file's content. Files over `limit` bytes are refused without being read.
    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError>;
}

impl<T: Tree + ?Sized> Tree for Arc<T> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        (**self).entry(path)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        (**self).kind(path)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        (**self).list(folder)
    }

    fn differences(&self, folder: &TreePath, before: &Digest) -> Result<Option<Vec<Box<str>>>, TreeError> {
        (**self).differences(folder, before)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        (**self).read(path, limit)
    }
}

/// A tree in memory: for tests, and for what a chart rendered to.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    files: BTreeMap<TreePath, Arc<[u8]>>,
}

impl MemoryTree {
    pub fn new<'a, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (&'a str, B)>) -> Result<Self, TreeError> {
        let mut tree = Self::default();
        for (path, bytes) in files {
            tree.files.insert(TreePath::new(path)?, bytes.as_ref().into());
        }
        Ok(tree)
    }
}

impl MemoryTree {
    /// The files below a folder. They follow one another, because all begin with its name and a `/`.
    fn below(&self, folder: &TreePath) -> impl Iterator<Item = (&TreePath, &Arc<[u8]>)> {
        let start = if folder.0.is_empty() { String::new() } else { format!("{}/", folder.0) };
        let from = TreePath(start.as_str().into());
        self.files.range(from..).take_while(move |(file, _)| file.0.starts_with(&start))
    }
}

impl Tree for MemoryTree {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        if let Some(bytes) = self.files.get(path) {
            let name = path.file_name().to_owned();
            return Ok(Some(Entry { name, kind: EntryKind::File, id: Digest::of(bytes) }));
        }
        let mut within = self.below(path).peekable();
        if within.peek().is_none() {
            return Ok(None);
        }
        let ids: Vec<String> = within.map(|(file, bytes)| format!("{file} {}", Digest::of(bytes))).collect();
        let id = Digest::of_parts(ids.iter().map(String::as_str));
        Ok(Some(Entry { name: path.file_name().to_owned(), kind: EntryKind::Folder, id }))
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        if self.files.contains_key(path) {
            return Ok(Some(EntryKind::File));
        }
        Ok(self.below(path).next().map(|_| EntryKind::Folder))
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let mut names: Vec<String> = self
            .below(folder)
            .filter_map(|(file, _)| {
                let rest = file.as_str()[folder.as_str().len()..].trim_start_matches('/');
                rest.split('/').next().map(str::to_owned)
            })
            .collect();
        names.dedup();
        if names.is_empty() {
            return Err(match self.files.contains_key(folder) {
                true => TreeError::NotAFolder { path: folder.clone() },
                false => TreeError::Missing { path: folder.clone() },
            });
        }
        names.sort();
        names.dedup();
        names
            .iter()
            .map(|name| {
                let path = folder.child(name);
                self.entry(&path)?.ok_or(TreeError::Missing { path })
            })
            .collect()
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => {
                Err(TreeError::TooLarge { path: path.clone(), size: bytes.len() as u64, limit })
            }
            Some(bytes) => Ok(Blob { bytes: bytes.clone() }),
            None if self.entry(path)?.is_some() => Err(TreeError::NotAFile { path: path.clone() }),
            None => Err(TreeError::Missing { path: path.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_tree() {
        let here = TreePath::new("overlays/dev").unwrap();
        assert_eq!(here.join("../../base/web").unwrap().as_str(), "base/web");
        assert!(matches!(here.join("../../../etc"), Err(TreeError::Escapes { .. })));
        assert!(matches!(here.join("/etc/passwd"), Err(TreeError::Absolute { .. })));
        assert_eq!(here.join("./a//b/").unwrap().as_str(), "overlays/dev/a/b");
    }

    #[test]
    fn within_means_whole_parts() {
        let folder = TreePath::new("base/web").unwrap();
        assert!(TreePath::new("base/web/a.yaml").unwrap().is_within(&folder));
        assert!(!TreePath::new("base/website").unwrap().is_within(&folder));
    }

    #[test]
    fn a_folders_id_changes_with_its_files_only() {
        let one = MemoryTree::new([("a/x", "1"), ("b/y", "1")]).unwrap();
        let two = MemoryTree::new([("a/x", "1"), ("b/y", "2")]).unwrap();
        let id =
            |tree: &MemoryTree, path: &str| tree.entry(&TreePath::new(path).unwrap()).unwrap().unwrap().id;
        assert_eq!(id(&one, "a"), id(&two, "a"));
        assert_ne!(id(&one, "b"), id(&two, "b"));
    }
}
