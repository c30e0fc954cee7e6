//! What has to hold at every moment of a story.

mod blame;
mod drift;
mod facts;
mod moments;

use std::collections::{BTreeMap, BTreeSet};

use super::chance::Millis;
use super::content::{APPS, Ending, app_name, app_of, ending_of, wanted};
use super::git::{Git, Word};
use super::server::Server;
use super::view::View;
use crate::delivery::{Delivery, Event, Listing, Owner, Says, Ticket};
use crate::object::{AppName, Digest, ObjectKey};
use crate::plan::{Doomed, Hook};
use crate::state::{Hooks, Memory};
use blame::Blame;
use drift::Theirs;

/// A write of something older may begin so long after something newer was seen.
const OVERTAKEN: Millis = 5000;

/// What an action was begun from.
struct Basis {
    says: Option<Digest>,
    /// It puts back what ran before.
    is_back: bool,
    /// How often its app had left git by then.
    life: u32,
    /// Its app ran what git says, and nothing of it was under way.
    is_rest: bool,
}

#[derive(Default)]
pub struct Checks {
    /// The first thing that was wrong.
    pub fault: Option<String>,
    heard: Heard,
    begun: Begun,
    /// What was deleted because it left git, which has not named it since.
    deleted: BTreeSet<ObjectKey>,
    /// The Jobs that were made, by what they do.
    jobs: BTreeMap<(AppName, ObjectKey, Digest), Ending>,
    /// Restores that were begun and have not ended.
    pub restoring: BTreeMap<AppName, Digest>,
    pub blame: Blame,
    /// What passed its gates, by what was told or is remembered.
    proven: BTreeSet<(AppName, Digest)>,
    pub approved: bool,
    /// What is others' to set.
    pub theirs: Theirs,
    /// What happens is printed.
    pub traced: bool,
    pub counted: Counted,
}

/// What the agent that lives was told.
#[derive(Default)]
struct Heard {
    /// What git said of each app, and since when.
    apps: BTreeMap<AppName, (Option<Digest>, Millis)>,
    /// The apps that could not be rendered.
    broken: BTreeSet<AppName>,
    wanted: BTreeSet<ObjectKey>,
    /// Of some app nobody knows what git wants.
    unrendered: bool,
    /// So much may be deleted, by git's last word.
    percent: u8,
    /// Since when nothing may be deleted, since git is in doubt.
    held: Option<Millis>,
    /// Since when the environment goes.
    leaving: Option<Millis>,
}

/// What was begun.
#[derive(Default)]
struct Begun {
    /// What git said of its app when an action was begun.
    basis: BTreeMap<Ticket, Basis>,
    /// How often each app has left git.
    lives: BTreeMap<AppName, u32>,
    /// The apps of which the agent that died last had something to be remembered.
    unsaved: BTreeSet<AppName>,
    /// The apps of which it is not known how a hook ended, since the answer was lost when that was remembered.
    doubts: BTreeSet<AppName>,
    /// By app, what was as it should be and was not seen to be well when its last rollout began.
    unwell: BTreeMap<AppName, BTreeSet<ObjectKey>>,
    /// The words to try again that were taken up.
    retried: BTreeSet<String>,
    /// The hooks of apps that left git and came back before they were forgotten, as they are remembered of their earlier
    /// life.
    former: BTreeMap<AppName, Hooks>,
}

/// What is counted for people who read how a run went.
#[derive(Debug, Default)]
pub struct Counted {
    /// How often an agent decided.
    pub decisions: u64,
    /// How many actions were begun.
    pub actions: u64,
    pub facts: BTreeMap<&'static str, u64>,
}

impl Checks {
    pub fn fail(&mut self, why: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(why);
    }

    /// A process dies, or has ended: what it was about to have remembered is lost.
    pub fn dies(&mut self, delivery: &Delivery) {
        let waits = |name: &&AppName| {
            let app = &delivery.apps[*name];
            app.has_changes() || app.busy.is_some() || delivery.saving.holds(name)
        };
        self.begun.unsaved = delivery.apps.keys().filter(waits).cloned().collect();
        self.theirs.records.dies();
    }

    /// A new process knows nothing but what was remembered.
    pub fn forget(&mut self, memory: &Memory) {
        let remembered =
            |app: &AppName| memory.apps.get(app).is_some_and(|known| known.quarantined.is_some());
        let unsaved = std::mem::take(&mut self.begun.unsaved);
        self.restoring.retain(|app, _| remembered(app) || !unsaved.contains(app));
        let answered = |word: &String| memory.apps.values().any(|app| app.retried.as_ref() == Some(word));
        if !unsaved.is_empty() {
            self.begun.retried.retain(answered);
        }
        self.heard = Heard::default();
        self.theirs.forget(memory);
        self.begun.basis.clear();
        self.begun.doubts.clear();
        self.begun.former.clear();
        let good = |(name, app): (&AppName, &std::sync::Arc<crate::state::AppMemory>)| {
            Some((name.clone(), app.last_good.as_ref()?.digest.clone()))
        };
        self.proven = memory.apps.iter().filter_map(good).collect();
    }

    pub fn pushed(&mut self, git: &Git) {
        for (app, word) in git.head().iter().flat_map(|head| &head.apps) {
            if let Word::Says(content) = word {
                let all = wanted(*app, *content);
                self.deleted.retain(|key| all.all().all(|object| object.key != *key));
            }
        }
    }

    /// Whether nothing may be deleted now, as it was told.
    pub fn holds(&mut self, hold: bool, now: Millis) {
        self.heard.held = hold.then(|| self.heard.held.unwrap_or(now));
    }

    /// The Environment itself goes.
    pub fn leaves(&mut self, now: Millis) {
        self.heard =
            Heard { leaving: Some(self.heard.leaving.unwrap_or(now)), percent: 100, ..Heard::default() };
        self.restoring.clear();
    }

    /// Git says something. What of an app is remembered that is being forgotten just now is of its earlier life.
    pub fn heard(&mut self, says: &Says, memory: &Memory, forgets: impl Fn(&AppName) -> bool, now: Millis) {
        if self.heard.leaving.is_some() {
            return;
        }
        let named: BTreeSet<&AppName> = says.apps.iter().map(|(spec, _)| &spec.name).collect();
        for (name, (digest, at)) in &mut self.heard.apps {
            if !named.contains(name) {
                if digest.take().is_some() {
                    *at = now;
                }
                *self.begun.lives.entry(name.clone()).or_default() += 1;
                self.theirs.leaves(name);
            }
        }
        self.restoring.retain(|app, _| named.contains(app));
        self.jobs.retain(|(app, ..), _| named.contains(app));
        self.proven.retain(|(app, _)| named.contains(app));
        self.blame.keep(&named);
        self.begun.former.retain(|app, _| named.contains(app));
        for name in named {
            if let Some(known) = memory.apps.get(name).filter(|_| forgets(name)) {
                self.begun.former.insert(name.clone(), known.hooks.clone());
            }
        }
        self.heard.wanted.clear();
        self.heard.broken.clear();
        self.heard.percent = says.rollout.prune.percent;
        self.heard.unrendered = says.apps.iter().any(|(_, said)| said.is_err());
        for (spec, said) in &says.apps {
            let Ok(wanted) = said else {
                self.heard.broken.insert(spec.name.clone());
                continue;
            };
            self.heard.wanted.extend(wanted.all().map(|object| object.key.clone()));
            // One that left git and came back may be remembered still.
            let is_first =
                !self.heard.apps.contains_key(&spec.name) || self.begun.lives.contains_key(&spec.name);
            let known = self.heard.apps.entry(spec.name.clone()).or_insert((None, now));
            if known.0.as_ref() != Some(&wanted.digest) {
                // Who takes a commit back and brings it anew wants it tried anew; what ended well stays done.
                self.jobs.retain(|(app, ..), ending| *app != spec.name || *ending == Ending::Succeeds);
                *known = (Some(wanted.digest.clone()), now);
            }
            self.restoring.retain(|name, digest| *name != spec.name || *digest == wanted.digest);
            let known = memory.apps.get(&spec.name).filter(|_| !self.begun.former.contains_key(&spec.name));
            let known = known.map(|known| &**known);
            // An app that comes back before it was forgotten is known.
            let good = known.and_then(|known| known.last_good.as_ref());
            self.proven.extend(good.map(|good| (spec.name.clone(), good.digest.clone())));
            self.blame.heard((&spec.name, &wanted.digest), says.commit.as_ref(), known, is_first);
        }
    }

    /// An action begins.
    pub fn begins<'a>(
        &mut self,
        (ticket, name): (&Ticket, &'static str),
        mut under_way: impl Iterator<Item = (&'a Ticket, &'static str)>,
        (delivery, view): (&Delivery, &View),
        now: Millis,
    ) {
        self.counted.actions += 1;
        let beside = |name: &str| matches!(name, "look" | "reasons" | "finalizers");
        let twin = match &ticket.of {
            _ if beside(name) => None,
            Owner::App(app, _) => {
                let life = self.begun.lives.get(app).copied().unwrap_or(0);
                let basis = &self.begun.basis;
                under_way.find(|(other, name)| {
                    let is_same = matches!(&other.of, Owner::App(of, _) if of == app);
                    is_same && !beside(name) && basis.get(*other).is_some_and(|basis| basis.life == life)
                })
            }
            of => under_way.find(|(other, name)| other.of == *of && !beside(name)),
        };
        if let Some((_, other)) = twin {
            self.fail(|| format!("{now}: {name} begins while {other} is under way: {:?}", ticket.of));
        }
        if matches!(name, "prove" | "write" | "ask about deletes") && view.is_listed() != Listing::Done {
            self.fail(|| format!("{now}: {name} begins, and not all is listed"));
        }
        if let Owner::App(app, _) = &ticket.of {
            let says = self.heard.apps.get(app).and_then(|(digest, _)| digest.clone());
            let is_back = delivery.apps.get(app).is_some_and(|app| app.back().is_some());
            let life = self.begun.lives.get(app).copied().unwrap_or(0);
            let is_rest = drift::is_rest(app, delivery, view);
            self.begun.basis.insert(ticket.clone(), Basis { says, is_back, life, is_rest });
        }
    }

    /// An action has ended.
    pub fn ended(&mut self, ticket: &Ticket, event: &Event) {
        self.begun.basis.remove(ticket);
        if let (Owner::App(app, _), Event::Hooked(done)) = (&ticket.of, event) {
            match done.failed {
                Some(_) => self.begun.doubts.insert(app.clone()),
                None => self.begun.doubts.remove(app),
            };
        }
    }

    /// A write begins, or the Job of a hook is about to be made.
    pub fn writes(&mut self, ticket: &Ticket, what: &str, now: Millis) {
        let Owner::App(app, _) = &ticket.of else { return };
        if self.heard.leaving.is_some_and(|since| now > since + OVERTAKEN) {
            self.fail(|| format!("{now}: {app} writes {what} while the environment goes"));
        }
        let (Some(basis), Some((says, since))) = (self.begun.basis.get(ticket), self.heard.apps.get(app))
        else {
            return;
        };
        if basis.says != *says && now > since + OVERTAKEN {
            let since = *since;
            self.fail(|| format!("{now}: {app} writes {what} which was overtaken at {since}"));
        }
    }

    pub fn created(&mut self, key: &ObjectKey, ticket: &Ticket, now: Millis) {
        // What ran before may have had it.
        let is_back = self.begun.basis.get(ticket).is_some_and(|basis| basis.is_back);
        if self.deleted.contains(key) && !is_back {
            self.fail(|| format!("{now}: {key} left git, was deleted, and is made anew"));
        }
    }

    pub fn deletes(&mut self, object: &Doomed, server: &Server, git: &Git, now: Millis) {
        let key = &object.live.key;
        if self.heard.wanted.contains(key) {
            self.fail(|| format!("{now}: {key} is deleted, and git wants it"));
        }
        if server.objects.get(key).is_some_and(|object| object.taken.all) {
            self.fail(|| format!("{now}: {key} is deleted, and it was never ours"));
        }
        if self.theirs.stops(&app_name(app_of(key)), now) {
            self.fail(|| format!("{now}: {key} is deleted while commits of its app are held"));
        }
        if self.heard.unrendered {
            self.fail(|| format!("{now}: {key} is deleted while nobody knows what git wants"));
        }
        if self.heard.held.is_some_and(|since| now > since + OVERTAKEN) {
            self.fail(|| format!("{now}: {key} is deleted while git is in doubt"));
        }
        self.deleted.insert(key.clone());
        if self.heard.leaving.is_none() {
            self.pushed(git);
        }
    }

    /// A set of deletes begins: the budget allows it, or a person does.
    pub fn prunes(&mut self, delivery: &Delivery, view: &View, now: Millis) {
        let Some(plan) = delivery.pruner.seen.as_ref().filter(|_| !self.approved) else { return };
        let ours = view.objects.values().filter(|seen| seen.live.labels.len() > 1);
        // Others may have deleted some since it was decided.
        let ours = ours.count().max(plan.total);
        let allowed = (ours * usize::from(self.heard.percent)).div_ceil(100).min(10);
        let count = plan.doomed.len();
        if count > allowed {
            self.fail(|| format!("{now}: {count} are deleted, and {allowed} may be"));
        }
    }

    pub fn job_made(&mut self, ticket: &Ticket, app: &AppName, hook: &Hook, now: Millis) {
        let life = self.begun.lives.get(app).copied().unwrap_or(0);
        if self.begun.basis.get(ticket).is_some_and(|basis| basis.life != life) {
            return; // Its app left git meanwhile: if it comes back it runs its hooks as any new one does.
        }
        let known = (app.clone(), hook.key.clone(), hook.identity.clone());
        if self.jobs.insert(known, ending_of(&hook.job)).is_some() {
            self.fail(|| format!("{now}: the Job of {} is made again", hook.key));
        }
    }

    /// Somebody deletes a Job before its end is known.
    pub fn job_gone(&mut self, key: &ObjectKey) {
        for ((_, hook, _), ending) in &mut self.jobs {
            if key.name.starts_with(&*hook.name) {
                *ending = Ending::Fails;
            }
        }
    }

    /// A person wants to try again: what did not succeed may be made once more, of what went back with it as well.
    pub fn retried(&mut self) {
        self.jobs.retain(|_, ending| *ending == Ending::Succeeds);
    }
}

/// The number of an app, by its name.
fn number_of(name: &AppName) -> usize {
    APPS.iter().position(|app| *app == name.as_str()).unwrap_or(0)
}
