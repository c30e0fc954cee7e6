//! What has to hold at every moment of a story.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::Millis;
use super::content::{APPS, Ending, app_name, content_of, ending_of, wanted};
use super::git::{Git, Word};
use super::server::Server;
use super::view::View;
use crate::api::AppPhase;
use crate::delivery::{Delivery, Fact, Owner, Says, Ticket, What};
use crate::health::Status;
use crate::object::{AppName, Digest, ObjectKey, Outcome};
use crate::plan::{Doomed, Hook};
use crate::state::Memory;

/// A write of something older may begin so long after something newer was seen.
const OVERTAKEN: Millis = 5000;
/// An app has so many changes that wait to be remembered, at most.
const CHANGES: usize = 110;

/// What an action was begun from.
struct Basis {
    says: Option<Digest>,
    /// It puts back what ran before.
    is_back: bool,
}

#[derive(Default)]
pub struct Checks {
    /// The first thing that was wrong.
    pub fault: Option<String>,
    /// What git said of each app to the agent that lives, and since when.
    heard: BTreeMap<AppName, (Option<Digest>, Millis)>,
    wanted: BTreeSet<ObjectKey>,
    /// Of some app nobody knows what git wants.
    unrendered: bool,
    /// So much may be deleted, by git's last word.
    percent: u8,
    /// What git said of its app when an action was begun.
    basis: BTreeMap<Ticket, Basis>,
    /// What was deleted because it left git, which has not named it since.
    deleted: BTreeSet<ObjectKey>,
    /// The Jobs that were made, by what they do.
    jobs: BTreeMap<(AppName, ObjectKey, Digest), Ending>,
    /// Restores that were begun and have not ended.
    pub restoring: BTreeMap<AppName, Digest>,
    pub approved: bool,
    /// What happens is printed.
    pub traced: bool,
    pub counted: Counted,
}

/// What is counted for people who read how a run went.
#[derive(Debug, Default)]
pub struct Counted {
    /// How often an agent decided.
    pub decisions: u64,
    pub facts: BTreeMap<&'static str, u64>,
}

impl Checks {
    pub fn fail(&mut self, why: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(why);
    }

    /// A new process knows nothing but what was remembered.
    pub fn forget(&mut self, memory: &Memory) {
        let remembered =
            |app: &AppName| memory.apps.get(app).is_some_and(|known| known.quarantined.is_some());
        self.restoring.retain(|app, _| remembered(app));
        self.heard.clear();
        self.basis.clear();
    }

    pub fn pushed(&mut self, git: &Git) {
        for (app, word) in git.head().iter().flat_map(|head| &head.apps) {
            if let Word::Says(content) = word {
                let all = wanted(*app, *content);
                self.deleted.retain(|key| all.all().all(|object| object.key != *key));
            }
        }
    }

    pub fn heard(&mut self, says: &Says, now: Millis) {
        for (name, (digest, at)) in &mut self.heard {
            if digest.is_some() && says.apps.iter().all(|(spec, _)| spec.name != *name) {
                (*digest, *at) = (None, now);
                self.restoring.remove(name);
            }
        }
        self.restoring.retain(|app, _| says.apps.iter().any(|(spec, _)| spec.name == *app));
        self.jobs.retain(|(app, ..), _| says.apps.iter().any(|(spec, _)| spec.name == *app));
        self.wanted.clear();
        self.percent = says.rollout.prune.percent;
        self.unrendered = says.apps.iter().any(|(_, said)| said.is_err());
        for (spec, said) in &says.apps {
            let Ok(wanted) = said else { continue };
            self.wanted.extend(wanted.all().map(|object| object.key.clone()));
            let known = self.heard.entry(spec.name.clone()).or_insert((None, now));
            if known.0.as_ref() != Some(&wanted.digest) {
                // Who takes a commit back and brings it anew wants it tried anew; what ended well stays done.
                self.jobs.retain(|(app, ..), ending| *app != spec.name || *ending == Ending::Succeeds);
                *known = (Some(wanted.digest.clone()), now);
            }
            self.restoring.retain(|name, digest| *name != spec.name || *digest == wanted.digest);
        }
    }

    /// An action begins.
    pub fn begins(&mut self, ticket: &Ticket, delivery: &Delivery) {
        if let Owner::App(app, _) = &ticket.of {
            let says = self.heard.get(app).and_then(|(digest, _)| digest.clone());
            let is_back = delivery.apps.get(app).is_some_and(|app| app.back().is_some());
            self.basis.insert(ticket.clone(), Basis { says, is_back });
        }
    }

    /// A write begins.
    pub fn writes(&mut self, ticket: &Ticket, digest: &Digest, now: Millis) {
        let Owner::App(app, _) = &ticket.of else { return };
        let (Some(basis), Some((says, since))) = (self.basis.get(ticket), self.heard.get(app)) else {
            return;
        };
        if basis.says != *says && now > since + OVERTAKEN {
            let since = *since;
            self.fail(|| format!("{now}: {app} writes {} which was overtaken at {since}", digest.short()));
        }
    }

    pub fn created(&mut self, key: &ObjectKey, ticket: &Ticket, now: Millis) {
        // What ran before may have had it.
        let is_back = self.basis.get(ticket).is_some_and(|basis| basis.is_back);
        if self.deleted.contains(key) && !is_back {
            self.fail(|| format!("{now}: {key} left git, was deleted, and is made anew"));
        }
    }

    pub fn deletes(&mut self, object: &Doomed, server: &Server, git: &Git, now: Millis) {
        let key = &object.live.key;
        if self.wanted.contains(key) {
            self.fail(|| format!("{now}: {key} is deleted, and git wants it"));
        }
        if server.objects.get(key).is_some_and(|object| object.taken.all) {
            self.fail(|| format!("{now}: {key} is deleted, and it was never ours"));
        }
        if self.unrendered {
            self.fail(|| format!("{now}: {key} is deleted while nobody knows what git wants"));
        }
        self.deleted.insert(key.clone());
        self.pushed(git);
    }

    /// A set of deletes begins: the budget allows it, or a person does.
    pub fn prunes(&mut self, delivery: &Delivery, view: &View, now: Millis) {
        let Some(plan) = delivery.pruner.seen.as_ref().filter(|_| !self.approved) else { return };
        let ours = view.objects.values().filter(|seen| seen.live.labels.len() > 1);
        let allowed = (ours.count() * usize::from(self.percent)).div_ceil(100).min(10);
        let count = plan.doomed.len();
        if count > allowed {
            self.fail(|| format!("{now}: {count} are deleted, and {allowed} may be"));
        }
    }

    pub fn job_made(&mut self, app: &AppName, hook: &Hook, now: Millis) {
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

    pub fn fact(&mut self, fact: &Fact, view: &View, git: &Git, now: Millis) {
        let name = fact.app.clone().unwrap_or_else(|| app_name(0));
        let app = APPS.iter().position(|app| *app == name.as_str()).unwrap_or(0);
        let word = word(&fact.what);
        *self.counted.facts.entry(word).or_default() += 1;
        match &fact.what {
            What::Panicked { why, .. } => self.fail(|| format!("{now}: {name} panicked: {why}")),
            // One that goes back with another is let go of with it.
            What::Restoring { digest, with: None, .. } => drop(self.restoring.insert(name, digest.clone())),
            What::Restored { .. }
            | What::RestoreFailed { .. }
            | What::Retrying { .. }
            | What::RollingBack { .. } => drop(self.restoring.remove(&name)),
            What::RolledOut { digest, .. } => self.rolled_out(app, digest, view, now),
            What::Halted { digest, why } => self.last_words(app, digest, why, now),
            What::Ended(record) => {
                if let Some(commit) = &record.commit
                    && git.digest_at(commit, app).as_ref() != Some(&record.digest)
                {
                    let (digest, revision) = (record.digest.short(), &commit.revision);
                    self.fail(|| format!("{now}: {name} at {digest} is blamed on {revision:?}"));
                }
                if record.outcome == Outcome::Halted {
                    self.last_words(app, &record.digest, record.why.as_deref().unwrap_or_default(), now);
                }
            }
            _ => {}
        }
    }

    /// All that a rollout brought is there and healthy, as far as can be seen.
    fn rolled_out(&mut self, app: usize, digest: &Digest, view: &View, now: Millis) {
        let Some(content) = content_of(app, digest) else { return };
        if content.check.is_some() {
            return; // What is edited while that runs is drift, and put back after.
        }
        for object in &wanted(app, content).objects {
            let seen = view.objects.get(&object.key);
            let well = seen.is_some_and(|seen| {
                seen.health.status == Status::Healthy && seen.live.applied.as_ref() == Some(&object.digest)
            });
            if !well {
                let key = &object.key;
                self.fail(|| format!("{now}: {} rolled out, and {key} is not well", digest.short()));
            }
        }
    }

    /// What pods said belongs to what it is told of.
    fn last_words(&mut self, app: usize, digest: &Digest, why: &str, now: Millis) {
        let Some(content) = content_of(app, digest) else { return };
        let app = wanted(app, content);
        for word in why.split("words of ").skip(1) {
            if !app.all().any(|object| word.starts_with(object.digest.short())) {
                self.fail(|| format!("{now}: {} halted, by the words of another: {why}", digest.short()));
            }
        }
    }

    /// What has to hold whenever an agent has decided.
    pub fn decided(&mut self, delivery: &Delivery, view: &View, now: Millis) {
        let count = delivery.apps.len();
        if delivery.timers.len() > count || delivery.pruner.runs.len() > APPS.len() {
            self.fail(|| format!("{now}: timers or deletes grow"));
        }
        for (name, app) in &delivery.apps {
            if app.log.changes.len() > CHANGES || app.runs.in_sync.len() > 8 || app.runs.before.len() > 16 {
                self.fail(|| format!("{now}: what {name} holds grows"));
            }
            let status = app.status();
            if status.phase != AppPhase::Ready || app.busy.is_some() || delivery.due.contains(name) {
                continue;
            }
            let Some(wanted) = app.wanted() else { continue };
            for object in &wanted.objects {
                let seen = view.objects.get(&object.key).map(|seen| &seen.live);
                let there =
                    seen.is_some_and(|live| !live.deleting && live.applied.as_ref() == Some(&object.digest));
                if !there && !delivery.saving.holds(name) {
                    let key = &object.key;
                    self.fail(|| format!("{now}: {name} is told Ready, and {key} is not what git says"));
                }
            }
        }
    }
}

fn word(what: &What) -> &'static str {
    match what {
        What::RolledOut { .. } => "rolled out",
        What::Restored { .. } => "restored",
        What::RestoreFailed { .. } => "restore failed",
        What::RolledBack { .. } => "rolled back",
        What::RollbackFailed { .. } => "rollback failed",
        What::RollbackRefused { .. } => "rollback refused",
        What::Halted { .. } => "halted",
        What::Refused { .. } => "refused",
        What::Preempted { .. } => "preempted",
        What::Drifted { .. } => "drifted",
        What::Unscaled { .. } => "unscaled",
        What::Retrying { .. } => "retried",
        What::HookSucceeded { .. } => "hook succeeded",
        What::HookFailed { .. } => "hook failed",
        What::Pruned { .. } => "pruned",
        What::PruneHalted { .. } => "prune halted",
        What::PruneRefused { .. } => "prune refused",
        What::NotRemembered { .. } => "not remembered",
        What::Unrendered(_) => "unrendered",
        _ => "other",
    }
}
