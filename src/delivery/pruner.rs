//! What becomes of the objects that git no longer wants: where it stands for each app's name, and what is to be done next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::action::{Action, Event, UNPRUNED, later};
use super::app::Again;
use super::fact::{Fact, What};
use super::ticket::{Owner, Ticket, Tickets};
use super::world::World;
use super::{Says, prune_status};
use crate::api::{PruneBudget, PruneStatus, names};
use crate::object::{AppName, EnvironmentName, Live, ObjectKey};
use crate::plan::{
    Approval, Budget, CheckedPrune, Claim, Claims, Doomed, Inventory, Known, Marks, PruneOutcome, PrunePlan,
    PruneRefusal, PruneView, RefusalKind, SkipReason, WantedApp, applyset_id, prune,
};
use crate::policy::Grants;

/// An object that was deleted and is still there after this long is told about, with what holds it.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// What the platform and people say about deleting.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneTerms {
    pub environment: EnvironmentName,
    pub grants: Option<Grants>,
    pub approval: Approval,
    /// Why nothing may be deleted now, although the apps are known: what they were read from is in doubt.
    pub hold: Option<String>,
}

/// The deletes of an environment. Knows nothing until a configuration was read.
#[derive(Debug, Default)]
pub struct Pruner {
    terms: Option<PruneTerms>,
    claims: Option<Claims>,
    wanted: Inventory,
    /// Some app's files are wrong, so that `wanted` is not all.
    unrendered: bool,
    budget: PruneBudget,
    pub(super) seen: Option<PrunePlan>,
    pub(super) runs: BTreeMap<Box<str>, Run>,
    told: Option<String>,
    facts: Vec<Fact>,
}

/// The deletes of one app's name.
#[derive(Debug)]
pub(super) enum Run {
    /// Asked about.
    Asking {
        ticket: Ticket,
        stopping: bool,
        attempts: u32,
    },
    /// A wave is being deleted.
    Deleting {
        ticket: Ticket,
        stopping: bool,
        prune: Arc<CheckedPrune>,
        wave: usize,
        attempts: u32,
    },
    /// A wave was deleted and is not gone yet.
    Leaving {
        prune: Arc<CheckedPrune>,
        wave: usize,
        since: Timestamp,
        asked: Option<Ticket>,
        held: Option<String>,
    },
    Refused {
        message: String,
        again: Again,
    },
}

/// What the pruner is told when it decides.
pub struct PruneWorld<'a> {
    pub world: &'a dyn World,
    /// What is remembered of an object.
    pub known: &'a dyn Fn(&Live) -> Known,
    /// Whether an app runs what git says and has nothing under way.
    pub ready: &'a dyn Fn(&AppName) -> bool,
    pub suspended: bool,
    pub now: Timestamp,
}

impl Pruner {
    /// Takes what a revision says. Deletes that are under way are stopped between two requests: what they delete may be
    /// wanted again.
    pub fn set(&mut self, says: &Says) {
        let claims: Vec<Claim> = says
            .apps
            .iter()
            .map(|(spec, wanted)| Claim {
                app: spec.name.clone(),
                wanted: wanted.as_ref().ok().cloned(),
                depends_on: spec.depends_on.clone(),
            })
            .collect();
        self.wanted = Inventory::default();
        claims.iter().filter_map(|claim| claim.wanted.as_ref()).for_each(|app| self.wanted.add_wanted(app));
        self.unrendered = claims.iter().any(|claim| claim.wanted.is_none());
        self.claims = Some(Claims::new(&claims));
        self.budget = says.rollout.prune;
        self.seen = None;
        self.forget_runs();
    }

    /// Takes what is remembered of an app while nobody knows what git says: nothing is deleted for it.
    pub fn expect(&mut self, app: &WantedApp) {
        self.wanted.add_wanted(app);
    }

    /// Takes that the environment itself goes: nothing is wanted any more.
    pub fn leave(&mut self, depends_on: impl IntoIterator<Item = (AppName, Vec<AppName>)>) {
        self.wanted = Inventory::default();
        self.unrendered = false;
        self.claims = Some(Claims::leaving(depends_on));
        self.seen = None;
        self.forget_runs();
    }

    /// What stays, once there is nothing more to delete.
    pub fn left(&self) -> Option<Vec<String>> {
        let plan = self.seen.as_ref()?;
        let going = plan.kept.iter().any(|kept| kept.why == SkipReason::BeingDeleted);
        let done = plan.is_empty() && !going && self.runs.is_empty();
        done.then(|| plan.kept.iter().map(|kept| format!("{} ({})", kept.key, kept.why)).collect())
    }

    /// Says under which terms is deleted; without, nothing is.
    pub fn allow(&mut self, terms: PruneTerms) {
        if self.terms.as_ref() != Some(&terms) {
            if terms.hold.is_some() {
                self.forget_runs();
            }
            self.terms = Some(terms);
        }
    }

    fn forget_runs(&mut self) {
        self.stop();
        self.runs.retain(|_, run| matches!(run, Run::Asking { .. } | Run::Deleting { .. }));
    }

    /// Ends what is under way as soon as it can.
    pub fn stop(&mut self) {
        for run in self.runs.values_mut() {
            if let Run::Asking { stopping, .. } | Run::Deleting { stopping, .. } = run {
                *stopping = true;
            }
        }
    }

    /// Whether an action is still wanted.
    pub fn awaits(&self, ticket: &Ticket) -> bool {
        self.runs.values().any(|run| match run {
            Run::Asking { ticket: known, stopping, .. } | Run::Deleting { ticket: known, stopping, .. } => {
                known == ticket && !stopping
            }
            Run::Leaving { asked, .. } => asked.as_ref() == Some(ticket),
            Run::Refused { .. } => false,
        })
    }

    /// Whether any app wants an object; nobody knows before a configuration was read.
    pub fn wants(&self, key: &ObjectKey) -> Option<bool> {
        self.claims.as_ref().filter(|_| !self.unrendered).map(|claims| claims.wants(key))
    }

    /// The kinds and namespaces of what is wanted.
    pub fn wanted(&self) -> &Inventory {
        &self.wanted
    }

    /// The kinds and namespaces where something is or will be; `None` while that is not known for sure.
    pub fn needed(&self, world: &dyn World) -> Option<Inventory> {
        self.terms.as_ref().filter(|terms| terms.hold.is_none())?;
        if self.unrendered || self.claims.is_none() {
            return None;
        }
        let mut needed = self.wanted.clone();
        needed.extend(&world.places());
        Some(needed)
    }

    /// The tokens of an approved set that are still to be deleted, for the parent to remember; `None` while nobody looked.
    pub fn approved(&self) -> Option<BTreeSet<Box<str>>> {
        let plan = self.seen.as_ref()?;
        Some(match plan.is_approved() {
            true => plan.doomed.iter().map(Doomed::token).collect(),
            false => BTreeSet::new(),
        })
    }

    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// Looks at what git no longer wants.
    pub fn look(&self, world: &PruneWorld) -> Option<PrunePlan> {
        let (terms, claims) = (self.terms.as_ref()?, self.claims.as_ref()?);
        let environment = terms.environment.as_str();
        let (strays, total) = world.world.strays(claims.keys());
        let part_of = applyset_id(environment, "Environment", names::GROUP);
        let view = PruneView {
            marks: Marks {
                app_label: names::APP_LABEL,
                environment_label: names::ENVIRONMENT_LABEL,
                environment,
                part_of_label: names::APPLYSET_PART_OF,
                part_of: &part_of,
            },
            claims,
            total,
            budget: Budget { max: self.budget.max, percent: self.budget.percent },
            approval: &terms.approval,
            known: world.known,
            granted: &|live| terms.grants.as_ref().is_none_or(|grants| grants.cover(&live.key, &live.gvk)),
            ready: world.ready,
        };
        Some(prune(&view, &strays))
    }

    /// What to begin now, and when to ask again if nothing happens before.
    ///
    /// It is called after the apps were asked, and only where every kind of the inventory was listed.
    pub(super) fn decide(
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
        let (mut begin, mut again) = self.follow_leaving(view, held, tickets);
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
            if self.is_remembered(due.app(), view.world) {
                continue; // That git does not name it any more is remembered first: it must not be made anew.
            }
            let ticket = tickets.next(Owner::Prune(due.app().into()));
            let run = Run::Asking { ticket: ticket.clone(), stopping: false, attempts };
            self.runs.insert(due.app().into(), run);
            begin.push((ticket, Action::AskPrune(due.clone())));
        }
        (begin, again)
    }

    /// Whether something is remembered of an app that git does not name.
    fn is_remembered(&self, app: &str, world: &dyn World) -> bool {
        let Some(claims) = self.claims.as_ref().filter(|claims| !claims.is_leaving()) else { return false };
        let Ok(name) = AppName::new(app) else { return false };
        !claims.names(&name) && world.memory().is_some_and(|memory| memory.apps.contains_key(&name))
    }

    /// Takes what came of an action. An answer to anything but what is under way is nothing.
    pub(super) fn answered(
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
                    Event::PruneAsked(Ok(prune)) if prune.waves().is_empty() => None,
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
            .take(prune_status::SHOWN)
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
        let halt = prune_status::halt_message(plan);
        if let Some(why) = &halt
            && halt != self.told
        {
            let objects = plan.doomed.iter().map(|object| object.live.key.clone()).collect();
            let what = What::PruneHalted { why: why.clone(), objects };
            self.facts.push(Fact { app: None, what });
        }
        self.told = halt;
    }

    pub fn status(&self) -> Option<PruneStatus> {
        let hold = self.terms.as_ref().and_then(|terms| terms.hold.clone());
        prune_status::status(self.seen.as_ref()?, &self.runs, hold)
    }
}

/// Whether the object that was deleted is still there: another that bears its name is not it.
fn is_there(world: &dyn World, gone: &Live) -> bool {
    world.live(&gone.key).is_some_and(|live| live.uid == gone.uid)
}
