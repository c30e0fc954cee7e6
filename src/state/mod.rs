//! What an environment remembers outside of the agent's memory: which objects it made, and what each app ran when all was
//! well. Decides the form; `cluster` keeps it.
//!
//! ```text
//! Memory ─┬─ apps: what each ran when it last passed all its gates, and what it ran before that ([`Good`]);
//!         │        what failed ([`Quarantine`]), and which hooks ran ([`Hooks`])
//!         └─ ledger: the uid of every object that is ours ([`Ledger`])
//! ```
//!
//! One small document names everything by digest; what is long stands in pieces of its own that never change ([`pack`]).
//! So the document can be replaced by one compare-and-swap, and it never says anything of which half is missing: pieces
//! are written before it, and dropped after it. What was saved last stands beside the document, in its journal, until
//! there is enough of it for a piece ([`log`] says how): most of what is saved is one small request.

mod change;
mod document;
mod good;
mod hooks;
mod journal;
mod ledger;
mod log;
mod pace;
mod pack;
mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use change::Change;
pub use document::{Contents, Document, Unreadable};
pub use good::{Packed, Stored, StoredObject, read_good, read_lines};
pub use hooks::{HookMemory, HookRun, HookStage, Hooks};
pub use ledger::{Evidence, Ledger};
pub use log::{Log, Prepared, Writes};
pub use pace::Pace;
pub use pack::{Damage, PIECE_LIMIT, Piece, Pieces, unpack};

use crate::object::secret::{Reference, SecretId};
use crate::object::{AppName, Commit, Digest, ObjectKey, Revision, RolloutRecord};
use crate::plan::{Budgets, WantedApp};
use crate::rollout;

/// Everything an environment remembers. A copy shares what it does not change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub apps: BTreeMap<AppName, Arc<AppMemory>>,
    pub ledger: Ledger,
    /// What git says may be deleted without a person's word, where that is not the usual.
    pub budgets: Option<Budgets>,
    /// What git says of fields that others change, in its own words, where it says anything: while git cannot be read that
    /// holds on.
    pub drift: Option<Value>,
    /// Where git was last, where it may only go on from there.
    pub followed: Option<Followed>,
    /// What its region knows of the others, and how far a re-point is; nothing where it is in no region.
    pub region: Option<Value>,
}

/// The newest commit of a branch that was followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Followed {
    /// Names the remote and the branch: those of another begin anew.
    pub branch: Digest,
    pub revision: Revision,
}

/// What is remembered of one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppMemory {
    /// What it needed: what is taken down goes in the opposite order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<AppName>,
    /// What failed, and what was done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Quarantine>,
    /// What became of its hooks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: Hooks,
    /// A rollout that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
    /// The newest that passed all its gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Good>,
    /// The one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Good>,
    /// What it ran when every app of its environment was well, where all go back together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_all: Option<Good>,
    /// What a person wants back, until it runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<Good>,
    /// The last word of a person who wanted something back: each is answered once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<String>,
    /// The last word of a person who wanted to try again: each is answered once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<String>,
    /// What became of its last rollouts, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<RolloutRecord>,
}

/// So many records are kept of one app,
const RECORDS: usize = 20;
/// and so many of an environment: up to 1 KB each, in a Secret that holds 1 MiB.
const ALL_RECORDS: usize = 300;

impl AppMemory {
    /// Whatever is stored of it, the newest first.
    pub fn goods(&self) -> impl Iterator<Item = &Good> {
        self.last_good.iter().chain(&self.previous).chain(&self.with_all).chain(&self.back_to)
    }

    /// Notes where what it wanted under a digest stands.
    fn place(&mut self, digest: &Digest, pieces: &Pieces) {
        let goods = [&mut self.last_good, &mut self.previous, &mut self.with_all, &mut self.back_to];
        for good in goods.into_iter().flatten().filter(|good| good.digest == *digest) {
            good.pieces.clone_from(pieces);
        }
    }
}

/// A rollout that is under way, so that whoever comes after a restart goes on at the same step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rolling {
    pub state: rollout::State,
    /// What it changes; `None` is all of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<BTreeSet<ObjectKey>>,
    /// The commit that brought what it goes to, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The versions of secrets that it goes to, where the app refers to some: who comes after a restart goes on with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Box<WithSecrets>>,
}

/// A digest that is set aside: it failed its gates, or a person wants something older back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    pub digest: Digest,
    /// What ran before it.
    pub good: Digest,
    pub why: String,
    pub stage: Stage,
    /// The last word of a person who wanted to try again, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<String>,
    /// The other apps that go back with it, and what of them is set aside; `None` until that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<BTreeMap<AppName, Digest>>,
    /// The app that failed, where this one goes back with it and did not fail by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<AppName>,
    /// Who wants something older back, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// What of it failed with which versions, where the app refers to secrets: newer ones are no reason to try it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Box<WithSecrets>>,
}

/// A person's word to go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Tells it from every other.
    pub id: String,
    /// Who, as the API server knows them.
    pub by: String,
    /// The commit that brought what they want back, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// How far the way back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// What ran before is being put back.
    Going,
    /// It runs again.
    Restored,
    /// It failed as well, or could not be read.
    Lost,
}

/// What an app wanted when it passed all its gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Good {
    pub digest: Digest,
    /// The commit that brought it, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    pub objects: usize,
    pub pieces: Pieces,
    /// Where it refers to secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Box<WithSecrets>>,
}

/// What an app was of two things, of which each can be newer than the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithSecrets {
    /// What git said.
    pub content: Digest,
    /// The versions of the secrets, by their references.
    pub versions: BTreeMap<String, Box<str>>,
}

impl WithSecrets {
    /// The versions of the secrets.
    pub fn versions(&self) -> BTreeMap<SecretId, Box<str>> {
        let versions = self.versions.iter();
        versions
            .filter_map(|(name, version)| Some((Reference::parse(name).ok()?.secret, version.clone())))
            .collect()
    }

    /// What is remembered of an app that refers to secrets.
    pub fn of(wanted: &WantedApp) -> Option<Box<Self>> {
        let pinned =
            wanted.secrets.iter().filter_map(|(id, version)| Some((id.to_string(), version.clone()?)));
        let versions: BTreeMap<String, Box<str>> = pinned.collect();
        let content = wanted.content.clone();
        (!versions.is_empty()).then(|| Box::new(Self { content, versions }))
    }
}

impl Memory {
    /// What is remembered of an app, to change it; of a new one that is nothing.
    pub fn app_mut(&mut self, app: &AppName) -> &mut AppMemory {
        Arc::make_mut(self.apps.entry(app.clone()).or_default())
    }

    /// Notes that an app runs `good` and is healthy. The one before stays as a second generation.
    pub fn note_good(&mut self, app: &AppName, good: Good) {
        let memory = self.app_mut(app);
        if let Some(old) = memory.last_good.replace(good)
            && memory.last_good.as_ref().is_some_and(|new| new.digest != old.digest)
        {
            memory.previous = Some(old);
        }
    }

    /// Notes what became of a rollout. Of many apps fewer are kept of each, and one at least.
    pub fn note_record(&mut self, record: RolloutRecord) {
        let limit = (ALL_RECORDS / self.apps.len().max(1)).clamp(1, RECORDS);
        if self.apps.get(&record.app).is_some_and(|known| known.recent.contains(&record)) {
            return; // It was saved, and the answer was lost.
        }
        let recent = &mut self.app_mut(&record.app).recent;
        recent.push(record);
        let more = recent.len().saturating_sub(limit);
        recent.drain(..more);
    }

    /// Notes what a person wants back, before anything of it is written.
    pub fn note_asked(&mut self, app: &AppName, quarantine: Quarantine, good: Good) {
        let memory = self.app_mut(app);
        memory.heard = quarantine.asked.as_ref().map(|asked| asked.id.clone());
        (memory.quarantined, memory.back_to, memory.rolling) = (Some(quarantine), Some(good), None);
    }

    /// Notes what of an app is set aside, and how far the way back is.
    pub fn note_quarantine(&mut self, app: &AppName, quarantine: Option<&Quarantine>) {
        let memory = self.app_mut(app);
        memory.quarantined = quarantine.cloned();
        if quarantine.is_some_and(|aside| aside.stage != Stage::Going) {
            memory.rolling = None; // The way back is over.
        }
        let Some(aside) = quarantine.filter(|aside| aside.asked.is_some()) else {
            memory.back_to = None;
            return;
        };
        // What a person wanted back passed its gates: what fails from here on goes back to it, and not to what they
        // turned down.
        if aside.stage == Stage::Restored
            && let Some(good) = memory.back_to.take_if(|good| good.digest == aside.good)
        {
            // What is kept beside it is newer, and nothing to go back to from here.
            (memory.last_good, memory.previous) = (Some(good), None);
        }
    }

    /// Forgets apps that are no longer there. What they made is still in the ledger.
    pub fn retain_apps(&mut self, still_there: impl Fn(&AppName) -> bool) {
        self.apps.retain(|name, _| still_there(name));
    }

    /// Every piece that it needs but those of the ledger.
    pub fn pieces(&self) -> BTreeSet<Digest> {
        let goods = self.apps.values().flat_map(|app| app.goods());
        goods.flat_map(|good| good.pieces.names().cloned()).collect()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
