//! Watches are held by guards: dropping the last one ends the watch and frees what it told.
//!
//! A kind that several environments use is watched once, and its guards are counted. A kind that the server does not serve
//! yet is held all the same: its watch begins at the next look after the session's kinds name it.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::feed::{Feed, Listing};
use super::follow::Follower;
use super::fresh::Freshness;
use super::watched::{Id, Watched};
use super::{Index, State};
use crate::api::UnknownKind;
use crate::cluster::autoscalers::Autoscalers;
use crate::cluster::heard::Hearing;

/// How long the command line waits for first listings before it goes on without, as an error.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// Keeps kinds watched as long as it or a clone of it lives.
#[derive(Clone)]
pub struct Watches {
    held: Arc<Held>,
}

struct Held {
    index: Index,
    /// The environment that asks, where it is one.
    environment: Option<String>,
    watched: BTreeSet<Watched>,
    feeds: BTreeSet<Feed>,
}

/// Whether all that a guard holds was listed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Yes,
    /// These were not, and nothing went wrong so far.
    NotYet {
        kinds: Vec<String>,
    },
    /// This one cannot be listed, and is tried again and again.
    Failing {
        kind: String,
        why: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("watching {kind} failed: {why}")]
    Watch { kind: String, why: String },
    #[error("listing {kind} took longer than {SYNC_TIMEOUT:?}")]
    TimedOut { kind: String },
}

/// The guards of one watch, counted.
pub(super) struct Counted {
    guards: usize,
    /// `None` while the kind is not served.
    running: Option<Running>,
}

struct Running {
    /// Tells this watch from those of the same kind before it: what they still have to say is not heard.
    number: u64,
    resource: ApiResource,
    listing: Listing,
    /// The path that is watched, and how fresh it is what it brought.
    path: String,
    fresh: Freshness,
    /// Where a watch before this one listed the kind, and this one only judges it anew: the environments whose rules are
    /// others since. What is known serves the rest of them.
    judges_anew_for: Option<BTreeSet<String>>,
    _task: AbortOnDropHandle<()>,
}

impl Watches {
    /// Tells whether every kind was listed once, now. Never waits. A kind that is not served counts as listed, for it holds
    /// nothing; if it is served since, its watch begins here.
    pub fn state(&self) -> Listed {
        let Held { index, environment, feeds, .. } = &*self.held;
        let mut state = index.lock();
        index.look_at_kinds(&mut state);
        let (mut waits, mut failing) = (Vec::new(), None);
        for feed in feeds {
            match state.listing(feed, environment.as_deref()) {
                None | Some(Listing::Done) => {}
                Some(Listing::UnderWay) => waits.push(feed.name()),
                Some(Listing::Failing(why)) => {
                    failing.get_or_insert_with(|| Listed::Failing { kind: feed.name(), why: why.clone() });
                }
            }
        }
        match failing {
            Some(failing) => failing,
            None if waits.is_empty() => Listed::Yes,
            None => Listed::NotYet { kinds: waits },
        }
    }

    /// Waits until every kind was listed once. For people at a command line, and tests: a loop looks at
    /// [`Watches::state`].
    pub async fn listed(&self) -> Result<(), IndexError> {
        let until = Instant::now() + SYNC_TIMEOUT;
        loop {
            let mut told = std::pin::pin!(self.held.index.told.notified());
            // From here on it hears what is told, so that nothing is lost between the look and the wait.
            told.as_mut().enable();
            match self.state() {
                Listed::Yes => return Ok(()),
                Listed::Failing { kind, why } => return Err(IndexError::Watch { kind, why }),
                Listed::NotYet { kinds } => {
                    if timeout_at(until, told).await.is_err() {
                        return Err(IndexError::TimedOut { kind: kinds.join(", ") });
                    }
                }
            }
        }
    }

    /// The kinds of which it is not known any more, for so long, whether their objects are as they were seen.
    pub fn unknown(&self, after: Duration) -> Vec<UnknownKind> {
        let Held { index, feeds, .. } = &*self.held;
        let hearing = index.session.cluster.hearing();
        let now = Instant::now();
        let state = index.lock();
        let unknown = |feed: &Feed| {
            let running = state.watches.get(feed)?.running.as_ref()?;
            let stale = running.fresh.stale(hearing.of(&running.path), after, now)?;
            Some(UnknownKind { kind: feed.name(), last_verified: stale.last.map(as_time), why: stale.why })
        };
        let mut found: Vec<UnknownKind> = feeds.iter().filter_map(unknown).collect();
        // The Secrets of several namespaces are one kind.
        found.dedup_by(|second, first| second.kind == first.kind);
        found
    }

    /// When it was known last whether all objects are as they were seen, by the kind that was known the longest ago.
    pub fn verified(&self) -> Option<Instant> {
        let Held { index, feeds, .. } = &*self.held;
        let hearing = index.session.cluster.hearing();
        let state = index.lock();
        let running = feeds.iter().filter_map(|feed| state.watches.get(feed)?.running.as_ref());
        let verified: Option<Vec<Instant>> =
            running.map(|running| running.fresh.verified(hearing.of(&running.path))).collect();
        verified?.into_iter().min()
    }

    /// Names what it was made for.
    pub fn watched(&self) -> &BTreeSet<Watched> {
        &self.held.watched
    }
}

/// A moment as clocks show it; always the same for the same moment, so that nothing looks new that is not.
fn as_time(at: Instant) -> String {
    static BEGAN: LazyLock<(Instant, Timestamp)> = LazyLock::new(|| (Instant::now(), Timestamp::now()));
    let (began, clock) = *BEGAN;
    let time = match at.checked_duration_since(began) {
        Some(after) => clock.checked_add(after),
        None => clock.checked_sub(began.saturating_duration_since(at)),
    };
    let time = time.unwrap_or(clock);
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

fn feeds_of(watched: &BTreeSet<Watched>) -> BTreeSet<Feed> {
    watched.iter().map(|watched| Feed::Objects(watched.id())).collect()
}

impl Drop for Held {
    fn drop(&mut self) {
        self.index.let_go(&self.feeds);
    }
}

impl State {
    /// Tells how the first listing of a watch goes, for this environment; `None` where there is no watch.
    fn listing(&self, feed: &Feed, environment: Option<&str>) -> Option<&Listing> {
        let Running { listing, judges_anew_for, .. } = self.watches.get(feed)?.running.as_ref()?;
        let serves = environment.zip(judges_anew_for.as_ref()).is_some_and(|(name, of)| !of.contains(name));
        Some(if serves { &Listing::Done } else { listing })
    }

    /// Tells whether this is the watch that counts.
    pub(super) fn is_current(&self, feed: &Feed, number: u64) -> bool {
        let running = self.watches.get(feed).and_then(|counted| counted.running.as_ref());
        running.is_some_and(|running| running.number == number)
    }

    /// Takes how a first listing goes; after it was done once, it stays done. Tells whether that is news.
    pub(super) fn note_listing(&mut self, feed: &Feed, listing: Listing, hearing: &Hearing) -> bool {
        let running = self.watches.get_mut(feed).and_then(|counted| counted.running.as_mut());
        let Some(running) = running else { return false };
        match &listing {
            Listing::Done => running.fresh.note_listed(Instant::now()),
            Listing::Failing(why) => {
                running.fresh.note_failed(why, hearing.of(&running.path), Instant::now())
            }
            Listing::UnderWay => {}
        }
        if running.listing == Listing::Done {
            return false;
        }
        let is_news = std::mem::discriminant(&running.listing) != std::mem::discriminant(&listing);
        running.listing = listing;
        is_news
    }

    /// Counts the watches that run.
    pub(super) fn running(&self) -> usize {
        self.watches.values().filter(|counted| counted.running.is_some()).count()
    }
}

impl Index {
    /// Watches these kinds while the guard is held. Never waits.
    pub fn watch(&self, watched: &BTreeSet<Watched>) -> Watches {
        self.hold(None, watched.clone(), feeds_of(watched))
    }

    /// Watches these kinds for an environment. Its guard does not wait while objects are judged anew for the sake of others.
    pub fn watch_for(&self, environment: &str, watched: &BTreeSet<Watched>) -> Watches {
        self.hold(Some(environment.to_owned()), watched.clone(), feeds_of(watched))
    }

    /// Watches all autoscalers while the guard is held. Where they cannot be listed, nobody knows what scales an object.
    pub fn watch_autoscalers(&self) -> Watches {
        self.hold(None, BTreeSet::new(), BTreeSet::from([Feed::Autoscalers]))
    }

    fn hold(
        &self,
        environment: Option<String>,
        watched: BTreeSet<Watched>,
        feeds: BTreeSet<Feed>,
    ) -> Watches {
        let mut state = self.lock();
        self.look_at_kinds(&mut state);
        for feed in &feeds {
            match state.watches.get_mut(feed) {
                Some(counted) => counted.guards += 1,
                None => {
                    state.watches.insert(feed.clone(), Counted { guards: 1, running: None });
                    if let Feed::Objects(id) = feed {
                        state.objects.open(id);
                    }
                    self.begin_if_served(&mut state, feed);
                }
            }
        }
        drop(state);
        Watches { held: Arc::new(Held { index: self.clone(), environment, watched, feeds }) }
    }

    /// Takes that a guard is gone.
    fn let_go(&self, feeds: &BTreeSet<Feed>) {
        let (mut ended, mut gone) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        for feed in feeds {
            let Some(counted) = state.watches.get_mut(feed) else { continue };
            counted.guards -= 1;
            if counted.guards > 0 {
                continue;
            }
            ended.extend(state.watches.remove(feed));
            match feed {
                Feed::Objects(id) => {
                    let change = state.objects.close(id);
                    state.ring(&change.touched);
                    gone.extend(change.gone);
                }
                Feed::Autoscalers => state.autoscalers = Autoscalers::default(),
            }
        }
        drop(state);
        if !ended.is_empty() {
            drop((ended, gone));
            self.sharing().sweep();
        }
    }

    /// Begins what can be watched since the session's kinds changed.
    fn look_at_kinds(&self, state: &mut State) {
        let kinds = self.session.kinds();
        if !Arc::ptr_eq(&state.kinds, &kinds) {
            state.kinds = kinds;
            for feed in state.watches.keys().cloned().collect::<Vec<_>>() {
                self.begin_if_served(state, &feed);
            }
        }
    }

    /// Begins a watch that is held where none runs, or where the one that runs is of a version that is no longer served.
    fn begin_if_served(&self, state: &mut State, feed: &Feed) {
        let (group, kind) = feed.group_kind();
        let info = state.kinds.get(group, kind);
        let served = info.and_then(|info| Some((info, info.versions.first()?)));
        let running = state.watches.get(feed).and_then(|counted| counted.running.as_ref());
        match (served, running) {
            (Some((info, _)), Some(running)) if info.versions.contains(&running.resource.version) => {}
            (Some((info, version)), _) => {
                let gvk = GroupVersionKind::gvk(group, version, kind);
                let resource = ApiResource::from_gvk_with_plural(&gvk, &info.plural);
                self.begin(state, feed, resource, None);
            }
            (None, None) if *feed == Feed::Autoscalers => state.autoscalers = Autoscalers::none(),
            (None, _) => {}
        }
    }

    /// Begins the watches of objects of which this is true anew, so that each object is read again and judged by the new
    /// rules of an environment. What is known of them stays until then.
    pub(super) fn judge_anew(&self, environment: &str, which: impl Fn(&Id) -> bool) {
        let mut state = self.lock();
        let anew = |(feed, counted): (&Feed, &Counted)| match feed {
            Feed::Objects(id) if which(id) => {
                let Running { resource, listing, judges_anew_for, .. } = counted.running.as_ref()?;
                let mut of = match listing {
                    Listing::Done => Some(BTreeSet::new()),
                    _ => judges_anew_for.clone(),
                };
                if let Some(of) = &mut of {
                    of.insert(environment.to_owned());
                }
                Some((feed.clone(), resource.clone(), of))
            }
            _ => None,
        };
        for (feed, resource, of) in state.watches.iter().filter_map(anew).collect::<Vec<_>>() {
            self.begin(&mut state, &feed, resource, of);
        }
    }

    fn begin(
        &self,
        state: &mut State,
        feed: &Feed,
        resource: ApiResource,
        judges_anew_for: Option<BTreeSet<String>>,
    ) {
        let Some(counted) = state.watches.get_mut(feed) else { return };
        state.last_watch += 1;
        let number = state.last_watch;
        let follower = Follower::new(self.clone(), feed.clone(), resource.clone(), number);
        let task = AbortOnDropHandle::new(tokio::spawn(follower.run()));
        let listing = Listing::UnderWay;
        let path = DynamicObject::url_path(&resource, feed.namespace());
        let fresh = Freshness::new(Instant::now());
        counted.running =
            Some(Running { number, resource, listing, path, fresh, judges_anew_for, _task: task });
    }
}
