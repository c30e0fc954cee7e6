use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{Oid, Repository};

use super::objects::Objects;
use super::{Cause, CommitInfo, GitError, GitTree};
use crate::object::Revision;

/// A repository on this machine, for `--repo DIR --rev REV`. Nothing is fetched and nothing is written.
pub struct Local {
    pub(super) objects: Arc<Objects>,
    root: PathBuf,
}

impl Local {
    /// Opens the repository that a folder belongs to, as git does: in it or above it.
    pub fn open(folder: &Path) -> Result<Self, GitError> {
        super::library::ready();
        let fail = |error: git2::Error| GitError::NotARepository {
            folder: folder.to_owned(),
            source: Cause(error.message().to_owned()),
        };
        let repo = Repository::discover(folder).map_err(fail)?;
        let root = repo.workdir().unwrap_or(repo.path()).to_owned();
        let objects = Objects::open(repo.path()).map_err(fail)?;
        Ok(Self { objects, root })
    }

    /// The folder that paths of its trees start from; a bare repository's own folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that `rev` names, as git reads it: a branch, a tag, an id, `HEAD~2`. `HEAD` where none is given.
    pub fn revision(&self, rev: Option<&str>) -> Result<Revision, GitError> {
        let rev = rev.unwrap_or("HEAD");
        let find = |repo: &Repository| Ok(repo.revparse_single(rev)?.peel_to_commit()?.id());
        let id: Oid = self.objects.with(find).map_err(|error| GitError::BadRevision {
            folder: self.root.clone(),
            rev: rev.to_owned(),
            source: Cause(error.message().to_owned()),
        })?;
        Ok(Revision::new(id.to_string()))
    }

    /// The commit at which the histories of two others parted: what a change from one to the other began with.
    pub fn merge_base(&self, one: &str, other: &str) -> Result<Revision, GitError> {
        let (first, second) = (self.revision(Some(one))?, self.revision(Some(other))?);
        let find = |repo: &Repository| {
            let (first, second) = (Oid::from_str(first.as_str())?, Oid::from_str(second.as_str())?);
            repo.merge_base(first, second)
        };
        let (folder, one, other) = (self.root.clone(), one.to_owned(), other.to_owned());
        let id = self.objects.with(find).map_err(|_| GitError::Unrelated { folder, one, other })?;
        Ok(Revision::new(id.to_string()))
    }

    /// The files at `rev`.
    pub fn tree(&self, rev: Option<&str>) -> Result<GitTree, GitError> {
        let revision = self.revision(rev)?;
        GitTree::open(&self.objects, &revision).ok_or_else(|| self.gone(&revision))
    }

    pub fn commit_info(&self, revision: &Revision) -> Result<CommitInfo, GitError> {
        CommitInfo::read(&self.objects, revision).ok_or_else(|| self.gone(revision))
    }

    fn gone(&self, revision: &Revision) -> GitError {
        GitError::BadRevision {
            folder: self.root.clone(),
            rev: revision.as_str().to_owned(),
            source: Cause("its commit cannot be read".to_owned()),
        }
    }
}
