//! `configurations` and `crds`: rules of the tree's own about where names, labels and the like stand.

use std::sync::Arc;

use super::fields::{Conflict, Fields};
use super::kustomization::Kustomization;
use super::layer::{Build, Layer};
use crate::object::{Place, Problem, TreePath};

pub(crate) fn load(build: &mut Build<'_>, _folder: &TreePath, kustomization: &Kustomization, _layer: &mut Layer) {
    for path in kustomization.configurations.iter().chain(&kustomization.crds) {
        build.found.push(Problem::at(path.place.clone(), "`configurations` and `crds` are not supported yet"));
    }
}

/// Adds the rules of a layer below to those of this one.
pub(crate) fn merge(build: &mut Build<'_>, place: &Place, fields: &Arc<Fields>, layer: &mut Layer) {
    if Arc::ptr_eq(fields, &layer.fields) || *fields == Fields::defaults() {
        return;
    }
    if let Err(Conflict(path)) = Arc::make_mut(&mut layer.fields).merge(fields) {
        let message = format!("two configurations contradict each other in `create` of {path}");
        build.found.push(Problem::at(place.clone(), message));
    }
}
