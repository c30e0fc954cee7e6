use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

/// A bare remote, and the working copy of somebody who pushes to it.
#[derive(Clone)]
pub struct Repo {
    folder: Arc<TempDir>,
}

impl Default for Repo {
    fn default() -> Self {
        let repo = Self { folder: Arc::new(TempDir::new().expect("a temporary folder")) };
        git(repo.folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "infra.git"]);
        git(repo.folder.path(), &["init", "--quiet", "--initial-branch=main", "work"]);
        git(&repo.work(), &["remote", "add", "origin", "../infra.git"]);
        repo
    }
}

impl Repo {
    pub fn bare(&self) -> PathBuf {
        self.folder.path().join("infra.git")
    }

    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    pub fn write(&self, path: impl AsRef<Path>, content: &[u8]) {
        let place = self.work().join(path);
        std::fs::create_dir_all(place.parent().expect("a file is in a folder")).expect("the folder is made");
        std::fs::write(place, content).expect("the file is written");
    }

    pub fn remove(&self, path: &str) {
        let place = self.work().join(path);
        if place.is_dir() { std::fs::remove_dir_all(place) } else { std::fs::remove_file(place) }
            .expect("it goes");
    }

    pub fn link(&self, path: &str, to: &str) {
        let place = self.work().join(path);
        std::fs::create_dir_all(place.parent().expect("a link is in a folder")).expect("the folder is made");
        std::os::unix::fs::symlink(to, place).expect("the link is made");
    }

    /// Commits all that is in the working copy and pushes it; answers the commit.
    pub fn push(&self, branch: &str) -> String {
        let work = self.work();
        git(&work, &["add", "--all"]);
        git(&work, &["commit", "--quiet", "--allow-empty", "--message", "A change"]);
        git(&work, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        git(&work, &["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.work(), arguments)
    }
}

/// git without this machine's configuration.
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

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder).args(arguments).output().expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
