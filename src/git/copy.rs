//! Copies commits from one object database to another, each with its files and without its history.
//!
//! This is how a `file://` remote is fetched (libgit2's own local transport takes every ref with all history), and how a
//! cache that has grown is packed anew without asking the server.

use std::collections::HashSet;
use std::io::Write;

use git2::{ObjectType, Oid, Repository};

/// Objects between two looks at the clock.
const BATCH: usize = 256;

/// Copies what `to` lacks. `go_on` is asked now and then, with the bytes written so far; its error ends the copy, and
/// nothing of it stays: a pack is added whole or not at all.
pub(super) fn copy(
    from: &Repository,
    to: &Repository,
    commits: &[Oid],
    go_on: &dyn Fn(u64) -> Result<(), git2::Error>,
) -> Result<(), git2::Error> {
    let (source, target) = (from.odb()?, to.odb()?);
    let mut pack = from.packbuilder()?;
    let mut seen = HashSet::new();
    let mut folders = Vec::new();
    for &id in commits {
        let commit = from.find_commit(id)?;
        if !target.exists(id) && seen.insert(id) {
            pack.insert_object(id, None)?;
        }
        folders.push(commit.tree_id());
    }
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        // Packs are added whole, so a folder that is there has all below it.
        if !seen.insert(folder) || target.exists(folder) {
            continue;
        }
        pack.insert_object(folder, None)?;
        for entry in from.find_tree(folder)?.iter() {
            count += 1;
            if count % BATCH == 0 {
                go_on(0)?;
            }
            match entry.kind() {
                Some(ObjectType::Tree) => folders.push(entry.id()),
                Some(ObjectType::Blob) if seen.insert(entry.id()) && !target.exists(entry.id()) => {
                    if !source.exists(entry.id()) {
                        return Err(git2::Error::from_str("an object that a commit needs is missing"));
                    }
                    pack.insert_object(entry.id(), None)?;
                }
                _ => {}
            }
        }
    }
    if pack.object_count() == 0 {
        return Ok(());
    }
    let mut writer = target.packwriter()?;
    let mut written = 0;
    let mut failure = None;
    let done = pack.foreach(|bytes| {
        written += bytes.len() as u64;
        // The writer says only that it failed; libgit2 knows why.
        let result =
            go_on(written).and_then(|()| writer.write_all(bytes).map_err(|_| git2::Error::last_error(-1)));
        failure = result.err();
        failure.is_none()
    });
    match failure {
        Some(error) => Err(error),
        None => done.and_then(|()| writer.commit().map(|_| ())),
    }
}
