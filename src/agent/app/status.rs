//! What an app says of itself to people.

use jiff::Timestamp;

use super::App;
use crate::api::{AppPhase, AppStatus, WaitingOn, WaveStatus};
use crate::object::AppName;
use crate::rollout::Halt;
use crate::state::Stage;

impl App {
    pub fn status(&self) -> AppStatus {
        let (phase, message) = self.phase();
        let wave = self.rollout.as_ref().filter(|rollout| rollout.plan.is_some()).and_then(|rollout| {
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Some(WaveStatus { current: number(rollout.state.wave()?), of: number(rollout.waves.len()) })
        });
        let waiting_on = match (&self.waiting, phase) {
            (Some((on, since, until)), AppPhase::Waiting) => Some(WaitingOn {
                what: on.iter().take(SHOWN).map(ToString::to_string).collect(),
                since: seconds(*since),
                until: Some(seconds(*until)),
            }),
            _ => None,
        };
        AppStatus {
            name: self.spec.name.clone(),
            phase,
            desired: self.digest().cloned(),
            effective: self.effective.clone(),
            quarantined: self
                .quarantine()
                .filter(|back| back.stage == Stage::Restored)
                .map(|back| back.digest.clone()),
            objects: self
                .wanted
                .as_ref()
                .map_or(0, |wanted| u32::try_from(wanted.objects.len()).unwrap_or(u32::MAX)),
            wave,
            waiting_on,
            message,
            adoption: self.adoption_status(),
        }
    }

    fn phase(&self) -> (AppPhase, Option<String>) {
        if let Some(problems) = &self.problems {
            return (AppPhase::Refused, Some(some(problems.as_slice().iter().map(ToString::to_string))));
        }
        if let Some(why) = &self.unwatched {
            return (AppPhase::Refused, Some(why.clone()));
        }
        if let Some(back) = self.quarantine() {
            let words = |what: &str| format!("{} {what}: {}", back.digest.short(), back.why);
            match back.stage {
                Stage::Going => return (AppPhase::Restoring, Some(words("failed and is taken back"))),
                Stage::Lost => return (AppPhase::Halted, Some(back.why.clone())),
                Stage::Restored if self.busy.is_none() && self.rollout.is_none() => {
                    let what = format!("failed, and {} runs again", back.good.short());
                    return (AppPhase::Restored, Some(words(&what)));
                }
                Stage::Restored => {}
            }
        }
        if let Some(halt) = self.told_halt() {
            return (AppPhase::Halted, Some(halt));
        }
        if let Some(busy) = &self.busy {
            return (busy.phase, None);
        }
        if let Some(refused) = &self.refused {
            return (AppPhase::Refused, Some(some(refused.messages.iter().cloned())));
        }
        if let Some(rollout) = &self.rollout {
            let waits = self.waiting.is_some() || self.halted.is_some();
            let phase = if waits { AppPhase::Waiting } else { AppPhase::Applying };
            return (if rollout.state.is_done() { AppPhase::Ready } else { phase }, None);
        }
        if let Some(held) = &self.hooks.held {
            return (AppPhase::Waiting, Some(format!("waits for {held}")));
        }
        if let Some(what) = &self.suspended {
            return (AppPhase::Suspended, Some(what.clone()));
        }
        if !self.blocked.is_empty() {
            let names: Vec<&str> = self.blocked.iter().map(AppName::as_str).collect();
            return (AppPhase::Blocked, Some(format!("waits for {}", names.join(", "))));
        }
        if self.is_ready() { (AppPhase::Ready, None) } else { (AppPhase::Pending, None) }
    }
}

/// So many objects are named in a status; an app of ten thousand must not make it unreadable.
const SHOWN: usize = 5;

pub(super) fn some(messages: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = messages.collect();
    let mut text = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > SHOWN {
        text.push_str(&format!("; and {} more", all.len() - SHOWN));
    }
    text
}

pub(super) fn halt_message(why: &Halt, told: &[String]) -> String {
    let (head, mut words) = match why {
        Halt::TimedOut { on } => ("not healthy in time", on.iter().map(ToString::to_string).collect()),
        Halt::Failed { on } => ("failed", on.iter().map(ToString::to_string).collect()),
        Halt::Hook { on } if on.is_failure() => ("a hook failed", vec![on.to_string()]),
        Halt::Hook { on } => ("a hook did not end in time", vec![on.to_string()]),
        Halt::Refused { messages } => ("refused on the way", messages.clone()),
    };
    words.extend(told.iter().cloned());
    format!("{head}: {}", some(words.into_iter()))
}

fn seconds(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
