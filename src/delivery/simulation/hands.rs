//! Does to the model what the hands of an agent do to the world: request by request, each of which may fail, or be done
//! while nobody hears of it.

mod find;
mod hook;
mod prove;
mod prune;
mod save;
mod write;

use std::sync::Arc;

use super::chance::{Chance, Luck, Millis};
use super::checks::Checks;
use super::content::{Field, Taken};
use super::git::Git;
use super::server::Server;
use super::store::Store;
use super::view::View;
use crate::delivery::{Action, Event, Failure, Owner, Ticket};
use crate::drift::{Drifted, DriftedField};
use crate::health::Health;
use crate::object::field_path::FieldPath;
use crate::object::{FieldHolder, Live, ObjectKey};
use crate::plan::Wanted;
use crate::state::Change;
use save::Save;

/// What hands reach.
pub struct Reach<'a> {
    pub chance: &'a mut Chance,
    pub server: &'a mut Server,
    pub store: &'a mut Store,
    pub git: &'a Git,
    pub checks: &'a mut Checks,
    pub view: &'a mut View,
    /// The uids of what was written, which go with what is saved next.
    pub notes: &'a mut Vec<(ObjectKey, Box<str>)>,
}

/// How far something is.
pub enum Progress {
    Until(Millis),
    Ended(Event),
}

/// Something that is under way.
pub struct Task {
    pub ticket: Ticket,
    /// What it does.
    pub name: &'static str,
    pub at: Millis,
    work: Box<dyn Work>,
}

trait Work {
    /// Goes on; `awaited` says whether it is still wanted.
    fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Progress;

    /// Lets a request that was sent arrive, although nobody waits for its answer any more.
    fn arrive(&mut self, _reach: &mut Reach) {}
}

impl Task {
    pub fn begin(ticket: Ticket, action: Action, gone: Option<Change>, reach: &mut Reach) -> Self {
        let app = match &ticket.of {
            Owner::App(app, _) => Some(app.clone()),
            Owner::Prune(_) | Owner::Memory => None,
        };
        let name = action.name();
        let work: Box<dyn Work> = match action {
            Action::Prove { plan, before, consent: _, hooks: _ } => Box::new(prove::Prove::new(plan, before)),
            Action::Write { plan, wave, remember } => {
                Box::new(write::Write::new(plan, wave, remember, ticket.clone(), reach))
            }
            Action::Hook { work, hooks, quarantine, remember } => {
                let app = app.expect("a hook is of an app");
                Box::new(hook::HookHand::new((ticket.clone(), app), work, (hooks, quarantine), remember))
            }
            // Nobody adds anything here.
            Action::Inspect { objects, extras: _ } => Box::new(Read::new(
                move |reach| {
                    let seen = objects.iter().map(|(wanted, fields)| look_at(reach, wanted, fields));
                    Event::Inspected { seen: seen.collect(), extras: Vec::new() }
                },
                false,
            )),
            Action::Recall { digest } => {
                let app = app.expect("what is recalled is of an app");
                Box::new(Read::new(move |reach| Event::Recalled(reach.store.good(&app, &digest)), true))
            }
            Action::Find { want, remember } => {
                Box::new(find::Find::new(app.expect("who asks asks of an app"), *want, remember))
            }
            Action::Look { wanted, limits, .. } => Box::new(Read::new(
                move |reach| {
                    let look = |object: &Arc<Wanted>| {
                        let found = look(reach, object, limits.restarts);
                        (object.key.clone(), found)
                    };
                    Event::Looked(wanted.iter().map(look).collect())
                },
                false,
            )),
            Action::Reasons { wanted, .. } => {
                Box::new(Read::new(move |reach| Event::Reasons(reasons(reach, &wanted)), false))
            }
            Action::Remember(mut changes) => {
                changes.extend(gone);
                Box::new(Remember(Save::new(changes)))
            }
            Action::AskPrune(due) => Box::new(prune::Ask::new(due)),
            Action::Prune { prune, wave } => Box::new(prune::Delete::new(&prune, wave)),
            Action::Finalizers(doomed) => Box::new(Read::new(
                move |reach| {
                    let keys = doomed.iter().map(|object| &object.live.key);
                    let left = keys.filter(|key| reach.server.objects.contains_key(key));
                    let held = |key: &ObjectKey| (key.clone(), vec!["foregroundDeletion".to_owned()]);
                    Event::Finalizers(left.map(held).collect())
                },
                false,
            )),
        };
        let at = reach.chance.now;
        Self { ticket, name, at, work }
    }

    pub fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Option<Event> {
        match self.work.go_on(reach, awaited) {
            Progress::Until(at) => {
                self.at = at;
                None
            }
            Progress::Ended(event) => Some(event),
        }
    }

    /// The process that did it is dead, and what it sent arrives all the same.
    pub fn arrive(&mut self, reach: &mut Reach) {
        self.work.arrive(reach);
    }
}

/// What is seen of fields that others changed; what cannot be looked at is told by its fields alone.
fn look_at(reach: &Reach, wanted: &Wanted, fields: &[FieldPath]) -> Drifted {
    let key = wanted.key.clone();
    let Some(found) = reach.server.objects.get(&key).filter(|_| !fields.is_empty()) else {
        return Drifted::gone(key);
    };
    let field = |path: &FieldPath| {
        let set = Field::at(path).and_then(|field| found.setter(field));
        let by = set.map(|(manager, _)| FieldHolder {
            manager: manager.to_owned(),
            operation: "Update".to_owned(),
            subresource: String::new(),
            time: None,
        });
        let live = set.map(|(_, value)| value.into());
        DriftedField {
            path: path.clone(),
            desired: None,
            live,
            by: by.into_iter().collect(),
            rule: None,
            is_extra: false,
        }
    };
    let (uid, fields) = (Some(found.live.uid.clone()), fields.iter().map(field).collect());
    Drifted { key, uid, version: None, fields }
}

/// What of an object is not sent.
fn withheld(paths: &[FieldPath]) -> Taken {
    let mut withheld = Taken::default();
    paths.iter().filter_map(Field::at).for_each(|field| withheld.set(field, true));
    withheld
}

fn look(reach: &Reach, object: &Wanted, restarts: i64) -> Option<Health> {
    let live = reach.server.objects.get(&object.key)?;
    live.pods.as_ref()?.known_failure(restarts, reach.chance.now)
}

/// What the pods say, which are those that run now.
fn reasons(reach: &Reach, wanted: &[Arc<Wanted>]) -> Vec<String> {
    let pods = wanted.iter().filter_map(|object| reach.server.objects.get(&object.key)?.pods.as_ref());
    pods.map(|pods| pods.words().to_owned()).collect()
}

/// One question.
struct Read<F> {
    ask: F,
    sent: bool,
    /// Whether it is of what is remembered.
    of_memory: bool,
}

impl<F: FnMut(&mut Reach) -> Event> Read<F> {
    fn new(ask: F, of_memory: bool) -> Self {
        Self { ask, sent: false, of_memory }
    }
}

impl<F: FnMut(&mut Reach) -> Event> Work for Read<F> {
    fn go_on(&mut self, reach: &mut Reach, _awaited: bool) -> Progress {
        if !std::mem::replace(&mut self.sent, true) {
            return Progress::Until(reach.chance.way());
        }
        let unread = self.of_memory && reach.chance.is(super::chance::Storm::Unread);
        if unread || reach.chance.luck() != Luck::Good {
            return Progress::Ended(Event::Failed(unreachable()));
        }
        Progress::Ended((self.ask)(reach))
    }
}

struct Remember(Save);

impl Work for Remember {
    fn go_on(&mut self, reach: &mut Reach, _awaited: bool) -> Progress {
        match self.0.go_on(reach) {
            Err(at) => Progress::Until(at),
            Ok(Ok(())) => Progress::Ended(Event::Remembered),
            Ok(Err(failure)) => Progress::Ended(Event::Failed(failure)),
        }
    }

    fn arrive(&mut self, reach: &mut Reach) {
        self.0.arrive(reach);
    }
}

fn unreachable() -> Failure {
    Failure::Passing("the API server cannot be reached".to_owned())
}

/// Takes down what was written.
fn note(reach: &mut Reach, live: &Arc<Live>) {
    reach.view.note_write(live);
    reach.notes.push((live.key.clone(), live.uid.clone()));
}
