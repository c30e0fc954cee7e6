//! The life of a pull request, on a real API server: reported on, kept true, merged, and told what became of it. A folder
//! stands in for a forge.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::manifests::configmap;
use crate::bed::{Agent, Bed, SECOND, Setup, holds_for, rbac, wait_until};

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
    bed_of(name, &json!([]))
}

/// The same, with people who may give commands.
fn bed_of(name: &str, people: &Value) -> (Bed, Folder) {
    let setup = Setup::new(name);
    let folder =
        Folder { folder: tempfile::tempdir().expect("a folder"), repository: setup.name().to_owned() };
    std::fs::create_dir(folder.path("")).expect("a folder");
    let spec = json!({"pullRequests": {
        "forge": "files", "repository": folder.repository, "interval": "1s", "people": people,
    }});
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

fn value(bed: &Bed) -> Value {
    bed.configmap("settings").map(|found| found["data"]["value"].clone()).unwrap_or_default()
}

#[test]
fn a_command_in_a_comment_is_done_as_who_wrote_it_once_and_only_if_they_may() {
    let people = json!([
        {"login": "ada", "user": "ada@example.org"}, {"login": "bob", "user": "bob@example.org"},
        {"login": "root", "user": "carol@example.org"},
    ]);
    let (bed, folder) = bed_of("pull-commands", &people);
    rbac::user(bed.api(), "ada@example.org", &bed.name, &["rollback"]);
    rbac::user(bed.api(), "bob@example.org", &bed.name, &["retry"]);
    let agent = folder.agent(&bed);
    for version in ["1", "2"] {
        bed.wait_ready(&bed.commit_web(&configmap("settings", version)));
    }
    branch(&bed, "more", &configmap("settings", "3"));
    folder.write("7.yaml", "head: more\nbase: main\n");
    folder.wait("7.md", &["changes without risks"]);
    let said = |id: u64, by: &str, text: &str| json!({"id": id, "by": by, "text": text});
    let rollback = format!("/fairlead rollback {} web\nit is slow", bed.name);
    let mut all = vec![
        said(2, "bob", &rollback),
        said(3, "eve", &rollback),
        said(4, "root", &rollback),
        said(5, "ada", &format!("> {rollback}")),
        said(6, "ada", "/fairlead explode"),
        said(7, "ada", "/fairlead rollback kube-system"),
    ];
    folder.write("7.comments.yaml", &json!(all).to_string());
    let report = folder.wait("7.md", &["nobody said which user", "nobody knows that word", "no environment"]);
    assert!(
        report.contains("you may not") && report.contains("environments.fairlead.dev/rollback"),
        "{report}"
    );
    // Carol is mapped, but the agent may not become her.
    assert!(report.contains("`root`") && report.contains("carol@example.org"), "{report}");
    assert_eq!((value(&bed), bed.requests("rollback").len()), (json!("2"), 0), "{report}");

    all.push(said(8, "ada", &rollback));
    folder.write("7.comments.yaml", &json!(all).to_string());
    let report = folder.wait("7.md", &["runs and is healthy", "**done**"]);
    assert_eq!(value(&bed), "1");
    let made = bed.requests("rollback");
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0]["spec"]["by"], "ada@example.org");
    let reason = "ada in pull request 7: it is slow";
    assert_eq!(made[0]["spec"]["reason"], reason);
    let signs: Value = serde_json::from_str(&folder.read("7.reactions.json")).expect("signs");
    assert_eq!(
        signs,
        json!({"2": "refused", "3": "refused", "4": "refused", "6": "refused", "7": "refused", "8": "taken"})
    );
    assert_eq!(report.matches("fairlead:report").count(), 1, "{report}");
    wait_until(SOON, "the record says who and why", || {
        let history = bed.fairlead(&["history", "--env", &bed.name, "-o", "json"]).json();
        let hers = |one: &&Value| one["by"] == "ada@example.org" || one["who"] == "ada@example.org";
        history.as_array().is_some_and(|all| all.iter().any(|one| hers(&one)))
    });

    // The agent is killed, and somebody takes away what it remembered: what was done is not done again.
    agent.signal("KILL");
    agent.wait(SOON);
    std::fs::remove_file(folder.path("7.md")).expect("it is there");
    let _agent = folder.agent(&bed);
    folder.wait("7.md", &["runs and is healthy", "nobody knows that word"]);
    holds_for(3 * SECOND, "it is not asked again", || {
        bed.requests("rollback").len() == 1 && value(&bed) == "1"
    });
}

#[test]
fn what_somebody_changed_in_the_cluster_is_told_with_who_did_it_and_what_the_merge_does_about_it() {
    let (bed, folder) = bed("pull-drift");
    let (path, config) =
        bed.config("{name: web, path: web}, {name: more, path: more}", "drift: {policy: report}");
    let other = configmap("other", "1");
    let web = configmap("settings", "1");
    let first = bed.commit(&[(&path, &config), ("web/all.yaml", &web), ("more/all.yaml", &other)]);
    let history = format!("sqlite:{}", folder.folder.path().join("history.sqlite").display());
    let pulls = folder.folder.path().to_string_lossy().into_owned();
    let _agent = bed.agent_with(&[("FAIRLEAD_PULL_REQUESTS_FOLDER", &pulls), ("FAIRLEAD_HISTORY", &history)]);
    bed.wait_ready(&first);
    bed.set_by_hand("settings");
    bed.set_by_hand("other");
    wait_until(SOON, "the history has it", || {
        let asked = ["history", "--history", &history, "--env", &bed.name, "--kind", "drift", "-o", "json"];
        let told = bed.fairlead(&asked);
        told.code == 0 && told.json().as_array().is_some_and(|all| all.len() == 2)
    });
    branch(&bed, "more", &configmap("settings", "2"));
    folder.write("7.yaml", "title: More\nhead: more\nbase: main\n");
    let report = folder.wait("7.md", &["### Otherwise in the cluster", "and left as it is"]);
    let (_, told) = report.split_once("### Otherwise in the cluster\n").expect("what is written over");
    let (over, stays) =
        told.split_once("### Otherwise in the cluster, and left as it is").expect("what stays");
    for (part, name) in [(over, "settings"), (stays, "other")] {
        let object = format!("`ConfigMap {}/{name}`", bed.name);
        for words in [object.as_str(), "`.data.value` was changed by", "first seen", "it is only reported"] {
            assert!(part.contains(words), "{name}: {words}: {report}");
        }
    }
    assert!(over.contains("- by hand\n+ 2\n") && !stays.contains("settings"), "{report}");
}
