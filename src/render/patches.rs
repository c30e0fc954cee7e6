//! `patches`, and its two elders: strategic merge and JSON patches (RFC 6902), by file or inline, with targets.

use std::collections::HashMap;

use super::id::Id;
use super::json_patch::{self, Operation};
use super::kustomization::{At, Content, Kustomization, Patch};
use super::layer::{Build, BuiltIn, Ids, Layer};
use super::load::objects;
use super::resource::Resource;
use super::selector::{Matcher, Selector};
use super::source::Text;
use super::strategic::Merger;
use crate::object::{Place, Problem, TreePath};
use crate::yaml::{Dialect, Map, Node};

enum Parsed {
    Strategic(Vec<Resource>),
    Json(Vec<Operation>),
}

/// Objects by every name they have or had, built when first asked for and again after a patch changed a name.
#[derive(Default)]
pub(crate) struct AnyId(Option<HashMap<Id, Vec<usize>>>);

impl AnyId {
    pub fn find(&mut self, objects: &[Resource], id: &Id) -> &[usize] {
        let index = self.0.get_or_insert_with(|| {
            let mut index: HashMap<Id, Vec<usize>> = HashMap::with_capacity(objects.len());
            for (at, object) in objects.iter().enumerate() {
                for id in object.ids() {
                    let places = index.entry(id).or_default();
                    if places.last() != Some(&at) {
                        places.push(at);
                    }
                }
            }
            index
        });
        index.get(id).map_or(&[], Vec::as_slice)
    }
}

/// Objects by the name that a selector can ask for: the first and the present one.
#[derive(Default)]
struct Names(Option<HashMap<String, Vec<usize>>>);

impl Names {
    fn find(&mut self, objects: &[Resource], name: &str) -> Vec<usize> {
        let index = self.0.get_or_insert_with(|| {
            let mut index: HashMap<String, Vec<usize>> = HashMap::with_capacity(objects.len());
            for (at, object) in objects.iter().enumerate() {
                let (_, first, _) = object.original();
                index.entry(first.to_owned()).or_default().push(at);
                if first != object.name() {
                    index.entry(object.name().to_owned()).or_default().push(at);
                }
            }
            index
        });
        index.get(name).cloned().unwrap_or_default()
    }
}

#[derive(Default)]
pub(crate) struct Index {
    any_id: AnyId,
    names: Names,
}

impl Index {
    fn forget(&mut self) {
        *self = Self::default();
    }
}

pub(crate) fn run(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    let mut index = Index::default();
    for patch in &kustomization.patches {
        if build.late(&patch.place) {
            return;
        }
        one(build, folder, patch, layer, &mut index);
        build.transformed(kustomization, layer, "PatchTransformer");
    }
    layer.objects.retain(|object| !object.node.is_empty());
}

pub(crate) fn one(
    build: &mut Build<'_>,
    folder: &TreePath,
    patch: &At<Patch>,
    layer: &mut Layer,
    index: &mut Index,
) {
    let text = match &patch.it.content {
        Content::Nothing => {
            let problem = Problem::at(patch.place.clone(), "this patch has neither `path` nor `patch`");
            build.found.push(problem);
            return;
        }
        Content::Inline(text) => text.trimmed(),
        Content::Path(path) => {
            let text = build.files.file(folder, &path.it, &path.place);
            let Some(text) = build.keep(text) else { return };
            text
        }
    };
    let parsed = parse(build, &text);
    match build.keep_all(parsed) {
        Some(Parsed::Strategic(patches)) => strategic(build, &patch.it, &patch.place, patches, layer, index),
        Some(Parsed::Json(operations)) => json(build, &patch.it, &patch.place, &operations, layer, index),
        None => {}
    }
}

/// A list is a JSON patch, a map a strategic merge.
fn parse(build: &Build<'_>, text: &Text) -> Result<Parsed, Vec<Problem>> {
    let limits = &build.files.limits.yaml;
    let (held, place) = (&build.files.held, text.place_at(1));
    let json = || held.reading(text, &place, || json_patch::read(text, limits).map(Parsed::Json));
    if text.bytes().first() == Some(&b'[') {
        return json();
    }
    let documents = held.nodes(text, Dialect::Kustomize, &place)?;
    if documents.iter().any(|(node, _)| node.as_list().is_some()) {
        return json();
    }
    objects(documents).map(Parsed::Strategic)
}

fn select(target: &Selector, place: &Place, layer: &Layer, names: &mut Names) -> Result<Vec<usize>, Problem> {
    let matcher = Matcher::new(target).map_err(|message| Problem::at(place.clone(), message))?;
    let fits = |at: &usize| {
        let object = &layer.objects[*at];
        !object.node.is_empty() && matcher.fits(object)
    };
    Ok(match matcher.literal_name() {
        Some(name) => names.find(&layer.objects, name).into_iter().filter(fits).collect(),
        None => (0..layer.objects.len()).filter(fits).collect(),
    })
}

/// Selects the same, and tells people where a target is wrong or fits nothing.
fn select_and_tell(
    build: &mut Build<'_>,
    target: &Selector,
    place: &Place,
    layer: &Layer,
    names: &mut Names,
) -> Option<Vec<usize>> {
    let selected = build.keep(select(target, place, layer, names))?;
    if selected.is_empty() {
        build.note(place, "the target of this patch fits no object, so it changes nothing");
    }
    Some(selected)
}

fn strategic(
    build: &mut Build<'_>,
    options: &Patch,
    place: &Place,
    mut patches: Vec<Resource>,
    layer: &mut Layer,
    index: &mut Index,
) {
    // Where kustomize notes among a patch's annotations what it may change, they become text.
    if options.allow_name_change || options.allow_kind_change {
        patches.iter_mut().for_each(|patch| patch.rewrite_texts("annotations"));
    }
    let Some(target) = &options.target else {
        for patch in patches {
            if let Some(at) = target_of(build, &patch, layer, &mut index.any_id) {
                merge(build, &patch, options, &mut layer.objects[at], index);
            }
        }
        return;
    };
    if let Some(second) = patches.get(1) {
        let message = "several patches in one entry that has a `target`";
        build.found.push(Problem::at(second.origin.place.clone(), message).hint("give each its own entry"));
        return;
    }
    let Some(patch) = patches.into_iter().next() else {
        build.note(place, "this patch is empty and changes nothing");
        return;
    };
    let Some(selected) = select_and_tell(build, target, place, layer, &mut index.names) else {
        return;
    };
    for at in selected {
        let object = &mut layer.objects[at];
        let mut patch = patch.clone();
        // A targeted patch is for whatever the target selects: its own name does not count.
        texts_only(&mut patch);
        if let Some(map) = patch.node.as_map_mut() {
            map.insert("apiVersion".to_owned(), Node::text(object.api_version()));
        }
        merge(build, &patch, options, object, index);
    }
    let count = layer.objects.len();
    check_unique(build, place, layer);
    // What was deleted has left the list, and all that came after it stands elsewhere now.
    if layer.objects.len() != count {
        index.forget();
    }
}

/// kustomize rewrites labels and annotations of these patches as text, null among them.
fn texts_only(patch: &mut Resource) {
    patch.rewrite_texts("labels");
    patch.rewrite_texts("annotations");
}

/// The one object that an untargeted patch names.
fn target_of(build: &mut Build<'_>, patch: &Resource, layer: &Layer, index: &mut AnyId) -> Option<usize> {
    let id = patch.original_id();
    let mut places = index.find(&layer.objects, &id).iter().filter(|at| !layer.objects[**at].node.is_empty());
    match (places.next(), places.next()) {
        (Some(at), None) => Some(*at),
        // On the short way only what changed is there.
        (None, _) if build.trail.is_short() => None,
        (None, _) => {
            let message = format!("this patch is for {id}, which is not among the resources");
            let problem = Problem::at(patch.origin.place.clone(), message);
            build
                .found
                .push(problem.hint("group, version, kind, name and namespace must be those of the resource"));
            None
        }
        (Some(one), Some(other)) => {
            let places = (&layer.objects[*one].origin.place, &layer.objects[*other].origin.place);
            let message = format!("this patch fits two objects: {} and {}", places.0, places.1);
            build.found.push(Problem::at(patch.origin.place.clone(), message).hint("give it a `target`"));
            None
        }
    }
}

fn merge(build: &mut Build<'_>, patch: &Resource, options: &Patch, object: &mut Resource, index: &mut Index) {
    let place = &patch.origin.place;
    let (name, namespace, kind) =
        (object.name().to_owned(), object.namespace().to_owned(), object.kind().to_owned());
    if options.allow_name_change || options.allow_kind_change {
        object.store_previous();
        index.forget();
    }
    build.built_in = BuiltIn::Read;
    let schemas = build.schemas.clone();
    let mut merger = Merger::new(&schemas);
    let node = std::mem::replace(&mut object.node, Node::Null);
    match merger.apply(node, patch.node.clone()) {
        Ok(Some(node)) => {
            object.node = node;
            object.shared.after_merge(&mut object.node, &patch.node);
            if object.node.is_empty() {
                return;
            }
            if !options.allow_kind_change {
                object.set_kind(&kind);
            }
            if !options.allow_name_change {
                object.set_name(&name);
            }
            object.set_namespace(&namespace);
            object.touch("patch", place);
        }
        // The object is gone; the caller drops what is empty.
        Ok(None) => index.forget(),
        Err(fault) => {
            let path = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
            let message = format!("{path}{} (patching {kind} {name})", fault.message);
            let problem = Problem::at(place.clone(), message);
            build.found.push(match fault.hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
    }
}

fn json(
    build: &mut Build<'_>,
    options: &Patch,
    place: &Place,
    operations: &[Operation],
    layer: &mut Layer,
    index: &mut Index,
) {
    let Some(target) = &options.target else {
        let problem = Problem::at(place.clone(), "a JSON patch needs a `target`");
        build.found.push(problem.hint("name the object: `target: {kind: …, name: …}`"));
        return;
    };
    let Some(selected) = select_and_tell(build, target, place, layer, &mut index.names) else {
        return;
    };
    for at in selected {
        let object = &mut layer.objects[at];
        object.store_previous();
        apply_json(build, operations, place, object);
    }
    index.forget();
}

fn apply_json(build: &mut Build<'_>, operations: &[Operation], place: &Place, object: &mut Resource) {
    // Where kustomize keeps notes among the annotations, there are annotations to add to.
    if object.has_notes()
        && let Some(metadata) = object.metadata_mut()
    {
        let annotations = metadata.get_or("annotations", || Node::Null);
        if annotations.is_null() {
            *annotations = Node::Map(Map::new());
        }
    }
    let (kind, name) = (object.kind().to_owned(), object.name().to_owned());
    json_patch::forget_writing(&mut object.node);
    let trace = &mut object.trace;
    let applied = json_patch::apply(&mut object.node, operations, |node, place| {
        if let Some(trace) = trace {
            trace.note(node, "JSON patch", place);
        }
    });
    object.shared.clear();
    match applied {
        Ok(()) => {
            if operations.iter().any(Operation::sets_annotations) {
                object.forget_origin();
            }
            object.rewrite_texts("annotations");
            object.touch("patch", place);
            if object.kind().is_empty() || object.name().is_empty() {
                build.found.push(Problem::at(
                    place.clone(),
                    "this patch takes away the kind or the name of the object",
                ));
            }
        }
        Err(mut problem) => {
            problem.message = format!("{} (patching {kind} {name})", problem.message);
            build.found.push(problem);
        }
    }
}

fn check_unique(build: &mut Build<'_>, place: &Place, layer: &mut Layer) {
    layer.objects.retain(|object| !object.node.is_empty());
    let mut seen: HashMap<Id, &Place> = HashMap::with_capacity(layer.objects.len());
    for object in &layer.objects {
        if let Some(first) = seen.insert(object.id(), &object.origin.place) {
            let message = format!(
                "after this patch {} is there twice: {first} and {}",
                object.id(),
                object.origin.place
            );
            build.found.push(Problem::at(place.clone(), message));
        }
    }
}

pub(crate) fn strategic_merge_files(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    merge_texts(build, folder, &kustomization.patches_strategic_merge, layer);
    if !kustomization.patches_strategic_merge.is_empty() {
        build.transformed(kustomization, layer, "PatchStrategicMergeTransformer");
    }
}

/// Untargeted strategic merges, each a file or the patch itself.
pub(crate) fn merge_texts(build: &mut Build<'_>, folder: &TreePath, entries: &[At<Text>], layer: &mut Layer) {
    let mut index = Index::default();
    let options =
        Patch { content: Content::Nothing, target: None, allow_name_change: false, allow_kind_change: false };
    for entry in entries {
        if build.late(&entry.place) {
            return;
        }
        let Some(patches) = file_or_inline(build, folder, &entry.place, &entry.it) else {
            continue;
        };
        for mut patch in patches {
            texts_only(&mut patch);
            if let Some(at) = target_of(build, &patch, layer, &mut index.any_id) {
                merge(build, &patch, &options, &mut layer.objects[at], &mut index);
            }
        }
    }
    layer.objects.retain(|object| !object.node.is_empty());
}

/// An entry of `patchesStrategicMerge` is a path, or the patch itself.
pub(crate) fn file_or_inline(
    build: &mut Build<'_>,
    folder: &TreePath,
    place: &Place,
    entry: &Text,
) -> Option<Vec<Resource>> {
    let limits = build.files.limits.yaml.clone();
    let written = String::from_utf8_lossy(entry.bytes()).into_owned();
    let text = if is_inline(&written) {
        entry.clone()
    } else {
        let text = build.files.file(folder, &written, place);
        build.keep(text)?
    };
    let documents = text.nodes(Dialect::Kustomize, &limits).map_err(|problem| vec![problem]);
    let read = documents.and_then(objects);
    build.keep_all(read)
}

/// No path holds a line break or `: `; every object does.
pub(crate) fn is_inline(text: &str) -> bool {
    text.contains('\n') || text.contains(": ") || text.contains("\":")
}

pub(crate) fn json_files(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    for patch in &kustomization.patches_json {
        json_entries(build, folder, std::slice::from_ref(patch), layer);
        build.transformed(kustomization, layer, "PatchJson6902Transformer");
    }
}

/// JSON patches that must have a target with a name.
pub(crate) fn json_entries(
    build: &mut Build<'_>,
    folder: &TreePath,
    entries: &[At<Patch>],
    layer: &mut Layer,
) {
    let mut names = Names::default();
    for patch in entries {
        let Some(target) = patch.it.target.as_ref().filter(|target| !target.name.is_empty()) else {
            let problem = Problem::at(
                patch.place.clone(),
                "an entry of patchesJson6902 needs a `target` with a `name`",
            );
            build.found.push(problem);
            continue;
        };
        let text = match &patch.it.content {
            Content::Nothing => {
                let problem = Problem::at(patch.place.clone(), "this patch has neither `path` nor `patch`");
                build.found.push(problem);
                continue;
            }
            Content::Inline(text) => Some(text.clone()),
            Content::Path(path) => {
                let text = build.files.file(folder, &path.it, &path.place);
                build.keep(text)
            }
        };
        let Some(text) = text else { continue };
        let operations = json_patch::read(&text, &build.files.limits.yaml);
        let Some(operations) = build.keep_all(operations) else {
            continue;
        };
        if operations.is_empty() {
            build.found.push(Problem::at(patch.place.clone(), "this patch holds no operation"));
            continue;
        }
        let selected = select(target, &patch.place, layer, &mut names);
        let Some(selected) = build.keep(selected) else {
            continue;
        };
        for at in selected {
            apply_json(build, &operations, &patch.place, &mut layer.objects[at]);
        }
        names = Names::default();
    }
}

/// Appends objects that a patch-like step made.
pub(crate) fn append_all(build: &mut Build<'_>, objects: Vec<Resource>, layer: &mut Layer) {
    let mut ids = Ids::of(&layer.objects);
    build.append(objects, &mut layer.objects, &mut ids);
}
