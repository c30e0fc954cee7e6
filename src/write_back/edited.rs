//! A tree with some files changed, and one that notes what is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::object::{Blob, Digest, Entry, EntryKind, Tree, TreeError, TreePath};

/// Files of this size are no longer a person's.
const FILE_LIMIT: u64 = 8 << 20;

/// Knows where links of a tree lead.
pub trait Links: Sync {
    /// The file that a path leads to where links are followed.
    fn real(&self, path: &TreePath) -> TreePath;
}

/// A tree with the content of some files changed.
#[derive(Clone)]
pub struct Edited<'a> {
    base: &'a dyn Tree,
    links: &'a dyn Links,
    files: BTreeMap<TreePath, Arc<[u8]>>,
}

impl<'a> Edited<'a> {
    pub fn new(base: &'a dyn Tree, links: &'a dyn Links) -> Self {
        Self { base, links, files: BTreeMap::new() }
    }

    /// The text of a file.
    pub fn text(&self, path: &TreePath) -> Option<String> {
        let blob = self.read(path, FILE_LIMIT).ok()?;
        String::from_utf8(blob.bytes.to_vec()).ok()
    }

    /// The same with another content of a file that is there.
    pub fn with(&self, path: &TreePath, text: &str) -> Self {
        let mut files = self.files.clone();
        files.insert(self.links.real(path), text.as_bytes().into());
        Self { files, ..self.clone() }
    }

    /// The files that are not what they are in another.
    pub fn differing(&self, other: &Self) -> BTreeSet<TreePath> {
        let mut paths: BTreeSet<TreePath> = self.files.keys().chain(other.files.keys()).cloned().collect();
        paths.retain(|path| self.files.get(path) != other.files.get(path));
        paths
    }

    /// The changed files, each as it was and as it is.
    pub fn changes(&self) -> BTreeMap<TreePath, (String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let changed = self.files.iter().filter_map(|(path, bytes)| {
            let before = self.base.read(path, FILE_LIMIT).ok()?;
            (before.bytes != *bytes).then(|| (path.clone(), (text(&before.bytes), text(bytes))))
        });
        changed.collect()
    }

    fn edited(&self, path: &TreePath) -> Option<&Arc<[u8]>> {
        if self.files.is_empty() {
            return None;
        }
        self.files.get(path).or_else(|| self.files.get(&self.links.real(path)))
    }

    /// The entry as it is with the changes in it.
    fn entry_with(&self, path: &TreePath, entry: Entry) -> Entry {
        let id = match (entry.kind, self.edited(path)) {
            (EntryKind::File, Some(bytes)) => Digest::of(bytes),
            (EntryKind::Folder, _) => {
                let real = self.links.real(path);
                let within = self.files.iter().filter(|(file, _)| file.is_within(&real));
                let mut parts: Vec<String> =
                    within.map(|(file, bytes)| format!("{file} {}", Digest::of(bytes))).collect();
                if parts.is_empty() {
                    return entry;
                }
                parts.push(entry.id.to_string());
                Digest::of_parts(parts.iter().map(String::as_str))
            }
            _ => return entry,
        };
        Entry { id, ..entry }
    }
}

impl Tree for Edited<'_> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(self.base.entry(path)?.map(|entry| self.entry_with(path, entry)))
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        self.base.kind(path)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let entries = self.base.list(folder)?;
        Ok(entries
            .into_iter()
            .map(|entry| {
                let path = folder.child(&entry.name);
                self.entry_with(&path, entry)
            })
            .collect())
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        match self.edited(path) {
            Some(bytes) if bytes.len() as u64 > limit => {
                Err(TreeError::TooLarge { path: path.clone(), size: bytes.len() as u64, limit })
            }
            Some(bytes) => Ok(Blob { bytes: bytes.clone() }),
            None => self.base.read(path, limit),
        }
    }
}

/// Notes the files that are read.
pub(super) struct Noting<'a> {
    tree: &'a Edited<'a>,
    read: Mutex<BTreeSet<TreePath>>,
}

impl<'a> Noting<'a> {
    pub fn new(tree: &'a Edited<'a>) -> Self {
        Self { tree, read: Mutex::default() }
    }

    pub fn into_read(self) -> BTreeSet<TreePath> {
        self.read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: &TreePath) {
        let real = self.tree.links.real(path);
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(real);
    }
}

impl Tree for Noting<'_> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        self.tree.entry(path)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        self.tree.kind(path)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        self.tree.list(folder)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        self.note(path);
        self.tree.read(path, limit)
    }
}
