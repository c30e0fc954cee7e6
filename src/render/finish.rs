//! What happens once, at the top: hash suffixes, references, variables, the order, and the way out.

use super::layer::{Build, Layer};
use super::load::Files;
use super::resource::Resource;
use super::{hash, order, references, vars};
use crate::object::{Manifest, Note, Place, Problem, Problems, TreePath};

/// Renders a folder that has a kustomization. Where a patch puts a number over text, the file of the object is read
/// again, quotes included: that is rare, and to keep all quotes of all files would cost every render.
pub(crate) fn overlay(files: Files<'_>, folder: &TreePath) -> Result<(Vec<Manifest>, Vec<Note>), Problems> {
    let mut files = files;
    loop {
        let mut build = Build::new(files);
        let rendered = once(&mut build, folder);
        if build.wants_quotes.is_empty() {
            return rendered.map(|manifests| (manifests, build.notes));
        }
        files = build.files;
        files.quotes.extend(build.wants_quotes);
    }
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
    let mut manifests = Vec::new();
    for mut object in order::sort(objects, sort.as_ref()) {
        object.rewrite_texts("annotations");
        build.write_metadata(&mut object);
        let place = object.origin.place.clone();
        match Manifest::new(object.node.into_value(), object.origin) {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => build.found.push(Problem::at(place, error.to_string())),
        }
    }
    manifests
}

/// Objects for tools on the way, which are not meant for a cluster.
fn is_local(object: &Resource) -> bool {
    let annotations = object.node.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let local = annotations.and_then(|annotations| annotations.get("config.kubernetes.io/local-config"));
    local.is_some_and(|local| local.scalar().is_some_and(|text| text != "false"))
}
