//! Who wrote a line, where the files lie in a repository.

use std::path::Path;

use super::Repo;
use crate::git::{Local, Written};
use crate::object::{Place, Revision, TreePath};
use crate::report::explain::Commit;

/// The history of the files, if they have one.
pub struct Blame(Option<History>);

struct History {
    local: Local,
    revision: Revision,
    /// Where the tree lies in the repository.
    within: TreePath,
    /// Files are as they lie in the work tree, which may be ahead of the revision.
    is_work_tree: bool,
}

/// A longer file is no manifest.
const MOST: u64 = 8 << 20;

impl Blame {
    pub fn of(repo: &Repo, rev: Option<&str>) -> Self {
        let open = || {
            let local = Local::open(&repo.root).ok()?;
            let revision = local.revision(rev).ok()?;
            let within = within(&repo.root, local.root())?;
            Some(History { local, revision, within, is_work_tree: rev.is_none() })
        };
        Self(open())
    }

    pub fn line(&self, repo: &Repo, place: &Place) -> Option<Commit> {
        let history = self.0.as_ref()?;
        let file = history.within.join(place.path.as_str()).ok()?;
        let content = match history.is_work_tree {
            true => Some(repo.tree.read(&place.path, MOST).ok()?.bytes),
            false => None,
        };
        let written = history.local.written(&history.revision, &file, place.line, content.as_deref())?;
        Some(match written {
            Written::Uncommitted => Commit::Uncommitted,
            Written::By { revision, commit, or_before } => Commit::By {
                id: revision.to_string(),
                author: commit.author,
                email: commit.email,
                time: commit.time.to_string(),
                subject: commit.subject,
                at_or_before: or_before,
            },
        })
    }
}

fn within(folder: &Path, repository: &Path) -> Option<TreePath> {
    let (folder, repository) = (folder.canonicalize().ok()?, repository.canonicalize().ok()?);
    TreePath::new(folder.strip_prefix(repository).ok()?.to_str()?).ok()
}
