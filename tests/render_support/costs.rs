//! What a tree costs is bounded, whatever its files say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fairlead::object::{MemoryTree, TreePath};
use fairlead::render::{Limits, build};

/// A clock that moves on by a millisecond whenever it is looked at.
fn ticking() -> Duration {
    static TICKS: AtomicU64 = AtomicU64::new(0);
    Duration::from_millis(TICKS.fetch_add(1, Ordering::Relaxed))
}

/// Components that name the next one twice: 2^39 readings of a few lines, and not one object too many.
fn doubling(depth: usize) -> MemoryTree {
    let twice = |next: usize| format!("components: [../c{next}, ../c{next}]\n");
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
    let mut files = vec![("c0/kustomization.yaml".to_owned(), twice(1))];
    files.extend(
        (1..depth).map(|n| (format!("c{n}/kustomization.yaml"), format!("{component}{}", twice(n + 1)))),
    );
    files.push((format!("c{depth}/kustomization.yaml"), format!("{component}commonAnnotations: {{a: b}}\n")));
    MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text))).expect("paths are paths")
}

#[test]
fn a_render_that_takes_too_long_is_ended_and_says_so_once() {
    let folder = TreePath::new("c0").expect("a path");
    let limits = Limits { time: Duration::from_secs(2), clock: ticking, ..Limits::default() };
    let problems = build(&doubling(40), &folder, &limits).expect_err("it is ended");
    let text = problems.to_string();
    assert!(text.contains("rendering this took longer than 2 s"), "{text}");
    assert!(text.contains("/kustomization.yaml:"), "{text}");
    assert_eq!(problems.into_vec().len(), 1, "{text}");
}

#[test]
fn a_plain_folder_that_takes_too_long_is_ended_and_says_so_once() {
    let files: Vec<(String, String)> = (0..500)
        .map(|n| {
            (format!("{n}.yaml"), format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{n}}}}}"))
        })
        .collect();
    let tree =
        MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text))).expect("paths are paths");
    let limits = Limits { time: Duration::from_millis(100), clock: ticking, ..Limits::default() };
    let problems = build(&tree, &TreePath::root(), &limits).expect_err("it is ended").into_vec();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].to_string().contains(".yaml: rendering this took longer than 0.1 s"), "{problems:?}");
    let patient = Limits { time: Duration::from_secs(10), ..limits };
    assert_eq!(build(&tree, &TreePath::root(), &patient).expect("it renders").0.len(), 500);
}
