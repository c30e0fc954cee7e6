//! Decides everything about the apps of an environment: what git says of each, where it goes, what holds it up, what people
//! ask for, what is remembered, and what may be deleted.
//!
//! ```text
//!   News (git, the platform, people, the cluster) ──► hear ──┐
//!                                                            ▼
//!   World (what is live, what is remembered) ──────────► decide ──► [(Ticket, Action)] ──► agent/ does it
//!                                                            ▲                                   │
//!                                                          event ◄────────── (Ticket, Event) ◄───┘
//! ```
//!
//! [`Delivery::decide`] says what is to be begun now; each action has a [`Ticket`], and an [`Event`] without a live one is
//! nothing. Nothing here waits, asks or reads a clock, so a simulator can tell it thousands of stories a second
//! (`simulation`). The state machine of one app is drawn in [`app`], that of one rollout in `rollout`.
//!
//! A panic in a decision about one app is that app's refusal, and the others go on.

mod action;
mod app;
mod apps;
mod environment_scope;
mod fact;
mod hold;
mod hook_work;
mod news;
mod people;
mod pruner;
mod rights;
mod rollback;
mod saving;
mod says;
#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
mod ticket;
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use jiff::Timestamp;

pub use action::{Action, Event, Failure};
pub use app::{Retry, Tokens, word};
pub use fact::{Fact, What, some};
pub use hold::{HeldBy, Hold};
pub use hook_work::{HookDone, HookWork, Tidy, TidyUp};
pub use news::{News, Platform};
pub use people::{Approved, Replies, Retried};
pub use pruner::{PruneTerms, PruneWorld, Pruner, budget_of};
pub use rollback::{Ask, Choice, Found, No, SHORTEST, Want, choose, kept};
pub use says::Says;
pub use ticket::{Owner, Ticket};
pub use world::{Listing, World};

use crate::api::{AppStatus, PruneStatus};
use crate::drift::{Fight, OpenDrift};
use crate::object::{AppName, Digest, Live, ObjectKey};
use crate::plan::{Inventory, WantedApp};
use crate::state::{Change, Memory};
use app::{App, AppStep, View};
use apps::{Apps, Timers};
use saving::Saving;
use ticket::Tickets;

/// The apps of one environment.
#[derive(Default)]
pub struct Delivery {
    apps: Apps,
    pruner: Pruner,
    saving: Saving,
    tickets: Tickets,
    platform: Platform,
    /// Git was heard, be it that it cannot be read.
    knows_git: bool,
    leaving: bool,
    /// The apps that have to be asked now, and when the others want to be.
    due: BTreeSet<AppName>,
    timers: Timers,
    again: Option<Timestamp>,
    swept: Swept,
    facts: Vec<Fact>,
}

/// What is known of what is no more.
#[derive(Default)]
struct Swept {
    /// How many objects were remembered.
    objects: usize,
    /// What was remembered, where it named no app that git does not.
    memory: Weak<Memory>,
    /// What was under way for apps when they left git.
    late: BTreeSet<Ticket>,
}

impl Delivery {
    /// Takes what came of an action. An event without a live ticket is nothing.
    pub fn event(
        &mut self,
        ticket: &Ticket,
        event: Event,
        world: &dyn World,
        now: Timestamp,
    ) -> Vec<(Ticket, Action)> {
        match &ticket.of {
            Owner::App(name, _) => {
                let is_late = self.swept.late.remove(ticket);
                let Some(app) = self.apps.get_mut(name) else { return Vec::new() };
                if app.is_answered_by(ticket) {
                    // What an app wrote may be news to every other.
                    self.due.insert(name.clone());
                    let was_ready = app.is_ready();
                    guard(app, |app| app.answered(ticket, event, world, now));
                    // What was stopped may leave an app as ready as it was before.
                    if app.is_ready() != was_ready {
                        self.due.extend(self.apps.needed_by(name).cloned());
                    }
                } else if is_late {
                    app.note_way();
                }
                Vec::new()
            }
            Owner::Prune(_) => {
                let Self { pruner, tickets, .. } = self;
                pruner.answered(ticket, event, tickets, now).into_iter().collect()
            }
            Owner::Memory => {
                if self.saving.awaits(ticket) {
                    let result = match event {
                        Event::Remembered => Ok(()),
                        Event::Failed(failure) => Err(failure),
                        _ => Err(Failure::Passing("it was stopped".to_owned())),
                    };
                    let memory = world.memory();
                    let of =
                        self.saving.ended(result, (&mut self.apps, memory.as_deref()), &mut self.facts, now);
                    self.due.extend(of);
                }
                Vec::new()
            }
        }
    }

    /// Says what is to be begun now. What is under way and not awaited any more ([`Delivery::awaits`]) is to be stopped.
    pub fn decide(&mut self, world: &dyn World, now: Timestamp) -> Vec<(Ticket, Action)> {
        self.hear_people();
        self.due.extend(self.timers.due(now).cloned());
        let mut begin = Vec::new();
        // One app's step may be what others wait for; each is asked once, and what comes up is asked next.
        for name in std::mem::take(&mut self.due) {
            begin.extend(self.decide_app(&name, world, now));
        }
        let together = environment_scope::go_together(&mut self.apps);
        self.due.extend(together);
        if self.is_all_saved() {
            self.note_all_well();
            self.note_gone(world);
        }
        self.note_left(world);
        let Self { saving, apps, tickets, .. } = self;
        let saved = saving.begin(apps, tickets, now);
        let (prunes, prune_again) = self.prune(world, now);
        begin.extend(prunes);
        let save_again = match saved {
            Ok(save) => {
                begin.push(save);
                None
            }
            Err(again) => again,
        };
        let at_once = (!self.due.is_empty()).then_some(now);
        let timers = self.timers.next();
        self.again = [at_once, timers, save_again, prune_again].into_iter().flatten().min();
        begin
    }

    /// When to ask again if nothing happens before.
    pub fn again(&self) -> Option<Timestamp> {
        self.again
    }

    fn decide_app(&mut self, name: &AppName, world: &dyn World, now: Timestamp) -> Option<(Ticket, Action)> {
        self.timers.remove(name);
        if self.saving.holds(name) {
            return None; // It is asked when they are saved.
        }
        // Taken out, so that it may ask about the others.
        let mut app = self.apps.take(name)?;
        let was_ready = app.is_ready();
        let apps = &self.apps;
        let view = View {
            world,
            ready: &|name| apps.get(name).is_some_and(App::is_ready),
            suspended: self.platform.suspended,
            holds: &self.platform.holds,
            holds_unknown: self.platform.holds_unknown,
            grants: self.platform.grants.as_ref(),
            remembers: world.memory().is_some(),
            inventory_written: world.inventory_written(self.pruner.wanted()),
            now,
        };
        let step = guard(&mut app, |app| app.decide(&view)).unwrap_or(AppStep::Rest { until: None });
        let withheld = match &step {
            AppStep::Do { action, .. } => rights::withheld(action, self.platform.grants.as_ref()),
            AppStep::Rest { .. } => Vec::new(),
        };
        let begun = match step {
            AppStep::Do { .. } if !withheld.is_empty() => {
                app.withhold(withheld, now);
                self.timers.set(name, now);
                None
            }
            AppStep::Rest { until } => {
                if let Some(until) = until {
                    self.timers.set(name, until);
                }
                None
            }
            AppStep::Do { phase, mut action } => {
                // What is read may be what tells where the app goes.
                let digest = match &action {
                    Action::Recall { digest } => Some(digest),
                    _ => app.target_digest(),
                };
                let digest = digest.cloned().unwrap_or_else(|| Digest::from(""));
                let ticket = self.tickets.next(Owner::App(name.clone(), digest));
                app.begun(ticket.clone(), phase, &mut action);
                Some((ticket, action))
            }
        };
        let is_ready = app.is_ready();
        self.apps.put_back(name, app);
        if was_ready != is_ready {
            self.due.extend(self.apps.needed_by(name).cloned());
        }
        begun
    }

    /// Whether every app is well, and everything is remembered.
    fn is_all_saved(&mut self) -> bool {
        self.saving.is_empty() && self.apps.are_settled()
    }

    /// Forgets the uids of objects that are no more and that nobody wants, where it is known what there is.
    fn note_gone(&mut self, world: &dyn World) {
        let Some(memory) = world.memory() else { return };
        let wanted = self.pruner.wanted_keys();
        let count = memory.ledger.len();
        if wanted.is_none_or(|wanted| wanted.len() >= count) || self.swept.objects == count {
            return;
        }
        if world.inventory_listed() != Listing::Done {
            return;
        }
        self.swept.objects = count;
        let gone = memory.ledger.keys();
        let gone = gone.filter(|key| self.pruner.wants(key) == Some(false) && world.live(key).is_none());
        let gone: BTreeSet<ObjectKey> = gone.cloned().collect();
        if !gone.is_empty() {
            self.saving.push(Change::Gone(gone));
        }
    }

    /// Has it forgotten once more what an app was that left git: a write that was under way by then has something of it
    /// remembered, and nothing that it made would be deleted while that is.
    fn note_left(&mut self, world: &dyn World) {
        let Some(memory) = world.memory() else { return };
        let known = Arc::downgrade(&memory);
        if Weak::ptr_eq(&self.swept.memory, &known) {
            return;
        }
        if !memory.apps.keys().any(|name| self.pruner.names(name) == Some(false)) {
            self.swept.memory = known;
        } else if !self.saving.names_apps() {
            self.saving.push(Change::Apps(self.apps.keys().cloned().collect()));
        }
    }

    /// Notes that every app is well, where all go back together.
    fn note_all_well(&mut self) {
        let new = self.apps.unmarked();
        if !new.is_empty() {
            self.saving.push(Change::AllGood(new));
        }
    }

    /// Deleting comes last: it is decided when the apps have had their turn.
    fn prune(&mut self, world: &dyn World, now: Timestamp) -> (Vec<(Ticket, Action)>, Option<Timestamp>) {
        if world.inventory_listed() != Listing::Done {
            return (Vec::new(), None);
        }
        let Self { apps, pruner, tickets, platform, leaving, .. } = self;
        let memory = world.memory().filter(|_| !*leaving);
        let saved = |name: &AppName| match (&memory, apps.get(name)) {
            (Some(memory), Some(app)) => app.is_remembered(memory),
            (Some(memory), None) => !memory.apps.contains_key(name),
            (None, _) => true,
        };
        let known = |live: &Live| world.knows(live);
        let ready = |name: &AppName| apps.get(name).is_some_and(|app| app.is_ready() && app.busy.is_none());
        let hold = |name: &AppName| platform.holds.iter().find(|hold| hold.stops(name, now));
        let view = PruneWorld {
            world,
            hold: &hold,
            known: &known,
            ready: &ready,
            saved: &saved,
            suspended: platform.suspended || platform.holds_unknown,
            now,
        };
        pruner.decide(&view, tickets)
    }

    /// Whether an action is still wanted. One that is not is stopped between two requests.
    pub fn awaits(&self, ticket: &Ticket) -> bool {
        match &ticket.of {
            Owner::App(name, _) => self.apps.get(name).is_some_and(|app| app.awaits(ticket)),
            Owner::Prune(_) => self.pruner.awaits(ticket),
            Owner::Memory => self.saving.awaits(ticket),
        }
    }

    /// What happened since the last time.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        let mut facts = std::mem::take(&mut self.facts);
        facts.extend(self.apps.take_facts());
        facts.extend(self.pruner.take_facts());
        facts
    }

    pub fn statuses(&self) -> Vec<AppStatus> {
        self.apps.values().map(App::status).collect()
    }

    /// What of its apps is not as git says now, and who fights over it.
    pub fn drift(&self) -> (Vec<OpenDrift>, Vec<Fight>) {
        let open = self.apps.values().flat_map(App::open_drift).collect();
        (open, self.apps.values().flat_map(App::fights).collect())
    }

    pub fn prune_status(&self) -> Option<PruneStatus> {
        self.pruner.status()
    }

    /// What an app wants and is kept true to: whose kinds have to be watched.
    pub fn wanted(&self) -> impl Iterator<Item = (&AppName, [Option<&Arc<WantedApp>>; 2])> + Clone {
        self.apps.iter().map(|(name, app)| (name, [app.wanted(), app.target()]))
    }

    /// Where something is wanted, where something is wanted or still is, and what of an approved set is still to be deleted.
    pub fn needs(&self, world: &dyn World) -> (Inventory, Option<Inventory>, Option<BTreeSet<Box<str>>>) {
        let listed = world.inventory_listed() == Listing::Done;
        let all = listed.then(|| self.pruner.needed(world)).flatten();
        (self.pruner.wanted().clone(), all, self.pruner.approved())
    }

    /// Whether all that can be done was done: every app is ready or stuck, and nothing is under way.
    pub fn is_settled(&self) -> bool {
        let waits_for_stuck = |app: &App| {
            let on = app.spec.depends_on.iter().filter_map(|on| self.apps.get(on));
            on.into_iter().any(|on| on.is_stuck() && on.busy.is_none())
        };
        self.due.is_empty()
            && self
                .apps
                .values()
                .all(|app| app.busy.is_none() && (app.is_ready() || app.is_stuck() || waits_for_stuck(app)))
    }

    /// What stays of an environment that goes, once all else is gone.
    pub fn left(&self, world: &dyn World) -> Option<Vec<String>> {
        (self.leaving && world.inventory_listed() == Listing::Done).then(|| self.pruner.left()).flatten()
    }

    /// Whether git was heard, or what is remembered stands for it.
    pub fn knows_apps(&self) -> bool {
        self.knows_git || self.leaving
    }
}

/// Lets an app decide. A panic is its own refusal.
fn guard<T>(app: &mut App, decide: impl FnOnce(&mut App) -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(|| decide(app))) {
        Ok(decided) => Some(decided),
        Err(panic) => {
            let why = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            app.panicked(why.unwrap_or_else(|| "no message".to_owned()));
            None
        }
    }
}
