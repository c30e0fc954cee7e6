//! What the agent asks for in its own words, until it speaks in changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{StateError, StateStore, lock};
use crate::cluster::Index;
use crate::object::{AppName, Digest, ObjectKey, Record, Revision};
use crate::plan::{CheckedPlan, Lookup, WantedApp};
use crate::state::{Change, Good, Hooks, Quarantine, Rolling, Stored};

/// What an app runs now that it passed all its gates.
pub struct Ran {
    pub wanted: Arc<WantedApp>,
    pub revision: Option<Revision>,
    pub depends_on: Vec<AppName>,
    /// Objects that are no more.
    pub gone: BTreeSet<ObjectKey>,
    /// The apps that there are; of others nothing needs to be known.
    pub apps: BTreeSet<AppName>,
}

impl StateStore {
    pub fn record(&self, record: Record) {
        self.note(Change::Ended(record));
    }

    pub fn has_records(&self) -> bool {
        lock(&self.shared.notes).has_records()
    }

    pub async fn tell(&self) -> Result<(), StateError> {
        self.save(Vec::new()).await
    }

    pub async fn begin(
        &self,
        plan: &Arc<CheckedPlan>,
        quarantine: Option<&Quarantine>,
        rolling: Option<&Rolling>,
    ) -> Result<(), StateError> {
        let (quarantine, rolling) = (quarantine.cloned(), rolling.cloned());
        self.save(vec![Change::Begin { plan: plan.clone(), quarantine, rolling }]).await
    }

    pub async fn roll(&self, app: &AppName, rolling: Option<&Rolling>) -> Result<(), StateError> {
        self.save(vec![Change::Roll { app: app.clone(), rolling: rolling.cloned() }]).await
    }

    pub async fn good(&self, ran: &Ran, index: &Index) -> Result<(), StateError> {
        let live = |key: &ObjectKey| index.live(key).filter(|live| live.owned.is_some());
        let uid = |key: &ObjectKey| live(key).map(|live| (key.clone(), live.uid.clone()));
        let uids = ran.wanted.objects.iter().filter_map(|object| uid(&object.key)).collect();
        let good = Change::Good {
            wanted: ran.wanted.clone(),
            revision: ran.revision.clone(),
            depends_on: ran.depends_on.clone(),
            uids,
        };
        self.save(vec![Change::Apps(ran.apps.clone()), good, Change::Gone(ran.gone.clone())]).await
    }

    pub async fn quarantine(&self, app: &AppName, quarantine: Option<&Quarantine>) -> Result<(), StateError> {
        self.save(vec![Change::Quarantine { app: app.clone(), quarantine: quarantine.cloned() }]).await
    }

    pub async fn asked(
        &self,
        quarantine: &Quarantine,
        target: &Arc<WantedApp>,
        revision: Option<&Revision>,
    ) -> Result<(), StateError> {
        let (quarantine, target) = (quarantine.clone(), target.clone());
        self.save(vec![Change::Asked { quarantine, target, revision: revision.cloned() }]).await
    }

    pub async fn heard(&self, app: &AppName, id: &str) -> Result<(), StateError> {
        self.save(vec![Change::Heard { app: app.clone(), id: id.to_owned() }]).await
    }

    pub async fn all_good(&self, apps: &BTreeMap<AppName, Digest>) -> Result<(), StateError> {
        self.save(vec![Change::AllGood(apps.clone())]).await
    }

    pub async fn hooks(
        &self,
        app: &AppName,
        hooks: &Hooks,
        quarantine: Option<&Quarantine>,
    ) -> Result<(), StateError> {
        let (app, hooks) = (app.clone(), hooks.clone());
        self.save(vec![Change::Hooks { app, hooks, quarantine: quarantine.cloned() }]).await
    }

    pub async fn stored(&self, app: &AppName, good: &Good) -> Result<Stored, StateError> {
        let stored = self.good_of(app, &good.digest).await?;
        stored.ok_or(StateError::Interrupted)
    }
}
