//! What a run does next.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Choice, End, Preflight, Progress, Run, RunState, StepResult};
use crate::region::lag::Lag;
use crate::region::name::{Epoch, RegionName};
use crate::region::settings::Settings;
use crate::region::step::{Mode, RegionStep};

/// What is known of the world at this moment.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What each preflight says: why it is red, where it is.
    pub preflights: &'a BTreeMap<Preflight, Result<(), String>>,
    /// The epoch that this region holds, and may start writers at.
    pub held: Option<Epoch>,
    /// Another has this epoch, or a higher one, or claimed it first.
    pub overtaken: Option<(RegionName, Epoch)>,
    /// The shared place was read, and nothing stands there.
    pub place_is_empty: bool,
    /// The old region has frozen for this epoch, or has given up already.
    pub other_froze: bool,
    /// Nothing is left of it in the old region.
    pub other_drained: bool,
    /// How far the data here are behind.
    pub lag: Lag,
    /// What is known of the step that was begun.
    pub outcome: Option<&'a (RegionStep, u32, StepOutcome)>,
}

/// What came of a step that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    Done,
    Failed(String),
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    Resume {
        person: String,
        reason: String,
    },
    /// The old region freezes, stops, or drains.
    OldRegion,
    /// The hold is confirmed again.
    Fence,
    /// The data here catch up.
    Replica,
    /// It is measured how far the data here are behind.
    Measurement,
    /// A drill that stands.
    Promotion,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this step, unless this attempt of it was begun already.
    Do {
        step: RegionStep,
        attempt: u32,
    },
    Wait {
        on: Waits,
        until: Option<Timestamp>,
    },
    Halt {
        cause: Cause,
        choices: Vec<Choice>,
    },
    Ended,
}

impl Run {
    /// Moves on as far as the facts allow, and says what is next.
    pub fn next(&mut self, facts: &Facts<'_>, settings: &Settings, now: Timestamp) -> Next {
        loop {
            if let Some((region, epoch)) =
                facts.overtaken.as_ref().filter(|_| !self.is_drill() && !self.is_ended())
            {
                if *epoch > self.epoch {
                    self.overtake(*epoch, now);
                } else if !matches!(self.state, RunState::Halted { cause: Cause::EpochTaken { .. } }) {
                    let cause = Cause::EpochTaken { region: region.clone(), epoch: *epoch };
                    self.state = RunState::Halted { cause };
                }
            }
            match &self.state {
                RunState::Ended { .. } => return Next::Ended,
                RunState::Stands => return Next::Wait { on: Waits::Promotion, until: None },
                RunState::Paused { person, reason } => {
                    let on = Waits::Resume { person: person.clone(), reason: reason.clone() };
                    return Next::Wait { on, until: None };
                }
                RunState::Halted { cause } => {
                    if self.heals(cause, facts) {
                        self.state = RunState::Going;
                        self.restart_clock(now);
                        continue;
                    }
                    let cause = cause.clone();
                    return Next::Halt { choices: self.choices(&cause), cause };
                }
                RunState::Going => {}
            }
            if self.progress().result != StepResult::Open {
                self.advance(now);
                continue;
            }
            match self.judge(facts, settings, now) {
                Judgement::Passed(result) => self.pass(result, now),
                Judgement::Halt(cause) => self.state = RunState::Halted { cause },
                Judgement::Next(next) => return next,
            }
        }
    }

    fn progress(&self) -> &Progress {
        &self.steps[&self.at]
    }

    /// What halted for a state of the world goes on when the world is better: nobody has to say so.
    fn heals(&self, cause: &Cause, facts: &Facts<'_>) -> bool {
        match cause {
            Cause::Preflights { .. } => self.red(facts).is_empty(),
            Cause::FenceLost => facts.held == Some(self.epoch),
            Cause::PlaceEmpty => !facts.place_is_empty || facts.held == Some(self.epoch),
            Cause::TimedOut { step: RegionStep::Fence, .. } => facts.held == Some(self.epoch),
            _ => false,
        }
    }

    fn red(&self, facts: &Facts<'_>) -> Vec<Preflight> {
        let is_red = |preflight: &Preflight| {
            // One that was not looked at is not green.
            !self.overridden.contains(preflight) && !matches!(facts.preflights.get(preflight), Some(Ok(())))
        };
        Preflight::ALL.into_iter().filter(is_red).collect()
    }

    fn judge(&mut self, facts: &Facts<'_>, settings: &Settings, now: Timestamp) -> Judgement {
        let step = self.at;
        if self.begin(now) {
            // Before anything is begun, and only then: an emergency does not wait for what was green a moment ago.
            let is_first = step == RegionStep::Freeze || (self.is_drill() && step == RegionStep::ScaleTarget);
            let red = if is_first { self.red(facts) } else { Vec::new() };
            if !red.is_empty() {
                self.unbegin();
                return Judgement::Halt(Cause::Preflights { red });
            }
        }
        let is_drill = self.is_drill();
        if !is_drill && step.needs_the_fence() && facts.held != Some(self.epoch) {
            return self.wait(Waits::Fence, Cause::FenceLost, settings, now);
        }
        let timed_out = Cause::TimedOut { step, after: settings.timeout(step) };
        if step.is_watched() {
            let is_so = match step {
                RegionStep::Freeze => facts.other_froze || self.from.is_none(),
                RegionStep::Drain => facts.other_drained || self.from.is_none(),
                _ => facts.held == Some(self.epoch),
            };
            if is_so {
                return Judgement::Passed(StepResult::Done);
            }
            if self.mode == Mode::Ungraceful && step != RegionStep::Fence {
                return Judgement::Passed(StepResult::NotWaitedFor);
            }
            if step == RegionStep::Fence && facts.place_is_empty && !self.epoch.is_first() {
                return Judgement::Halt(Cause::PlaceEmpty);
            }
            return self.wait(Waits::OldRegion, timed_out, settings, now);
        }
        if step == RegionStep::Data
            && let Some(judgement) = self.judge_lag(facts, settings, now)
        {
            return judgement;
        }
        let attempt = self.progress().attempt;
        match facts.outcome {
            Some((done, of, StepOutcome::Done)) if (*done, *of) == (step, attempt) => {
                Judgement::Passed(StepResult::Done)
            }
            Some((failed, of, StepOutcome::Failed(why))) if (*failed, *of) == (step, attempt) => {
                Judgement::Halt(Cause::Failed { step, why: why.clone() })
            }
            _ if self.is_late(settings, now) => Judgement::Halt(timed_out),
            _ => Judgement::Next(Next::Do { step, attempt }),
        }
    }

    /// What how far the data are behind means for the step that promotes them, where that is not that it may be done.
    fn judge_lag(&mut self, facts: &Facts<'_>, settings: &Settings, now: Timestamp) -> Option<Judgement> {
        if self.is_drill() {
            // Nothing is promoted, so nothing is lost: it is measured what would be.
            return match facts.lag {
                Lag::By(lag) => {
                    self.loss.get_or_insert(lag);
                    None
                }
                Lag::Awaited if !self.is_late(settings, now) => {
                    Some(Judgement::Next(Next::Wait { on: Waits::Measurement, until: None }))
                }
                Lag::Awaited | Lag::Unknown => None,
            };
        }
        let cause = self.loses_too_much(facts, settings)?;
        Some(match (self.mode, facts.lag) {
            (_, Lag::Awaited) => self.wait(Waits::Measurement, cause, settings, now),
            // The old region's writers have stopped: what the replica lacks is on its way.
            (Mode::Graceful, _) => self.wait(Waits::Replica, cause, settings, now),
            _ => Judgement::Halt(cause),
        })
    }

    /// Asked before the data are touched for the first time. Once that has begun, what could be lost is decided.
    fn loses_too_much(&mut self, facts: &Facts<'_>, settings: &Settings) -> Option<Cause> {
        if self.loss.is_some() {
            return None;
        }
        // Where the old region helped, nothing is lost: its writers have stopped, and the replica has all they wrote.
        let most = match (self.loss_taken, self.mode) {
            (Some(taken), _) => taken,
            (None, Mode::Graceful) => Duration::ZERO,
            (None, _) => settings.max_data_loss,
        };
        match facts.lag {
            Lag::By(lag) if lag <= most => {
                self.loss = Some(lag);
                None
            }
            Lag::By(lag) => Some(Cause::DataLag { lag: Some(lag), most }),
            Lag::Awaited | Lag::Unknown => Some(Cause::DataLag { lag: None, most }),
        }
    }

    fn wait(&self, on: Waits, late: Cause, settings: &Settings, now: Timestamp) -> Judgement {
        if self.is_late(settings, now) {
            return Judgement::Halt(late);
        }
        let timeout = settings.timeout(self.at);
        let until = self.progress().since.and_then(|since| since.checked_add(timeout).ok());
        Judgement::Next(Next::Wait { on, until })
    }

    fn is_late(&self, settings: &Settings, now: Timestamp) -> bool {
        self.progress().since.is_some_and(|since| passed(since, now) >= settings.timeout(self.at))
    }

    /// Begins the step, unless it is begun; says whether it was not.
    fn begin(&mut self, now: Timestamp) -> bool {
        let progress = self.steps.entry(self.at).or_default();
        if progress.since.is_some() {
            return false;
        }
        progress.attempt += 1;
        progress.began.get_or_insert(now);
        progress.since = Some(now);
        true
    }

    fn unbegin(&mut self) {
        let progress = self.steps.entry(self.at).or_default();
        *progress = Progress::default();
    }

    fn restart_clock(&mut self, now: Timestamp) {
        let progress = self.steps.entry(self.at).or_default();
        progress.since = progress.since.map(|_| now);
    }

    pub(super) fn pass(&mut self, result: StepResult, now: Timestamp) {
        let is_healthy = self.at == RegionStep::Healthy && result == StepResult::Done;
        let progress = self.steps.entry(self.at).or_default();
        progress.result = result;
        progress.ended = Some(now);
        if is_healthy && !self.is_drill() {
            self.served = Some(now);
        }
    }

    fn advance(&mut self, now: Timestamp) {
        match RegionStep::ALL.into_iter().find(|step| *step > self.at) {
            Some(step) => self.at = step,
            None if self.is_drill() => self.state = RunState::Stands,
            None => self.end(End::Done, now),
        }
    }
}

enum Judgement {
    Passed(StepResult),
    Halt(Cause),
    Next(Next),
}

/// The time between two readings of a clock that may have been set back meanwhile.
pub fn passed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
