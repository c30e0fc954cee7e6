//! A render after a small change: only what stands in the changed files is rendered anew.
//!
//! Transformers work on one object at a time, but for names: what an object is called, and was called on its way, decides
//! how others refer to it and in which order they stand. So a render leaves behind what its objects are called, which
//! file each came from, and its kustomizations. When nothing but files of objects changed, those files go the whole way
//! again without the others, and if their objects still are called what they were, all others are what they were.
//!
//! Whatever else looks from one object into another (`vars`, `replacements`, plugins, generators that merge) makes a
//! render leave nothing behind, and whatever goes wrong on the short way is left to a whole render to say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::Limits;
use super::cache::Cache;
use super::kustomization::Kustomization;
use super::layer::Build;
use super::load::Files;
use super::references::Referents;
use super::{finish, folder};
use crate::object::{ChartAnswers, Manifest, Tree, TreePath};

/// A file of objects by the order in which it was read (one may be read twice, by two layers), and the object in it.
pub(crate) type Source = (u32, u32);

/// What a render leaves for the next one of the same folder.
#[derive(Debug, Default)]
pub struct KeptRender(Option<Way>);

#[derive(Debug)]
enum Way {
    /// A plain folder: its files, and how many objects each holds.
    Plain {
        folder: TreePath,
        files: Vec<(TreePath, usize)>,
    },
    Overlay(Box<Overlay>),
}

#[derive(Debug)]
pub(crate) struct Overlay {
    folder: TreePath,
    pub kustomizations: HashMap<TreePath, Arc<Kustomization>>,
    /// The files of objects, in the order in which they were read.
    pub files: Vec<TreePath>,
    /// What else was read: patches, files of generators, configurations.
    texts: HashSet<TreePath>,
    pub referents: Referents,
    /// Where each object is among the referents, and which manifest it became, if any.
    pub objects: BTreeMap<Source, (usize, Option<usize>)>,
}

impl Overlay {
    /// The objects of some files.
    pub fn objects_of(&self, files: &[u32]) -> impl Iterator<Item = &(usize, Option<usize>)> {
        let of = |file: &u32| self.objects.range((*file, 0)..=(*file, u32::MAX));
        files.iter().flat_map(of).map(|(_, object)| object)
    }
}

/// What is noted on a whole render, and what is asked on a short one.
pub(crate) struct Trail<'a> {
    pub kustomizations: HashMap<TreePath, Arc<Kustomization>>,
    pub files: Vec<TreePath>,
    /// Something that looks from one object into another.
    pub crosses: bool,
    only: Option<(&'a Overlay, &'a BTreeSet<TreePath>)>,
    /// On the short way: how many files came by, and those that are read anew.
    passed: u32,
    anew: Vec<u32>,
}

pub(crate) enum ReadAgain {
    /// A file of objects: the number that it gets.
    Read(u32),
    /// A file whose objects are what they were.
    Skip,
    /// No file that the render before has read here.
    Unknown,
}

impl<'a> Trail<'a> {
    pub fn new() -> Self {
        let (kustomizations, files, anew) = (HashMap::new(), Vec::new(), Vec::new());
        Self { kustomizations, files, crosses: false, only: None, passed: 0, anew }
    }

    fn only(overlay: &'a Overlay, changed: &'a BTreeSet<TreePath>) -> Self {
        Self { only: Some((overlay, changed)), ..Self::new() }
    }

    pub fn is_short(&self) -> bool {
        self.only.is_some()
    }

    /// On the short way: the files that were read anew.
    pub fn anew(&self) -> &[u32] {
        &self.anew
    }

    pub fn overlay(&self) -> Option<&'a Overlay> {
        self.only.map(|(overlay, _)| overlay)
    }

    /// On the short way: what comes next, if it is this file of a folder.
    pub fn next(&mut self, folder: &TreePath, path: &str) -> ReadAgain {
        let Some((overlay, changed)) = self.only else { return ReadAgain::Unknown };
        let number = self.passed;
        let known = usize::try_from(number).ok().and_then(|at| overlay.files.get(at));
        let Some(known) = known.filter(|known| is_at(known, folder, path)) else {
            return ReadAgain::Unknown;
        };
        self.passed += 1;
        if !changed.contains(known) {
            return ReadAgain::Skip;
        }
        self.anew.push(number);
        ReadAgain::Read(number)
    }

    pub fn read(&mut self, file: &TreePath) -> u32 {
        self.files.push(file.clone());
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// Looks for what lets one object's content into another.
    pub fn note(&mut self, folder: &TreePath, kustomization: &Arc<Kustomization>) {
        let merges = |behavior: &str| !matches!(behavior, "" | "create");
        let generators = kustomization.config_maps.iter().chain(&kustomization.secrets);
        let is_top = self.kustomizations.is_empty();
        self.crosses |= !kustomization.vars.is_empty()
            // What was met before decides what stays of the built-in OpenAPI.
            || kustomization.openapi.is_some() && !is_top
            || !kustomization.replacements.is_empty()
            || !kustomization.charts.is_empty()
            || !kustomization.generators.is_empty()
            || !kustomization.transformers.is_empty()
            || generators.into_iter().any(|generator| merges(&generator.it.behavior));
        self.kustomizations.insert(folder.clone(), kustomization.clone());
    }
}

/// Whether a path of a folder leads to a file. Most paths are plain names, and need not be taken apart.
fn is_at(file: &TreePath, folder: &TreePath, path: &str) -> bool {
    let below = file.as_str().strip_prefix(folder.as_str());
    below.is_some_and(|below| below.strip_prefix('/').unwrap_or(below) == path && file.is_within(folder))
        || folder.join(path).is_ok_and(|asked| asked == *file)
}

impl KeptRender {
    pub(crate) fn plain(folder: &TreePath, files: Vec<(TreePath, usize)>) -> Self {
        Self(Some(Way::Plain { folder: folder.clone(), files }))
    }

    pub(crate) fn overlay(
        folder: &TreePath,
        build: &mut Build<'_>,
        referents: Referents,
        objects: BTreeMap<Source, (usize, Option<usize>)>,
    ) -> Self {
        if build.trail.crosses {
            return Self(None);
        }
        let trail = std::mem::replace(&mut build.trail, Trail::new());
        let texts = build.files.take_texts();
        let (kustomizations, files) = (trail.kustomizations, trail.files);
        let folder = folder.clone();
        Self(Some(Way::Overlay(Box::new(Overlay {
            folder,
            kustomizations,
            files,
            texts,
            referents,
            objects,
        }))))
    }
}

/// Renders what stands in the changed files, where all else that the render before has read is what it was. Gives the
/// manifests that changed, each with its place in the order; `None` where only a whole render can tell.
pub fn again(
    tree: &dyn Tree,
    kept: &KeptRender,
    changed: &BTreeSet<TreePath>,
    limits: &Limits,
) -> Option<Vec<(usize, Manifest)>> {
    let (cache, charts) = (Cache::none(), ChartAnswers::new());
    let files = Files::new(tree, limits, &cache, &charts);
    let manifests = match kept.0.as_ref()? {
        Way::Plain { folder, files: known } => folder::again(&files, folder, known, changed),
        Way::Overlay(overlay) => {
            let is_object =
                |path: &TreePath| !overlay.texts.contains(path) && !overlay.kustomizations.contains_key(path);
            if !changed.iter().all(is_object) {
                return None;
            }
            let mut build = Build::new(files);
            build.trail = Trail::only(overlay, changed);
            finish::again(&mut build, &overlay.folder, overlay)
        }
    }?;
    manifests.iter().all(|(_, object)| object.json().len() <= limits.object_bytes).then_some(manifests)
}
