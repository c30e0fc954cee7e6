//! What happens once, at the top: hash suffixes, references, variables, the order, and the way out.

use super::layer::{Build, Layer};
use super::load::Files;
use super::resource::Resource;
use super::{hash, order, references, vars};
use crate::object::{Identity, Manifest, NotAManifest, Note, Origin, Place, Problem, Problems, TreePath};
use crate::yaml::Node;

/// Renders a folder that has a kustomization.
pub(crate) fn overlay(files: Files<'_>, folder: &TreePath) -> Result<(Vec<Manifest>, Vec<Note>), Problems> {
    let mut build = Build::new(files);
    let manifests = once(&mut build, folder)?;
    Ok((manifests, build.notes))
}

fn once(build: &mut Build<'_>, folder: &TreePath) -> Result<Vec<Manifest>, Problems> {
    let layer = build.layer(folder, &Place::file(folder.clone()), None);
    let Some(mut layer) = layer else {
        return Err(problems(std::mem::take(&mut build.found)));
    };
    for object in &mut layer.objects {
        if object.needs_hash {
            let name = format!("{}-{}", object.name(), hash::suffix(object));
            object.store_previous();
            object.set_name(&name);
        }
    }
    let fields = layer.fields.clone();
    references::follow(build, &fields, &mut layer.objects);
    vars::resolve(build, &layer.vars, &fields, &mut layer.objects);
    let manifests = out(build, layer);
    match build.found.is_empty() {
        true => Ok(manifests),
        false => Err(problems(std::mem::take(&mut build.found))),
    }
}

fn problems(mut found: Vec<Problem>) -> Problems {
    found.dedup();
    match Problems::check(found) {
        Err(problems) => problems,
        Ok(()) => Problem::new("the folder could not be rendered").into(),
    }
}

fn out(build: &mut Build<'_>, layer: Layer) -> Vec<Manifest> {
    let objects: Vec<Resource> = layer.objects.into_iter().filter(|object| !is_local(object)).collect();
    let sort = build.top_sort.take();
    let mut manifests = Vec::with_capacity(objects.len());
    let mut text = Vec::new();
    for mut object in order::sort(objects, sort.as_ref()) {
        object.rewrite_texts("annotations");
        build.write_metadata(&mut object);
        let place = object.origin.place.clone();
        match manifest(&object.node, object.origin, &mut text) {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => build.found.push(Problem::at(place, error.to_string())),
        }
    }
    manifests
}

/// The way out: the object as JSON, written through a buffer that the next one can use again.
pub(crate) fn manifest(node: &Node, origin: Origin, buffer: &mut Vec<u8>) -> Result<Manifest, NotAManifest> {
    fn text(node: Option<&Node>) -> Result<&str, ()> {
        match node {
            Some(Node::Text(text)) => Ok(&text.value),
            Some(node) if !node.is_null() => Err(()),
            _ => Ok(""),
        }
    }
    let metadata = node.get("metadata");
    let metadata = |field: &str| metadata.and_then(|metadata| metadata.get(field));
    let identity = Identity {
        api_version: text(node.get("apiVersion")),
        kind: text(node.get("kind")),
        name: text(metadata("name")),
        namespace: text(metadata("namespace")).unwrap_or_default(),
    };
    buffer.clear();
    node.write_json(buffer);
    let json = std::str::from_utf8(buffer).expect("JSON is UTF-8");
    Manifest::written(identity, json, origin)
}

/// Objects for tools on the way, which are not meant for a cluster.
fn is_local(object: &Resource) -> bool {
    let annotations = object.node.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let local = annotations.and_then(|annotations| annotations.get("config.kubernetes.io/local-config"));
    local.is_some_and(|local| local.scalar().is_some_and(|text| text != "false"))
}
