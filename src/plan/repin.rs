//! Has what is put back run with the versions of secrets that are in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::readers::{ConfigDigests, Configs};
use super::stamp::WantedApp;
use super::wanted::Wanted;
use crate::object::secret::{Pin, Pins, Sealed, SecretId, write_versions};
use crate::object::{Manifest, ObjectKey, Origin};

/// The same app with the versions of secrets that a newer one has, where any of them is another: who reads them is rolled. Its
/// digest names what it is, and stays.
pub fn repin(app: &WantedApp, newer: &WantedApp) -> Option<WantedApp> {
    let mut all = app.secrets.clone();
    for (secret, version) in &mut all {
        if let Some(Some(newer)) = newer.secrets.get(secret) {
            *version = Some(newer.clone());
        }
    }
    // Which versions of other apps' Secrets a workload reads does not hang on what it was put back to.
    let shared: BTreeMap<&ObjectKey, &Box<str>> =
        newer.objects.iter().filter_map(|object| Some((&object.key, object.shared.as_ref()?))).collect();
    let shared_of = |object: &Wanted| {
        let newer = object.shared.as_ref().and_then(|_| shared.get(&object.key));
        newer.map(|shared| (*shared).clone()).or_else(|| object.shared.clone())
    };
    if all == app.secrets && app.objects.iter().all(|object| shared_of(object) == object.shared) {
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
        let own = configs.digests(manifest, &object.value(), None).ok()?.own;
        let digests = ConfigDigests { own, shared: shared_of(object) };
        let is_same = digests.own == object.config && digests.shared == object.shared;
        objects.push(match (&sealed, is_same) {
            (None, true) => object.clone(),
            _ => Arc::new(object.with(&sealed.map(|sealed| versions_text(&sealed, &pins)), digests)),
        });
    }
    Some(WantedApp { secrets: all, objects, ..app.clone() })
}

fn versions_text(sealed: &Sealed, pins: &Pins) -> String {
    let pinned = sealed.secrets().into_iter().filter_map(|id| Some((id, pins.get(id).ok()?)));
    write_versions(pinned)
}
