//! Finds circles of imports between files: where each of some files names the next and the last names the first, none of
//! them can be read, tried or moved without the others.
//!
//! A file stands for what it defines: a name that a module only passes on leads to where it is defined, so that a façade
//! is no part of a circle. A module is made of the files below it, so that it may name them while they use its words; two
//! files beside each other may not. Tests are left out: nothing imports them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Import;

/// A file of src/ as the list of its modules, and what it imports.
pub struct File {
    pub path: String,
    pub module: Vec<String>,
    pub imports: Vec<Import>,
}

/// Which file names which, and on which line first.
pub struct Graph {
    files: Vec<String>,
    edges: Vec<BTreeMap<usize, usize>>,
}

/// Names are looked up through so many façades at most: two that pass on each other's names would never end.
const FACADES: usize = 8;

impl Graph {
    pub fn of(files: &[File]) -> Self {
        let modules: BTreeMap<&[String], usize> =
            files.iter().enumerate().map(|(n, file)| (file.module.as_slice(), n)).collect();
        let edges = files.iter().map(|file| {
            let mut edges = BTreeMap::new();
            for import in &file.imports {
                let to = resolve(&import.path, files, &modules, FACADES);
                if let Some(to) = to.filter(|to| !files[*to].module.starts_with(&file.module)) {
                    edges.entry(to).or_insert(import.line);
                }
            }
            edges
        });
        Self { edges: edges.collect(), files: files.iter().map(|file| file.path.clone()).collect() }
    }

    /// The groups of files that all reach each other, each in the order of their paths.
    pub fn circles(&self) -> Vec<Vec<usize>> {
        let reach: Vec<BTreeSet<usize>> = (0..self.files.len()).map(|from| self.reach(from)).collect();
        let mut found: Vec<Vec<usize>> = Vec::new();
        for n in 0..self.files.len() {
            if !reach[n].contains(&n) || found.iter().any(|circle| circle.contains(&n)) {
                continue;
            }
            found.push(
                (0..self.files.len()).filter(|m| reach[n].contains(m) && reach[*m].contains(&n)).collect(),
            );
        }
        found
    }

    pub fn path(&self, file: usize) -> &str {
        &self.files[file]
    }

    /// Tells the shortest way round in a circle: each file with the line on which it names the next.
    pub fn tell(&self, circle: &[usize]) -> String {
        let rounds = circle.iter().filter_map(|from| self.round(*from, circle));
        let shortest = rounds.min_by_key(Vec::len).expect("a circle has a way round");
        let mut steps: Vec<String> = shortest
            .windows(2)
            .map(|step| format!("{}:{}", self.files[step[0]], self.edges[step[0]][&step[1]]))
            .collect();
        steps.push(self.files[shortest[0]].clone());
        format!("{} (one of {} files that all import each other)", steps.join(" -> "), circle.len())
    }

    fn reach(&self, from: usize) -> BTreeSet<usize> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(self.edges[file].keys().copied().filter(|to| reached.insert(*to)));
        }
        reached
    }

    fn round(&self, from: usize, circle: &[usize]) -> Option<Vec<usize>> {
        let mut ways = vec![vec![from]];
        for _ in circle {
            let mut longer = Vec::new();
            let mut seen = BTreeSet::new();
            for way in &ways {
                for to in self.edges[*way.last()?].keys().filter(|to| circle.contains(to)) {
                    let way: Vec<usize> = way.iter().copied().chain([*to]).collect();
                    if *to == from {
                        return Some(way);
                    }
                    if seen.insert(*to) {
                        longer.push(way);
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

/// The file that defines what a path names.
fn resolve(
    path: &[String],
    files: &[File],
    modules: &BTreeMap<&[String], usize>,
    facades: usize,
) -> Option<usize> {
    let length = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let file = modules[&path[..length]];
    let Some(name) = path.get(length).filter(|_| facades > 0) else { return Some(file) };
    let passed = files[file].imports.iter().find(|import| import.name.as_ref() == Some(name));
    match passed {
        Some(import) => {
            let rest = path[length + 1..].iter().cloned();
            let path: Vec<String> = import.path.iter().cloned().chain(rest).collect();
            resolve(&path, files, modules, facades - 1)
        }
        None => Some(file),
    }
}
