//! A mirror's folder on disk: a lock, and generations of the cache.
//!
//! A generation is a bare repository, `g-1`, `g-2` …; only the newest with a file `complete` counts. A new one is made
//! beside the old and completed last, so a crash at any time leaves one that works, or none. Those who still read an old
//! one keep it; it is removed when the last of them lets go.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use git2::{Oid, Repository, RepositoryInitOptions};

use super::copy::copy;
use super::fetch::held;
use super::objects::Objects;
use super::{Cause, GitError};

const COMPLETE: &str = "complete";

/// A lock that was let go can seem held for a moment: a process that is being started has a copy of it until it runs.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A mirror's folder, held by this process.
pub(super) struct Store {
    folder: PathBuf,
    lock: File,
}

/// How much a generation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub packs: usize,
    pub bytes: u64,
}

impl Store {
    pub fn open(folder: &Path) -> Result<Self, GitError> {
        let fail = |error: io::Error| disk_error(folder, &error);
        fs::create_dir_all(folder).map_err(fail)?;
        let lock = File::create(folder.join("lock")).map_err(fail)?;
        for _ in 0..LOCK_TRIES {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self { folder: folder.to_owned(), lock });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
        }
        Err(GitError::CacheBusy { folder: folder.to_owned() })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The generation that a former process left, if it can be opened; all others are removed.
    pub fn latest(&self) -> (u64, Option<Arc<Objects>>) {
        let mut numbers: Vec<u64> = self.generations().collect();
        numbers.sort_unstable();
        let newest = numbers.last().copied().unwrap_or(0);
        let complete =
            numbers.iter().rev().find(|number| self.place(**number).join(COMPLETE).exists()).copied();
        let latest = complete.and_then(|number| Some((number, Objects::open(&self.place(number)).ok()?)));
        for number in
            numbers.into_iter().filter(|number| latest.as_ref().is_none_or(|(kept, _)| kept != number))
        {
            // One that cannot be removed costs disk, not correctness.
            let _ = fs::remove_dir_all(self.place(number));
        }
        (newest, latest.map(|(_, objects)| objects))
    }

    /// An empty generation, not complete yet. Dropped like this, it is removed.
    pub fn create(&self, number: u64) -> Result<Arc<Objects>, GitError> {
        let place = self.place(number);
        super::library::ready();
        let make = || -> Result<Arc<Objects>, git2::Error> {
            let mut options = RepositoryInitOptions::new();
            options.bare(true).no_reinit(true).external_template(false);
            let mut config = Repository::init_opts(&place, &options)?.config()?;
            // Redirects stay on the host: credentials were given for it and for no other.
            config.set_str("http.followRedirects", "false")?;
            config.set_bool("core.logAllRefUpdates", false)?;
            Objects::open(&place)
        };
        let objects = make().map_err(|error| self.error(&error))?;
        objects.retire();
        Ok(objects)
    }

    pub fn complete(&self, objects: &Objects) -> Result<(), GitError> {
        File::create(objects.folder().join(COMPLETE)).map_err(|error| disk_error(&self.folder, &error))?;
        objects.keep();
        Ok(())
    }

    /// Copies the newest commit of each branch into a new generation: what piled up stays behind.
    pub fn pack_anew(&self, old: &Objects, number: u64) -> Result<Arc<Objects>, GitError> {
        let new = self.create(number)?;
        let copied = old.with(|from| {
            new.with(|to| {
                let mut tips: Vec<(String, Oid)> = Vec::new();
                for branch in held(from)? {
                    let name = format!("refs/heads/{branch}");
                    tips.push((name.clone(), from.refname_to_id(&name)?));
                }
                let ids: Vec<Oid> = tips.iter().map(|(_, id)| *id).collect();
                copy(from, to, &ids, &|_| Ok(()))?;
                for (name, id) in &tips {
                    to.reference(name, *id, true, "packed anew")?;
                }
                Ok(ids)
            })
        });
        let ids = copied.map_err(|error| self.error(&error))?;
        // Their parents are not here. `shallow` says so, to libgit2 and through it to the server.
        let shallow: String = ids.iter().map(|id| format!("{id}\n")).collect();
        fs::write(new.folder().join("shallow"), shallow).map_err(|error| disk_error(&self.folder, &error))?;
        self.complete(&new)?;
        Ok(new)
    }

    fn place(&self, number: u64) -> PathBuf {
        self.folder.join(format!("g-{number}"))
    }

    fn generations(&self) -> impl Iterator<Item = u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("g-")?.parse().ok())
    }

    fn error(&self, error: &git2::Error) -> GitError {
        let source = Cause(error.message().to_owned());
        match error.message().contains("No space left on device") {
            true => GitError::DiskFull { folder: self.folder.clone(), source },
            false => GitError::Cache { folder: self.folder.clone(), source },
        }
    }
}

impl Usage {
    /// Counts all in the pack folder: an interrupted fetch leaves half a pack there, which counts too.
    pub fn of(objects: &Objects) -> Self {
        let mut usage = Self { packs: 0, bytes: 0 };
        for entry in fs::read_dir(objects.folder().join("objects/pack")).into_iter().flatten().flatten() {
            usage.bytes += entry.metadata().map_or(0, |facts| facts.len());
            usage.packs += usize::from(entry.path().extension().is_none_or(|extension| extension != "idx"));
        }
        usage
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It says when this was used last.
        let _ = self.lock.set_modified(SystemTime::now());
    }
}

pub(super) fn disk_error(folder: &Path, error: &io::Error) -> GitError {
    let (folder, source) = (folder.to_owned(), Cause(error.to_string()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => GitError::DiskFull { folder, source },
        _ => GitError::Cache { folder, source },
    }
}
