//! What one environment knows of its secrets.

mod statuses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Rotations;
use super::reader::{Holder, Reader};
use crate::api::{AppPhase, AppStatus, AwsSpec, OnRotationFailure, SecretRule, strategy_of};
use crate::cluster::SecretValues;
use crate::object::secret::{Pin, Pins, Plaintext, SecretId, Values, keys_of, scrub};
use crate::object::{AppName, Digest, EnvironmentName};
use crate::plan::{SealedSecret, WantedApp};
use crate::secrets::{Member, Verdict, Versions, unusable};
use crate::state::WithSecrets;

pub struct EnvironmentSecrets {
    environment: EnvironmentName,
    /// As whom they are read.
    read_as: Option<AwsSpec>,
    /// What tells it from others that want something of the reader.
    holder: Holder,
    reader: Arc<Reader>,
    rotations: Arc<Rotations>,
    apps: Mutex<BTreeMap<AppName, App>>,
    rules: Mutex<Vec<SecretRule>>,
}

/// What an app refers to.
#[derive(Default)]
struct App {
    sealed: Arc<Vec<SealedSecret>>,
    /// Why a secret cannot be used in its newest version, or not be read.
    troubles: BTreeMap<SecretId, String>,
    said: Option<Said>,
    /// What git said when it was rendered last, be it before a restart.
    content: Option<Digest>,
    /// It could not be rendered; with what was known to be wrong then.
    unrendered: Option<(BTreeMap<SecretId, String>, Versions)>,
    /// The versions with which it passed its gates last: those that its pods may run with.
    proven: BTreeMap<SecretId, Box<str>>,
}

/// What an app was rendered to.
struct Said {
    digest: Digest,
    /// The workloads that read configuration.
    consumers: usize,
    secrets: BTreeMap<SecretId, Option<Box<str>>>,
}

impl EnvironmentSecrets {
    pub fn new(
        (environment, read_as): (EnvironmentName, Option<AwsSpec>),
        reader: Arc<Reader>,
        rotations: Arc<Rotations>,
    ) -> Self {
        let holder = reader.holder();
        let (apps, rules) = (Mutex::default(), Mutex::default());
        Self { environment, read_as, holder, reader, rotations, apps, rules }
    }

    /// As whom they are read, by the Environment's word.
    pub fn read_as(&self) -> Option<&AwsSpec> {
        self.read_as.as_ref()
    }

    fn apps(&self) -> MutexGuard<'_, BTreeMap<AppName, App>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member(&self, app: &AppName) -> Member {
        (self.environment.clone(), app.clone())
    }

    /// Takes with which versions an app ran before this process began, and which of it failed.
    pub fn remember(&self, app: &AppName, good: Option<&WithSecrets>, failed: Option<&WithSecrets>) {
        let Some(newest) = failed.or(good) else { return };
        let pin = |version| Pin { version, keys: BTreeMap::new(), old_works: false };
        let pins = |of: &WithSecrets| -> Versions {
            of.versions().into_iter().map(|(secret, version)| (secret, pin(version))).collect()
        };
        let before = good.map(pins).unwrap_or_default();
        let mut apps = self.apps();
        let known = apps.entry(app.clone()).or_default();
        known.proven = good.map(WithSecrets::versions).unwrap_or_default();
        known.content = Some(newest.content.clone());
        drop(apps);
        // A commit that failed says nothing of its versions.
        let is_rotation = failed.zip(good).is_some_and(|(failed, good)| failed.content == good.content);
        self.rotations
            .with(|rotation| rotation.remember(&self.member(app), pins(newest), before, is_rotation));
    }

    /// Takes what apps refer to, and has it read.
    pub fn want(&self, sealed: &BTreeMap<AppName, Arc<Vec<SealedSecret>>>, rules: &[SecretRule]) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules.to_vec();
        let mut apps = self.apps();
        apps.retain(|app, _| sealed.contains_key(app));
        for (app, sealed) in sealed {
            apps.entry(app.clone()).or_default().sealed = sealed.clone();
        }
        let ids = apps.values().flat_map(|app| ids(&app.sealed)).collect();
        self.rotations.with(|rotation| rotation.retain(&self.environment, |app| apps.contains_key(app)));
        drop(apps);
        self.reader.want(self.holder, &ids);
        self.refresh();
    }

    /// Waits until all that is referred to was read, or could not be; at most this long.
    pub async fn settled(&self, within: Duration) {
        let ids: BTreeSet<SecretId> = self.apps().values().flat_map(|app| ids(&app.sealed)).collect();
        let mut changes = self.reader.watch();
        let settle = async { while !self.reader.are_settled(&ids) && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(within, settle).await;
        self.refresh();
    }

    /// Takes what is known by now: which newest versions can be used.
    pub fn refresh(&self) {
        let mut apps = self.apps();
        let now = Timestamp::now();
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, app) in apps.iter_mut() {
            let member = self.member(name);
            let (newest, mut troubles) = self.newest(&app.sealed, &rules);
            let wanted = ids(&app.sealed);
            if newest.len() == wanted.len() {
                let values = Newest { reader: &self.reader, versions: &newest };
                let faults = unusable(&app.sealed, &values, now);
                if faults.is_empty() {
                    let consumers = app.said.as_ref().map_or(1, |said| said.consumers);
                    self.rotations.with(|rotation| rotation.hear(&member, newest, consumers, now));
                } else {
                    troubles.extend(faults);
                }
            }
            app.troubles = troubles;
        }
        self.forget_older(&apps);
    }

    /// Forgets values that are not the newest, and that nothing is pinned to or was rendered with.
    fn forget_older(&self, apps: &BTreeMap<AppName, App>) {
        let mut needed: BTreeSet<(SecretId, Box<str>)> = BTreeSet::new();
        for (name, app) in apps {
            let pins = self.rotations.look(|rotation| rotation.pins(&self.member(name)).cloned());
            needed.extend(pins.into_iter().flatten().map(|(secret, pin)| (secret, pin.version)));
            // What its pods may run with, and it may have to go back to.
            needed.extend(app.proven.iter().map(|(secret, version)| (secret.clone(), version.clone())));
            let said = app.said.iter().flat_map(|said| &said.secrets);
            needed.extend(said.filter_map(|(secret, version)| Some((secret.clone(), version.clone()?))));
        }
        self.reader.keep_older(self.holder, needed);
    }

    fn newest(
        &self,
        sealed: &[SealedSecret],
        rules: &[SecretRule],
    ) -> (Versions, BTreeMap<SecretId, String>) {
        let (mut newest, mut troubles) = (Versions::new(), BTreeMap::new());
        for id in ids(sealed) {
            let Some(known) = self.reader.known(&id) else { continue };
            if let Some(read) = known.read {
                let mut keys = BTreeMap::new();
                for whole in sealed.iter().filter_map(|secret| secret.sealed.whole()) {
                    if whole.secret == id
                        && let Ok(found) = keys_of(&read.value, &whole.key)
                    {
                        keys.insert(whole.key.clone(), found);
                    }
                }
                let old_works = strategy_of(rules, &id).1 == OnRotationFailure::Previous;
                newest.insert(id.clone(), Pin { version: read.version.id.clone(), keys, old_works });
            }
            if let Some(trouble) = known.trouble {
                troubles.insert(id, trouble.to_string());
            }
        }
        (newest, troubles)
    }

    /// The versions that an app is to be rendered with.
    pub fn pins(&self, app: &AppName) -> Pins {
        let apps = self.apps();
        let pins =
            self.rotations.look(|rotation| rotation.pins(&self.member(app)).cloned()).unwrap_or_default();
        let mut known: BTreeMap<SecretId, Result<Pin, String>> =
            pins.into_iter().map(|(secret, pin)| (secret, Ok(pin))).collect();
        let Some(app) = apps.get(app) else { return Pins::read(known) };
        for (secret, why) in &app.troubles {
            // What runs goes on with what it has.
            known.entry(secret.clone()).or_insert_with(|| Err(why.clone()));
        }
        if !app.troubles.is_empty() {
            // Those that could be read are not what it waits for.
            for (secret, pin) in self.newest(&app.sealed, &[]).0 {
                known.entry(secret).or_insert(Ok(pin));
            }
        }
        Pins::read(known)
    }

    /// Takes that an app could not be rendered.
    pub fn unrendered(&self, name: &AppName) {
        if let Some(app) = self.apps().get_mut(name) {
            let member = self.member(name);
            let pins = self.rotations.look(|rotation| rotation.pins(&member).cloned());
            app.unrendered = Some((app.troubles.clone(), pins.unwrap_or_default()));
        }
    }

    /// Whether some app would be rendered to something else now.
    pub fn is_behind(&self) -> bool {
        let apps = self.apps();
        apps.iter().any(|(name, app)| {
            let pins = self.rotations.look(|rotation| rotation.pins(&self.member(name)).cloned());
            let pins = pins.unwrap_or_default();
            match (&app.unrendered, &app.said) {
                (Some((troubles, had)), _) => app.troubles != *troubles || pins != *had,
                (None, Some(said)) => !is_said(said, &pins),
                (None, None) => !pins.is_empty(),
            }
        })
    }

    /// Takes what an app was rendered to. Where git says something else than before, it goes on to the newest versions with
    /// it, and has to be rendered once more where there are newer ones.
    pub fn rendered(&self, wanted: &WantedApp) {
        let mut apps = self.apps();
        let Some(app) = apps.get_mut(&wanted.app) else { return };
        app.unrendered = None;
        let before = app.content.replace(wanted.content.clone());
        let is_new = before.is_some_and(|before| before != wanted.content);
        app.said = Some(Said {
            digest: wanted.digest.clone(),
            consumers: wanted.objects.iter().filter(|object| object.config.is_some()).count(),
            secrets: wanted.secrets.clone(),
        });
        drop(apps);
        if is_new {
            self.rotations.with(|rotation| rotation.commit(&self.member(&wanted.app)));
        }
    }

    /// Takes where the apps stand: whether those that rolled for newer versions are well.
    pub fn hear(&self, statuses: &[AppStatus]) {
        let mut apps = self.apps();
        for status in statuses {
            let Some(app) = apps.get_mut(&status.name) else { continue };
            let Some(said) = &app.said else { continue };
            let member = self.member(&status.name);
            let pins = self.rotations.look(|rotation| rotation.pins(&member).cloned()).unwrap_or_default();
            if status.desired.as_ref() != Some(&said.digest) || !is_said(said, &pins) {
                continue; // It was not told of its newest versions yet.
            }
            let verdict = match status.phase {
                AppPhase::Ready if status.effective.as_ref() == Some(&said.digest) => Verdict::Well,
                AppPhase::Halted | AppPhase::Restoring | AppPhase::Restored | AppPhase::Refused => {
                    Verdict::Failed
                }
                AppPhase::Suspended | AppPhase::RollingBack | AppPhase::RolledBack => Verdict::Left,
                _ => continue,
            };
            let versions = pins.into_iter().map(|(secret, pin)| (secret, pin.version)).collect();
            let is_known = match verdict {
                Verdict::Well => app.proven == versions,
                Verdict::Failed | Verdict::Left => true,
            };
            if is_known && !self.rotations.look(|rotation| rotation.is_rolling(&member)) {
                continue;
            }
            if verdict == Verdict::Well {
                app.proven = versions;
            }
            self.rotations.with(|rotation| rotation.ended(&member, verdict));
        }
        self.forget_older(&apps);
    }

    /// Until something is known that was not, or an app had its turn.
    pub fn watch(&self) -> (watch::Receiver<u64>, watch::Receiver<u64>) {
        (self.reader.watch(), self.rotations.watch())
    }
}

/// The versions of an app's secrets that pods may have been given.
struct Given<'a> {
    reader: &'a Reader,
    versions: &'a BTreeMap<SecretId, Box<str>>,
}

impl Values for Given<'_> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.reader.at_hand(secret, self.versions.get(secret)?)
    }
}

impl SecretValues for EnvironmentSecrets {
    fn scrub(&self, text: &str) -> String {
        let apps = self.apps();
        let mut values = Vec::new();
        for (name, app) in apps.iter() {
            let pins = self.rotations.look(|rotation| rotation.pins(&self.member(name)).cloned());
            let pinned = pins.into_iter().flatten().map(|(secret, pin)| (secret, pin.version)).collect();
            for versions in [&pinned, &app.proven] {
                let given = Given { reader: &self.reader, versions };
                values.extend(app.sealed.iter().flat_map(|secret| secret.sealed.values(&given)));
            }
        }
        drop(apps);
        scrub(text, &values)
    }

    fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>> {
        self.reader.value(secret, version)
    }
}

/// Whether an app was rendered with these versions.
fn is_said(said: &Said, pins: &Versions) -> bool {
    pins.iter().all(|(secret, pin)| said.secrets.get(secret).and_then(Option::as_ref) == Some(&pin.version))
}

/// An environment that another replica looks after from now on, or nobody, wants nothing any more, and rolls nothing here.
impl Drop for EnvironmentSecrets {
    fn drop(&mut self) {
        self.reader.forget(self.holder);
        self.rotations.with(|rotation| rotation.retain(&self.environment, |_| false));
    }
}

struct Newest<'a> {
    reader: &'a Reader,
    versions: &'a Versions,
}

impl Values for Newest<'_> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.reader.value(secret, &self.versions.get(secret)?.version)
    }
}

fn ids(sealed: &[SealedSecret]) -> BTreeSet<SecretId> {
    sealed.iter().flat_map(|secret| secret.sealed.secrets()).cloned().collect()
}
