//! Overlays against kustomize, the judge: every tree under `tests/render/` renders to what it rendered, or is refused
//! where it refused. `FAIRLEAD_KUSTOMIZE` names the binary: it is asked again, and random trees are tried.

#![allow(clippy::disallowed_methods, reason = "these tests read cases from disk and ask the judge")]

#[path = "render_support/costs.rs"]
mod costs;
#[path = "render_support/explained.rs"]
mod explained;
#[path = "render_support/merge.rs"]
mod merge;
#[path = "render_support/mod.rs"]
mod support;
#[path = "tools/mod.rs"]
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fairlead::git::FolderTree;
use fairlead::object::{Manifest, MemoryTree, TreePath};
use fairlead::render::{Cache, Limits, again, build, build_keeping};
use support::{Verdict, case_folders, compare, expected, judge, memory_tree};
use tools::tool;

fn ours(root: &Path, folder: &str) -> Verdict {
    let tree = memory_tree(root);
    let folder = TreePath::new(folder).expect("a case's folder is a path");
    match build(&tree, &folder, &Limits::default()) {
        Ok((objects, _)) => Verdict::Objects(objects.into_iter().map(|object| object.value()).collect()),
        Err(problems) => Verdict::Refused(problems.to_string()),
    }
}

#[test]
fn every_case_renders_as_the_judge_did() {
    let mut failures = Vec::new();
    let cases = case_folders();
    assert!(!cases.is_empty(), "there are no cases under tests/render");
    for case in &cases {
        if let Err(difference) = compare(&ours(&case.tree, &case.folder), &expected(case)) {
            failures.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[test]
fn the_judge_still_says_what_is_checked_in() {
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    let mut failures = Vec::new();
    for case in case_folders().iter().filter(|case| !case.is_our_choice) {
        let verdict = judge(&kustomize, &case.tree, &case.folder);
        if let Err(difference) = compare(&verdict, &expected(case)) {
            failures.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Random trees until `FAIRLEAD_TREES` of them (300 unless told) were tried. A failure names its seed.
#[test]
fn random_trees_render_as_the_judge_says() {
    try_trees(300, |rng| support::random::Tree::new(rng).files);
}

/// The same with trees of most kinds, layers that meet again and all fields, in many styles.
#[test]
fn wide_trees_render_as_the_judge_says() {
    try_trees(150, support::wide::files);
}

fn try_trees(trees: u64, plant: impl Fn(&mut fastrand::Rng) -> BTreeMap<String, String>) {
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (first, count) = (number("FAIRLEAD_SEED", 1), number("FAIRLEAD_TREES", trees));
    let (mut agree, mut refuse, mut chosen, mut failures) = (0, 0, 0, Vec::new());
    for seed in first..first + count {
        let mut rng = fastrand::Rng::with_seed(seed);
        let files = plant(&mut rng);
        let root = tempfile::tempdir().expect("a scratch folder");
        for (path, text) in &files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
                .expect("a folder is made");
            std::fs::write(path, text).expect("a file is written");
        }
        if let Ok(folder) = std::env::var("FAIRLEAD_DUMP") {
            let copied = std::process::Command::new("cp")
                .arg("-r")
                .arg(root.path())
                .arg(format!("{folder}/{seed}"))
                .status();
            assert!(copied.is_ok_and(|status| status.success()), "the tree of seed {seed} could not be kept");
        }
        let (mine, theirs) = (ours(root.path(), "overlay"), judge(&kustomize, root.path(), "overlay"));
        match compare(&mine, &theirs) {
            Ok(()) if matches!(theirs, Verdict::Objects(_)) => agree += 1,
            Ok(()) => {
                refuse += 1;
                if let (Ok(_), Verdict::Refused(why)) = (std::env::var("FAIRLEAD_WHY"), &theirs) {
                    println!("seed {seed} is refused: {}", why.trim());
                }
            }
            Err(difference) if is_chosen(&mine, &theirs) => {
                chosen += 1;
                if std::env::var("FAIRLEAD_WHY").is_ok() {
                    println!("seed {seed} differs by our choice: {difference}");
                }
            }
            Err(difference) => failures.push(format!("seed {seed}: {difference}")),
        }
    }
    println!(
        "{agree} agree, {refuse} are refused by both, {chosen} by our choice only, {} differ",
        failures.len()
    );
    let shown: Vec<&str> = failures.iter().map(String::as_str).take(40).collect();
    assert!(failures.is_empty(), "{} of {count} trees differ:\n{}", failures.len(), shown.join("\n"));
}

/// Every folder with a kustomization below `FAIRLEAD_FOLDERS` (colons between roots), for trees that others wrote.
#[test]
#[ignore = "FAIRLEAD_FOLDERS names trees that others wrote, and none come with the sources"]
fn folders_that_others_wrote_render_as_the_judge_says() {
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    let roots = std::env::var("FAIRLEAD_FOLDERS").expect("FAIRLEAD_FOLDERS names folders");
    let (mut agree, mut refuse, mut chosen, mut failures) = (0, 0, 0, Vec::new());
    for root in roots.split(':').map(Path::new) {
        let tree = FolderTree::open(root).expect("the root is a folder");
        for folder in support::kustomizations(root) {
            let path = TreePath::new(&folder).expect("a folder's path is one");
            let mine = match build(&tree, &path, &Limits::default()) {
                Ok((objects, _)) => {
                    Verdict::Objects(objects.into_iter().map(|object| object.value()).collect())
                }
                Err(problems) => Verdict::Refused(problems.to_string()),
            };
            let theirs = judge(&kustomize, root, &folder);
            match compare(&mine, &theirs) {
                Ok(()) if matches!(theirs, Verdict::Objects(_)) => agree += 1,
                Ok(()) => refuse += 1,
                Err(_) if is_chosen(&mine, &theirs) => chosen += 1,
                Err(difference) => failures.push(format!("{}/{folder}: {difference}", root.display())),
            }
        }
    }
    println!(
        "{agree} agree, {refuse} are refused by both, {chosen} by our choice only, {} differ",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A render after a small change gives what a whole one does, or leaves it to that.
#[test]
fn after_a_change_of_one_line_the_short_way_ends_where_the_whole_one_does() {
    let limits = Limits::default();
    let folder = TreePath::new("overlay").expect("a path");
    let (mut short, mut whole) = (0, 0);
    for seed in 1..=2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let files: BTreeMap<String, String> = match seed % 4 {
            0 => support::wide::files(&mut rng),
            _ => support::random::Tree::new(&mut rng).files,
        };
        let tree = |files: &BTreeMap<String, String>| {
            MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text))).expect("paths are paths")
        };
        let Ok((before, _, kept)) = build_keeping(&tree(&files), &folder, &limits, &Cache::none()) else {
            continue;
        };
        for path in files.keys() {
            let changed = change_a_line(&files[path], &mut rng);
            let mut files = files.clone();
            files.insert(path.clone(), changed);
            let tree = tree(&files);
            let path = TreePath::new(path).expect("a path");
            let Some(again) = again(&tree, &kept, &BTreeSet::from([path.clone()]), &limits) else {
                whole += 1;
                continue;
            };
            short += 1;
            let mut now: Vec<Manifest> = before.clone();
            for (at, manifest) in again {
                now[at] = manifest;
            }
            let wanted = match build(&tree, &folder, &limits) {
                Ok((wanted, _)) => wanted,
                Err(problems) => panic!("seed {seed}, {path}: refused by the whole render: {problems}"),
            };
            let texts = |manifests: &[Manifest]| -> Vec<String> {
                manifests.iter().map(|manifest| manifest.json().to_owned()).collect()
            };
            assert_eq!(texts(&now), texts(&wanted), "seed {seed}, {path}");
        }
    }
    assert!(short > 500 && whole > 500, "{short} changes went the short way, {whole} the whole");
}

/// Another value, another key, another indentation, or a line less.
fn change_a_line(text: &str, rng: &mut fastrand::Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = rng.usize(..lines.len().max(1));
    let Some(line) = lines.get_mut(at) else { return text.to_owned() };
    match rng.u8(..8) {
        0 => drop(lines.remove(at)),
        1 => line.insert(0, ' '),
        2 => *line = line.replacen(':', "s:", 1),
        3 => line.push_str(" # but why"),
        _ => line.push('7'),
    }
    lines.join("\n") + "\n"
}

/// What `docs/overlays.md` lists: where the judge loses something or leaves its own directives in the output.
fn is_chosen(ours: &Verdict, theirs: &Verdict) -> bool {
    const CHOICES: [&str; 5] = [
        "would be lost",
        "would stay in the object",
        "does nothing on",
        "the source is a",
        "the source does not fit",
    ];
    match (ours, theirs) {
        (Verdict::Refused(why), Verdict::Objects(_)) => CHOICES.iter().any(|choice| why.contains(choice)),
        (_, Verdict::Objects(objects)) => {
            objects.iter().any(|object| object.to_string().contains("\"$patch\""))
        }
        _ => false,
    }
}
