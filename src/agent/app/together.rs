//! Where a failure of one app takes the whole environment back (`scope: environment`): all go to what they ran when every
//! one of them was well.
//!
//! Which others go with the one that failed is decided once, and remembered with it: an app whose digest changes afterwards
//! goes its own way, and when the one that failed is let go of, so are those that went with it.

use std::collections::BTreeMap;

use super::App;
use super::back::Retry;
use crate::api::Scope;
use crate::object::{AppName, Digest};
use crate::state::Stage;

/// Takes back with an app that failed what changed beside it, and lets go of what went with one that did. Says whether
/// there is something new to be done.
pub fn go_together(apps: &mut BTreeMap<AppName, App>) -> bool {
    let joining: Vec<AppName> =
        apps.iter().filter(|(_, app)| app.is_to_be_joined()).map(|(name, _)| name.clone()).collect();
    for name in joining {
        let others =
            apps.iter().filter(|(other, app)| **other != name && app.problems.is_none() && app.may_go_back());
        let together =
            others.filter_map(|(other, app)| Some((other.clone(), app.digest()?.clone()))).collect();
        if let Some(back) = apps.get_mut(&name).and_then(|app| app.back.as_mut()) {
            back.memory.together = Some(together);
        }
    }
    let led: BTreeMap<AppName, (AppName, Digest)> = apps
        .iter()
        .flat_map(|(leader, app)| {
            let together = app.quarantine().and_then(|failed| failed.together.as_ref()).into_iter().flatten();
            together.map(move |(name, digest)| (name.clone(), (leader.clone(), digest.clone())))
        })
        .collect();
    let mut news = false;
    for (name, app) in apps {
        let led = led.get(name).filter(|(_, digest)| app.digest() == Some(digest));
        match (led, app.quarantine().map(|failed| failed.with.clone())) {
            (Some((leader, _)), None) => {
                news = true;
                app.stop();
                app.begin_back(
                    format!("{leader} failed, and all of the environment goes back"),
                    Some(leader.clone()),
                );
            }
            (None, Some(Some(_))) if app.remembered.is_none() => {
                news = true;
                app.back = None;
                app.start_over();
            }
            _ => {}
        }
    }
    news
}

/// Tells the apps that a person wants to try again. Who went back with another is tried again with it.
pub fn hear(apps: &mut BTreeMap<AppName, App>, word: &str) {
    let Some(mut word) = Retry::read(word) else { return };
    let leader = |name: &str| {
        let leader = apps.get(&AppName::new(name).ok()?)?.quarantine()?.with.clone()?;
        let failed = apps.get(&leader)?.quarantine()?.digest.clone();
        Some((leader, failed))
    };
    let leader = leader(word.app);
    if let Some((leader, failed)) = &leader {
        (word.app, word.digest) = (leader.as_str(), failed.as_str());
    }
    apps.values_mut().for_each(|app| app.hear(&word));
}

impl App {
    /// Failed by itself, and nobody decided yet who goes back with it.
    fn is_to_be_joined(&self) -> bool {
        self.scope == Scope::Environment
            && self.quarantine().is_some_and(|failed| {
                failed.stage == Stage::Going
                    && failed.with.is_none()
                    && failed.together.is_none()
                    && failed.asked.is_none()
                    // Without git nobody knows who else changed.
                    && self.remembered.is_none()
            })
    }

    /// Takes that every app is well, with what this one runs now.
    pub fn all_well(&mut self, digest: &Digest) {
        self.with_all = Some(digest.clone());
    }

    /// What it runs, where that is to be remembered as what it ran when all were well.
    pub fn well_with_all(&self) -> Option<&Digest> {
        self.digest()
            .filter(|digest| self.scope == Scope::Environment && self.with_all.as_ref() != Some(digest))
    }
}
