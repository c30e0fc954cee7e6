//! Keeps once what many objects say alike: ten thousand objects of one app bear the same labels and the same entry of
//! ours, and each would cost more than a kilobyte of its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::object::{Live, Owned};

/// An object that leaves takes what it alone said along, unless something still looks at it. What stays behind so is swept
/// out when there is more in the tables than this, and again twice as much.
const SWEEP_AT: usize = 4096;

#[derive(Debug, Default)]
pub struct Sharing {
    labels: HashSet<Arc<BTreeMap<String, String>>>,
    owned: HashSet<Owned>,
    sweep_at: usize,
}

impl Sharing {
    /// Gives back the same object, with what others said before it.
    pub fn share(&mut self, mut live: Live) -> Live {
        match self.labels.get(&live.labels) {
            Some(known) => live.labels = known.clone(),
            None => drop(self.labels.insert(live.labels.clone())),
        }
        if let Some(owned) = &mut live.owned {
            match self.owned.get(owned) {
                Some(known) => *owned = known.clone(),
                None => drop(self.owned.insert(owned.clone())),
            }
        }
        if self.labels.len() + self.owned.len() > self.sweep_at.max(SWEEP_AT) {
            self.sweep();
        }
        live
    }

    /// Lets go of an object, and of what no other says.
    pub fn release(&mut self, live: Arc<Live>) {
        let Some(Live { labels, owned, .. }) = Arc::into_inner(live) else { return };
        // Two: the table has one, and this is the other.
        if Arc::strong_count(&labels) <= 2 {
            self.labels.remove(&labels);
        }
        if let Some(owned) = owned
            && let Some(kept) = self.owned.take(&owned)
        {
            drop(owned);
            if kept.is_shared() {
                self.owned.insert(kept);
            }
        }
    }

    /// Lets go of all that nothing says any more.
    pub fn sweep(&mut self) {
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
        self.owned.retain(Owned::is_shared);
        self.labels.shrink_to_fit();
        self.owned.shrink_to_fit();
        self.sweep_at = 2 * (self.labels.len() + self.owned.len());
    }

    /// Counts the labels and the entries.
    #[cfg(test)]
    pub fn counts(&self) -> [usize; 2] {
        [self.labels.len(), self.owned.len()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(name: &str, app: &str) -> Live {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "web", "uid": name, "resourceVersion": "1", "labels": {"app": app},
            "managedFields": [{"manager": "fairlead", "operation": "Apply", "fieldsV1": {"f:data": {format!("f:{app}"): {}}}}],
        }});
        Live::read(&object).expect("an object")
    }

    #[test]
    fn what_objects_say_alike_is_kept_once() {
        let mut sharing = Sharing::default();
        let [a, b, c] =
            [("a", "web"), ("b", "web"), ("c", "db")].map(|(name, app)| sharing.share(live(name, app)));
        assert!(Arc::ptr_eq(&a.labels, &b.labels));
        assert_eq!((c.labels["app"].as_str(), b.key.name.as_ref()), ("db", "b"));
        assert_eq!((sharing.labels.len(), sharing.owned.len()), (2, 2));
    }

    #[test]
    fn what_an_object_alone_said_goes_with_it() {
        let mut sharing = Sharing::default();
        let [a, b, c] = [("a", "web"), ("b", "web"), ("c", "db")]
            .map(|(name, app)| Arc::new(sharing.share(live(name, app))));
        sharing.release(a);
        assert_eq!(sharing.counts(), [2, 2], "another says the same");
        let seen = c.clone();
        sharing.release(c);
        assert_eq!(sharing.counts(), [2, 2], "something looks at it");
        drop(seen);
        sharing.release(b);
        assert_eq!(sharing.counts(), [1, 1]);
        sharing.sweep();
        assert_eq!(sharing.counts(), [0, 0]);
    }

    #[test]
    fn what_nothing_says_any_more_is_let_go_of() {
        let mut sharing = Sharing::default();
        let kept = sharing.share(live("kept", "kept"));
        for n in 0..3 * SWEEP_AT {
            sharing.share(live("gone", &format!("app-{n}")));
        }
        assert!(sharing.labels.len() <= 2 * SWEEP_AT);
        assert!(Arc::ptr_eq(&kept.labels, &sharing.share(live("again", "kept")).labels));
    }
}
