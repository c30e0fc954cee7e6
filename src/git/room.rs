//! The disk that all caches share: what a fetch may still take of it, and which caches go to make room.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Of the quota, the part that is kept free where caches that nobody uses can go for it.
const KEPT_FREE: u64 = 4;

/// Folders inside one another in a cache: a generation, its `objects`, its `pack`.
const DEPTH: usize = 6;

#[derive(Debug)]
pub(super) struct Room {
    cache: PathBuf,
    quota: u64,
}

impl Room {
    pub fn new(cache: &Path, quota: u64) -> Self {
        Self { cache: cache.to_owned(), quota }
    }

    /// Bytes that one fetch may take: half of what is free, so that one remote that sends all it can leaves room for the
    /// next. Caches that nobody uses go first where little is free, the one that was used longest ago before others.
    pub fn of_a_fetch(&self) -> u64 {
        if self.quota == u64::MAX {
            return u64::MAX;
        }
        let mut used = bytes(&self.cache, DEPTH);
        if used > self.quota - self.quota / KEPT_FREE {
            for (_, folder) in self.by_use() {
                if used <= self.quota - self.quota / KEPT_FREE {
                    break;
                }
                let takes = bytes(&folder, DEPTH);
                if remove_unused(&folder) {
                    tracing::warn!(
                        cache = %folder.display(), bytes = takes, quota = self.quota,
                        "the git caches take nearly all that they may: one that nobody uses is removed"
                    );
                    used = used.saturating_sub(takes);
                }
            }
        }
        self.quota.saturating_sub(used) / 2
    }

    /// The folders of remotes, the one that was used longest ago first.
    fn by_use(&self) -> Vec<(SystemTime, PathBuf)> {
        let folders = fs::read_dir(&self.cache).into_iter().flatten().flatten().map(|entry| entry.path());
        let used = |folder: PathBuf| {
            let at = fs::metadata(folder.join("lock")).ok()?.modified().ok()?;
            Some((at, folder))
        };
        let mut found: Vec<_> = folders.filter_map(used).collect();
        found.sort();
        found
    }
}

/// Whoever holds the lock uses it, this process or another.
fn remove_unused(folder: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(folder.join("lock"));
    lock.is_ok_and(|lock| lock.try_lock().is_ok() && fs::remove_dir_all(folder).is_ok())
}

/// What a folder takes. Links are not followed.
fn bytes(folder: &Path, depth: usize) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(facts) if facts.is_dir() && depth > 0 => sum += bytes(&entry.path(), depth - 1),
            Ok(facts) => sum += facts.len(),
            Err(_) => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::git::store::Store;

    fn cache(root: &Path, name: &str, size: usize, hours_ago: u64) -> PathBuf {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("g-1/objects/pack")).unwrap();
        fs::write(folder.join("g-1/objects/pack/a.pack"), vec![0; size]).unwrap();
        let lock = fs::File::create(folder.join("lock")).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(hours_ago * 3600)).unwrap();
        folder
    }

    #[test]
    fn the_cache_that_was_used_longest_ago_goes_first_and_none_that_is_in_use() {
        let root = tempfile::tempdir().unwrap();
        let oldest = cache(root.path(), "oldest", 300, 9);
        let old = cache(root.path(), "old", 300, 5);
        let new = cache(root.path(), "new", 300, 1);
        let room = Room::new(root.path(), 1_000);
        let in_use = Store::open(&oldest).unwrap();
        assert_eq!(room.of_a_fetch(), 200, "half of what is free once one is gone");
        assert!(oldest.exists() && !old.exists() && new.exists());
        drop(in_use);
        assert_eq!(room.of_a_fetch(), 200, "enough is free");
        cache(root.path(), "other", 300, 0);
        assert_eq!(room.of_a_fetch(), 200);
        assert!(!new.exists() && oldest.exists(), "it was used a moment ago");
    }

    #[test]
    fn one_remote_after_another_that_sends_all_it_may_leaves_room_for_the_next() {
        let root = tempfile::tempdir().unwrap();
        let room = Room::new(root.path(), 1 << 20);
        let mut held = Vec::new();
        for n in 0..8 {
            let may = room.of_a_fetch();
            assert!(may >= (1 << 20) >> (n + 1), "{n}: {may}");
            let folder = cache(root.path(), &format!("{n}"), usize::try_from(may).unwrap(), 0);
            held.push(Store::open(&folder).unwrap());
        }
        assert!(bytes(root.path(), DEPTH) <= 1 << 20);
    }
}
