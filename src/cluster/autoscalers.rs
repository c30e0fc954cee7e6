//! Which workloads an autoscaler scales, whoever made it.
//!
//! Most autoscalers bear no label of ours: a chart made them, or a person, or another tool. Yet whose the replicas are
//! hangs on them. So there is one watch over all of them, of which only their targets are kept.

use std::collections::{HashMap, HashSet};

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;

use super::discovery::Session;
use super::index::WATCH_SECONDS;
use crate::object::{Gvk, ObjectKey};

const GROUP: &str = "autoscaling";
const KIND: &str = "HorizontalPodAutoscaler";

/// What is known of the autoscalers of a cluster.
#[derive(Debug, Default)]
pub struct Autoscalers {
    /// By namespace and name of the autoscaler; `None` until they were listed.
    targets: Option<HashMap<Id, ObjectKey>>,
    scaled: HashSet<ObjectKey>,
}

type Id = (String, String);

impl Autoscalers {
    /// Whether one of them scales this object; `None` where they are not known.
    pub fn scale(&self, key: &ObjectKey) -> Option<bool> {
        self.targets.as_ref().map(|_| self.scaled.contains(key))
    }

    /// Takes all there are. Tells whether anything is scaled that was not, or no more.
    fn replace(&mut self, targets: HashMap<Id, ObjectKey>) -> bool {
        let scaled: HashSet<ObjectKey> = targets.values().cloned().collect();
        let changed = self.targets.is_none() || scaled != self.scaled;
        (self.targets, self.scaled) = (Some(targets), scaled);
        changed
    }

    /// Takes one of them, or that it is gone. Most news of an autoscaler is about its status and changes nothing here.
    fn put(&mut self, id: Id, target: Option<ObjectKey>) -> bool {
        let Some(mut targets) = self.targets.take() else { return false };
        let same = targets.get(&id) == target.as_ref();
        match target {
            Some(target) => targets.insert(id, target),
            None => targets.remove(&id),
        };
        if same {
            self.targets = Some(targets);
            return false;
        }
        self.targets = Some(HashMap::new()); // They are known; `replace` compares what is scaled.
        self.replace(targets)
    }
}

/// Watches all autoscalers, and hands each change of what is known to `change`, which tells whether anybody cares. Says
/// when they were listed once, or why they cannot be.
pub async fn follow(
    session: &Session,
    said: watch::Sender<Option<Result<(), String>>>,
    change: impl Fn(&mut dyn FnMut(&mut Autoscalers) -> bool),
) {
    let Some((plural, version)) = session
        .kinds()
        .get(GROUP, KIND)
        .and_then(|info| Some((info.plural.clone(), info.versions.first()?.clone())))
    else {
        // A server without the kind has none.
        change(&mut |known| known.replace(HashMap::new()));
        said.send_replace(Some(Ok(())));
        return;
    };
    let gvk = Gvk::new(GROUP, &version, KIND);
    let resource = ApiResource {
        group: GROUP.to_owned(),
        version,
        api_version: gvk.api_version(),
        kind: KIND.to_owned(),
        plural,
    };
    let api: Api<DynamicObject> = Api::all_with(session.cluster.client().clone(), &resource);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listing = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listing.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                if let Some((id, target)) = target(&object) {
                    listing.insert(id, target);
                }
            }
            Ok(watcher::Event::InitDone) => {
                let listed = std::mem::take(&mut listing);
                change(&mut |known| known.replace(listed.clone()));
                said.send_replace(Some(Ok(())));
            }
            Ok(watcher::Event::Apply(object)) => {
                if let Some((id, target)) = target(&object) {
                    change(&mut |known| known.put(id.clone(), Some(target.clone())));
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                if let Some((id, _)) = target(&object) {
                    change(&mut |known| known.put(id.clone(), None));
                }
            }
            Err(error) => {
                let why = super::call::chain(&error);
                tracing::warn!(error = %why, "the watch of autoscalers failed and begins anew");
                // What was listed stays: a watch that fails says nothing about what is there.
                said.send_if_modified(|said| {
                    let first = said.is_none();
                    if first {
                        *said = Some(Err(why));
                    }
                    first
                });
            }
        }
    }
}

/// Who an autoscaler is, and what it scales. One that is being deleted scales until it is gone.
fn target(object: &DynamicObject) -> Option<(Id, ObjectKey)> {
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
