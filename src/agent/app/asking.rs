//! A person wants something older back: `fairlead rollback`. Decides; others do.
//!
//! It is the way back that a failed rollout takes, by a person's word: what git says is set aside, what they want is put in
//! its place in waves, proven and gated, and the next digest or `fairlead retry` ends it. Each word is answered once.

use std::sync::Arc;

use super::App;
use super::back::{Back, reversible};
use crate::agent::rollback::{Ask, Found, No, Want};
use crate::api::{AppPhase, RollbackState, RollbackStatus};
use crate::state::Stage;

/// What was asked of an app.
#[derive(Default)]
pub(super) struct Asking {
    /// The last word that was answered.
    pub heard: Option<String>,
    asked: Option<Ask>,
    /// The last one that nothing came of, and why.
    refused: Option<(Ask, No)>,
}

impl App {
    /// Takes what a person asks. What is under way for what git says is stopped between two requests.
    pub fn ask(&mut self, ask: &Ask) {
        let known = self.asking.heard.as_ref() == Some(&ask.id)
            || self.asking.asked.as_ref().is_some_and(|asked| asked.id == ask.id);
        if known || self.wanted.is_none() {
            return;
        }
        self.asking.asked = Some(ask.clone());
        self.stop();
    }

    /// What is to be looked for now, if anything.
    pub(super) fn wants_back(&mut self, suspended: bool) -> Option<Want> {
        let ask = self.asking.asked.clone()?;
        let (desired, present) = (self.digest()?.clone(), self.target_digest()?.clone());
        let obstacle = match (suspended, self.problems.is_some()) {
            (true, _) => Some("the environment is suspended"),
            (_, true) => Some("what git says now cannot be read, and so nothing of it is rolled out"),
            _ => None,
        };
        let _ = self.begin(AppPhase::RollingBack);
        Some(Want { ask, desired, present, obstacle, retried: self.retry.clone() })
    }

    /// Takes what was found, and begins the way back.
    pub fn found(&mut self, ask: Ask, result: Found) {
        self.busy = None;
        self.asking.asked.take_if(|asked| asked.id == ask.id);
        self.asking.heard = Some(ask.id.clone());
        let newer = || No::Because("a newer commit took over meanwhile".to_owned());
        let result = result.and_then(|found| match self.wanted.clone() {
            Some(wanted) if wanted.digest == found.0.digest => Ok((found, wanted)),
            _ => Err(newer()),
        });
        match result {
            Ok(((memory, target), wanted)) => {
                self.asking.refused = None;
                let note = format!(
                    "{}: {} is put back instead of {}",
                    memory.why,
                    memory.good.short(),
                    memory.digest.short()
                );
                self.tell(true, "RollingBack", note);
                self.back = Some(Back { memory, target: Some(Arc::new(reversible(&target, &wanted))) });
                self.start_over();
            }
            Err(why) => {
                if let No::Because(why) = &why {
                    self.tell(true, "RollbackRefused", format!("nothing is rolled back: {why}"));
                }
                self.asking.refused = Some((ask, why));
            }
        }
    }

    pub(super) fn rollback_status(&self) -> Option<RollbackStatus> {
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
