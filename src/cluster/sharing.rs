//! Keeps once what many objects say alike: ten thousand objects of one app bear the same labels and the same entry of
//! ours, and each would cost more than a kilobyte of its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::object::{Live, Owned};

/// What nobody says any more is let go of when there is more of it than this, and again twice as much.
const LET_GO_AT: usize = 4096;

#[derive(Debug, Default)]
pub struct Sharing {
    labels: HashSet<Arc<BTreeMap<String, String>>>,
    owned: HashSet<Owned>,
    let_go_at: usize,
}

impl Sharing {
    /// The same object, with what others said before it.
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
        if self.labels.len() + self.owned.len() > self.let_go_at.max(LET_GO_AT) {
            self.labels.retain(|labels| Arc::strong_count(labels) > 1);
            self.owned.retain(Owned::is_shared);
            self.let_go_at = 2 * (self.labels.len() + self.owned.len());
        }
        live
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
    fn what_nobody_says_any_more_is_let_go_of() {
        let mut sharing = Sharing::default();
        let kept = sharing.share(live("kept", "kept"));
        for n in 0..3 * LET_GO_AT {
            sharing.share(live("gone", &format!("app-{n}")));
        }
        assert!(sharing.labels.len() <= 2 * LET_GO_AT);
        assert!(Arc::ptr_eq(&kept.labels, &sharing.share(live("again", "kept")).labels));
    }
}
