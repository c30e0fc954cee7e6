//! What an app sees of the cluster, and what it saw there before.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::App;
use crate::cluster::Index;
use crate::object::{Digest, Live, ObjectKey};
use crate::plan::{GitReplicas, Lookup, Plan, Wanted, WantedApp};

impl App {
    pub(super) fn remember_in_sync(&mut self, wanted: &WantedApp, plan: &Plan, index: &Index) {
        if plan.unchanged == self.in_sync.len() && plan.is_empty() {
            return;
        }
        let changing: HashSet<&ObjectKey> = plan.steps().map(|step| &step.wanted.key).collect();
        self.in_sync.clear();
        for object in wanted.objects.iter().filter(|object| !changing.contains(&object.key)) {
            if let Some(live) = index.live(&object.key) {
                let print = fingerprint(object, &live, index);
                self.in_sync.insert(object.key.clone(), (object.digest.clone(), print));
            }
        }
    }
}

fn fingerprint(wanted: &Wanted, live: &Live, index: &Index) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&live.owned, &live.applied, &live.uid).hash(&mut hasher);
    // What is as wanted while an autoscaler sets the replicas is not when it is gone.
    if wanted.replicas == GitReplicas::Said {
        (live.autoscaled, index.autoscaled(&wanted.key)).hash(&mut hasher);
    }
    hasher.finish()
}

/// The index, and what this app saw there before: so an object that did not change is not compared again.
pub(super) struct Sight<'a> {
    pub(super) index: &'a Index,
    pub(super) in_sync: &'a HashMap<ObjectKey, (Digest, u64)>,
}

impl Lookup for Sight<'_> {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        self.index.live(key)
    }

    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        self.index.autoscaled(key)
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        self.in_sync.get(&wanted.key).is_some_and(|(digest, seen)| {
            *digest == wanted.digest && *seen == fingerprint(wanted, live, self.index)
        }) || self.index.known_settled(wanted, live)
    }
}
