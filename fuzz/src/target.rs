//! What each target does with its bytes. A panic is a finding, and so are more time and memory than `make/fuzz.sh`
//! allows, and what is asserted here.

use std::sync::Arc;

use crate::object::{
    Again, AppName, ChartAnswers, ChartFailure, ChartOutput, ChartRequest, ChartValues, EnvironmentName,
    MemoryTree, Place, RenderContext, TreePath,
};
use crate::render::{AppSource, Cache, Limits, Rendered, build, render};
use crate::yaml::{self, Dialect};

fn path(text: &str) -> TreePath {
    TreePath::new(text).expect("a plain path")
}

/// The loader, in each way of reading. What was read, written and read again is what it was.
pub fn yaml(data: &[u8]) {
    let (file, limits) = (path("a.yaml"), yaml::Limits::default());
    for dialect in [Dialect::Kustomize, Dialect::Kubectl, Dialect::Config] {
        let nodes = yaml::nodes(data, &file, dialect, &limits);
        let Ok(documents) = yaml::read(data, &file, dialect, &limits) else {
            continue;
        };
        assert!(nodes.is_ok() || dialect == Dialect::Config, "read as values and not as nodes");
        for document in &documents {
            document.place_of("/metadata/name");
        }
        let values: Vec<_> = documents.into_iter().map(|document| document.into_value()).collect();
        let written = yaml::write_all(&values);
        let again =
            yaml::read(written.as_bytes(), &file, dialect, &limits).expect("what we write can be read");
        let again: Vec<_> = again.into_iter().map(|document| document.into_value()).collect();
        let values: Vec<_> = values.into_iter().filter(|value| !value.is_null()).collect();
        let again: Vec<_> = again.into_iter().filter(|value| !value.is_null()).collect();
        assert_eq!(values, again, "{written}");
    }
    let _ = yaml::ambiguous(data, &file, &limits);
}

/// A tree, and the build of its root. The files follow one another, each after a line `=== path`.
pub fn kustomization(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut files = Vec::new();
    for part in text.split("=== ").skip(1) {
        let (name, content) = part.split_once('\n').unwrap_or((part, ""));
        files.push((name.trim(), content));
    }
    if let Ok(tree) = MemoryTree::new(files) {
        let _ = build(&tree, &TreePath::root(), &Limits::default());
    }
}

/// An object and a patch, with a line `===` between them.
fn patched(data: &[u8], patches: &str) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (object, patch) = text.split_once("\n===\n").unwrap_or((text, ""));
    let kustomization = format!("resources: [object.yaml]\npatches: [{patches}]\n");
    let files = [("kustomization.yaml", &*kustomization), ("object.yaml", object), ("patch.yaml", patch)];
    let tree = MemoryTree::new(files).expect("plain paths");
    let _ = build(&tree, &TreePath::root(), &Limits::default());
}

/// RFC 6902, and whatever else a patch with a target can be.
pub fn json_patch(data: &[u8]) {
    patched(data, "{path: patch.yaml, target: {kind: .*}}");
}

pub fn strategic_merge(data: &[u8]) {
    patched(data, "{path: patch.yaml}");
}

/// What helm wrote, twice, or the words in which it refused, with a line `===` between them.
pub fn chart(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (one, other) = text.split_once("\n===\n").unwrap_or((text, ""));
    let files = [("charts/a/templates/a.yaml", ""), ("charts/a/values.yaml", other), ("values.yaml", one)];
    let tree = MemoryTree::new(files).expect("plain paths");
    let request = ChartRequest {
        place: Place::file(path("environment.yaml")),
        chart: path("charts/a"),
        values: vec![ChartValues::File(path("values.yaml"), Place::file(path("environment.yaml")))],
        release: "a".to_owned(),
        namespace: "a".to_owned(),
        crds: true,
        hooks: true,
        tests: true,
        kube_version: None,
        api_versions: Vec::new(),
    };
    let context = RenderContext {
        environment: EnvironmentName::new("a").expect("a name"),
        app: AppName::new("a").expect("a name"),
        cluster: None,
        region: None,
        role: None,
    };
    let source = AppSource::Chart(Box::new(request.clone()));
    let answers = [
        Ok(ChartOutput { text: one.into(), again: None, warnings: Vec::new() }),
        Ok(ChartOutput { text: one.into(), again: Some(Again::Text(other.into())), warnings: Vec::new() }),
        Ok(ChartOutput {
            text: one.into(),
            again: Some(Again::Failed(other.to_owned())),
            warnings: Vec::new(),
        }),
        Err(ChartFailure::Refused(one.to_owned())),
    ];
    for answer in answers {
        let charts = ChartAnswers::from([(request.clone(), answer.map(Arc::new))]);
        let rendered = render(&tree, &source, &context, &Limits::default(), &Cache::none(), &charts);
        assert!(!matches!(rendered, Ok(Rendered::NeedCharts(_))), "the answer is there");
    }
}

/// What a git server sends. No byte of it makes the reader hold more than its buffers.
pub fn pack(data: &[u8]) {
    let mut objects = 0;
    let mut pack = data;
    let looked = crate::pack::look(&mut pack, || {
        objects += 1;
        objects <= 1_000
    });
    if let Ok(count) = looked {
        assert_eq!(count, objects, "each object was looked at");
    }
}
