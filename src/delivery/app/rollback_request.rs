//! A person wants something older back: `fairlead rollback`.
//!
//! It is the way back that a failed rollout takes, by a person's word: what git says is set aside, what they want is put in
//! its place in waves, proven and gated, and the next digest or `fairlead retry` ends it. Each word is answered once.

use std::sync::Arc;

use super::App;
use super::restore::{Back, Target, reversible};
use crate::api::{RollbackState, RollbackStatus};
use crate::delivery::action::Failure;
use crate::delivery::fact::What;
use crate::delivery::rollback::{Ask, Found, No, Want};
use crate::state::{AppMemory, Change, Stage};

/// What was asked of an app.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Asking {
    /// The last word to roll back that was answered.
    heard: Option<String>,
    asked: Option<Ask>,
    /// The last one that nothing came of, and why.
    refused: Option<(Ask, No)>,
    /// The last word to try again that was answered.
    pub retried: Option<String>,
    /// Whether it meant something that was set aside; `None` where it was answered before a restart.
    pub retry_meant: Option<bool>,
}

impl Asking {
    pub fn of(memory: &AppMemory) -> Self {
        let aside = memory.quarantined.as_ref().and_then(|aside| aside.retried.clone());
        Self { heard: memory.heard.clone(), retried: memory.retried.clone().or(aside), ..Self::default() }
    }
}

impl App {
    /// Takes what a person asks. What is under way for what git says is stopped between two requests.
    /// Says whether there is something new to be done.
    pub(in crate::delivery) fn ask(&mut self, ask: &Ask) -> bool {
        let known = self.asking.heard.as_ref() == Some(&ask.id)
            || self.asking.asked.as_ref().is_some_and(|asked| asked.id == ask.id);
        if known || self.wanted().is_none() {
            return false;
        }
        self.asking.asked = Some(ask.clone());
        self.stop();
        true
    }

    /// Whether a word was answered, be it that nothing came of it.
    pub(in crate::delivery) fn has_heard(&self, id: &str) -> bool {
        self.asking.heard.as_deref() == Some(id)
    }

    /// What is to be looked for now, if anything.
    pub(in crate::delivery) fn wants_back(&self, suspended: bool) -> Option<Want> {
        let ask = self.asking.asked.clone()?;
        let (desired, present) = (self.digest()?.clone(), self.target_digest()?.clone());
        let obstacle = match (suspended, self.problems().is_some()) {
            (true, _) => Some("the environment is suspended"),
            (_, true) => Some("what git says now cannot be read, and so nothing of it is rolled out"),
            _ => None,
        };
        Some(Want { ask, desired, present, obstacle, retried: self.asking.retried.clone() })
    }

    /// Takes what was found, and begins the way back.
    pub(in crate::delivery) fn found(&mut self, result: Found) {
        let Some(ask) = self.asking.asked.take() else { return };
        self.asking.heard = Some(ask.id.clone());
        let newer = || No::Because("a newer commit took over meanwhile".to_owned());
        let result = result.and_then(|found| match self.wanted().cloned() {
            Some(wanted) if wanted.digest == found.0.digest => Ok((found, wanted)),
            _ => Err(newer()),
        });
        match result {
            Ok(((memory, target), wanted)) => {
                self.asking.refused = None;
                let (digest, good, why) = (memory.digest.clone(), memory.good.clone(), memory.why.clone());
                self.tell(What::RollingBack { digest, good, why });
                let target = Target::Known(Arc::new(reversible(&target, Some(&wanted))));
                self.turn_back(Back { memory, target });
            }
            Err(no) => {
                // It may have been remembered before a newer commit came.
                self.note_quarantine();
                self.say_no(ask, no);
            }
        }
    }

    /// Takes that looking for what a person wants failed, if that is what did. It may have been remembered, and only the
    /// answer was lost: that they were told no is remembered over it.
    pub(in crate::delivery) fn end_find(&mut self, failure: &Failure) -> bool {
        let Some(ask) = self.asking.asked.take() else { return false };
        self.asking.heard = Some(ask.id.clone());
        self.note_quarantine();
        self.say_no(ask, No::Because(failure.why().to_owned()));
        true
    }

    fn say_no(&mut self, ask: Ask, no: No) {
        if let No::Because(why) = &no {
            self.tell(What::RollbackRefused { why: why.clone() });
        }
        self.remember(Change::Heard { app: self.spec.name.clone(), id: ask.id.clone() });
        self.asking.refused = Some((ask, no));
    }

    pub(in crate::delivery) fn rollback_status(&self) -> Option<RollbackStatus> {
        if let Some((ask, no)) = &self.asking.refused {
            let (state, why) = match no {
                No::Same(why) => (RollbackState::Unchanged, why),
                No::Because(why) => (RollbackState::Refused, why),
            };
            return Some(RollbackStatus {
                request: ask.id.clone(),
                state,
                by: ask.by.clone(),
                to: None,
                message: Some(why.clone()),
            });
        }
        let back = self.quarantine()?;
        let asked = back.asked.as_ref()?;
        let state = match back.stage {
            Stage::Going => RollbackState::Going,
            Stage::Restored => RollbackState::Done,
            Stage::Lost => RollbackState::Failed,
        };
        let message = (state == RollbackState::Failed).then(|| back.why.clone());
        Some(RollbackStatus {
            request: asked.id.clone(),
            state,
            by: asked.by.clone(),
            to: Some(back.good.clone()),
            message,
        })
    }
}
