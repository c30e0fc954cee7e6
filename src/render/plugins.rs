//! `generators`, `transformers` and `validators` that name kustomize's built-in plugins.

use super::kustomization::Kustomization;
use super::layer::{Build, Layer};
use crate::object::{Problem, TreePath};

pub(crate) fn generate(build: &mut Build<'_>, _folder: &TreePath, kustomization: &Kustomization, _layer: &mut Layer) {
    for chart in &kustomization.charts {
        let problem = match chart.it.as_str() {
            "remote" => Problem::at(chart.place.clone(), "a chart from a remote repository is never fetched")
                .hint("copy the chart into the repository"),
            _ => Problem::at(chart.place.clone(), "charts inside a kustomization are not supported yet")
                .hint("name the chart in environment.yaml: `{name: …, chart: charts/…}`"),
        };
        build.found.push(problem);
    }
    for plugin in &kustomization.generators {
        build.found.push(Problem::at(plugin.place.clone(), "`generators` is not supported yet"));
    }
}

pub(crate) fn transform(build: &mut Build<'_>, _folder: &TreePath, kustomization: &Kustomization, _layer: &mut Layer) {
    for plugin in kustomization.transformers.iter().chain(&kustomization.validators) {
        build.found.push(Problem::at(plugin.place.clone(), "`transformers` and `validators` are not supported yet"));
    }
}
