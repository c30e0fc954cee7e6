//! What an app sees of the cluster, and what it saw there before.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use super::App;
use crate::delivery::world::World;
use crate::drift::Rules;
use crate::object::field_path::FieldPath;
use crate::object::{Digest, Live, ObjectKey};
use crate::plan::{GitReplicas, Lookup, Plan, Wanted, WantedApp};

impl App {
    pub(in crate::delivery) fn remember_in_sync(
        &mut self,
        wanted: &WantedApp,
        plan: &Plan,
        world: &dyn World,
        now: Timestamp,
    ) {
        if plan.unchanged == self.runs.in_sync.len() && plan.is_empty() {
            return;
        }
        let rules = self.drift.rules.print(now);
        let changing: HashSet<&ObjectKey> = plan.steps().map(|step| &step.wanted.key).collect();
        self.runs.in_sync.clear();
        for object in wanted.objects.iter().filter(|object| !changing.contains(&object.key)) {
            if let Some(live) = world.live(&object.key) {
                let print = fingerprint(object, &live, world, rules);
                self.runs.in_sync.insert(object.key.clone(), (object.digest.clone(), print));
            }
        }
    }
}

fn fingerprint(wanted: &Wanted, live: &Live, world: &dyn World, rules: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    rules.hash(&mut hasher);
    (&live.owned, &live.applied, &live.uid).hash(&mut hasher);
    // What is as wanted while an autoscaler sets the replicas is not when it is gone.
    if wanted.replicas == GitReplicas::Said {
        (live.autoscaled, world.autoscaled(&wanted.key)).hash(&mut hasher);
    }
    hasher.finish()
}

/// The world, and what this app saw there before: so an object that did not change is not compared again.
pub(in crate::delivery) struct CachedLookup<'a> {
    pub(in crate::delivery) world: &'a dyn World,
    pub(in crate::delivery) in_sync: &'a HashMap<ObjectKey, (Digest, u64)>,
    pub(in crate::delivery) rules: &'a Rules,
    pub(in crate::delivery) now: Timestamp,
}

impl Lookup for CachedLookup<'_> {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        self.world.live(key)
    }

    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        self.world.autoscaled(key)
    }

    fn may_ignore(&self, key: &ObjectKey) -> bool {
        self.rules.may_ignore(key, self.now)
    }

    fn ignores(&self, wanted: &Wanted, field: &FieldPath) -> bool {
        self.rules.ignores(wanted, field, self.now)
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        self.in_sync.get(&wanted.key).is_some_and(|(digest, seen)| {
            *digest == wanted.digest
                && *seen == fingerprint(wanted, live, self.world, self.rules.print(self.now))
        }) || self.world.known_settled(wanted, live)
    }
}
