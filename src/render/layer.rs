//! One kustomization: its resources, generators and components gathered, then its transformers in kustomize's order.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::again::{ReadAgain, Trail};
use super::build_metadata::join;
use super::fields::Fields;
use super::id::Id;
use super::kustomization::{At, Flavor, Kustomization, Sort};
use super::load::{Files, Target, at};
use super::resource::Resource;
use super::schema::Schemas;
use super::trace::Trace;
use super::vars::Var;
use super::{
    configurations, generators, images, labels, names, namespace, patches, plugins, replacement, replicas,
};
use crate::object::{ChartRequest, Note, Place, Problem, TreeError, TreePath};
use crate::yaml::Dialect;

/// So many files are read at once, before what is in them is looked at: more would be in memory for nothing where the
/// first ones are too many already.
const AHEAD: usize = 256;

/// What the layers of one build share.
pub(crate) struct Build<'a> {
    pub files: Files<'a>,
    pub schemas: Arc<Schemas>,
    pub found: Vec<Problem>,
    /// Charts without which this build cannot end.
    pub needed: Vec<ChartRequest>,
    pub notes: Vec<Note>,
    /// The folders that are being read, outermost first.
    pub stack: Vec<TreePath>,
    pub build_metadata: Vec<String>,
    pub top_sort: Option<Sort>,
    /// The way from the top folder to the one that is being read, for `buildMetadata`.
    pub origin_path: String,
    pub trail: Trail<'a>,
    /// Whether somebody asks what set each field, and what did, in the order of the objects that left.
    pub traces: Option<Vec<Trace>>,
    openapi_is_set: bool,
    pub built_in: BuiltIn,
    /// The time is over, and somebody was told.
    is_late: bool,
}

/// kustomize reads its own OpenAPI late, and one of the tree replaces it only as long as nothing has asked for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BuiltIn {
    Unread,
    /// A kind was met that it does not know: it is read after the tree's.
    Due,
    /// Something was merged: it was read before the tree's.
    Read,
}

/// What a layer passes up: its objects, and the rules and variables that it brought.
#[derive(Clone)]
pub(crate) struct Layer {
    pub objects: Vec<Resource>,
    pub fields: Arc<Fields>,
    pub vars: Vec<At<Var>>,
}

impl Layer {
    pub fn empty() -> Self {
        Self { objects: Vec::new(), fields: Fields::defaults(), vars: Vec::new() }
    }
}

impl<'a> Build<'a> {
    pub fn new(files: Files<'a>) -> Self {
        Self {
            files,
            schemas: Schemas::built_in().clone(),
            found: Vec::new(),
            needed: Vec::new(),
            notes: Vec::new(),
            stack: Vec::new(),
            build_metadata: Vec::new(),
            top_sort: None,
            origin_path: String::new(),
            trail: Trail::new(),
            traces: None,
            openapi_is_set: false,
            built_in: BuiltIn::Unread,
            is_late: false,
        }
    }

    /// Keeps a failure and goes on: all that is wrong is told at once.
    pub fn keep<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.found.push(problem)).ok()
    }

    /// Whether the time is over. It is told once: whatever is under way ends then, and nothing begins.
    pub fn late(&mut self, place: &Place) -> bool {
        if !self.is_late
            && let Err(problem) = self.files.in_time(place)
        {
            self.found.push(problem);
            self.is_late = true;
        }
        self.is_late
    }

    pub fn keep_all<T>(&mut self, result: Result<T, Vec<Problem>>) -> Option<T> {
        result.map_err(|mut problems| self.found.append(&mut problems)).ok()
    }

    pub fn note(&mut self, place: &Place, message: impl Into<String>) {
        self.notes.push(Note { place: Some(place.clone()), message: message.into() });
    }

    /// Reads the kustomization of a folder.
    pub fn read(&mut self, folder: &TreePath, named_at: &Place) -> Option<Arc<Kustomization>> {
        if let Some(before) = self.trail.overlay() {
            return before.kustomizations.get(folder).cloned();
        }
        let file = self.files.kustomization(folder);
        let Some(file) = self.keep(file)? else {
            let message = format!("the folder {folder} has no kustomization.yaml");
            self.found.push(Problem::at(named_at.clone(), message).hint("name its files, or give it one"));
            return None;
        };
        let place = Place::file(file.clone());
        let text = self.files.text(&file, &place);
        let text = self.keep(text)?;
        let documents = text.documents(Dialect::Config, &self.files.limits.yaml);
        let documents = self.keep(documents)?;
        let Some(document) = documents.first() else {
            self.found.push(Problem::at(place, "this kustomization is empty").hint("list `resources`"));
            return None;
        };
        if let Some(second) = documents.get(1) {
            let message = "a kustomization is one document; kustomize would ignore this one";
            self.found.push(Problem::at(second.place(), message));
            return None;
        }
        let read = Kustomization::read(document, &mut self.notes);
        let read = Arc::new(self.keep_all(read)?);
        self.trail.note(folder, &read);
        Some(read)
    }

    /// Renders a folder that `resources` or `components` names, or the top one. `None` where problems were found.
    pub fn layer(&mut self, folder: &TreePath, named_at: &Place, base: Option<Layer>) -> Option<Layer> {
        if self.late(named_at) {
            return None;
        }
        if let Some(first) = self.stack.iter().position(|open| open.is_within(folder)) {
            let mut names: Vec<&str> = self.stack[first..].iter().map(TreePath::as_str).collect();
            names.push(folder.as_str());
            let problem =
                Problem::at(named_at.clone(), format!("the overlays go in a circle: {}", names.join(" → ")));
            self.found.push(problem.hint("a folder cannot build on itself or on a folder that it lies in"));
            return None;
        }
        let wants_component = base.is_some();
        let kustomization = self.read(folder, named_at)?;
        match (wants_component, kustomization.flavor) {
            (true, Flavor::Kustomization) => {
                let message = format!("{folder} is not a component");
                let problem = Problem::at(named_at.clone(), message);
                self.found.push(problem.hint("name it in `resources`, or give it `kind: Component`"));
                return None;
            }
            (false, Flavor::Component) if !self.stack.is_empty() => {
                let problem = Problem::at(named_at.clone(), format!("{folder} is a component"));
                self.found.push(problem.hint("name it in `components`"));
                return None;
            }
            _ => {}
        }
        self.stack.push(folder.clone());
        let layer = self.run(folder, &kustomization, base.unwrap_or_else(Layer::empty));
        self.stack.pop();
        layer
    }

    fn run(&mut self, folder: &TreePath, kustomization: &Kustomization, mut layer: Layer) -> Option<Layer> {
        let before = self.found.len();
        if self.stack.len() == 1 {
            self.build_metadata.clone_from(&kustomization.build_metadata);
            self.top_sort = kustomization.sort.as_ref().map(|sort| sort.it.clone());
        }
        self.openapi(folder, kustomization);
        self.resources(folder, &kustomization.resources, &mut layer);
        configurations::load(self, folder, kustomization, &mut layer);
        // What is generated is what it was.
        if !self.trail.is_short() {
            generators::run(self, folder, kustomization, &mut layer);
        }
        plugins::generate(self, folder, kustomization, &mut layer);
        for component in &kustomization.components {
            layer = self.component(folder, component, layer)?;
        }
        // Objects are missing: whatever follows would complain about them.
        if self.found.len() > before {
            return None;
        }
        self.transform(folder, kustomization, &mut layer);
        (self.found.len() == before).then_some(layer)
    }

    /// Follows a path into a folder; returns the way to where it came from.
    fn enter(&mut self, path: &str) -> String {
        let inner = join(&self.origin_path, path);
        std::mem::replace(&mut self.origin_path, inner)
    }

    fn openapi(&mut self, folder: &TreePath, kustomization: &Kustomization) {
        let Some(openapi) = &kustomization.openapi else {
            return;
        };
        // The first one that is met counts, from the top down, as with kustomize.
        if std::mem::replace(&mut self.openapi_is_set, true) {
            return;
        }
        match (&openapi.it.path, &openapi.it.version) {
            (Some(_), Some(_)) => {
                self.found
                    .push(Problem::at(openapi.place.clone(), "`openapi` has either `path` or `version`"));
            }
            (Some(path), None) => {
                let text = self.files.file(folder, path, &openapi.place);
                let Some(text) = self.keep(text) else { return };
                let documents = text.documents(Dialect::Config, &self.files.limits.yaml);
                if let Some(document) = self.keep(documents).and_then(|mut documents| documents.pop()) {
                    let own = Schemas::from_openapi(document.value());
                    self.schemas = Arc::new(match self.built_in {
                        BuiltIn::Unread => own,
                        BuiltIn::Due => own.and(&self.schemas),
                        BuiltIn::Read => Schemas::clone(&self.schemas).and(&own),
                    });
                }
            }
            (None, Some(version)) if version != "v1.21.2" && version != "v1212" => {
                let problem =
                    Problem::at(openapi.place.clone(), "this version of the OpenAPI is not built in");
                self.found.push(problem.hint("leave `openapi` away"));
            }
            _ => {}
        }
    }

    fn resources(&mut self, folder: &TreePath, paths: &[At<String>], layer: &mut Layer) {
        let (mut ids, mut ahead) = (Ids::of(&layer.objects), VecDeque::new());
        for (nth, path) in paths.iter().enumerate() {
            if self.late(&path.place) {
                return;
            }
            if nth % AHEAD == 0 && !self.trail.is_short() {
                let entries = &paths[nth..paths.len().min(nth + AHEAD)];
                ahead = self.files.ahead(folder, entries, Dialect::Kustomize);
            }
            let (found, read) = ahead.pop_front().unzip();
            let read = read.flatten();
            let (target, number) = match self.trail.next(folder, &path.it) {
                ReadAgain::Skip => continue,
                ReadAgain::Read(number) => (folder.join(&path.it).ok().map(Target::File), number),
                ReadAgain::Unknown => {
                    let target = found.unwrap_or_else(|| self.files.resolve(folder, &path.it, &path.place));
                    let target = self.keep(target);
                    let number = match &target {
                        Some(Target::File(file)) => self.trail.read(file),
                        _ => 0,
                    };
                    (target, number)
                }
            };
            match target {
                None => {}
                Some(Target::File(file)) => {
                    let read =
                        read.unwrap_or_else(|| self.files.resources(&file, &path.place, Dialect::Kustomize));
                    let Some(read) = self.keep_all(read) else { continue };
                    // Nobody else holds it where nothing is kept.
                    let mut objects = Arc::try_unwrap(read).unwrap_or_else(|kept| kept.as_ref().clone());
                    self.mark_origin(&path.it, &mut objects);
                    for (nth, object) in (0..).zip(&mut objects) {
                        object.source = Some((number, nth));
                    }
                    self.append(objects, &mut layer.objects, &mut ids);
                }
                Some(Target::Folder(target)) => {
                    let outer = self.enter(&path.it);
                    let below = self.layer(&target, &path.place, None);
                    self.origin_path = outer;
                    let Some(below) = below else { continue };
                    self.append(below.objects, &mut layer.objects, &mut ids);
                    self.adopt(&path.place, below.fields, below.vars, layer);
                }
            }
        }
    }

    /// Takes over the rules and variables of a layer below.
    fn adopt(&mut self, place: &Place, fields: Arc<Fields>, vars: Vec<At<Var>>, layer: &mut Layer) {
        configurations::merge(self, place, &fields, layer);
        for var in vars {
            self.add_var(var, layer);
        }
    }

    pub fn add_var(&mut self, var: At<Var>, layer: &mut Layer) {
        if let Some(known) = layer.vars.iter().find(|known| known.it.name == var.it.name) {
            let message = format!("the variable {} is defined twice, first at {}", var.it.name, known.place);
            self.found.push(Problem::at(var.place, message));
            return;
        }
        layer.vars.push(var);
    }

    pub fn append(&mut self, objects: Vec<Resource>, all: &mut Vec<Resource>, ids: &mut Ids) {
        for mut object in objects {
            if self.traces.is_some() && object.trace.is_none() {
                object.trace = Some(Trace::start(&object.node));
            }
            if !self.openapi_is_set && !self.schemas.knows(object.api_version(), object.kind()) {
                self.meets_unknown();
            }
            match ids.0.entry(object.id()) {
                Entry::Occupied(known) => {
                    let first = &all[*known.get()].origin.place;
                    let message = format!("{} is there twice: first at {first}", object.id());
                    self.found.push(
                        Problem::at(object.origin.place.clone(), message).hint("remove one of the two"),
                    );
                }
                Entry::Vacant(free) => {
                    free.insert(all.len());
                    all.push(object);
                }
            }
        }
        let limit = self.files.limits.objects;
        if all.len() > limit {
            let place = Place::file(self.stack.last().cloned().unwrap_or_default());
            self.found.push(Problem::at(place, format!("more than {limit} objects")));
            all.truncate(limit);
        }
    }

    /// Notes that there is something of a kind that the built-in OpenAPI does not know.
    pub fn meets_unknown(&mut self) {
        if self.built_in == BuiltIn::Unread {
            self.built_in = BuiltIn::Due;
        }
    }

    fn component(&mut self, folder: &TreePath, component: &At<String>, layer: Layer) -> Option<Layer> {
        let target = self.files.resolve(folder, &component.it, &component.place);
        match self.keep(target) {
            Some(Target::Folder(target)) => {
                let outer = self.enter(&component.it);
                let layer = self.layer(&target, &component.place, Some(layer));
                self.origin_path = outer;
                layer
            }
            Some(Target::File(path)) => {
                self.found.push(at(&component.place, &TreeError::NotAFolder { path }));
                Some(layer)
            }
            None => Some(layer),
        }
    }

    fn transform(&mut self, folder: &TreePath, kustomization: &Kustomization, layer: &mut Layer) {
        patches::strategic_merge_files(self, folder, kustomization, layer);
        patches::run(self, folder, kustomization, layer);
        if let Some(wanted) = &kustomization.namespace {
            namespace::run(self, wanted, layer);
            self.transformed(kustomization, layer, "NamespaceTransformer");
        }
        names::run(self, kustomization, layer);
        labels::run(self, kustomization, layer);
        patches::json_files(self, folder, kustomization, layer);
        replicas::run(self, kustomization, layer);
        images::run(self, kustomization, layer);
        replacement::run(self, folder, kustomization, layer);
        plugins::transform(self, folder, kustomization, layer);
        for var in &kustomization.vars {
            super::vars::find(self, var, layer);
        }
    }
}

/// Where each object of a list is, by the name it has now.
pub(crate) struct Ids(HashMap<Id, usize>);

impl Ids {
    pub fn of(objects: &[Resource]) -> Self {
        Self(objects.iter().enumerate().map(|(at, object)| (object.id(), at)).collect())
    }
}
