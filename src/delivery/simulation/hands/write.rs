//! Remembers what is about to be written, and then writes a wave, one object after the other.

use std::sync::Arc;

use super::{Progress, Reach, Save, Work, note, withheld};
use crate::delivery::simulation::chance::{Luck, Millis};
use crate::delivery::simulation::server::How;
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
    under_way: Vec<Request>,
    /// So many are sent beside each other.
    at_once: usize,
    outcome: WaveOutcome,
}

/// One write that was sent: when it is there, or its answer here.
struct Request {
    at: Millis,
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
        let (save, at_once) = (Some(Save::new(remember)), if reach.chance.one_of(2) { 1 } else { 20 });
        Self {
            plan,
            wave,
            ticket,
            save,
            left,
            under_way: Vec::new(),
            at_once,
            outcome: WaveOutcome::default(),
        }
    }

    fn step(&self, n: usize) -> CheckedStep {
        self.plan.waves()[self.wave].steps()[n].clone()
    }

    /// Sends a step; `alive` says whether the process that does is.
    fn send(
        &self,
        n: usize,
        luck: Luck,
        alive: bool,
        reach: &mut Reach,
    ) -> Result<(Arc<Live>, bool), Refusal> {
        let step = self.step(n);
        let refuse = |kind, why: &str| Refusal::new(kind, step.wanted(), why);
        if luck == Luck::Failed {
            return Err(refuse(RefusalKind::Unreachable, "503"));
        }
        let how = How {
            force: !step.force().is_empty(),
            no_replicas: step.replicas().withheld(),
            withheld: withheld(&step.planned().withheld),
        };
        let before = reach.server.objects.get(&step.wanted().key).map(|object| object.taken);
        let done = reach.server.apply(step.wanted(), step.live(), how, reach.chance);
        if alive && done.is_ok() {
            let after = reach.server.objects.get(&step.wanted().key).map(|object| object.taken);
            reach.checks.took(&self.ticket, &step, (before, after), reach.chance.now);
        }
        if alive && done.as_ref().is_ok_and(|(_, created)| *created) {
            reach.checks.created(&step.wanted().key, &self.ticket, reach.chance.now);
        }
        let done = done.map_err(|(kind, why)| refuse(kind, why))?;
        // A request whose answer was lost is sent again, which may be in vain as well.
        if luck == Luck::Lost && reach.chance.one_of(2) {
            return Err(refuse(RefusalKind::Unreachable, "no answer"));
        }
        Ok(done)
    }

    /// Takes what is due of a request: it is there, or answered. Gives it back where its answer is still to come.
    fn arrived(&mut self, request: Request, reach: &mut Reach) -> Option<Request> {
        let Request { step, luck, answer, .. } = request;
        match answer {
            None => {
                let answer = Some(self.send(step, luck, true, reach));
                return Some(Request { at: reach.chance.way(), step, luck, answer });
            }
            Some(Ok((live, created))) => {
                note(reach, &live);
                let (wanted, live) = (self.step(step).wanted().clone(), (*live).clone());
                self.outcome.written.push(Written { wanted, live, created, adopted: None });
            }
            Some(Err(refusal)) => self.outcome.refused.push(refusal),
        }
        None
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
        let now = reach.chance.now;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|request| request.at <= now);
        self.under_way = later;
        for request in due {
            let request = self.arrived(request, reach);
            self.under_way.extend(request);
        }
        let goes_on = awaited && self.outcome.refused.is_empty();
        while goes_on && self.under_way.len() < self.at_once {
            let Some(step) = self.left.pop() else { break };
            reach.checks.writes(&self.ticket, self.plan.digest().short(), now);
            let (at, luck) = (reach.chance.way(), reach.chance.luck());
            self.under_way.push(Request { at, step, luck, answer: None });
        }
        if let Some(at) = self.under_way.iter().map(|request| request.at).min() {
            return Progress::Until(at);
        }
        self.outcome.stopped = !awaited && !self.left.is_empty();
        Progress::Ended(Event::Wrote(std::mem::take(&mut self.outcome)))
    }

    fn arrive(&mut self, reach: &mut Reach) {
        if let Some(save) = &mut self.save {
            save.arrive(reach);
        }
        for request in std::mem::take(&mut self.under_way) {
            if request.answer.is_none() {
                drop(self.send(request.step, request.luck, false, reach));
            }
        }
    }
}
