//! What an agent knows of the cluster, which comes to it late; and of what is remembered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::chance::{Chance, Millis, Storm};
use super::content::{APPS, app_name, app_of, settled};
use super::server::Server;
use crate::api::names;
use crate::delivery::{Listing, World};
use crate::health::{Assessed, Health};
use crate::object::{AppName, HOOK, Live, ObjectKey};
use crate::plan::{Inventory, Lookup, Wanted, WantedKeys};
use crate::state::Memory;

#[derive(Default)]
pub struct View {
    pub objects: BTreeMap<ObjectKey, Assessed>,
    /// The newest version that was seen of each.
    versions: BTreeMap<ObjectKey, u64>,
    /// What is on its way, for each kind: when it comes, and which line of the log it is.
    coming: BTreeMap<Box<str>, VecDeque<(Millis, usize)>>,
    /// So much of the log was sent.
    sent: usize,
    pub listed_at: Millis,
    /// Until when Deployments can be neither listed nor watched, where they cannot now.
    unlisted: Option<Millis>,
    pub now: Millis,
    pub scaled: BTreeSet<ObjectKey>,
    pub memory: Arc<Memory>,
    pub inventory: Inventory,
}

/// The kind that cannot be listed now and then.
const UNLISTED: &str = "Deployment";

impl View {
    /// Lists all, as it was a moment ago.
    pub fn list(server: &Server, chance: &mut Chance, memory: &Memory, inventory: &Inventory) -> Self {
        let stale = usize::try_from(chance.between(0, 3)).unwrap_or(0);
        let mut view = Self {
            listed_at: chance.way() + chance.between(0, 400),
            unlisted: chance.until(Storm::Unlisted),
            now: chance.now,
            memory: Arc::new(memory.clone()),
            inventory: inventory.clone(),
            ..Self::default()
        };
        let known = server.log.len().saturating_sub(stale);
        let all_listed = view.unlisted.is_none();
        for line in (0..known).filter(|line| all_listed || !is_unlisted(server, *line)) {
            view.see(server, line);
        }
        view.sent = known;
        view
    }

    /// Takes that a kind cannot be listed any more, or can be again, and then lists it. Says whether that is so.
    pub fn relist(&mut self, server: &Server, chance: &Chance) -> bool {
        match self.unlisted {
            None => {
                self.unlisted = chance.until(Storm::Unlisted);
                self.unlisted.is_some()
            }
            Some(until) if until > chance.now => false,
            Some(_) => {
                self.unlisted = None;
                self.coming.remove(UNLISTED);
                for line in (0..self.sent).filter(|line| is_unlisted(server, *line)) {
                    self.see(server, line);
                }
                true
            }
        }
    }

    /// Sends what is new on its way.
    pub fn send(&mut self, server: &Server, chance: &mut Chance) {
        for line in self.sent..server.log.len() {
            let coming = self.coming.entry(server.log[line].key.kind.clone()).or_default();
            let at = chance.seen().max(coming.back().map_or(0, |(at, _)| *at));
            coming.push_back((at, line));
        }
        self.sent = server.log.len();
    }

    pub fn next(&self) -> Option<Millis> {
        let coming = self.coming.iter().filter(|(kind, _)| self.is_watched(kind));
        coming.filter_map(|(_, coming)| coming.front().map(|(at, _)| *at)).chain(self.unlisted).min()
    }

    fn is_watched(&self, kind: &str) -> bool {
        self.unlisted.is_none() || kind != UNLISTED
    }

    /// Takes what has come. Says of which apps something changed.
    pub fn receive(&mut self, server: &Server, now: Millis) -> Option<BTreeSet<AppName>> {
        let mut lines = Vec::new();
        let unlisted = self.unlisted.is_some();
        for (_, coming) in self.coming.iter_mut().filter(|(kind, _)| !unlisted || &***kind != UNLISTED) {
            while let Some((_, line)) = coming.pop_front_if(|(at, _)| *at <= now) {
                lines.push(line);
            }
        }
        if lines.is_empty() {
            return None;
        }
        let changed = lines.into_iter().filter_map(|line| self.see(server, line));
        Some(changed.map(app_name).collect())
    }

    fn see(&mut self, server: &Server, line: usize) -> Option<usize> {
        let logged = &server.log[line];
        if self.versions.get(&logged.key).is_some_and(|known| *known > logged.version) {
            return None;
        }
        self.versions.insert(logged.key.clone(), logged.version);
        match &logged.seen {
            Some(seen) => drop(self.objects.insert(logged.key.clone(), seen.clone())),
            None => drop(self.objects.remove(&logged.key)),
        }
        Some(app_of(&logged.key))
    }

    /// Takes what the server answered to a write.
    pub fn note_write(&mut self, live: &Arc<Live>) {
        let version = live.resource_version.parse().unwrap_or(0);
        if self.versions.get(&live.key).is_some_and(|known| *known >= version) {
            return;
        }
        self.versions.insert(live.key.clone(), version);
        let health = match &*live.key.kind {
            "ConfigMap" => Health::healthy("Exists", "it exists"),
            _ => Health::progressing("JustWritten", "it was just written"),
        };
        self.objects.insert(live.key.clone(), Assessed { live: live.clone(), health });
    }

    pub fn is_listed(&self) -> Listing {
        match self.unlisted {
            Some(_) => Listing::Failing("watching Deployment.apps failed: 403".to_owned()),
            None if self.now < self.listed_at => Listing::UnderWay(vec!["Deployment.apps".to_owned()]),
            None => Listing::Done,
        }
    }
}

fn is_unlisted(server: &Server, line: usize) -> bool {
    &*server.log[line].key.kind == UNLISTED
}

impl Lookup for View {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        self.objects.get(key).map(|seen| seen.live.clone())
    }

    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        Some(self.scaled.contains(key))
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        settled(wanted, live)
    }
}

impl World for View {
    fn assessed(&self, key: &ObjectKey) -> Option<Assessed> {
        self.objects.get(key).cloned()
    }

    fn hook_jobs(&self, app: &AppName) -> Vec<Assessed> {
        let ours = |seen: &&Assessed| {
            seen.live.labels.contains_key(HOOK)
                && seen.live.labels.get(names::APP_LABEL).is_some_and(|name| name == app.as_str())
        };
        self.objects.values().filter(ours).cloned().collect()
    }

    fn strays(&self, wanted: &WantedKeys) -> (Vec<Arc<Live>>, usize) {
        let ours =
            self.objects.values().filter(|seen| seen.live.labels.contains_key(names::ENVIRONMENT_LABEL));
        let ours: Vec<&Arc<Live>> = ours.map(|seen| &seen.live).collect();
        let strays = ours.iter().filter(|live| !wanted.contains(&live.key));
        (strays.map(|live| (*live).clone()).collect(), ours.len())
    }

    fn places(&self) -> Inventory {
        let mut places = Inventory::default();
        for seen in self.objects.values() {
            places.add(seen.live.gvk.group_kind(), seen.live.key.namespace.as_deref());
        }
        places
    }

    fn listed(&self, app: &AppName) -> Listing {
        debug_assert!(APPS.contains(&app.as_str()));
        self.is_listed()
    }

    fn inventory_listed(&self) -> Listing {
        self.is_listed()
    }

    fn inventory_written(&self, wanted: &Inventory) -> bool {
        wanted.kinds.is_subset(&self.inventory.kinds)
            && wanted.namespaces.is_subset(&self.inventory.namespaces)
    }

    fn memory(&self) -> Option<Arc<Memory>> {
        Some(self.memory.clone())
    }
}
