//! Holds the house to its plan: who may import whom, that no imports run in circles, what a pure room may not do, how
//! large a file or a type may grow.
//!
//! The sources are read as text, so that a forbidden import is found in code that is compiled for tests only, or on
//! another platform. The table below is the one of docs/ARCHITECTURE.md, and a test keeps the two equal.

#![allow(clippy::disallowed_methods, reason = "this test reads the sources")]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use circles::{File, Graph};
use source::Source;

/// Files of more lines are asking to be two rooms.
const MAX_LINES: usize = 600;
/// Rooms in which whoever reads a story must find it in one file: their files and types stay smaller.
const SMALL_ROOMS: &[&str] = &["agent", "delivery"];
const MAX_SMALL_LINES: usize = 400;
/// A type of more fields holds states that contradict each other.
const MAX_SMALL_FIELDS: usize = 12;
/// Rooms that are being rebuilt: until they leave this list they may have circles, large files and large types.
const PENDING: &[&str] = &[];
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
    room("api",       Pure,   &["object", "health", "region"]),
    room("policy",    Pure,   &["object", "api", "plan", "health"]),
    room("plan",      Pure,   &["object"]),
    room("health",    Pure,   &["object"]),
    room("rollout",   Pure,   &["object", "plan", "health"]),
    room("ownership", Pure,   &["object"]),
    room("state",     Pure,   &["object", "plan", "rollout"]),
    room("delivery",  Pure,   &["object", "plan", "policy", "health", "rollout", "state", "api", "drift"]),
    room("render",    Pure,   &["object", "yaml", "schema", "api"]),
    room("requests",  Pure,   &["object", "api", "delivery", "drift", "region"]),
    room("drift",     Pure,   &["object", "api", "plan", "policy", "health", "rollout"]),
    room("secrets",   Pure,   &["object", "api", "plan", "policy", "health", "rollout", "state"]),
    room("region",    Pure,   &["object"]),
    room("redact",    Pure,   &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "delivery", "requests", "render", "drift", "secrets", "region", "report", "review", "pull_requests", "previews", "write_back"]),
    room("report",    Pure,   &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "delivery", "requests", "render", "drift", "secrets", "region", "redact", "review", "pull_requests", "previews", "write_back"]),
    room("review",    Pure,   &["object", "yaml", "schema", "plan", "policy", "redact", "report"]),
    room("pull_requests", Pure, &["object", "api", "review"]),
    room("previews",  Pure,   &["object", "api"]),
    room("write_back", Pure,  &["object", "yaml", "render"]),
    room("git",       Effect, &["object"]),
    room("cluster",   Effect, &["object", "schema", "api", "config", "plan", "health", "ownership", "state", "region"]),
    room("helm",      Effect, &["object", "api", "config", "plan", "health"]),
    room("aws",       Effect, &["object", "api", "config", "plan", "health", "secrets", "region"]),
    room("forge",     Effect, &["object", "api", "config", "plan", "health", "pull_requests"]),
    room("history",   Effect, &["object", "api", "config", "plan", "health"]),
    room("notify",    Effect, &["object", "api", "config", "plan", "health"]),
    room("agent",     Shell,  &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "delivery", "requests", "render", "drift", "secrets", "region", "redact", "report", "review", "pull_requests", "previews", "write_back", "git", "cluster", "helm", "aws",
                                "forge", "history", "notify", "http", "config", "metrics", "telemetry"]),
    room("http",      Shell,  &["config", "metrics", "report"]),
    room("cli",       Shell,  &["object", "yaml", "schema", "api", "policy", "plan", "health", "rollout", "ownership", "state",
                                "delivery", "requests", "render", "drift", "secrets", "region", "redact", "report", "review", "pull_requests", "previews", "write_back", "git", "cluster", "helm", "history",
                                "agent", "config", "telemetry"]),
    room("config",    Shell,  &["object"]),
    room("metrics",   Shell,  &["object"]),
    room("telemetry", Shell,  &["object"]),
];

/// A circle of imports that is known.
struct Circle {
    room: &'static str,
    /// All files of it, in the order of their names.
    files: &'static [&'static str],
    /// Why it is not broken.
    #[allow(dead_code, reason = "people read it")]
    reason: &'static str,
}

/// No file may join these, and a circle that is broken leaves the list.
#[rustfmt::skip]
const CIRCLES: &[Circle] = &[
    Circle {
        room: "render",
        files: &["again", "build_metadata", "cache", "chart_refusals", "charts", "configurations", "entries", "finish", "folder",
                 "generators", "hash", "helm_charts", "images", "kustomization", "labels", "layer", "load", "names", "namespace",
                 "order", "patches", "plugins", "references", "replacement", "replicas", "resource", "selector", "vars"],
        reason: "a layer runs generators and transformers, a plugin's file is one of them and runs them again, and all are \
                 methods of one Build: to break it, what they are given has to be taken apart from what runs them",
    },
    Circle {
        room: "render",
        files: &["strategic", "strategic_ports"],
        reason: "to merge a list is to merge its items, and these hold lists",
    },
    Circle {
        room: "yaml",
        files: &["map", "node"],
        reason: "a node may be a map, and a map holds nodes",
    },
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
    let segments: Vec<&str> = path.trim_end_matches(".rs").split('/').skip(1).collect();
    let is_small = segments.first().is_some_and(|room| SMALL_ROOMS.contains(room) && !PENDING.contains(room));
    let most = if is_small { MAX_SMALL_LINES } else { MAX_LINES };
    if lines > most && !generated {
        say(most + 1, format!("{lines} lines, and a file has at most {most}: it is asking to be two rooms"));
    }
    for segment in &segments {
        if NO_NAMES.contains(segment) {
            say(1, format!("`{segment}` says nothing about what is in it: name it after what it does"));
        }
    }
    let source = Source::read(&segments, text);
    if is_small {
        for (line, name, fields) in source.fields() {
            if fields > MAX_SMALL_FIELDS {
                say(
                    line,
                    format!("{name} has {fields} fields, and a type has at most {MAX_SMALL_FIELDS} here"),
                );
            }
        }
    }
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

/// The files of src/, with what each imports.
fn read_all() -> Vec<File> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let read = files.iter().map(|file| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        imports_of(path, &fs::read_to_string(file).unwrap())
    });
    read.collect()
}

fn imports_of(path: &str, text: &str) -> File {
    let segments: Vec<&str> = path.trim_end_matches(".rs").split('/').skip(1).collect();
    let source = Source::read(&segments, text);
    File { path: path.to_owned(), module: source.module(), imports: source.imports() }
}

/// Files that import each other in a circle cannot be understood, tried or moved one without the other.
#[test]
fn no_imports_run_in_circles() {
    let graph = Graph::of(&read_all());
    let mut left: Vec<(Vec<String>, &Circle)> =
        CIRCLES.iter().map(|circle| (paths(circle), circle)).collect();
    let mut found = Vec::new();
    for circle in graph.circles() {
        let files: Vec<&str> = circle.iter().map(|file| graph.path(*file)).collect();
        if let Some(known) = left.iter().position(|(known, _)| known == &files) {
            left.remove(known);
        } else if !files.iter().all(|path| is_pending(path)) {
            found.push(format!("{}\n  all of them: {}", graph.tell(&circle), files.join(" ")));
        }
    }
    assert!(found.is_empty(), "{} circles of imports:\n{}", found.len(), found.join("\n"));
    let gone: Vec<&[&str]> = left.iter().map(|(_, circle)| circle.files).collect();
    assert!(gone.is_empty(), "these circles are no more: take them from CIRCLES: {gone:?}");
}

fn paths(circle: &Circle) -> Vec<String> {
    circle.files.iter().map(|file| format!("src/{}/{file}.rs", circle.room)).collect()
}

fn is_pending(path: &str) -> bool {
    path.split('/').nth(1).is_some_and(|room| PENDING.contains(&room.trim_end_matches(".rs")))
}

/// The circles among files that are given as path and text.
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<File> = files.iter().map(|(path, text)| imports_of(path, text)).collect();
    let graph = Graph::of(&files);
    graph.circles().iter().map(|circle| graph.tell(circle)).collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let other = ("src/plan/b.rs", "use super::a::A;\npub struct B;");
    for text in [
        "use super::b::B;",
        "use super::{Plan, b::B};",
        "use super::{Plan, b::{self, B}};",
        "use crate::plan::b;",
        "use crate::{object::Live, plan::b::B as Other};",
        "fn f() { super::b::f() }",
        "fn f() -> crate::plan::b::B { todo() }",
        "use super::B;",
        "use crate::plan::B;",
        "use super::Another;",
        "mod inner { use super::super::b::B; }",
    ] {
        let facade = ("src/plan/mod.rs", "mod a;\nmod b;\npub use b::B;\npub(crate) use b::{B as Another};");
        let found = circles(&[facade, ("src/plan/a.rs", text), other]);
        assert_eq!(found.len(), 1, "{text:?} gave {found:?}");
        assert!(found[0].starts_with("src/plan/a.rs:1 -> src/plan/b.rs:1 -> src/plan/a.rs"), "{found:?}");
    }
}

#[test]
fn a_circle_of_three_is_told_by_its_shortest_way() {
    let found = circles(&[
        ("src/plan/a.rs", "use super::b::B;"),
        ("src/plan/b.rs", "\nuse super::c::C;\nuse super::d::D;"),
        ("src/plan/c.rs", "use super::d::D;"),
        ("src/plan/d.rs", "use super::a::A;"),
        ("src/plan/e.rs", "use super::a::A;"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("src/plan/a.rs:1 -> src/plan/b.rs:3 -> src/plan/d.rs:1 -> src/plan/a.rs"),
        "{found:?}"
    );
    assert!(found[0].contains("4 files"), "{found:?}");
}

#[test]
fn what_is_no_circle_is_not_found() {
    let other = ("src/plan/b.rs", "use super::a::A;");
    for text in [
        "use std::b::B; // use super::b::B;",
        "use super::Plan;",
        "use super::c::C;",
        "use crate::object::b::B;",
        "#[cfg(test)]\nmod tests { use super::super::b::B; }",
    ] {
        let plan = ("src/plan/mod.rs", "mod a;\nmod b;\nuse a::A;\npub struct Plan;");
        let found = circles(&[plan, ("src/plan/a.rs", text), other, ("src/plan/c.rs", "use super::Plan;")]);
        assert!(found.is_empty(), "{text:?} gave {found:?}");
    }
    let tests = [
        ("src/plan/a.rs", "use super::b::B;"),
        ("src/plan/b.rs", ""),
        ("src/plan/b/tests.rs", "use crate::plan::a::A;"),
    ];
    assert!(circles(&tests).is_empty());
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
    let longish = "\n".repeat(MAX_SMALL_LINES + 1);
    let fields: String =
        (0..=MAX_SMALL_FIELDS).map(|n| format!("pub f{n}: std::sync::Arc<[u8; 3]>,\n")).collect();
    let (wide, variant) = (format!("struct S {{ {fields} }}"), format!("enum E {{ A, B {{ {fields} }} }}"));
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
        ("src/delivery/mod.rs", longish.as_str(), "401 lines"),
        ("src/delivery/mod.rs", wide.as_str(), "S has 13 fields"),
        ("src/delivery/mod.rs", variant.as_str(), "E has 13 fields"),
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
