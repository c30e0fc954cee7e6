//! What a render looked at in its tree, and what of it is another in a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::object::{Blob, Digest, Entry, EntryKind, Tree, TreeError, TreePath};

/// A folder with more files that were read is asked for all of them at once.
const MANY: usize = 16;

/// What was looked at, and what was there, by the folder in which it lies.
#[derive(Debug, Default)]
pub struct ReadSet(BTreeMap<TreePath, Reads>);

#[derive(Debug, Default)]
struct Reads {
    /// The folder's own id. One that is what it was answers for all that lies in it.
    id: Option<Digest>,
    seen: BTreeMap<TreePath, Looked>,
}

#[derive(Clone, Debug, PartialEq)]
enum Looked {
    /// Only whether there was something, and what kind of thing.
    Kind(Option<EntryKind>),
    Content(Option<Digest>),
}

/// How a newer tree differs in what was read.
#[derive(Debug, PartialEq)]
pub enum Difference {
    None,
    /// Files, or folders that were listed, hold something else; all else is what it was.
    Content(BTreeSet<TreePath>),
    /// Something came, went or became another kind of thing, or cannot be read.
    Other,
}

impl ReadSet {
    /// The files and folders whose content was looked at.
    pub fn contents(&self) -> impl Iterator<Item = &TreePath> {
        let seen = self.0.values().flat_map(|reads| &reads.seen);
        seen.filter(|(_, seen)| matches!(seen, Looked::Content(Some(_)))).map(|(path, _)| path)
    }

    pub fn compare(&self, tree: &dyn Tree) -> Difference {
        let mut changed = BTreeSet::new();
        for (folder, reads) in &self.0 {
            let is_the_same = reads.id.is_some() && folder_id(tree, folder) == reads.id;
            if !is_the_same && !reads.compare(tree, folder, &mut changed) {
                return Difference::Other;
            }
        }
        if changed.is_empty() { Difference::None } else { Difference::Content(changed) }
    }

    /// Goes on to a newer tree, in which only the content of these is another.
    pub fn move_to(&mut self, tree: &dyn Tree, changed: &BTreeSet<TreePath>) -> Result<(), TreeError> {
        for path in changed {
            let id = tree.entry(path)?.map(|entry| entry.id);
            self.insert(path, Looked::Content(id));
        }
        self.look_at_folders(tree);
        Ok(())
    }

    fn look_at_folders(&mut self, tree: &dyn Tree) {
        for (folder, reads) in &mut self.0 {
            reads.id = folder_id(tree, folder);
        }
    }

    fn insert(&mut self, path: &TreePath, seen: Looked) {
        let reads = self.0.entry(path.parent().unwrap_or_default()).or_default();
        match reads.seen.get_mut(path) {
            // Who knows the content knows the kind.
            Some(Looked::Content(_)) if matches!(seen, Looked::Kind(_)) => {}
            Some(known) => *known = seen,
            None => {
                reads.seen.insert(path.clone(), seen);
            }
        }
    }
}

fn folder_id(tree: &dyn Tree, folder: &TreePath) -> Option<Digest> {
    let entry = tree.entry(folder).ok().flatten()?;
    (entry.kind == EntryKind::Folder).then_some(entry.id)
}

impl Reads {
    /// Adds what changed; false where more than content is another.
    fn compare(&self, tree: &dyn Tree, folder: &TreePath, changed: &mut BTreeSet<TreePath>) -> bool {
        let told = self.id.as_ref().and_then(|id| tree.differences(folder, id).ok().flatten());
        if let Some(names) = told {
            return names.iter().all(|name| {
                let path = folder.child(name);
                self.seen.get(&path).is_none_or(|before| before.compare(&path, tree.entry(&path), changed))
            });
        }
        let listed = match self.seen.len() > MANY {
            true => tree.list(folder).ok(),
            false => None,
        };
        self.seen.iter().all(|(path, before)| {
            let now = match &listed {
                Some(entries) => {
                    let at = entries.binary_search_by(|entry| entry.name.as_str().cmp(path.file_name()));
                    Ok(at.ok().map(|at| entries[at].clone()))
                }
                None => tree.entry(path),
            };
            before.compare(path, now, changed)
        })
    }
}

impl Looked {
    fn compare(
        &self,
        path: &TreePath,
        now: Result<Option<Entry>, TreeError>,
        changed: &mut BTreeSet<TreePath>,
    ) -> bool {
        let Ok(now) = now else { return false };
        match self {
            Self::Kind(kind) => *kind == now.map(|entry| entry.kind),
            Self::Content(id) if *id == now.as_ref().map(|entry| entry.id.clone()) => true,
            Self::Content(Some(_)) if now.is_some_and(|now| is_content(now.kind)) => {
                changed.insert(path.clone());
                true
            }
            Self::Content(_) => false,
        }
    }
}

fn is_content(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::File | EntryKind::Folder)
}

/// A tree that notes what is asked of it.
pub struct Recording<'a> {
    tree: &'a dyn Tree,
    reads: Mutex<ReadSet>,
}

impl<'a> Recording<'a> {
    pub fn new(tree: &'a dyn Tree) -> Self {
        Self { tree, reads: Mutex::default() }
    }

    pub fn into_reads(self) -> ReadSet {
        let mut reads = self.reads.into_inner().unwrap_or_else(PoisonError::into_inner);
        reads.look_at_folders(self.tree);
        reads
    }

    fn note(&self, path: &TreePath, seen: Looked) {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).insert(path, seen);
    }

    fn note_content(&self, path: &TreePath) -> Result<(), TreeError> {
        let id = self.tree.entry(path)?.map(|entry| entry.id);
        self.note(path, Looked::Content(id));
        Ok(())
    }
}

impl Tree for Recording<'_> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let entry = self.tree.entry(path)?;
        self.note(path, Looked::Content(entry.as_ref().map(|entry| entry.id.clone())));
        Ok(entry)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        let kind = self.tree.kind(path)?;
        self.note(path, Looked::Kind(kind));
        Ok(kind)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        self.note_content(folder)?;
        self.tree.list(folder)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        let blob = self.tree.read(path, limit)?;
        // The id of the entry, which a link to the file has too.
        self.note_content(path)?;
        Ok(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::MemoryTree;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    /// Reads `a/x`, looks whether there is an `a/y`, and passes `b` by.
    fn reads(tree: &MemoryTree) -> ReadSet {
        let recording = Recording::new(tree);
        recording.read(&path("a/x"), 100).unwrap();
        recording.kind(&path("a/y")).unwrap();
        recording.kind(&path("a")).unwrap();
        recording.into_reads()
    }

    fn tree(files: &[(&str, &str)]) -> MemoryTree {
        MemoryTree::new(files.iter().copied()).unwrap()
    }

    /// A tree that knows in what it differs from an older one, as git does.
    struct Told<'a> {
        older: &'a MemoryTree,
        now: MemoryTree,
    }

    impl Tree for Told<'_> {
        fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
            self.now.entry(path)
        }

        fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
            self.now.list(folder)
        }

        fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
            self.now.read(path, limit)
        }

        fn differences(
            &self,
            folder: &TreePath,
            before: &Digest,
        ) -> Result<Option<Vec<Box<str>>>, TreeError> {
            if folder_id(self.older, folder).as_ref() != Some(before) {
                return Ok(None);
            }
            let of = |tree: &MemoryTree| tree.list(folder).unwrap_or_default();
            let (older, now) = (of(self.older), of(&self.now));
            let only = |some: &[Entry], others: &[Entry]| -> Vec<Box<str>> {
                let is_other = |entry: &&Entry| !others.contains(entry);
                some.iter().filter(is_other).map(|entry| entry.name.as_str().into()).collect()
            };
            Ok(Some([only(&older, &now), only(&now, &older)].concat()))
        }
    }

    #[test]
    fn only_what_was_read_makes_a_difference() {
        let older = tree(&[("a/x", "1"), ("b/y", "1")]);
        let before = reads(&older);
        let compare = |files: &[(&str, &str)]| {
            let found = before.compare(&tree(files));
            assert_eq!(before.compare(&Told { older: &older, now: tree(files) }), found);
            found
        };
        assert_eq!(compare(&[("a/x", "1"), ("b/y", "2")]), Difference::None);
        assert_eq!(compare(&[("a/x", "1"), ("a/z", "new"), ("b/y", "1")]), Difference::None);
        let changed = BTreeSet::from([path("a/x")]);
        assert_eq!(compare(&[("a/x", "2"), ("b/y", "1")]), Difference::Content(changed));
        assert_eq!(compare(&[("a/x", "1"), ("a/y", "came")]), Difference::Other);
        assert_eq!(compare(&[("b/y", "1")]), Difference::Other);
        assert_eq!(compare(&[("a/x/z", "a folder now")]), Difference::Content(BTreeSet::from([path("a/x")])));
    }

    #[test]
    fn a_full_folder_is_compared_as_a_small_one() {
        let names: Vec<String> = (0..40).map(|n| format!("a/{n:02}")).collect();
        let files = |seven: &'static str| {
            let content = |name: &str| if name == "a/07" { seven } else { "1" };
            MemoryTree::new(names.iter().map(|name| (name.as_str(), content(name)))).unwrap()
        };
        let (one, two) = (files("1"), files("2"));
        let recording = Recording::new(&one);
        for name in &names {
            recording.read(&path(name), 100).unwrap();
        }
        let mut before = recording.into_reads();
        let changed = BTreeSet::from([path("a/07")]);
        assert_eq!(before.compare(&two), Difference::Content(changed.clone()));
        before.move_to(&two, &changed).unwrap();
        assert_eq!(before.compare(&two), Difference::None);
        assert_eq!(before.compare(&one), Difference::Content(changed));
    }
}
