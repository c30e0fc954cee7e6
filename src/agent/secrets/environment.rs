//! What one environment knows of its secrets: what `secrets` decides, fed with what was read and with the clock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Rotations;
use super::reader::{Holder, Reader};
use crate::api::{AppStatus, AwsSpec, SecretRule, SecretStatus};
use crate::cluster::SecretValues;
use crate::object::secret::{Pins, Plaintext, SecretId, Values, scrub};
use crate::object::{AppName, EnvironmentName};
use crate::plan::WantedApp;
use crate::secrets::{Apps, Readings, Uses};
use crate::state::AppMemory;

pub struct EnvironmentSecrets {
    environment: EnvironmentName,
    /// As whom they are read.
    read_as: Option<AwsSpec>,
    /// What tells it from others that want something of the reader.
    holder: Holder,
    reader: Arc<Reader>,
    rotations: Arc<Rotations>,
    /// Taken before the turns, never while they are held.
    apps: Mutex<Apps>,
}

impl EnvironmentSecrets {
    pub fn new(
        (environment, read_as): (EnvironmentName, Option<AwsSpec>),
        reader: Arc<Reader>,
        rotations: Arc<Rotations>,
    ) -> Self {
        let holder = reader.holder();
        let apps = Mutex::new(Apps::new(environment.clone()));
        Self { environment, read_as, holder, reader, rotations, apps }
    }

    /// As whom they are read, by the Environment's word.
    pub fn read_as(&self) -> Option<&AwsSpec> {
        self.read_as.as_ref()
    }

    fn apps(&self) -> MutexGuard<'_, Apps> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes with which versions an app ran before this process began, which of it failed, and which it was going on to.
    pub fn remember(&self, app: &AppName, known: &AppMemory) {
        let mut apps = self.apps();
        self.rotations.with(|rotation| apps.remember(rotation, app, known));
    }

    /// Takes what apps refer to and read, and has it read.
    pub fn want(&self, uses: &Uses, rules: &[SecretRule]) {
        let mut apps = self.apps();
        let secrets = self.rotations.with(|rotation| apps.want(rotation, uses, rules));
        drop(apps);
        self.reader.want(self.holder, &secrets);
        self.refresh();
    }

    /// Waits until all that is referred to was read, or could not be; at most this long.
    pub async fn settled(&self, within: Duration) {
        let secrets: BTreeSet<SecretId> = self.apps().secrets();
        let mut changes = self.reader.watch();
        let settle = async { while !self.reader.are_settled(&secrets) && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(within, settle).await;
        self.refresh();
    }

    /// Takes what is known by now: which newest versions can be used.
    pub fn refresh(&self) {
        self.look_again(&mut self.apps());
    }

    fn look_again(&self, apps: &mut Apps) {
        let now = Timestamp::now();
        // All environments take turns by the same lock: what takes time is done before.
        let usable = apps.look(&*self.reader, now);
        self.rotations.with(|rotation| apps.take(rotation, &usable, now));
        self.forget_older(apps);
    }

    /// Forgets values that nobody may have to write any more.
    fn forget_older(&self, apps: &Apps) {
        self.reader.keep_older(self.holder, self.rotations.look(|rotation| apps.needed(rotation)));
    }

    /// The versions that an app is to be rendered with.
    pub fn pins(&self, app: &AppName) -> Pins {
        let apps = self.apps();
        self.rotations.look(|rotation| apps.pins(rotation, &*self.reader, app))
    }

    /// Whether an app refers to secrets, or reads Secrets that do.
    pub fn concerns(&self, app: &AppName) -> bool {
        self.apps().concerns(app)
    }

    /// Takes that an app could not be rendered.
    pub fn unrendered(&self, app: &AppName) {
        let mut apps = self.apps();
        self.rotations.with(|rotation| apps.unrendered(rotation, app));
    }

    /// Whether some app would be rendered to something else now.
    pub fn is_behind(&self) -> bool {
        let apps = self.apps();
        self.rotations.look(|rotation| apps.is_behind(rotation))
    }

    /// Takes what an app was rendered to. Where git says something else than before, it goes on to the newest versions with
    /// it, and has to be rendered once more where there are newer ones.
    pub fn rendered(&self, wanted: &WantedApp) {
        let mut apps = self.apps();
        self.rotations.with(|rotation| apps.rendered(rotation, wanted));
    }

    /// Takes where the apps stand: whether those that rolled for newer versions are well.
    pub fn hear(&self, statuses: &[AppStatus]) {
        let mut apps = self.apps();
        let is_news = self.rotations.with(|rotation| apps.hear(rotation, statuses));
        match is_news {
            // Those that read Secrets of an app go on when it is well.
            true => {
                self.look_again(&mut apps);
                if self.rotations.look(|rotation| apps.is_behind(rotation)) {
                    self.rotations.wake();
                }
            }
            false => self.forget_older(&apps),
        }
    }

    /// Where each secret stands, by name.
    pub fn statuses(&self) -> Vec<SecretStatus> {
        let apps = self.apps();
        self.rotations.look(|rotation| apps.statuses(rotation, &*self.reader, Timestamp::now()))
    }

    /// Until something is known that was not, or an app had its turn.
    pub fn watch(&self) -> (watch::Receiver<u64>, watch::Receiver<u64>) {
        (self.reader.watch(), self.rotations.watch())
    }
}

/// The versions of an app's secrets that pods may have been given.
struct Given<'a> {
    reader: &'a Reader,
    versions: &'a std::collections::BTreeMap<SecretId, Box<str>>,
}

impl Values for Given<'_> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.reader.at_hand(secret, self.versions.get(secret)?)
    }
}

impl SecretValues for EnvironmentSecrets {
    fn scrub(&self, text: &str) -> String {
        let apps = self.apps();
        let given = self.rotations.look(|rotation| apps.given(rotation));
        drop(apps);
        let mut values = Vec::new();
        for (sealed, versions) in &given {
            let given = Given { reader: &self.reader, versions };
            values.extend(sealed.iter().flat_map(|secret| secret.sealed.values(&given)));
        }
        scrub(text, &values)
    }

    fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        self.reader.value(secret, version)
    }
}

/// An environment that another replica looks after from now on, or nobody, wants nothing any more, and rolls nothing here.
impl Drop for EnvironmentSecrets {
    fn drop(&mut self) {
        self.reader.forget(self.holder);
        self.rotations.with(|rotation| rotation.retain(&self.environment, |_| false));
    }
}
