//! What an app makes of the answers to its actions.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::rolling::Rollout;
use super::{App, Busy, Doing, Refusal};
use crate::delivery::action::{Again, Event, Failure, REFUSED};
use crate::delivery::fact::What;
use crate::delivery::ticket::{Owner, Ticket};
use crate::delivery::world::World;
use crate::drift::Drifted;
use crate::health::Status;
use crate::object::{Digest, ObjectKey, Outcome};
use crate::plan::{CheckedPlan, RefusalKind, Refused, WaveOutcome};
use crate::rollout::Wrote;

impl App {
    /// Takes what came of an action. An answer to anything but what is under way is nothing.
    pub(in crate::delivery) fn answered(
        &mut self,
        ticket: &Ticket,
        event: Event,
        world: &dyn World,
        now: Timestamp,
    ) {
        if let Some(rollout) = self.rollout_mut()
            && rollout.asking.as_ref() == Some(ticket)
        {
            rollout.asking = None;
            return self.told_of_pods(event, now);
        }
        let Some(Busy { ticket, stopping, remembers, .. }) = self.busy.take() else { return };
        let Owner::App(_, digest) = ticket.of else { return };
        match &event {
            Event::Wrote(outcome) => {
                self.log.may_roll = false;
                self.note_written(outcome);
            }
            Event::Found(_) => {}
            Event::Hooked(done) if done.failed.is_none() => {}
            // Whether it was remembered is not known; to do so again does no harm.
            _ => remembers.into_iter().rev().for_each(|change| self.put_back(change)),
        }
        match event {
            // What was read stays true, and a hook's memory has to be known, whatever is wanted by now.
            Event::Hooked(done) => self.hooked(*done, now),
            Event::Recalled(read) => self.recalled(&digest, Ok(read), now),
            Event::Found(found) => self.found(*found),
            // The answer to something that was overtaken says nothing about what is wanted now.
            _ if stopping => {
                if self.rollout().is_some() {
                    self.break_off();
                }
            }
            Event::Proved { result: Ok(plan), drifted } => self.proved(plan, drifted, world, now),
            Event::Proved { result: Err(refused), .. } => self.refused(&digest, &refused, now),
            Event::Inspected { seen, extras } => self.inspected(seen, extras, now),
            Event::Wrote(outcome) => self.wrote(&digest, outcome, now),
            Event::Failed(failure) => self.failed(&digest, failure, now),
            // Stopped by the hands, as at the end of a process: it is begun again.
            _ => self.break_off(),
        }
    }

    /// Takes what pods say, or that they could not be asked: that is no evidence, and a halt is told without their reasons.
    fn told_of_pods(&mut self, event: Event, now: Timestamp) {
        let halted = self.rollout().is_some_and(|rollout| rollout.halted.is_some());
        match event {
            Event::Reasons(reasons) => self.reasoned(reasons, now),
            Event::Looked(found) => self.looked(found, now),
            _ if halted => self.reasoned(Vec::new(), now),
            _ => self.looked(Vec::new(), now),
        }
    }

    fn failed(&mut self, digest: &Digest, failure: Failure, now: Timestamp) {
        if self.unread(now).is_some_and(|due| due.as_ref() == Ok(digest)) {
            return self.recalled(digest, Err(failure), now);
        }
        if self.end_find(&failure) {
            return;
        }
        self.delay_hooks(now);
        self.break_off();
        let may_pass = matches!(failure, Failure::Passing(_));
        self.refuse(digest, vec![failure.why().to_owned()], may_pass, now);
    }

    fn proved(&mut self, plan: CheckedPlan, drifted: Vec<Drifted>, world: &dyn World, now: Timestamp) {
        self.adoption.needed.clear();
        if self.is_planned_under_others(now) {
            return self.break_off();
        }
        self.note_settled(&plan, now);
        let Some(target) = self.target().cloned() else { return };
        if plan.waves().is_empty() {
            // All of it is settled, and the next look will see so; only hooks may be left to run.
            self.doing = Doing::Idle;
            if !self.hooks_due(&target).is_empty() {
                self.tell(What::Started { digest: target.digest.clone(), objects: 0, waves: 0 });
                self.run_hooks(&target, now);
            }
            return;
        }
        let changes: BTreeSet<&ObjectKey> = plan.steps().map(|step| &step.wanted().key).collect();
        let others = target.objects.iter().map(|object| &object.key).filter(|key| !changes.contains(key));
        // What stays as others left it is neither missed nor asked to be well.
        let others = others.filter(|key| !self.drift.leaves(key));
        let others: Vec<&ObjectKey> = others.collect();
        if others.iter().any(|key| world.live(key).is_none_or(|live| live.deleting)) {
            // It was there when the plan was made, and nobody would make it anew: all is compared again.
            return self.break_off();
        }
        self.announce(&plan, drifted, now);
        // What a rollout does not change and is well now has to be well afterwards too.
        let well =
            others.into_iter().filter(|key| world.health(key).status == Status::Healthy).cloned().collect();
        let baseline = self.kept_baseline(&target.digest, &changes, well);
        let course = self.course(&plan, world.memory().is_some(), now);
        let hooks = self.place_hooks(&target, &course.orders);
        self.doing = Doing::Rolling(Box::new(Rollout::new(course, Some(Arc::new(plan)), baseline, hooks)));
    }

    fn refused(&mut self, digest: &Digest, refused: &Refused, now: Timestamp) {
        self.note_needed(refused);
        let words = refused.refusals.iter().map(|refusal| match &refusal.hint {
            Some(hint) => format!("{refusal} ({hint})"),
            None => refusal.to_string(),
        });
        let messages: Vec<String> = words.collect();
        // A way back ends when what ran before runs again, or cannot.
        if !self.is_refused_for(&messages) && self.back().is_none() {
            self.note_ended(digest, Outcome::Refused, Some(&messages.join("; ")), now);
        }
        self.refuse(digest, messages, refused.refusals.iter().all(|refusal| refusal.may_pass()), now);
    }

    /// Takes that other things are granted than before: what was refused for that is tried again at once.
    pub(in crate::delivery) fn hear_rights(&mut self) {
        (self.runs.judged, self.runs.other_rights) = (None, true);
        if let Doing::Refused(Refusal { again: Some(again), .. }) = &mut self.doing {
            *again = Again::default();
        }
    }

    /// Takes that what it was about to write is not granted any more. What it wrote before is judged with what comes next.
    pub(in crate::delivery) fn withhold(&mut self, messages: Vec<String>, now: Timestamp) {
        let Some(digest) = self.target_digest().cloned() else { return };
        self.break_off();
        self.refuse(&digest, messages, true, now);
    }

    fn is_refused_for(&self, messages: &[String]) -> bool {
        matches!(&self.doing, Doing::Refused(refusal) if refusal.messages == messages)
    }

    /// Notes that nothing is written, why, and when it is tried again.
    pub(in crate::delivery) fn refuse(
        &mut self,
        digest: &Digest,
        messages: Vec<String>,
        may_pass: bool,
        now: Timestamp,
    ) {
        if !self.is_refused_for(&messages) {
            self.tell(What::Refused { messages: messages.clone() });
        }
        let before = std::mem::take(&mut self.runs.attempts);
        let attempts = before.filter(|(of, _)| of == digest).map_or(0, |(_, attempts)| attempts);
        let again = Again { at: None, attempts }.after(REFUSED, now);
        self.runs.attempts = Some((digest.clone(), again.attempts));
        let refusal = Refusal { digest: digest.clone(), messages, again: may_pass.then_some(again) };
        self.doing = Doing::Refused(refusal);
    }

    /// Keeps what was written: it is ours from here on.
    fn note_written(&mut self, outcome: &WaveOutcome) {
        if outcome.written.is_empty() {
            return;
        }
        let before = Arc::make_mut(&mut self.runs.before);
        for written in &outcome.written {
            before.insert(written.wanted.key.clone(), written.wanted.clone());
        }
        self.note_adopted(&outcome.written);
        self.note_put_back(&outcome.written);
    }

    fn wrote(&mut self, digest: &Digest, outcome: WaveOutcome, now: Timestamp) {
        if !outcome.written.is_empty() {
            self.runs.attempts = None;
        }
        let Some(rollout) = self.rollout_mut() else { return };
        if outcome.stopped && outcome.refused.is_empty() {
            return self.break_off();
        }
        if outcome.refused.is_empty() {
            rollout.wrote = Some(Wrote::All);
            return;
        }
        let messages: Vec<String> = outcome.refused.iter().map(ToString::to_string).collect();
        // The world changed under the plan, or could not be reached: a new plan starts from what is live by then.
        let passing = |kind| {
            matches!(kind, RefusalKind::Unreachable | RefusalKind::Conflict | RefusalKind::BeingDeleted)
        };
        if outcome.refused.iter().all(|refusal| passing(refusal.kind)) {
            self.break_off();
            self.refuse(digest, messages, true, now);
        } else {
            rollout.wrote = Some(Wrote::Refused(messages));
        }
    }
}
