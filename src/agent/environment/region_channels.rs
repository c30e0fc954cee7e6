//! Between what follows git, what tells people, and what looks after the region of an environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::agent::regions::{Heard, Orders, Trial, WriterGate};
use crate::api::{RegionStatus, RequestState};
use crate::delivery::Retry;

/// What came of the requests about regions, by their uids.
pub(super) type RegionReplies = BTreeMap<String, (RequestState, String)>;

/// Between what follows git and what looks after the region.
pub(super) struct RegionChannels {
    /// What git says.
    pub heard: watch::Sender<Option<Heard>>,
    /// What is to run here; nothing before that is known.
    pub orders: watch::Sender<Option<Orders>>,
    pub status: watch::Sender<Option<Arc<RegionStatus>>>,
    pub replies: watch::Sender<RegionReplies>,
    /// What came of trying out what would run here as the active region.
    pub trial: watch::Sender<Option<Trial>>,
    /// An app that is to try again what it set aside, for a step that is tried again.
    pub lift: watch::Sender<Option<Retry>>,
    pub gate: Arc<WriterGate>,
}

impl Default for RegionChannels {
    fn default() -> Self {
        Self {
            heard: watch::channel(None).0,
            orders: watch::channel(None).0,
            status: watch::channel(None).0,
            replies: watch::channel(RegionReplies::new()).0,
            trial: watch::channel(None).0,
            lift: watch::channel(None).0,
            gate: Arc::default(),
        }
    }
}
