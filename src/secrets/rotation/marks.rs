//! What is known of versions, by environment: those that work, and those with which an app failed.

use std::collections::{BTreeMap, BTreeSet};

use super::Member;
use crate::object::secret::{Pin, SecretId};
use crate::object::{AppName, EnvironmentName};

type Version = (SecretId, Box<str>);

/// Versions of secrets, by environment.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<EnvironmentName, BTreeMap<SecretId, BTreeSet<Box<str>>>>);

impl Marks {
    pub fn contains(&self, environment: &EnvironmentName, secret: &SecretId, version: &str) -> bool {
        let versions = self.0.get(environment).and_then(|secrets| secrets.get(secret));
        versions.is_some_and(|versions| versions.contains(version))
    }

    pub fn insert(&mut self, environment: &EnvironmentName, secret: &SecretId, version: &str) {
        if !self.contains(environment, secret, version) {
            let secrets = self.0.entry(environment.clone()).or_default();
            secrets.entry(secret.clone()).or_default().insert(version.into());
        }
    }

    /// Keeps of an environment what is among these.
    pub fn keep(&mut self, environment: &EnvironmentName, wanted: &Self) {
        let Some(secrets) = self.0.get_mut(environment) else { return };
        for (secret, versions) in secrets.iter_mut() {
            versions.retain(|version| wanted.contains(environment, secret, version));
        }
        secrets.retain(|_, versions| !versions.is_empty());
        if secrets.is_empty() {
            self.0.remove(environment);
        }
    }
}

/// To whom a version is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsNewTo {
    /// No app of the environment was well with it before.
    All,
    /// The app went on to it now.
    App,
}

/// Versions with which an app of an environment failed.
#[derive(Debug, Default)]
pub(super) struct Failed(BTreeMap<EnvironmentName, BTreeMap<Version, Attempt>>);

/// Who failed with a version, and what else it tried for the first time with it: any of them may be to blame.
#[derive(Debug)]
struct Attempt {
    app: AppName,
    beside: BTreeSet<Version>,
}

impl Failed {
    pub fn contains(&self, environment: &EnvironmentName, secret: &SecretId, version: &str) -> bool {
        let failed = self.0.get(environment).into_iter().flatten();
        failed.into_iter().any(|((of, failed), _)| of == secret && **failed == *version)
    }

    /// Takes versions that an app tried together, and failed. Where one of them failed alone before, that is why: nothing is
    /// known of the others.
    pub fn insert(&mut self, (environment, app): &Member, tried: &BTreeSet<Version>) {
        let failed = self.0.entry(environment.clone()).or_default();
        if tried.iter().any(|version| failed.get(version).is_some_and(|attempt| attempt.beside.is_empty())) {
            return;
        }
        for version in tried {
            let beside = tried.iter().filter(|other| *other != version).cloned().collect();
            failed.insert(version.clone(), Attempt { app: app.clone(), beside });
        }
    }

    /// Takes that an app is well with versions: they did not fail. What failed only beside another version of one that works
    /// now, be it new to all or to the app that failed, may work.
    pub fn are_well(
        &mut self,
        (environment, app): &Member,
        pins: &BTreeMap<SecretId, Pin>,
        is_new: impl Fn(&SecretId, &Pin, IsNewTo) -> bool,
    ) {
        let Some(failed) = self.0.get_mut(environment) else { return };
        failed.retain(|(secret, version), attempt| {
            let to = if attempt.app == *app { IsNewTo::App } else { IsNewTo::All };
            let is_replaced = |(secret, version): &Version| {
                pins.get(secret).is_some_and(|pin| pin.version != *version && is_new(secret, pin, to))
            };
            let is_well = pins.get(secret).is_some_and(|pin| pin.version == *version);
            !is_well && !attempt.beside.iter().any(is_replaced)
        });
    }

    /// Keeps of an environment what is among these.
    pub fn keep(&mut self, environment: &EnvironmentName, wanted: &Marks) {
        let Some(failed) = self.0.get_mut(environment) else { return };
        failed.retain(|(secret, version), _| wanted.contains(environment, secret, version));
        if failed.is_empty() {
            self.0.remove(environment);
        }
    }
}
