//! Cases as folders, the judge, and the comparison of two verdicts.

pub mod random;
pub mod wide;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fairlead::object::{MemoryTree, TreePath};
use fairlead::yaml::{self, Dialect};
use serde_json::Value;

#[derive(Debug)]
pub enum Verdict {
    Objects(Vec<Value>),
    Refused(String),
}

/// A folder `tests/render/NAME`: the tree in `tree/`, whose folder `overlay` (or else its root) is rendered;
/// `expected.yaml` or `refused` is the judge's verdict. Where `ours.yaml` or `ours-refused` stands beside it, we
/// decide otherwise, and `docs/overlays.md` says why.
pub struct Case {
    pub name: String,
    pub tree: PathBuf,
    pub folder: String,
    pub verdict: PathBuf,
    pub is_our_choice: bool,
}

pub fn case_folders() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render");
    let mut cases = Vec::new();
    let Ok(entries) = fs::read_dir(&root) else {
        return cases;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let tree = path.join("tree");
        if !tree.is_dir() {
            continue;
        }
        let folder = if tree.join("overlay").is_dir() { "overlay" } else { "" };
        let verdict = ["ours.yaml", "ours-refused", "expected.yaml", "refused"]
            .iter()
            .map(|name| path.join(name))
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("{} has no verdict", path.display()));
        let is_our_choice =
            verdict.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ours"));
        let name = entry.file_name().to_string_lossy().into_owned();
        cases.push(Case { name, tree, folder: folder.to_owned(), verdict, is_our_choice });
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// The folders below a root that have a kustomization, by name.
pub fn kustomizations(root: &Path) -> Vec<String> {
    let mut folders = Vec::new();
    let mut rest = vec![root.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                rest.push(entry.path());
            } else if matches!(&*name, "kustomization.yaml" | "kustomization.yml" | "Kustomization") {
                let below = folder.strip_prefix(root).expect("it lies below the root");
                folders.push(below.to_string_lossy().into_owned());
            }
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

pub fn expected(case: &Case) -> Verdict {
    let text = fs::read(&case.verdict).expect("a verdict can be read");
    match case.verdict.extension() {
        Some(_) => Verdict::Objects(documents(&text)),
        None => Verdict::Refused(String::from_utf8_lossy(&text).into_owned()),
    }
}

/// The judge's output is YAML that was written from JSON: every reader takes it for the same.
pub fn documents(text: &[u8]) -> Vec<Value> {
    let limits = yaml::Limits { file_bytes: u64::MAX, ..yaml::Limits::default() };
    let path = TreePath::new("expected.yaml").expect("a plain path");
    let documents = yaml::read(text, &path, Dialect::Kustomize, &limits).expect("the judge writes YAML");
    documents.into_iter().map(|document| document.into_value()).collect()
}

pub fn memory_tree(root: &Path) -> MemoryTree {
    let mut files = Vec::new();
    collect(root, root, &mut files);
    MemoryTree::new(files.iter().map(|(path, bytes)| (path.as_str(), bytes)))
        .expect("paths of a case are paths")
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a case's folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it lies below").to_string_lossy().into_owned();
            files.push((name, fs::read(&path).expect("a case's file can be read")));
        }
    }
}

pub fn judge(kustomize: &Path, root: &Path, folder: &str) -> Verdict {
    let output =
        Command::new(kustomize).arg("build").arg(root.join(folder)).output().expect("the judge can be run");
    match output.status.success() {
        true => Verdict::Objects(documents(&output.stdout)),
        false => Verdict::Refused(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// `Ok` where two verdicts agree, or the first difference.
pub fn compare(ours: &Verdict, theirs: &Verdict) -> Result<(), String> {
    match (ours, theirs) {
        (Verdict::Refused(_), Verdict::Refused(_)) => Ok(()),
        (Verdict::Refused(why), Verdict::Objects(_)) => Err(format!("we refuse: {why}")),
        (Verdict::Objects(_), Verdict::Refused(why)) => Err(format!("the judge refuses: {}", why.trim())),
        (Verdict::Objects(ours), Verdict::Objects(theirs)) => {
            if ours.len() != theirs.len() {
                let names = |objects: &[Value]| objects.iter().map(name).collect::<Vec<_>>().join(", ");
                return Err(format!("objects: {} and {}", names(ours), names(theirs)));
            }
            for (our, their) in ours.iter().zip(theirs) {
                if let Some(difference) = first_difference("", our, their) {
                    return Err(format!("{}: {difference}", name(their)));
                }
            }
            Ok(())
        }
    }
}

fn name(object: &Value) -> String {
    format!(
        "{} {}",
        object["kind"].as_str().unwrap_or("?"),
        object["metadata"]["name"].as_str().unwrap_or("?")
    )
}

fn first_difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| match (one.get(key), other.get(key)) {
                (Some(one), Some(other)) => first_difference(&format!("{path}.{key}"), one, other),
                (Some(one), None) => Some(format!("{path}.{key}: we have {one}, they have nothing")),
                (None, other) => Some(format!(
                    "{path}.{key}: we have nothing, they have {}",
                    other.unwrap_or(&Value::Null)
                )),
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(nth, (one, other))| first_difference(&format!("{path}[{nth}]"), one, other)),
        (one, other) if one == other => None,
        (one, other) => Some(format!("{path}: we have {one}, they have {other}")),
    }
}
