//! One app of an environment: what git says of it, where it goes, and what it does.
//!
//! ```text
//!   git says         Says(wanted) ──a commit that does not render──► Broken(what was wanted before)
//!                    Away(what is remembered): git cannot be read since the start
//!
//!   it goes          Forward ──a gate fails, or a person's word──► Back(to what ran before) ──a newer digest, a retry──► Forward
//!
//!   it does          Idle ──something differs──► (proving) ──accepted──► Rolling ──all gates passed──► Idle
//!                     ▲ │                            │                      │
//!                     │ └─ Held: see `Hold`          └─ no ─► Refused ◄─────┘ the world changed under it
//!                     └──────── again ◄──────────────────────────┘
//! ```
//!
//! A commit that does not render changes nothing of what is under way: what git said before stays wanted, so a restore
//! that was begun ends, and a rollout too. At most one action is under way ([`Busy`]); an answer of another is nothing.

mod adoption;
mod answers;
mod cached_lookup;
mod course;
mod decide;
mod drift;
mod extras;
mod hooks;
mod leaving;
mod looks;
mod remembered;
mod repair;
mod reported;
mod restore;
mod retry;
mod rollback_request;
mod rolling;
mod rollout_log;
mod rotation;
mod runs;
mod standing;
mod status;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::action::{Action, Again};
use super::fact::{Fact, What};
use super::hold::Hold;
use super::hook_work::HookWork;
use super::ticket::Ticket;
use crate::api::{AppPhase, AppSpec, OnFailure, Rollout as RolloutSpec, RolloutScope, Span};
use crate::object::{AppName, Commit, Digest, Outcome, Problems};
use crate::plan::WantedApp;
use crate::state::{AppMemory, Change};
use adoption::Adoption;
use hooks::HookState;
use leaving::DriftState;
use restore::{Back, Target};
use rollback_request::Asking;
use rolling::Rollout;
use rollout_log::RolloutLog;
use runs::Runs;

pub use adoption::{Tokens, word};
pub(super) use decide::{AppStep, View};
pub use retry::Retry;

pub(super) struct App {
    pub spec: AppSpec,
    pub terms: Terms,
    pub git: Git,
    pub way: Way,
    pub doing: Doing,
    pub busy: Option<Busy>,
    pub runs: Runs,
    pub hooks: HookState,
    pub adoption: Adoption,
    pub asking: Asking,
    pub drift: DriftState,
    pub log: RolloutLog,
}

/// How it rolls out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    pub timeout: SignedDuration,
    pub settle: SignedDuration,
    /// After so many restarts of a pod a gate waits no longer; 0 is never.
    pub restarts: i64,
    pub scope: RolloutScope,
    /// Whether a rollout that fails is taken back.
    pub restores: bool,
    /// Whether what a container said last is told.
    pub last_words: bool,
}

/// What git says of it.
#[derive(Debug)]
pub(super) enum Git {
    Says(Arc<WantedApp>),
    /// The newest commit cannot be rendered, and this stands for it.
    Broken {
        problems: Problems,
        before: StandIn,
    },
    /// Git cannot be read since the start, and this stands for it.
    Away(StandIn),
}

/// What stands for what git says while that is not known.
#[derive(Debug)]
pub(super) enum StandIn {
    /// What it said before.
    Said(Arc<WantedApp>),
    /// What is remembered; it is read first. `says` is its name, and `runs` what runs in its place where that was put back.
    Unread {
        says: Digest,
        runs: Digest,
        again: Again,
    },
    Remembered(Arc<WantedApp>),
    Nothing(String),
}

/// Where it goes.
#[derive(Debug)]
pub(super) enum Way {
    Forward,
    Back(Box<Back>),
}

/// What it does.
#[derive(Debug)]
pub(super) enum Doing {
    Idle,
    Held(Vec<Hold>),
    Refused(Refusal),
    Rolling(Box<Rollout>),
    /// A decision about this digest panicked; a newer one is looked at again.
    Panicked {
        digest: Option<Digest>,
        why: String,
    },
}

/// Why nothing of a digest is written.
#[derive(Debug)]
pub(super) struct Refusal {
    pub digest: Digest,
    pub messages: Vec<String>,
    /// When it is tried again; never where that would bring the same.
    pub again: Option<Again>,
}

/// The action that is under way.
#[derive(Debug)]
pub(super) struct Busy {
    pub ticket: Ticket,
    pub phase: AppPhase,
    /// It was overtaken, and is to end as soon as it can.
    pub stopping: bool,
    /// What it has remembered before it does anything.
    pub remembers: Vec<Change>,
}

impl App {
    pub fn new(spec: AppSpec, git: Git, memory: Option<&AppMemory>) -> Self {
        let memory = memory.cloned().unwrap_or_default();
        let way = match memory.quarantined.clone() {
            Some(quarantine) => {
                Way::Back(Box::new(Back { memory: quarantine, target: Target::Unread(Again::default()) }))
            }
            None => Way::Forward,
        };
        Self {
            spec,
            terms: Terms::of(&RolloutSpec::default()),
            git,
            way,
            doing: Doing::Idle,
            busy: None,
            hooks: HookState::of(&memory.hooks),
            adoption: Adoption::default(),
            asking: Asking::of(&memory),
            drift: DriftState::default(),
            log: RolloutLog::default(),
            runs: Runs::of(memory),
        }
    }

    /// Takes what a revision says. Where the digest is the same, whatever is under way goes on; where it is another, it
    /// is stopped between two requests and the new one begins from what is live by then.
    pub fn set(
        &mut self,
        spec: AppSpec,
        desired: Result<Arc<WantedApp>, Problems>,
        rollout: &RolloutSpec,
        commit: Option<&Commit>,
        now: Timestamp,
    ) {
        (self.spec, self.terms) = (spec, Terms::of(rollout));
        match desired {
            Ok(wanted) => {
                self.runs.other_rights = false;
                let same = self.digest() == Some(&wanted.digest);
                let came = wanted.digest.clone();
                // What is given up for it may be all that knows its commit after a restart.
                let brought = self.runs.commit_of(&came).or_else(|| commit.cloned());
                self.git = Git::Says(wanted.clone());
                if self.back().is_some_and(|back| back.memory.digest != came) && !self.stays_aside(&wanted) {
                    self.leave_back(); // What failed is not what git says any more.
                }
                if !same {
                    self.preempt(now);
                }
                if !same || !self.log.knows(&came) {
                    self.log.came(&came, brought);
                }
            }
            Err(problems) => {
                if self.problems() != Some(&problems) {
                    self.tell(What::Unrendered(problems.clone()));
                }
                let nothing = Git::Away(StandIn::Nothing(String::new()));
                let before = match std::mem::replace(&mut self.git, nothing) {
                    Git::Says(wanted) => StandIn::Said(wanted),
                    Git::Broken { before, .. } | Git::Away(before) => before,
                };
                self.git = Git::Broken { problems, before };
            }
        }
    }

    /// Takes that something newer is wanted: what is under way ends as soon as it can.
    fn preempt(&mut self, now: Timestamp) {
        self.drift.repair = Default::default();
        self.stop();
        if let Some(digest) = self.rollout().map(|rollout| rollout.state.digest.clone()) {
            self.tell(What::Preempted { digest: digest.clone() });
            if self.log.is_begun() {
                self.note_ended(&digest, Outcome::Preempted, None, now);
            }
        }
        self.give_up();
        self.doing = Doing::Idle;
        let target = self.target_digest().cloned();
        self.forget_broken_off(target.as_ref());
        self.runs.in_sync.clear();
        self.adoption.needed.clear();
    }

    /// Ends what is under way as soon as it can.
    pub fn stop(&mut self) {
        if let Some(busy) = &mut self.busy {
            busy.stopping = true;
        }
    }

    /// Takes that an action is begun for it. Questions about pods go beside the gate that waits.
    pub fn begun(&mut self, ticket: Ticket, phase: AppPhase, action: &mut Action) {
        match (action, self.rollout_mut()) {
            (Action::Look { .. } | Action::Reasons { .. }, Some(rollout)) => rollout.asking = Some(ticket),
            (action, _) => {
                let mut remembers = Vec::new();
                // What is to be remembered goes before what this writes down by itself.
                // A look at a Job may have nothing to write down, and takes nothing along.
                let looks = matches!(
                    action,
                    Action::Hook { work: HookWork::Look { .. } | HookWork::Probe { .. }, .. }
                );
                if let Action::Write { remember, .. }
                | Action::Hook { remember, .. }
                | Action::Find { remember, .. } = action
                    && !looks
                {
                    self.log.may_roll |= remember.iter().any(Change::rolls);
                    remembers.clone_from(&self.log.changes);
                    remember.splice(0..0, std::mem::take(&mut self.log.changes));
                }
                self.busy = Some(Busy { ticket, phase, stopping: false, remembers });
            }
        }
    }

    /// Whether an event is the answer to something that it asked.
    pub fn is_answered_by(&self, ticket: &Ticket) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.ticket == *ticket)
            || self.rollout().is_some_and(|rollout| rollout.asking.as_ref() == Some(ticket))
    }

    /// Whether an action is still wanted: its answer is awaited, and nothing newer overtook it.
    pub fn awaits(&self, ticket: &Ticket) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.ticket == *ticket && !busy.stopping)
            || self.rollout().is_some_and(|rollout| rollout.asking.as_ref() == Some(ticket))
    }

    pub fn name(&self) -> &AppName {
        &self.spec.name
    }

    /// What git says, or what stands for it.
    pub fn wanted(&self) -> Option<&Arc<WantedApp>> {
        match &self.git {
            Git::Says(wanted) => Some(wanted),
            Git::Broken { before, .. } | Git::Away(before) => match before {
                StandIn::Said(wanted) | StandIn::Remembered(wanted) => Some(wanted),
                StandIn::Unread { .. } | StandIn::Nothing(_) => None,
            },
        }
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.wanted().map(|wanted| &wanted.digest)
    }

    pub fn problems(&self) -> Option<&Problems> {
        match &self.git {
            Git::Broken { problems, .. } => Some(problems),
            Git::Says(_) | Git::Away(_) => None,
        }
    }

    /// Whether what is wanted is known from git's own word, be it an older one.
    pub fn is_from_git(&self) -> bool {
        matches!(&self.git, Git::Says(_) | Git::Broken { before: StandIn::Said(_), .. })
    }

    pub fn rollout(&self) -> Option<&Rollout> {
        match &self.doing {
            Doing::Rolling(rollout) => Some(rollout),
            _ => None,
        }
    }

    pub fn rollout_mut(&mut self) -> Option<&mut Rollout> {
        match &mut self.doing {
            Doing::Rolling(rollout) => Some(rollout),
            _ => None,
        }
    }

    /// Runs what git says, and passed its gates.
    pub fn is_ready(&self) -> bool {
        matches!(self.doing, Doing::Idle)
            && matches!(self.way, Way::Forward)
            && self.problems().is_none()
            && self.digest().is_some_and(|wanted| self.runs.effective.as_ref() == Some(wanted))
    }

    /// Will not go on by itself: refused or halted.
    pub fn is_stuck(&self) -> bool {
        let stuck = match &self.doing {
            Doing::Refused(_) | Doing::Panicked { .. } => true,
            Doing::Held(holds) => holds.iter().any(|hold| hold.on.is_stuck()),
            Doing::Rolling(_) => self.back().is_none() && self.told_halt().is_some() && !self.is_to_go_back(),
            Doing::Idle => false,
        };
        stuck || self.problems().is_some() || self.back().is_some_and(Back::is_over)
    }

    pub fn tell(&mut self, what: What) {
        self.log.facts.push(Fact { app: Some(self.spec.name.clone()), what });
    }

    pub fn remember(&mut self, change: Change) {
        // A later word on the same replaces an earlier one that was not saved yet.
        if let Change::Quarantine { .. } = change {
            self.log.changes.retain(|known| !matches!(known, Change::Quarantine { .. }));
        }
        self.log.changes.push(change);
    }

    /// Takes that a decision about it panicked.
    pub fn panicked(&mut self, why: String) {
        let digest = self.digest().cloned();
        let known = matches!(&self.doing, Doing::Panicked { digest: of, why: before } if *of == digest && *before == why);
        if !known {
            self.tell(What::Panicked { digest: digest.clone(), why: why.clone() });
        }
        self.stop();
        self.doing = Doing::Panicked { digest, why };
    }
}

impl Terms {
    fn of(rollout: &RolloutSpec) -> Self {
        // Longer is as good as for ever, and fits into every clock.
        let signed = |span: Span| SignedDuration::try_from(span.duration()).unwrap_or(LONGEST).min(LONGEST);
        Self {
            timeout: signed(rollout.timeout),
            settle: signed(rollout.settle),
            restarts: rollout.restarts.into(),
            scope: rollout.scope,
            restores: rollout.on_failure == OnFailure::Restore,
            last_words: rollout.last_words,
        }
    }
}

/// The longest time that is waited for anything.
pub(super) const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
