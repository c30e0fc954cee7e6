//! Changes that are to be merged: over http and from disk, what they come to, and what cannot be merged.

use std::collections::BTreeMap;

use fairlead::git::{Changes, GitError};
use fairlead::object::{Revision, Tree};

use crate::bed::*;
use crate::web::{Manners, Web};

/// A remote where `main` went on after a change began, with the change at a name of a forge's.
fn diverged() -> (Origin, Revision, Revision) {
    let (origin, first) = Origin::with_one_commit();
    origin.write("dev/web.yaml", "replicas: 2\n");
    let head = origin.push("change");
    let bare = origin.bare();
    git(&bare, &["update-ref", "refs/pull/7/head", head.as_str()]);
    git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
    origin.write("base/web.yaml", "kind: Deployment\n");
    let tip = origin.push("main");
    (origin, tip, head)
}

const NAMES: [&str; 3] = ["refs/heads/main", "refs/pull/7/head", "refs/pull/8/head"];

fn check(url: &str) {
    let (cache, none) = (Cache::new(), BTreeMap::new());
    let mirror = cache.mirror(url);
    let changes = Changes::new(mirror.clone());
    assert_eq!(changes.fetch(&[], soon()).unwrap(), none);
    let found = changes.fetch(&NAMES, soon()).unwrap();
    let (tip, head) = (found[NAMES[0]].clone().unwrap(), found[NAMES[1]].clone().unwrap());
    assert_eq!(found[NAMES[2]], None, "the remote has no such name");
    let merged = changes.merge(&tip, &head).unwrap();
    let after = merged.after.expect("it merges");
    assert_eq!(read(&merged.before, "base/web.yaml"), "kind: Deployment\n");
    assert!(merged.before.entry(&path("dev/web.yaml")).unwrap().is_none());
    assert_eq!(read(&after, "base/web.yaml"), "kind: Deployment\n", "what others merged stays");
    assert_eq!(read(&after, "dev/web.yaml"), "replicas: 2\n");
    assert!(!changes.holds(&tip, &head) && changes.holds(&tip, &tip) && !changes.holds(&head, &tip));
    drop((changes, after, merged.before));
    assert!(cache.generations().is_empty(), "nothing is left of it: {:?}", cache.generations());
}

#[test]
fn a_change_is_what_the_branch_would_be_with_it() {
    let (origin, ..) = diverged();
    let before = git(&origin.bare(), &["count-objects", "-v"]);
    check(&origin.url());
    assert_eq!(git(&origin.bare(), &["count-objects", "-v"]), before, "the remote itself is only read");
    let web = Web::start(origin.folder.path(), Manners::default());
    check(&web.url());
}

#[test]
fn what_moves_is_fetched_again_and_what_is_merged_is_held() {
    let (origin, _, head) = diverged();
    let web = Web::start(origin.folder.path(), Manners::default());
    for url in [origin.url(), web.url()] {
        let cache = Cache::new();
        let changes = Changes::new(cache.mirror(&url));
        let tip = changes.fetch(&NAMES, soon()).unwrap()[NAMES[0]].clone().unwrap();
        git(&origin.work(), &["fetch", "--quiet", "origin", "change"]);
        git(&origin.work(), &["merge", "--quiet", "--no-edit", "FETCH_HEAD"]);
        origin.write("later.yaml", "a: b\n");
        let later = origin.push("main");
        assert_eq!(changes.fetch(&NAMES[..1], soon()).unwrap()[NAMES[0]], Some(later.clone()));
        assert!(changes.holds(&later, &head) && changes.holds(&later, &tip), "{url}");
        git(&origin.work(), &["reset", "--quiet", "--hard", tip.as_str()]);
        git(&origin.work(), &["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
    }
}

#[test]
fn a_conflict_is_told_and_so_is_a_history_of_its_own() {
    let (origin, _, head) = diverged();
    git(&origin.work(), &["reset", "--quiet", "--hard", head.as_str()]);
    origin.write("base/web.yaml", "kind: StatefulSet\n");
    let conflicting = origin.push("change");
    git(&origin.bare(), &["update-ref", "refs/pull/7/head", conflicting.as_str()]);
    git(&origin.work(), &["checkout", "--quiet", "--orphan", "alone"]);
    let alone = origin.push("alone");
    git(&origin.bare(), &["update-ref", "refs/pull/8/head", alone.as_str()]);
    let cache = Cache::new();
    let changes = Changes::new(cache.mirror(&origin.url()));
    let found = changes.fetch(&NAMES, soon()).unwrap();
    let tip = found[NAMES[0]].clone().unwrap();
    let why = |head: &Revision| changes.merge(&tip, head).unwrap().after.err();
    assert_eq!(why(&conflicting).as_deref(), Some("it conflicts with the branch in base/web.yaml"));
    assert_eq!(why(&alone).as_deref(), Some("it has no history in common with the branch"));
}

#[test]
fn only_names_of_git_are_asked_for() {
    let (origin, ..) = diverged();
    let cache = Cache::new();
    let changes = Changes::new(cache.mirror(&origin.url()));
    for name in ["main", "refs/heads/a b", "refs/heads/a..b", "", "../x", "refs/heads/-:x^"] {
        let error = changes.fetch(&[name], soon());
        assert!(matches!(error, Err(GitError::BadBranch { .. })), "{name}: {error:?}");
    }
}
