//! What an app says of itself to people, derived from its state by one function.

use jiff::Timestamp;

use super::{App, Doing, Git, StandIn};
use crate::api::{AppPhase, AppStatus, WaitingOn, WaveStatus};
use crate::delivery::fact::{reasons, some};
use crate::delivery::hold::{HeldBy, Hold};
use crate::state::{Quarantine, Stage};

/// So many objects are named in a status; an app of ten thousand must not make it unreadable.
const SHOWN: usize = 5;

impl App {
    pub(in crate::delivery) fn status(&self) -> AppStatus {
        let (phase, message) = self.phase();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let rollout = self.rollout();
        let wave = rollout.filter(|rollout| rollout.plan.is_some()).and_then(|rollout| {
            Some(WaveStatus { current: number(rollout.state.wave()?), of: number(rollout.waves.len()) })
        });
        let waiting = rollout.and_then(|rollout| rollout.waiting.as_ref());
        let waiting_on = waiting.filter(|_| phase == AppPhase::Waiting).map(|waiting| WaitingOn {
            what: waiting.on.iter().take(SHOWN).map(ToString::to_string).collect(),
            since: seconds(waiting.since),
            until: Some(seconds(waiting.until)),
        });
        let held = || match &self.doing {
            Doing::Held(holds) => holds.iter().find(|hold| matches!(hold.on, HeldBy::Hook(_))),
            _ => None,
        };
        let hook = |hold: &Hold| WaitingOn {
            what: vec![hold.on.to_string()],
            since: seconds(hold.since),
            until: None,
        };
        AppStatus {
            name: self.spec.name.clone(),
            phase,
            desired: self.digest().cloned(),
            effective: self.runs.effective.clone(),
            quarantined: self
                .quarantine()
                .filter(|aside| aside.stage == Stage::Restored)
                .map(|aside| aside.digest.clone()),
            objects: self.wanted().map_or(0, |wanted| number(wanted.objects.len())),
            wave,
            waiting_on: waiting_on.or_else(|| held().map(hook)),
            message,
            rollback: self.rollback_status(),
            history: Vec::new(),
            adoption: self.adoption_status(),
        }
    }

    fn phase(&self) -> (AppPhase, Option<String>) {
        if let Doing::Panicked { why, .. } = &self.doing {
            let message =
                format!("a decision about it panicked ({why}); a new commit or `fairlead retry` tries again");
            return (AppPhase::Refused, Some(message));
        }
        if let Some(problems) = self.problems() {
            let problems = reasons(problems.as_slice().iter().map(ToString::to_string));
            // What is under way goes on all the same.
            return match self.quarantine().filter(|aside| aside.stage == Stage::Going) {
                Some(aside) => {
                    let (phase, going) = self.going(aside);
                    (phase, Some(format!("{going}; the newest commit cannot be rendered: {problems}")))
                }
                None => (AppPhase::Refused, Some(problems)),
            };
        }
        if let Git::Away(StandIn::Nothing(why)) = &self.git {
            return (AppPhase::Pending, Some(why.clone()));
        }
        if let Some(phase) = self.quarantine().and_then(|aside| self.phase_back(aside)) {
            return phase;
        }
        if let Some(halt) = self.told_halt() {
            return (AppPhase::Halted, Some(halt));
        }
        if let (Doing::Refused(refusal), None) = (&self.doing, &self.busy) {
            return (AppPhase::Refused, Some(reasons(refusal.messages.iter().cloned())));
        }
        if let Doing::Held(holds) = &self.doing {
            return held(holds);
        }
        if let Doing::Rolling(rollout) = &self.doing {
            let waits = rollout.waiting.is_some() || rollout.halted.is_some();
            let phase = match rollout.state.is_done() {
                true => AppPhase::Ready,
                false if waits => AppPhase::Waiting,
                false => self.busy.as_ref().map_or(AppPhase::Applying, |busy| busy.phase),
            };
            return (phase, None);
        }
        match &self.busy {
            Some(busy) if busy.phase != AppPhase::Ready => (busy.phase, None),
            // What is tidied up for one digest says nothing of the next.
            _ if self.is_ready() => (AppPhase::Ready, self.drift_status()),
            _ => (AppPhase::Pending, None),
        }
    }

    fn phase_back(&self, aside: &Quarantine) -> Option<(AppPhase, Option<String>)> {
        let at_rest = self.busy.is_none() && !matches!(self.doing, Doing::Rolling(_));
        let (digest, good, why) = (aside.digest.short(), aside.good.short(), &aside.why);
        Some(match aside.stage {
            Stage::Going => {
                let (phase, message) = self.going(aside);
                (phase, Some(message))
            }
            Stage::Lost => (AppPhase::Halted, Some(why.clone())),
            Stage::Restored if at_rest && aside.asked.is_some() => {
                (AppPhase::RolledBack, Some(format!("{why}: {good} runs instead of {digest}")))
            }
            Stage::Restored if at_rest => {
                (AppPhase::Restored, Some(format!("{digest} failed, and {good} runs again: {why}")))
            }
            Stage::Restored => return None,
        })
    }

    /// Where it goes back to and why, and what is in the way of that.
    fn going(&self, aside: &Quarantine) -> (AppPhase, String) {
        let (digest, good, why) = (aside.digest.short(), aside.good.short(), &aside.why);
        let (phase, message) = match aside.asked {
            Some(_) => (AppPhase::RollingBack, format!("{why}: {good} is put back instead of {digest}")),
            None => (AppPhase::Restoring, format!("{digest} failed and is taken back: {why}")),
        };
        match &self.doing {
            Doing::Refused(refusal) => {
                let refused = reasons(refusal.messages.iter().cloned());
                (phase, format!("{message}; that is refused so far: {refused}"))
            }
            _ => (phase, message),
        }
    }
}

fn held(holds: &[Hold]) -> (AppPhase, Option<String>) {
    let phase = match holds.first().map(|hold| &hold.on) {
        Some(HeldBy::Suspended { .. } | HeldBy::Person(_)) => AppPhase::Suspended,
        Some(HeldBy::Dependencies(_)) => AppPhase::Blocked,
        Some(HeldBy::Hook(_)) => AppPhase::Waiting,
        Some(HeldBy::Unwatched(_)) => AppPhase::Refused,
        Some(HeldBy::Listing(_)) | None => AppPhase::Pending,
    };
    (phase, Some(some(holds.iter().map(|hold| hold.on.to_string()))))
}

fn seconds(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
