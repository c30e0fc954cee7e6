//! Where a failure of one app takes the whole environment back (`scope: environment`): all go to what they ran when every
//! one of them was well.
//!
//! Which others go with the one that failed is decided once, and remembered with it: an app whose digest changes afterwards
//! goes its own way, and when the one that failed is let go of, so are those that went with it.

use std::collections::{BTreeMap, BTreeSet};

use super::app::{App, Retry, Way};
use super::apps::Apps;
use crate::api::RolloutScope;
use crate::object::{AppName, Digest};
use crate::state::Stage;

/// Takes back with an app that failed what changed beside it, and lets go of what went with one that did. Says of which
/// apps there is something new to be done.
pub(super) fn go_together(apps: &mut Apps) -> BTreeSet<AppName> {
    let aside = apps.aside().clone();
    let joins = |name: &&AppName| apps.get(*name).is_some_and(App::is_to_be_joined);
    let joining: Vec<AppName> = aside.iter().filter(joins).cloned().collect();
    for name in &joining {
        let others = apps
            .iter()
            .filter(|(other, app)| *other != name && app.problems().is_none() && app.may_go_back());
        let together =
            others.filter_map(|(other, app)| Some((other.clone(), app.digest()?.clone()))).collect();
        if let Some(app) = apps.get_mut(name) {
            app.join(together);
        }
    }
    let led: BTreeMap<AppName, (AppName, Digest)> = aside
        .iter()
        .filter_map(|name| Some((name, apps.get(name)?)))
        .flat_map(|(leader, app)| {
            let together = app.quarantine().and_then(|failed| failed.together.as_ref()).into_iter().flatten();
            together.map(move |(name, digest)| (name.clone(), (leader.clone(), digest.clone())))
        })
        .collect();
    let mut news: BTreeSet<AppName> = joining.into_iter().collect();
    for name in aside.iter().chain(led.keys()).collect::<BTreeSet<_>>() {
        let Some(app) = apps.get_mut(name) else { continue };
        let led = led.get(name).filter(|(_, digest)| app.digest() == Some(digest));
        match (led, app.quarantine().map(|failed| failed.with.clone())) {
            // One that left git and came back has nothing to go back to.
            (Some((leader, _)), None) if app.may_go_back() => {
                app.stop();
                app.go_back(
                    format!("{leader} failed, and all of the environment goes back"),
                    Some(leader.clone()),
                );
                news.insert(name.clone());
            }
            (None, Some(Some(_))) if app.is_from_git() => {
                app.stop();
                app.go_forward();
                news.insert(name.clone());
            }
            _ => {}
        }
    }
    news
}

/// Whom a person's word to try again is for: what went back with another is tried again with it. A word that was answered
/// before that is for nobody else.
pub(super) fn addressed(apps: &BTreeMap<AppName, App>, word: &Retry) -> Retry {
    let leader = || {
        let app = apps.get(&word.app).filter(|app| !app.has_answered(word))?;
        let leader = app.quarantine().filter(|aside| aside.digest == word.digest)?.with.clone()?;
        let failed = apps.get(&leader)?.quarantine()?.digest.clone();
        Some((leader, failed))
    };
    match leader() {
        Some((app, digest)) => Retry { app, digest, ..word.clone() },
        None => word.clone(),
    }
}

impl App {
    /// Whether it failed by itself, and it is not decided yet which others go back with it.
    fn is_to_be_joined(&self) -> bool {
        self.terms.scope == RolloutScope::Environment
            && self.quarantine().is_some_and(|failed| {
                failed.stage == Stage::Going
                    && failed.with.is_none()
                    && failed.together.is_none()
                    && failed.asked.is_none()
                    // Without git nobody knows who else changed.
                    && self.is_from_git()
            })
    }

    fn join(&mut self, together: BTreeMap<AppName, Digest>) {
        if let Way::Back(back) = &mut self.way {
            back.memory.together = Some(together);
            self.note_quarantine();
        }
    }

    /// What it runs, where that is to be remembered as what it ran when all were well.
    pub(super) fn well_with_all(&self) -> Option<&Digest> {
        self.digest().filter(|digest| {
            self.terms.scope == RolloutScope::Environment && self.runs.with_all.as_ref() != Some(digest)
        })
    }
}
