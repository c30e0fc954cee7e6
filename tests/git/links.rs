//! Random folders full of links, with the kernel as judge of where each path leads.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fairlead::git::{FolderTree, Local};
use fairlead::object::{EntryKind, Tree, TreeError};
use proptest::prelude::*;

use crate::bed::*;

/// Where a link lies, and its text.
fn links() -> impl Strategy<Value = Vec<(String, String)>> {
    let part = prop::sample::select(vec!["a", "b", "c", "..", "f", "l0", "l1", "l2", "l3"]);
    let text = (prop::bool::weighted(0.05), prop::collection::vec(part, 1..5))
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")));
    let folder = prop::sample::select(vec!["", "a/", "a/b/", "c/"]);
    prop::collection::vec((folder, text), 1..5).prop_map(|links| {
        links.into_iter().enumerate().map(|(n, (folder, text))| (format!("{folder}l{n}"), text)).collect()
    })
}

/// All paths of up to three parts that a test can ask for.
fn questions() -> Vec<String> {
    let parts = ["a", "b", "c", "f", "l0", "l1", "l2", "l3"];
    let mut all: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
    for first in parts {
        for second in parts {
            all.push(format!("{first}/{second}"));
            all.extend(parts.iter().map(|third| format!("{first}/{second}/{third}")));
        }
    }
    all
}

/// What the kernel says: the real place, if there is one and it lies inside.
fn real(root: &Path, question: &str) -> Option<PathBuf> {
    let place = root.join(question).canonicalize().ok()?;
    place.starts_with(root).then_some(place)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_path_leads_elsewhere_than_the_kernel_says(links in links()) {
        let origin = Origin::new();
        for folder in ["", "a/", "a/b/", "c/"] {
            origin.write(&format!("{folder}f"), &format!("{folder}f"));
        }
        // What lies outside must never be read, though the kernel would.
        std::fs::write(origin.folder.path().join("f"), "outside").unwrap();
        for (at, text) in &links {
            symlink(text, origin.work().join(at)).unwrap();
        }
        origin.push("main");
        let root = origin.work().canonicalize().unwrap();
        let folder = FolderTree::open(&root).unwrap();
        let git = Local::open(&root).unwrap().tree(None).unwrap();
        for question in questions() {
            let expected = real(&root, &question);
            let seen = folder.entry(&path(&question)).map(|entry| entry.map(|entry| entry.kind));
            prop_assert_eq!(&git.entry(&path(&question)).map(|entry| entry.map(|entry| entry.kind)), &seen);
            match seen {
                Ok(Some(EntryKind::File)) => {
                    let expected = expected.and_then(|place| std::fs::read_to_string(place).ok());
                    prop_assert_eq!(Some(read(&folder, &question)), expected.clone(), "{}", question);
                    prop_assert_eq!(Some(read(&git, &question)), expected);
                }
                Ok(Some(EntryKind::Folder)) => prop_assert!(expected.is_some_and(|place| place.is_dir()), "{}", question),
                // Refused: the kernel may go further, through links in a circle or out of the tree and back.
                Ok(Some(EntryKind::BadLink)) | Err(TreeError::BadLink { .. }) => {}
                Ok(None) => prop_assert_eq!(expected, None, "{}", question),
                other => prop_assert!(false, "{}: {:?}", question, other),
            }
        }
    }
}
