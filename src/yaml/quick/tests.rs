//! What the short way reads, the whole parser reads in the same way: values, ways of writing, places.

#![allow(clippy::disallowed_methods, reason = "these tests read the cases of other tests from disk")]

use std::fs;
use std::path::Path;

use super::super::read::ways;
use super::super::{Dialect, Limits, Node};

const DIALECTS: [Dialect; 3] = [Dialect::Kustomize, Dialect::Kubectl, Dialect::Config];

/// Whether the short way was taken; fails where it led elsewhere.
fn agrees(text: &str) -> bool {
    DIALECTS.map(|dialect| agrees_in(text, dialect)).contains(&true)
}

fn agrees_in(text: &str, dialect: Dialect) -> bool {
    let (quick, whole) = ways(text, dialect, &Limits::default());
    let Some(quick) = quick else { return false };
    let whole = whole.unwrap_or_else(|problem| panic!("{text:?} is refused: {problem}, not {quick:#?}"));
    let alike = quick.len() == whole.len()
        && quick.iter().zip(&whole).all(|(one, other)| same(&one.0, &other.0) && one.1 == other.1);
    assert!(alike, "{dialect:?}: {text}\n{quick:#?}\n{whole:#?}");
    true
}

/// Equality of nodes does not ask for quotes; this does.
fn same(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::List(one), Node::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Node::Map(one), Node::Map(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && same(one.1, other.1))
        }
        (Node::Text(one), Node::Text(other)) => one.value == other.value && one.quoted == other.quoted,
        (one, other) => one == other,
    }
}

fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of cases").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(text);
        }
    }
}

#[test]
fn on_every_file_of_our_own_cases_both_ways_agree_and_most_go_the_short_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["tests/render", "tests/yaml", "base", "overlays", "environments"] {
        files(&root.join(folder), &mut texts);
    }
    let short = texts.iter().filter(|text| agrees(text)).count();
    assert!(texts.len() > 500, "{} files", texts.len());
    assert!(short * 10 > texts.len() * 7, "{short} of {} files go the short way", texts.len());
}

#[test]
fn on_random_pieces_of_yaml_both_ways_agree() {
    const PIECES: [&str; 56] = [
        "a",
        "b: ",
        "c:\n",
        "key: value\n",
        "- ",
        "-",
        "\n",
        "\n",
        "\n",
        " ",
        "  ",
        "    ",
        "# no\n",
        " # c",
        "'q'",
        "\"d\"",
        "'it''s'",
        "\"\\n\\\"\"",
        "\"\\\\\"",
        "|\n",
        "|-\n",
        "  text\n",
        ">",
        "[",
        "]",
        "{",
        "}",
        ",",
        ", ",
        ":",
        ": ",
        "1",
        "012",
        "yes",
        "~",
        "null",
        "1.50",
        "2020-01-01",
        "---\n",
        "--- ",
        "...\n",
        "\t",
        "é",
        "\u{2028}",
        "&a ",
        "*a",
        "!t ",
        "?",
        "<<: ",
        "x y",
        "http://a:80/b#c",
        "--flag",
        "-x",
        "\"k\":1",
        "{\"a\": [1, true, null]}",
        "  - name: n\n    v: 1\n",
    ];
    let count = std::env::var("FAIRLEAD_TEXTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut short = 0;
    for _ in 0..count {
        let pieces = rng.usize(1..14);
        let text: String = (0..pieces).map(|_| PIECES[rng.usize(..PIECES.len())]).collect();
        short += usize::from(agrees_in(&text, DIALECTS[pieces % 3]));
    }
    assert!(short * 20 > count, "{short} of {count} texts go the short way");
}

/// Texts that are nearly right are where two readers part: whole manifests with one thing changed.
#[test]
fn on_manifests_with_one_thing_changed_both_ways_agree() {
    const MANIFEST: &str = "# head\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web # why\n  labels: {app: web, \"n\": '1'}\n\
        \x20 annotations:\nspec:\n  replicas: 2\n  template:\n    spec:\n      containers:\n      - name: web\n        image: \"a/b:1.0\"\n\
        \x20       args: [\"--port\", '8080', --verbose, -x]\n        command:\n          - sh\n          - -c\n          - |\n            one\n\n\
        \x20             two\n            three\n\n        env:\n        - {name: A, value: \"x: y\"}\n        -\n          name: B\n          value: it's\n\
        \x20     - name: two\n        ports: []\n---\n{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"a\":\"b\\nc\",\"n\":[1,{\"x\":null}]}}\n---\na: |-\n  x\n\n\nb:\n";
    const CHANGES: [&str; 22] = [
        "", " ", "  ", "\n", "\n\n", "\t", "#", " #", ":", ": ", "-", "- ", "'", "\"", "|", "[", "]", "{",
        "}", ",", "é", "\n---\n",
    ];
    assert!(agrees(MANIFEST), "this one goes the short way");
    let mut short = 0;
    for at in 0..=MANIFEST.len() {
        for change in CHANGES {
            for cut in [0, 1] {
                let Some(rest) = MANIFEST.get(at + cut..) else { continue };
                let text = format!("{}{change}{rest}", &MANIFEST[..at]);
                short += usize::from(agrees_in(&text, DIALECTS[at % 3]));
            }
        }
    }
    assert!(short > 5_000, "{short} go the short way");
}
