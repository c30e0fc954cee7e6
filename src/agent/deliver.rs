//! Drives the apps of one environment: tells `delivery` what is new, begins what it decides, and tells it what came of that.
//! It never waits for anything but its own select. The agent's loop and `fairlead apply` drive alike.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster_view::{ClusterView, Guards};
use super::hands::Hands;
use crate::api::{AppStatus, UnknownKind};
use crate::cluster::Touched;
use crate::delivery::{Action, Delivery, Event, Fact, News, Replies, Ticket};
use crate::plan::Inventory;

/// The apps of an environment, and what is under way for them.
pub struct Deliver {
    pub hands: Arc<Hands>,
    pub delivery: Delivery,
    guards: Guards,
    /// Where the Environment says that it has objects; `None` where nobody has to say so.
    inventory: Option<Inventory>,
    /// Tasks of their own: they go on while the loop looks elsewhere.
    under_way: JoinSet<(Ticket, Event)>,
    stops: HashMap<Ticket, CancellationToken>,
}

impl Deliver {
    /// For a person at a command line there is no Environment that has to say where its objects are.
    pub fn new(hands: Arc<Hands>, inventory: Option<Inventory>) -> Self {
        let guards = Guards::new(&hands.index);
        let (delivery, under_way, stops) = (Delivery::default(), JoinSet::new(), HashMap::new());
        let mut deliver = Self { hands, delivery, guards, inventory: None, under_way, stops };
        if let Some(inventory) = inventory {
            deliver.set_inventory(inventory);
        }
        deliver
    }

    /// Takes where the Environment says that it has objects, once that is written. Those kinds are watched from here on.
    pub fn set_inventory(&mut self, inventory: Inventory) {
        if self.inventory.as_ref() != Some(&inventory) {
            self.guards.hold_inventory(&self.hands.index, &inventory);
            self.inventory = Some(inventory);
            self.hear(News::Cluster(None));
        }
    }

    /// Tells it something.
    pub fn hear(&mut self, news: News) {
        let Self { hands, guards, inventory, delivery, .. } = self;
        let view = ClusterView::new(hands, guards, inventory.as_ref());
        delivery.hear(news, &view, Timestamp::now());
    }

    /// Tells it of which apps something changed in the cluster.
    pub fn hear_cluster(&mut self) {
        match self.hands.index.take_touched(self.hands.environment.as_str()) {
            Touched::All => self.hear(News::Cluster(None)),
            Touched::Apps(apps) if apps.is_empty() => {}
            Touched::Apps(apps) => self.hear(News::Cluster(Some(apps))),
        }
    }

    /// Asks what is to be done and begins it. Says when to ask again if nothing happens before.
    pub fn turn(&mut self) -> Option<Timestamp> {
        let now = Timestamp::now();
        let Self { hands, guards, inventory, delivery, .. } = self;
        guards.hold((&hands.index, &hands.environment), delivery.wanted());
        let begin = delivery.decide(&ClusterView::new(hands, guards, inventory.as_ref()), now);
        begin.into_iter().for_each(|(ticket, action)| self.begin(ticket, action));
        for (ticket, stop) in &self.stops {
            if !self.delivery.awaits(ticket) {
                stop.cancel();
            }
        }
        self.delivery.again()
    }

    fn begin(&mut self, ticket: Ticket, action: Action) {
        let (hands, stop) = (self.hands.clone(), CancellationToken::new());
        self.stops.insert(ticket.clone(), stop.clone());
        self.under_way.spawn(async move {
            let event = hands.perform(&ticket, action, stop).await;
            (ticket, event)
        });
    }

    /// Waits until something that was under way ends, and tells what came of it; with all else that has ended by then. For
    /// ever where nothing is under way.
    pub async fn finish_some(&mut self) {
        match self.under_way.join_next().await {
            Some(finished) => self.finished(finished),
            None => return std::future::pending().await,
        }
        while let Some(finished) = self.under_way.try_join_next() {
            self.finished(finished);
        }
    }

    fn finished(&mut self, finished: Result<(Ticket, Event), tokio::task::JoinError>) {
        // A panic is caught where it happens, and nothing is aborted but at the end.
        let Ok((ticket, event)) = finished else { return };
        self.stops.remove(&ticket);
        let Self { hands, guards, inventory, delivery, .. } = self;
        let view = ClusterView::new(hands, guards, inventory.as_ref());
        let begin = delivery.event(&ticket, event, &view, Timestamp::now());
        begin.into_iter().for_each(|(ticket, action)| self.begin(ticket, action));
    }

    pub fn take_facts(&mut self) -> Vec<Fact> {
        self.delivery.take_facts()
    }

    /// What each app says of itself, with what became of its last rollouts.
    pub fn statuses(&self) -> Vec<AppStatus> {
        let mut statuses = self.delivery.statuses();
        let shown = (ALL_SHOWN / statuses.len().max(1)).clamp(1, SHOWN);
        if let Some(store) = &self.hands.store {
            for status in &mut statuses {
                let recent = store.recent(&status.name);
                status.history = recent.iter().take(shown).map(Into::into).collect();
            }
        }
        statuses
    }

    /// The kinds of the environment that could not be verified for so long.
    pub fn unknown(&self, after: Duration) -> Vec<UnknownKind> {
        self.guards.unknown(after)
    }

    /// When all of its kinds were verified last.
    pub fn verified(&self) -> Option<Instant> {
        self.guards.verified()
    }

    /// What the Environment has to say about where its objects are.
    pub fn needs(&self) -> super::inventory::Needs {
        let view = ClusterView::new(&self.hands, &self.guards, self.inventory.as_ref());
        let (wanted, all, approved) = self.delivery.needs(&view);
        super::inventory::Needs { wanted, all, approved }
    }

    /// What stays of an environment that goes, once all else is gone.
    pub fn left(&self) -> Option<Vec<String>> {
        let view = ClusterView::new(&self.hands, &self.guards, self.inventory.as_ref());
        self.delivery.left(&view).filter(|_| self.under_way.is_empty())
    }

    /// What the words of people came to.
    pub fn replies(&self) -> Replies {
        let view = ClusterView::new(&self.hands, &self.guards, self.inventory.as_ref());
        self.delivery.replies(&view)
    }

    /// Whether all that can be done was done.
    pub fn is_settled(&self) -> bool {
        self.under_way.is_empty() && self.delivery.is_settled()
    }

    /// Begins nothing more, and waits until what is under way has ended: each request has its own deadline.
    pub async fn hand_over(&mut self, within: Duration) {
        self.stops.values().for_each(CancellationToken::cancel);
        let all = async { while self.under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!(?within, "a request was still under way at the end");
        }
    }
}

/// So many records of one app are shown,
const SHOWN: usize = 10;
/// and so many of an environment: they are put together anew whenever something happens.
const ALL_SHOWN: usize = 2_000;
