//! What `delivery` sees of the cluster and of what is remembered: the index, the guards of its watches, and the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hands::Hands;
use crate::api::UnknownKind;
use crate::cluster::{Index, Listed, Watched, Watches};
use crate::delivery::{Listing, World};
use crate::health::Assessed;
use crate::object::{AppName, EnvironmentName, Live, ObjectKey};
use crate::plan::{Inventory, Known, Lookup, Wanted, WantedApp, WantedKeys};
use crate::state::Memory;

/// Keeps what an environment needs to know watched.
pub(super) struct Guards {
    apps: BTreeMap<AppName, (Held, Watches)>,
    autoscalers: Watches,
    inventory: Option<Watches>,
}

impl Guards {
    pub fn new(index: &Index) -> Self {
        Self { apps: BTreeMap::new(), autoscalers: index.watch_autoscalers(), inventory: None }
    }

    /// Watches the kinds of what the apps want from here on, and of nothing else. It is called at every turn, so apps that
    /// want what they wanted cost no more than a look.
    pub fn hold<'a>(
        &mut self,
        (index, environment): (&Index, &EnvironmentName),
        wanted: impl Iterator<Item = (&'a AppName, Wants<'a>)> + Clone,
    ) {
        let mut held = self.apps.iter();
        let all_same = wanted.clone().all(|(name, wanted)| {
            held.next().is_some_and(|(of, (known, _))| of == name && same(known, wanted))
        });
        if all_same && held.next().is_none() {
            return;
        }
        let mut before = std::mem::take(&mut self.apps);
        let mut kept = BTreeMap::new();
        for (name, wanted) in wanted {
            if before.get(name).is_some_and(|(known, _)| same(known, wanted)) {
                kept.extend(before.remove_entry(name));
                continue;
            }
            let all = wanted.into_iter().flatten().flat_map(|wanted| wanted.all().map(|object| &**object));
            let watches = index.watch_for(environment.as_str(), &Watched::of(all));
            kept.insert(name.clone(), (wanted.map(Option::<&Arc<_>>::cloned), watches));
        }
        // What is not needed any more ends now, when what is has begun.
        self.apps = kept;
    }

    /// The kinds of the inventory that could not be verified for so long.
    pub fn unknown(&self, after: Duration) -> Vec<UnknownKind> {
        self.inventory.as_ref().map(|watches| watches.unknown(after)).unwrap_or_default()
    }

    /// When all kinds of the inventory were verified last.
    pub fn verified(&self) -> Option<Instant> {
        self.inventory.as_ref().and_then(Watches::verified)
    }

    /// Watches the kinds in which there may be objects that nobody wants any more.
    pub fn hold_inventory(&mut self, index: &Index, inventory: &Inventory) {
        self.inventory = Some(index.watch(&Watched::held(inventory)));
    }
}

/// What an app wants, and what it is kept true to.
type Held = [Option<Arc<WantedApp>>; 2];
type Wants<'a> = [Option<&'a Arc<WantedApp>>; 2];

fn same(known: &Held, wanted: Wants) -> bool {
    known.iter().zip(wanted).all(|pair| match pair {
        (Some(known), Some(wanted)) => Arc::ptr_eq(known, wanted),
        (known, wanted) => known.is_none() && wanted.is_none(),
    })
}

/// The world of one environment, at one moment.
pub(super) struct ClusterView<'a> {
    hands: &'a Hands,
    guards: &'a Guards,
    inventory: Option<&'a Inventory>,
}

impl<'a> ClusterView<'a> {
    pub fn new(hands: &'a Hands, guards: &'a Guards, inventory: Option<&'a Inventory>) -> Self {
        Self { hands, guards, inventory }
    }
}

impl Lookup for ClusterView<'_> {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        self.hands.index.live(key)
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        self.hands.index.known_settled(wanted, live)
    }

    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        self.hands.index.autoscaled(key)
    }
}

impl World for ClusterView<'_> {
    fn assessed(&self, key: &ObjectKey) -> Option<Assessed> {
        self.hands.index.get(key)
    }

    fn hook_jobs(&self, app: &AppName) -> Vec<Assessed> {
        self.hands.index.hook_jobs(self.hands.environment.as_str(), app.as_str())
    }

    fn strays(&self, wanted: &WantedKeys) -> (Vec<Arc<Live>>, usize) {
        self.hands.index.strays(self.hands.environment.as_str(), wanted)
    }

    fn places(&self) -> Inventory {
        self.hands.index.places(self.hands.environment.as_str())
    }

    fn listed(&self, app: &AppName) -> Listing {
        // Where the autoscalers cannot be listed, it is not known what scales an object, and that alone.
        if let Listed::NotYet { kinds } = self.guards.autoscalers.state() {
            return Listing::UnderWay(kinds);
        }
        match self.guards.apps.get(app) {
            Some((_, watches)) => listing(watches.state()),
            None => Listing::UnderWay(vec!["its kinds".to_owned()]),
        }
    }

    fn inventory_listed(&self) -> Listing {
        match &self.guards.inventory {
            Some(watches) => listing(watches.state()),
            None => Listing::UnderWay(vec!["the kinds of the inventory".to_owned()]),
        }
    }

    fn inventory_written(&self, wanted: &Inventory) -> bool {
        match (&self.hands.store, self.inventory) {
            (None, _) => true,
            (Some(_), inventory) => inventory.is_some_and(|inventory| inventory.covers(wanted)),
        }
    }

    fn knows(&self, live: &Live) -> Known {
        self.hands.store.as_ref().map_or(Known::Not, |store| store.knows(live))
    }

    fn memory(&self) -> Option<Arc<Memory>> {
        self.hands.store.as_ref().map(|store| store.memory())
    }
}

fn listing(listed: Listed) -> Listing {
    match listed {
        Listed::Yes => Listing::Done,
        Listed::NotYet { kinds } => Listing::UnderWay(kinds),
        Listed::Failing { kind, why } => Listing::Failing(format!("watching {kind} failed: {why}")),
    }
}
