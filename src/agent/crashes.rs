//! Which revision was being rendered when the process ended. What ends it twice is set aside: an environment whose files find
//! a hole in a limit must not take the agent from all others for ever.
//!
//! Before a revision is rendered its name is left in a folder of the cache, and taken away after. What is found there at the
//! start was under way when the process before us ended. Whose fault that was is not known as long as others were rendered at
//! the same time, so such a revision is rendered alone the next time, and only what ends the process then is set aside. A
//! person who asks for it lets it be tried once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::object::{EnvironmentName, Revision};

/// So often a revision may end the process before it is set aside.
const MOST: u32 = 2;

pub struct Crashes {
    /// Nothing where another process uses the folder, or it cannot be written: then nothing is noted.
    folder: Option<(PathBuf, File)>,
    suspects: Mutex<BTreeMap<String, Suspect>>,
    /// Held by one that renders alone, or by all others.
    alone: RwLock<()>,
}

/// A revision that was being rendered when the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suspect {
    revision: String,
    ended: u32,
    /// The requests of people for which it was tried once more.
    lifted: BTreeSet<String>,
}

/// A revision that is being rendered.
pub struct UnderWay<'a> {
    crashes: &'a Crashes,
    environment: String,
    _turn: Turn<'a>,
}

/// Held for as long as it is rendered.
enum Turn<'a> {
    Alone(#[expect(dead_code, reason = "it is held, not looked at")] RwLockWriteGuard<'a, ()>),
    BesideOthers(#[expect(dead_code, reason = "it is held, not looked at")] RwLockReadGuard<'a, ()>),
}

/// A revision that is not rendered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the revision {revision} is set aside: the agent ended {ended} times while it was rendered, the last time alone. What ran \
     before goes on; a newer commit is tried, and this one again after `fairlead apply --env {environment}`"
)]
pub struct SetAside {
    environment: String,
    revision: String,
    ended: u32,
}

impl Suspect {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let revision = words.next()?.to_owned();
        Some(Self {
            revision,
            ended: words.next()?.parse().ok()?,
            lifted: words.map(str::to_owned).collect(),
        })
    }

    fn text(&self) -> String {
        let lifted: Vec<&str> = self.lifted.iter().map(String::as_str).collect();
        format!("{} {} {}\n", self.revision, self.ended, lifted.join(" "))
    }
}

impl Crashes {
    /// Reads what the process before us left.
    pub fn open(cache: &Path) -> Self {
        let folder = cache.join("rendering");
        let lock = || -> std::io::Result<File> {
            fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join(".lock"))?;
            lock.try_lock()?;
            Ok(lock)
        };
        let lock = lock()
            .inspect_err(
                |error| tracing::warn!(%error, "a revision that ends the agent will not be known for it"),
            )
            .ok();
        let mut suspects = BTreeMap::new();
        if lock.is_some() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') {
                    continue;
                }
                let (name, was_under_way) = match name.strip_suffix(UNDER_WAY) {
                    Some(name) => (name.to_owned(), true),
                    None => (name, false),
                };
                let read = fs::read_to_string(entry.path()).ok();
                let Some(mut suspect) = read.as_deref().and_then(Suspect::read) else {
                    let _ = fs::remove_file(entry.path());
                    continue;
                };
                if was_under_way {
                    suspect.ended += 1;
                    let (revision, ended) = (&suspect.revision, suspect.ended);
                    tracing::warn!(
                        environment = name,
                        revision,
                        ended,
                        "the agent ended while this was rendered"
                    );
                    let _ = fs::remove_file(entry.path());
                    let _ = fs::write(folder.join(&name), suspect.text());
                    suspects.insert(name, suspect);
                } else {
                    suspects.entry(name).or_insert(suspect);
                }
            }
        }
        let folder = lock.map(|lock| (folder, lock));
        Self { folder, suspects: Mutex::new(suspects), alone: RwLock::new(()) }
    }

    /// Notes that a revision is rendered from here on. Waits for others where it has to be alone.
    pub fn begin(
        &self,
        environment: &EnvironmentName,
        revision: &Revision,
    ) -> Result<UnderWay<'_>, SetAside> {
        let known = self.lock().get(environment.as_str()).cloned();
        let known = known.filter(|known| known.revision == revision.as_str());
        let suspect = known.unwrap_or_else(|| Suspect {
            revision: revision.to_string(),
            ended: 0,
            lifted: BTreeSet::new(),
        });
        if suspect.ended >= MOST {
            let Suspect { revision, ended, .. } = suspect;
            return Err(SetAside { environment: environment.to_string(), revision, ended });
        }
        let turn = match suspect.ended {
            0 => Turn::BesideOthers(self.alone.read().unwrap_or_else(PoisonError::into_inner)),
            _ => Turn::Alone(self.alone.write().unwrap_or_else(PoisonError::into_inner)),
        };
        self.write(environment.as_str(), UNDER_WAY, &suspect);
        Ok(UnderWay { crashes: self, environment: environment.to_string(), _turn: turn })
    }

    /// Lets what is set aside be tried once more, for requests that it was not tried for yet.
    pub fn lift(&self, environment: &EnvironmentName, asked: &BTreeSet<String>) {
        let mut suspects = self.lock();
        let Some(suspect) = suspects.get_mut(environment.as_str()) else { return };
        if suspect.ended < MOST || asked.is_subset(&suspect.lifted) {
            return;
        }
        suspect.lifted.extend(asked.iter().cloned());
        suspect.ended = MOST - 1;
        self.write(environment.as_str(), "", suspect);
    }

    fn write(&self, environment: &str, ending: &str, suspect: &Suspect) {
        let Some((folder, _)) = &self.folder else { return };
        if let Err(error) = fs::write(folder.join(format!("{environment}{ending}")), suspect.text()) {
            tracing::warn!(%error, environment, "it cannot be noted what is rendered");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Suspect>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the name of a file ends with while its revision is rendered. No environment has it in its name.
const UNDER_WAY: &str = "~";

impl Drop for UnderWay<'_> {
    /// The process goes on, be it that this was stopped or panicked.
    fn drop(&mut self) {
        self.crashes.lock().remove(&self.environment);
        let Some((folder, _)) = &self.crashes.folder else { return };
        let _ = fs::remove_file(folder.join(format!("{}{UNDER_WAY}", self.environment)));
        let _ = fs::remove_file(folder.join(&self.environment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> EnvironmentName {
        EnvironmentName::new(name).unwrap()
    }

    /// The process ends: nothing is taken away.
    fn end(crashes: Crashes, under_way: &[(&str, &str)]) {
        let begun = under_way.iter().map(|(name, revision)| {
            std::mem::forget(crashes.begin(&environment(name), &Revision::new(*revision)).unwrap());
        });
        begun.for_each(drop);
        drop(crashes);
    }

    #[test]
    fn what_ends_the_process_alone_is_set_aside_until_a_person_or_a_newer_commit_comes() {
        let cache = tempfile::tempdir().unwrap();
        let open = || Crashes::open(cache.path());
        let (hostile, other) = (environment("hostile"), environment("other"));
        let (bad, good) = (Revision::new("bad"), Revision::new("good"));
        end(open(), &[("hostile", "bad"), ("other", "good")]);

        // Either may have been it. The other one is tried alone, and is none.
        let crashes = open();
        drop(crashes.begin(&other, &good).unwrap());
        drop(crashes.begin(&other, &good).unwrap());
        end(crashes, &[("hostile", "bad")]);

        let crashes = open();
        let refused = crashes.begin(&hostile, &bad).err().unwrap();
        assert!(refused.to_string().starts_with("the revision bad is set aside: the agent ended 2 times"));
        assert!(crashes.begin(&other, &good).is_ok());
        drop(crashes);

        let asked = BTreeSet::from(["ask".to_owned()]);
        let crashes = open();
        assert!(crashes.begin(&hostile, &bad).is_err(), "it is remembered");
        crashes.lift(&hostile, &BTreeSet::new());
        assert!(crashes.begin(&hostile, &bad).is_err(), "nobody asked");
        crashes.lift(&hostile, &asked);
        end(crashes, &[("hostile", "bad")]);

        let crashes = open();
        crashes.lift(&hostile, &asked);
        assert!(crashes.begin(&hostile, &bad).is_err(), "one request is one more try");
        drop(crashes.begin(&hostile, &good).expect("another commit"));
        drop(crashes);
        assert!(open().begin(&hostile, &bad).is_ok(), "what came in between was fine");
    }

    #[test]
    fn what_is_suspected_is_rendered_alone() {
        let cache = tempfile::tempdir().unwrap();
        end(Crashes::open(cache.path()), &[("a", "1")]);
        let crashes = Crashes::open(cache.path());
        let other = crashes.begin(&environment("b"), &Revision::new("1")).unwrap();
        std::thread::scope(|scope| {
            let alone = scope.spawn(|| crashes.begin(&environment("a"), &Revision::new("1")).map(drop));
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!alone.is_finished());
            drop(other);
            alone.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_second_process_in_the_same_folder_blames_nobody() {
        let cache = tempfile::tempdir().unwrap();
        let first = Crashes::open(cache.path());
        let name = environment("a");
        let _under_way = first.begin(&name, &Revision::new("1")).unwrap();
        let second = Crashes::open(cache.path());
        assert!(second.lock().is_empty());
        drop(second.begin(&name, &Revision::new("2")).unwrap());
        assert!(cache.path().join("rendering/a~").exists(), "the first's note stays");
    }
}
