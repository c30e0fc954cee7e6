//! Decides from observed health what a rollout does next: write the next wave, run a hook, wait, or halt.
//!
//! ```text
//!            ┌─────────────────── the next wave ◄──────────────────────────┐
//!            ▼                                                             │ no hook is due (any more)
//! start ─► Write ──written──► Gate ──┬── all healthy ──┬───────────────► Hook ── none, and no wave is left ──► Done
//!    │       │                       │                 │ last wave       ▲ │ ▲
//!    │       │                       │                 └─────► Settle ───┘ │ │ RunHook, or Wait, until it succeeded
//!    │       │ refused               ├── failed, and it lasts ─┐ │ failed  ├─┘
//!    │       ▼                       └── out of time ──────────┤ │         │ it failed, or is out of time
//!    │    Halted ◄─────────────────────────────────────────────┴─┴─────────┘
//!    │       ├── there is something to go back to ──► a rollout of that, which runs no hooks and goes back no further
//!    │       └── what halted it became healthy, or ended well, after all ──► the next wave, or Done
//!    └── a hook is due before the first wave ──► Hook
//! ```
//!
//! A gate judges what its rollout changed and, with the last wave, what was healthy before the first write and is not any
//! more. What was broken before is not asked. After the last wave all has to `Settle`; where nothing is to, that is passed
//! at once.
//!
//! A hook is a Job that runs once: before the wave that it names, or when all has settled. Hooks run one after the other,
//! and which have ended is observed, as health is: a restart goes on at the one that has not.
//!
//! [`step`] is the whole of it: a pure function of the state, of what is observed and of the time it is told. A newer
//! commit is not an event here: it makes a new plan, and with it a new rollout, whose first plan starts from what is
//! live by then. Going back is a rollout like any other, of what ran before, in its own waves and gates; whoever asked for
//! it remembers what failed.

mod gate;
mod hooks;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use gate::{Waiting, deferred};
pub use hooks::{Hook, Run};

use crate::health::Health;
use crate::object::{Digest, ObjectKey};

/// A verdict must last this long before it halts a rollout: operators write a failure while they are still trying.
const FAILURE_LASTS: SignedDuration = SignedDuration::from_secs(5);

/// The rollout of one app to one digest. Small and serialisable, so that a restart can go on at the same step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub digest: Digest,
    #[serde(default)]
    pub purpose: Purpose,
    pub phase: Phase,
}

/// Where a rollout goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// To what git says.
    #[default]
    Forward,
    /// To what ran before, because what git says failed.
    Back,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum Phase {
    /// Wave `wave` is to be written, or is being written.
    Write {
        wave: usize,
    },
    /// Wave `wave` was written; it is not healthy yet.
    Gate {
        wave: usize,
        since: Timestamp,
        #[serde(rename = "failingSince")]
        failing_since: Option<Timestamp>,
    },
    /// What runs before wave `wave` has not ended, or after the last one.
    Hook {
        wave: usize,
    },
    /// All was healthy once; a failure within this time counts still.
    Settle {
        wave: usize,
        since: Timestamp,
        #[serde(rename = "failingSince")]
        failing_since: Option<Timestamp>,
    },
    Halted {
        wave: usize,
        why: Halt,
    },
    Done,
}

/// Why a rollout does not go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "camelCase")]
pub enum Halt {
    /// The time limit passed.
    TimedOut { on: Vec<Waiting> },
    /// An object says that it failed.
    Failed { on: Vec<Waiting> },
    /// The server refused a write, or a step that could only be asked about now.
    Refused { messages: Vec<String> },
    /// A hook failed, or did not end in time.
    Hook { on: Waiting },
}

/// What the world says. `waves` are the objects that each wave changed.
pub struct Observed<'a> {
    pub waves: &'a [Vec<ObjectKey>],
    /// What the rollout does not change and was healthy before its first write.
    pub baseline: &'a [ObjectKey],
    pub health: &'a dyn Fn(&ObjectKey) -> Health,
    /// The hooks, in the order in which they run. None on a way back.
    pub hooks: &'a [Hook],
    /// What came of the write that `Next::Apply` asked for, once it ended; or that a hook's Job was refused.
    pub wrote: Option<Wrote>,
    pub timeout: SignedDuration,
    /// How long all has to stay healthy.
    pub settle: SignedDuration,
    /// Something else ran here when all was well, and policy is to go back to it.
    pub may_go_back: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wrote {
    All,
    Refused(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Apply {
        wave: usize,
    },
    /// Make the Job of this hook, by its place in `hooks`.
    RunHook {
        hook: usize,
    },
    Wait {
        on: Vec<Waiting>,
        since: Timestamp,
        until: Timestamp,
    },
    Halt {
        why: Halt,
    },
    /// What ran before is to be rolled out again.
    GoBack {
        why: Halt,
    },
    Done,
}

impl State {
    pub fn start(digest: Digest) -> Self {
        Self { digest, purpose: Purpose::Forward, phase: Phase::Write { wave: 0 } }
    }

    /// The way back to what ran before.
    pub fn back(digest: Digest) -> Self {
        Self { purpose: Purpose::Back, ..Self::start(digest) }
    }

    /// A rollout whose writes were done before anyone remembers: only its health is in question.
    pub fn verify(digest: Digest, purpose: Purpose, last_wave: usize, now: Timestamp) -> Self {
        Self { digest, purpose, phase: Phase::Gate { wave: last_wave, since: now, failing_since: None } }
    }

    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// The wave that is written or waited for, counted from 1.
    pub fn wave(&self) -> Option<usize> {
        match self.phase {
            Phase::Hook { .. } | Phase::Halted { why: Halt::Hook { .. }, .. } | Phase::Done => None,
            Phase::Write { wave }
            | Phase::Gate { wave, .. }
            | Phase::Settle { wave, .. }
            | Phase::Halted { wave, .. } => Some(wave + 1),
        }
    }
}

/// What to do now, and the state to remember. Called with the same arguments it answers the same.
pub fn step(state: State, observed: &Observed, now: Timestamp) -> (State, Next) {
    let State { digest, purpose, phase } = state;
    let hooks = if purpose == Purpose::Back { &[] } else { observed.hooks };
    let observed = &Observed { hooks, wrote: observed.wrote.clone(), ..*observed };
    let (phase, next) = match phase {
        Phase::Write { wave } if wave >= observed.waves.len() => go_on(wave, observed),
        Phase::Write { wave } => match &observed.wrote {
            None => go_on(wave, observed),
            Some(Wrote::Refused(messages)) => halt(wave, Halt::Refused { messages: messages.clone() }),
            Some(Wrote::All) => judge(wave, now, None, observed, now),
        },
        Phase::Gate { wave, since, failing_since } => judge(wave, since, failing_since, observed, now),
        Phase::Settle { wave, since, failing_since } => settle(wave, since, failing_since, observed, now),
        // A gate asks whether what changed is healthy. If it becomes so later, the answer is yes.
        Phase::Halted { wave, why: why @ (Halt::TimedOut { .. } | Halt::Failed { .. }) } => {
            if gate::waiting(wave, observed).is_empty() {
                opened(wave, observed, now)
            } else {
                halt(wave, why)
            }
        }
        Phase::Hook { wave } => match &observed.wrote {
            Some(Wrote::Refused(messages)) => halt(wave, Halt::Refused { messages: messages.clone() }),
            _ => hooks::judge(wave, observed, now),
        },
        // Likewise of a hook that was late, or that had to wait for another.
        Phase::Halted { wave, why: Halt::Hook { .. } } => hooks::judge(wave, observed, now),
        Phase::Halted { wave, why } => halt(wave, why),
        Phase::Done => (Phase::Done, Next::Done),
    };
    let next = match next {
        Next::Halt { why } if purpose == Purpose::Forward && observed.may_go_back => Next::GoBack { why },
        other => other,
    };
    (State { digest, purpose, phase }, next)
}

fn judge(
    wave: usize,
    since: Timestamp,
    failing_since: Option<Timestamp>,
    observed: &Observed,
    now: Timestamp,
) -> (Phase, Next) {
    let on = gate::waiting(wave, observed);
    if on.is_empty() {
        return opened(wave, observed, now);
    }
    let failing_since = match failing(&on, failing_since, now) {
        Ok(since) => since,
        Err(why) => return halt(wave, why),
    };
    let limit = later(since, observed.timeout);
    if now >= limit {
        return halt(wave, Halt::TimedOut { on });
    }
    let until = failing_since.map_or(limit, |first| limit.min(later(first, FAILURE_LASTS)));
    (Phase::Gate { wave, since, failing_since }, Next::Wait { on, since, until })
}

/// Goes on to wave `wave`, through the hooks before it.
fn go_on(wave: usize, observed: &Observed) -> (Phase, Next) {
    match hooks::next(wave, observed) {
        Some(Next::Halt { why }) => return halt(wave, why),
        Some(next) => return (Phase::Hook { wave }, next),
        None => {}
    }
    if wave >= observed.waves.len() {
        (Phase::Done, Next::Done)
    } else {
        (Phase::Write { wave }, Next::Apply { wave })
    }
}

/// Since when something says that it failed, or that this has lasted long enough.
fn failing(on: &[Waiting], since: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Halt> {
    let failed: Vec<Waiting> = on.iter().filter(|waiting| waiting.is_failure()).cloned().collect();
    let since = (!failed.is_empty()).then(|| since.unwrap_or(now));
    match since {
        Some(first) if now >= later(first, FAILURE_LASTS) => Err(Halt::Failed { on: failed }),
        since => Ok(since),
    }
}

fn opened(wave: usize, observed: &Observed, now: Timestamp) -> (Phase, Next) {
    let next = wave + 1;
    if next < observed.waves.len() { go_on(next, observed) } else { settle(wave, now, None, observed, now) }
}

/// Nothing fails for a while, and at its end all is healthy. What is merely on its way, as of an autoscaler that asks for
/// more, is no failure.
fn settle(
    wave: usize,
    since: Timestamp,
    failing_since: Option<Timestamp>,
    observed: &Observed,
    now: Timestamp,
) -> (Phase, Next) {
    // Where nothing is to settle any more, as a newer commit may say meanwhile, all has to be healthy still.
    let on = gate::waiting(wave, observed);
    let failing_since = match failing(&on, failing_since, now) {
        Ok(since) => since,
        Err(why) => return halt(wave, why),
    };
    let end = later(since, observed.settle);
    let limit = later(end, observed.timeout);
    let until = match (on.is_empty(), now < end) {
        (true, false) => return go_on(observed.waves.len(), observed),
        (false, false) if now >= limit => return halt(wave, Halt::TimedOut { on }),
        (_, true) => end,
        (false, false) => limit,
    };
    let until = failing_since.map_or(until, |first| until.min(later(first, FAILURE_LASTS)));
    (Phase::Settle { wave, since, failing_since }, Next::Wait { on, since, until })
}

/// A moment after another; the last that there is where there is none.
pub fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn halt(wave: usize, why: Halt) -> (Phase, Next) {
    (Phase::Halted { wave, why: why.clone() }, Next::Halt { why })
}

#[cfg(test)]
mod tests;
