//! What an app takes over from others: what was agreed to, what waits for that, and who came back.

use jiff::Timestamp;

use super::App;
use super::status::some;
use crate::agent::adopt::{self, Tokens};
use crate::object::ObjectKey;
use crate::plan::{Consent, Handover, Refused, Shared, Written};

/// Where adoption stands.
#[derive(Default)]
pub struct Adoption {
    pub consent: Consent,
    /// What nothing is written without.
    needed: Vec<Handover>,
    /// What is ours, and held by others too.
    shared: Vec<Shared>,
    /// Who was told to have come back.
    told: Vec<ObjectKey>,
}

impl App {
    /// Takes what people agreed to. Whoever waited for it is asked about again at once.
    pub fn agree(&mut self, tokens: &Tokens) {
        let word = adopt::word(&self.spec);
        let consent = &mut self.adoption.consent;
        if consent.word == word && consent.tokens == *tokens {
            return;
        }
        (consent.word, consent.tokens) = (word, tokens.clone());
        let agreed = self.adoption.needed.iter().any(|handover| self.adoption.consent.given(handover));
        if let Some(refused) = self.refused.as_mut().filter(|_| agreed) {
            refused.retry_at = Some(Timestamp::UNIX_EPOCH);
        }
    }

    /// Takes what would have to be agreed to.
    pub(super) fn note_needed(&mut self, refused: &Refused) {
        let handovers = refused.refusals.iter().filter_map(|refusal| refusal.handover.as_deref());
        self.adoption.needed =
            handovers.filter(|handover| !self.adoption.consent.given(handover)).cloned().collect();
    }

    pub(super) fn forget_needed(&mut self) {
        self.adoption.needed.clear();
    }

    /// Takes what of ours others hold, too. Who comes back to what was taken over from them is still at work.
    pub(super) fn note_shared(&mut self, shared: Vec<Shared>) {
        if self.adoption.shared == shared {
            return;
        }
        let spent = &self.adoption.consent.spent;
        let back = |shared: &&Shared| {
            let mut managers = shared.held.managers.iter();
            managers.any(|manager| spent.contains(&(shared.key.clone(), manager.clone())))
        };
        let back: Vec<&Shared> = shared.iter().filter(back).collect();
        let news: Vec<String> = back
            .iter()
            .filter(|shared| !self.adoption.told.contains(&shared.key))
            .map(|shared| format!("{} by {}", shared.key, shared.held.managers.join(", ")))
            .collect();
        self.adoption.told = back.iter().map(|shared| shared.key.clone()).collect();
        self.adoption.shared = shared;
        if !news.is_empty() {
            let note = format!(
                "deployed again after it was taken over: {}; somebody is still at work there",
                some(news.into_iter())
            );
            self.tell(true, "StillAtWork", note);
        }
    }

    /// Takes what was handed over. Git's word is used up with it: it does not fight who comes back.
    pub(super) fn note_adopted(&mut self, written: &[Written]) {
        let mut words = Vec::new();
        for (key, handover) in
            written.iter().filter_map(|written| Some((&written.wanted.key, written.adopted.as_deref()?)))
        {
            let managers = handover.managers();
            words.push(format!("{key} from {}", managers.join(", ")));
            let spent = managers.iter().map(|manager| (key.clone(), Box::from(*manager)));
            self.adoption.consent.spent.extend(spent);
        }
        if !words.is_empty() {
            self.tell(false, "Adopted", format!("took over {}", some(words.into_iter())));
        }
    }

    pub(super) fn adoption_status(&self) -> Option<crate::api::AdoptionStatus> {
        adopt::status(&self.adoption.needed, &self.adoption.shared)
    }
}
