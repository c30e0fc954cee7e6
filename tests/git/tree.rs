//! Links, submodules, odd names and sizes: the same rules for git's object store and for a folder on disk.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use fairlead::git::{FolderTree, GitError, GitTree, Local};
use fairlead::object::{Digest, EntryKind, Tree, TreeError};

use crate::bed::*;

/// The working copy of an origin, as a folder and as the commit of it.
fn both(origin: &Origin) -> [(&'static str, Box<dyn Tree>); 2] {
    origin.push("main");
    let folder = FolderTree::open(&origin.work()).unwrap();
    [("git", Box::new(committed(origin))), ("folder", Box::new(folder))]
}

fn committed(origin: &Origin) -> GitTree {
    Local::open(&origin.work()).unwrap().tree(None).unwrap()
}

fn link(origin: &Origin, at: &str, to: &str) {
    let place = origin.work().join(at);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    symlink(to, place).unwrap();
}

fn kind(tree: &dyn Tree, at: &str) -> EntryKind {
    tree.entry(&path(at)).unwrap().unwrap_or_else(|| panic!("nothing at {at}")).kind
}

#[test]
fn files_and_folders_are_listed_by_name() {
    let origin = Origin::new();
    for file in ["a/x", "a.b", "a-b", "b/c/d"] {
        origin.write(file, file);
    }
    for (which, tree) in both(&origin) {
        let names: Vec<String> = tree.list(&path("")).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "a-b", "a.b", "b"], "{which}");
        assert_eq!(read(&*tree, "b/c/d"), "b/c/d");
        assert_eq!(kind(&*tree, "b/c"), EntryKind::Folder);
        assert_eq!(tree.entry(&path("b/none")).unwrap(), None);
        assert_eq!(tree.entry(&path("a.b/none")).unwrap(), None, "{which}: below a file is nothing");
        assert!(matches!(tree.read(&path("b"), 9), Err(TreeError::NotAFile { .. })));
        assert!(matches!(tree.list(&path("a.b")), Err(TreeError::NotAFolder { .. })));
        assert!(matches!(tree.list(&path("none")), Err(TreeError::Missing { .. })));
    }
}

#[test]
fn links_inside_the_tree_are_followed() {
    let origin = Origin::new();
    origin.write("base/web/a.yaml", "a");
    link(&origin, "overlays/dev/a.yaml", "../../base/web/a.yaml");
    link(&origin, "overlays/dev/web", "../../base/web");
    link(&origin, "overlays/dev/chain", "web");
    link(&origin, "overlays/up", "dev/web/../web/a.yaml");
    for (which, tree) in both(&origin) {
        for file in
            ["overlays/dev/a.yaml", "overlays/dev/web/a.yaml", "overlays/dev/chain/a.yaml", "overlays/up"]
        {
            assert_eq!(read(&*tree, file), "a", "{which}: {file}");
            assert_eq!(
                tree.entry(&path(file)).unwrap().unwrap().id,
                tree.entry(&path("base/web/a.yaml")).unwrap().unwrap().id
            );
        }
        let kinds: Vec<EntryKind> =
            tree.list(&path("overlays/dev")).unwrap().into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [EntryKind::File, EntryKind::Folder, EntryKind::Folder], "{which}");
        assert_eq!(tree.list(&path("overlays/dev/chain")).unwrap()[0].name, "a.yaml");
    }
}

#[test]
fn links_that_leave_the_tree_or_lead_nowhere_are_bad() {
    let origin = Origin::new();
    origin.write("d/file", "x");
    std::fs::write(origin.folder.path().join("secret"), "outside").unwrap();
    for (name, target) in [
        ("out", "../../secret"),
        ("absolute", "/etc/passwd"),
        ("self", "self"),
        ("there", "back"),
        ("back", "there"),
        ("dangling", "none"),
        ("through", "file/none"),
        ("root", ".."),
        ("here", "."),
        ("sneaky", "../d/../../../secret"),
        ("climb", "../../work/d/file"),
    ] {
        link(&origin, &format!("d/{name}"), target);
    }
    for (which, tree) in both(&origin) {
        for entry in tree.list(&path("d")).unwrap() {
            let expected = if entry.name == "file" { EntryKind::File } else { EntryKind::BadLink };
            assert_eq!(entry.kind, expected, "{which}: {}", entry.name);
            assert_eq!(kind(&*tree, &format!("d/{}", entry.name)), expected);
        }
        for bad in ["d/out", "d/absolute", "d/self", "d/there", "d/dangling", "d/self/x", "d/root/d/file"] {
            assert!(matches!(tree.read(&path(bad), 99), Err(TreeError::BadLink { .. })), "{which}: {bad}");
        }
        assert!(matches!(tree.list(&path("d/root")), Err(TreeError::BadLink { .. })));
    }
}

#[test]
fn folders_that_link_to_each_other_have_an_end() {
    let origin = Origin::new();
    origin.write("a/x", "x");
    origin.write("b/y", "y");
    link(&origin, "a/b", "../b");
    link(&origin, "b/a", "../a");
    for (which, tree) in both(&origin) {
        assert_eq!(read(&*tree, "a/b/y"), "y");
        assert_eq!(kind(&*tree, "a/b/a"), EntryKind::BadLink, "{which}");
        let inner = tree.list(&path("a/b")).unwrap();
        assert_eq!(inner[0].kind, EntryKind::BadLink, "{which}: a listing says the same");
    }
}

#[test]
fn long_chains_of_links_are_not_followed() {
    let origin = Origin::new();
    origin.write("l0", "x");
    for n in 1..=20 {
        link(&origin, &format!("l{n}"), &format!("l{}", n - 1));
    }
    for (_, tree) in both(&origin) {
        assert_eq!(kind(&*tree, "l8"), EntryKind::File);
        assert_eq!(kind(&*tree, "l20"), EntryKind::BadLink);
    }
}

#[test]
fn a_submodule_is_seen_and_never_read() {
    let origin = Origin::new();
    origin.write("a", "x");
    let commit = origin.push("main");
    git(&origin.work(), &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},charts/sub")]);
    git(&origin.work(), &["commit", "--quiet", "--message", "Add a submodule"]);
    let tree = committed(&origin);
    assert_eq!(kind(&tree, "charts/sub"), EntryKind::Submodule);
    assert_eq!(tree.list(&path("charts")).unwrap()[0].kind, EntryKind::Submodule);
    assert!(matches!(tree.list(&path("charts/sub")), Err(TreeError::Submodule { .. })));
    assert!(matches!(tree.read(&path("charts/sub"), 9), Err(TreeError::Submodule { .. })));
    assert!(matches!(tree.read(&path("charts/sub/x"), 9), Err(TreeError::Submodule { .. })));
}

#[test]
fn a_name_that_is_not_utf8_is_said_and_harms_only_itself() {
    let origin = Origin::new();
    origin.write("d/good", "x");
    std::fs::write(origin.work().join("d").join(OsStr::from_bytes(b"b\xffd")), "x").unwrap();
    for (which, tree) in both(&origin) {
        let entries = tree.list(&path("d")).unwrap();
        let bad = entries.iter().find(|entry| entry.kind == EntryKind::BadName).unwrap();
        assert_eq!(bad.name, "b\u{fffd}d", "{which}");
        assert_eq!(entries.len(), 2);
        assert!(matches!(tree.read(&path("d/b\u{fffd}d"), 9), Err(TreeError::BadName { .. })));
        assert_eq!(read(&*tree, "d/good"), "x");
    }
}

/// Git refuses to make such names; a hostile server does not.
#[test]
fn names_that_git_forbids_are_bad_names() {
    let origin = Origin::new();
    origin.write("a", "x");
    origin.push("main");
    let blob = git(&origin.work(), &["rev-parse", "HEAD:a"]);
    let id: Vec<u8> =
        (0..40).step_by(2).map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()).collect();
    let mut content = Vec::new();
    for name in ["..", ".git", "a/../../b"] {
        content.extend_from_slice(format!("100644 {name}\0").as_bytes());
        content.extend_from_slice(&id);
    }
    std::fs::write(origin.folder.path().join("raw"), content).unwrap();
    let tree = git(&origin.work(), &["hash-object", "-t", "tree", "--literally", "-w", "../raw"]);
    let commit = git(&origin.work(), &["commit-tree", &tree, "-m", "hostile"]);
    let tree = Local::open(&origin.work()).unwrap().tree(Some(&commit)).unwrap();
    let entries = tree.list(&path("")).unwrap();
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| entry.kind == EntryKind::BadName), "{entries:?}");
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let origin = Origin::new();
    origin.write("big", &"x".repeat(1000));
    for (which, tree) in both(&origin) {
        assert_eq!(tree.read(&path("big"), 1000).unwrap().bytes.len(), 1000);
        match tree.read(&path("big"), 999) {
            Err(TreeError::TooLarge { size: 1000, limit: 999, .. }) => {}
            other => panic!("{which}: {other:?}"),
        }
    }
}

#[test]
fn ids_change_with_content_and_with_nothing_else() {
    let origin = Origin::new();
    origin.write("a/x", "1");
    origin.write("b/y", "1");
    let before = both(&origin);
    origin.write("b/y", "2");
    let after = both(&origin);
    for ((which, before), (_, after)) in before.iter().zip(&after) {
        let id = |tree: &dyn Tree, at: &str| tree.entry(&path(at)).unwrap().unwrap().id;
        // The folder of `before` computes its ids now, from what is on disk now; only git keeps the past.
        if *which == "git" {
            assert_ne!(id(&**before, "b"), id(&**after, "b"));
            assert_ne!(id(&**before, "b/y"), id(&**after, "b/y"));
        }
        assert_eq!(id(&**before, "a"), id(&**after, "a"), "{which}");
    }
}

#[test]
fn the_id_of_a_folder_follows_what_its_links_lead_to() {
    let origin = Origin::new();
    origin.write("base/x", "1");
    link(&origin, "overlay/deep/x", "../../base/x");
    origin.push("main");
    let before = committed(&origin);
    origin.write("base/x", "2");
    origin.push("main");
    let after = committed(&origin);
    for at in ["overlay", "overlay/deep", "overlay/deep/x"] {
        let id = |tree: &GitTree| tree.entry(&path(at)).unwrap().unwrap().id;
        assert_ne!(id(&before), id(&after), "{at}");
    }
}

#[test]
fn what_differs_in_a_folder_is_told_by_name() {
    let origin = Origin::new();
    for (file, text) in [("a/same", "1"), ("a/other", "1"), ("a/gone", "1"), ("a/below/x", "1"), ("a/m", "1")]
    {
        origin.write(file, text);
    }
    origin.push("main");
    let before = committed(&origin);
    let id = |tree: &GitTree| tree.entry(&path("a")).unwrap().unwrap().id;
    let told = |now: &GitTree| now.differences(&path("a"), &id(&before)).unwrap();
    assert_eq!(told(&before), Some(Vec::new()));
    for (file, text) in [("a/other", "2"), ("a/below/x", "2"), ("a/came", "1"), ("b/y", "1")] {
        origin.write(file, text);
    }
    std::fs::remove_file(origin.work().join("a/gone")).unwrap();
    std::fs::remove_file(origin.work().join("a/m")).unwrap();
    origin.write("a/m/is a folder now", "1");
    origin.push("main");
    let names = |told: Option<Vec<Box<str>>>| told.unwrap().join(" ");
    assert_eq!(names(told(&committed(&origin))), "below came gone m other");
    // A link may lead to another content without being another, so each has to be looked at.
    link(&origin, "a/below/link", "../../b/y");
    origin.push("main");
    let linked = committed(&origin);
    assert_eq!(told(&linked), None);
    assert_eq!(before.differences(&path("a"), &id(&linked)).unwrap(), None);
    // Of what was never there nothing is known; of what is no folder neither.
    assert_eq!(before.differences(&path("a"), &Digest::of_hex(&[7; 20])).unwrap(), None);
    assert_eq!(before.differences(&path("a/same"), &id(&before)).unwrap(), None);
}

#[test]
fn the_folder_named_git_is_left_out() {
    let origin = Origin::new();
    origin.write("a", "x");
    let tree = FolderTree::open(&origin.work()).unwrap();
    assert_eq!(tree.list(&path("")).unwrap().len(), 1);
    assert_eq!(tree.entry(&path(".git/config")).unwrap(), None);
}

#[test]
fn many_threads_read_one_tree() {
    let origin = Origin::new();
    for n in 0..50 {
        origin.write(&format!("d{n}/f"), &n.to_string());
    }
    origin.push("main");
    let tree = committed(&origin);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|n| assert_eq!(read(&tree, &format!("d{n}/f")), n.to_string())));
        }
    });
}

#[test]
fn a_revision_is_named_as_git_names_it() {
    let (origin, first) = Origin::with_one_commit();
    origin.write("new", "x");
    let second = origin.push("main");
    let local = Local::open(&origin.work().join("base")).unwrap();
    assert_eq!(local.root().canonicalize().unwrap(), origin.work().canonicalize().unwrap());
    for (rev, expected) in
        [(None, &second), (Some("HEAD~1"), &first), (Some(first.short()), &first), (Some("main"), &second)]
    {
        assert_eq!(&local.revision(rev).unwrap(), expected);
    }
    assert_eq!(local.tree(Some("HEAD~1")).unwrap().entry(&path("new")).unwrap(), None);
    for bad in ["nowhere", "HEAD:base", "--all", ""] {
        assert!(matches!(local.tree(Some(bad)), Err(GitError::BadRevision { .. })), "{bad:?}");
    }
    assert!(matches!(Local::open(std::path::Path::new("/")), Err(GitError::NotARepository { .. })));
}

#[test]
fn a_linked_worktree_is_a_repository_too() {
    let (origin, first) = Origin::with_one_commit();
    git(&origin.work(), &["worktree", "add", "--quiet", "--detach", "../linked"]);
    let linked = origin.folder.path().join("linked");
    let local = Local::open(&linked).unwrap();
    assert_eq!(local.root().canonicalize().unwrap(), linked.canonicalize().unwrap());
    assert_eq!(local.revision(None).unwrap(), first);
    assert_eq!(read(&local.tree(None).unwrap(), "base/web.yaml"), "kind: Service\n");
}
