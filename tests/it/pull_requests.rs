//! The life of a pull request, on a real API server: reported on, kept true, merged, and told what became of it. A folder
//! stands in for a forge.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::{Agent, Bed, Setup, wait_until};

const SOON: Duration = Duration::from_secs(180);

struct Folder {
    folder: tempfile::TempDir,
    repository: String,
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(&self.repository).join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What a commit is told of the environment.
    fn status(&self, commit: &str) -> Value {
        let told = self.read(&format!("statuses/{commit}.json"));
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        told[format!("fairlead/{}", self.repository)].clone()
    }

    fn wait(&self, name: &str, words: &[&str]) -> String {
        let all = || words.iter().all(|word| self.read(name).contains(word));
        wait_until(SOON, &format!("{name} says {words:?}, and not {}", self.read(name)), all);
        self.read(name)
    }

    fn agent(&self, bed: &Bed) -> Agent {
        let folder = self.folder.path().to_string_lossy().into_owned();
        bed.agent_with(&[("FAIRLEAD_PULL_REQUESTS_FOLDER", &folder)])
    }
}

/// An environment whose pull requests are in a folder. Where two shared one, one of them would look after both.
fn bed(name: &str) -> (Bed, Folder) {
    let setup = Setup::new(name);
    let folder =
        Folder { folder: tempfile::tempdir().expect("a folder"), repository: setup.name().to_owned() };
    std::fs::create_dir(folder.path("")).expect("a folder");
    let spec = json!({"pullRequests": {"forge": "files", "repository": folder.repository, "interval": "1s"}});
    (setup.limits(spec).make(), folder)
}

/// Pushes a change of the app to a branch of its own, and leaves the working copy where it was.
fn branch(bed: &Bed, name: &str, settings: &str) -> String {
    bed.repo.git(&["checkout", "--quiet", "-b", name]);
    bed.repo.write("web/all.yaml", settings.as_bytes());
    let commit = bed.repo.push(name);
    bed.repo.git(&["checkout", "--quiet", "main"]);
    commit
}

#[test]
fn a_pull_request_is_reported_on_kept_true_and_told_what_became_of_it() {
    let (bed, folder) = bed("pull-life");
    let first = bed.commit_web(&configmap("settings", "1"));
    let agent = folder.agent(&bed);
    bed.wait_ready(&first);
    let head = branch(&bed, "more", &configmap("settings", "2"));
    folder.write("7.yaml", "title: More\nhead: more\nbase: main\n");

    let report = folder.wait("7.md", &["changes without risks", "@@ .data", "main as it is"]);
    assert!(
        report.starts_with(&format!("<!-- fairlead:report cluster= environments={} -->\n", bed.name)),
        "{report}"
    );
    wait_until(SOON, "the commit is told", || folder.status(&head)["state"] == "success");

    // What others merge meanwhile is not told as this one's.
    bed.repo.write("other/all.yaml", configmap("other", "1").as_bytes());
    bed.repo.push("main");
    // A person deletes the comment, and the agent dies: it is made again, by another agent.
    agent.signal("KILL");
    agent.wait(SOON);
    std::fs::remove_file(folder.path("7.md")).expect("it is there");
    let agent = folder.agent(&bed);
    let again = folder.wait("7.md", &["changes without risks", "@@ .data"]);
    assert!(!again.contains("other"), "{again}");

    // A new commit that the server refuses.
    bed.repo.git(&["checkout", "--quiet", "more"]);
    let refused = branch_commit(
        &bed,
        &configmap("settings", "3").replace("kind: ConfigMap", "kind: ConfigMap\nimutable: true"),
    );
    let report = folder.wait("7.md", &["would not be applied", "imutable", "Before, at"]);
    assert!(report.contains(head.get(..10).expect("an id")), "{report}");
    wait_until(SOON, "the commit is told", || folder.status(&refused)["state"] == "failure");

    // And one that is merged.
    bed.repo.git(&["checkout", "--quiet", "more"]);
    let good = branch_commit(&bed, &configmap("settings", "4"));
    folder.wait("7.md", &["changes without risks", good.get(..10).expect("an id")]);
    bed.repo.git(&["merge", "--quiet", "--no-ff", "--no-edit", "more"]);
    let merge = bed.repo.push("main");
    folder
        .write("7.yaml", &format!("title: More\nhead: more\nbase: main\nstate: merged\nrevision: {merge}\n"));
    bed.wait_ready(&merge);
    let outcome = folder.wait("7.md", &["merged, applied and healthy", "| yes |", "changes without risks"]);
    assert_eq!(outcome.matches("fairlead:report").count(), 1, "{outcome}");
    wait_until(SOON, "the merge is told", || folder.status(&merge)["state"] == "success");
    drop(agent);
}

/// Commits to the branch that is checked out, and goes back.
fn branch_commit(bed: &Bed, settings: &str) -> String {
    bed.repo.write("web/all.yaml", settings.as_bytes());
    let commit = bed.repo.push("more");
    bed.repo.git(&["checkout", "--quiet", "main"]);
    commit
}

#[test]
fn a_pull_request_that_conflicts_or_is_wrong_harms_no_other() {
    let (bed, folder) = bed("pull-conflict");
    let first = bed.commit_web(&configmap("settings", "1"));
    branch(&bed, "one", &configmap("settings", "2"));
    branch(&bed, "two", &configmap("settings", "3"));
    bed.repo.write("web/all.yaml", configmap("settings", "4").as_bytes());
    let second = bed.repo.push("main");
    branch(&bed, "three", &configmap("settings", "5"));
    assert_ne!(first, second);
    let _agent = folder.agent(&bed);
    bed.wait_ready(&second);
    folder.write("1.yaml", "head: one\nbase: main\n");
    folder.write("2.yaml", "head: nowhere\nbase: main\n");
    folder.write("3.yaml", "head: two\nbase: elsewhere\n");
    folder.write("4.yaml", "head: three\nbase: main\n");
    folder.write("5.yaml", "this is no pull request\n");
    folder.wait("1.md", &["cannot be merged as it is", "web/all.yaml"]);
    folder.wait("4.md", &["changes without risks"]);
    for none in ["2.md", "3.md", "5.md"] {
        assert_eq!(folder.read(none), "", "{none}");
    }
}
