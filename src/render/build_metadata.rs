//! `buildMetadata`: annotations that say where an object comes from, as kustomize writes them.

use super::kustomization::Kustomization;
use super::layer::{Build, Layer};
use super::resource::{BuildOrigin, Resource};
use crate::yaml::{Map, Node};

const ORIGIN: &str = "config.kubernetes.io/origin";
const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The version whose output ours is; trees select by this label.
const MANAGER: &str = "kustomize-v5.8.2";

pub(crate) const OPTIONS: [&str; 3] = ["originAnnotations", "transformerAnnotations", "managedByLabel"];

impl Build<'_> {
    fn tracks_origins(&self) -> bool {
        !self.build_metadata.is_empty()
    }

    /// The path of a file as it is reached from the top folder.
    fn reached(&self, path: &str) -> String {
        join(&self.origin_path, path)
    }

    pub fn mark_origin(&self, path: &str, objects: &mut [Resource]) {
        if self.tracks_origins() {
            let origin = BuildOrigin { path: self.reached(path), ..BuildOrigin::default() };
            for object in objects {
                object.build_origin = Some(origin.clone());
            }
        }
    }

    fn configured(&self, kustomization: &Kustomization, kind: &str) -> BuildOrigin {
        let builtin = ["builtin".to_owned(), kind.to_owned(), String::new(), String::new()];
        BuildOrigin {
            path: String::new(),
            configured_in: self.reached(kustomization.place.path.file_name()),
            configured_by: Some(builtin),
        }
    }

    /// What a plugin leaves as its mark: the file in which its config stands, and `apiVersion`, `kind`, `name` and
    /// `namespace` of that.
    pub fn plugin(&self, file: &str, config: [String; 4]) -> BuildOrigin {
        BuildOrigin { path: String::new(), configured_in: self.reached(file), configured_by: Some(config) }
    }

    pub fn mark_generated(&self, kustomization: &Kustomization, object: &mut Resource, kind: &str) {
        self.mark_generated_by(&self.configured(kustomization, kind), object);
    }

    pub fn mark_generated_by(&self, origin: &BuildOrigin, object: &mut Resource) {
        if self.tracks_origins() {
            object.build_origin = Some(origin.clone());
        }
    }

    /// Notes that a transformer has run: it counts for all objects, whether it changed them or not.
    pub fn transformed(&self, kustomization: &Kustomization, layer: &mut Layer, kind: &str) {
        self.transformed_by(&self.configured(kustomization, kind), layer);
    }

    pub fn transformed_by(&self, origin: &BuildOrigin, layer: &mut Layer) {
        if !self.tracks_origins() {
            return;
        }
        for object in &mut layer.objects {
            match object.build_origin {
                None => object.build_origin = Some(origin.clone()),
                Some(_) => object.transformations.push(origin.clone()),
            }
            object.rewrite_texts("annotations");
        }
    }

    /// Writes what was asked for into an object that is about to leave.
    pub fn write_metadata(&self, object: &mut Resource) {
        let wants = |option: &str| self.build_metadata.iter().any(|asked| asked == option);
        let (origin, transformations) = (object.build_origin.clone(), object.transformations.clone());
        let mut put = |field: &str, key: &str, text: String| {
            if let Some(metadata) = object.metadata_mut() {
                let map = metadata.get_or(field, || Node::Map(Map::new()));
                if let Node::Map(map) = map {
                    map.insert(key.to_owned(), Node::quoted(text));
                }
            }
        };
        if wants("managedByLabel") {
            put("labels", MANAGED_BY, MANAGER.to_owned());
        }
        if let Some(origin) = origin.filter(|_| wants("originAnnotations")) {
            put("annotations", ORIGIN, lines(&origin, "", ""));
        }
        if wants("transformerAnnotations") && !transformations.is_empty() {
            put(
                "annotations",
                TRANSFORMATIONS,
                transformations.iter().map(|one| lines(one, "- ", "  ")).collect(),
            );
        }
    }
}

fn lines(origin: &BuildOrigin, first: &str, indent: &str) -> String {
    let mut lines = Vec::new();
    if !origin.path.is_empty() {
        lines.push(format!("path: {}", origin.path));
    }
    if !origin.configured_in.is_empty() {
        lines.push(format!("configuredIn: {}", origin.configured_in));
    }
    if let Some(by) = &origin.configured_by {
        lines.push("configuredBy:".to_owned());
        for (name, value) in ["apiVersion", "kind", "name", "namespace"].iter().zip(by) {
            if !value.is_empty() {
                lines.push(format!("  {name}: {value}"));
            }
        }
    }
    let mut text = String::new();
    for (nth, line) in lines.iter().enumerate() {
        text.push_str(if nth == 0 { first } else { indent });
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Joins paths and takes out `.` and `..`, as Go does.
pub(crate) fn join(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
