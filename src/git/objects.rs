//! One repository's object database, read by many threads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::{ObjectType, Oid, Repository, RepositoryOpenFlags};

use super::links::{Child, ChildKind, Source};
use crate::object::{Digest, TreeError, TreePath};

/// Handles kept open. libgit2's are for one thread at a time; renders run on a few threads.
const HANDLES: usize = 4;

/// Names kept in parsed folders, over all revisions: about 100 bytes each, so at most some 10 MB.
const CACHED_NAMES: usize = 100_000;

/// A folder's listing in git holds some 40 bytes a name; one of this size names 400,000 files.
const MAX_FOLDER_BYTES: usize = 16 << 20;

/// Folders nest no deeper than this when an id is computed, so that a hostile tree cannot exhaust the stack.
const MAX_DEPTH: usize = 256;

/// Folders that were parsed, by their id: equal ids are equal folders, in any revision.
#[derive(Default)]
struct Folders {
    by_id: HashMap<Oid, Parsed>,
    names: usize,
}

/// A folder as it is parsed, and whether a link is anywhere below it.
#[derive(Clone)]
struct Parsed {
    children: Arc<[Child<Oid>]>,
    links_below: Option<bool>,
}

/// An object database: a mirror's generation, or a repository on disk.
///
/// Dropped by its last reader, a retired one removes its folder.
pub(super) struct Objects {
    folder: PathBuf,
    handles: Mutex<Vec<Repository>>,
    parsed: Mutex<Folders>,
    damaged: AtomicBool,
    retired: AtomicBool,
}

impl Objects {
    pub fn open(folder: &Path) -> Result<Arc<Self>, git2::Error> {
        let handle = open(folder)?;
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            handles: Mutex::new(vec![handle]),
            parsed: Mutex::default(),
            damaged: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder once nobody reads it.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Takes back [`Objects::retire`].
    pub fn keep(&self) {
        self.retired.store(false, Ordering::Relaxed);
    }

    /// Whether something that must be there could not be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Lends a handle to this thread.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Repository) -> Result<T, git2::Error>,
    ) -> Result<T, git2::Error> {
        let handle = match lock(&self.handles).pop() {
            Some(handle) => handle,
            None => open(&self.folder)?,
        };
        let result = work(&handle);
        let mut handles = lock(&self.handles);
        if handles.len() < HANDLES {
            handles.push(handle);
        }
        result
    }

    /// Reads what a commit says must be there; a failure means that the database is damaged.
    fn must<T>(
        &self,
        path: &TreePath,
        work: impl FnOnce(&Repository) -> Result<T, git2::Error>,
    ) -> Result<T, TreeError> {
        self.with(work).map_err(|error| {
            self.damaged.store(true, Ordering::Relaxed);
            TreeError::Unreadable { path: path.clone(), why: error.message().to_owned() }
        })
    }

    fn parsed(&self, path: &TreePath, id: Oid) -> Result<Parsed, TreeError> {
        if let Some(parsed) = lock(&self.parsed).by_id.get(&id) {
            return Ok(parsed.clone());
        }
        let (size, _) = self.must(path, |repo| repo.odb()?.read_header(id))?;
        if size > MAX_FOLDER_BYTES {
            let (size, limit) = (size as u64, MAX_FOLDER_BYTES as u64);
            return Err(TreeError::TooLarge { path: path.clone(), size, limit });
        }
        let children = self.must(path, |repo| Ok(children_of(&repo.find_tree(id)?)))?;
        let parsed = Parsed { children, links_below: None };
        let mut all = lock(&self.parsed);
        if all.names + parsed.children.len() > CACHED_NAMES {
            *all = Folders::default();
        }
        all.names += parsed.children.len() + 1;
        all.by_id.insert(id, parsed.clone());
        Ok(parsed)
    }

    /// What a folder of an older revision held, if it is still there: nobody says that it must be.
    fn remembered(&self, id: Oid) -> Option<Arc<[Child<Oid>]>> {
        if let Some(parsed) = lock(&self.parsed).by_id.get(&id) {
            return Some(parsed.children.clone());
        }
        self.with(|repo| Ok(children_of(&repo.find_tree(id)?))).ok()
    }

    fn links_below(&self, path: &TreePath, id: Oid, depth: usize) -> Result<bool, TreeError> {
        let parsed = self.parsed(path, id)?;
        if let Some(known) = parsed.links_below {
            return Ok(known);
        }
        if depth == MAX_DEPTH {
            // Too deep to be read by anyone; taken for the careful answer.
            return Ok(true);
        }
        let mut found = false;
        for child in parsed.children.iter() {
            found = match child.kind {
                ChildKind::Link => true,
                ChildKind::Folder => self.links_below(&path.child(&child.name), child.key, depth + 1)?,
                _ => false,
            };
            if found {
                break;
            }
        }
        if let Some(parsed) = lock(&self.parsed).by_id.get_mut(&id) {
            parsed.links_below = Some(found);
        }
        Ok(found)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Relaxed) {
            lock(&self.handles).clear();
            // What stays behind is removed when the cache is opened next.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// One revision's files in an object database.
pub(super) struct Snapshot {
    pub objects: Arc<Objects>,
    pub root: Oid,
}

impl Source for Snapshot {
    type Key = Oid;

    fn root(&self) -> Oid {
        self.root
    }

    fn children(&self, path: &TreePath, key: &Oid) -> Result<Arc<[Child<Oid>]>, TreeError> {
        self.objects.parsed(path, *key).map(|parsed| parsed.children)
    }

    fn read(&self, path: &TreePath, key: &Oid, limit: u64) -> Result<Vec<u8>, TreeError> {
        let read = self.objects.must(path, |repo| {
            let odb = repo.odb()?;
            let (size, kind) = odb.read_header(*key)?;
            if size as u64 > limit {
                return Ok(Err(size as u64));
            }
            if kind != ObjectType::Blob {
                return Err(git2::Error::from_str("its object is not a file's content"));
            }
            Ok(Ok(odb.read(*key)?.data().to_vec()))
        })?;
        read.map_err(|size| TreeError::TooLarge { path: path.clone(), size, limit })
    }

    fn file_id(&self, _: &TreePath, key: &Oid) -> Result<Digest, TreeError> {
        Ok(id_of(*key))
    }

    /// Git's own id holds a link's text, not what it leads to. A folder with links below it is taken to change with the
    /// whole revision: rarely wrong, and then only by work done twice.
    fn folder_id(&self, path: &TreePath, key: &Oid) -> Result<Digest, TreeError> {
        if !self.objects.links_below(path, *key, 0)? {
            return Ok(id_of(*key));
        }
        // As long as no id of git's: see `differences`.
        let (root, folder) = (self.root.to_string(), key.to_string());
        Ok(Digest::of_parts(["links below", &root, path.as_str(), &folder]))
    }

    fn differences(
        &self,
        path: &TreePath,
        key: &Oid,
        before: &Digest,
    ) -> Result<Option<Vec<Box<str>>>, TreeError> {
        // Where links were or are below it, the same key may stand for something else.
        let Ok(before) = Oid::from_str(before.as_str()) else { return Ok(None) };
        if self.objects.links_below(path, *key, 0)? {
            return Ok(None);
        }
        let now = self.children(path, key)?;
        Ok(self.objects.remembered(before).map(|before| differing(&before, &now)))
    }
}

/// The names under which two folders hold something else. Both are sorted by name.
fn differing(before: &[Child<Oid>], now: &[Child<Oid>]) -> Vec<Box<str>> {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    let mut names = Vec::new();
    loop {
        let order = match (before.peek(), now.peek()) {
            (None, None) => return names,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let old = before.next_if(|_| order.is_le());
        let new = now.next_if(|_| order.is_ge());
        let what = |child: &Child<Oid>| (child.kind, child.key);
        if old.map(what) != new.map(what) {
            names.extend(old.or(new).map(|child| child.name.clone()));
        }
    }
}

fn id_of(id: Oid) -> Digest {
    // Git's own id, which is a digest of the content already.
    Digest::of_hex(id.as_bytes())
}

fn children_of(tree: &git2::Tree<'_>) -> Arc<[Child<Oid>]> {
    let mut children: Vec<Child<Oid>> =
        tree.iter().map(|entry| child_of(entry.name_bytes(), entry.filemode(), entry.id())).collect();
    // Git sorts a folder as if its name ended in '/'. A hostile tree may hold a name twice: a good one goes first.
    children.sort_by(|a, b| {
        (&a.name, a.kind == ChildKind::BadName).cmp(&(&b.name, b.kind == ChildKind::BadName))
    });
    children.dedup_by(|a, b| a.name == b.name);
    children.into()
}

fn child_of(name: &[u8], mode: i32, key: Oid) -> Child<Oid> {
    let kind = match mode & 0o170_000 {
        0o040_000 => ChildKind::Folder,
        0o120_000 => ChildKind::Link,
        0o160_000 => ChildKind::Submodule,
        _ => ChildKind::File,
    };
    match std::str::from_utf8(name) {
        // Git refuses to write such names, but not to read them.
        Ok(name)
            if matches!(name, "" | "." | "..")
                || name.contains(['/', '\0'])
                || name.eq_ignore_ascii_case(".git") =>
        {
            Child { name: name.replace(['/', '\0'], "\u{fffd}").into(), kind: ChildKind::BadName, key }
        }
        Ok(name) => Child { name: name.into(), kind, key },
        Err(_) => Child { name: String::from_utf8_lossy(name).into(), kind: ChildKind::BadName, key },
    }
}

/// Opens exactly this folder: libgit2 would otherwise look for a repository above it.
pub(super) fn open(folder: &Path) -> Result<Repository, git2::Error> {
    super::library::ready();
    Repository::open_ext(folder, RepositoryOpenFlags::NO_SEARCH, std::iter::empty::<&Path>())
}

/// A panic while a lock was held leaves plain caches and lists behind, which stay usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
