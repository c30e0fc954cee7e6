//! A commit of the past: what a branch said before. A mirror holds only the newest, so the history is fetched for as long
//! as it is read; a person asks for it now and then.

use std::sync::Arc;
use std::time::Instant;

use git2::{ErrorCode, Oid, Repository};

use super::fetch::sync_whole;
use super::objects::Objects;
use super::{Cause, CommitInfo, GitError, GitTree, Mirror};
use crate::object::Revision;

/// What a branch said at one of its commits.
pub struct Past {
    pub revision: Revision,
    pub info: CommitInfo,
    pub tree: Arc<GitTree>,
}

impl Mirror {
    /// The commit of `branch` that `rev` names: its id, or the beginning of it. What the branch never had is refused: who
    /// may push anywhere in the repository must not decide what this branch said. Blocks, until `deadline` at most.
    pub fn past(&self, branch: &str, rev: &str, deadline: Instant) -> Result<Past, GitError> {
        let objects = match self.remote().url().file_path() {
            Some(path) => Objects::open(path).map_err(|error| self.unread(&error))?,
            None => {
                self.reach().resolve(self.remote())?;
                let objects = self.store().create(self.next_number())?;
                let (remote, limit) = (self.remote(), self.fetch_bytes());
                let mut result = Ok(());
                let fetch = |repo: &Repository| {
                    result = sync_whole(repo, remote, branch, deadline, limit);
                    Ok(())
                };
                objects.with(fetch).map_err(|error| self.unread(&error))?;
                result?;
                objects
            }
        };
        let id = objects.with(|repo| Ok(find(repo, branch, rev))).map_err(|error| self.unread(&error))?;
        let (remote, branch) = (self.remote().url().to_string(), branch.to_owned());
        let id = match id {
            Ok(Some(id)) => Revision::new(id.to_string()),
            Ok(None) => return Err(GitError::NotInBranch { remote, branch, rev: rev.to_owned() }),
            Err(error) if error.code() == ErrorCode::Ambiguous => {
                return Err(GitError::Ambiguous { remote, rev: rev.to_owned() });
            }
            Err(error) if error.code() == ErrorCode::NotFound => {
                return Err(GitError::BranchGone { remote, branch });
            }
            Err(error) => return Err(self.unread(&error)),
        };
        self.read_past(&objects, id)
    }

    fn read_past(&self, objects: &Arc<Objects>, revision: Revision) -> Result<Past, GitError> {
        let found = GitTree::open(objects, &revision).zip(CommitInfo::read(objects, &revision));
        let remote = || self.remote().url().to_string();
        let (tree, info) =
            found.ok_or_else(|| GitError::RevisionGone { remote: remote(), revision: revision.clone() })?;
        Ok(Past { revision, info, tree: Arc::new(tree) })
    }

    fn unread(&self, error: &git2::Error) -> GitError {
        let remote = self.remote().url().to_string();
        GitError::Fetch { remote, source: Cause(error.message().to_owned()) }
    }
}

/// The commit of that name, if the branch ever had it. Fails where there is no such branch.
fn find(repo: &Repository, branch: &str, rev: &str) -> Result<Option<Oid>, git2::Error> {
    let tip = repo.find_reference(&format!("refs/heads/{branch}"))?.peel_to_commit()?.id();
    // Only an id: what else git reads as a revision may lead anywhere.
    if rev.is_empty() || !rev.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let id = match repo.find_commit_by_prefix(rev) {
        Ok(commit) => commit.id(),
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok((id == tip || repo.graph_descendant_of(tip, id)?).then_some(id))
}
