//! Finds what differs between the two sides of git.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::input::AppSide;
use crate::object::secret::VERSIONS;
use crate::object::{APPLIED, AppName, CONFIG, HOOK_IDENTITY, ObjectKey, Place, SHARED_CONFIG};
use crate::plan::Wanted;

/// All objects of one side that is known, by key.
#[derive(Default)]
pub struct Objects<'a>(BTreeMap<&'a ObjectKey, (&'a AppName, &'a Arc<Wanted>)>);

impl<'a> Objects<'a> {
    pub fn of(apps: &'a [AppSide]) -> Self {
        let mut all = BTreeMap::new();
        for side in apps {
            let wanted = side.objects().into_iter();
            let objects = wanted.flat_map(|wanted| {
                // The Job of a hook bears another name in each rollout; git's own name is what people know.
                let hooks = wanted.hooks.iter().map(|hook| (&hook.key, &hook.job));
                wanted.objects.iter().map(|object| (&object.key, object)).chain(hooks)
            });
            all.extend(objects.map(|(key, object)| (key, (&side.app, object))));
        }
        Self(all)
    }

    pub fn get(&self, key: &ObjectKey) -> Option<&'a Arc<Wanted>> {
        self.0.get(key).map(|(_, wanted)| *wanted)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, each looked into when it is asked for.
    pub fn all<'b>(&'b self) -> impl Iterator<Item = (&'a ObjectKey, Value)> + 'b {
        self.0.iter().map(|(key, (_, wanted))| (*key, plain(key, wanted)))
    }

    pub fn keys<'b>(&'b self) -> impl Iterator<Item = &'a ObjectKey> + 'b {
        self.0.keys().copied()
    }

    pub fn app(&self, key: &ObjectKey) -> Option<&'a AppName> {
        self.0.get(key).map(|(app, _)| *app)
    }

    pub fn in_namespace<'b>(
        &'b self,
        namespace: Option<&'b str>,
    ) -> impl Iterator<Item = (&'a ObjectKey, Value)> + 'b {
        let here = self.0.iter().filter(move |(key, _)| key.namespace.as_deref() == namespace);
        here.map(|(key, (_, wanted))| (*key, plain(key, wanted)))
    }

    /// The objects of some kinds, in one namespace.
    pub fn within<'b>(
        &'b self,
        namespace: Option<&'b str>,
        kinds: &'b [(&str, &str)],
    ) -> impl Iterator<Item = (&'a ObjectKey, Value)> + 'b {
        self.0.iter().filter_map(move |(key, (_, wanted))| {
            let is_of = kinds.contains(&(&*key.group, &*key.kind)) && key.namespace.as_deref() == namespace;
            is_of.then(|| (*key, plain(key, wanted)))
        })
    }
}

/// An object that differs.
pub struct Delta<'a> {
    pub key: &'a ObjectKey,
    pub before: Option<State<'a>>,
    pub after: Option<State<'a>>,
    /// It is as it was; its pods are replaced because of what they read.
    pub restarts: bool,
}

/// An object on one side.
pub struct State<'a> {
    pub app: &'a AppName,
    pub wanted: &'a Wanted,
    /// Without what only says what was applied.
    pub value: Value,
}

impl<'a> Delta<'a> {
    pub fn app(&self) -> &'a AppName {
        let state = self.after.as_ref().or(self.before.as_ref());
        state.map(|state| state.app).expect("an object is on one side at least")
    }

    pub fn place(&self) -> &'a Place {
        let state = self.after.as_ref().or(self.before.as_ref());
        state.map(|state| &state.wanted.place).expect("an object is on one side at least")
    }

    pub fn before(&self) -> &Value {
        self.before.as_ref().map_or(&Value::Null, |state| &state.value)
    }

    pub fn after(&self) -> &Value {
        self.after.as_ref().map_or(&Value::Null, |state| &state.value)
    }

    /// The Job of a hook is made for each rollout, and is no object that is kept.
    pub fn is_hook(&self) -> bool {
        let state = self.after.as_ref().or(self.before.as_ref());
        state.is_some_and(|state| state.wanted.key != *self.key)
    }

    pub fn is(&self, group: &str, kind: &str) -> bool {
        *self.key.group == *group && *self.key.kind == *kind
    }
}

/// Everything that differs, by key. What belongs to an app that is broken on the new side is left alone by the agent,
/// and so it is here.
pub fn deltas<'a>(before: &Objects<'a>, after: &Objects<'a>, broken: &[&AppName]) -> Vec<Delta<'a>> {
    let mut found = Vec::new();
    for (&key, &(app, wanted)) in &after.0 {
        let Some(&(old_app, old)) = before.0.get(key) else {
            let after = Some(state(key, app, wanted));
            found.push(Delta { key, before: None, after, restarts: false });
            continue;
        };
        // Equal objects are often the same one, and their digests are equal in any case.
        if Arc::ptr_eq(old, wanted) || old.digest == wanted.digest && old_app == app {
            continue;
        }
        let (before, after) = (state(key, old_app, old), state(key, app, wanted));
        let same = before.value == after.value;
        let is_other = |old: &Option<Box<str>>, new: &Option<Box<str>>| old.is_some() && old != new;
        let restarts =
            same && (is_other(&old.config, &wanted.config) || is_other(&old.shared, &wanted.shared));
        if !same || restarts || versions(old) != versions(wanted) {
            found.push(Delta { key, before: Some(before), after: Some(after), restarts });
        }
    }
    for (&key, &(app, wanted)) in before.0.iter().filter(|(key, _)| !after.0.contains_key(*key)) {
        if !broken.contains(&app) {
            found.push(Delta { key, before: Some(state(key, app, wanted)), after: None, restarts: false });
        }
    }
    found.sort_by(|a, b| a.key.cmp(b.key));
    found
}

fn state<'a>(key: &ObjectKey, app: &'a AppName, wanted: &'a Wanted) -> State<'a> {
    State { app, wanted, value: plain(key, wanted) }
}

fn versions(wanted: &Wanted) -> Option<Value> {
    wanted.is_secret().then(|| wanted.value()["metadata"]["annotations"][VERSIONS].take())
}

/// What is sent, without the annotations that only say what was applied, and with what.
fn plain(key: &ObjectKey, wanted: &Wanted) -> Value {
    let mut value = wanted.value();
    if *key != wanted.key {
        // The Job of a hook, whose name bears digits of what it does.
        value["metadata"]["name"] = (*key.name).into();
    }
    if let Some(metadata) = value["metadata"].as_object_mut()
        && let Some(Value::Object(annotations)) = metadata.get_mut("annotations")
    {
        for name in [APPLIED, CONFIG, SHARED_CONFIG, VERSIONS, HOOK_IDENTITY] {
            annotations.remove(name);
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    value
}
