//! `replacements`: a field of one object copied into fields of others.

use super::cursor::{Cursor, Found};
use super::kustomization::Kustomization;
use super::layer::{Build, Layer};
use crate::object::{Problem, TreePath};

#[derive(Clone, Debug)]
pub(crate) struct Replacement {}

impl Replacement {
    pub fn read(_item: &Cursor<'_>, _found: &mut Found) -> Self {
        Self {}
    }
}

pub(crate) fn run(build: &mut Build<'_>, _folder: &TreePath, kustomization: &Kustomization, _layer: &mut Layer) {
    for replacement in &kustomization.replacements {
        build.found.push(Problem::at(replacement.place.clone(), "`replacements` is not supported yet"));
    }
}
