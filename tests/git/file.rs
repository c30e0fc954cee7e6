//! A remote on disk: what is fetched, and what each change of the remote looks like.

use std::time::{Duration, Instant};

use fairlead::git::{GitError, News};
use fairlead::object::{Revision, Tree};

use crate::bed::*;
use crate::web::{Manners, Web};

#[test]
fn a_commit_is_fetched_and_read_without_a_checkout() {
    let (origin, pushed) = Origin::with_one_commit();
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    assert_eq!(revision(&mirror, "main"), pushed);
    let tree = mirror.tree(&pushed).unwrap();
    assert_eq!(read(&tree, "base/web.yaml"), "kind: Service\n");
    assert!(!cache.generations()[0].join("base").exists());
    let info = mirror.commit_info(&pushed).unwrap();
    assert_eq!(
        (info.author.as_str(), info.email.as_str(), info.subject.as_str()),
        ("Ada", "ada@example.org", "A change")
    );
    assert!(info.time.as_second() > 1_600_000_000);
}

#[test]
fn from_disk_to_disk_nobody_looks_for_deltas() {
    let origin = Origin::new();
    for n in 0..20 {
        origin
            .write(&format!("{n}.yaml"), &format!("number: {n}\n{}", "the same in all of them\n".repeat(40)));
    }
    origin.push("main");
    let cache = Cache::new();
    fetch(&cache.mirror(&origin.url()), "main").unwrap();
    let packs = std::fs::read_dir(cache.generations()[0].join("objects/pack")).unwrap().flatten();
    let index = packs.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "idx"));
    let said = git(&cache.generations()[0], &["verify-pack", "-v", &index.unwrap().to_string_lossy()]);
    assert!(said.matches(" blob ").count() == 20 && !said.contains("chain length"), "{said}");
}

#[test]
fn nothing_is_fetched_when_no_wanted_branch_moved() {
    let (origin, _) = Origin::with_one_commit();
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Moved);
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged);
    origin.push("another");
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged);
    let pushed = origin.push("main");
    let fetched = fetch(&mirror, "main").unwrap();
    assert_eq!((fetched.news, &fetched.revisions["main"]), (News::Moved, &pushed));
}

#[test]
fn only_wanted_branches_come_and_without_history() {
    let (origin, first) = Origin::with_one_commit();
    origin.write("big", &"x".repeat(100_000));
    let unwanted = origin.push("unwanted");
    git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
    let second = origin.push("main");
    git(&origin.work(), &["tag", "v1", first.as_str()]);
    git(&origin.work(), &["push", "--quiet", "origin", "v1"]);
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    assert_eq!(revision(&mirror, "main"), second);
    for absent in [&first, &unwanted] {
        assert!(matches!(mirror.tree(absent), Err(GitError::RevisionGone { .. })));
    }
    let refs = git(&cache.generations()[0], &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/main");
}

#[test]
fn a_force_push_and_a_rewritten_history_are_followed() {
    for over_http in [false, true] {
        let (origin, first) = Origin::with_one_commit();
        let web = over_http.then(|| Web::start(origin.folder.path(), Manners::default()));
        follow_rewrites(&origin, &first, &web.as_ref().map_or(origin.url(), Web::url));
    }
}

fn follow_rewrites(origin: &Origin, first: &Revision, url: &str) {
    let cache = Cache::new();
    let mirror = cache.mirror(url);
    revision(&mirror, "main");
    origin.write("a", "1");
    let second = origin.push("main");
    assert_eq!(revision(&mirror, "main"), second);
    git(&origin.work(), &["reset", "--quiet", "--hard", first.as_str()]);
    git(&origin.work(), &["push", "--quiet", "--force", "origin", "HEAD:main"]);
    assert_eq!(&revision(&mirror, "main"), first, "pushed back");
    git(&origin.work(), &["checkout", "--quiet", "--orphan", "fresh"]);
    origin.write("b", "2");
    let rewritten = origin.push("main");
    assert_eq!(revision(&mirror, "main"), rewritten, "no common history");
    assert_eq!(read(&mirror.tree(&rewritten).unwrap(), "b"), "2");
}

#[test]
fn a_deleted_branch_is_an_error_and_comes_back() {
    for over_http in [false, true] {
        let (origin, first) = Origin::with_one_commit();
        let web = over_http.then(|| Web::start(origin.folder.path(), Manners::default()));
        delete_and_recreate(&origin, &first, &web.as_ref().map_or(origin.url(), Web::url));
    }
}

fn delete_and_recreate(origin: &Origin, first: &Revision, url: &str) {
    let cache = Cache::new();
    let mirror = cache.mirror(url);
    let before = mirror.tree(&revision(&mirror, "main")).unwrap();
    git(&origin.bare(), &["update-ref", "-d", "refs/heads/main"]);
    let error = fetch(&mirror, "main").unwrap_err();
    assert!(matches!(&error, GitError::BranchGone { branch, .. } if branch == "main"), "{error}");
    assert_eq!(read(&before, "base/web.yaml"), "kind: Service\n", "what was read before stays readable");
    git(&origin.bare(), &["update-ref", "refs/heads/main", first.as_str()]);
    assert_eq!(&revision(&mirror, "main"), first);
}

#[test]
fn a_missing_branch_harms_only_those_who_want_it() {
    let (origin, first) = Origin::with_one_commit();
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    assert!(matches!(fetch(&mirror, "nowhere"), Err(GitError::BranchGone { .. })));
    assert_eq!(revision(&mirror, "main"), first);
    assert!(matches!(mirror.fetch(&["main", "nowhere"], soon()), Err(GitError::BranchGone { .. })));
}

#[test]
fn an_empty_tree_is_not_an_error_and_not_a_missing_branch() {
    let (origin, _) = Origin::with_one_commit();
    git(&origin.work(), &["rm", "--quiet", "-r", "."]);
    let pushed = origin.push("main");
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    let tree = mirror.tree(&revision(&mirror, "main")).unwrap();
    assert_eq!(tree.revision(), &pushed);
    assert!(tree.is_empty().unwrap());
    assert_eq!(tree.entry(&path("environments/dev")).unwrap(), None);
}

#[test]
fn an_empty_repository_has_no_branch() {
    let origin = Origin::new();
    let cache = Cache::new();
    assert!(matches!(fetch(&cache.mirror(&origin.url()), "main"), Err(GitError::BranchGone { .. })));
}

#[test]
fn a_remote_that_is_not_there_is_named_without_its_userinfo() {
    let cache = Cache::new();
    let error = fetch(&cache.mirror("file:///nowhere/infra.git"), "main").unwrap_err();
    assert!(matches!(error, GitError::NoRepository { .. }), "{}", chain(&error));
    let error = fetch(&cache.mirror("http://bot:s3cret@127.0.0.1:1/x.git"), "main").unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{}", chain(&error));
    assert!(!chain(&error).contains("s3cret") && !format!("{error:?}").contains("s3cret"));
}

#[test]
fn names_that_no_branch_can_have_are_refused() {
    let (origin, _) = Origin::with_one_commit();
    let cache = Cache::new();
    for name in ["", "a b", "a..b", "-x", "a:b", "+a", "a*", "x.lock", "/a"] {
        let error = fetch(&cache.mirror(&origin.url()), name).unwrap_err();
        assert!(matches!(error, GitError::BadBranch { .. }) || name == "+a", "{name:?}: {error}");
    }
}

#[test]
fn a_remote_with_20000_refs_is_polled_at_the_price_of_one() {
    let (origin, first) = Origin::with_one_commit();
    let packed: String = (0..20_000).map(|n| format!("{first} refs/pull/{n}/head\n")).collect();
    std::fs::write(
        origin.bare().join("packed-refs"),
        format!("# pack-refs with: peeled fully-peeled sorted \n{packed}"),
    )
    .unwrap();
    git(&origin.bare(), &["pack-refs", "--all"]);
    let cache = Cache::new();
    let mirror = cache.mirror(&origin.url());
    assert_eq!(revision(&mirror, "main"), first);
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "ten polls took {:?}", start.elapsed());
    // libgit2 has no protocol v2, so over http the server lists them all; they must not cost more than their bytes.
    let web = Web::start(origin.folder.path(), Manners::default());
    let mirror = cache.mirror(&web.url());
    assert_eq!(revision(&mirror, "main"), first);
    web.reset();
    assert_eq!(fetch(&mirror, "main").unwrap().news, News::Unchanged);
    assert!(web.sent() < 2_000_000, "a poll took {} bytes", web.sent());
    assert_eq!(git(&cache.generations()[0], &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
}

#[test]
fn a_deadline_that_has_passed_is_a_timeout() {
    let (origin, _) = Origin::with_one_commit();
    let cache = Cache::new();
    let error = cache.mirror(&origin.url()).fetch(&["main"], Instant::now()).unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error}");
}
