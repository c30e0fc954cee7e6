//! The tree as it is rendered for a region: an app's overlay with the component of the region joined to it.
//!
//! An app joins `overlays/regions/<region>` by being there. One that joins a regional component by itself, in a kustomization of
//! its own, says which, and keeps it.

use crate::object::{Blob, Digest, Entry, EntryKind, Note, Problem, Problems, Tree, TreeError, TreePath};
use crate::render::AppSource;

const REGIONS: &str = "overlays/regions";
const KUSTOMIZATION: &str = "kustomization.yaml";
/// The folder that is in no repository.
const FOLDER: &str = ".fairlead-region";
const FILE_LIMIT: u64 = 1 << 20;

pub struct Regional<'a> {
    inner: &'a dyn Tree,
    folder: TreePath,
    file: TreePath,
    text: String,
}

impl<'a> Regional<'a> {
    /// The tree and what is rendered of it; nothing where the region has no component, or the app none to be joined to.
    pub fn of(
        tree: &'a dyn Tree,
        source: &AppSource,
        region: Option<&str>,
    ) -> Result<Option<(Self, AppSource)>, Problems> {
        let (AppSource::Folder(app), Some(region)) = (source, region) else { return Ok(None) };
        let wrong = |error: TreeError| Problems::from(Problem::new(error.to_string()));
        let component = TreePath::new(REGIONS).map_err(wrong)?.child(region);
        let is_there =
            |path: &TreePath| tree.kind(path).map(|kind| kind == Some(EntryKind::File)).map_err(wrong);
        let own = app.child(KUSTOMIZATION);
        if !is_there(&component.child(KUSTOMIZATION))? || !is_there(&own)? {
            return Ok(None);
        }
        let read = tree.read(&own, FILE_LIMIT).map_err(wrong)?;
        if joins_a_region(&String::from_utf8_lossy(&read.bytes)) {
            return Ok(None);
        }
        let folder = TreePath::new(FOLDER).map_err(wrong)?;
        let text = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{:?}]\ncomponents: [{:?}]\n",
            format!("../{app}"),
            format!("../{component}")
        );
        let file = folder.child(KUSTOMIZATION);
        Ok(Some((Self { inner: tree, folder: folder.clone(), file, text }, AppSource::Folder(folder))))
    }
}

/// Whether a note is about the component of a region. That is for all apps: what of it fits one changes nothing in another, and
/// is meant so.
pub fn is_of_a_region(note: &Note) -> bool {
    let place = note.place.as_ref();
    place.is_some_and(|place| {
        place.path.as_str().strip_prefix(REGIONS).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Whether a kustomization names a folder of regions by itself.
fn joins_a_region(text: &str) -> bool {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default());
    lines.into_iter().any(|line| !line.trim_start().starts_with('#') && line.contains("regions/"))
}

impl Tree for Regional<'_> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        if *path == self.file || *path == self.folder {
            let kind = if *path == self.file { EntryKind::File } else { EntryKind::Folder };
            let id = Digest::of(self.text.as_bytes());
            return Ok(Some(Entry { name: path.file_name().into(), kind, id }));
        }
        self.inner.entry(path)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        if *path == self.file || *path == self.folder {
            return Ok(self.entry(path)?.map(|entry| entry.kind));
        }
        self.inner.kind(path)
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        if *folder == self.folder {
            return Ok(self.entry(&self.file)?.into_iter().collect());
        }
        self.inner.list(folder)
    }

    fn differences(&self, folder: &TreePath, before: &Digest) -> Result<Option<Vec<Box<str>>>, TreeError> {
        self.inner.differences(folder, before)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        if *path == self.file {
            return Ok(Blob { bytes: self.text.clone().into_bytes().into() });
        }
        self.inner.read(path, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Place;

    #[test]
    fn what_a_region_says_to_other_apps_is_not_noted() {
        let note = |path: &str| {
            let place = Some(Place::file(TreePath::new(path).unwrap()));
            is_of_a_region(&Note { place, message: "the target of this patch fits no object".to_owned() })
        };
        assert!(note("overlays/regions/eu-west-1/kustomization.yaml"));
        assert!(!note("overlays/regions-of-old/kustomization.yaml"));
        assert!(!note("overlays/production/web/kustomization.yaml"));
    }
}
