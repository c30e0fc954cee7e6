//! What is to be remembered, until it is: collected from the apps, saved together, one batch at a time.
//!
//! An app whose changes are being saved decides nothing until they are, so that what it writes down before its next write
//! is never overtaken by something older.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::action::{Action, Again, Failure, UNSAVED};
use super::app::App;
use super::apps::Apps;
use super::fact::{Fact, What};
use super::ticket::{Owner, Ticket, Tickets};
use crate::object::{AppName, Digest};
use crate::state::{Change, Memory};

#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Of no app: which apps there are, that all are well.
    own: Vec<Change>,
    under_way: Option<Batch>,
    again: Again,
    /// Why the last batch could not be saved, as it was told.
    told: Option<String>,
}

#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    changes: Vec<(Option<AppName>, Change)>,
    apps: BTreeSet<AppName>,
}

impl Saving {
    pub fn push(&mut self, change: Change) {
        // Which apps there are is said by the newest word alone: an older one would forget an app that came back.
        if let Change::Apps(_) | Change::Drift(_) = change {
            let kind = std::mem::discriminant(&change);
            self.own.retain(|known| std::mem::discriminant(known) != kind);
        }
        self.own.push(change);
    }

    /// Whether it waits to be saved which apps there are, or is being saved.
    pub fn names_apps(&self) -> bool {
        let under_way = self.under_way.iter().flat_map(|batch| &batch.changes).map(|(_, change)| change);
        self.own.iter().chain(under_way).any(|change| matches!(change, Change::Apps(_)))
    }

    /// Whether other rules about what others change wait to be saved, or are being saved.
    pub fn changes_drift(&self) -> bool {
        let under_way = self.under_way.iter().flat_map(|batch| &batch.changes).map(|(_, change)| change);
        self.own.iter().chain(under_way).any(|change| matches!(change, Change::Drift(_)))
    }

    /// Whether it is being saved that git does not name an app.
    pub fn forgets(&self, app: &AppName) -> bool {
        let under_way = self.under_way.iter().flat_map(|batch| &batch.changes);
        under_way.into_iter().any(|(_, change)| matches!(change, Change::Apps(apps) if !apps.contains(app)))
    }

    /// Whether changes of an app are being saved.
    pub fn holds(&self, app: &AppName) -> bool {
        self.under_way.as_ref().is_some_and(|batch| batch.apps.contains(app))
    }

    pub fn awaits(&self, ticket: &Ticket) -> bool {
        self.under_way.as_ref().is_some_and(|batch| batch.ticket == *ticket)
    }

    /// Whether everything was saved.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.under_way.is_none()
    }

    /// The next batch, where there is any and none is under way; or when that is tried again.
    pub fn begin(
        &mut self,
        apps: &mut Apps,
        tickets: &mut Tickets,
        now: Timestamp,
    ) -> Result<(Ticket, Action), Option<Timestamp>> {
        let waits = !self.own.is_empty() || !apps.waiting().is_empty();
        if self.under_way.is_some() || !waits {
            return Err(None);
        }
        if !self.again.is_due(now) {
            return Err(self.again.at);
        }
        let mut changes: Vec<_> =
            std::mem::take(&mut self.own).into_iter().map(|change| (None, change)).collect();
        let mut of = BTreeSet::new();
        // A write that is under way writes down where its app goes by itself.
        for name in apps.waiting().clone() {
            let Some(app) = apps.get_mut(&name).filter(|app| app.busy.is_none()) else { continue };
            let taken = std::mem::take(&mut app.log.changes);
            changes.extend(taken.into_iter().map(|change| (Some(name.clone()), change)));
            of.insert(name);
        }
        if changes.is_empty() {
            return Err(None);
        }
        let ticket = tickets.next(Owner::Memory);
        let action = Action::Remember(changes.iter().map(|(_, change)| change.clone()).collect());
        self.under_way = Some(Batch { ticket: ticket.clone(), changes, apps: of });
        Ok((ticket, action))
    }

    /// Takes that the batch was saved, or why not. Gives the digests with which every app was well, where that was saved.
    pub fn ended(
        &mut self,
        result: Result<(), Failure>,
        (apps, memory): (&mut Apps, Option<&Memory>),
        facts: &mut Vec<Fact>,
        now: Timestamp,
    ) -> BTreeSet<AppName> {
        let Some(Batch { changes, apps: of, .. }) = self.under_way.take() else { return BTreeSet::new() };
        match result {
            Ok(()) => {
                (self.again, self.told) = (Again::default(), None);
                for (_, change) in &changes {
                    if let Change::AllGood(digests) = change {
                        all_well(apps, memory, digests);
                    }
                }
            }
            Err(failure) => {
                let why = failure.why().to_owned();
                if self.told.as_ref() != Some(&why) {
                    facts.push(Fact { app: None, what: What::NotRemembered { why: why.clone() } });
                    self.told = Some(why);
                }
                self.again = self.again.after(UNSAVED, now);
                self.put_back(changes, apps);
            }
        }
        of
    }

    fn put_back(&mut self, changes: Vec<(Option<AppName>, Change)>, apps: &mut Apps) {
        let mut own = Vec::new();
        for (app, change) in changes.into_iter().rev() {
            match app.and_then(|name| apps.get_mut(&name)) {
                Some(app) => app.put_back(change),
                // Something newer says it by now.
                None if matches!(change, Change::Apps(_)) && self.names_apps() => {}
                None if matches!(change, Change::Drift(_)) && self.changes_drift() => {}
                None => own.push(change),
            }
        }
        own.reverse();
        own.append(&mut self.own);
        self.own = own;
    }
}

/// Takes with what every app was well: what is remembered, where anything is. That an app ran something else by the time it
/// was saved leaves it as it was, and what is not stored cannot be put back.
fn all_well(apps: &mut Apps, memory: Option<&Memory>, digests: &BTreeMap<AppName, Digest>) {
    for (name, digest) in digests {
        let Some(app) = apps.get_mut(name) else { continue };
        app.runs.with_all = match memory {
            Some(memory) => {
                let known = memory.apps.get(name).and_then(|known| known.with_all.as_ref());
                known.map(|good| good.digest.clone())
            }
            None => Some(digest.clone()),
        };
    }
}

/// Records that wait to be saved, while they cannot be.
const WAITING: usize = 100;

impl App {
    pub(super) fn has_changes(&self) -> bool {
        !self.log.changes.is_empty()
    }

    /// Whether all that is to be remembered of it is, and nothing of that is with an action.
    pub(super) fn is_saved(&self) -> bool {
        !self.has_changes() && self.busy.as_ref().is_none_or(|busy| busy.remembers.is_empty())
    }

    /// Takes back a change that could not be saved, before what came since; unless something newer says it better.
    pub(super) fn put_back(&mut self, change: Change) {
        let known = &mut self.log.changes;
        let newer = match &change {
            Change::Quarantine { .. } => known.iter().any(|known| matches!(known, Change::Quarantine { .. })),
            Change::Good { .. } => known.iter().any(|known| matches!(known, Change::Good { .. })),
            Change::Ended(_) => known.len() >= WAITING,
            _ => false,
        };
        if !newer {
            known.insert(0, change);
        }
    }
}
