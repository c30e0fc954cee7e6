//! The way back: what git says failed, and what ran before runs again. Decides; others do.
//!
//! The *digest* that failed is set aside, not the commit: an unrelated commit neither tries it again nor is held up by it.
//! One way back for each digest. If what ran before fails as well, the cause seems to be around us: nothing is set aside,
//! and a person looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::App;
use crate::api::{Scope, names};
use crate::object::{AppName, Digest, ObjectKey, Outcome};
use crate::plan::{Wanted, WantedApp};
use crate::rollout::Purpose;
use crate::state::{AppMemory, Quarantine, Stage};

/// What failed, and how far the way back from it is.
pub struct Back {
    pub(super) memory: Quarantine,
    /// What ran before; `None` until it was read.
    pub(super) target: Option<Arc<WantedApp>>,
}

impl Back {
    pub(super) fn is_of(&self, digest: &Digest) -> bool {
        self.memory.digest == *digest
    }

    /// What ran before runs again, or it failed as well.
    pub(super) fn is_over(&self) -> bool {
        self.memory.stage != Stage::Going
    }

    pub(super) fn is_unread(&self) -> bool {
        self.target.is_none() && self.memory.stage != Stage::Lost
    }

    pub(super) fn target(&self) -> Option<Arc<WantedApp>> {
        self.target.clone()
    }

    /// The words for that it failed.
    fn failed(&self) -> (&'static str, Outcome) {
        match self.memory.asked {
            Some(_) => ("RollbackFailed", Outcome::RollbackFailed),
            None => ("RestoreFailed", Outcome::RestoreFailed),
        }
    }
}

impl App {
    /// Takes what was remembered of it, after a start.
    pub fn remember(&mut self, memory: &AppMemory) {
        self.known_good = memory.last_good.as_ref().map(|good| good.digest.clone());
        self.with_all = memory.with_all.as_ref().map(|good| good.digest.clone());
        self.rolling = memory.rolling.clone();
        self.asking.heard = memory.heard.clone();
        self.remember_hooks(&memory.hooks);
        self.back = memory.quarantined.clone().map(|memory| Back { memory, target: None });
    }

    /// What is to be remembered of a digest that failed.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.back.as_ref().map(|back| &back.memory)
    }

    /// What it keeps the cluster true to.
    pub(super) fn target_digest(&self) -> Option<&Digest> {
        match &self.back {
            Some(back) => Some(&back.memory.good),
            None => self.digest(),
        }
    }

    /// What it keeps the cluster true to, once that is known.
    pub fn target(&self) -> Option<Arc<WantedApp>> {
        self.back.as_ref().map_or_else(|| self.wanted.clone(), Back::target)
    }

    pub(super) fn purpose(&self) -> Purpose {
        if self.back.is_some() { Purpose::Back } else { Purpose::Forward }
    }

    /// What it goes back to.
    fn good(&self) -> Option<&Digest> {
        let with_all = self.with_all.as_ref().filter(|_| self.scope == Scope::Environment);
        with_all.or(self.known_good.as_ref())
    }

    /// Whether something else ran here when all was well, to which policy is to go back.
    pub(super) fn may_go_back(&self) -> bool {
        let other = |good: &Digest| self.digest().is_some_and(|wanted| wanted != good);
        self.restores && self.back.is_none() && self.good().is_some_and(other)
    }

    /// Whether what it halts on will be taken back in a moment.
    pub(super) fn goes_back(&self) -> bool {
        self.rollout.is_some() && self.halted.is_some() && self.may_go_back()
    }

    /// Begins the way back.
    pub(super) fn go_back(&mut self, why: String) {
        self.begin_back(why, None);
    }

    pub(super) fn begin_back(&mut self, why: String, with: Option<AppName>) {
        let (Some(wanted), Some(good)) = (self.wanted.clone(), self.good().cloned()) else { return };
        self.forget_mending();
        let why = why + &self.hooks_that_stay();
        let what = if with.is_some() { "is set aside" } else { "failed" };
        let note = format!("{} {what}, and {} is put back: {why}", wanted.digest.short(), good.short());
        self.tell(true, "Restoring", note);
        let (digest, retried) = (wanted.digest.clone(), self.retry.clone());
        let stage = Stage::Going;
        let memory = Quarantine { digest, good, why, stage, retried, asked: None, together: None, with };
        let target = self.last_good.as_ref().filter(|good| good.digest == memory.good);
        let target = target.map(|good| Arc::new(reversible(good, &wanted)));
        self.back = Some(Back { memory, target });
        self.start_over();
    }

    pub(super) fn start_over(&mut self) {
        (self.rollout, self.halted, self.waiting, self.refused, self.attempts) = (None, None, None, None, 0);
        self.rolling = None;
        self.in_sync.clear();
    }

    /// Takes what ran before, as it was read.
    pub fn recalled(&mut self, result: Result<Option<WantedApp>, String>) {
        self.busy = None;
        let wanted = self.wanted.clone();
        let Some(back) = &mut self.back else { return };
        match (result, wanted) {
            (Ok(Some(good)), Some(wanted)) if good.digest == back.memory.good => {
                back.target = Some(Arc::new(reversible(&good, &wanted)));
            }
            (result, _) => {
                let lost = "it is not what was remembered".to_owned();
                let why = result.err().unwrap_or(lost);
                let note = format!("what ran before cannot be put back: {why}");
                back.memory.stage = Stage::Lost;
                back.memory.why = format!("{}; {note}", back.memory.why);
                let (reason, outcome) = back.failed();
                let aside = back.memory.clone();
                self.note_back(&aside, outcome);
                self.tell(true, reason, note);
            }
        }
    }

    /// Takes that what ran before runs again.
    pub(super) fn came_back(&mut self, target: &WantedApp) {
        let Some(back) = &mut self.back else { return };
        if back.memory.stage != Stage::Going {
            return; // Drift of it was put back.
        }
        back.memory.stage = Stage::Restored;
        let (failed, why) = (back.memory.digest.clone(), back.memory.why.clone());
        let aside = back.memory.clone();
        let (reason, outcome) = match aside.asked {
            Some(_) => ("RolledBack", Outcome::RolledBack),
            None => ("Restored", Outcome::Restored),
        };
        self.note_back(&aside, outcome);
        // Who goes back from here reads what is stored: this may be in part what the newer one made.
        if aside.asked.is_some() {
            self.known_good = Some(target.digest.clone());
            self.last_good.take_if(|good| good.digest != target.digest);
        }
        let note = format!(
            "{} runs again and is healthy; {} is not tried again until it changes or `fairlead retry` says so: {why}",
            target.digest.short(),
            failed.short()
        );
        self.tell(true, reason, note);
    }

    /// Takes that the way back halted, if that is what did.
    pub(super) fn stays_lost(&mut self, note: &str) -> bool {
        let Some(back) = &mut self.back else { return false };
        if back.memory.stage == Stage::Going {
            back.memory.stage = Stage::Lost;
            let (why, (reason, outcome)) = (&back.memory.why, back.failed());
            back.memory.why = match &back.memory.asked {
                Some(_) => format!("{why}, and {} fails: {note}", back.memory.good.short()),
                None => format!(
                    "what ran before fails as well, so the cause seems to be around us. Now: {note}. Before: {why}"
                ),
            };
            let aside = back.memory.clone();
            self.note_back(&aside, outcome);
            self.tell(true, reason, aside.why);
        }
        true
    }

    /// Takes the word of a person who wants to try again: `app/digest/anything`, where `anything` tells it from others.
    pub(super) fn hear(&mut self, word: &Retry) {
        // Without git nobody knows what would be tried.
        if self.retry.as_deref() == Some(word.nonce) || self.remembered.is_some() {
            return;
        }
        let asked = word.app == self.spec.name.as_str()
            && match &self.back {
                Some(back) => {
                    back.memory.retried.as_deref() != Some(word.nonce)
                        && back.memory.digest.as_str() == word.digest
                }
                // Nothing was put back: a first deploy, or a team that wants to look first.
                None => {
                    self.told_halt().is_some()
                        && !self.goes_back()
                        && self.digest().is_some_and(|wanted| wanted.as_str() == word.digest)
                }
            };
        self.retry = Some(word.nonce.to_owned());
        if asked && !self.is_busy() {
            self.back = None;
            self.retry_hooks(word.nonce);
            self.start_over();
            let by = word.nonce.split_once(" by ").map_or("somebody", |(_, by)| by);
            self.chronicle.by = Some(by.to_owned());
            let digest = word.digest.get(..12).unwrap_or(word.digest);
            self.tell(false, "Retrying", format!("{digest} is tried again"));
        } else if asked {
            self.retry = None; // Heard again when what is under way has ended.
        }
    }
}

/// The word of a person who wants to try again.
#[derive(Clone, Copy)]
pub(super) struct Retry<'a> {
    pub app: &'a str,
    pub digest: &'a str,
    pub nonce: &'a str,
}

impl<'a> Retry<'a> {
    pub fn read(word: &'a str) -> Option<Self> {
        let mut parts = word.splitn(3, '/');
        Some(Self { app: parts.next()?, digest: parts.next()?, nonce: parts.next()? })
    }
}

/// What is put back of what ran before. What cannot be taken back by machine stays as the newer one has it.
pub(super) fn reversible(good: &WantedApp, failed: &WantedApp) -> WantedApp {
    let newer: BTreeMap<&ObjectKey, &Arc<Wanted>> =
        failed.objects.iter().map(|object| (&object.key, object)).collect();
    let pick = |object: &Arc<Wanted>| {
        if !is_one_way(object) {
            return Some(object.clone());
        }
        newer.get(&object.key).map(|newer| (*newer).clone())
    };
    let objects = good.objects.iter().filter_map(pick).collect();
    WantedApp::of_objects(good.app.clone(), good.digest.clone(), objects)
}

/// Definitions and volumes hold what others rely on, and a Job that ran has run.
pub fn is_one_way(object: &Wanted) -> bool {
    let one_way = matches!(
        (&*object.key.group, &*object.key.kind),
        ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("", "PersistentVolume" | "PersistentVolumeClaim")
            | ("batch", "Job")
    );
    one_way && object.value()["metadata"]["annotations"][names::REVERSIBLE] != "true"
}
