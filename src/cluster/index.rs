//! What is live, kept by few watches: one for each kind in use, over all namespaces, selected by our label.
//!
//! Kept of each object is what decisions need ([`Live`] and its health), not the object. A kind is watched while a guard of
//! it is held (`watches`), a task reads what its watch tells (`follow`), and what is known lies in `objects`.
//!
//! All of it stands behind one lock, under which nothing waits and nothing runs that others wrote: rules of health are
//! tried without it, those of teams on threads of their own. If something panics under it all the same, the next one who takes it counts the objects anew
//! and goes on.

mod feed;
mod follow;
mod fresh;
mod objects;
#[cfg(test)]
mod tests;
mod watched;
mod watches;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::autoscalers::Autoscalers;
use super::discovery::Session;
use super::judging::{Judges, Tell, Told};
use super::sharing::Sharing;
use crate::api::names;
use crate::health::{self, Assessed, Health, Rule, Rules, Status};
use crate::object::{AppName, Kinds, Live, ObjectKey};
use crate::plan::{Inventory, Lookup, Wanted, WantedKeys};
use feed::Feed;
use objects::{Bearer, Change, Objects};
pub use watched::Watched;
use watches::Counted;
pub use watches::{IndexError, Listed, Watches};

/// The server ends a watch after this many seconds and it begins anew, so that watches do not stay with one server of
/// several for ever.
pub const WATCH_SECONDS: u32 = 240;

#[derive(Clone)]
pub struct Index {
    session: Session,
    selector: &'static str,
    sharing: Arc<Mutex<Sharing>>,
    judges: Judges,
    state: Arc<Mutex<State>>,
    /// Wakes those who wait for a first listing.
    told: Arc<Notify>,
}

struct State {
    objects: Objects,
    autoscalers: Autoscalers,
    watches: BTreeMap<Feed, Counted>,
    /// The number of the watch that began last.
    last_watch: u64,
    /// The kinds that were served when somebody looked last.
    kinds: Arc<Kinds>,
    listeners: HashMap<String, Listener>,
}

impl Index {
    /// Makes an index of the objects that bear the label `selector`, whose value is the name of their environment.
    pub fn new(session: Session, selector: &'static str) -> Self {
        let state = State {
            objects: Objects::new(selector),
            autoscalers: Autoscalers::default(),
            watches: BTreeMap::new(),
            last_watch: 0,
            kinds: session.kinds(),
            listeners: HashMap::new(),
        };
        Self {
            session,
            selector,
            sharing: Arc::default(),
            judges: Judges::default(),
            state: Arc::new(Mutex::new(state)),
            told: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.objects.recount();
            self.state.clear_poison();
            state
        })
    }

    fn sharing(&self) -> MutexGuard<'_, Sharing> {
        // Whatever is missing in it is shared less.
        self.sharing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self, live: Live) -> Arc<Live> {
        Arc::new(self.sharing().share(live))
    }

    /// Lets go of objects, and of what they alone said.
    fn release(&self, gone: Vec<Arc<Live>>) {
        let mut sharing = self.sharing();
        gone.into_iter().for_each(|live| sharing.release(live));
    }

    /// Rings whenever an object of this environment changed, and when a kind was listed for the first time or cannot be.
    pub fn listen(&self, environment: &str) -> Arc<Notify> {
        let mut state = self.lock();
        if let Some(bell) = state.listeners.get(environment).and_then(|listener| listener.bell.upgrade()) {
            return bell;
        }
        state.listeners.retain(|_, listener| listener.bell.strong_count() > 0);
        let bell = Arc::default();
        let listener = Listener { bell: Arc::downgrade(&bell), touched: Touched::All };
        state.listeners.insert(environment.to_owned(), listener);
        bell
    }

    /// Takes of which apps of an environment something changed since the last time. Says so to the one that listens.
    pub fn take_touched(&self, environment: &str) -> Touched {
        let mut state = self.lock();
        let nothing = Touched::Apps(BTreeSet::new());
        match state.listeners.get_mut(environment) {
            Some(listener) => std::mem::replace(&mut listener.touched, nothing),
            None => Touched::All,
        }
    }

    /// Forgets what an environment that is left alone was asked for.
    pub fn forget(&self, environment: &str) {
        let mut state = self.lock();
        state.listeners.remove(environment);
        state.objects.forget(environment);
        drop(state);
        self.judges.forget(environment);
    }

    /// Judges the objects of an environment by its own rules from now on. Objects are not kept, so the kinds that its
    /// rules name are listed anew where the rules are others than before; until then what is known of them stays.
    pub fn judge(&self, environment: &str, rules: &[Rule]) {
        let (index, of) = (self.clone(), environment.to_owned());
        let runtime = Handle::try_current();
        let tell = |rules: &Arc<Rules>| -> Tell {
            let rules = rules.clone();
            Box::new(move |told, is_over| match told {
                Told::Judged(live, health) => index.judged(&live, health, is_over),
                Told::LeftOut => {
                    if let Ok(runtime) = &runtime {
                        let _entered = runtime.enter();
                        index.judge_anew(&of, |id| !id.is_bodyless() && rules.concern(&id.group, &id.kind));
                    }
                }
            })
        };
        if let Some(changed) = self.judges.set(environment, rules, tell) {
            self.judge_anew(environment, |id| !id.is_bodyless() && changed.concerns(&id.group, &id.kind));
        }
    }

    /// Judges an object that a watch brought. Where a team's rules do, what was known of it stays until they have.
    fn assess(&self, live: &Arc<Live>, value: Value) -> Health {
        self.judges.assess(live, self.selector, value).unwrap_or_else(|| {
            let known = self.get(&live.key).filter(|known| known.live.uid == live.uid);
            known.map_or_else(
                || {
                    Health::new(
                        Status::Progressing,
                        "BeingJudged",
                        "the health rules are being asked about it",
                    )
                },
                |known| known.health,
            )
        })
    }

    /// Takes the verdict of a team's rules, unless it has others by now.
    fn judged(&self, live: &Arc<Live>, health: Health, is_over: &AtomicBool) {
        let mut state = self.lock();
        if !is_over.load(Ordering::Acquire) {
            let Change { touched, .. } = state.objects.judged(live, health);
            state.ring(&touched);
        }
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Assessed> {
        self.lock().objects.get(key).cloned()
    }

    /// Tells the health of an object, `Missing` where there is none.
    pub fn health(&self, key: &ObjectKey) -> Health {
        self.get(key).map_or_else(|| health::assess(&Value::Null), |record| record.health)
    }

    /// Counts the objects and the watches.
    pub fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.objects.count(), state.running())
    }

    /// Finds the objects that bear an environment's label and are not among the wanted; and how many bear it, wanted or
    /// not.
    pub fn strays(&self, environment: &str, wanted: &WantedKeys) -> (Vec<Arc<Live>>, usize) {
        self.lock().objects.strays(environment, wanted)
    }

    /// Tells where objects bear an environment's label.
    pub fn places(&self, environment: &str) -> Inventory {
        self.lock().objects.places(environment)
    }

    /// Finds the Jobs of an app's hooks.
    pub fn hook_jobs(&self, environment: &str, app: &str) -> Vec<Assessed> {
        self.lock().objects.hook_jobs(&[(self.selector, environment), (names::APP_LABEL, app)])
    }

    /// Takes what a write answered, so that the next plan sees it before the watch does.
    pub fn note_write(&self, live: Live) {
        let live = self.share(live);
        let change = self.lock().objects.wrote(live);
        self.release(change.gone);
    }

    /// Remembers that a dry run of `wanted` ended where `live` is.
    pub fn note_settled(&self, wanted: &Wanted, live: &Live) {
        self.lock().objects.note_settled(wanted, live);
    }
}

/// One that is told of an environment's objects.
struct Listener {
    bell: Weak<Notify>,
    touched: Touched,
}

/// Of which apps something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Of any: a kind was listed, or what scales objects changed.
    All,
    Apps(BTreeSet<AppName>),
}

impl Listener {
    fn ring(&mut self, app: Option<&AppName>) {
        match (&mut self.touched, app) {
            (Touched::All, _) => {}
            (Touched::Apps(apps), Some(app)) => drop(apps.insert(app.clone())),
            (touched, None) => *touched = Touched::All,
        }
        if let Some(bell) = self.bell.upgrade() {
            bell.notify_one();
        }
    }
}

impl State {
    fn ring(&mut self, touched: &HashSet<Bearer>) {
        for (environment, app) in touched {
            if let Some(listener) = self.listeners.get_mut(environment) {
                listener.ring(app.as_ref());
            }
        }
    }

    fn ring_all(&mut self) {
        self.listeners.values_mut().for_each(|listener| listener.ring(None));
    }
}

impl Lookup for Index {
    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        self.lock().autoscalers.scale(key)
    }

    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        Some(self.lock().objects.get(key)?.live.clone())
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        self.lock().objects.is_settled(wanted, live)
    }
}
