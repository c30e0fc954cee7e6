//! Brings a cache up to date with a remote: looks at its refs, and fetches what moved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use git2::{AutotagOption, Config, Direction, Error, ErrorCode, FetchOptions, Oid, Repository};

use super::copy::copy;
use super::objects;
use super::session::RemoteConnection;
use super::{Cause, GitError, Remote};

/// What a look at a remote found.
#[derive(Clone, Debug)]
pub(super) struct RemoteHeads {
    /// The wanted branches; `None` where the remote does not have it.
    pub heads: BTreeMap<String, Option<Oid>>,
    /// Whether anything was fetched.
    pub moved: bool,
}

/// Makes `repo` hold the newest commit of each wanted branch, with its files.
pub(super) fn sync(
    repo: &Repository,
    remote: &Remote,
    wanted: &BTreeSet<String>,
    deadline: Instant,
    limit: u64,
) -> Result<RemoteHeads, GitError> {
    if let Some(path) = remote.url().file_path() {
        return sync_folder(repo, remote, path, wanted, &RemoteConnection::new(remote, deadline, limit));
    }
    let session = RemoteConnection::new(remote, deadline, limit);
    match sync_smart(repo, remote, wanted, &session, 1) {
        Ok(seen) => Ok(seen),
        // Servers that predate shallow fetches, and those that switch them off.
        Err(error) if error.message().contains("support shallow") => {
            let session = RemoteConnection::new(remote, deadline, limit);
            sync_smart(repo, remote, wanted, &session, 0)
                .map_err(|error| session.explain(&error, repo.path()))
        }
        Err(error) => Err(session.explain(&error, repo.path())),
    }
}

/// Makes `repo` hold a branch with all that it ever was.
pub(super) fn sync_whole(
    repo: &Repository,
    remote: &Remote,
    branch: &str,
    deadline: Instant,
    limit: u64,
) -> Result<(), GitError> {
    let session = RemoteConnection::new(remote, deadline, limit);
    let wanted = BTreeSet::from([branch.to_owned()]);
    sync_smart(repo, remote, &wanted, &session, 0)
        .map(drop)
        .map_err(|error| session.explain(&error, repo.path()))
}

fn sync_smart(
    repo: &Repository,
    remote: &Remote,
    wanted: &BTreeSet<String>,
    session: &RemoteConnection<'_>,
    depth: i32,
) -> Result<RemoteHeads, Error> {
    let mut handle = repo.remote_anonymous(&remote.url().for_libgit2())?;
    let mut connection = handle.connect_auth(Direction::Fetch, Some(session.callbacks()), None)?;
    session.go_on(0)?;
    let mut heads: BTreeMap<String, Option<Oid>> =
        wanted.iter().map(|branch| (branch.clone(), None)).collect();
    let mut gone = held(repo)?;
    for head in connection.list()? {
        let Some(branch) = head.name().strip_prefix("refs/heads/") else {
            continue;
        };
        gone.remove(branch);
        if let Some(slot) = heads.get_mut(branch) {
            *slot = Some(head.oid());
        }
    }
    let moved = moved(repo, &heads);
    if !moved.is_empty() {
        let specs: Vec<String> =
            moved.iter().map(|(branch, _)| format!("+refs/heads/{branch}:refs/heads/{branch}")).collect();
        let mut options = FetchOptions::new();
        options
            .depth(depth)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .remote_callbacks(session.receiving(repo.path()));
        connection.remote().download(&specs, Some(&mut options))?;
        session.go_on(0)?;
    }
    // A server may keep the connection open for as long as it likes; nothing more is asked of it.
    drop(connection);
    keep(repo, &moved, &gone)?;
    Ok(RemoteHeads { heads, moved: !moved.is_empty() })
}

/// A remote on this machine's disk. Only the refs that are wanted are read, however many there are.
fn sync_folder(
    repo: &Repository,
    remote: &Remote,
    path: &Path,
    wanted: &BTreeSet<String>,
    session: &RemoteConnection<'_>,
) -> Result<RemoteHeads, GitError> {
    let shown = || remote.url().to_string();
    let transfer = |error: Error| match session.explain(&error, repo.path()) {
        // The other database is as likely the one that cannot be read, and a cache is only given up on its own fault.
        GitError::Cache { source, .. } | GitError::Fetch { source, .. } => {
            GitError::Transfer { remote: shown(), source }
        }
        error => error,
    };
    let source = objects::open(path).map_err(|error| match error.code() {
        ErrorCode::NotFound => {
            GitError::NoRepository { remote: shown(), source: Cause(error.message().to_owned()) }
        }
        _ => GitError::Unreachable { remote: shown(), source: Cause(error.message().to_owned()) },
    })?;
    let head = |branch: &str| match source.find_reference(&format!("refs/heads/{branch}")) {
        Ok(reference) => reference.peel_to_commit().map(|commit| Some(commit.id())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let look = || -> Result<_, Error> {
        let heads: BTreeMap<String, Option<Oid>> =
            wanted.iter().map(|branch| Ok((branch.clone(), head(branch)?))).collect::<Result<_, Error>>()?;
        let mut gone = held(repo)?;
        gone.retain(|branch| !wanted.contains(branch) && matches!(head(branch), Ok(None)));
        gone.extend(heads.iter().filter(|(_, id)| id.is_none()).map(|(branch, _)| branch.clone()));
        Ok((heads, gone))
    };
    let (heads, gone) = look().map_err(transfer)?;
    let moved = moved(repo, &heads);
    let tips: Vec<Oid> = moved.iter().map(|(_, id)| *id).collect();
    if !tips.is_empty() {
        without_deltas(&source, repo);
    }
    copy(&source, repo, &tips, &|bytes| session.go_on(bytes)).map_err(transfer)?;
    keep(repo, &moved, &gone).map_err(|error| session.explain(&error, repo.path()))?;
    Ok(RemoteHeads { heads, moved: !moved.is_empty() })
}

/// Every object is too large to look at. libgit2 reads that limit under the name of another (`packbuilder_config`).
const WITHOUT_DELTAS: &str = "[core]\n\tbigFileThreshold = 1\n[pack]\n\tdeltaCacheSize = 1\n";

/// From one disk to another, looking for what objects have in common costs more than it spares: a third of all that the
/// agent computed for a first rollout. libgit2 asks the configuration which objects are too large to look at.
fn without_deltas(source: &Repository, cache: &Repository) {
    let file = cache.path().join("fetch.config");
    let made = std::fs::write(&file, WITHOUT_DELTAS).is_ok();
    if made && let Ok(config) = Config::open(&file) {
        let _ = source.set_config(&config); // With deltas the pack is as good.
    }
}

/// The branches that the cache holds.
pub(super) fn held(repo: &Repository) -> Result<BTreeSet<String>, Error> {
    let mut held = BTreeSet::new();
    for reference in repo.references_glob("refs/heads/*")? {
        if let Ok(name) = reference?.name() {
            held.extend(name.strip_prefix("refs/heads/").map(str::to_owned));
        }
    }
    Ok(held)
}

fn moved(repo: &Repository, heads: &BTreeMap<String, Option<Oid>>) -> Vec<(String, Oid)> {
    let is_held = |branch: &str, id: Oid| {
        repo.refname_to_id(&format!("refs/heads/{branch}")).is_ok_and(|held| held == id)
            && repo.find_commit(id).and_then(|commit| commit.tree()).is_ok()
    };
    heads
        .iter()
        .filter_map(|(branch, id)| id.map(|id| (branch.clone(), id)))
        .filter(|(branch, id)| !is_held(branch, *id))
        .collect()
}

/// Points the cache's refs at what was fetched, once it is certain that it is there.
fn keep(repo: &Repository, moved: &[(String, Oid)], gone: &BTreeSet<String>) -> Result<(), Error> {
    for branch in gone {
        if let Ok(mut reference) = repo.find_reference(&format!("refs/heads/{branch}")) {
            reference.delete()?;
        }
    }
    for (branch, id) in moved {
        repo.find_commit(*id).and_then(|commit| commit.tree()).map_err(|error| {
            Error::new(
                ErrorCode::GenericError,
                git2::ErrorClass::Indexer,
                format!("the server left out {id}: {}", error.message()),
            )
        })?;
        repo.reference(&format!("refs/heads/{branch}"), *id, true, "fetched")?;
    }
    Ok(())
}
