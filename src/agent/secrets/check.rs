//! Secrets as a person looks at them: with the versions that are live, or whether each can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::aws::{Aws, Identity, Options, StartError};
use crate::cluster::{Call, METADATA, Session};
use crate::object::secret::{Pin, Pins, Plaintext, SecretId, SecretName, read_versions};
use crate::object::{AppName, Gvk, Live, ObjectKey};
use crate::plan::SealedSecret;
use crate::secrets::{Lent, Uses, unusable};

/// What apps refer to, by app.
pub type SealedApps = BTreeMap<AppName, Arc<Vec<SealedSecret>>>;

/// Whether a secret can be read and used.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedSecret {
    pub name: String,
    pub apps: Vec<AppName>,
    /// The version that would be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Reads every secret as this identity and says whether it could be used. No value is kept.
pub async fn check_secrets(
    sealed: &SealedApps,
    identity: &Identity,
) -> Result<Vec<CheckedSecret>, StartError> {
    let mut apps: BTreeMap<SecretId, BTreeSet<AppName>> = BTreeMap::new();
    for (app, secrets) in sealed {
        for id in secrets.iter().flat_map(|secret| secret.sealed.secrets()) {
            apps.entry(id.clone()).or_default().insert(app.clone());
        }
    }
    if apps.is_empty() {
        return Ok(Vec::new());
    }
    let aws = Aws::start(Options::default()).await?;
    let ids: Vec<SecretId> = apps.keys().cloned().collect();
    let answers = aws.reader(identity).read(&ids, Duration::ZERO).await;
    let values: BTreeMap<SecretId, Arc<Plaintext>> = answers
        .iter()
        .filter_map(|(id, answer)| Some((id.clone(), answer.as_ref().ok()?.value.clone())))
        .collect();
    let mut faults: BTreeMap<SecretId, String> = BTreeMap::new();
    for secrets in sealed.values() {
        faults.extend(unusable(secrets, &values, Timestamp::now()));
    }
    let row = |(id, apps): (SecretId, BTreeSet<AppName>)| {
        let answer = answers.get(&id);
        let read = answer.and_then(|answer| answer.as_ref().ok());
        let trouble = answer.and_then(|answer| answer.as_ref().err()).map(ToString::to_string);
        CheckedSecret {
            name: id.to_string(),
            apps: apps.into_iter().collect(),
            version: read.map(|read| read.version.id.to_string()),
            trouble: trouble.or_else(|| faults.get(&id).cloned()),
        }
    };
    Ok(apps.into_iter().map(row).collect())
}

/// The versions with which Secrets are live, by app. What cannot be looked at is not among them.
pub async fn live_pins(session: &Session, uses: &Uses) -> BTreeMap<AppName, Pins> {
    let mut pins: BTreeMap<AppName, BTreeMap<SecretId, Pin>> = BTreeMap::new();
    for (app, secrets) in &uses.sealed {
        let pins = pins.entry(app.clone()).or_default();
        for secret in secrets.iter() {
            let Some((versions, keys)) = live(session, &secret.name).await else { continue };
            for id in secret.sealed.secrets() {
                let Some(version) = versions.get(id) else { continue };
                let pin = pins.entry(id.clone()).or_insert_with(|| pin(version));
                if let Some(whole) = secret.sealed.whole().filter(|whole| whole.secret == *id) {
                    let own: BTreeSet<&str> = secret.sealed.sealed_keys().collect();
                    let others = keys
                        .iter()
                        .filter(|key| !own.contains(&***key) && !secret.plain.contains_key(&***key));
                    pin.keys.insert(whole.key.clone(), others.cloned().collect());
                }
            }
        }
    }
    let mut lent = uses.lent();
    let apps: BTreeSet<AppName> = pins.keys().chain(lent.keys()).cloned().collect();
    let mut found = BTreeMap::new();
    for app in apps {
        let mut own = pins.get(&app).cloned().unwrap_or_default();
        let lent = lent.remove(&app).unwrap_or_default();
        for Lent { owner, secrets } in lent.values() {
            for id in secrets {
                if let Some(theirs) = pins.get(owner).and_then(|pins| pins.get(id)) {
                    own.entry(id.clone()).or_insert_with(|| pin(&theirs.version));
                }
            }
        }
        let beside = lent.into_iter().map(|(name, lent)| (name, lent.secrets)).collect();
        found.insert(app, Pins::some(own).with_beside(beside));
    }
    found
}

fn pin(version: &str) -> Pin {
    Pin { version: version.into(), keys: BTreeMap::new(), old_works: false }
}

type LiveSecret = (BTreeMap<SecretId, Box<str>>, Vec<Box<str>>);

/// The versions on a live Secret, and the keys of its data that are ours.
async fn live(session: &Session, name: &SecretName) -> Option<LiveSecret> {
    let gvk = Gvk::new("", "v1", "Secret");
    let key = ObjectKey::new("", "Secret", name.namespace.as_deref(), &name.name);
    let path = session.path(&gvk, &key)?;
    let object = session.cluster.send(&Call::get(&path).accept(METADATA)).await.ok()?.json().ok()?;
    let text = object["metadata"]["annotations"][crate::object::secret::VERSIONS].as_str()?;
    let mut object_of_kind = object.clone();
    object_of_kind["apiVersion"] = "v1".into();
    object_of_kind["kind"] = "Secret".into();
    let owned = Live::read(&object_of_kind)?.owned?.fields();
    let keys = owned["f:data"].as_object().into_iter().flatten();
    let keys = keys.filter_map(|(name, _)| Some(name.strip_prefix("f:")?.into())).collect();
    Some((read_versions(text), keys))
}
