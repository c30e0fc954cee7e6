//! What outlives an agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{AppName, Digest};
use crate::plan::WantedApp;
use crate::state::{Change, Memory, Pieces};

#[derive(Default)]
pub struct Store {
    pub memory: Memory,
    /// How many processes have read it: what one saves that another read after is refused.
    pub readers: u64,
    goods: BTreeMap<(AppName, Digest), Arc<WantedApp>>,
}

impl Store {
    pub fn save(&mut self, changes: &[Change]) {
        for change in changes {
            if let Some((wanted, _)) = change.to_store() {
                self.goods.insert((wanted.app.clone(), wanted.digest.clone()), wanted.clone());
            }
            self.memory.apply(change, &|_, _| Pieces::default());
        }
        let apps = &self.memory.apps;
        self.goods.retain(|(app, digest), _| {
            apps.get(app).is_some_and(|app| app.goods().any(|good| good.digest == *digest))
        });
    }

    /// What an app ran, if that is stored: objects alone.
    pub fn good(&self, app: &AppName, digest: &Digest) -> Option<WantedApp> {
        let known = self.goods.get(&(app.clone(), digest.clone()))?;
        Some(WantedApp::of_objects(known.app.clone(), known.digest.clone(), known.objects.clone()))
    }
}
