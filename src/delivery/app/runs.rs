//! What is known of what an app runs and ran.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::object::{Commit, Digest, ObjectKey, Revision};
use crate::plan::{Before, WantedApp};
use crate::rollout::Purpose;
use crate::state::{AppMemory, Good, Pieces, Rolling, WithSecrets};

#[derive(Debug, Default)]
pub(in crate::delivery) struct Runs {
    /// What runs and passed its gates, in the life of this process.
    pub effective: Option<Digest>,
    /// What passed all its gates last, in the life of this process.
    pub last_good: Option<Arc<WantedApp>>,
    /// Its digest and commit, which are known after a restart too.
    pub known_good: Option<Good>,
    /// What it ran when every app was well, which is known where all go back together.
    pub with_all: Option<Digest>,
    /// What failed, when this process began.
    pub failed: Option<Digest>,
    /// The manifests that were applied last: what was ours before.
    pub before: Arc<Before>,
    /// What was as wanted when it was compared last, by a print of both.
    pub in_sync: HashMap<ObjectKey, (Digest, u64)>,
    /// A rollout that was broken off, by a restart or for a new plan.
    pub broken_off: Option<Rolling>,
    /// What was written and passed no gates since: the next rollout judges it with its own, whatever it changes.
    pub unproven: BTreeSet<ObjectKey>,
    /// Other things are granted than when git was rendered.
    pub other_rights: bool,
    /// What of a digest the platform does not let, by the grants that were heard last.
    pub judged: Option<(Digest, Vec<String>)>,
    /// How often in a row a digest was refused.
    pub attempts: Option<(Digest, u32)>,
}

impl Runs {
    pub fn of(memory: AppMemory) -> Self {
        Self {
            known_good: memory.last_good,
            with_all: memory.with_all.map(|good| good.digest),
            failed: memory.quarantined.map(|aside| aside.digest),
            broken_off: memory.rolling,
            ..Self::default()
        }
    }

    pub fn good(&self) -> Option<&Digest> {
        self.known_good.as_ref().map(|good| &good.digest)
    }

    pub fn is_good(&self, digest: &Digest) -> bool {
        self.good() == Some(digest)
    }

    /// Notes that a digest passed all its gates. The commit that brought it stays.
    pub fn note_good(&mut self, wanted: &WantedApp, revision: Option<Revision>) {
        let digest = &wanted.digest;
        let known = self.known_good.take().filter(|good| good.digest == *digest);
        self.known_good = Some(known.unwrap_or_else(|| Good {
            digest: digest.clone(),
            revision,
            objects: 0,
            pieces: Pieces::default(),
            secrets: WithSecrets::of(wanted),
        }));
    }

    /// The commit that brought a digest, where that is remembered.
    pub fn commit_of(&self, digest: &Digest) -> Option<Commit> {
        let is_of = |rolling: &&Rolling| match rolling.state.purpose {
            Purpose::Forward => rolling.state.digest == *digest,
            // A way back is remembered with the commit of what failed.
            Purpose::Back => self.failed.as_ref() == Some(digest),
        };
        if let Some(commit) =
            self.broken_off.as_ref().filter(is_of).and_then(|rolling| rolling.commit.as_ref())
        {
            return Some(commit.clone());
        }
        let good = self.known_good.as_ref().filter(|good| good.digest == *digest)?;
        Some(Commit::new(good.revision.clone()?, "", ""))
    }

    /// Forgets manifests of objects that are not among these any more.
    pub fn keep_before(&mut self, keys: &BTreeSet<&ObjectKey>) {
        if self.before.keys().any(|key| !keys.contains(key)) {
            Arc::make_mut(&mut self.before).retain(|key, _| keys.contains(key));
        }
    }
}
