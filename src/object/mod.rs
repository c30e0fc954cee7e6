//! The words every other room speaks: names of things, files of a revision, manifests and where each came from.
//!
//! Nothing here does I/O or decides anything. A [`Tree`] is the files of a revision however they are stored; a
//! [`Manifest`] is one validated object with its [`Origin`]; a [`Problem`] is something wrong with input, with its
//! place. Every kind of name has its own type, so that an app is never passed where an environment is wanted.

mod chain;
mod chart;
mod digest;
mod drift_record;
pub mod field_path;
mod holder;
pub mod host;
mod kinds;
mod live;
mod managers;
mod manifest;
mod memory;
mod name;
mod overlaid;
pub mod pattern;
mod problem;
mod record;
pub mod secret;
mod tree;

pub use chain::chain;
pub use chart::{Again, ChartAnswers, ChartFailure, ChartOutput, ChartRequest, ChartTarget, ChartValues};
pub use digest::{Digest, Hash, Hashes};
pub use drift_record::{
    DriftAction, DriftClass, DriftOperation, DriftRecord, EventKind, Principal, RecordId, TimelineEvent,
    day_of,
};
pub use holder::{FieldHolder, added_by_others, holders};
pub use kinds::{KindInfo, KindScope, Kinds};
pub use live::{
    APPLIED, CONFIG, HOOK, HOOK_IDENTITY, INTERRUPTIBLE, Live, Owned, PRUNE, REGION_EPOCH, REGION_GUARDED,
    REGION_JOB, REGION_PART, REGION_PROBE, REPLACE, REVERSIBLE, SHARED_CONFIG, WAVE,
};
pub use managers::{AUTOSCALER, Held, LET_GO, MANAGER, ManagedEntry, TOKEN_LENGTH, Tool, held_token};
pub use manifest::{Desired, Identity, Manifest, NotAManifest, Note, Origin, RenderContext, Touch};
pub use memory::{Memory, OutOfMemory, Unbounded};
pub use name::{AppName, EnvironmentName, Gvk, InvalidKey, InvalidName, ObjectKey, Revision};
pub use overlaid::Overlaid;
pub use problem::{Place, Problem, Problems};
pub use record::{Commit, Outcome, RolloutRecord};
pub use tree::{Blob, Entry, EntryKind, MemoryTree, Tree, TreeError, TreePath};
