//! What people want of the apps, and what each of their words came to. Each word is answered once, however often it is
//! heard, and after a restart too.

use std::collections::BTreeSet;

use super::Delivery;
use super::app::Tokens;
use super::environment_scope::addressed;
use super::rollback::Ask;
use super::world::World;
use crate::object::Digest;

/// What the words that are heard now came to, as far as they did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replies {
    /// The word to try again, once it was answered.
    pub retry: Option<Retried>,
    /// The words to roll back that were answered. What became of them stands in the status of their apps.
    pub rollbacks: BTreeSet<String>,
    /// The set that was allowed to go, and what that came to.
    pub approval: Option<(Digest, Approved)>,
    /// The hand-overs that are known as agreed to.
    pub agreed: Tokens,
    /// Whether it is known which apps there are.
    pub knows_apps: bool,
}

/// What came of a word to try again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retried {
    pub nonce: String,
    /// Whether there was something of that digest to try again; `None` where it was answered before a restart.
    pub meant: Option<bool>,
}

/// What came of a word to let a set of objects go.
#[derive(Clone, Debug, PartialEq)]
pub enum Approved {
    /// It is written down, and goes.
    Goes,
    /// Nothing waits for it.
    NotNeeded,
    /// It is another set by now.
    Another(Digest),
}

impl Delivery {
    /// Tells the apps what people want of them.
    pub(super) fn hear_people(&mut self) {
        self.hear_retry();
        for request in &self.platform.rollbacks {
            for (name, to) in &request.apps {
                let (id, by, reason) = (request.id.clone(), request.by.clone(), request.reason.clone());
                let ask = Ask { id, by, reason, from: to.from.clone(), to: to.to.clone() };
                if let Some(app) = self.apps.get_mut(name)
                    && app.ask(&ask)
                {
                    self.due.insert(name.clone());
                }
            }
        }
    }

    fn hear_retry(&mut self) {
        let Some(word) = &self.platform.retry else { return };
        // An app that went back with another answers for both: when it did, the other is not asked once more.
        if self.apps.values().any(|app| app.has_answered(word)) {
            return;
        }
        let word = addressed(&self.apps, word);
        if let Some(app) = self.apps.get_mut(&word.app)
            && app.retry(&word)
        {
            self.due.insert(word.app.clone());
        }
    }

    /// What the words of people came to.
    pub fn replies(&self, world: &dyn World) -> Replies {
        // What is answered is not told again, and so it has to be remembered first.
        let is_saved = |nonce: &str| {
            let Some(memory) = world.memory() else { return true };
            memory.apps.values().any(|app| app.retried.as_deref() == Some(nonce))
        };
        let heard = self.platform.rollbacks.iter().filter(|request| {
            let mut apps = request.apps.keys().filter_map(|name| self.apps.get(name));
            apps.any(|app| app.has_heard(&request.id))
        });
        let retry = self.platform.retry.as_ref().and_then(|word| {
            let app = self.apps.values().find(|app| app.has_answered(word) && is_saved(&word.nonce))?;
            Some(Retried { nonce: word.nonce.clone(), meant: app.asking.retry_meant })
        });
        Replies {
            retry,
            rollbacks: heard.map(|request| request.id.clone()).collect(),
            approval: self.pruner.approval_came_to(),
            agreed: self.platform.agreed.clone(),
            knows_apps: self.knows_git,
        }
    }
}
