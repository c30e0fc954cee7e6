//! Which workloads an autoscaler scales, no matter where it came from.
//!
//! Most autoscalers bear no label of ours: a chart made them, or a person, or another tool. Yet they decide whose the
//! replicas are. So there is one watch over all of them, of which only their targets are kept.

use std::collections::{HashMap, HashSet};

use kube::api::DynamicObject;

use super::watching::News;
use crate::object::{Gvk, ObjectKey};

pub const GROUP: &str = "autoscaling";
pub const KIND: &str = "HorizontalPodAutoscaler";

/// What is known of the autoscalers of a cluster.
#[derive(Debug, Default)]
pub struct Autoscalers {
    /// By namespace and name of the autoscaler; `None` until they were listed.
    targets: Option<HashMap<Id, ObjectKey>>,
    scaled: HashSet<ObjectKey>,
}

/// Namespace and name.
type Id = (String, String);

/// An autoscaler, and what it scales.
pub type Target = (Id, ObjectKey);

impl Autoscalers {
    /// Knows that there are none, as on a server that does not serve the kind.
    pub fn none() -> Self {
        Self { targets: Some(HashMap::new()), scaled: HashSet::new() }
    }

    /// Tells whether one of them scales this object; `None` where they are not known.
    pub fn scale(&self, key: &ObjectKey) -> Option<bool> {
        self.targets.as_ref().map(|_| self.scaled.contains(key))
    }

    /// Takes what their watch told. Tells whether anything is scaled that was not, or is no longer.
    pub fn take(&mut self, news: News<Target>) -> bool {
        match news {
            News::All(all) => self.replace(all.into_iter().collect()),
            News::Is((id, target)) => self.put(id, Some(target)),
            News::Gone((id, _)) => self.put(id, None),
            News::Failed(_) => false,
        }
    }

    fn replace(&mut self, targets: HashMap<Id, ObjectKey>) -> bool {
        let scaled: HashSet<ObjectKey> = targets.values().cloned().collect();
        let changed = self.targets.is_none() || scaled != self.scaled;
        (self.targets, self.scaled) = (Some(targets), scaled);
        changed
    }

    /// Takes one of them, or that it is gone. Most news of an autoscaler is about its status and changes nothing here.
    fn put(&mut self, id: Id, target: Option<ObjectKey>) -> bool {
        let Some(targets) = &mut self.targets else { return false };
        if targets.get(&id) == target.as_ref() {
            return false;
        }
        match target {
            Some(target) => targets.insert(id, target),
            None => targets.remove(&id),
        };
        let scaled: HashSet<ObjectKey> = targets.values().cloned().collect();
        let changed = scaled != self.scaled;
        self.scaled = scaled;
        changed
    }
}

/// Reads an autoscaler. One that is being deleted scales until it is gone.
pub fn target(object: &DynamicObject) -> Option<Target> {
    let (namespace, name) = (object.metadata.namespace.clone()?, object.metadata.name.clone()?);
    let target = &object.data["spec"]["scaleTargetRef"];
    let gvk =
        Gvk::from_api_version(target["apiVersion"].as_str().unwrap_or_default(), target["kind"].as_str()?);
    let key = ObjectKey::new(&gvk.group, &gvk.kind, Some(&namespace), target["name"].as_str()?);
    Some(((namespace, name), key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hpa(api_version: &str, target: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "autoscaling/v2", "kind": KIND, "metadata": {"name": "scaler", "namespace": "web"},
            "spec": {"scaleTargetRef": {"apiVersion": api_version, "kind": "Deployment", "name": target}},
        }))
        .unwrap()
    }

    #[test]
    fn what_an_autoscaler_names_is_scaled_by_it() {
        let key = |name: &str| ObjectKey::new("apps", "Deployment", Some("web"), name);
        let mut known = Autoscalers::default();
        assert_eq!(known.scale(&key("a")), None, "nobody looked yet");
        let (id, a) = target(&hpa("apps/v1", "a")).unwrap();
        assert!(known.replace([(id.clone(), a.clone())].into()));
        assert_eq!(known.scale(&key("a")), Some(true));
        assert_eq!(known.scale(&key("b")), Some(false));
        assert!(!known.put(id.clone(), Some(a)), "its status is no news");
        assert!(known.put(id.clone(), Some(key("b"))));
        assert_eq!((known.scale(&key("a")), known.scale(&key("b"))), (Some(false), Some(true)));
        assert!(known.put(id, None));
        assert_eq!(known.scale(&key("b")), Some(false));
    }
}
