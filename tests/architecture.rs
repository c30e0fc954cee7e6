//! Holds the house to its plan: who may import whom, what a pure room may not do, how large a file may grow.
//!
//! The sources are read as text, so that a forbidden import is found in code that is compiled for tests only, or on
//! another platform. The table below is the one of docs/ARCHITECTURE.md, and a test keeps the two equal.

#![allow(clippy::disallowed_methods, reason = "this test reads the sources")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// Files of more lines are asking to be two rooms.
const MAX_LINES: usize = 600;
/// `main.rs` hands over at once.
const MAX_MAIN_LINES: usize = 40;
/// Names under which anything can be put, and so anything is.
const NO_NAMES: [&str; 6] = ["utils", "util", "misc", "common", "helpers", "helper"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Decides from its arguments: no I/O, no clock, no waiting.
    Pure,
    /// Touches one outside world.
    Effect,
    /// Puts the others together, or stands at the edge.
    Shell,
}
use Kind::{Effect, Pure, Shell};

struct Room {
    name: &'static str,
    kind: Kind,
    may: &'static [&'static str],
}

const fn room(name: &'static str, kind: Kind, may: &'static [&'static str]) -> Room {
    Room { name, kind, may }
}

/// Who may import whom. A room that is not here does not exist; one that is here may come later.
#[rustfmt::skip]
const ROOMS: &[Room] = &[
    room("object",    Pure,   &[]),
    room("yaml",      Pure,   &["object"]),
    room("schema",    Pure,   &["object"]),
    room("api",       Pure,   &["object", "health"]),
    room("policy",    Pure,   &["object", "plan"]),
    room("plan",      Pure,   &["object"]),
    room("health",    Pure,   &["object"]),
    room("rollout",   Pure,   &["object", "plan", "health"]),
    room("ownership", Pure,   &["object"]),
    room("state",     Pure,   &["object", "plan", "rollout"]),
    room("render",    Pure,   &["object", "yaml", "schema", "api"]),
    room("drift",     Pure,   &["object", "plan", "policy", "health", "rollout"]),
    room("secrets",   Pure,   &["object", "plan", "policy", "health", "rollout"]),
    room("region",    Pure,   &["object", "plan", "policy", "health", "rollout"]),
    room("redact",    Pure,   &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "render", "drift", "secrets", "region", "report"]),
    room("report",    Pure,   &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "render", "drift", "secrets", "region", "redact"]),
    room("git",       Effect, &["object"]),
    room("cluster",   Effect, &["object", "schema", "api", "config", "plan", "health", "ownership", "state"]),
    room("helm",      Effect, &["object", "api", "config", "plan", "health"]),
    room("aws",       Effect, &["object", "api", "config", "plan", "health"]),
    room("forge",     Effect, &["object", "api", "config", "plan", "health"]),
    room("history",   Effect, &["object", "api", "config", "plan", "health"]),
    room("agent",     Shell,  &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "render", "drift", "secrets", "region", "redact", "report", "git", "cluster", "helm", "aws",
                                "forge", "history", "http", "config", "metrics", "telemetry"]),
    room("http",      Shell,  &["config", "metrics", "report"]),
    room("cli",       Shell,  &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "render", "drift", "secrets", "region", "redact", "report", "git", "cluster", "helm", "agent",
                                "config", "telemetry"]),
    room("config",    Shell,  &["object"]),
    room("metrics",   Shell,  &["object"]),
    room("telemetry", Shell,  &["object"]),
];

fn find_room(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

#[derive(Debug)]
struct Finding {
    file: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// Everything that is wrong with one file; `path` is relative to the root of the repository.
fn judge(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |line: usize, rule: String| found.push(Finding { file: path.into(), line, rule });
    let lines = text.lines().count();
    let generated = text.lines().next().is_some_and(|first| first.starts_with("// @generated"));
    if lines > MAX_LINES && !generated {
        say(
            MAX_LINES + 1,
            format!("{lines} lines, and a file has at most {MAX_LINES}: it is asking to be two rooms"),
        );
    }
    let segments: Vec<&str> = path.trim_end_matches(".rs").split('/').skip(1).collect();
    for segment in &segments {
        if NO_NAMES.contains(segment) {
            say(1, format!("`{segment}` says nothing about what is in it: name it after what it does"));
        }
    }
    let source = Source::read(&segments, text);
    match segments[..] {
        ["lib"] => {
            for (line, allowed) in source.exempt_modules() {
                if find_room(&allowed).is_some_and(|room| room.kind == Pure) {
                    say(
                        line,
                        format!("{allowed} is a pure room: clocks, files and sockets stay banned there"),
                    );
                }
            }
        }
        ["main"] => {
            if lines >= MAX_MAIN_LINES {
                say(
                    lines,
                    format!(
                        "main.rs hands over at once: it has {lines} lines, and stays under {MAX_MAIN_LINES}"
                    ),
                );
            }
        }
        _ => match find_room(segments[0]) {
            None => say(
                1,
                format!(
                    "`{}` is not in the table of rooms: add it there and to docs/ARCHITECTURE.md",
                    segments[0]
                ),
            ),
            Some(room) => {
                for (line, used) in source.rooms_used() {
                    if used == room.name || room.may.contains(&used.as_str()) {
                        continue;
                    }
                    let rule = match find_room(&used) {
                        Some(_) if room.may.is_empty() => {
                            format!("{} may import no other room, not {used}", room.name)
                        }
                        Some(_) => format!("{} may import {}, not {used}", room.name, room.may.join(", ")),
                        None => format!("{} imports {used}, which is not in the table of rooms", room.name),
                    };
                    say(line, rule);
                }
                if room.kind == Pure {
                    for line in source.waits() {
                        say(
                            line,
                            format!(
                                "{} is a pure room: it has nothing to wait for, so nothing in it is async",
                                room.name
                            ),
                        );
                    }
                    for line in source.exemptions() {
                        say(
                            line,
                            format!("{} is a pure room: only its tests may use a banned method", room.name),
                        );
                    }
                }
            }
        },
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_house_is_built_as_planned() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 50, "only {} files were found; is this the right folder?", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
            judge(path, &fs::read_to_string(file).unwrap())
        })
        .map(|finding| finding.to_string())
        .collect();
    assert!(found.is_empty(), "{} rules are broken:\n{}", found.len(), found.join("\n"));
}

/// A room that imports what imports it cannot be understood, tried or moved without the other.
#[test]
fn no_room_of_effects_imports_another() {
    for room in ROOMS.iter().filter(|room| room.kind == Effect) {
        for other in room.may {
            assert!(find_room(other).unwrap().kind != Effect, "{} may import {other}", room.name);
        }
    }
    for room in ROOMS.iter().filter(|room| room.kind == Pure) {
        for other in room.may {
            assert!(find_room(other).unwrap().kind == Pure, "{} is pure and may import {other}", room.name);
        }
    }
}

#[test]
fn the_page_shows_the_same_table() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let shown: Vec<(Vec<String>, BTreeSet<String>)> = page
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
            let [names, _, may] = cells[..] else { return None };
            Some((words(&format!("`{names}")), words(may).into_iter().collect()))
        })
        .collect();
    let pure: BTreeSet<&str> = ROOMS.iter().filter(|room| room.kind == Pure).map(|room| room.name).collect();
    for room in ROOMS {
        let (_, may) = shown
            .iter()
            .find(|(names, _)| names.iter().any(|name| name == room.name))
            .unwrap_or_else(|| panic!("docs/ARCHITECTURE.md has no row for {}", room.name));
        // `pure` stands for all pure rooms but the one itself.
        let mut said: BTreeSet<&str> = may.iter().map(String::as_str).collect();
        if said.remove("pure") {
            said.extend(pure.iter().filter(|&&name| name != room.name));
        }
        let meant: BTreeSet<&str> = room.may.iter().copied().collect();
        assert_eq!(said, meant, "docs/ARCHITECTURE.md says otherwise about {}", room.name);
    }
}

/// A guarantee is as good as its test; one whose test was renamed or removed has none.
#[test]
fn every_test_that_the_guarantees_name_exists() {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests"), &mut files);
    let code: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    // Names of tests are sentences; what else stands in backquotes there has fewer words.
    let tests: Vec<String> = words(&page)
        .into_iter()
        .filter(|name| name.matches('_').count() > 3 && !name.contains(['/', ':']))
        .collect();
    assert!(tests.len() > 10, "the page names few tests: {tests:?}");
    for name in tests {
        let is_there = code.iter().any(|text| text.contains(&format!("fn {name}(")));
        assert!(is_there, "docs/guarantees.md names the test {name}, and there is none");
    }
}

/// What stands in backquotes.
fn words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).flat_map(|text| text.split(' ').map(str::to_owned)).collect()
}

fn rules(path: &str, text: &str) -> Vec<String> {
    judge(path, text).into_iter().map(|finding| finding.to_string()).collect()
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    for text in [
        "use crate::cluster::Cluster;",
        "use crate::{cluster::Cluster, object::Live};",
        "use crate::{object::{Live, Gvk}, cluster};",
        "use crate :: cluster;",
        "fn f() { crate::cluster::connect() }",
        "type A = Vec<crate::cluster::Call>;",
        "mod inner { use crate::cluster::Call; }",
        "use super::super::cluster::Call;",
        "use super::super::{object::Live, cluster::Call};",
        "mod tests { use super::super::super::cluster::Call; }",
        "macro_rules! m { () => { $crate::cluster::connect() } }",
        "pub use\n    crate::cluster\n    ::Call;",
    ] {
        let found = rules("src/plan/diff.rs", text);
        assert_eq!(found.len(), 1, "{text:?} gave {found:?}");
        assert!(found[0].contains("plan may import object, not cluster"), "{found:?}");
    }
}

#[test]
fn the_line_of_a_finding_is_that_of_the_import() {
    let found = rules(
        "src/health/mod.rs",
        "//! A room.\n\nuse std::fmt;\nuse crate::{\n    object::Live,\n    agent::Agent,\n};\n",
    );
    assert_eq!(found, ["src/health/mod.rs:6: health may import object, not agent"]);
}

#[test]
fn what_is_allowed_is_not_found() {
    for (path, text) in [
        ("src/plan/diff.rs", "use crate::object::Live;\nuse crate::plan::Wanted;\nuse super::Wanted;"),
        (
            "src/plan/diff.rs",
            "// use crate::cluster::Call;\n/* crate::cluster /* nested */ */\n/// [`crate::cluster`]",
        ),
        (
            "src/plan/diff.rs",
            r##"const A: &str = "crate::cluster"; const B: &str = r#"use crate::cluster; " "#;"##,
        ),
        ("src/plan/diff.rs", "fn f<'a>(a: &'a str) -> char { '\"' } use crate::object::Live; // \""),
        ("src/plan/diff.rs", "mod tests { use super::super::wanted::tests::wanted; }"),
        ("src/plan/diff.rs", "pub(in crate::plan) fn f() {} pub(crate) fn g() {}"),
        ("src/agent/mod.rs", "use crate::cluster::Cluster; async fn f() { g().await }"),
        ("src/cluster/mod.rs", "async fn f() {}"),
    ] {
        assert_eq!(rules(path, text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn each_other_rule_can_fail() {
    let long = "\n".repeat(MAX_LINES + 1);
    for (path, text, rule) in [
        ("src/agent/mod.rs", "use crate::cli::Cli;", "agent may import"),
        ("src/object/mod.rs", "use crate::yaml::read;", "may import no other room"),
        ("src/cluster/mod.rs", "use crate::git::Mirror;", "cluster may import"),
        ("src/plan/mod.rs", "use crate::extras::x;", "not in the table of rooms"),
        ("src/extras/mod.rs", "", "not in the table of rooms"),
        ("src/plan/mod.rs", "async fn f() {}", "nothing in it is async"),
        ("src/plan/mod.rs", "fn f() { spawn(async move { 1 }) }", "nothing in it is async"),
        ("src/plan/mod.rs", "#[allow(clippy::disallowed_methods)]\nfn f() {}", "only its tests"),
        ("src/plan/mod.rs", long.as_str(), "601 lines"),
        ("src/plan/utils.rs", "", "says nothing"),
        ("src/helpers/mod.rs", "", "says nothing"),
        ("src/main.rs", &"\n".repeat(MAX_MAIN_LINES), "hands over at once"),
        ("src/lib.rs", "#[allow(clippy::disallowed_methods)]\npub mod plan;", "plan is a pure room"),
    ] {
        let found = rules(path, text);
        assert!(found.iter().any(|found| found.contains(rule)), "{path}: {text:.60?} gave {found:?}");
    }
}

#[test]
fn exceptions_are_taken_where_they_belong() {
    for (path, text) in [
        ("src/lib.rs", "#[allow(clippy::disallowed_methods)]\npub mod cluster;\npub mod plan;"),
        ("src/health/mod.rs", "#[cfg(test)]\n#[allow(clippy::disallowed_methods)]\nmod tests;"),
        ("src/health/tests.rs", "#![allow(clippy::disallowed_methods)]"),
        ("src/schema/data.rs", &format!("// @generated by make/schema.sh\n{}", "\n".repeat(MAX_LINES))),
    ] {
        assert_eq!(rules(path, text), Vec::<String>::new(), "{path}");
    }
}
