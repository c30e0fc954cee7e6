//! Remembers what is about to be written, and then writes a wave, one object after the other.

use std::sync::Arc;

use super::{Progress, Reach, Save, Work, note};
use crate::delivery::simulation::chance::Luck;
use crate::delivery::{Event, Ticket};
use crate::object::Live;
use crate::plan::{CheckedPlan, CheckedStep, Refusal, RefusalKind, WaveOutcome, Written};
use crate::state::Change;

pub struct Write {
    plan: Arc<CheckedPlan>,
    wave: usize,
    ticket: Ticket,
    save: Option<Save>,
    /// The steps that are left.
    left: Vec<usize>,
    under_way: Option<Request>,
    outcome: WaveOutcome,
}

/// One write that was sent.
struct Request {
    step: usize,
    luck: Luck,
    answer: Option<Result<(Arc<Live>, bool), Refusal>>,
}

impl Write {
    pub fn new(
        plan: Arc<CheckedPlan>,
        wave: usize,
        remember: Vec<Change>,
        ticket: Ticket,
        reach: &mut Reach,
    ) -> Self {
        let mut left: Vec<usize> = (0..plan.waves()[wave].steps().len()).collect();
        reach.chance.shuffle(&mut left);
        let save = Some(Save::new(remember));
        Self { plan, wave, ticket, save, left, under_way: None, outcome: WaveOutcome::default() }
    }

    fn step(&self, n: usize) -> CheckedStep {
        self.plan.waves()[self.wave].steps()[n].clone()
    }

    fn end(&mut self) -> Progress {
        Progress::Ended(Event::Wrote(std::mem::take(&mut self.outcome)))
    }

    fn send(&self, n: usize, luck: Luck, reach: &mut Reach) -> Result<(Arc<Live>, bool), Refusal> {
        let step = self.step(n);
        let refuse = |kind, why: &str| Refusal::new(kind, step.wanted(), why);
        if luck == Luck::Failed {
            return Err(refuse(RefusalKind::Unreachable, "503"));
        }
        let how = (!step.force().is_empty(), step.replicas().withheld());
        let done = reach.server.apply(step.wanted(), step.live(), how, reach.chance);
        if done.as_ref().is_ok_and(|(_, created)| *created) {
            reach.checks.created(&step.wanted().key, &self.ticket, reach.chance.now);
        }
        let done = done.map_err(|(kind, why)| refuse(kind, why))?;
        // A request whose answer was lost is sent again, which may be in vain as well.
        if luck == Luck::Lost && reach.chance.one_of(2) {
            return Err(refuse(RefusalKind::Unreachable, "no answer"));
        }
        Ok(done)
    }
}

impl Work for Write {
    fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Progress {
        if let Some(save) = &mut self.save {
            match save.go_on(reach) {
                Err(at) => return Progress::Until(at),
                Ok(Err(failure)) => return Progress::Ended(Event::Failed(failure)),
                Ok(Ok(())) => self.save = None,
            }
        }
        if let Some(Request { step, luck, answer }) = self.under_way.take() {
            let Some(answer) = answer else {
                let answer = Some(self.send(step, luck, reach));
                self.under_way = Some(Request { step, luck, answer });
                return Progress::Until(reach.chance.way());
            };
            match answer {
                Ok((live, created)) => {
                    note(reach, &live);
                    let (wanted, live) = (self.step(step).wanted().clone(), (*live).clone());
                    self.outcome.written.push(Written { wanted, live, created, adopted: None });
                }
                Err(refusal) => {
                    self.outcome.refused.push(refusal);
                    return self.end();
                }
            }
        }
        if self.left.is_empty() {
            return self.end();
        }
        if !awaited {
            self.outcome.stopped = true;
            return self.end();
        }
        let step = self.left.pop().unwrap_or(0);
        reach.checks.writes(&self.ticket, self.plan.digest(), reach.chance.now);
        let luck = reach.chance.luck();
        self.under_way = Some(Request { step, luck, answer: None });
        Progress::Until(reach.chance.way())
    }

    fn arrive(&mut self, reach: &mut Reach) {
        if let Some(save) = &mut self.save {
            save.arrive(reach);
        }
        if let Some(Request { step, luck, answer: None }) = self.under_way.take() {
            drop(self.send(step, luck, reach));
        }
    }
}
