//! What renders share: parsed files by blob id. A value to keep between renders, or to make anew for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::load::Reading;
use super::resource::Resource;
use crate::object::{Digest, TreePath};
use crate::yaml::Dialect;

type ParsedKey = (Digest, TreePath, Dialect, Reading);

/// Parsed files, shared by all renders that hold it. Equal blob ids mean equal content, in any revision.
#[derive(Default)]
pub struct Cache {
    parsed: Mutex<HashMap<ParsedKey, Arc<Vec<Resource>>>>,
}

impl Cache {
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn parsed(
        &self,
        id: &Digest,
        path: &TreePath,
        dialect: Dialect,
        reading: Reading,
    ) -> Option<Arc<Vec<Resource>>> {
        let parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        parsed.get(&(id.clone(), path.clone(), dialect, reading)).cloned()
    }

    pub(crate) fn keep_parsed(
        &self,
        id: Digest,
        path: &TreePath,
        dialect: Dialect,
        reading: Reading,
        resources: &Arc<Vec<Resource>>,
    ) {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        parsed.insert((id, path.clone(), dialect, reading), resources.clone());
    }
}
