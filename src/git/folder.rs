//! A working folder on disk as a tree, for `--repo DIR`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::links::{Child, ChildKind, Links, Source};
use super::objects::lock;
use crate::object::{Blob, Digest, Entry, EntryKind, Tree, TreeError, TreePath};

/// An id is worth at most this much reading. A working folder also holds build output, of any size; a folder with more
/// than this gets an id of its own that equals no other.
const HASHED_FILES: usize = 20_000;
const HASHED_BYTES: u64 = 64 << 20;

/// Deeper folders get an id of their own too.
const MAX_DEPTH: usize = 64;

/// The work tree that a folder lies in, or the bare repository; as git finds it, and without libgit2, which would take
/// longer to begin than a small render takes in all.
pub fn repository_around(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let is_repository = |path: &Path| path.join("HEAD").is_file() && path.join("objects").is_dir();
    let holds = |path: &&Path| {
        let git = path.join(".git");
        git.is_file() || is_repository(&git) || is_repository(path) && path.join("refs").is_dir()
    };
    folder.ancestors().find(holds).map(Path::to_owned)
}

/// The files of a folder, as they are on disk when they are read; `.git` is left out.
///
/// It is for one command: ids are computed once and kept, so a file that changes meanwhile keeps the id it had.
pub struct FolderTree(Links<Disk>);

impl FolderTree {
    pub fn open(folder: &Path) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let disk = Disk { root, ids: Mutex::default(), folders: Mutex::default(), nonce: fastrand::u64(..) };
        Ok(Self(Links(disk)))
    }
}

impl Tree for FolderTree {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        self.0.entry(path)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        self.0.list(folder)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        self.0.read(path, limit)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        self.0.kind(path)
    }
}

struct Disk {
    root: PathBuf,
    ids: Mutex<HashMap<TreePath, Digest>>,
    /// Folders that were passed through. A name is looked up by itself: to list its folder each time would cost the
    /// square of a folder's files.
    folders: Mutex<HashSet<TreePath>>,
    nonce: u64,
}

struct Budget {
    files: usize,
    bytes: u64,
}

impl Disk {
    fn place(&self, path: &TreePath) -> PathBuf {
        self.root.join(path.as_str())
    }

    fn kept(
        &self,
        path: &TreePath,
        make: impl FnOnce() -> Result<Digest, TreeError>,
    ) -> Result<Digest, TreeError> {
        if let Some(id) = lock(&self.ids).get(path) {
            return Ok(id.clone());
        }
        let id = make()?;
        lock(&self.ids).insert(path.clone(), id.clone());
        Ok(id)
    }

    fn hash_file(&self, path: &TreePath) -> Result<Digest, TreeError> {
        let place = self.place(path);
        let link = fs::symlink_metadata(&place).map_err(|error| unreadable(path, &error))?.is_symlink();
        let bytes = match link {
            true => fs::read_link(&place).map(|text| text.as_os_str().as_bytes().to_vec()),
            false => fs::read(&place),
        };
        Ok(Digest::of(&bytes.map_err(|error| unreadable(path, &error))?))
    }

    /// The id of a folder's content, or `None` where that costs too much, or hangs on what a link leads to.
    fn hash_folder(
        &self,
        path: &TreePath,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Option<Digest>, TreeError> {
        if depth == MAX_DEPTH {
            return Ok(None);
        }
        let mut parts: Vec<String> = Vec::new();
        for child in self.children(path, &())?.iter() {
            let below = path.child(&child.name);
            let id = match child.kind {
                ChildKind::File => {
                    let size = fs::symlink_metadata(self.place(&below))
                        .map_err(|error| unreadable(&below, &error))?
                        .len();
                    if budget.files == 0 || budget.bytes < size {
                        return Ok(None);
                    }
                    *budget = Budget { files: budget.files - 1, bytes: budget.bytes - size };
                    self.kept(&below, || self.hash_file(&below))?
                }
                ChildKind::Folder => match self.hash_folder(&below, depth + 1, budget)? {
                    Some(id) => id,
                    None => return Ok(None),
                },
                _ => return Ok(None),
            };
            parts.push(child.name.to_string());
            parts.push(format!("{:?} {id}", child.kind));
        }
        Ok(Some(Digest::of_parts(parts.iter().map(String::as_str))))
    }
}

impl Source for Disk {
    type Key = ();

    fn root(&self) {}

    fn children(&self, path: &TreePath, _: &()) -> Result<Arc<[Child<()>]>, TreeError> {
        let fail = |error: io::Error| unreadable(path, &error);
        let mut children = Vec::new();
        for entry in fs::read_dir(self.place(path)).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_name() == ".git" {
                continue;
            }
            let kind = match entry.file_type().map_err(fail)? {
                kind if kind.is_symlink() => ChildKind::Link,
                kind if kind.is_dir() => ChildKind::Folder,
                kind if kind.is_file() => ChildKind::File,
                // Sockets, pipes and devices are nothing that git would hold, and reading one may never end.
                _ => continue,
            };
            let name = entry.file_name();
            children.push(match name.to_str() {
                Some(name) => Child { name: name.into(), kind, key: () },
                None => Child { name: name.to_string_lossy().into(), kind: ChildKind::BadName, key: () },
            });
        }
        children.sort_by(|a, b| {
            (&a.name, a.kind == ChildKind::BadName).cmp(&(&b.name, b.kind == ChildKind::BadName))
        });
        children.dedup_by(|a, b| a.name == b.name);
        Ok(children.into())
    }

    fn child(&self, path: &TreePath, _: &(), name: &str) -> Result<Option<Child<()>>, TreeError> {
        let found = |kind| Ok(Some(Child { name: name.into(), kind, key: () }));
        if name == ".git" || name.contains('\0') {
            return Ok(None);
        }
        let below = path.child(name);
        if lock(&self.folders).contains(&below) {
            return found(ChildKind::Folder);
        }
        let kind = match fs::symlink_metadata(self.place(&below)) {
            Ok(facts) => facts.file_type(),
            // A name that is not UTF-8 is shown with this character, and found by how it is shown.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.contains('\u{fffd}') => {
                return Ok(self.children(path, &())?.iter().find(|child| *child.name == *name).cloned());
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            // Longer than any name can be.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Ok(None),
            Err(error) => return Err(unreadable(&below, &error)),
        };
        match kind {
            kind if kind.is_symlink() => found(ChildKind::Link),
            kind if kind.is_dir() => {
                lock(&self.folders).insert(below);
                found(ChildKind::Folder)
            }
            kind if kind.is_file() => found(ChildKind::File),
            _ => Ok(None),
        }
    }

    fn read(&self, path: &TreePath, _: &(), limit: u64) -> Result<Vec<u8>, TreeError> {
        let place = self.place(path);
        let fail = |error: io::Error| unreadable(path, &error);
        let facts = fs::symlink_metadata(&place).map_err(fail)?;
        if facts.is_symlink() {
            return Ok(fs::read_link(&place).map_err(fail)?.into_os_string().as_bytes().to_vec());
        }
        if facts.len() > limit {
            return Err(TreeError::TooLarge { path: path.clone(), size: facts.len(), limit });
        }
        let mut bytes = Vec::with_capacity(facts.len() as usize);
        fs::File::open(&place).map_err(fail)?.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
        match bytes.len() as u64 {
            size if size > limit => Err(TreeError::TooLarge { path: path.clone(), size, limit }),
            _ => Ok(bytes),
        }
    }

    fn file_id(&self, path: &TreePath, _: &()) -> Result<Digest, TreeError> {
        self.kept(path, || {
            let size =
                fs::symlink_metadata(self.place(path)).map_err(|error| unreadable(path, &error))?.len();
            match size <= HASHED_BYTES {
                true => self.hash_file(path),
                false => Ok(self.own_id(path)),
            }
        })
    }

    fn folder_id(&self, path: &TreePath, _: &()) -> Result<Digest, TreeError> {
        self.kept(path, || {
            let mut budget = Budget { files: HASHED_FILES, bytes: HASHED_BYTES };
            Ok(self.hash_folder(path, 0, &mut budget)?.unwrap_or_else(|| self.own_id(path)))
        })
    }
}

impl Disk {
    fn own_id(&self, path: &TreePath) -> Digest {
        Digest::of_parts([path.as_str(), &self.nonce.to_string()])
    }
}

fn unreadable(path: &TreePath, error: &io::Error) -> TreeError {
    TreeError::Unreadable { path: path.clone(), why: error.kind().to_string() }
}
