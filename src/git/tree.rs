use std::sync::Arc;

use git2::Oid;
use jiff::Timestamp;

use super::links::Links;
use super::objects::{Objects, Snapshot};
use crate::object::{Blob, Digest, Entry, EntryKind, Revision, Tree, TreeError, TreePath};

/// The subject of a commit is shown in lines and tables; longer ones are cut.
const SUBJECT_CHARS: usize = 200;

/// The files of one revision, read from git's object database as they are asked for.
///
/// It stays readable for as long as it lives, whatever is fetched or dropped meanwhile.
pub struct GitTree {
    links: Links<Snapshot>,
    revision: Revision,
}

/// What a commit says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    pub author: String,
    pub email: String,
    pub time: Timestamp,
    pub subject: String,
}

impl GitTree {
    /// `None` where the database does not hold the commit.
    pub(super) fn open(objects: &Arc<Objects>, revision: &Revision) -> Option<Self> {
        let commit = Oid::from_str(revision.as_str()).ok()?;
        let root = objects.with(|repo| Ok(repo.find_commit(commit)?.tree_id())).ok()?;
        Some(Self { links: Links(Snapshot { objects: objects.clone(), root }), revision: revision.clone() })
    }

    /// The files of a folder that no commit has yet: what `revision` would come to, merged.
    pub(super) fn of_root(objects: &Arc<Objects>, root: Oid, revision: &Revision) -> Self {
        Self { links: Links(Snapshot { objects: objects.clone(), root }), revision: revision.clone() }
    }

    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Whether the revision holds no file at all.
    pub fn is_empty(&self) -> Result<bool, TreeError> {
        Ok(self.list(&TreePath::root())?.is_empty())
    }
}

impl CommitInfo {
    pub(super) fn read(objects: &Objects, revision: &Revision) -> Option<Self> {
        let id = Oid::from_str(revision.as_str()).ok()?;
        let read = |repo: &git2::Repository| {
            let commit = repo.find_commit(id)?;
            let author = commit.author();
            let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
            let subject = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Ok(Self {
                author: printable(&String::from_utf8_lossy(author.name_bytes())),
                email: printable(&String::from_utf8_lossy(author.email_bytes())),
                time: Timestamp::from_second(commit.time().seconds()).unwrap_or_default(),
                subject: printable(subject),
            })
        };
        objects.with(read).ok()
    }
}

impl Tree for GitTree {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        self.links.entry(path)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        self.links.kind(path)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        self.links.list(folder)
    }

    fn differences(&self, folder: &TreePath, before: &Digest) -> Result<Option<Vec<Box<str>>>, TreeError> {
        self.links.differences(folder, before)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        self.links.read(path, limit)
    }
}

/// Anyone who can push writes these words, and they end on terminals.
fn printable(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(SUBJECT_CHARS).collect()
}
