//! Tree → objects: a folder's overlays as kustomize renders them, or a plain folder's manifests.
//!
//! kustomize 5.8.2 is the judge of the output, value for value. Where its output could not be applied (it drops,
//! doubles or leaves something that no API server takes) we refuse and say what to write instead; `docs/overlays.md`
//! lists each such choice. Everything that is wrong is told at once, each with its file and line.
//!
//! A layer ([`layer`]) is one kustomization: it gathers its resources, layers below it included, then runs its
//! transformers in kustomize's order. Names are followed, variables resolved and the output sorted once, at the top.

mod again;
mod asked;
mod build_metadata;
mod cache;
mod chart_refusals;
mod charts;
mod configurations;
mod cursor;
mod entries;
mod explain;
mod fields;
mod finish;
mod folder;
mod generators;
mod hash;
mod held;
mod helm_charts;
mod id;
mod images;
mod json_patch;
mod kustomization;
mod labels;
mod layer;
mod load;
mod many;
mod names;
mod namespace;
mod order;
mod patches;
mod paths;
mod plugins;
mod references;
mod replacement;
mod replicas;
mod resource;
mod schema;
mod selector;
mod shared;
mod source;
mod strategic;
mod strategic_ports;
mod trace;
mod vars;
mod weight;
mod wildcard;

pub use again::{KeptRender, again};
pub use asked::Asked;
pub use cache::Cache;
pub use explain::{Explained, NoSuchField, Setting, explain};
pub use many::map as on_all_cores;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::object::{
    ChartAnswers, ChartFailure, ChartOutput, ChartRequest, Desired, Manifest, Memory, Note, Problem,
    Problems, RenderContext, Tree, TreePath, Unbounded,
};
use crate::yaml;

/// What an app is rendered from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppSource {
    Folder(TreePath),
    Chart(Box<ChartRequest>),
}

/// How far a render came.
#[derive(Debug)]
pub enum Rendered<T> {
    Done(T),
    /// Charts that helm must render before this can go on.
    NeedCharts(Vec<ChartRequest>),
}

/// What a folder is built to: its objects, and what a build after a small change can use.
pub type Built = (Vec<Manifest>, Vec<Note>, KeptRender);

/// What a render may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    pub yaml: yaml::Limits,
    /// Objects of one app. The largest apps in the wild have a few thousand.
    pub objects: usize,
    /// Bytes of one object as JSON. An API server refuses above 1.5 MiB (etcd's limit for one request).
    pub object_bytes: usize,
    /// Bytes of all objects of an app as JSON.
    pub total_bytes: usize,
    /// How long the render of one app may take, helm's part aside, which has a limit of its own.
    pub time: Duration,
    /// Tells the time, which nobody here may read: how long it has been since some moment.
    pub clock: fn() -> Duration,
    /// Grants the memory of what is read. A wait for it takes no time.
    pub memory: Arc<dyn Memory>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            yaml: yaml::Limits::default(),
            objects: 50_000,
            object_bytes: 1_500_000,
            total_bytes: 512 << 20,
            time: Duration::from_mins(1),
            clock: || Duration::ZERO,
            memory: Arc::new(Unbounded),
        }
    }
}

/// Renders an app as the agent does: all that is wrong is found, objects are unique by key and of a size that a server
/// takes; namespaces stay as they are written.
pub fn render(
    tree: &dyn Tree,
    source: &AppSource,
    context: &RenderContext,
    limits: &Limits,
    cache: &Cache,
    charts: &ChartAnswers,
) -> Result<Rendered<(Desired, KeptRender)>, Problems> {
    let built = match source {
        AppSource::Folder(folder) => build_with(tree, folder, limits, cache, charts)?,
        AppSource::Chart(request) => match charts.get(request) {
            None => Rendered::NeedCharts(vec![(**request).clone()]),
            Some(answer) => Rendered::Done(chart(tree, request, answer, limits)?),
        },
    };
    let (objects, notes, kept) = match built {
        Rendered::Done(built) => built,
        Rendered::NeedCharts(needed) => return Ok(Rendered::NeedCharts(needed)),
    };
    unique(&objects)?;
    Ok(Rendered::Done((Desired::new(context.app.clone(), objects, notes), kept)))
}

/// The objects of an app that is a chart, read as helm itself reads them.
fn chart(
    tree: &dyn Tree,
    request: &ChartRequest,
    answer: &Result<Arc<ChartOutput>, ChartFailure>,
    limits: &Limits,
) -> Result<Built, Problems> {
    let held = held::Held::new(limits);
    let read = charts::objects(tree, request, answer, yaml::Dialect::Kubectl, limits, &held);
    let (resources, notes) = read.map_err(problems)?;
    let (mut objects, mut found) = (Vec::with_capacity(resources.len()), Vec::new());
    for resource in resources {
        let place = resource.origin.place.clone();
        match finish::manifest(&resource.node, resource.origin) {
            Ok(manifest) => objects.push(manifest),
            Err(error) => {
                let problem = Problem::at(place, format!("in what this template renders to: {error}"));
                found.push(problem.hint("an object has apiVersion, kind and metadata.name"));
            }
        }
    }
    Problems::check(found)?;
    sizes(&objects, limits)?;
    Ok((objects, notes, KeptRender::default()))
}

fn problems(found: Vec<Problem>) -> Problems {
    match Problems::check(found) {
        Err(problems) => problems,
        Ok(()) => Problem::new("the chart could not be rendered").into(),
    }
}

/// Renders a folder as `kustomize build` takes it; a folder without a kustomization is all its manifests. A chart in it
/// is refused: nobody is there to render it.
pub fn build(
    tree: &dyn Tree,
    folder: &TreePath,
    limits: &Limits,
) -> Result<(Vec<Manifest>, Vec<Note>), Problems> {
    build_keeping(tree, folder, limits, &Cache::none()).map(|(objects, notes, _)| (objects, notes))
}

/// [`build`] with what earlier builds have parsed, and for later ones.
pub fn build_keeping(
    tree: &dyn Tree,
    folder: &TreePath,
    limits: &Limits,
    cache: &Cache,
) -> Result<Built, Problems> {
    match build_with(tree, folder, limits, cache, &ChartAnswers::new())? {
        Rendered::Done(built) => Ok(built),
        Rendered::NeedCharts(needed) => {
            let no_helm = |request: &ChartRequest| {
                Problem::at(request.place.clone(), format!("the chart {} needs helm", request.chart))
            };
            Err(problems(needed.iter().map(no_helm).collect()))
        }
    }
}

/// [`build_keeping`] with the charts that helm has rendered so far.
pub fn build_with(
    tree: &dyn Tree,
    folder: &TreePath,
    limits: &Limits,
    cache: &Cache,
    charts: &ChartAnswers,
) -> Result<Rendered<Built>, Problems> {
    let files = load::Files::new(tree, limits, cache, charts);
    let built = match files.kustomization(folder)? {
        Some(_) => finish::overlay(files, folder)?,
        None => Rendered::Done(folder::plain(&files, folder)?),
    };
    if let Rendered::Done((objects, ..)) = &built {
        sizes(objects, limits)?;
    }
    Ok(built)
}

fn unique(objects: &[Manifest]) -> Result<(), Problems> {
    let (mut seen, mut found) = (HashMap::with_capacity(objects.len()), Vec::new());
    for object in objects {
        let place = &object.origin.place;
        if let Some(first) = seen.insert(object.key(), place) {
            let message = format!("{} is there twice: first at {first}", object.key());
            found.push(Problem::at(place.clone(), message).hint("remove one of the two"));
        }
    }
    Problems::check(found)
}

fn sizes(objects: &[Manifest], limits: &Limits) -> Result<(), Problems> {
    let (mut total, mut found) = (0_usize, Vec::new());
    for object in objects {
        let place = &object.origin.place;
        let size = object.json().len();
        total = total.saturating_add(size);
        if size > limits.object_bytes {
            let message =
                format!("{} is {size} bytes, and the limit is {}", object.key(), limits.object_bytes);
            found.push(Problem::at(place.clone(), message).hint("no API server takes it; split it"));
        }
    }
    if total > limits.total_bytes {
        found.push(Problem::new(format!(
            "all objects are {total} bytes, and the limit is {}",
            limits.total_bytes
        )));
    }
    Problems::check(found)
}
