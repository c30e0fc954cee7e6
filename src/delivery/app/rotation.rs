//! What newer versions of secrets are to an app: a rotation that fails may go back to the old version, and a commit that
//! failed does not get another try by them.

use std::sync::Arc;

use super::restore::{Back, Target};
use super::{App, Way};
use crate::plan::{WantedApp, repin};
use crate::state::WithSecrets;

impl App {
    /// Whether what git says runs already, with other versions of its secrets.
    pub(super) fn is_rotation(&self, wanted: &WantedApp) -> bool {
        let good = self.runs.known_good.as_ref().filter(|good| good.digest != wanted.digest);
        good.and_then(|good| good.secrets.as_ref()).is_some_and(|secrets| secrets.content == wanted.content)
    }

    /// Takes newer versions of secrets for what was set aside: it stays set aside, and what runs in its place is to have them,
    /// too. False where git says something new, or where it was a version that failed.
    pub(super) fn stays_aside(&mut self, wanted: &Arc<WantedApp>) -> bool {
        let is_rotation = self.is_rotation(wanted);
        let Way::Back(back) = &mut self.way else { return false };
        let failed = back.memory.secrets.as_ref().map(|failed| &failed.content);
        if is_rotation || failed != Some(&wanted.content) {
            return false;
        }
        (back.memory.digest, back.memory.secrets) = (wanted.digest.clone(), WithSecrets::of(wanted));
        self.refresh_target();
        self.note_quarantine();
        true
    }

    /// Has what is put back run with the versions of secrets that are in force now.
    pub(super) fn refresh_target(&mut self) {
        let Way::Back(mut back) = std::mem::replace(&mut self.way, Way::Forward) else { return };
        self.set_secrets_of_target(&mut back);
        self.way = Way::Back(back);
    }

    /// The versions in force are those of what git says, but where a version is what failed.
    pub(super) fn set_secrets_of_target(&self, back: &mut Back) {
        let Some(wanted) = self.wanted().filter(|wanted| !self.is_rotation(wanted)) else { return };
        if let Target::Known(target) = &mut back.target
            && let Some(newer) = repin(target, &wanted.secrets)
        {
            *target = Arc::new(newer);
        }
    }
}
