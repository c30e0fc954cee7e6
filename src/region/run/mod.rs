//! One re-point, or one drill of it: which step it is at, since when, and what people said.
//!
//! All of it is data that the caller remembers after each change and before it acts on it, so a process that dies goes on where
//! another stood. Each step may be begun again: what does it knows it by its run, name and attempt.

mod ask;
mod cause;
mod choices;
mod next;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use ask::{Ask, Refusal, Request};
pub use cause::Cause;
pub use choices::Choice;
pub use next::{Facts, Next, StepOutcome, Waits, passed};

use super::name::{Epoch, RegionName};
use super::step::{Mode, RegionStep};
use super::words::Word;

/// What has to be so in the target before anything is begun. Each is proven all the time, and can be overridden by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Preflight {
    /// The overlay of the active region renders here, and the server takes it.
    Renders,
    /// Every secret can be read here, in the version that the other region runs.
    Secrets,
    /// Every image is in this region's registry.
    Images,
    /// There is room: quotas, nodes, or placeholder pods.
    Capacity,
    /// Storage and ingress classes, definitions, accounts and certificates are there.
    Foundation,
    /// The last backup, or the replica, is young enough.
    Data,
    /// The shared place can be read and written from here.
    SharedPlace,
}

impl Preflight {
    pub const ALL: [Self; 7] = [
        Self::Renders,
        Self::Secrets,
        Self::Images,
        Self::Capacity,
        Self::Foundation,
        Self::Data,
        Self::SharedPlace,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renders => "renders",
            Self::Secrets => "secrets",
            Self::Images => "images",
            Self::Capacity => "capacity",
            Self::Foundation => "foundation",
            Self::Data => "data",
            Self::SharedPlace => "sharedPlace",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preflight| preflight.as_str() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub epoch: Epoch,
    /// Which region was active, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RegionName>,
    pub to: RegionName,
    pub mode: Mode,
    /// In whose name: a commit, or a person.
    pub by: String,
    /// When this region first knew of it.
    pub began: Timestamp,
    steps: BTreeMap<RegionStep, Progress>,
    at: RegionStep,
    state: RunState,
    /// What people said, in order.
    pub said: Vec<Said>,
    overridden: BTreeSet<Preflight>,
    /// The loss that a person takes, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss_taken: Option<Duration>,
    /// How much was lost, as the data were measured when they were promoted or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Duration>,
    /// When it was healthy and served: recovery ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Timestamp>,
    /// A drill that this was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drilled: Option<Timestamp>,
}

/// One state at a time, so that none can contradict another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
enum RunState {
    Going,
    Paused {
        person: String,
        reason: String,
    },
    Halted {
        cause: Cause,
    },
    /// A drill that did all its steps, and waits to be promoted or ended.
    Stands,
    Ended {
        how: End,
        at: Timestamp,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "end")]
pub enum End {
    Done,
    /// A person gave it up before writers were started.
    Aborted {
        person: String,
        reason: String,
    },
    /// Another epoch counts.
    Overtaken {
        by: Epoch,
    },
    /// The drill became the real move.
    Promoted,
}

/// Where one step stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub attempt: u32,
    pub began: Option<Timestamp>,
    /// When this attempt began: its time runs from here.
    since: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub result: StepResult,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum StepResult {
    #[default]
    Open,
    Done,
    Skipped {
        person: String,
        reason: String,
    },
    /// A drill did it.
    CarriedOver,
    /// It is no part of a drill.
    NotDrilled,
    /// The old region is not waited for.
    NotWaitedFor,
}

/// Something that a person said, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    pub at: Timestamp,
    pub person: String,
    pub reason: String,
    pub ask: Ask,
    /// At which step.
    pub step: RegionStep,
}

impl Run {
    /// Begins what a word says.
    pub fn of(word: &Word, from: Option<RegionName>, now: Timestamp) -> Self {
        // A drill is no way to become active: where nothing else is said, it is a graceful move.
        let mode = if word.mode == Mode::Drill { Mode::Graceful } else { word.mode };
        Self::new(word.epoch, from, word.active.clone(), mode, word.from.to_string(), now)
    }

    /// Begins a drill in this region; the epoch is the one that counts meanwhile.
    pub fn drill(epoch: Epoch, from: Option<RegionName>, to: RegionName, by: String, now: Timestamp) -> Self {
        Self::new(epoch, from, to, Mode::Drill, by, now)
    }

    fn new(
        epoch: Epoch,
        from: Option<RegionName>,
        to: RegionName,
        mode: Mode,
        by: String,
        now: Timestamp,
    ) -> Self {
        let mut steps: BTreeMap<RegionStep, Progress> =
            RegionStep::ALL.into_iter().map(|step| (step, Progress::default())).collect();
        if mode == Mode::Drill {
            for (_, progress) in steps.iter_mut().filter(|(step, _)| !step.is_drilled()) {
                progress.result = StepResult::NotDrilled;
            }
        }
        Self {
            epoch,
            from,
            to,
            mode,
            by,
            began: now,
            steps,
            at: RegionStep::Freeze,
            state: RunState::Going,
            said: Vec::new(),
            overridden: BTreeSet::new(),
            loss_taken: None,
            loss: None,
            served: None,
            drilled: None,
        }
    }

    /// Makes the real move of a drill that stands: what it did need not be done again, where that is not about data, traffic
    /// or the old region. What people said of the drill's checks still counts.
    pub fn promote(&mut self, word: &Word, now: Timestamp) -> Option<Self> {
        if !self.stands() {
            return None;
        }
        let mut run = Self::of(word, self.from.clone(), now);
        for (step, progress) in run.steps.iter_mut().filter(|(step, _)| step.is_carried_over()) {
            if self.steps.get(step).is_some_and(|drilled| drilled.result == StepResult::Done) {
                progress.result = StepResult::CarriedOver;
            }
        }
        run.overridden = self.overridden.clone();
        run.drilled = Some(self.began);
        self.end(End::Promoted, now);
        Some(run)
    }

    pub fn is_drill(&self) -> bool {
        self.mode == Mode::Drill
    }

    pub fn stands(&self) -> bool {
        self.state == RunState::Stands
    }

    pub fn step(&self) -> RegionStep {
        self.at
    }

    pub fn steps(&self) -> impl Iterator<Item = (RegionStep, &Progress)> {
        self.steps.iter().map(|(step, progress)| (*step, progress))
    }

    pub fn overridden(&self) -> &BTreeSet<Preflight> {
        &self.overridden
    }

    /// How it ended, and when.
    pub fn ended(&self) -> Option<(&End, Timestamp)> {
        match &self.state {
            RunState::Ended { how, at } => Some((how, *at)),
            _ => None,
        }
    }

    pub fn is_ended(&self) -> bool {
        self.ended().is_some()
    }

    pub fn is_paused(&self) -> bool {
        matches!(self.state, RunState::Paused { .. })
    }

    /// Whether the old region is to know of it. While this region is not ready, it need not freeze.
    pub fn is_announced(&self) -> bool {
        !matches!(self.state, RunState::Halted { cause: Cause::Preflights { .. } })
    }

    /// Whether writers are to run here.
    pub fn has_begun(&self, step: RegionStep) -> bool {
        let begun = |progress: &Progress| match progress.result {
            StepResult::Open => progress.since.is_some(),
            _ => true,
        };
        !self.is_drill() && self.steps.get(&step).is_some_and(begun) && self.at >= step
    }

    /// Ends it for an epoch that counts more.
    pub fn overtake(&mut self, by: Epoch, now: Timestamp) {
        if !self.is_ended() {
            self.end(End::Overtaken { by }, now);
        }
    }

    fn end(&mut self, how: End, now: Timestamp) {
        self.state = RunState::Ended { how, at: now };
    }
}
