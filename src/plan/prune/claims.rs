use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::object::{AppName, Digest, ObjectKey};
use crate::plan::WantedApp;

/// One app, as the newest configuration that could be read has it.
#[derive(Clone, Debug)]
pub struct Claim {
    pub app: AppName,
    /// What it wants; `None` where its files could not be rendered.
    pub wanted: Option<Arc<WantedApp>>,
    pub depends_on: Vec<AppName>,
}

/// What all apps of an environment want together. Made once for each revision, asked often.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    pub(super) apps: BTreeMap<AppName, App>,
    keys: Arc<HashSet<ObjectKey>>,
    /// What git wants in other regions alone.
    elsewhere: HashSet<ObjectKey>,
    pub(super) digests: HashMap<Digest, ObjectKey>,
    pub(super) unrendered: Vec<AppName>,
    /// The environment itself goes, and nothing is wanted any more.
    pub(super) leaving: bool,
}

#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) objects: usize,
    /// The apps that say they depend on it, directly.
    needed_by: BTreeSet<AppName>,
}

impl Claims {
    pub fn new(claims: &[Claim]) -> Self {
        let (mut all, mut keys) = (Self::default(), HashSet::new());
        for claim in claims {
            let Some(wanted) = &claim.wanted else {
                all.unrendered.push(claim.app.clone());
                continue;
            };
            for object in &wanted.objects {
                keys.insert(object.key.clone());
                all.digests.insert(object.digest.clone(), object.key.clone());
            }
            all.elsewhere.extend(wanted.elsewhere.iter().cloned());
            keys.extend(wanted.hooks.iter().map(|hook| hook.job.key.clone()));
        }
        all.keys = Arc::new(keys);
        for claim in claims {
            let objects = claim.wanted.as_ref().map_or(0, |wanted| wanted.objects.len());
            let needs_it = claims.iter().filter(|other| other.depends_on.contains(&claim.app));
            let needed_by = needs_it.map(|other| other.app.clone()).collect();
            all.apps.insert(claim.app.clone(), App { objects, needed_by });
        }
        all
    }

    /// Of an environment that goes: nothing is wanted, and of its apps is known who needed whom.
    pub fn leaving(depends_on: impl IntoIterator<Item = (AppName, Vec<AppName>)>) -> Self {
        let claims: Vec<Claim> =
            depends_on.into_iter().map(|(app, depends_on)| Claim { app, wanted: None, depends_on }).collect();
        Self { leaving: true, unrendered: Vec::new(), ..Self::new(&claims) }
    }

    /// Whether there is an app of this name.
    pub(super) fn has(&self, app: Option<&String>) -> bool {
        app.is_some_and(|app| self.apps.keys().any(|name| name.as_str() == app))
    }

    /// Whether git names this app.
    pub fn names(&self, app: &AppName) -> bool {
        self.apps.contains_key(app)
    }

    /// Whether the environment itself goes.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// All that is wanted.
    pub fn keys(&self) -> &Arc<HashSet<ObjectKey>> {
        &self.keys
    }

    pub fn wants(&self, key: &ObjectKey) -> bool {
        self.keys.contains(key)
    }

    /// Whether git wants an object still, and in another region: then it goes from here for the re-point.
    pub(super) fn wants_elsewhere(&self, key: &ObjectKey) -> bool {
        !self.leaving && self.elsewhere.contains(key)
    }

    /// The apps that must have settled before anything that bears this app's name is deleted: the app and whoever depends
    /// on it, at any distance. For an app that is gone, nobody knows who depended on it: all of them.
    pub(super) fn before_deleting(&self, app: &str) -> BTreeSet<&AppName> {
        let Some((name, _)) = self.apps.iter().find(|(name, _)| name.as_str() == app) else {
            return self.apps.keys().collect();
        };
        let mut found = BTreeSet::from([name]);
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            for needs_it in self.apps.get(next).into_iter().flat_map(|app| &app.needed_by) {
                if found.insert(needs_it) {
                    open.push(needs_it);
                }
            }
        }
        found
    }
}
