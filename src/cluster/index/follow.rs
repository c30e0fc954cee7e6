//! The task behind one watch: reads what the server tells, and puts it into the index.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;

use super::feed::{Feed, Listing};
use super::objects::{Change, Objects};
use super::watched::Id;

use super::{Index, WATCH_SECONDS};
use crate::cluster::autoscalers;
use crate::cluster::watching::{self, News};
use crate::health::{Assessed, Health, Status};
use crate::object::{Gvk, Live};

/// Between a watch that ended by a fault of ours and the next one: it may end by the same fault again.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Follower {
    index: Index,
    feed: Feed,
    resource: ApiResource,
    number: u64,
}

impl Follower {
    pub fn new(index: Index, feed: Feed, resource: ApiResource, number: u64) -> Self {
        Self { index, feed, resource, number }
    }

    /// Watches until it is dropped. A panic ends one round, not the watch: every environment that uses the kind would be
    /// blind to it from then on, and not know.
    pub async fn run(self) {
        loop {
            let round = async {
                match &self.feed {
                    Feed::Objects(id) if id.is_bodyless() => self.metadata(id).await,
                    Feed::Objects(id) => self.objects(id).await,
                    Feed::Autoscalers => self.autoscalers().await,
                }
            };
            let why = match AssertUnwindSafe(round).catch_unwind().await {
                Ok(()) => "the watch ended",
                Err(_) => "reading what it told panicked",
            };
            self.failed(why.to_owned());
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn gvk(&self) -> Gvk {
        Gvk::new(&self.resource.group, &self.resource.version, &self.resource.kind)
    }

    fn config(&self) -> watcher::Config {
        watcher::Config::default().timeout(WATCH_SECONDS)
    }

    async fn metadata(&self, id: &Id) {
        let client = self.index.session.cluster.client().clone();
        // Of this type the API asks for metadata only.
        let api: Api<PartialObjectMeta<DynamicObject>> = match &id.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &self.resource),
            None => Api::all_with(client, &self.resource),
        };
        let gvk = self.gvk();
        let read = |object: PartialObjectMeta<DynamicObject>| {
            let live = Live::from_meta(gvk.clone(), &object.metadata)?;
            let status = if live.deleting { Status::Terminating } else { Status::Healthy };
            let message = if live.deleting { "it is being deleted" } else { "it exists" };
            let health = Health::new(status, "Exists", message);
            Some(Assessed { live: self.index.share(live), health })
        };
        let events = watching::watch(api, self.config().labels(self.index.selector));
        watching::tell(events, read, |news| self.take(id, news)).await;
    }

    async fn objects(&self, id: &Id) {
        let client = self.index.session.cluster.client().clone();
        let api: Api<DynamicObject> = Api::all_with(client, &self.resource);
        let gvk = self.gvk();
        let (api_version, kind) = (gvk.api_version(), gvk.kind.to_string());
        let read = |mut object: DynamicObject| {
            let live = Live::from_meta(gvk.clone(), &object.metadata)?;
            object.metadata.managed_fields = None;
            let mut value = object.data;
            value["apiVersion"] = api_version.as_str().into();
            value["kind"] = kind.as_str().into();
            value["metadata"] = serde_json::to_value(&object.metadata).ok()?;
            let live = self.index.share(live);
            let health = self.index.assess(&live, value);
            Some(Assessed { live, health })
        };
        let events = watching::watch(api, self.config().labels(self.index.selector));
        watching::tell(events, read, |news| self.take(id, news)).await;
    }

    async fn autoscalers(&self) {
        let api: Api<DynamicObject> =
            Api::all_with(self.index.session.cluster.client().clone(), &self.resource);
        let events = watching::watch(api, self.config());
        watching::tell(events, |object| autoscalers::target(&object), |news| self.take_targets(news)).await;
    }

    fn take(&self, id: &Id, news: News<Assessed>) {
        match news {
            News::All(all) => {
                let listing: HashMap<_, _> = all.into_iter().map(|new| (new.live.key.clone(), new)).collect();
                self.change(|objects| objects.replace(id, listing));
                self.listed(Listing::Done);
            }
            News::Is(record) => self.change(|objects| objects.put(id, record)),
            News::Gone(record) => self.change(|objects| objects.remove(id, record.live)),
            News::Failed(why) => self.failed(why),
        }
    }

    fn take_targets(&self, news: News<autoscalers::Target>) {
        if let News::Failed(why) = news {
            return self.failed(why);
        }
        let listed = matches!(news, News::All(_));
        {
            let mut state = self.index.lock();
            // Environments look themselves whether it is an object of theirs that is scaled now, or no longer.
            if state.is_current(&self.feed, self.number) && state.autoscalers.take(news) {
                state.ring_all();
            }
        }
        if listed {
            self.listed(Listing::Done);
        }
    }

    /// Changes what is known, unless another watch of the kind began since.
    fn change(&self, change: impl FnOnce(&mut Objects) -> Change) {
        let mut state = self.index.lock();
        if state.is_current(&self.feed, self.number) {
            let Change { touched, gone } = change(&mut state.objects);
            state.ring(&touched);
            drop(state);
            self.index.release(gone);
        }
    }

    fn failed(&self, why: String) {
        tracing::warn!(kind = self.feed.name(), error = %why, "a watch failed and begins anew");
        // What was listed stays: no evidence is not evidence of absence.
        self.listed(Listing::Failing(why));
    }

    /// Takes how the first listing goes, and wakes all that may wait for it.
    fn listed(&self, listing: Listing) {
        let mut state = self.index.lock();
        if state.is_current(&self.feed, self.number)
            && state.note_listing(&self.feed, listing, self.index.session.cluster.hearing())
        {
            state.ring_all();
            drop(state);
            self.index.told.notify_waiters();
        }
    }
}
