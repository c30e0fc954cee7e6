//! What has to hold whenever an agent has decided.

use std::collections::BTreeSet;

use super::super::content::APPS;
use super::super::view::View;
use super::{Checks, Millis};
use crate::api::AppPhase;
use crate::delivery::Delivery;
use crate::delivery::app::App;
use crate::object::AppName;

/// An app has so many changes that wait to be remembered, at most.
const CHANGES: usize = 110;
/// So many things of one kind an app holds, at most: it has up to five objects.
const HELD: usize = 16;

impl Checks {
    /// `news` are the apps of which something changed that the room was not told yet.
    pub fn decided(
        &mut self,
        delivery: &Delivery,
        view: &View,
        news: Option<&BTreeSet<AppName>>,
        now: Millis,
    ) {
        let count = delivery.apps.len();
        if delivery.timers.len() > count
            || delivery.pruner.runs.len() > APPS.len()
            || delivery.due.len() > count
        {
            self.fail(|| format!("{now}: timers or deletes grow"));
        }
        for app in delivery.apps.values() {
            self.is_bounded(app, view, now);
            self.is_remembered(app, delivery, view, now);
            let is_told = news.is_none_or(|news| !news.contains(app.name()));
            self.is_ready(app, (delivery, is_told), view, now);
        }
    }

    fn is_bounded(&mut self, app: &App, view: &View, now: Millis) {
        let runs = &app.runs;
        let memory = view.memory.apps.get(app.name());
        let jobs = memory.map_or(0, |memory| memory.hooks.values().map(|hook| hook.runs.len()).sum());
        let held = [runs.in_sync.len(), runs.before.len(), runs.unproven.len(), jobs];
        if app.log.changes.len() > CHANGES || held.iter().any(|count| *count > HELD) {
            self.fail(|| format!("{now}: what {} holds grows: {held:?}", app.name()));
        }
    }

    /// Where an app goes and whose word it answered is remembered, or about to be.
    fn is_remembered(&mut self, app: &App, delivery: &Delivery, view: &View, now: Millis) {
        let under_way = app.busy.as_ref().is_some_and(|busy| busy.phase != AppPhase::Proving);
        if under_way || app.has_changes() || delivery.saving.holds(app.name()) {
            return;
        }
        let memory = view.memory.apps.get(app.name());
        let aside = memory.and_then(|memory| memory.quarantined.as_ref());
        if aside != app.quarantine() && !self.begun.lives.contains_key(app.name()) {
            let (name, aside, known) = (app.name(), aside.cloned(), app.quarantine().cloned());
            self.fail(|| format!("{now}: {name} remembers {aside:?}, and goes by {known:?}"));
        }
        let retried = memory.and_then(|memory| memory.retried.as_ref());
        // One that came back while it was being forgotten knows more than is remembered of it.
        let came_back = self.begun.lives.contains_key(app.name());
        if !came_back
            && app.asking.retried.is_some()
            && retried.is_none()
            && aside.is_none_or(|aside| aside.retried.is_none())
        {
            self.fail(|| {
                format!("{now}: {} answered a word to try again, which it will hear anew", app.name())
            });
        }
    }

    /// An app of which the status says that it is ready runs what git says, and passed its gates.
    fn is_ready(&mut self, app: &App, (delivery, is_told): (&Delivery, bool), view: &View, now: Millis) {
        let name = app.name();
        let status = app.status();
        if status.phase != AppPhase::Ready {
            return;
        }
        let Some(wanted) = app.wanted() else {
            return self.fail(|| format!("{now}: {name} is told Ready, and nobody knows what it wants"));
        };
        let digest = Some(&wanted.digest);
        let heard = self.heard.apps.get(name).map(|(heard, _)| heard.as_ref());
        if heard.is_some_and(|heard| heard != digest) || self.heard.broken.contains(name) {
            return self.fail(|| format!("{now}: {name} is told Ready, and git says something else"));
        }
        if app.quarantine().is_some() || status.effective.as_ref() != digest {
            return self.fail(|| format!("{now}: {name} is told Ready, and does not run what git says"));
        }
        if app.busy.is_some() || delivery.due.contains(name) || delivery.saving.holds(name) {
            return;
        }
        if !self.proven.contains(&(name.clone(), wanted.digest.clone())) {
            return self.fail(|| format!("{now}: {name} is told Ready, and passed no gates"));
        }
        for object in &wanted.objects {
            let seen = view.objects.get(&object.key).map(|seen| &seen.live);
            let there =
                seen.is_some_and(|live| !live.deleting && live.applied.as_ref() == Some(&object.digest));
            if !there && is_told && !app.drift.leaves(&object.key) {
                let key = &object.key;
                self.fail(|| format!("{now}: {name} is told Ready, and {key} is not what git says"));
            }
        }
    }
}
