//! What happens once, at the top: hash suffixes, references, variables, the order, and the way out.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use super::again::{self, KeptRender, Source};
use super::id::effective_namespace;
use super::layer::{Build, Layer};
use super::load::Files;
use super::references::Referents;
use super::resource::Resource;
use super::trace::Trace;
use super::{Built, Rendered, hash, many, order, references, vars};
use crate::object::{Identity, Manifest, NotAManifest, Origin, Place, Problem, Problems, TreePath};
use crate::yaml::Node;

/// Renders a folder that has a kustomization. Where charts are missing, what else is wrong is of no account yet: it may
/// be wrong because they are.
pub(crate) fn overlay(files: Files<'_>, folder: &TreePath) -> Result<Rendered<Built>, Problems> {
    let mut build = Build::new(files);
    let once = once(&mut build, folder);
    if !build.needed.is_empty() {
        return Ok(Rendered::NeedCharts(build.needed));
    }
    let (manifests, kept) = once?;
    Ok(Rendered::Done((manifests, build.notes, kept)))
}

/// The same, with what set each field.
pub(crate) fn traced(
    files: Files<'_>,
    folder: &TreePath,
) -> Result<Rendered<Vec<(Manifest, Trace)>>, Problems> {
    let mut build = Build::new(files);
    build.traces = Some(Vec::new());
    let once = once(&mut build, folder);
    if !build.needed.is_empty() {
        return Ok(Rendered::NeedCharts(build.needed));
    }
    let (manifests, _) = once?;
    Ok(Rendered::Done(manifests.into_iter().zip(build.traces.unwrap_or_default()).collect()))
}

/// What became of the objects of changed files, if they are still called what they were called before.
pub(crate) fn again(
    build: &mut Build<'_>,
    folder: &TreePath,
    before: &again::Overlay,
) -> Option<Vec<(usize, Manifest)>> {
    let mut layer = build.layer(folder, &Place::file(folder.clone()), None)?;
    let anew = build.trail.anew().to_vec();
    let mut wanted = before.objects_of(&anew).count();
    for object in &layer.objects {
        let (at, _) = before.objects.get(&object.source?)?;
        wanted = wanted.checked_sub(1)?;
        if object.needs_hash || !before.referents.knows(*at, object) {
            return None;
        }
    }
    let fields = layer.fields.clone();
    references::follow(build, &fields, &mut layer.objects, &before.referents);
    let (manifests, sources) = out(build, layer);
    if wanted > 0 || !build.found.is_empty() {
        return None;
    }
    let placed = sources.into_iter().zip(manifests).map(|(source, manifest)| {
        let (_, at) = before.objects.get(&source?)?;
        Some(((*at)?, manifest))
    });
    let placed: Vec<(usize, Manifest)> = placed.collect::<Option<_>>()?;
    let expected = before.objects_of(&anew).filter(|(_, at)| at.is_some()).count();
    (placed.len() == expected).then_some(placed)
}

fn once(build: &mut Build<'_>, folder: &TreePath) -> Result<(Vec<Manifest>, KeptRender), Problems> {
    let layer = build.layer(folder, &Place::file(folder.clone()), None);
    let Some(mut layer) = layer else {
        return Err(problems(std::mem::take(&mut build.found)));
    };
    for object in &mut layer.objects {
        if object.needs_hash {
            let name = format!("{}-{}", object.name(), hash::suffix(object));
            object.store_previous();
            object.set_name(&name);
            object.note("content hash", &object.origin.place.clone());
        }
    }
    let fields = layer.fields.clone();
    let referents = Referents::of(&layer.objects);
    references::follow(build, &fields, &mut layer.objects, &referents);
    vars::resolve(build, &layer.vars, &fields, &mut layer.objects);
    refuse_twins(build, &layer.objects);
    let mut objects: BTreeMap<Source, (usize, Option<usize>)> = BTreeMap::new();
    for (at, object) in layer.objects.iter().enumerate() {
        objects.extend(object.source.map(|source| (source, (at, None))));
    }
    let (manifests, sources) = out(build, layer);
    for (at, source) in sources.into_iter().enumerate() {
        if let Some((_, place)) = source.and_then(|source| objects.get_mut(&source)) {
            *place = Some(at);
        }
    }
    // What stays is copied now that what it lay among is gone, or a few names would hold most of that memory.
    let referents = Referents::clone(&referents);
    match build.found.is_empty() {
        true => Ok((manifests, KeptRender::overlay(folder, build, referents, objects))),
        false => Err(problems(std::mem::take(&mut build.found))),
    }
}

/// Patches and replacements can give two objects one name.
fn refuse_twins(build: &mut Build<'_>, objects: &[Resource]) {
    let mut seen = HashMap::with_capacity(objects.len());
    for object in objects {
        let (api_version, kind) = (object.api_version(), object.kind());
        let namespace = effective_namespace(api_version, kind, object.namespace());
        if let Some(first) = seen.insert((api_version, kind, object.name(), namespace), &object.origin.place)
        {
            let message = format!("in the end {} is there twice: first at {first}", object.id());
            let problem = Problem::at(object.origin.place.clone(), message);
            build.found.push(problem.hint("give one of the two another name"));
        }
    }
}

fn problems(mut found: Vec<Problem>) -> Problems {
    found.dedup();
    match Problems::check(found) {
        Err(problems) => problems,
        Ok(()) => Problem::new("the folder could not be rendered").into(),
    }
}

/// So many objects are written before those that they were made from are forgotten.
const AT_ONCE: usize = 256;

/// The manifests in their order, and where each was read.
fn out(build: &mut Build<'_>, layer: Layer) -> (Vec<Manifest>, Vec<Option<Source>>) {
    let objects: Vec<Resource> = layer.objects.into_iter().filter(|object| !is_local(object)).collect();
    let sort = build.top_sort.take();
    let mut manifests = Vec::with_capacity(objects.len());
    let mut sources = Vec::with_capacity(objects.len());
    let mut sorted = order::sort(objects, sort.as_ref()).into_iter();
    loop {
        let mut some: Vec<Resource> = sorted.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return (manifests, sources);
        }
        for object in &mut some {
            object.rewrite_texts("annotations");
            build.write_metadata(object);
            if let Some(traces) = &mut build.traces {
                // One for each object, whatever brought it: they are told apart by their order.
                let mut trace = object.trace.take().unwrap_or_else(|| Trace::start(&object.node));
                trace.note(&object.node, "buildMetadata", &object.origin.place);
                traces.push(*trace);
            }
        }
        let made = many::map(&some, |object| manifest(&object.node, object.origin.clone()));
        for (object, made) in some.into_iter().zip(made) {
            match made {
                Ok(manifest) => {
                    manifests.push(manifest);
                    sources.push(object.source);
                }
                Err(error) => build.found.push(Problem::at(object.origin.place, error.to_string())),
            }
        }
    }
}

thread_local! {
    /// What is written is copied out of it, to its size.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The way out: the object as JSON.
pub(crate) fn manifest(node: &Node, origin: Origin) -> Result<Manifest, NotAManifest> {
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
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        node.write_json(buffer);
        let json = std::str::from_utf8(buffer).expect("JSON is UTF-8");
        Manifest::written(identity, json, origin)
    })
}

/// Objects for tools on the way, which are not meant for a cluster.
fn is_local(object: &Resource) -> bool {
    let annotations = object.node.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let local = annotations.and_then(|annotations| annotations.get("config.kubernetes.io/local-config"));
    local.is_some_and(|local| local.scalar().is_some_and(|text| text != "false"))
}
