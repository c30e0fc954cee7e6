//! Whether a branch goes on from where it was, or somebody rewrote what it had said.
//!
//! A mirror holds the newest commits alone. Where this is asked, the branch's history is fetched once, kept beside them, and
//! brought up to date by what is new.

use std::time::Instant;

use git2::{ErrorCode, Oid, Repository};

use super::fetch::sync_whole;
use super::objects::{Objects, lock};
use super::store::Usage;
use super::{Cause, GitError, Mirror};
use crate::object::Revision;

impl Mirror {
    /// Fails where `revision` of `branch` does not build on each of `before`. Blocks, until `deadline` at most.
    pub fn goes_on(
        &self,
        branch: &str,
        revision: &Revision,
        before: &[Revision],
        deadline: Instant,
    ) -> Result<(), GitError> {
        let unread = |error: &git2::Error| {
            let source = Cause(error.message().to_owned());
            GitError::Fetch { remote: self.remote().url().to_string(), source }
        };
        let first_missing = |repo: &Repository| -> Result<Option<Revision>, git2::Error> {
            for older in before {
                if !builds_on(repo, revision, older)? {
                    return Ok(Some(older.clone()));
                }
            }
            Ok(None)
        };
        let missing = match self.remote().url().file_path() {
            Some(path) => Objects::open(path).and_then(|origin| origin.with(first_missing)),
            None => self.with_history(branch, deadline, first_missing)?,
        };
        match missing.map_err(|error| unread(&error))? {
            None => Ok(()),
            Some(before) => Err(GitError::Rewritten {
                remote: self.remote().url().to_string(),
                branch: branch.to_owned(),
                revision: revision.clone(),
                before,
            }),
        }
    }

    fn with_history<T>(
        &self,
        branch: &str,
        deadline: Instant,
        read: impl FnOnce(&Repository) -> Result<T, git2::Error>,
    ) -> Result<Result<T, git2::Error>, GitError> {
        self.reach().resolve(self.remote())?;
        // One at a time: who waits finds what the other fetched.
        let mut kept = lock(self.history());
        // Each fetch adds a pack, and with many each look is slow. A new copy has one.
        let old = kept.take().filter(|objects| Usage::of(objects).packs <= self.limits().packs);
        let objects = match old {
            Some(objects) => objects,
            None => self.store().create(self.next_number())?,
        };
        let mut fetched = Ok(());
        let result = objects.with(|repo| {
            fetched = sync_whole(repo, self.remote(), branch, deadline, self.fetch_bytes());
            if fetched.is_ok() { read(repo).map(Some) } else { Ok(None) }
        });
        if !matches!(fetched, Err(GitError::Cache { .. })) {
            *kept = Some(objects);
        }
        fetched?;
        Ok(result.and_then(|read| read.ok_or_else(|| git2::Error::from_str("it was not read"))))
    }
}

/// Whether a commit is another, or came after it. What is not in the history any more is nothing that it builds on.
fn builds_on(repo: &Repository, newer: &Revision, older: &Revision) -> Result<bool, git2::Error> {
    if newer == older {
        return Ok(true);
    }
    let (newer, older) = (Oid::from_str(newer.as_str())?, Oid::from_str(older.as_str())?);
    match repo.graph_descendant_of(newer, older) {
        Err(error) if error.code() == ErrorCode::NotFound && repo.find_commit(newer).is_ok() => Ok(false),
        result => result,
    }
}
