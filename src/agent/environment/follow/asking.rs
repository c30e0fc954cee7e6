//! What people ask git for: to look at the remote now, and whether that was done.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::Follow;
use crate::requests::Words;

/// What people ask git for.
pub(super) struct Asking {
    pub words: watch::Receiver<Words>,
    /// Their requests to look now, and the look that answers them.
    pub asked: Option<(BTreeSet<String>, u64)>,
}

impl Follow<'_> {
    /// Looks at the remote now where a person asks for it.
    pub(super) fn poke_if_asked(&mut self) {
        let wanted = self.asking.words.borrow().look.clone();
        let known = self
            .asking
            .asked
            .as_ref()
            .map_or_else(|| wanted.is_empty(), |(asked, _)| wanted.is_subset(asked));
        self.shared.context.rendering.crashes.lift(&self.shared.name, &wanted);
        let Some((_, source)) = self.source.as_ref().filter(|_| !known) else { return };
        // Before the first answer nothing older than the request is looked at.
        let look = if self.told.is_some() { source.poke() } else { 0 };
        self.asking.asked = Some((wanted, look));
    }

    /// Until the remote answered what a person asked for.
    pub(super) fn answered(&self) -> impl Future<Output = ()> + use<> {
        let asked = self.asking.asked.as_ref().filter(|(asked, _)| self.state.looked != *asked);
        let answer = asked.zip(self.source.as_ref()).filter(|_| self.told.is_some());
        let answer = answer.filter(|((_, look), (_, source))| !source.has_answered(*look));
        let answer = answer.map(|((_, look), (_, source))| source.answer_to(*look));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Notes that a person's request was answered, where what was read since has been rendered.
    pub(super) fn note_answered(&mut self) {
        if let (Some((asked, look)), Some((_, source))) = (&self.asking.asked, &self.source)
            && self.told.is_some()
            && source.has_answered(*look)
        {
            self.state.looked.clone_from(asked);
        }
    }
}
