//! Whether an object has to be written, from what was applied, what is live and what is wanted, without asking anyone.
//!
//! The digest of what we applied stands on the object itself, in an annotation. Anyone who changes the value of a field
//! that we applied takes the field out of our managedFields entry: that is how server-side apply works, whoever wrote
//! and by whatever verb. So the object is as wanted exactly if the annotation carries the wanted digest and our entry
//! still covers every wanted field. Values are never compared, and so the server's defaults, its way of writing
//! quantities and what webhooks make of an object cannot look like drift.

use serde::Serialize;
use serde_json::{Map, Value};

use super::field_sets::holds;
use super::replicas::{REPLICAS, is_autoscaled};
use super::wanted::GitReplicas;
use super::{Lookup, Wanted};
use crate::object::field_path::{FieldPath, Part, path_of};
use crate::object::{Digest, Live, Owned};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    InSync,
    Create(Reason),
    Update { uid: Box<str>, reason: Reason },
}

/// Why there is something to do, with what it was decided from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase")]
pub enum Reason {
    /// Nothing of that name is known here.
    Missing,
    /// It exists and is being deleted; it will be made anew.
    BeingDeleted,
    /// It exists, and we never applied it.
    NeverApplied,
    /// Git changed.
    Changed { from: Digest, to: Digest },
    /// Someone else changed fields that we applied.
    Drifted { fields: Vec<FieldPath> },
    /// The autoscaler that set its replicas is gone: they are git's again.
    Unscaled,
    /// Tools hold fields of it, too, and it was agreed that they hand them over.
    Shared { with: Box<[Box<str>]> },
}

pub fn compare(wanted: &Wanted, live: Option<&Live>, lookup: &dyn Lookup) -> Change {
    let Some(live) = live else { return Change::Create(Reason::Missing) };
    if live.deleting {
        return Change::Create(Reason::BeingDeleted);
    }
    let update = |reason| Change::Update { uid: live.uid.clone(), reason };
    let known = match wanted.replicas {
        GitReplicas::Said => lookup.autoscaled(&wanted.key),
        _ => None,
    };
    // Before what is known to be settled: that was so while the autoscaler was there.
    if known == Some(false) && live.autoscaled && live.applied.as_ref() == Some(&wanted.digest) {
        let owned = live.owned.as_ref().map(Owned::fields);
        let ours = |owned: &Value| owned.as_object().is_some_and(|owned| holds(owned, &REPLICAS));
        if owned.is_some_and(|owned| !ours(&owned)) {
            return update(Reason::Unscaled);
        }
    }
    match (&live.applied, &live.owned) {
        _ if lookup.known_settled(wanted, live) => Change::InSync,
        (_, None) => update(Reason::NeverApplied),
        (Some(applied), Some(_)) if *applied != wanted.digest => {
            update(Reason::Changed { from: applied.clone(), to: wanted.digest.clone() })
        }
        (applied, Some(_)) => {
            let mut fields = compare_owned(wanted, live);
            if wanted.replicas == GitReplicas::Said && is_autoscaled(known, Some(live)) {
                fields.retain(|field| !field.is(&["spec", "replicas"]));
            }
            if lookup.may_ignore(&wanted.key) {
                fields.retain(|field| !lookup.ignores(wanted, field));
            }
            if applied.is_none() && fields.is_empty() {
                fields.push(FieldPath::of(&["metadata", "annotations"]));
            }
            if fields.is_empty() { Change::InSync } else { update(Reason::Drifted { fields }) }
        }
    }
}

/// The wanted fields that our entry does not cover. Empty where it covers all of them.
pub fn compare_owned(wanted: &Wanted, live: &Live) -> Vec<FieldPath> {
    let Some(owned) = &live.owned else {
        return vec![FieldPath::default()];
    };
    let (value, fields) = (wanted.value(), owned.fields());
    let mut walk = Walk { parts: Vec::new(), missing: Vec::new() };
    if let (Value::Object(map), Value::Object(owned)) = (&value, &fields) {
        for (name, below) in map {
            // Names of the object, not fields that anyone owns.
            if matches!(name.as_str(), "apiVersion" | "kind") {
                continue;
            }
            if name == "metadata" {
                let mut metadata = below.clone();
                if let Value::Object(map) = &mut metadata {
                    map.remove("name");
                    map.remove("namespace");
                }
                walk.field(name, &metadata, owned);
            } else {
                walk.field(name, below, owned);
            }
        }
    }
    walk.missing.iter().map(|parts| path_of(&value, parts)).collect()
}

/// Goes through what is wanted and notes what is not owned.
struct Walk {
    parts: Vec<Part>,
    missing: Vec<Vec<Part>>,
}

impl Walk {
    fn field(&mut self, name: &str, value: &Value, owned: &Map<String, Value>) {
        self.parts.push(Part::Key(name.to_owned()));
        match owned.get(&format!("f:{name}")) {
            // An empty map or list without an entry leaves nothing to own.
            None if is_void(value) => {}
            // Where nothing of a map is ours any more, each of its fields was taken.
            None => match value {
                Value::Object(map) => {
                    map.iter().for_each(|(name, value)| self.field(name, value, &Map::new()))
                }
                _ => self.missing.push(self.parts.clone()),
            },
            Some(Value::Object(below)) => self.below(value, below),
            Some(_) => {}
        }
        self.parts.pop();
    }

    /// `owned` describes the children of `value`: `f:` fields, `k:` items by key, `v:` items by value; none at all where
    /// the whole value is owned as one.
    fn below(&mut self, value: &Value, owned: &Map<String, Value>) {
        match value {
            Value::Object(map) if owned.keys().any(|name| name.starts_with("f:")) => {
                map.iter().for_each(|(name, value)| self.field(name, value, owned));
            }
            Value::Array(items)
                if owned.keys().any(|name| name.starts_with("k:") || name.starts_with("v:")) =>
            {
                for (n, item) in items.iter().enumerate() {
                    self.parts.push(Part::At(n));
                    match owned_item(item, owned) {
                        None => self.missing.push(self.parts.clone()),
                        Some(Value::Object(below)) => self.below(item, below),
                        Some(_) => {}
                    }
                    self.parts.pop();
                }
            }
            _ => {}
        }
    }
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(is_void),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

/// The entry of a list's item: by the keys that the item itself gives (others were defaulted), or by its value.
fn owned_item<'a>(item: &Value, owned: &'a Map<String, Value>) -> Option<&'a Value> {
    owned.iter().find_map(|(name, below)| {
        if let Some(keys) = name.strip_prefix("k:") {
            let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
            let fits = keys.iter().all(|(key, value)| item.get(key).is_none_or(|given| given == value));
            let names_one = keys.keys().any(|key| item.get(key).is_some());
            return (fits && names_one).then_some(below);
        }
        let value: Value = serde_json::from_str(name.strip_prefix("v:")?).ok()?;
        (value == *item).then_some(below)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::json;

    use super::super::stamp::tests::{object, wanted};
    use super::*;
    use crate::object::MANAGER;

    fn deployment() -> Value {
        let mut deployment = object("apps/v1", "Deployment", "web");
        deployment["spec"] = json!({
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "web", "image": "web:1", "args": ["-a", "-b"],
                    "ports": [{"containerPort": 80}],
                    "resources": {"requests": {"cpu": "1000m"}}, "securityContext": {},
                }]}
            }
        });
        deployment
    }

    /// What the server wrote for that Deployment, the digest apart.
    fn entry() -> Value {
        json!({
            "f:metadata": {
                "f:annotations": {"f:fairlead.dev/applied": {}},
                "f:labels": {"f:applyset.kubernetes.io/part-of": {}, "f:fairlead.dev/app": {}, "f:fairlead.dev/environment": {}}
            },
            "f:spec": {
                "f:replicas": {}, "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:securityContext": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                        "f:resources": {"f:requests": {"f:cpu": {}}}
                    }}}
                }
            }
        })
    }

    fn live(wanted: &Wanted, entry: Value) -> BTreeMap<crate::object::ObjectKey, Arc<Live>> {
        let mut value = wanted.value();
        value["metadata"]["uid"] = json!("u");
        value["metadata"]["resourceVersion"] = json!("1");
        value["metadata"]["managedFields"] =
            json!([{"manager": MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": entry}]);
        let live = Live::read(&value).unwrap();
        BTreeMap::from([(live.key.clone(), Arc::new(live))])
    }

    fn judged(wanted: &Wanted, store: &BTreeMap<crate::object::ObjectKey, Arc<Live>>) -> Change {
        compare(wanted, store.get(&wanted.key).map(|live| &**live), store)
    }

    fn first(value: Value) -> Arc<Wanted> {
        wanted(vec![value]).unwrap().objects[0].clone()
    }

    #[test]
    fn defaults_and_quantities_are_not_drift() {
        let wanted = first(deployment());
        assert_eq!(judged(&wanted, &live(&wanted, entry())), Change::InSync);
    }

    #[test]
    fn a_field_that_someone_took_is_drift_and_is_named() {
        let wanted = first(deployment());
        let mut owned = entry();
        owned["f:spec"].as_object_mut().unwrap().remove("f:replicas");
        let Change::Update { reason, .. } = judged(&wanted, &live(&wanted, owned)) else { panic!() };
        assert_eq!(reason, Reason::Drifted { fields: vec![FieldPath::of(&["spec", "replicas"])] });
    }

    /// What is live, and what is known of its autoscaler.
    struct Scaled(BTreeMap<crate::object::ObjectKey, Arc<Live>>, Option<bool>);

    impl Lookup for Scaled {
        fn live(&self, key: &crate::object::ObjectKey) -> Option<Arc<Live>> {
            self.0.live(key)
        }

        fn autoscaled(&self, _: &crate::object::ObjectKey) -> Option<bool> {
            self.1
        }
    }

    #[test]
    fn replicas_that_an_autoscaler_set_are_drift_only_when_it_is_gone() {
        let wanted = first(deployment());
        let mut owned = entry();
        owned["f:spec"].as_object_mut().unwrap().remove("f:replicas");
        let mut store = live(&wanted, owned);
        let judge = |store: &BTreeMap<_, _>, known| {
            let scaled = Scaled(store.clone(), known);
            compare(&wanted, store.get(&wanted.key).map(|live: &Arc<Live>| &**live), &scaled)
        };
        assert_eq!(judge(&store, Some(true)), Change::InSync);
        // Nobody scaled it: a person did.
        assert!(matches!(judge(&store, Some(false)), Change::Update { reason: Reason::Drifted { .. }, .. }));
        let mut scaled = (**store.values().next().unwrap()).clone();
        scaled.autoscaled = true;
        store.insert(wanted.key.clone(), Arc::new(scaled));
        assert_eq!(judge(&store, Some(true)), Change::InSync);
        assert_eq!(judge(&store, None), Change::InSync, "where nobody knows, who wrote last decides");
        assert!(matches!(judge(&store, Some(false)), Change::Update { reason: Reason::Unscaled, .. }));
    }

    #[test]
    fn what_tools_share_is_taken_over_only_where_it_was_agreed_to() {
        use crate::plan::{Consent, plan_with};
        let app = wanted(vec![deployment()]).unwrap();
        let mut store = live(&app.objects[0], entry());
        let mut shared = (**store.values().next().unwrap()).clone();
        shared.held =
            Some(Box::new(crate::object::Held { managers: ["helm".into()].into(), token: "t".into() }));
        store.insert(app.objects[0].key.clone(), Arc::new(shared));
        let plan = plan_with(&app, &store, &Consent::default()).unwrap();
        assert_eq!((plan.count(), plan.unchanged, plan.shared.len()), (0, 1, 1));
        let agreed = Consent { word: ["helm".to_owned()].into(), ..Consent::default() };
        let plan = plan_with(&app, &store, &agreed).unwrap();
        assert_eq!((plan.count(), plan.shared.len()), (1, 0));
        assert_eq!(plan.steps().next().unwrap().reason, Reason::Shared { with: ["helm".into()].into() });
    }

    #[test]
    fn a_container_that_someone_removed_is_drift() {
        let wanted = first(deployment());
        let mut owned = entry();
        owned["f:spec"]["f:template"]["f:spec"] =
            json!({"f:containers": {"k:{\"name\":\"other\"}": {".": {}}}});
        let Change::Update { reason, .. } = judged(&wanted, &live(&wanted, owned)) else { panic!() };
        let Reason::Drifted { fields } = reason else { panic!("{reason:?}") };
        assert_eq!(fields[0].to_string(), "spec.template.spec.containers[name=web]");
    }

    #[test]
    fn where_all_of_a_map_was_taken_each_field_of_it_is_named() {
        let wanted = first(deployment());
        let mut owned = entry();
        owned["f:spec"].as_object_mut().unwrap().remove("f:selector");
        let Change::Update { reason: Reason::Drifted { fields }, .. } =
            judged(&wanted, &live(&wanted, owned))
        else {
            panic!()
        };
        let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["spec.selector.matchLabels.app"]);
    }

    #[test]
    fn another_digest_is_a_change_in_git() {
        let one = first(deployment());
        let mut changed = deployment();
        changed["spec"]["replicas"] = json!(4);
        let two = first(changed);
        let Change::Update { reason, .. } = judged(&two, &live(&one, entry())) else { panic!() };
        assert_eq!(reason, Reason::Changed { from: one.digest.clone(), to: two.digest.clone() });
    }

    #[test]
    fn an_object_without_our_entry_was_never_applied() {
        let wanted = first(deployment());
        let mut store = live(&wanted, entry());
        let mut bare = (**store.values().next().unwrap()).clone();
        bare.owned = None;
        store.insert(wanted.key.clone(), Arc::new(bare));
        assert!(matches!(judged(&wanted, &store), Change::Update { reason: Reason::NeverApplied, .. }));
        assert_eq!(judged(&wanted, &BTreeMap::new()), Change::Create(Reason::Missing));
    }
}
