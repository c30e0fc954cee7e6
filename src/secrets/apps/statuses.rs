//! Where the secrets of an environment stand, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{App, Apps, Readings};
use crate::api::{SecretStatus, SecretUse, SecretUseState, strategy_of};
use crate::object::AppName;
use crate::object::secret::{Plaintext, SecretId, SecretName, Values};
use crate::plan::{Consumer, Reading};
use crate::secrets::{Member, Rotation, expiring};

/// So many objects that read a secret and are not rolled are named for each app; one line says that there are more.
const NAMED: usize = 10;

impl Apps {
    /// Where each secret stands, by name.
    pub fn statuses(
        &self,
        rotation: &Rotation,
        readings: &dyn Readings,
        now: Timestamp,
    ) -> Vec<SecretStatus> {
        let mut found: BTreeMap<SecretId, SecretStatus> = BTreeMap::new();
        for (name, app) in &self.apps {
            let member = self.member(name);
            let pins = rotation.pins(&member).into_iter().flatten();
            let versions = pins.map(|(secret, pin)| (secret.clone(), pin.version.clone())).collect();
            let ending = expiring(&app.sealed, &Given { readings, versions: &versions }, now);
            for id in app.all() {
                let row = found.entry(id.clone()).or_insert_with(|| self.row(&id, readings));
                let newest = row.version.clone();
                row.apps.push(self.used(rotation, name, app, &id, newest.as_deref()));
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

    fn row(&self, id: &SecretId, readings: &dyn Readings) -> SecretStatus {
        let known = readings.known(id).unwrap_or_default();
        let (strategy, on_rotation_failure) = strategy_of(&self.rules, id);
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

    fn used(
        &self,
        rotation: &Rotation,
        name: &AppName,
        app: &App,
        id: &SecretId,
        newest: Option<&str>,
    ) -> SecretUse {
        let member: Member = self.member(name);
        let pin = rotation.pins(&member).and_then(|pins| pins.get(id));
        let failed = newest.is_some_and(|newest| rotation.has_failed(&member.0, id, newest));
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
        let refer = app.sealed.iter().filter(|secret| secret.sealed.secrets().contains(id));
        let refer: BTreeSet<&SecretName> = refer.map(|secret| &secret.name).collect();
        let words = |is_left: bool| {
            let read = |consumer: &&Consumer| {
                refer.contains(&consumer.secret) && (consumer.reading == Reading::LeftAlone) == is_left
            };
            let all: Vec<&Consumer> = app.unrolled.iter().filter(read).collect();
            let named = all.iter().take(NAMED);
            let named = named.map(|consumer| format!("{} {}", consumer.object, consumer.reading.as_str()));
            let more = all.len().checked_sub(NAMED).filter(|more| *more > 0);
            named.chain(more.map(|more| format!("and {more} more"))).collect::<Vec<String>>()
        };
        SecretUse {
            app: name.clone(),
            old: proven.filter(|proven| Some(proven) != version.as_ref()),
            version: version.filter(|_| !is_newest),
            state,
            consumers: app.said.as_ref().map_or(0, |said| u32::try_from(said.consumers).unwrap_or(u32::MAX)),
            left_alone: words(true),
            unrolled: words(false),
        }
    }
}

/// Values in the versions that an app is pinned to.
struct Given<'a> {
    readings: &'a dyn Readings,
    versions: &'a BTreeMap<SecretId, Box<str>>,
}

impl Values for Given<'_> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.readings.at_hand(secret, self.versions.get(secret)?)
    }
}
