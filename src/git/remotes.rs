use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use super::mirror::{Limits, Mirror};
use super::objects::lock;
use super::room::Room;
use super::store::{Store, disk_error};
use super::url::Scheme;
use super::{Credentials, GitError, Reach, Remote, library};
use crate::object::Digest;

/// Folders that one URL may have: one for each set of credentials in use at a time.
const SLOTS: usize = 16;

/// All mirrors of this process, in one cache folder.
///
/// Those who ask for the same URL with the same credentials share one mirror and its fetches. With other credentials it is
/// another mirror: who may not read a remote must not read what somebody else fetched from it.
pub struct Remotes {
    cache: PathBuf,
    limits: Limits,
    reach: Arc<Reach>,
    room: Arc<Room>,
    mirrors: Mutex<HashMap<Remote, Weak<Mirror>>>,
}

impl Remotes {
    /// `cache` is a folder of our own; what is in it can be lost at any time.
    pub fn new(cache: &Path, limits: Limits, reach: Reach) -> Self {
        let room = Arc::new(Room::new(cache, limits.all_bytes));
        Self { cache: cache.to_owned(), limits, reach: Arc::new(reach), room, mirrors: Mutex::default() }
    }

    /// The mirror of a remote, opened if nobody has it yet. It is closed when the last one lets go.
    pub fn get(&self, remote: &Remote) -> Result<Arc<Mirror>, GitError> {
        self.reach.check(remote)?;
        let mut mirrors = lock(&self.mirrors);
        mirrors.retain(|_, mirror| mirror.strong_count() > 0);
        if let Some(mirror) = mirrors.get(remote).and_then(Weak::upgrade) {
            return Ok(mirror);
        }
        if remote.url().scheme() == Scheme::Ssh {
            self.prefer_known_hosts(mirrors.keys().chain([remote]))?;
        }
        let live: Vec<Arc<Mirror>> = mirrors.values().filter_map(Weak::upgrade).collect();
        let mirror = Arc::new(self.open(remote, &live)?);
        mirrors.insert(remote.clone(), Arc::downgrade(&mirror));
        Ok(mirror)
    }

    /// Removes the folders of remotes that nobody follows any more. For after all environments have asked for theirs.
    pub fn sweep(&self) -> Result<(), GitError> {
        let mirrors = lock(&self.mirrors);
        let live: Vec<Arc<Mirror>> = mirrors.values().filter_map(Weak::upgrade).collect();
        for entry in fs::read_dir(&self.cache).into_iter().flatten().flatten() {
            let folder = entry.path();
            if !folder.join("lock").is_file() || live.iter().any(|mirror| mirror.folder() == folder) {
                continue;
            }
            // Whoever holds the lock uses it, this process or another.
            if let Ok(held) = Store::open(&folder) {
                fs::remove_dir_all(&folder).map_err(|error| disk_error(&folder, &error))?;
                drop(held);
            }
        }
        Ok(())
    }

    /// Opens the first folder of this URL that nobody uses.
    fn open(&self, remote: &Remote, live: &[Arc<Mirror>]) -> Result<Mirror, GitError> {
        let name = Digest::of(remote.url().to_string().as_bytes());
        let mut result = Err(GitError::CacheBusy { folder: self.cache.join(name.as_str()) });
        for slot in 0..SLOTS {
            let folder = match slot {
                0 => self.cache.join(name.as_str()),
                slot => self.cache.join(format!("{name}-{slot}")),
            };
            if live.iter().any(|mirror| mirror.folder() == folder) {
                continue;
            }
            result =
                Mirror::open(remote.clone(), &folder, self.limits, self.reach.clone(), self.room.clone());
            if !matches!(result, Err(GitError::CacheBusy { .. })) {
                return result;
            }
        }
        result
    }

    /// Writes the hosts of all remotes where libgit2 looks for the kinds of keys to ask for. See [`library::home`].
    fn prefer_known_hosts<'a>(&self, remotes: impl Iterator<Item = &'a Remote>) -> Result<(), GitError> {
        fs::create_dir_all(&self.cache).map_err(|error| disk_error(&self.cache, &error))?;
        let own = self.cache.join("ssh-home");
        if library::home(&own) != own {
            // Another `Remotes` came first; the file is its own, and what it lacks is only a preference.
            return Ok(());
        }
        let mut lines = String::new();
        for remote in remotes {
            if let Credentials::Ssh { known_hosts, .. } = remote.credentials() {
                lines.push_str(known_hosts);
                lines.push('\n');
            }
        }
        let folder = own.join(".ssh");
        let write = || {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("known_hosts.new"), &lines)?;
            fs::rename(folder.join("known_hosts.new"), folder.join("known_hosts"))
        };
        write().map_err(|error| disk_error(&self.cache, &error))
    }
}
