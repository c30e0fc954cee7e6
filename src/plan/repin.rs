//! Has what is put back run with the versions of secrets that are in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::readers::Configs;
use super::stamp::WantedApp;
use super::wanted::Wanted;
use crate::object::secret::{Pin, Pins, Sealed, SecretId, write_versions};
use crate::object::{Manifest, Origin};

/// The same app with other versions of its secrets, where any of them is another: who reads them is rolled. Its digest names
/// what it is, and stays.
pub fn repin(app: &WantedApp, versions: &BTreeMap<SecretId, Option<Box<str>>>) -> Option<WantedApp> {
    let mut all = app.secrets.clone();
    for (secret, version) in &mut all {
        if let Some(Some(newer)) = versions.get(secret) {
            *version = Some(newer.clone());
        }
    }
    if all == app.secrets {
        return None;
    }
    let pin = |(secret, version): (&SecretId, &Option<Box<str>>)| {
        let pin = Pin { version: version.clone()?, keys: BTreeMap::new(), old_works: true };
        Some((secret.clone(), pin))
    };
    let pins = Pins::some(all.iter().filter_map(pin).collect());
    let manifest =
        |object: &Arc<Wanted>| Manifest::new(&object.value(), Origin::new(object.place.clone())).ok();
    let manifests: Option<Vec<Manifest>> = app.objects.iter().map(manifest).collect();
    let manifests = manifests?;
    let configs = Configs::of(&manifests, None, &pins);
    let mut objects = Vec::with_capacity(app.objects.len());
    for (object, manifest) in app.objects.iter().zip(&manifests) {
        let sealed = object.sealed();
        let config = configs.digest(manifest, &object.value(), None).ok()?;
        objects.push(match (&sealed, config == object.config) {
            (None, true) => object.clone(),
            _ => Arc::new(object.with(&sealed.map(|sealed| versions_text(&sealed, &pins)), config)),
        });
    }
    Some(WantedApp { secrets: all, objects, ..app.clone() })
}

fn versions_text(sealed: &Sealed, pins: &Pins) -> String {
    let pinned = sealed.secrets().into_iter().filter_map(|id| Some((id, pins.get(id).ok()?)));
    write_versions(pinned)
}
