//! Where the secrets of an environment stand, for people.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use jiff::Timestamp;

use super::{App, EnvironmentSecrets, Given, ids};
use crate::api::{SecretRule, SecretStatus, SecretUse, SecretUseState, strategy_of};
use crate::object::AppName;
use crate::object::secret::SecretId;
use crate::secrets::expiring;

impl EnvironmentSecrets {
    /// Where each secret stands, by name.
    pub fn statuses(&self) -> Vec<SecretStatus> {
        let apps = self.apps();
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found: BTreeMap<SecretId, SecretStatus> = BTreeMap::new();
        for (name, app) in apps.iter() {
            let pins = self.rotations.look(|rotation| rotation.pins(&self.member(name)).cloned());
            let versions = pins.into_iter().flatten().map(|(secret, pin)| (secret, pin.version)).collect();
            let given = Given { reader: &self.reader, versions: &versions };
            let ending = expiring(&app.sealed, &given, Timestamp::now());
            for id in ids(&app.sealed) {
                let row = found.entry(id.clone()).or_insert_with(|| self.row(&id, &rules));
                let newest = row.version.clone();
                row.apps.push(self.used(name, app, &id, newest.as_deref()));
                if let Some(words) = ending.get(&id) {
                    row.warning.get_or_insert_with(|| words.clone());
                }
                if let Some(why) = app.troubles.get(&id) {
                    row.trouble.get_or_insert_with(|| why.clone());
                }
            }
        }
        found.into_values().collect()
    }

    fn row(&self, id: &SecretId, rules: &[SecretRule]) -> SecretStatus {
        let known = self.reader.known(id).unwrap_or_default();
        let (strategy, on_rotation_failure) = strategy_of(rules, id);
        let version = known.read.map(|read| read.version);
        SecretStatus {
            name: id.to_string(),
            version: version.as_ref().map(|version| version.id.to_string()),
            stages: version.iter().flat_map(|version| &version.stages).map(ToString::to_string).collect(),
            created: version.and_then(|version| version.created).map(|at| at.to_string()),
            strategy,
            on_rotation_failure,
            apps: Vec::new(),
            warning: None,
            trouble: known.trouble.as_ref().map(ToString::to_string),
            reason: known.trouble.map(|trouble| trouble.cause.reason().to_owned()),
        }
    }

    fn used(&self, name: &AppName, app: &App, id: &SecretId, newest: Option<&str>) -> SecretUse {
        let member = self.member(name);
        let (pin, failed) = self.rotations.look(|rotation| {
            let pin = rotation.pins(&member).and_then(|pins| pins.get(id)).cloned();
            (pin, newest.is_some_and(|newest| rotation.has_failed(&member.0, id, newest)))
        });
        let proven = app.proven.get(id).map(ToString::to_string);
        let version = pin.map(|pin| pin.version.to_string());
        let is_newest = version.as_deref() == newest;
        let state = match (&version, is_newest) {
            (None, _) => SecretUseState::Unread,
            (Some(_), _) if failed => SecretUseState::Paused,
            (Some(_), false) => SecretUseState::Pending,
            (Some(_), true) if proven == version => SecretUseState::Current,
            (Some(_), true) => SecretUseState::Rolling,
        };
        SecretUse {
            app: name.clone(),
            old: proven.filter(|proven| Some(proven) != version.as_ref()),
            version: version.filter(|_| !is_newest),
            state,
            consumers: app.said.as_ref().map_or(0, |said| u32::try_from(said.consumers).unwrap_or(u32::MAX)),
        }
    }
}
