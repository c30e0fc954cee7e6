//! `configMapGenerator` and `secretGenerator`.

use super::kustomization::Kustomization;
use super::layer::{Build, Layer};
use crate::object::{Problem, TreePath};

pub(crate) fn run(build: &mut Build<'_>, _folder: &TreePath, kustomization: &Kustomization, _layer: &mut Layer) {
    for generator in kustomization.config_maps.iter().chain(&kustomization.secrets) {
        build.found.push(Problem::at(generator.place.clone(), "generators are not supported yet"));
    }
}
