//! Who wrote a line, by the history of a repository on this machine.

use std::path::Path;

use git2::{BlameOptions, Oid, Repository};

use super::{CommitInfo, Local};
use crate::object::{Revision, TreePath};

/// Who wrote a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    By {
        revision: Revision,
        commit: CommitInfo,
        /// History ends here (a shallow clone): it may be older.
        or_before: bool,
    },
    /// It stands in the work tree and in no commit.
    Uncommitted,
}

impl Local {
    /// Who wrote a line of a file, counted from 1, as a revision has it; with `content`, as the file has it now. `None`
    /// where that cannot be told.
    pub fn written(
        &self,
        revision: &Revision,
        file: &TreePath,
        line: u32,
        content: Option<&[u8]>,
    ) -> Option<Written> {
        let newest = Oid::from_str(revision.as_str()).ok()?;
        let found = self.objects.with(|repo| blame(repo, newest, file, line, content)).ok()?;
        let Some(id) = found else { return Some(Written::Uncommitted) };
        let revision = Revision::new(id.to_string());
        let commit = CommitInfo::read(&self.objects, &revision)?;
        let shallow = self.objects.with(|repo| Ok(repo.commondir().join("shallow"))).ok()?;
        Some(Written::By { or_before: is_boundary(&shallow, id), revision, commit })
    }
}

fn blame(
    repo: &Repository,
    newest: Oid,
    file: &TreePath,
    line: u32,
    content: Option<&[u8]>,
) -> Result<Option<Oid>, git2::Error> {
    let path = Path::new(file.as_str());
    let tree = repo.find_commit(newest)?.tree()?;
    // What no commit has, nobody has committed.
    let Ok(entry) = tree.get_path(path) else { return Ok(None) };
    let committed = repo.find_blob(entry.id())?;
    let line = line.max(1) as usize;
    let mut options = BlameOptions::new();
    options.newest_commit(newest);
    // libgit2 would answer for the last line there is.
    if content.unwrap_or(committed.content()).split(|byte| *byte == b'\n').count() < line {
        return Err(git2::Error::from_str("there is no such line"));
    }
    let changed = content.filter(|content| *content != committed.content());
    if changed.is_none() {
        // Of a long file only the one line is followed through history.
        options.min_line(line).max_line(line);
    }
    let blame = repo.blame_file(path, Some(&mut options))?;
    let Some(content) = changed else {
        let hunk = blame.get_line(line);
        return hunk
            .map(|hunk| Some(hunk.final_commit_id()))
            .ok_or_else(|| git2::Error::from_str("no such line"));
    };
    let blame = blame.blame_buffer(content)?;
    let id = blame.get_line(line).map(|hunk| hunk.final_commit_id());
    Ok(id.filter(|id| !id.is_zero()))
}

/// Whether history ends at a commit though it had parents.
fn is_boundary(shallow: &Path, id: Oid) -> bool {
    let listed = std::fs::read_to_string(shallow).unwrap_or_default();
    listed.lines().any(|line| line.trim() == id.to_string())
}
