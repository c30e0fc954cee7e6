//! `vars`, the elder of `replacements`.

use super::cursor::{Cursor, Found};
use super::kustomization::At;
use super::layer::{Build, Layer};
use crate::object::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub name: String,
}

impl Var {
    pub fn read(_item: &Cursor<'_>, _found: &mut Found) -> Self {
        Self { name: String::new() }
    }
}

pub(crate) fn find(build: &mut Build<'_>, var: &At<Var>, _layer: &mut Layer) {
    build.found.push(Problem::at(var.place.clone(), "`vars` is not supported yet"));
}
