//! What renders share: parsed files by blob id. A value to keep between renders, bounded, or to make anew for each.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::resource::Resource;
use crate::object::{Digest, TreePath};
use crate::yaml::Dialect;

type ParsedKey = (Digest, TreePath, Dialect);

/// Bytes of files whose content is kept in one generation; parsed they take about five times that.
const GENERATION: usize = 4 << 20;

/// Parsed files, shared by all renders that hold it. Equal ids mean equal content, in any revision.
///
/// A file is kept from its second reading on: most files are of one app and read once, and what is kept has to be copied
/// before it can be worked on. Two generations: what is asked for moves to the young one; when that is full, the old one
/// is forgotten.
pub struct Cache {
    kept: Option<Mutex<Generations>>,
}

#[derive(Default)]
struct Generations {
    read_once: HashSet<ParsedKey>,
    young: HashMap<ParsedKey, Parsed>,
    young_bytes: usize,
    old: HashMap<ParsedKey, Parsed>,
}

#[derive(Clone)]
struct Parsed {
    resources: Arc<Vec<Resource>>,
    bytes: usize,
}

impl Generations {
    fn put(&mut self, key: ParsedKey, parsed: Parsed) {
        if self.young_bytes + parsed.bytes > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += parsed.bytes;
        self.young.insert(key, parsed);
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

impl Cache {
    pub fn new() -> Self {
        Self { kept: Some(Mutex::default()) }
    }

    /// One that keeps nothing, for a single render.
    pub fn none() -> Self {
        Self { kept: None }
    }

    pub(crate) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    pub(crate) fn parsed(
        &self,
        id: &Digest,
        path: &TreePath,
        dialect: Dialect,
    ) -> Option<Arc<Vec<Resource>>> {
        let mut kept = self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id.clone(), path.clone(), dialect);
        if let Some(parsed) = kept.young.get(&key) {
            return Some(parsed.resources.clone());
        }
        let parsed = kept.old.remove(&key)?;
        kept.put(key, parsed.clone());
        Some(parsed.resources)
    }

    pub(crate) fn keep_parsed(
        &self,
        id: Digest,
        path: &TreePath,
        dialect: Dialect,
        resources: &Arc<Vec<Resource>>,
        bytes: usize,
    ) {
        if let Some(kept) = &self.kept {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (id, path.clone(), dialect);
            if kept.read_once.insert(key.clone()) {
                return;
            }
            let parsed = Parsed { resources: resources.clone(), bytes };
            kept.put(key, parsed);
        }
    }
}
