//! Who wrote a line, in a real history.

use fairlead::git::{Local, Written};
use fairlead::object::Revision;

use crate::bed::*;

const FILE: &str = "base/web.yaml";

fn commit(origin: &Origin, author: &str, subject: &str) -> Revision {
    git(&origin.work(), &["add", "--all"]);
    let output = git_command(&origin.work())
        .envs([("GIT_AUTHOR_NAME", author), ("GIT_AUTHOR_EMAIL", "who@example.org")])
        .args(["commit", "--quiet", "--message", subject])
        .output();
    assert!(output.unwrap().status.success());
    origin.head()
}

fn by(written: Option<Written>) -> (Revision, String, bool) {
    match written {
        Some(Written::By { revision, commit, or_before }) => (revision, commit.author, or_before),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_is_of_the_commit_that_changed_it_last() {
    let origin = Origin::new();
    origin.write(FILE, "kind: Service\nreplicas: 1\nimage: a\n");
    let first = commit(&origin, "Ada", "Add it");
    origin.write(FILE, "# A comment.\nkind: Service\nreplicas: 3\nimage: a\n");
    let second = commit(&origin, "Grace", "Scale it");
    origin.write("other.yaml", "x: y\n");
    let third = commit(&origin, "Edsger", "Something else");
    let local = Local::open(&origin.work()).unwrap();
    let line = |revision: &Revision, line| by(local.written(revision, &path(FILE), line, None));
    assert_eq!(line(&third, 2), (first.clone(), "Ada".to_owned(), false));
    assert_eq!(line(&third, 3), (second.clone(), "Grace".to_owned(), false));
    // As it was then.
    assert_eq!(line(&first, 2), (first.clone(), "Ada".to_owned(), false));
    assert_eq!(local.written(&third, &path(FILE), 9, None), None, "there is no such line");
}

#[test]
fn what_is_not_committed_is_said_to_be_so() {
    let origin = Origin::new();
    origin.write(FILE, "kind: Service\nreplicas: 1\n");
    let first = commit(&origin, "Ada", "Add it");
    let local = Local::open(&origin.work()).unwrap();
    let now = b"# New.\nkind: Service\nreplicas: 2\n";
    let line = |line| local.written(&first, &path(FILE), line, Some(now));
    assert_eq!(line(1), Some(Written::Uncommitted));
    assert_eq!(by(line(2)).0, first, "a line that only moved");
    assert_eq!(line(3), Some(Written::Uncommitted));
    assert_eq!(local.written(&first, &path("new.yaml"), 1, Some(b"a\n")), Some(Written::Uncommitted));
}

#[test]
fn where_history_was_cut_off_it_may_be_older() {
    let origin = Origin::new();
    origin.write(FILE, "kind: Service\nreplicas: 1\n");
    commit(&origin, "Ada", "Add it");
    origin.write("other.yaml", "x: y\n");
    commit(&origin, "Grace", "Something else");
    origin.write(FILE, "kind: Service\nreplicas: 2\n");
    let last = origin.push("main");
    let folder = origin.folder.path();
    git(folder, &["clone", "--quiet", "--depth", "2", &origin.url(), "shallow"]);
    let local = Local::open(&folder.join("shallow")).unwrap();
    let line = |line| by(local.written(&last, &path(FILE), line, None));
    let (_, author, or_before) = line(1);
    assert_eq!((author.as_str(), or_before), ("Grace", true), "Ada's commit is not there");
    let (revision, _, or_before) = line(2);
    assert_eq!((revision, or_before), (last.clone(), false));
}
