//! What came of writing and deleting: the answers that decisions are made of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Handover, PruneRefusal, Refusal, Wanted};
use crate::object::{Live, ObjectKey};

/// What was applied before, by object: what was ours then is taken back by force.
pub type Before = BTreeMap<ObjectKey, Arc<Wanted>>;

/// What an environment wants, by key.
pub type WantedKeys = Arc<HashSet<ObjectKey>>;

/// One object that was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub wanted: Arc<Wanted>,
    pub live: Live,
    pub created: bool,
    /// What others handed over with it.
    pub adopted: Option<Arc<Handover>>,
}

/// What came of writing one wave.
#[derive(Clone, Debug, Default)]
pub struct WaveOutcome {
    pub written: Vec<Written>,
    /// Shown to be as wanted when it was asked about again.
    pub settled: usize,
    pub refused: Vec<Refusal>,
    /// A newer commit came; what was not begun was left.
    pub stopped: bool,
}

/// What came of deleting one wave.
#[derive(Clone, Debug, Default)]
pub struct PruneOutcome {
    pub deleted: Vec<ObjectKey>,
    pub refused: Vec<PruneRefusal>,
    /// Something newer came; what was not begun was left.
    pub stopped: bool,
}
