//! What waits to be saved, and what only one save at a time may have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::StateError;
use crate::cluster::DocumentVersion;
use crate::object::Digest;
use crate::state::{Pace, Prepared};

/// The saves that wait.
#[derive(Default)]
pub(super) struct Queue {
    pub waiting: Vec<Waiting>,
    /// Whether a task is saving what is here.
    pub served: bool,
}

/// The changes of one caller, and where its answer goes.
pub(super) struct Waiting {
    pub changes: Vec<Arc<Prepared>>,
    pub saved: oneshot::Sender<Result<(), StateError>>,
}

/// What only one save at a time may use.
pub(super) struct Writer {
    pub version: Option<DocumentVersion>,
    /// Pieces that may have been written although what was to name them was not swapped.
    pub orphans: BTreeSet<Digest>,
    pub pace: Pace,
    pub began: Instant,
}

impl Writer {
    pub fn new(version: Option<DocumentVersion>) -> Self {
        Self { version, orphans: BTreeSet::new(), pace: Pace::new(Duration::ZERO), began: Instant::now() }
    }
}
