//! What is to be done, and what came of it. One action has one file in `agent/`, and ends with one event.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::hook_work::{HookDone, HookWork};
use super::rollback::{Found, Want};
use crate::drift::Drifted;
use crate::health::Health;
use crate::health::pods::Thresholds;
use crate::object::field_path::FieldPath;
use crate::object::{Digest, ObjectKey};
use crate::plan::{
    Before, CheckedPlan, CheckedPrune, Consent, Doomed, Due, Hook, Plan, PruneOutcome, PruneRefusal, Refused,
    Wanted, WantedApp, WaveOutcome,
};
pub(super) use crate::rollout::later;
use crate::state::{Change, Hooks, Quarantine};

/// What is to be done now.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "few are alive at a time, and each is moved into its task once"
)]
pub enum Action {
    /// Ask the server about each step of a plan, and about the Jobs that its hooks will make, each with its seconds.
    Prove { plan: Plan, before: Arc<Before>, consent: Consent, hooks: Vec<(Arc<Hook>, i64)> },
    /// Remember these changes, and then write a wave.
    Write { plan: Arc<CheckedPlan>, wave: usize, remember: Vec<Change> },
    /// Make the Job of a hook, or remember what became of it.
    Hook { work: HookWork, hooks: Hooks, quarantine: Option<Quarantine>, remember: Vec<Change> },
    /// Look at what others changed of these objects and that is only reported, and at what they added to those.
    Inspect { objects: Vec<(Arc<Wanted>, Vec<FieldPath>)>, extras: Vec<Arc<Wanted>> },
    /// Read what an app ran.
    Recall { digest: Digest },
    /// Find what a person wants back, and remember it.
    Find { want: Box<Want>, remember: Vec<Change> },
    /// Look at the pods of what a gate waits for.
    Look { wanted: Vec<Arc<Wanted>>, limits: Thresholds, last_words: bool },
    /// Ask the pods of what a gate halted on for their reasons.
    Reasons { wanted: Vec<Arc<Wanted>>, last_words: bool },
    /// Remember these changes.
    Remember(Vec<Change>),
    /// Ask the server about deletes, without deleting.
    AskPrune(Due),
    /// Delete a wave.
    Prune { prune: Arc<CheckedPrune>, wave: usize },
    /// Ask what holds objects that are being deleted.
    Finalizers(Vec<Doomed>),
}

impl Action {
    /// Names it in a line of the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prove { .. } => "prove",
            Self::Write { .. } => "write",
            Self::Hook { .. } => "hook",
            Self::Inspect { .. } => "inspect",
            Self::Recall { .. } => "recall",
            Self::Find { .. } => "find",
            Self::Look { .. } => "look",
            Self::Reasons { .. } => "reasons",
            Self::Remember(_) => "remember",
            Self::AskPrune(_) => "ask about deletes",
            Self::Prune { .. } => "delete",
            Self::Finalizers(_) => "finalizers",
        }
    }
}

/// What came of an action.
#[derive(Debug)]
pub enum Event {
    /// With what was seen of what others changed.
    Proved {
        result: Result<CheckedPlan, Refused>,
        drifted: Vec<Drifted>,
    },
    /// What others changed, and what they added.
    Inspected {
        seen: Vec<Drifted>,
        extras: Vec<Drifted>,
    },
    Wrote(WaveOutcome),
    Hooked(Box<HookDone>),
    /// `None`: nothing of that digest is stored.
    Recalled(Option<WantedApp>),
    Found(Box<Found>),
    /// What the pods say of each: that it failed, or nothing.
    Looked(Vec<(ObjectKey, Option<Health>)>),
    Reasons(Vec<String>),
    Remembered,
    PruneAsked(Result<CheckedPrune, Vec<PruneRefusal>>),
    Pruned(PruneOutcome),
    Finalizers(Vec<(ObjectKey, Vec<String>)>),
    /// It was stopped, and changed nothing.
    Stopped,
    Failed(Failure),
}

/// Why an action came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The world was in the way; it is tried again.
    Passing(String),
    /// Trying again would bring the same.
    Final(String),
}

impl Failure {
    pub fn why(&self) -> &str {
        match self {
            Self::Passing(why) | Self::Final(why) => why,
        }
    }
}

/// How long something that failed in passing is left alone: ever longer, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pauses {
    first: SignedDuration,
    longest: SignedDuration,
}

/// A refused app, or what could not be asked: a missing namespace or right may come.
pub(super) const REFUSED: Pauses =
    Pauses { first: SignedDuration::from_secs(5), longest: SignedDuration::from_mins(5) };
/// What could not be read from what is remembered: the way back waits for it.
pub(super) const UNREAD: Pauses =
    Pauses { first: SignedDuration::from_secs(1), longest: SignedDuration::from_secs(30) };
/// What could not be remembered.
pub(super) const UNSAVED: Pauses =
    Pauses { first: SignedDuration::from_secs(2), longest: SignedDuration::from_secs(30) };
/// A delete that was refused.
pub(super) const UNPRUNED: Pauses =
    Pauses { first: SignedDuration::from_secs(2), longest: SignedDuration::from_mins(5) };

impl Pauses {
    /// When to try again after `attempts` failures before this one.
    pub fn after(self, attempts: u32, now: Timestamp) -> Timestamp {
        let pause = self.first.checked_mul(1 << attempts.min(16)).unwrap_or(self.longest).min(self.longest);
        later(now, pause)
    }
}

/// When something is tried, and how often it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Again {
    pub at: Option<Timestamp>,
    pub attempts: u32,
}

impl Again {
    pub fn is_due(self, now: Timestamp) -> bool {
        self.at.is_none_or(|at| at <= now)
    }

    pub fn after(self, pauses: Pauses, now: Timestamp) -> Self {
        Self { at: Some(pauses.after(self.attempts, now)), attempts: self.attempts.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_at_their_limit() {
        let now = Timestamp::UNIX_EPOCH;
        let seconds = |attempts| REFUSED.after(attempts, now).as_second();
        assert_eq!([0, 1, 2, 6, 7, 1000].map(seconds), [5, 10, 20, 300, 300, 300]);
        assert_eq!(later(Timestamp::MAX, SignedDuration::from_secs(1)), Timestamp::MAX);
    }
}
