//! A person wants to try again what failed: `fairlead retry`. Each word is answered once, after a restart too.

use super::{App, Doing};
use crate::delivery::fact::What;
use crate::object::{AppName, Digest};
use crate::state::Change;

/// The word of a person who wants to try again. The nonce tells it from others and may end with ` by NAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    pub app: AppName,
    pub digest: Digest,
    pub nonce: String,
    /// Why, in their own words.
    pub reason: Option<String>,
}

impl App {
    pub(in crate::delivery) fn has_answered(&self, word: &Retry) -> bool {
        self.asking.retried.as_deref() == Some(&word.nonce)
    }

    /// Takes a person's word; says whether there is something new to be done.
    pub(in crate::delivery) fn retry(&mut self, word: &Retry) -> bool {
        // Without git nobody knows what would be tried.
        if !self.is_from_git() || self.has_answered(word) {
            return false;
        }
        let meant = match self.back() {
            Some(back) => back.memory.digest == word.digest,
            // Nothing was put back: a first deploy, or a team that wants to look first; or its decision panicked.
            None => {
                let halted = self.told_halt().is_some() && !self.is_to_go_back();
                (halted || matches!(self.doing, Doing::Panicked { .. }))
                    && self.digest() == Some(&word.digest)
            }
        };
        if meant && self.busy.is_some() {
            return false; // It is heard again when what is under way has ended.
        }
        (self.asking.retried, self.asking.retry_meant) = (Some(word.nonce.clone()), Some(meant));
        self.remember(Change::Retried { app: self.spec.name.clone(), word: word.nonce.clone() });
        if !meant {
            return true;
        }
        self.retry_hooks(&word.nonce);
        self.go_forward();
        self.note_hooks();
        let by = word.nonce.split_once(" by ").map_or("somebody", |(_, by)| by).to_owned();
        (self.log.by, self.log.reason) = (Some(by.clone()), word.reason.clone());
        self.tell(What::Retrying { digest: word.digest.clone(), by });
        true
    }
}
