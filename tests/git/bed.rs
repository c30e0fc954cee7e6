//! What the tests share: a remote with a working copy beside it, and a cache to fetch into.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::git::{Credentials, Fetched, GitError, Limits, Mirror, Reach, Remote, Remotes};
pub use fairlead::object::chain;
use fairlead::object::{Revision, Tree, TreePath};
use tempfile::TempDir;

/// Runs git without this machine's configuration.
pub fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.org")])
        .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.org")]);
    command
}

pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder).args(arguments).output().expect("git is installed");
    succeeded(&output, arguments)
}

fn succeeded(output: &Output, arguments: &[&str]) -> String {
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A bare remote, and the working copy of somebody who pushes to it.
pub struct Origin {
    pub folder: TempDir,
}

impl Origin {
    pub fn new() -> Self {
        let origin = Self { folder: TempDir::new().unwrap() };
        git(origin.folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "infra.git"]);
        git(origin.folder.path(), &["init", "--quiet", "--initial-branch=main", "work"]);
        git(&origin.work(), &["remote", "add", "origin", "../infra.git"]);
        origin
    }

    pub fn bare(&self) -> PathBuf {
        self.folder.path().join("infra.git")
    }

    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    pub fn write(&self, path: &str, content: &str) {
        let place = self.work().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, content).unwrap();
    }

    /// Commits all that is in the working copy and pushes it, by force.
    pub fn push(&self, branch: &str) -> Revision {
        git(&self.work(), &["add", "--all"]);
        git(&self.work(), &["commit", "--quiet", "--allow-empty", "--message", "A change\n\nand why"]);
        git(&self.work(), &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.head()
    }

    pub fn head(&self) -> Revision {
        Revision::new(git(&self.work(), &["rev-parse", "HEAD"]))
    }

    /// A remote with one file on `main`.
    pub fn with_one_commit() -> (Self, Revision) {
        let origin = Self::new();
        origin.write("base/web.yaml", "kind: Service\n");
        let revision = origin.push("main");
        (origin, revision)
    }
}

/// A cache folder and who fetches into it.
pub struct Cache {
    pub folder: TempDir,
    pub remotes: Remotes,
}

impl Cache {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        let folder = TempDir::new().unwrap();
        let remotes = Remotes::new(folder.path(), limits, Reach::anywhere());
        Self { folder, remotes }
    }

    pub fn mirror(&self, url: &str) -> Arc<Mirror> {
        self.mirror_as(url, Credentials::None)
    }

    pub fn mirror_as(&self, url: &str, credentials: Credentials) -> Arc<Mirror> {
        self.remotes.get(&Remote::new(url, credentials).unwrap()).unwrap()
    }

    /// Waits until the last user of every mirror has let go; a fetch lets go a moment after it was answered.
    pub fn wait_until_closed(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        for remote in std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let Ok(lock) = std::fs::File::open(remote.path().join("lock")) else {
                continue;
            };
            while lock.try_lock().is_err() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// The generations on disk, of all remotes.
    pub fn generations(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for remote in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            let entries = std::fs::read_dir(remote.path()).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()).filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("g-"))
            }));
        }
        found.sort();
        found
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.wait_until_closed();
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub fn fetch(mirror: &Arc<Mirror>, branch: &str) -> Result<Fetched, GitError> {
    mirror.fetch(&[branch], soon())
}

pub fn revision(mirror: &Arc<Mirror>, branch: &str) -> Revision {
    fetch(mirror, branch).unwrap().revisions.remove(branch).unwrap()
}

pub fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub fn read(tree: &dyn Tree, file: &str) -> String {
    String::from_utf8(tree.read(&path(file), 1 << 20).unwrap().bytes.to_vec()).unwrap()
}
