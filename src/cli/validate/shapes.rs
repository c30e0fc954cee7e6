//! What schemas say of an app's objects, with the line that each field stands on.

use serde_json::Value;

use super::Means;
use crate::api::AppSpec;
use crate::object::{Desired, Manifest, Note, ObjectKey, Place, Problem, Tree, TreePath};
use crate::policy::{Finding, Severity};
use crate::render::{self, Explained};
use crate::schema::{self, Builtin, Definitions};

/// What objects are judged by.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    pub builtin: &'a Builtin,
    pub definitions: &'a Definitions,
    pub means: Means<'a>,
}

/// Removed versions, unknown kinds of Kubernetes' own groups, unknown fields, wrong types, missing fields; of custom
/// resources what their definitions say, where those are in the tree. Others are the cluster's to judge.
pub fn check(tree: &dyn Tree, app: &AppSpec, desired: &Desired, against: &Against<'_>) -> Vec<Problem> {
    let Against { builtin, definitions, means } = *against;
    let mut found = Vec::new();
    let mut places = Places { tree, app, means, objects: None };
    for (nth, object) in desired.objects.iter().enumerate() {
        let gvk = object.gvk();
        let place = || object.origin.place.clone();
        if definitions.has(&gvk.group, &gvk.kind) {
            let broken = definitions.check(gvk, &object.value());
            found.extend(broken.iter().map(|finding| places.problem(nth, object, finding)));
        } else if let Some(removed) = builtin.removed(gvk) {
            let problem =
                Problem::at(place(), format!("{gvk} was removed in Kubernetes {}", removed.release));
            found.push(match &removed.instead {
                Some(instead) => problem.hint(format!("write {instead}")),
                None => problem,
            });
        } else if builtin.kind(gvk).is_some() {
            let broken = schema::check(builtin, gvk, &object.value());
            found.extend(broken.iter().map(|finding| places.problem(nth, object, finding)));
        } else if builtin.owns_group(&gvk.group) {
            let problem = Problem::at(place(), format!("Kubernetes {} has no {gvk}", builtin.release()));
            let mut oldest_first =
                schema::known().into_iter().rev().filter_map(|name| schema::release(name).ok());
            let served = oldest_first.find(|other| other.kind(gvk).is_some());
            found.push(problem.hint(match served {
                Some(other) => format!("Kubernetes {} has it", other.release()),
                None => "is the kind or the version misspelt?".to_owned(),
            }));
        }
    }
    found
}

/// What the platform does not let, and what it warns of, each at the line of its field where that can be found.
pub fn placed(
    tree: &dyn Tree,
    app: &AppSpec,
    findings: Vec<Finding>,
    against: &Against<'_>,
) -> (Vec<Problem>, Vec<Note>) {
    let mut places = Places { tree, app, means: against.means, objects: None };
    let (mut refused, mut warned) = (Vec::new(), Vec::new());
    for mut finding in findings {
        if let Some(key) = &finding.key
            && !finding.pointer.is_empty()
            && let Some(place) = places.exact_of(key, &finding.pointer)
        {
            finding.place = Some(place);
        }
        match finding.severity {
            Severity::Deny => refused.push(finding.problem()),
            Severity::Warn => warned.push(Note { place: finding.place, message: finding.message }),
        }
    }
    (refused, warned)
}

/// Where fields stand: looked up only when something is wrong, by a render that keeps what set each.
struct Places<'a> {
    tree: &'a dyn Tree,
    app: &'a AppSpec,
    means: Means<'a>,
    objects: Option<Vec<Explained>>,
}

impl Places<'_> {
    fn problem(&mut self, nth: usize, object: &Manifest, finding: &schema::Finding) -> Problem {
        let place = self.exact(nth, object, &finding.pointer).unwrap_or_else(|| object.origin.place.clone());
        Problem::at(place, format!("{}: {finding}", object.key()))
    }

    fn explained(&mut self) -> &[Explained] {
        let (tree, app, Means { charts, limits, .. }) = (self.tree, self.app, self.means);
        self.objects.get_or_insert_with(|| {
            let folder = app.path.as_ref().and_then(|path| TreePath::new(path).ok());
            let explain = |folder: TreePath| {
                charts.serve(tree, |made| render::explain(tree, &folder, limits, made)).ok()
            };
            folder.and_then(explain).unwrap_or_default()
        })
    }

    fn exact(&mut self, nth: usize, object: &Manifest, pointer: &str) -> Option<Place> {
        if pointer.is_empty() {
            return None;
        }
        let (tree, limits) = (self.tree, self.means.limits);
        let explained = self.explained().get(nth).filter(|one| one.manifest.key() == object.key())?;
        place_in(explained, tree, limits, pointer)
    }

    /// The same of an object that may have got its namespace since.
    fn exact_of(&mut self, key: &ObjectKey, pointer: &str) -> Option<Place> {
        let (tree, limits) = (self.tree, self.means.limits);
        let is_it = |one: &&Explained| {
            let (manifest, namespace) = (&one.manifest, one.manifest.namespace());
            (&*manifest.gvk().group, &*manifest.gvk().kind) == (&*key.group, &*key.kind)
                && manifest.name() == &*key.name
                && (namespace.is_none() || namespace == key.namespace.as_deref())
        };
        let explained = self.explained().iter().find(is_it)?;
        place_in(explained, tree, limits, pointer)
    }
}

/// The place of what set a field last.
fn place_in(explained: &Explained, tree: &dyn Tree, limits: &render::Limits, pointer: &str) -> Option<Place> {
    let path = explained.find(pointer).ok()?;
    let settings = explained.settings(tree, limits, &path);
    // The object as a whole is meant where a value is missing in it.
    settings
        .last()
        .filter(|setting| setting.value.as_ref() != Some(&Value::Null))
        .map(|last| last.place.clone())
}
