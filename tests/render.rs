//! Overlays against kustomize, the judge: every tree under `tests/render/` renders to what it rendered, or is refused
//! where it refused. With `FAIRLEAD_KUSTOMIZE` naming the binary, it is asked again, and random trees are tried.

#[path = "render_support/mod.rs"]
mod support;

use std::path::Path;

use fairlead::object::TreePath;
use fairlead::render::{Limits, build};
use support::{Verdict, case_folders, compare, expected, judge, memory_tree};

fn ours(root: &Path, folder: &str) -> Verdict {
    let tree = memory_tree(root);
    let folder = TreePath::new(folder).expect("a case's folder is a path");
    match build(&tree, &folder, &Limits::default()) {
        Ok((objects, _)) => Verdict::Objects(objects.into_iter().map(|object| object.value().clone()).collect()),
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
    assert!(failures.is_empty(), "{} of {} cases differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn the_judge_still_says_what_is_checked_in() {
    let Ok(kustomize) = std::env::var("FAIRLEAD_KUSTOMIZE") else { return };
    let mut failures = Vec::new();
    for case in case_folders().iter().filter(|case| !case.is_our_choice) {
        let verdict = judge(&kustomize, &case.tree, &case.folder);
        if let Err(difference) = compare(&verdict, &expected(case)) {
            failures.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
