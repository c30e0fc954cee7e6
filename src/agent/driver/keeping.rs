//! What apps run, and what of them failed, is handed to memory while they go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Finished};
use crate::agent::app::{App, News};
use crate::agent::state_store::{Ran, StateStore};
use crate::object::{AppName, Digest, ObjectKey};
use crate::plan::{Lookup, WantedApp};

/// When what could not be remembered is tried again.
const KEEP_AGAIN: SignedDuration = SignedDuration::from_secs(10);

impl Driver {
    /// Has it remembered what apps run now that they passed all their gates.
    pub(super) fn turn_keep(&mut self, now: Timestamp) -> Option<Timestamp> {
        let keeper = self.hands.keeper.clone()?;
        self.take_records(&keeper);
        for app in self.apps.values_mut() {
            if let Some(good) = app.take_good() {
                self.unkept.insert(good.app.clone(), (good, Some(now)));
            }
        }
        let memory = keeper.memory();
        for (name, app) in &self.apps {
            let known = memory.apps.get(name).and_then(|known| known.quarantined.as_ref());
            if app.quarantine() == known || app.is_busy() || !self.quarantining.insert(name.clone()) {
                continue;
            }
            let (name, keeper, quarantine) = (name.clone(), keeper.clone(), app.quarantine().cloned());
            self.under_way.spawn(async move {
                let result = keeper.quarantine(&name, quarantine.as_ref()).await;
                Finished::Quarantined {
                    app: name,
                    result: result.map_err(|error| crate::cluster::chain(&error)),
                }
            });
        }
        for (wanted, due) in self.unkept.values_mut().filter(|(_, due)| due.is_some_and(|due| due <= now)) {
            *due = None;
            let (wanted, keeper, index) = (wanted.clone(), keeper.clone(), self.hands.index.clone());
            let listed = self.listed;
            let memory = keeper.memory();
            let is_gone = |key: &&ObjectKey| {
                self.pruner.wants(key) == Some(false) && self.hands.index.live(key).is_none()
            };
            let gone = memory.ledger.keys().filter(|_| listed).filter(is_gone).cloned().collect();
            let depends_on = self.apps.get(&wanted.app).map(|app| app.spec.depends_on.clone());
            let revision = self.commit.as_ref().map(|commit| commit.revision.clone());
            let depends_on = depends_on.unwrap_or_default();
            let apps = self.apps.keys().cloned().collect();
            let ran = Ran { wanted: wanted.clone(), revision, depends_on, gone, apps };
            self.under_way.spawn(async move {
                let result = keeper.good(&ran, &index).await;
                Finished::Kept { wanted, result: result.map_err(|error| crate::cluster::chain(&error)) }
            });
        }
        let all = self.keep_all(&keeper, now);
        let records = self.keep_records(&keeper, now);
        self.unkept.values().filter_map(|(_, due)| *due).chain(all).chain(records).min()
    }

    /// Has it remembered that every app is well, where all go back together.
    fn keep_all(&mut self, keeper: &Arc<StateStore>, now: Timestamp) -> Option<Timestamp> {
        let settled = self.unkept.is_empty() && self.quarantining.is_empty() && !self.keeping_all;
        if !settled || !self.apps.values().all(App::is_ready) {
            return None;
        }
        let new: BTreeMap<AppName, Digest> = self
            .apps
            .iter()
            .filter_map(|(name, app)| Some((name.clone(), app.well_with_all()?.clone())))
            .collect();
        if new.is_empty() {
            return None;
        }
        if now < self.keep_all_due {
            return Some(self.keep_all_due);
        }
        self.keeping_all = true;
        let keeper = keeper.clone();
        self.under_way.spawn(async move {
            let result = keeper.all_good(&new).await.map_err(|error| crate::cluster::chain(&error));
            Finished::AllKept { apps: new, result }
        });
        None
    }

    pub(super) fn kept(&mut self, wanted: &Arc<WantedApp>, result: Result<(), String>, now: Timestamp) {
        let same = |(known, due): &(Arc<WantedApp>, _)| Arc::ptr_eq(known, wanted) && Option::is_none(due);
        if !self.unkept.get(&wanted.app).is_some_and(same) {
            return; // A newer one waits already.
        }
        match result {
            Ok(()) => drop(self.unkept.remove(&wanted.app)),
            Err(why) => {
                let note = format!("{}: what it runs cannot be remembered: {why}", wanted.app);
                self.news.push(News { app: None, warning: true, reason: "StateNotKept", note });
                self.unkept.insert(wanted.app.clone(), (wanted.clone(), Some(now + KEEP_AGAIN)));
            }
        }
    }

    pub(super) fn all_kept(
        &mut self,
        apps: &BTreeMap<AppName, Digest>,
        result: Result<(), String>,
        now: Timestamp,
    ) {
        self.keeping_all = false;
        match result {
            Ok(()) => apps.iter().for_each(|(name, digest)| {
                if let Some(app) = self.apps.get_mut(name) {
                    app.all_well(digest);
                }
            }),
            Err(why) => {
                self.keep_all_due = now + KEEP_AGAIN;
                let note = format!("that all apps are well cannot be remembered: {why}");
                self.news.push(News { app: None, warning: true, reason: "StateNotKept", note });
            }
        }
    }
}
