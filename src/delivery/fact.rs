use jiff::Timestamp;

use crate::drift::{DriftEnd, Drifted, Fight};
use crate::object::{AppName, Digest, ObjectKey, Problems, RolloutRecord};

/// Something that happened. An event, a line of the log, a metric, a notice and a record of the history are made of it,
/// each in one place (`report::fact`).
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Of which app, where it is of one.
    pub app: Option<AppName>,
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The newest commit cannot be rendered; what ran before goes on.
    Unrendered(Problems),
    /// A kind cannot be watched.
    Unwatched {
        why: String,
    },
    /// Objects break policies of the platform that only warn.
    PolicyWarning {
        warnings: Vec<String>,
    },
    /// Rules about what others change that do nothing.
    IdleRules {
        rules: Vec<String>,
    },
    /// A newer commit takes over from a rollout.
    Preempted {
        digest: Digest,
    },
    /// Nothing of an app is written.
    Refused {
        messages: Vec<String>,
    },
    /// A rollout begins; with no waves nothing but its hooks changes.
    Started {
        digest: Digest,
        objects: usize,
        waves: usize,
    },
    /// Others changed these objects, which are put back.
    Drifted {
        objects: Vec<Drifted>,
    },
    /// Others changed these objects, which stay as they are, by a rule. A value that changes once more is told anew.
    DriftReported {
        objects: Vec<Drifted>,
    },
    /// What others changed is so no more; with when it was seen first.
    DriftOver {
        objects: Vec<Drifted>,
        since: Timestamp,
        end: DriftEnd,
    },
    /// Others change again and again what is put back.
    Fight(Fight),
    FightEnded(Fight),
    /// The autoscaler of these is gone, so their replicas are git's.
    Unscaled {
        objects: Vec<ObjectKey>,
    },
    /// A rollout passed all its gates.
    RolledOut {
        digest: Digest,
        written: usize,
    },
    /// A rollout does not go on.
    Halted {
        digest: Digest,
        why: String,
    },
    /// What ran before is put back, because the digest failed or because an app that it goes with did.
    Restoring {
        digest: Digest,
        good: Digest,
        with: Option<AppName>,
        why: String,
    },
    Restored {
        digest: Digest,
        good: Digest,
        why: String,
    },
    RestoreFailed {
        why: String,
    },
    RollingBack {
        digest: Digest,
        good: Digest,
        why: String,
    },
    RolledBack {
        digest: Digest,
        good: Digest,
        why: String,
    },
    RollbackFailed {
        why: String,
    },
    RollbackRefused {
        why: String,
    },
    /// A person's word: a digest is tried again.
    Retrying {
        digest: Digest,
        by: String,
    },
    /// Objects were taken over: each with its former managers.
    Adopted {
        objects: Vec<String>,
    },
    /// Somebody came back to objects that were taken over.
    StillAtWork {
        objects: Vec<String>,
    },
    HookStarted {
        job: ObjectKey,
    },
    HookSucceeded {
        job: ObjectKey,
    },
    HookFailed {
        job: ObjectKey,
        why: String,
    },
    /// Something for a hook cannot be done now.
    HookDelayed {
        why: String,
    },
    /// A Job that ended stays as it is.
    HookNotTidied {
        job: ObjectKey,
        why: String,
    },
    /// Objects left git and were deleted. The name is that of the app that they bore.
    Pruned {
        of: String,
        objects: Vec<ObjectKey>,
    },
    PruneRefused {
        of: String,
        why: String,
    },
    PruneStuck {
        of: String,
        why: String,
    },
    /// Deletes wait for a person.
    PruneHalted {
        why: String,
        objects: Vec<ObjectKey>,
    },
    /// Something cannot be remembered now.
    NotRemembered {
        why: String,
    },
    /// Something of what is remembered is damaged.
    StateDamaged {
        why: String,
    },
    /// A decision about an app panicked: nothing of this digest goes on.
    Panicked {
        digest: Option<Digest>,
        why: String,
    },
    /// Something about the region of the environment, in words.
    Region {
        warning: bool,
        reason: &'static str,
        note: String,
    },
    /// A rollout ended.
    Ended(Box<RolloutRecord>),
}

/// So many things are named in a message; an app of ten thousand must not make it unreadable.
const SHOWN: usize = 5;

/// So many reasons of a refusal are listed in a status: who puts them right wants to see all.
const REASONS: usize = 20;

/// The first few of many, and how many more there are.
pub fn some(all: impl IntoIterator<Item = String>) -> String {
    first(SHOWN, all)
}

/// The reasons of a refusal.
pub(super) fn reasons(all: impl IntoIterator<Item = String>) -> String {
    first(REASONS, all)
}

fn first(shown: usize, all: impl IntoIterator<Item = String>) -> String {
    let mut all = all.into_iter();
    let mut text = all.by_ref().take(shown).collect::<Vec<_>>().join("; ");
    match all.count() {
        0 => {}
        more => text.push_str(&format!("; and {more} more")),
    }
    text
}
