//! What an app takes over from others: what was agreed to, what waits for that, and who came back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{App, Doing};
use crate::api::{Adopt, AdoptionStatus, AppSpec, HandoverStatus};
use crate::delivery::action::Again;
use crate::delivery::fact::What;
use crate::object::ObjectKey;
use crate::plan::{Consent, Handover, Refused, Shared, Written};

/// The hand-overs that people agreed to, by their tokens.
pub type Tokens = Arc<BTreeSet<Box<str>>>;

/// So many objects of an app are listed in a status. `fairlead adopt` agrees to these, and asks again for what is left.
const LISTED: usize = 200;

/// From whom an app may take over by git's word.
pub fn word(spec: &AppSpec) -> BTreeSet<String> {
    match &spec.adopt {
        Some(Adopt::From(names)) => names.iter().cloned().collect(),
        // `read_config` makes names of `true`.
        Some(Adopt::All(_)) | None => BTreeSet::new(),
    }
}

/// Where adoption stands.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Adoption {
    pub consent: Consent,
    /// What nothing is written without.
    pub needed: Vec<Handover>,
    /// What is ours, and held by others too.
    shared: Vec<Shared>,
    /// Who was told to have come back.
    told: Vec<ObjectKey>,
}

impl App {
    /// Takes what people agreed to. Whoever waited for it is asked about again at once.
    pub(in crate::delivery) fn agree(&mut self, tokens: &Tokens) {
        let word = word(&self.spec);
        let consent = &mut self.adoption.consent;
        if consent.word == word && consent.tokens == *tokens {
            return;
        }
        (consent.word, consent.tokens) = (word, tokens.clone());
        let agreed = self.adoption.needed.iter().any(|handover| self.adoption.consent.given(handover));
        if let Doing::Refused(refusal) = &mut self.doing
            && agreed
        {
            refusal.again = Some(Again::default());
        }
    }

    /// Takes what would have to be agreed to.
    pub(in crate::delivery) fn note_needed(&mut self, refused: &Refused) {
        let handovers = refused.refusals.iter().filter_map(|refusal| refusal.handover.as_deref());
        self.adoption.needed =
            handovers.filter(|handover| !self.adoption.consent.given(handover)).cloned().collect();
    }

    /// Takes what of ours others hold, too. Who comes back to what was taken over from them is still at work.
    pub(in crate::delivery) fn note_shared(&mut self, shared: Vec<Shared>) {
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
            self.tell(What::StillAtWork { objects: news });
        }
    }

    /// Takes what was handed over. Git's word is used up with it: it does not fight who comes back.
    pub(in crate::delivery) fn note_adopted(&mut self, written: &[Written]) {
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
            self.tell(What::Adopted { objects: words });
        }
    }

    pub(in crate::delivery) fn adoption_status(&self) -> Option<AdoptionStatus> {
        status(&self.adoption.needed, &self.adoption.shared)
    }
}

/// What the status says of an app: what has to change hands, and what may.
fn status(needed: &[Handover], shared: &[Shared]) -> Option<AdoptionStatus> {
    if needed.is_empty() && shared.is_empty() {
        return None;
    }
    let needs = needed.iter().map(|handover| HandoverStatus {
        object: handover.key.to_string(),
        from: handover.managers().into_iter().map(str::to_owned).collect(),
        token: handover.token.to_string(),
    });
    let may = shared.iter().filter(|shared| needed.iter().all(|handover| handover.key != shared.key));
    let may = may.map(|shared| HandoverStatus {
        object: shared.key.to_string(),
        from: shared.held.managers.iter().map(ToString::to_string).collect(),
        token: shared.held.token.to_string(),
    });
    let all: Vec<HandoverStatus> = needs.chain(may).collect();
    Some(AdoptionStatus {
        count: u32::try_from(all.len()).unwrap_or(u32::MAX),
        needed: !needed.is_empty(),
        objects: all.into_iter().take(LISTED).collect(),
    })
}
