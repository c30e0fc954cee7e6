//! The files that helm is given: the chart's folder and the values, read from the tree, written to a scratch folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::object::{
    ChartRequest, ChartValues, Digest, Entry, EntryKind, Place, Problem, Tree, TreeError, TreePath,
};

/// Files of a chart. The largest that are published have some hundreds.
const FILES: usize = 5_000;
/// Bytes of all of them.
const BYTES: u64 = 64 << 20;
/// Bytes of one file: as much as helm takes of a packed one.
const FILE: u64 = 5 << 20;
/// Deeper folders are a mistake.
const DEPTH: usize = 32;

/// Where the chart is in the scratch folder.
const FOLDER: &str = "chart";
const PACKED: &str = "chart.tgz";

pub(super) struct Files {
    /// By their path in the scratch folder.
    all: Vec<(String, Arc<[u8]>)>,
    is_packed: bool,
}

/// The name of the nth file of values in the scratch folder; `render` knows it again in what helm says.
pub(super) fn values_name(nth: usize) -> String {
    format!("values/{nth}.yaml")
}

pub(super) fn gather(tree: &dyn Tree, request: &ChartRequest) -> Result<Files, Problem> {
    let chart = &request.chart;
    let at = |error: TreeError| Problem::at(request.place.clone(), error.to_string());
    let mut gathered = Gathered { tree, all: Vec::new(), bytes: 0 };
    let kind = tree.kind(chart).map_err(at)?;
    let is_packed = kind == Some(EntryKind::File) && chart.file_name().ends_with(".tgz");
    match kind {
        Some(EntryKind::File) if is_packed => gathered.file(chart, PACKED.to_owned(), BYTES)?,
        Some(EntryKind::Folder) => {
            if tree.kind(&chart.child("Chart.yaml")).map_err(at)? != Some(EntryKind::File) {
                let problem =
                    Problem::at(request.place.clone(), format!("{chart} is no chart: it has no Chart.yaml"));
                return Err(problem);
            }
            gathered.folder(chart, FOLDER, 0)?;
        }
        None => return Err(at(TreeError::Missing { path: chart.clone() })),
        _ => {
            let problem = Problem::at(request.place.clone(), format!("{chart} is no chart"));
            return Err(problem.hint("a chart is a folder with a Chart.yaml, or a .tgz of one"));
        }
    }
    for (nth, values) in request.values.iter().enumerate() {
        match values {
            ChartValues::File(path, place) => {
                gathered.file(path, values_name(nth), FILE).map_err(|problem| match problem.place {
                    Some(_) => Problem { place: Some(place.clone()), ..problem },
                    None => problem,
                })?;
            }
            ChartValues::Inline(text) => gathered.all.push((values_name(nth), text.as_bytes().into())),
        }
    }
    Ok(Files { all: gathered.all, is_packed })
}

struct Gathered<'a> {
    tree: &'a dyn Tree,
    all: Vec<(String, Arc<[u8]>)>,
    bytes: u64,
}

impl Gathered<'_> {
    fn folder(&mut self, folder: &TreePath, to: &str, depth: usize) -> Result<(), Problem> {
        let place = || Place::file(folder.clone());
        if depth > DEPTH {
            return Err(Problem::at(place(), format!("folders are nested more than {DEPTH} deep")));
        }
        let entries = self.tree.list(folder).map_err(|error| Problem::at(place(), error.to_string()))?;
        for Entry { name, kind, .. } in entries {
            let path = folder.child(&name);
            let to = format!("{to}/{name}");
            match kind {
                EntryKind::Folder => self.folder(&path, &to, depth + 1)?,
                EntryKind::File => self.file(&path, to, FILE)?,
                EntryKind::BadLink => return Err(refused(&path, &TreeError::BadLink { path: path.clone() })),
                EntryKind::Submodule => {
                    return Err(refused(&path, &TreeError::Submodule { path: path.clone() }));
                }
                EntryKind::BadName => return Err(refused(&path, &TreeError::BadName { path: path.clone() })),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &TreePath, to: String, limit: u64) -> Result<(), Problem> {
        let blob = self.tree.read(path, limit).map_err(|error| refused(path, &error))?;
        self.bytes = self.bytes.saturating_add(blob.bytes.len() as u64);
        self.all.push((to, blob.bytes));
        if self.bytes > BYTES || self.all.len() > FILES {
            let message = format!("a chart has at most {FILES} files and {} MiB", BYTES >> 20);
            return Err(Problem::at(Place::file(path.clone()), message));
        }
        Ok(())
    }
}

fn refused(path: &TreePath, error: &TreeError) -> Problem {
    Problem::at(Place::file(path.clone()), error.to_string())
}

impl Files {
    pub fn chart_name(&self) -> &'static str {
        if self.is_packed { "./chart.tgz" } else { "./chart" }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.all.iter().map(|(path, bytes)| (path.as_str(), &**bytes))
    }

    pub fn digest(&self) -> Digest {
        let parts: Vec<(&str, Digest)> = self.iter().map(|(path, bytes)| (path, Digest::of(bytes))).collect();
        Digest::of_parts(parts.iter().flat_map(|(path, digest)| [*path, digest.as_str()]))
    }

    /// Writes them below a folder, each as it is or as `otherwise` has it.
    pub fn write(&self, folder: &Path, otherwise: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) -> io::Result<()> {
        for (path, bytes) in self.iter() {
            let place = folder.join(path);
            if let Some(parent) = place.parent() {
                std::fs::create_dir_all(parent)?;
            }
            match otherwise(path, bytes) {
                Some(other) => std::fs::write(place, other)?,
                None => std::fs::write(place, bytes)?,
            }
        }
        Ok(())
    }
}
