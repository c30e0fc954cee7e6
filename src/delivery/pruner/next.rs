//! What is to be deleted next, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{PruneWorld, Pruner, Run, status};
use crate::delivery::action::{Action, Again, Event, UNPRUNED, later};
use crate::delivery::fact::{Fact, What};
use crate::delivery::ticket::{Owner, Ticket, Tickets};
use crate::delivery::world::World;
use crate::drift::HandsOff;
use crate::object::{AppName, Live, ObjectKey};
use crate::plan::{CheckedPrune, Doomed, PruneOutcome, PrunePlan, PruneRefusal, RefusalKind};

/// An object that was deleted and is still there after this long is told about, with what holds it.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(30);

impl Pruner {
    /// What to begin now, and when to ask again if nothing happens before.
    ///
    /// It is called after the apps were asked, and only where every kind of the inventory was listed.
    pub(in crate::delivery) fn decide(
        &mut self,
        view: &PruneWorld,
        tickets: &mut Tickets,
    ) -> (Vec<(Ticket, Action)>, Option<Timestamp>) {
        let Some(plan) = self.look(view) else { return (Vec::new(), None) };
        self.tell_halt(&plan);
        let held = view.suspended || self.terms.as_ref().is_none_or(|terms| terms.hold.is_some());
        if held {
            self.stop();
        }
        self.held = self.held_by_people(view, &plan);
        let ends = self.held.values().map(|hold| hold.until).min();
        let (mut begin, again) = self.follow_leaving(view, held, tickets);
        let mut again = [again, ends].into_iter().flatten().min();
        // What a delete was refused for is over when there is nothing to delete any more.
        self.runs.retain(|app, run| match run {
            Run::Refused { .. } => plan.due().iter().any(|due| due.app() == &**app),
            _ => true,
        });
        // What was approved is written down before the first of it goes, so that a restart can go on with the rest.
        let written_down = !plan.is_approved()
            || self.terms.as_ref().is_some_and(|terms| {
                plan.doomed.iter().all(|object| terms.approval.tokens.contains(&object.token()))
            });
        if !held && written_down {
            let (asks, later) = self.ask(view, &plan, tickets);
            begin.extend(asks);
            again = [again, later].into_iter().flatten().min();
        }
        self.seen = Some(plan);
        (begin, again)
    }

    /// Goes on with what was deleted: the next wave once one is gone, and a question what holds it where it stays.
    fn follow_leaving(
        &mut self,
        view: &PruneWorld,
        held: bool,
        tickets: &mut Tickets,
    ) -> (Vec<(Ticket, Action)>, Option<Timestamp>) {
        let (mut begin, mut again, mut gone) = (Vec::new(), None, Vec::new());
        for (app, run) in &mut self.runs {
            let held = held || self.held.contains_key(app);
            let Run::Leaving { prune, wave, since, asked, .. } = run else { continue };
            let all = prune.waves().get(*wave).map_or(&[][..], Vec::as_slice);
            let left: Vec<Doomed> =
                all.iter().filter(|object| is_there(view.world, &object.live)).cloned().collect();
            if left.is_empty() {
                if *wave + 1 >= prune.waves().len() {
                    gone.push(app.clone());
                } else if !held {
                    let (prune, wave, ticket) =
                        (prune.clone(), *wave + 1, tickets.next(Owner::Prune(app.clone())));
                    *run = Run::Deleting {
                        ticket: ticket.clone(),
                        stopping: false,
                        prune: prune.clone(),
                        wave,
                        attempts: 0,
                    };
                    begin.push((ticket, Action::Prune { prune, wave }));
                }
            } else if asked.is_none() && view.now >= later(*since, STUCK_AFTER) {
                let ticket = tickets.next(Owner::Prune(app.clone()));
                *asked = Some(ticket.clone());
                begin.push((ticket, Action::Finalizers(left)));
            } else if asked.is_none() {
                again = [again, Some(later(*since, STUCK_AFTER))].into_iter().flatten().min();
            }
        }
        gone.iter().for_each(|app| drop(self.runs.remove(app)));
        (begin, again)
    }

    /// Asks the server about what may be deleted now.
    fn ask(
        &mut self,
        view: &PruneWorld,
        plan: &PrunePlan,
        tickets: &mut Tickets,
    ) -> (Vec<(Ticket, Action)>, Option<Timestamp>) {
        let (mut begin, mut again) = (Vec::new(), None);
        for due in plan.due() {
            let attempts = match self.runs.get(due.app()) {
                None => 0,
                Some(Run::Refused { again, .. }) if again.is_due(view.now) => again.attempts,
                Some(Run::Refused { again: refused, .. }) => {
                    again = [again, refused.at].into_iter().flatten().min();
                    continue;
                }
                Some(_) => continue,
            };
            if self.held.contains_key(due.app()) {
                continue;
            }
            if AppName::new(due.app()).is_ok_and(|app| !(view.saved)(&app)) {
                continue; // What goes must not be made anew by a process that remembers what ran before.
            }
            let ticket = tickets.next(Owner::Prune(due.app().into()));
            let run = Run::Asking { ticket: ticket.clone(), stopping: false, attempts };
            self.runs.insert(due.app().into(), run);
            begin.push((ticket, Action::AskPrune(due.clone())));
        }
        (begin, again)
    }

    /// Whose deletes wait because a person asked that commits do.
    fn held_by_people(&self, view: &PruneWorld, plan: &PrunePlan) -> BTreeMap<Box<str>, HandsOff> {
        let due = plan.due();
        let names = due.iter().map(|due| due.app()).chain(self.runs.keys().map(|app| &**app));
        let words = |name: &str| Some((name.into(), (view.hold)(&AppName::new(name).ok()?)?.clone()));
        names.filter_map(words).collect()
    }

    /// Whether a person has to be asked first, by what was seen last.
    fn is_halted(&self) -> bool {
        self.seen.as_ref().is_some_and(|plan| !plan.halts.is_empty())
    }

    /// Takes what came of an action. An answer to anything but what is under way is nothing.
    pub(in crate::delivery) fn answered(
        &mut self,
        ticket: &Ticket,
        event: Event,
        tickets: &mut Tickets,
        now: Timestamp,
    ) -> Option<(Ticket, Action)> {
        let Owner::Prune(app) = &ticket.of else { return None };
        match self.runs.get_mut(app)? {
            Run::Asking { ticket: known, stopping, attempts } if known == ticket => {
                let (stopping, attempts) = (*stopping, *attempts);
                self.runs.remove(app);
                match event {
                    _ if stopping => None, // What was asked about may be wanted again.
                    // What was within the budget when it was asked about may not be any more.
                    Event::PruneAsked(Ok(_)) if self.is_halted() => None,
                    Event::PruneAsked(Ok(prune)) if prune.waves().is_empty() => {
                        // Somebody deleted it, and the watch does not say so yet: it is no use to ask at once again.
                        self.put_off(app, "what is to be deleted is gone already".to_owned(), attempts, now);
                        None
                    }
                    Event::PruneAsked(Ok(prune)) => {
                        let (prune, ticket) = (Arc::new(prune), tickets.next(Owner::Prune(app.clone())));
                        self.runs.insert(
                            app.clone(),
                            Run::Deleting {
                                ticket: ticket.clone(),
                                stopping: false,
                                prune: prune.clone(),
                                wave: 0,
                                attempts,
                            },
                        );
                        Some((ticket, Action::Prune { prune, wave: 0 }))
                    }
                    Event::PruneAsked(Err(refusals)) => {
                        self.refuse(app, &refusals, attempts, now);
                        None
                    }
                    Event::Failed(failure) => {
                        self.put_off(app, failure.why().to_owned(), attempts, now);
                        None
                    }
                    _ => None,
                }
            }
            Run::Deleting { ticket: known, stopping, prune, wave, attempts } if known == ticket => {
                let (stopping, prune, wave, attempts) = (*stopping, prune.clone(), *wave, *attempts);
                self.runs.remove(app);
                match event {
                    Event::Pruned(outcome) => {
                        self.deleted(app, (prune, wave), &outcome, (stopping, attempts), now)
                    }
                    Event::Failed(failure) => self.put_off(app, failure.why().to_owned(), attempts, now),
                    _ => {}
                }
                None
            }
            Run::Leaving { asked, .. } if asked.as_ref() == Some(ticket) => {
                if let Event::Finalizers(found) = event {
                    self.held_by(app, &found);
                }
                None
            }
            _ => None,
        }
    }

    fn deleted(
        &mut self,
        app: &str,
        (prune, wave): (Arc<CheckedPrune>, usize),
        outcome: &PruneOutcome,
        (stopping, attempts): (bool, u32),
        now: Timestamp,
    ) {
        if !outcome.deleted.is_empty() {
            self.tell(app, |of| What::Pruned { of, objects: outcome.deleted.clone() });
        }
        if !outcome.refused.is_empty() {
            // What was deleted before it is progress.
            let attempts = if outcome.deleted.is_empty() { attempts } else { 0 };
            self.refuse(app, &outcome.refused, attempts, now);
        } else if !outcome.stopped && !stopping {
            self.runs.insert(app.into(), Run::Leaving { prune, wave, since: now, asked: None, held: None });
        }
    }

    /// Takes what holds the objects that do not go.
    fn held_by(&mut self, app: &str, found: &[(ObjectKey, Vec<String>)]) {
        let words: Vec<String> = found
            .iter()
            .take(status::SHOWN)
            .map(|(key, names)| match names.is_empty() {
                true => format!("{key} is not gone yet"),
                false => format!("{key} waits for its finalizers {}", names.join(", ")),
            })
            .collect();
        if words.is_empty() {
            return;
        }
        let why = words.join("; ");
        if let Some(Run::Leaving { held, .. }) = self.runs.get_mut(app) {
            *held = Some(why.clone());
            self.tell(app, |of| What::PruneStuck { of, why });
        }
    }

    fn refuse(&mut self, app: &str, refusals: &[PruneRefusal], attempts: u32, now: Timestamp) {
        let message = refusals.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        // An object that changes while it is looked at is looked at again; that is nobody's failure.
        if refusals.iter().any(|refusal| refusal.kind != RefusalKind::Conflict) {
            self.tell(app, |of| What::PruneRefused { of, why: message.clone() });
        }
        self.put_off(app, message, attempts, now);
    }

    fn put_off(&mut self, app: &str, message: String, attempts: u32, now: Timestamp) {
        let again = Again { at: None, attempts }.after(UNPRUNED, now);
        self.runs.insert(app.into(), Run::Refused { message, again });
    }

    fn tell(&mut self, app: &str, what: impl FnOnce(String) -> What) {
        self.facts.push(Fact { app: AppName::new(app).ok(), what: what(app.to_owned()) });
    }

    fn tell_halt(&mut self, plan: &PrunePlan) {
        let halt = status::halt_message(plan);
        if let Some(why) = &halt
            && halt != self.told
        {
            let objects = plan.doomed.iter().map(|object| object.live.key.clone()).collect();
            let what = What::PruneHalted { why: why.clone(), objects };
            self.facts.push(Fact { app: None, what });
        }
        self.told = halt;
    }
}

/// Whether the object that was deleted is still there: another that bears its name is not it.
fn is_there(world: &dyn World, gone: &Live) -> bool {
    world.live(&gone.key).is_some_and(|live| live.uid == gone.uid)
}
