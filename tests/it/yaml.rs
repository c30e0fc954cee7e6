//! Asks the real tools what the cases of `tests/yaml` mean, and compares the table that `cargo test --lib` reads.
//!
//! `FAIRLEAD_KUSTOMIZE` and `FAIRLEAD_KUBECTL` name the binaries. `FAIRLEAD_EXPECT=write` rewrites the table.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

#[path = "../yaml/cases.rs"]
mod cases;

use cases::{Case, HEADER, cases};

use crate::tools::tool;

/// What a tool made of a case: the object without its header, or `None` where it refused.
type Reading = Option<Value>;

struct Tools {
    kustomize: PathBuf,
    kubectl: PathBuf,
}

#[test]
fn the_table_of_yaml_readings_is_what_the_tools_say() {
    let tools = Tools::named();
    let all = cases();
    let found = Mutex::new(BTreeMap::new());
    let (asked, into) = (&tools, &found);
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(move || {
                for case in part {
                    let row = asked.ask(case);
                    assert!(
                        into.lock().unwrap().insert(case.name.clone(), row).is_none(),
                        "{} twice",
                        case.name
                    );
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yaml/expected.json");
    if std::env::var("FAIRLEAD_EXPECT").is_ok_and(|mode| mode == "write") {
        let lines: Vec<String> = found.iter().map(|(name, row)| format!("{}: {row}", json!(name))).collect();
        std::fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
        return;
    }
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let differ: Vec<_> = found.iter().filter(|(name, row)| expected.get(*name) != Some(*row)).collect();
    assert!(differ.is_empty() && found.len() == expected.len(), "the tools say otherwise: {differ:#?}");
}

/// Text made of what YAML readers stumble over; the same on every run.
fn awkward_texts(count: usize) -> Vec<String> {
    const PIECES: [&str; 60] = [
        "a",
        "b",
        " ",
        " ",
        "  ",
        "\n",
        "\n",
        "\n\n",
        "\t",
        "-",
        "- ",
        "--",
        "---",
        ":",
        ": ",
        "#",
        " #",
        "'",
        "\"",
        "\\",
        "|",
        ">",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a",
        "*a",
        "!",
        "!!",
        "%",
        "@",
        "`",
        "?",
        "? ",
        "=",
        "<<",
        "~",
        "0",
        "1",
        "08",
        "0x",
        "0o",
        "_",
        ".",
        "e",
        "+",
        "yes",
        "on",
        "null",
        "true",
        "2020-01-01",
        "T00:00:00Z",
        ".inf",
        "\r",
        "é",
        "🎉",
        "\u{85}",
        "\u{FEFF}",
    ];
    let mut random = fastrand::Rng::with_seed(20_261_121);
    (0..count)
        .map(|_| (0..random.usize(0..7)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect())
        .collect()
}

#[test]
fn kubectl_and_kustomize_read_what_we_write() {
    let tools = Tools::named();
    let texts = awkward_texts(3_000);
    let written = fairlead::yaml::write(&object_of(&texts));
    agrees("kubectl", &texts, tools.kubectl(&written));

    // kustomize passes objects on as JSON to its YAML reader: there a bare U+0085 breaks the line and `<<` merges.
    let clean: Vec<String> =
        texts.into_iter().filter(|text| text != "<<" && !text.contains(['\u{85}', '\u{FEFF}'])).collect();
    let written = fairlead::yaml::write(&object_of(&clean));
    let layer = ("kustomization.yaml", "resources: [object.yaml]");
    agrees("kustomize", &clean, tools.kustomize(&[("object.yaml", &written), layer]));
}

fn object_of(texts: &[String]) -> Value {
    let keys: serde_json::Map<_, _> =
        texts.iter().enumerate().map(|(at, text)| (text.clone(), json!(at))).collect();
    let nested: Vec<Value> =
        texts.chunks(3).map(|chunk| json!([[chunk], {"a": chunk[0], "b": {"c": chunk.last()}}])).collect();
    let numbers = json!([0, -1, 1.5, 1e-7, 1e300, i64::MAX]);
    let spec = json!({"texts": texts, "keys": keys, "nested": nested, "numbers": numbers});
    json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": spec})
}

fn agrees(tool: &str, texts: &[String], read: Reading) {
    let read = read.unwrap_or_else(|| panic!("{tool} refused what we wrote"));
    let found = read["spec"]["texts"].as_array().unwrap();
    let differ: Vec<_> = texts.iter().zip(found).filter(|(text, found)| text != found).collect();
    assert!(differ.is_empty(), "{tool} reads otherwise: {differ:#?}");
    assert!(read["spec"] == object_of(texts)["spec"], "{tool} reads keys or nested values otherwise");
}

impl Tools {
    fn named() -> Self {
        Self { kustomize: tool("FAIRLEAD_KUSTOMIZE"), kubectl: tool("FAIRLEAD_KUBECTL") }
    }

    fn ask(&self, case: &Case) -> Value {
        let object = format!("{HEADER}{}", case.body);
        let mut row = json!({});
        let mut put = |dialect: &str, reading: Reading| {
            // `null` alone would not tell a refusal from a null.
            row[dialect] = reading.unwrap_or_else(|| json!("refused"));
        };
        put("kubectl", self.kubectl(&object));
        put(
            "kustomize",
            self.kustomize(&[("object.yaml", &object), ("kustomization.yaml", "resources: [object.yaml]")]),
        );
        if let Some(value) = patch_value(&case.body) {
            let patch = format!("- op: add\n  path: /spec\n  value:{value}");
            let layer = "resources: [object.yaml]\npatches: [{path: patch.yaml, target: {kind: Foo}}]";
            put(
                "config",
                self.kustomize(&[
                    ("object.yaml", HEADER),
                    ("patch.yaml", &patch),
                    ("kustomization.yaml", layer),
                ]),
            );
        }
        row
    }

    fn kubectl(&self, yaml: &str) -> Reading {
        let mut child = Command::new(&self.kubectl)
            .args(["annotate", "--local", "-f", "-", "-o", "json", "judge=1"])
            .env("KUBECONFIG", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            return None;
        }
        let mut object: Value = serde_json::from_slice(&output.stdout).ok()?;
        let map = object.as_object_mut()?;
        for header in ["apiVersion", "kind", "metadata"] {
            map.remove(header);
        }
        Some(object)
    }

    fn kustomize(&self, files: &[(&str, &str)]) -> Reading {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let output = Command::new(&self.kustomize).arg("build").arg(folder.path()).output().unwrap();
        if !output.status.success() {
            return None;
        }
        // What kustomize writes is read as it would be applied.
        self.kubectl(std::str::from_utf8(&output.stdout).ok()?)
    }
}

/// The value of `spec`, indented for a place one level further in; only where `spec` is all there is.
fn patch_value(body: &str) -> Option<String> {
    let value = body.strip_prefix("spec:")?;
    let root = value.lines().skip(1).any(|line| line.starts_with(|first: char| !" -#\t".contains(first)));
    (!root).then(|| value.replace('\n', "\n  "))
}
