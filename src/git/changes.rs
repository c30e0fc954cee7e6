//! Changes that are to be merged: what a branch would be with them. A mirror holds only the newest commits, so the history
//! of what is compared is kept beside it, for as long as somebody compares.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use git2::{AutotagOption, Direction, ErrorCode, FetchOptions, MergeOptions, Oid, Repository};

use super::objects::{self, Objects, lock};
use super::session::RemoteConnection;
use super::{Cause, GitError, GitTree, Mirror};
use crate::object::Revision;

/// Files that are named where a change cannot be merged.
const NAMED: usize = 5;

/// The history of a remote, as far as changes need it.
pub struct Changes {
    mirror: Arc<Mirror>,
    objects: Mutex<Option<Arc<Objects>>>,
    /// Two that fetch at once would write the same names.
    fetching: Mutex<()>,
}

/// A branch, and what it would be with a change.
pub struct Merged {
    pub before: GitTree,
    /// Or why it cannot be merged, in words.
    pub after: Result<GitTree, String>,
}

impl Changes {
    pub fn new(mirror: Arc<Mirror>) -> Self {
        Self { mirror, objects: Mutex::default(), fetching: Mutex::default() }
    }

    /// Brings what these names (`refs/heads/main`, `refs/pull/7/head`) stand for, with its history, and says which commit
    /// each is; `None` where the remote has no such name. Blocks, until `deadline` at most.
    pub fn fetch(
        &self,
        names: &[&str],
        deadline: Instant,
    ) -> Result<BTreeMap<String, Option<Revision>>, GitError> {
        let remote = self.mirror.remote();
        for name in names {
            if !git2::Reference::is_valid_name(name) || !name.starts_with("refs/") {
                return Err(GitError::BadBranch { branch: (*name).to_owned() });
            }
        }
        let found = match remote.url().file_path() {
            Some(path) => {
                let source = objects::open(path).map_err(|error| self.failed(&error))?;
                let find = |name: &str| match source.find_reference(name) {
                    Ok(reference) => reference.peel_to_commit().map(|commit| Some(commit.id())),
                    Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
                    Err(error) => Err(error),
                };
                let find = |name: &&str| Ok(((*name).to_owned(), find(name)?));
                let found: Result<BTreeMap<_, _>, git2::Error> = names.iter().map(find).collect();
                self.objects()?;
                found.map_err(|error| self.failed(&error))?
            }
            None => {
                self.mirror.reach().resolve(remote)?;
                let _turn = lock(&self.fetching);
                let session = RemoteConnection::new(remote, deadline, self.mirror.fetch_bytes());
                let objects = self.objects()?;
                let fetched = objects.with(|repo| fetch(repo, remote.url().for_libgit2(), names, &session));
                fetched.map_err(|error| session.explain(&error, objects.folder()))?
            }
        };
        Ok(found.into_iter().map(|(name, id)| (name, id.map(|id| Revision::new(id.to_string())))).collect())
    }

    /// What a branch at `tip` would be with `head` merged into it. Both were fetched.
    pub fn merge(&self, tip: &Revision, head: &Revision) -> Result<Merged, GitError> {
        let objects = self.objects()?;
        let merged = objects.with(|repo| merge(repo, tip, head)).map_err(|error| self.failed(&error))?;
        let gone = || GitError::RevisionGone {
            remote: self.mirror.remote().url().to_string(),
            revision: tip.clone(),
        };
        let before = GitTree::open(&objects, tip).ok_or_else(gone)?;
        Ok(Merged { before, after: merged.map(|root| GitTree::of_root(&objects, root, head)) })
    }

    /// Whether a branch at `tip` has this commit. Both were fetched.
    pub fn holds(&self, tip: &Revision, commit: &Revision) -> bool {
        let holds = |repo: &Repository| {
            let (tip, commit) = (Oid::from_str(tip.as_str())?, Oid::from_str(commit.as_str())?);
            Ok(tip == commit || repo.graph_descendant_of(tip, commit)?)
        };
        self.objects().is_ok_and(|objects| objects.with(holds).unwrap_or(false))
    }

    /// A repository of our own, into which merged folders can be written; that of the remote is only read.
    fn objects(&self) -> Result<Arc<Objects>, GitError> {
        let mut kept = lock(&self.objects);
        if let Some(objects) = &*kept {
            return Ok(objects.clone());
        }
        let objects = self.mirror.store().create(self.mirror.next_number())?;
        if let Some(path) = self.mirror.remote().url().file_path() {
            let source = objects::open(path).map_err(|error| self.failed(&error))?;
            let theirs = format!("{}\n", source.commondir().join("objects").display());
            let info = objects.folder().join("objects/info");
            let written = fs::create_dir_all(&info).and_then(|()| fs::write(info.join("alternates"), theirs));
            written.map_err(|error| super::store::disk_error(objects.folder(), &error))?;
            // The handle that is open already does not look for it again.
            let reopened = Objects::open(objects.folder()).map_err(|error| self.failed(&error))?;
            objects.keep();
            reopened.retire();
            *kept = Some(reopened.clone());
            return Ok(reopened);
        }
        *kept = Some(objects.clone());
        Ok(objects)
    }

    fn failed(&self, error: &git2::Error) -> GitError {
        let remote = self.mirror.remote().url().to_string();
        GitError::Fetch { remote, source: Cause(error.message().to_owned()) }
    }
}

fn fetch(
    repo: &Repository,
    url: String,
    names: &[&str],
    session: &RemoteConnection<'_>,
) -> Result<BTreeMap<String, Option<Oid>>, git2::Error> {
    let mut handle = repo.remote_anonymous(&url)?;
    let mut connection = handle.connect_auth(Direction::Fetch, Some(session.callbacks()), None)?;
    session.go_on(0)?;
    let mut found: BTreeMap<String, Option<Oid>> =
        names.iter().map(|name| ((*name).to_owned(), None)).collect();
    for head in connection.list()? {
        if let Some(slot) = found.get_mut(head.name()) {
            *slot = Some(head.oid());
        }
    }
    let wanted = || found.iter().filter_map(|(name, id)| id.map(|id| (name, id)));
    let missing: Vec<String> = wanted()
        .filter(|(_, id)| repo.find_commit(*id).is_err())
        .map(|(name, _)| format!("+{name}:{name}"))
        .collect();
    if !missing.is_empty() {
        let mut options = FetchOptions::new();
        options
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .remote_callbacks(session.receiving(repo.path()));
        connection.remote().download(&missing, Some(&mut options))?;
        session.go_on(0)?;
    }
    drop(connection);
    // They say to the server what it need not send again.
    for (name, id) in wanted() {
        repo.reference(name, id, true, "fetched")?;
    }
    Ok(found)
}

/// The folder that the merge comes to.
fn merge(repo: &Repository, tip: &Revision, head: &Revision) -> Result<Result<Oid, String>, git2::Error> {
    let (tip, head) = (Oid::from_str(tip.as_str())?, Oid::from_str(head.as_str())?);
    if let Err(error) = repo.merge_base(tip, head) {
        return match error.code() {
            ErrorCode::NotFound => Ok(Err("it has no history in common with the branch".to_owned())),
            _ => Err(error),
        };
    }
    let (ours, theirs) = (repo.find_commit(tip)?, repo.find_commit(head)?);
    let mut index = repo.merge_commits(&ours, &theirs, Some(&MergeOptions::new()))?;
    if !index.has_conflicts() {
        return Ok(Ok(index.write_tree_to(repo)?));
    }
    let mut files = Vec::new();
    for conflict in index.conflicts()? {
        let conflict = conflict?;
        let entry = conflict.our.or(conflict.their).or(conflict.ancestor);
        files.extend(entry.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()));
    }
    files.sort();
    files.dedup();
    let count = files.len();
    files.truncate(NAMED);
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    Ok(Err(format!("it conflicts with the branch in {}{more}", files.join(", "))))
}
