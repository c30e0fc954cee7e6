//! A folder without a kustomization: all its manifests, read as `kubectl apply` reads them.

use std::collections::BTreeSet;

use super::Built;
use super::again::Kept;
use super::finish::manifest;
use super::load::{Files, KUSTOMIZATION_NAMES, at};
use crate::object::{EntryKind, Manifest, Place, Problem, Problems, TreeError, TreePath};
use crate::yaml::Dialect;

/// Collects the manifests of a folder and of those below it, by name. What is hidden or no manifest is passed over.
pub(crate) fn plain(files: &Files<'_>, folder: &TreePath) -> Result<Built, Problems> {
    let mut found = Vec::new();
    let mut paths = Vec::new();
    gather(files, folder, 0, &mut paths, &mut found);
    let (mut manifests, mut text, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        if let Err(problem) = files.in_time(&Place::file(path.clone())) {
            found.push(problem);
            break;
        }
        let read = files.resources(&path, &Place::file(path.clone()), Dialect::Kubectl);
        match read {
            Err(mut problems) => found.append(&mut problems),
            Ok(resources) => {
                counts.push((path.clone(), resources.len()));
                for resource in resources.iter() {
                    match manifest(&resource.node, resource.origin.clone(), &mut text) {
                        Ok(manifest) => manifests.push(manifest),
                        Err(error) => {
                            let problem = Problem::at(resource.origin.place.clone(), error.to_string());
                            found.push(problem.hint("an object has apiVersion, kind and metadata.name"));
                        }
                    }
                }
            }
        }
        if manifests.len() > files.limits.objects {
            found.push(Problem::at(Place::file(path), format!("more than {} objects", files.limits.objects)));
            break;
        }
    }
    Problems::check(found)?;
    Ok((manifests, Vec::new(), Kept::plain(folder, counts)))
}

/// The manifests of changed files, where the folder holds the files that it held.
pub(crate) fn again(
    files: &Files<'_>,
    folder: &TreePath,
    known: &[(TreePath, usize)],
    changed: &BTreeSet<TreePath>,
) -> Option<Vec<(usize, Manifest)>> {
    let (mut found, mut paths) = (Vec::new(), Vec::new());
    gather(files, folder, 0, &mut paths, &mut found);
    if !found.is_empty() || !paths.iter().eq(known.iter().map(|(path, _)| path)) {
        return None;
    }
    let (mut manifests, mut text, mut first) = (Vec::new(), Vec::new(), 0);
    for (path, count) in known {
        if changed.contains(path) {
            let resources = files.resources(path, &Place::file(path.clone()), Dialect::Kubectl).ok()?;
            if resources.len() != *count {
                return None;
            }
            for (at, resource) in (first..).zip(resources.iter()) {
                manifests.push((at, manifest(&resource.node, resource.origin.clone(), &mut text).ok()?));
            }
        }
        first += count;
    }
    Some(manifests)
}

/// Deeper trees than this are a mistake; git itself has no limit.
const DEPTH: usize = 64;

fn gather(
    files: &Files<'_>,
    folder: &TreePath,
    depth: usize,
    paths: &mut Vec<TreePath>,
    found: &mut Vec<Problem>,
) {
    let here = Place::file(folder.clone());
    if depth > DEPTH {
        found.push(Problem::at(here, format!("folders are nested more than {DEPTH} deep")));
        return;
    }
    let entries = match files.tree.list(folder) {
        Ok(entries) => entries,
        Err(error) => return found.push(at(&here, &error)),
    };
    for entry in entries {
        let path = folder.child(&entry.name);
        let place = Place::file(path.clone());
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| entry.name.ends_with(end));
        if entry.name.starts_with('.') {
            continue;
        }
        match entry.kind {
            EntryKind::Folder => match files.kustomization(&path) {
                Ok(None) => gather(files, &path, depth + 1, paths, found),
                Ok(Some(file)) => {
                    let message = "a folder with a kustomization stands below a folder without one";
                    let hint = format!(
                        "give {folder} a kustomization.yaml that lists it, or name it as an app of its own"
                    );
                    found.push(Problem::at(Place::file(file), message).hint(hint));
                }
                Err(problem) => found.push(problem),
            },
            EntryKind::File if KUSTOMIZATION_NAMES.contains(&entry.name.as_str()) => {}
            EntryKind::File if is_manifest => paths.push(path),
            EntryKind::File => {}
            EntryKind::BadLink => found.push(at(&place, &TreeError::BadLink { path })),
            EntryKind::Submodule => found.push(at(&place, &TreeError::Submodule { path })),
            EntryKind::BadName => found.push(at(&place, &TreeError::BadName { path })),
        }
    }
}
