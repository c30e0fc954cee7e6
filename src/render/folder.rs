//! A folder without a kustomization: all its manifests, read as `kubectl apply` reads them.

use std::collections::BTreeSet;

use super::Built;
use super::again::KeptRender;
use super::finish::manifest;
use super::load::{Files, KUSTOMIZATION_NAMES, at};
use super::many;
use super::resource::Resource;
use crate::object::{EntryKind, Manifest, NotAManifest, Place, Problem, Problems, TreeError, TreePath};
use crate::yaml::Dialect;

/// So many files are read before it is looked whether that was too much.
const AT_ONCE: usize = 256;

/// Collects the manifests of a folder and of those below it, by name. What is hidden or no manifest is passed over.
pub(crate) fn plain(files: &Files<'_>, folder: &TreePath) -> Result<Built, Problems> {
    let mut found = Vec::new();
    let mut paths = Vec::new();
    gather(files, folder, 0, &mut paths, &mut found);
    let (mut manifests, mut counts) = (Vec::new(), Vec::new());
    for some in paths.chunks(AT_ONCE) {
        let here = |path: &TreePath| Place::file(path.clone());
        let read = many::map(some, |path| {
            files.in_time(&here(path)).map_err(|problem| vec![problem])?;
            let read = files.resources(path, &here(path), Dialect::Kubectl)?;
            let written = |resource: &Resource| manifest(&resource.node, resource.origin.clone());
            Ok(read.iter().map(|resource| (resource.origin.place.clone(), written(resource))).collect())
        });
        for (path, read) in some.iter().zip(read) {
            let read: Vec<(Place, Result<Manifest, NotAManifest>)> = match read {
                Ok(read) => read,
                Err(mut problems) => {
                    found.append(&mut problems);
                    if files.in_time(&here(path)).is_err() {
                        return Err(super::problems(found));
                    }
                    continue;
                }
            };
            counts.push((path.clone(), read.len()));
            for (place, made) in read {
                match made {
                    Ok(manifest) => manifests.push(manifest),
                    Err(error) => found.push(
                        Problem::at(place, error.to_string())
                            .hint("an object has apiVersion, kind and metadata.name"),
                    ),
                }
            }
            if manifests.len() > files.limits.objects {
                let message = format!("more than {} objects", files.limits.objects);
                found.push(Problem::at(here(path), message));
                return Err(super::problems(found));
            }
        }
    }
    Problems::check(found)?;
    Ok((manifests, Vec::new(), KeptRender::plain(folder, counts)))
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
    let (mut manifests, mut first) = (Vec::new(), 0);
    for (path, count) in known {
        if changed.contains(path) {
            let resources = files.resources(path, &Place::file(path.clone()), Dialect::Kubectl).ok()?;
            if resources.len() != *count {
                return None;
            }
            for (at, resource) in (first..).zip(resources.iter()) {
                manifests.push((at, manifest(&resource.node, resource.origin.clone()).ok()?));
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
