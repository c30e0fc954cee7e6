//! Annotated tags of a commit. Nobody follows them, so they are asked for only where a commit's signature is one of a tag.

use std::time::Instant;

use git2::{AutotagOption, Direction, Error, FetchOptions, Oid, Repository};

use super::objects::Objects;
use super::session::RemoteConnection;
use super::{Cause, GitError, Mirror, Remote};
use crate::object::Revision;

impl Mirror {
    /// Reads the annotated tags of a commit that was fetched: `most` of them. Blocks, until `deadline` at most.
    pub(super) fn read_tags<T>(
        &self,
        revision: &Revision,
        most: usize,
        deadline: Instant,
        read: impl Fn(&Repository, Oid) -> Result<T, Error>,
    ) -> Result<Vec<T>, GitError> {
        let unread = |error: &Error| {
            let source = Cause(error.message().to_owned());
            GitError::Fetch { remote: self.remote().url().to_string(), source }
        };
        let commit = Oid::from_str(revision.as_str()).map_err(|error| unread(&error))?;
        if let Some(path) = self.remote().url().file_path() {
            let origin = Objects::open(path).map_err(|error| unread(&error))?;
            let found = origin.with(|repo| {
                local(repo, commit, most)?.into_iter().map(|tag| read(repo, tag)).collect::<Result<_, _>>()
            });
            return found.map_err(|error| unread(&error));
        }
        self.reach().resolve(self.remote())?;
        let objects = self.find(revision, |objects| Some(objects.clone()))?;
        let session = RemoteConnection::new(self.remote(), deadline, self.fetch_bytes());
        let found = objects.with(|repo| {
            fetch(repo, self.remote(), commit, most, &session)?
                .into_iter()
                .map(|tag| read(repo, tag))
                .collect::<Result<_, _>>()
        });
        found.map_err(|error| session.explain(&error, objects.folder()))
    }
}

fn local(repo: &Repository, commit: Oid, most: usize) -> Result<Vec<Oid>, Error> {
    let mut tags = Vec::new();
    for reference in repo.references_glob("refs/tags/*")? {
        let Some(id) = reference?.target() else { continue };
        if repo.find_tag(id).is_ok_and(|tag| tag.target_id() == commit) {
            tags.push(id);
        }
        if tags.len() == most {
            break;
        }
    }
    Ok(tags)
}

/// Asks the remote which of its tags lead to the commit, and fetches those.
fn fetch(
    repo: &Repository,
    remote: &Remote,
    commit: Oid,
    most: usize,
    session: &RemoteConnection<'_>,
) -> Result<Vec<Oid>, Error> {
    let mut handle = repo.remote_anonymous(&remote.url().for_libgit2())?;
    let mut connection = handle.connect_auth(Direction::Fetch, Some(session.callbacks()), None)?;
    session.go_on(0)?;
    let (mut specs, mut tags) = (Vec::new(), Vec::new());
    // After each annotated tag comes what it leads to, with `^{}` behind its name.
    let mut before: Option<(String, Oid)> = None;
    for head in connection.list()? {
        let peeled = head.name().strip_suffix("^{}");
        match (peeled, &before) {
            (Some(name), Some((tag, id))) if name == tag && head.oid() == commit && tags.len() < most => {
                specs.push(format!("+{tag}:{tag}"));
                tags.push(*id);
            }
            _ => {}
        }
        before = head.name().starts_with("refs/tags/").then(|| (head.name().to_owned(), head.oid()));
    }
    if !specs.is_empty() {
        let mut options = FetchOptions::new();
        options
            .depth(1)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .remote_callbacks(session.receiving(repo.path()));
        connection.remote().download(&specs, Some(&mut options))?;
        session.go_on(0)?;
    }
    Ok(tags)
}
