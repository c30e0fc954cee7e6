//! What an app sees of the cluster, and what it saw there before.

use std::cell::RefCell;
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
        compared: &Compared,
        (world, now): (&dyn World, Timestamp),
    ) {
        if plan.unchanged == self.runs.in_sync.len() && plan.is_empty() {
            return;
        }
        let rules = self.drift.rules.print(now);
        let changing: HashSet<&ObjectKey> = plan.steps().map(|step| &step.wanted.key).collect();
        let compared = compared.by_key();
        self.runs.in_sync.clear();
        for object in wanted.objects.iter().filter(|object| !changing.contains(&object.key)) {
            if let Some(Some(live)) = compared.get(&object.key) {
                let print = fingerprint(object, live, world, rules);
                self.runs.in_sync.insert(object.key.clone(), (object.digest.clone(), print));
            }
        }
    }
}

/// What was live when it was compared. The world goes on meanwhile: what somebody changes after an object was found in
/// sync must not be remembered as in sync, or it is never looked at again.
#[derive(Default)]
pub(in crate::delivery) struct Compared(RefCell<Vec<Arc<Live>>>);

impl Compared {
    /// Nothing of an object that changed while it was compared.
    fn by_key(&self) -> HashMap<ObjectKey, Option<Arc<Live>>> {
        let mut found: HashMap<ObjectKey, Option<Arc<Live>>> = HashMap::new();
        for live in self.0.borrow().iter() {
            match found.get_mut(&live.key) {
                Some(known) if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, live)) => {}
                Some(known) => *known = None,
                None => drop(found.insert(live.key.clone(), Some(live.clone()))),
            }
        }
        found
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
    pub(in crate::delivery) compared: Compared,
}

impl Lookup for CachedLookup<'_> {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        let found = self.world.live(key);
        self.compared.0.borrow_mut().extend(found.clone());
        found
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(name: &str, version: &str) -> Arc<Live> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "web", "uid": name, "resourceVersion": version}});
        Arc::new(Live::read(&object).expect("an object"))
    }

    #[test]
    fn what_changed_while_it_was_compared_is_not_remembered_as_in_sync() {
        let compared = Compared::default();
        let (still, before, after) = (live("still", "1"), live("changed", "1"), live("changed", "2"));
        compared.0.borrow_mut().extend([still.clone(), before, still.clone(), after]);
        let found = compared.by_key();
        assert_eq!(found.get(&still.key), Some(&Some(still.clone())));
        assert_eq!(found.get(&live("changed", "1").key), Some(&None));
        assert_eq!(found.len(), 2);
    }
}
