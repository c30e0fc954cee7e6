//! Of random trees and random changes: what is written back renders to exactly that change, whoever looks.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::fixture::{Folders, tree};
use super::{Renderer, Wish, write_back};
use crate::object::field_path::{Part, path_of};
use crate::object::{MemoryTree, ObjectKey};

/// What is chosen, one thing after the other; the first of all where nothing is left.
struct Choices {
    bytes: Vec<u8>,
    at: usize,
}

impl Choices {
    fn of(&mut self, count: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(byte) % count
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.of(of.len())]
    }
}

const TEXTS: [&str; 14] = [
    "plain",
    "two words",
    "yes",
    "12",
    "1.10",
    "true",
    "null",
    "a: b",
    "# no",
    "it's",
    "\"in\"",
    "",
    "lines\nof it\n",
    "ümlaut, [x]",
];

/// A scalar as somebody may have written it.
fn written(choices: &mut Choices) -> String {
    let text = choices.one(&["one", "two three", "4", "x:y", "it''s"]);
    match choices.of(3) {
        0 => format!("'{text}'"),
        1 => format!("\"{}\"", text.replace("''", "'")),
        _ if text == "it''s" => "its".to_owned(),
        _ => text.to_owned(),
    }
}

fn deployment(choices: &mut Choices) -> String {
    let containers = match choices.of(3) {
        0 => {
            "      - name: web # first\n        image: registry/web:1\n      # The second.\n      - name: log\n        image: \"registry/log:1\"\n"
        }
        1 => "      - {name: web, image: registry/web:1}\n      - {name: log, image: 'registry/log:1'}\n",
        _ => {
            "        - image: registry/web:1\n          name: web\n          env:\n            - {name: A, value: \"1\"}\n            - name: B\n              value: |\n                some\n                lines\n        - image: registry/log:1\n          name: log\n"
        }
    };
    let labels = match choices.of(3) {
        0 => String::new(),
        1 => format!("  labels: {{team: {}}}\n", written(choices).replace(',', "")),
        _ => format!("  annotations:\n    note: {} # why\n", written(choices)),
    };
    let replicas = choices.one(&["  replicas: 2\n", "  replicas: 2 # two\n", ""]);
    format!(
        "# The web.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n{labels}spec:\n{replicas}  template:\n    spec:\n      containers:\n{containers}"
    )
}

fn config(choices: &mut Choices) -> String {
    let values: String =
        (0..2 + choices.of(3)).map(|nth| format!("  key{nth}: {}\n", written(choices))).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: # values\n{values}")
}

/// A layer over what it names.
fn layer(choices: &mut Choices, below: &str) -> String {
    let mut text = format!("# A layer.\nresources:\n- {below} # below\n");
    if choices.of(3) == 1 {
        text.push_str("namePrefix: p-\n");
    }
    match choices.of(4) {
        1 => text.push_str("images:\n- name: registry/web\n  newTag: \"7\" # pinned\n"),
        2 => text.push_str("images: [{name: registry/web, newName: mirror/web, digest: 'sha256:00'}]\n"),
        _ => {}
    }
    match choices.of(4) {
        1 => text.push_str("replicas:\n- {name: web, count: 4}\n"),
        2 => text.push_str("replicas:\n# Many.\n- name: web\n  count: 4\n"),
        _ => {}
    }
    match choices.of(5) {
        1 => text.push_str("patches:\n- patch: |-\n    # More.\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata:\n      name: web\n    spec:\n      paused: true # now\n      replicas: 3\n"),
        2 => text.push_str("patches:\n- target: {kind: Deployment}\n  patch: |\n    - {op: add, path: /spec/replicas, value: 6}\n    - op: add\n      path: /spec/paused\n      value: false\n"),
        3 => text.push_str("patches: [{target: {kind: Deployment}, patch: '[{\"op\": \"add\", \"path\": \"/spec/paused\", \"value\": true}]'}]\n"),
        _ => {}
    }
    match choices.of(4) {
        1 => text.push_str("labels:\n- pairs: {who: us}\n"),
        2 => text.push_str("commonAnnotations:\n  who: us # all\n"),
        _ => {}
    }
    match choices.of(4) {
        1 => text.push_str("configMapGenerator:\n- name: made\n  literals:\n  - A=1 # one\n  - 'B=two words'\n"),
        2 => text.push_str("generatorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n- {name: made, literals: [A=1, B=2]}\n"),
        _ => {}
    }
    text
}

fn world(choices: &mut Choices) -> (Folders, BTreeMap<String, String>) {
    let mut files = BTreeMap::new();
    let mut add = |path: &str, text: String| drop(files.insert(path.to_owned(), text));
    add("base/kustomization.yaml", "resources: [web.yaml, settings.yaml]\n".to_owned());
    add("base/web.yaml", deployment(choices));
    add("base/settings.yaml", config(choices));
    let mut apps = vec![("dev", "overlays/dev"), ("prod", "overlays/prod")];
    for folder in ["overlays/dev", "overlays/prod"] {
        add(&format!("{folder}/kustomization.yaml"), layer(choices, "../../base"));
    }
    if choices.of(3) == 1 {
        apps.pop();
    }
    if choices.of(4) == 1 {
        files.values_mut().for_each(|text| *text = text.replace('\n', "\r\n"));
    }
    (Folders::new(&apps), files)
}

fn memory(files: &BTreeMap<String, String>) -> MemoryTree {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    tree(&files)
}

/// Pointers to all scalars of an object that somebody could change.
fn scalars(value: &Value) -> Vec<Vec<Part>> {
    fn walk(value: &Value, parts: &mut Vec<Part>, found: &mut Vec<Vec<Part>>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    parts.push(Part::Key(key.clone()));
                    walk(value, parts, found);
                    parts.pop();
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    parts.push(Part::At(at));
                    walk(value, parts, found);
                    parts.pop();
                }
            }
            _ => found.push(parts.clone()),
        }
    }
    let mut found = Vec::new();
    walk(value, &mut Vec::new(), &mut found);
    let is_open = |parts: &Vec<Part>| match parts.as_slice() {
        [Part::Key(first), Part::Key(second), ..] if first == "metadata" => {
            matches!(second.as_str(), "labels" | "annotations")
        }
        [Part::Key(first)] => !matches!(first.as_str(), "apiVersion" | "kind"),
        // Items go by their names.
        [.., Part::Key(last)] => last != "name",
        _ => true,
    };
    found.retain(is_open);
    found
}

type Rendered = BTreeMap<String, BTreeMap<ObjectKey, Value>>;

/// What all apps render to, with the hashes of generated names taken off everywhere.
fn rendered(folders: &Folders, tree: &MemoryTree) -> Rendered {
    let app = |app: &super::App| {
        let objects = folders.objects(tree, app).expect("all trees can be rendered");
        let hashed: Vec<String> = objects
            .iter()
            .map(|object| object.name().to_owned())
            .filter(|name| {
                name.rsplit_once('-').is_some_and(|(stem, hash)| stem.ends_with("made") && hash.len() == 10)
            })
            .collect();
        let plain = |text: &str| {
            hashed.iter().fold(text.to_owned(), |text, name| text.replace(name, &name[..name.len() - 11]))
        };
        let objects = objects.iter().map(|object| {
            let key = object.key();
            let value = serde_json::from_str(&plain(object.json())).unwrap();
            (ObjectKey::new(&key.group, &key.kind, key.namespace.as_deref(), &plain(&key.name)), value)
        });
        (app.environment.to_string(), objects.collect())
    };
    folders.apps().iter().map(app).collect()
}

fn put(value: &mut Value, parts: &[Part], new: Value) {
    let place = parts.iter().fold(value, |value, part| match part {
        Part::Key(key) => &mut value[key.as_str()],
        Part::At(at) => &mut value[*at],
    });
    *place = new;
}

fn comments(files: &BTreeMap<String, String>) -> usize {
    files
        .values()
        .flat_map(|text| text.lines())
        .filter(|line| line.contains(" #") || line.starts_with('#'))
        .count()
}

/// Says whether it was written back.
fn holds(bytes: Vec<u8>) -> Result<bool, TestCaseError> {
    let mut choices = Choices { bytes, at: 0 };
    let (folders, mut files) = world(&mut choices);
    let before_tree = memory(&files);
    let before = rendered(&folders, &before_tree);
    let app = &folders.apps()[choices.of(folders.apps().len())];
    let objects = folders.objects(&before_tree, app).unwrap();
    let object = &objects[choices.of(objects.len())];
    let value = object.value();
    let all = scalars(&value);
    let parts = &all[choices.of(all.len())];
    let path = path_of(&value, parts);
    let old = crate::object::field_path::at(&value, parts).unwrap();
    let live = match old {
        Value::Bool(is) => Value::from(!is),
        Value::Number(_) => Value::from(choices.of(50) + 10),
        _ => Value::from(choices.one(&TEXTS)),
    };
    let wish = Wish {
        environment: app.environment.clone(),
        app: app.name.clone(),
        object: object.key(),
        path: path.clone(),
        live: Some(live.clone()),
    };
    let outcome = write_back(&before_tree, &[wish], &folders);
    if let Some(refusal) = outcome.refused.first() {
        prop_assert!(outcome.files.is_empty(), "nothing is written for what is refused");
        prop_assert!(refusal.to_string().len() > 40, "{refusal}");
        return Ok(false);
    }
    let comments_before = comments(&files);
    for (path, (before, after)) in &outcome.files {
        prop_assert_eq!(&files[path.as_str()], before);
        prop_assert_eq!(
            before.contains("\r\n"),
            !after.replace("\r\n", "").contains('\n') && after.contains("\r\n")
        );
        files.insert(path.to_string(), after.clone());
    }
    prop_assert!(comments(&files) >= comments_before, "comments stay: {:?}", outcome.files);
    let mut expected = before;
    let after = rendered(&folders, &memory(&files));
    let name = object.name();
    let stem = name.rsplit_once('-').filter(|(stem, hash)| stem.ends_with("made") && hash.len() == 10);
    let key = object.key();
    let key =
        ObjectKey::new(&key.group, &key.kind, key.namespace.as_deref(), stem.map_or(name, |(stem, _)| stem));
    let object = expected.get_mut(app.environment.as_str()).unwrap().get_mut(&key).unwrap();
    put(object, parts, live);
    prop_assert_eq!(expected, after, "{}", path);
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_back_renders_to_exactly_that(bytes in proptest::collection::vec(any::<u8>(), 40)) {
        holds(bytes)?;
    }
}

/// Of a fixed choice of changes most are written back: a room that refuses all keeps every promise, and is of no use.
#[test]
fn most_changes_can_be_written_back() {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let written = (0..200).filter(|_| holds((0..40).map(|_| next()).collect()).unwrap()).count();
    assert!(written >= 170, "{written} of 200");
}
