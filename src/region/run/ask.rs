//! What people may say to a run, and what comes of it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{End, Preflight, Run, RunState, Said, StepResult};
use crate::region::record::Attestation;
use crate::region::step::{Mode, RegionStep};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "ask")]
pub enum Ask {
    Pause,
    Resume,
    Retry,
    /// The step that was shown, so that no other is meant.
    Skip {
        step: RegionStep,
    },
    Ungraceful,
    Override {
        preflight: Preflight,
    },
    /// The most that may be lost.
    TakeLoss {
        most: Duration,
    },
    Attest {
        attestation: Attestation,
    },
    Abort,
    EndDrill,
}

/// One person's request. It is heard once, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: String,
    pub person: String,
    pub reason: String,
    pub ask: Ask,
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no re-point is under way here")]
    NoRun,
    #[error("it has ended")]
    Ended,
    #[error("a reason is needed: it goes into the report")]
    NoReason,
    #[error("it is not paused")]
    NotPaused,
    #[error("it is at {at}, not at {said}")]
    OtherStep { at: RegionStep, said: RegionStep },
    #[error(
        "the fence cannot be skipped: wait for the old region, go on ungracefully, or attest by name that it is off"
    )]
    FenceStays,
    #[error("writers have been started here: to move back is a re-point of its own, with a higher epoch")]
    WritersStarted,
    #[error("a drill touches neither the old region nor its data")]
    IsDrill,
    #[error("it is no drill")]
    NoDrill,
    #[error("it is past the data: nothing more can be lost by its word")]
    PastData,
}

impl Run {
    pub(in crate::region) fn hear(&mut self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        if self.is_ended() {
            return Err(Refusal::Ended);
        }
        if request.reason.trim().is_empty() && !matches!(request.ask, Ask::Resume | Ask::Retry) {
            return Err(Refusal::NoReason);
        }
        self.obey(request, now)?;
        self.said.push(Said {
            at: now,
            person: request.person.clone(),
            reason: request.reason.clone(),
            ask: request.ask.clone(),
            step: self.at,
        });
        Ok(())
    }

    fn obey(&mut self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let (person, reason) = (request.person.clone(), request.reason.clone());
        match &request.ask {
            Ask::Pause => self.state = RunState::Paused { person, reason },
            Ask::Resume if self.is_paused() => self.go_on(now),
            Ask::Resume => return Err(Refusal::NotPaused),
            Ask::Retry => self.try_again(now),
            Ask::Skip { step } => {
                if *step != self.at {
                    return Err(Refusal::OtherStep { at: self.at, said: *step });
                }
                if *step == RegionStep::Fence {
                    return Err(Refusal::FenceStays);
                }
                self.pass(StepResult::Skipped { person, reason }, now);
                self.go_on(now);
            }
            Ask::Ungraceful if self.is_drill() => return Err(Refusal::IsDrill),
            Ask::Ungraceful => {
                self.mode = Mode::Ungraceful;
                self.go_on(now);
            }
            Ask::Override { preflight } => {
                self.overridden.insert(*preflight);
                self.go_on(now);
            }
            Ask::TakeLoss { .. } if self.at > RegionStep::Data => return Err(Refusal::PastData),
            Ask::TakeLoss { most } => {
                self.loss_taken = Some(*most);
                self.go_on(now);
            }
            Ask::Attest { .. } if self.is_drill() => return Err(Refusal::IsDrill),
            // What is attested is remembered beside the run, and judged by the fence.
            Ask::Attest { .. } => self.go_on(now),
            Ask::Abort if !self.may_abort() => return Err(Refusal::WritersStarted),
            Ask::Abort if self.is_drill() => return Err(Refusal::IsDrill),
            Ask::Abort => self.end(End::Aborted { person, reason }, now),
            Ask::EndDrill if self.is_drill() => self.end(End::Done, now),
            Ask::EndDrill => return Err(Refusal::NoDrill),
        }
        Ok(())
    }

    /// Goes on from a pause or a halt; the time of the step begins anew.
    fn go_on(&mut self, now: Timestamp) {
        if matches!(self.state, RunState::Paused { .. } | RunState::Halted { .. }) {
            self.state = RunState::Going;
        }
        if let Some(progress) = self.steps.get_mut(&self.at).filter(|progress| progress.since.is_some()) {
            progress.since = Some(now);
        }
    }

    /// Does the step again, under a new number, so that what did it before is not taken for it.
    fn try_again(&mut self, now: Timestamp) {
        self.go_on(now);
        if let Some(progress) = self.steps.get_mut(&self.at).filter(|progress| progress.since.is_some()) {
            progress.attempt += 1;
        }
    }
}
