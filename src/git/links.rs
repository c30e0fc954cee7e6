//! Paths with symbolic links, resolved inside a tree and never out of it: one set of rules for git's object store and for
//! a folder on disk.

use std::sync::Arc;

use crate::object::{Blob, Digest, Entry, EntryKind, Tree, TreeError, TreePath};

/// Links followed on the way to one entry. Real trees use one or two; each one more multiplies what a hostile tree can
/// make us list.
const MAX_LINKS: usize = 8;

/// A link's text is a path; more than this is not one.
const MAX_LINK_TEXT: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildKind {
    File,
    Folder,
    Link,
    Submodule,
    BadName,
}

/// One name in a stored folder, as it is stored: links are not followed.
#[derive(Clone, Debug)]
pub(super) struct Child<K> {
    pub name: Box<str>,
    pub kind: ChildKind,
    pub key: K,
}

/// Where files are stored. `path` is where the thing really is; `key` is how the store finds it.
pub(super) trait Source: Send + Sync {
    type Key: Clone + Send + Sync;

    fn root(&self) -> Self::Key;
    /// Sorted by name, names unique.
    fn children(&self, path: &TreePath, key: &Self::Key) -> Result<Arc<[Child<Self::Key>]>, TreeError>;
    /// One of them.
    fn child(
        &self,
        path: &TreePath,
        key: &Self::Key,
        name: &str,
    ) -> Result<Option<Child<Self::Key>>, TreeError> {
        let children = self.children(path, key)?;
        Ok(children.binary_search_by(|child| (*child.name).cmp(name)).ok().map(|at| children[at].clone()))
    }
    /// A file's content, or a link's text.
    fn read(&self, path: &TreePath, key: &Self::Key, limit: u64) -> Result<Vec<u8>, TreeError>;
    /// The id of a file, or of a link's text.
    fn file_id(&self, path: &TreePath, key: &Self::Key) -> Result<Digest, TreeError>;
    /// The id of all below a folder. Must also change when what a link below it leads to changes.
    fn folder_id(&self, path: &TreePath, key: &Self::Key) -> Result<Digest, TreeError>;
    /// Which names of a folder stand for something else than in the folder that had this id, where that can be told.
    fn differences(
        &self,
        path: &TreePath,
        key: &Self::Key,
        before: &Digest,
    ) -> Result<Option<Vec<Box<str>>>, TreeError> {
        let _ = (path, key, before);
        Ok(None)
    }
}

/// A [`Source`] as a [`Tree`].
pub(super) struct Links<S>(pub S);

/// A folder by its real place: the names from the root, each with its key.
struct Folder<K> {
    path: TreePath,
    key: K,
    above: Option<Arc<Folder<K>>>,
}

enum Node<K> {
    Folder(Arc<Folder<K>>),
    File(TreePath, K),
    Submodule(TreePath, K),
    BadName,
}

enum Stop<K> {
    Missing,
    /// The link at this part of the path, which cannot be followed.
    BadLink {
        part: usize,
        link: K,
    },
    Error(TreeError),
}

impl<K> From<TreeError> for Stop<K> {
    fn from(error: TreeError) -> Self {
        Self::Error(error)
    }
}

impl<S: Source> Links<S> {
    fn root(&self) -> Arc<Folder<S::Key>> {
        Arc::new(Folder { path: TreePath::root(), key: self.0.root(), above: None })
    }

    fn resolve(&self, path: &TreePath, from: &mut Vec<TreePath>) -> Result<Node<S::Key>, Stop<S::Key>> {
        self.descend(self.root(), path.as_str(), from)
    }

    /// Goes down `names` from a folder. `from` holds the folders whose links were followed on the way.
    fn descend(
        &self,
        mut here: Arc<Folder<S::Key>>,
        names: &str,
        from: &mut Vec<TreePath>,
    ) -> Result<Node<S::Key>, Stop<S::Key>> {
        let names: Vec<&str> = names.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        for (part, name) in names.iter().enumerate() {
            if *name == ".." {
                // Only the text of a link holds these; climbing out of the tree is caught by the caller as a bad link.
                here = here.above.clone().ok_or(Stop::Missing)?;
                continue;
            }
            let child = &self.0.child(&here.path, &here.key, name)?.ok_or(Stop::Missing)?;
            let last = part + 1 == names.len();
            let node = self.follow(&here, child, from).map_err(|stop| match stop {
                Stop::Missing | Stop::BadLink { .. } => Stop::BadLink { part, link: child.key.clone() },
                error => error,
            })?;
            match node {
                Node::Folder(folder) => here = folder,
                node if last => return Ok(node),
                Node::Submodule(..) => {
                    return Err(TreeError::Submodule { path: here.path.child(name) }.into());
                }
                _ => return Err(Stop::Missing),
            }
        }
        Ok(Node::Folder(here))
    }

    /// What a name of a folder leads to.
    fn follow(
        &self,
        folder: &Arc<Folder<S::Key>>,
        child: &Child<S::Key>,
        from: &mut Vec<TreePath>,
    ) -> Result<Node<S::Key>, Stop<S::Key>> {
        let path = folder.path.child(&child.name);
        match child.kind {
            ChildKind::File => return Ok(Node::File(path, child.key.clone())),
            ChildKind::Submodule => return Ok(Node::Submodule(path, child.key.clone())),
            ChildKind::BadName => return Ok(Node::BadName),
            ChildKind::Folder => {
                let above = Some(folder.clone());
                return Ok(Node::Folder(Arc::new(Folder { path, key: child.key.clone(), above })));
            }
            ChildKind::Link => {}
        }
        if from.len() == MAX_LINKS {
            return Err(Stop::Missing);
        }
        let text = match self.0.read(&path, &child.key, MAX_LINK_TEXT) {
            Ok(text) => text,
            Err(TreeError::TooLarge { .. }) => return Err(Stop::Missing),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8(text).map_err(|_| Stop::Missing)?;
        if text.is_empty() || text.starts_with('/') || text.contains('\0') {
            return Err(Stop::Missing);
        }
        from.push(folder.path.clone());
        let node = match self.descend(folder.clone(), &text, from) {
            Err(Stop::Error(TreeError::Submodule { .. })) => return Err(Stop::Missing),
            node => node?,
        };
        // A link to a folder that holds the link, or one that led here, would have no end when listed.
        if let Node::Folder(target) = &node
            && from.iter().any(|passed| passed.is_within(&target.path))
        {
            return Err(Stop::Missing);
        }
        Ok(node)
    }

    fn describe(&self, name: &str, node: &Node<S::Key>) -> Result<Entry, TreeError> {
        let (kind, id) = match node {
            Node::Folder(folder) => (EntryKind::Folder, self.0.folder_id(&folder.path, &folder.key)?),
            Node::File(path, key) => (EntryKind::File, self.0.file_id(path, key)?),
            Node::Submodule(path, key) => {
                let commit = self.0.file_id(path, key)?;
                (EntryKind::Submodule, Digest::of_parts(["submodule", commit.as_str()]))
            }
            Node::BadName => (EntryKind::BadName, Digest::of_parts(["bad name", name])),
        };
        Ok(Entry { name: name.to_owned(), kind, id })
    }

    fn bad_link(&self, name: &str, path: &TreePath, link: &S::Key) -> Result<Entry, TreeError> {
        let text = self.0.file_id(path, link)?;
        let id = Digest::of_parts(["bad link", text.as_str()]);
        Ok(Entry { name: name.to_owned(), kind: EntryKind::BadLink, id })
    }

    fn fail(&self, path: &TreePath, stop: Stop<S::Key>) -> TreeError {
        match stop {
            Stop::Missing => TreeError::Missing { path: path.clone() },
            Stop::BadLink { .. } => TreeError::BadLink { path: path.clone() },
            Stop::Error(error) => error,
        }
    }
}

impl<S: Source> Tree for Links<S> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let parts = path.as_str().split('/').count();
        match self.resolve(path, &mut Vec::new()) {
            Ok(node) => self.describe(path.file_name(), &node).map(Some),
            Err(Stop::Missing) => Ok(None),
            Err(Stop::BadLink { part, link }) if part + 1 == parts => {
                self.bad_link(path.file_name(), path, &link).map(Some)
            }
            Err(stop) => Err(self.fail(path, stop)),
        }
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        let parts = path.as_str().split('/').count();
        match self.resolve(path, &mut Vec::new()) {
            Ok(Node::Folder(_)) => Ok(Some(EntryKind::Folder)),
            Ok(Node::File(..)) => Ok(Some(EntryKind::File)),
            Ok(Node::Submodule(..)) => Ok(Some(EntryKind::Submodule)),
            Ok(Node::BadName) => Ok(Some(EntryKind::BadName)),
            Err(Stop::Missing) => Ok(None),
            Err(Stop::BadLink { part, .. }) if part + 1 == parts => Ok(Some(EntryKind::BadLink)),
            Err(stop) => Err(self.fail(path, stop)),
        }
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let mut from = Vec::new();
        let here = match self.resolve(folder, &mut from).map_err(|stop| self.fail(folder, stop))? {
            Node::Folder(here) => here,
            Node::File(..) => return Err(TreeError::NotAFolder { path: folder.clone() }),
            Node::Submodule(..) => return Err(TreeError::Submodule { path: folder.clone() }),
            Node::BadName => return Err(TreeError::BadName { path: folder.clone() }),
        };
        let children = self.0.children(&here.path, &here.key)?;
        let entry = |child: &Child<S::Key>| match self.follow(&here, child, &mut from.clone()) {
            Ok(node) => self.describe(&child.name, &node),
            Err(Stop::Error(error)) => Err(error),
            Err(_) => self.bad_link(&child.name, &here.path.child(&child.name), &child.key),
        };
        children.iter().map(entry).collect()
    }

    fn differences(&self, folder: &TreePath, before: &Digest) -> Result<Option<Vec<Box<str>>>, TreeError> {
        match self.resolve(folder, &mut Vec::new()) {
            Ok(Node::Folder(here)) => self.0.differences(&here.path, &here.key, before),
            _ => Ok(None),
        }
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        match self.resolve(path, &mut Vec::new()).map_err(|stop| self.fail(path, stop))? {
            Node::File(real, key) => {
                let bytes = self.0.read(&real, &key, limit).map_err(|error| match error {
                    // The user knows the file by the path that was asked for.
                    TreeError::TooLarge { size, limit, .. } => {
                        TreeError::TooLarge { path: path.clone(), size, limit }
                    }
                    error => error,
                })?;
                Ok(Blob { bytes: bytes.into() })
            }
            Node::Folder(_) => Err(TreeError::NotAFile { path: path.clone() }),
            Node::Submodule(..) => Err(TreeError::Submodule { path: path.clone() }),
            Node::BadName => Err(TreeError::BadName { path: path.clone() }),
        }
    }
}
