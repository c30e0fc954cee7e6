//! The way back: what git says failed, and what ran before runs again.
//!
//! The *digest* that failed is set aside, not the commit: an unrelated commit neither tries it again nor is held up by it.
//! One way back for each digest. If what ran before fails as well, the cause is probably environmental: nothing is set
//! aside, and a person looks. A way back that cannot be read in passing is tried again; only what is damaged or gone ends
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{App, Doing, Git, StandIn, Way};
use crate::api::{RolloutScope, names};
use crate::delivery::action::{Again, Failure, UNREAD};
use crate::delivery::fact::What;
use crate::object::{AppName, Digest, ObjectKey, Outcome};
use crate::plan::{Wanted, WantedApp};
use crate::rollout::{Purpose, State};
use crate::state::{Change, Quarantine, Rolling, Stage, WithSecrets};

/// What failed, and how far the way back from it is.
#[derive(Debug)]
pub(in crate::delivery) struct Back {
    pub memory: Quarantine,
    pub target: Target,
}

/// What ran before.
#[derive(Debug)]
pub(in crate::delivery) enum Target {
    /// It is read, or tried again then.
    Unread(Again),
    Known(Arc<WantedApp>),
}

impl Back {
    /// What ran before runs again, or it failed as well.
    pub fn is_over(&self) -> bool {
        self.memory.stage != Stage::Going
    }

    pub fn target(&self) -> Option<&Arc<WantedApp>> {
        match &self.target {
            Target::Known(target) => Some(target),
            Target::Unread(_) => None,
        }
    }
}

impl App {
    pub fn back(&self) -> Option<&Back> {
        match &self.way {
            Way::Back(back) => Some(back),
            Way::Forward => None,
        }
    }

    fn back_mut(&mut self) -> Option<&mut Back> {
        match &mut self.way {
            Way::Back(back) => Some(back),
            Way::Forward => None,
        }
    }

    /// What is to be remembered of a digest that failed.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.back().map(|back| &back.memory)
    }

    /// Whether it is on its way back, and not there yet.
    pub fn is_going_back(&self) -> bool {
        self.back().is_some_and(|back| !back.is_over())
    }

    /// What it keeps the cluster true to.
    pub fn target_digest(&self) -> Option<&Digest> {
        match self.back() {
            Some(back) => Some(&back.memory.good),
            None => self.digest(),
        }
    }

    /// What it keeps the cluster true to, once that is known.
    pub fn target(&self) -> Option<&Arc<WantedApp>> {
        match self.back() {
            Some(back) => back.target(),
            None => self.wanted(),
        }
    }

    pub fn purpose(&self) -> Purpose {
        if self.back().is_some() { Purpose::Back } else { Purpose::Forward }
    }

    /// What it goes back to.
    fn good(&self) -> Option<&Digest> {
        let with_all = self.runs.with_all.as_ref().filter(|_| self.terms.scope == RolloutScope::Environment);
        with_all.or(self.runs.good())
    }

    /// Whether something else ran here when all was well, to which policy is to go back.
    pub fn may_go_back(&self) -> bool {
        let other = |good: &Digest| self.digest().is_some_and(|wanted| wanted != good);
        let goes = |wanted: &Arc<WantedApp>| !self.is_rotation(wanted) || wanted.old_secrets_work;
        self.terms.restores
            && self.back().is_none()
            && self.good().is_some_and(other)
            && self.wanted().is_none_or(goes)
    }

    /// Whether what it halts on will be taken back in a moment.
    pub fn is_to_go_back(&self) -> bool {
        self.rollout().is_some_and(|rollout| rollout.halted.is_some()) && self.may_go_back()
    }

    /// Begins the way back; with another app where that one failed.
    pub fn go_back(&mut self, why: String, with: Option<AppName>) {
        let (Some(wanted), Some(good)) = (self.wanted().cloned(), self.good().cloned()) else { return };
        let why = why + &self.hooks_that_stay();
        let digest = wanted.digest.clone();
        // What failed before it wrote anything, or went with another, is not remembered yet; nor which commit brought it.
        let commit = self.log.commit();
        let rolling = match self.rollout() {
            Some(rollout) => rollout.rolling(rollout.state.phase.clone(), commit, &self.runs.unproven),
            None => Rolling {
                state: State::start(digest.clone()),
                changed: Some(self.runs.unproven.clone()),
                commit: commit.cloned(),
                secrets: None,
            },
        };
        let rolling = self.with_secrets(rolling);
        self.remember(Change::Roll { app: self.spec.name.clone(), rolling: Some(rolling) });
        self.tell(What::Restoring {
            digest: digest.clone(),
            good: good.clone(),
            with: with.clone(),
            why: why.clone(),
        });
        let (retried, stage) = (self.asking.retried.clone(), Stage::Going);
        let memory = Quarantine {
            digest,
            good,
            why,
            stage,
            retried,
            asked: None,
            together: None,
            with,
            secrets: None,
        };
        let known = self.runs.last_good.as_ref().filter(|good| good.digest == memory.good);
        let target = match known {
            Some(good) => Target::Known(Arc::new(reversible(good, Some(&wanted)))),
            None => Target::Unread(Again::default()),
        };
        self.turn_back(Back { memory, target });
    }

    pub fn turn_back(&mut self, mut back: Back) {
        back.memory.secrets = self.wanted().and_then(|wanted| WithSecrets::of(wanted));
        self.set_secrets_of_target(&mut back);
        // What is set aside may have passed its gates. From here on it does not run whole any more.
        self.runs.effective.take_if(|runs| *runs == back.memory.digest);
        self.way = Way::Back(Box::new(back));
        self.note_quarantine();
        self.start_over();
    }

    pub fn go_forward(&mut self) {
        self.leave_back();
        self.start_over();
    }

    /// Takes that what failed is set aside no more. What the way back did not put back is what that brought, and passed no
    /// gates.
    pub fn leave_back(&mut self) {
        let proven = self.back().and_then(Back::target).cloned();
        let is_proven = |object: &Wanted| {
            proven.iter().flat_map(|target| &target.objects).any(|known| known.key == object.key)
        };
        let wanted = self.wanted().filter(|_| self.back().is_some()).cloned();
        let objects = wanted.iter().flat_map(|wanted| &wanted.objects).filter(|object| !is_proven(object));
        self.runs.unproven.extend(objects.map(|object| object.key.clone()));
        self.way = Way::Forward;
        self.note_quarantine();
    }

    /// Has it remembered what is set aside.
    pub fn note_quarantine(&mut self) {
        let (app, quarantine) = (self.spec.name.clone(), self.quarantine().cloned());
        self.remember(Change::Quarantine { app, quarantine });
    }

    /// Has it remembered once more which way it goes. What was under way when its app left git and came back may have had
    /// remembered which way that went, after it was forgotten.
    pub fn note_way(&mut self) {
        self.note_quarantine();
        let rolling = match self.rollout() {
            Some(rollout) => {
                let phase = rollout.state.phase.clone();
                Some(rollout.rolling(phase, self.log.commit(), &self.runs.unproven))
            }
            None => self.runs.broken_off.clone(),
        };
        self.remember(Change::Roll { app: self.spec.name.clone(), rolling });
    }

    fn start_over(&mut self) {
        self.give_up();
        self.doing = Doing::Idle;
        self.drift.repair = Default::default();
        self.forget_broken_off(None);
        self.runs.in_sync.clear();
    }

    /// What has to be read before anything is done, or when that is tried again.
    pub fn unread(&self, now: Timestamp) -> Option<Result<Digest, Timestamp>> {
        let (digest, again) = match (self.back(), &self.git) {
            (Some(Back { memory, target: Target::Unread(again) }), _) if memory.stage != Stage::Lost => {
                (&memory.good, again)
            }
            (
                _,
                Git::Away(StandIn::Unread { runs, again, .. })
                | Git::Broken { before: StandIn::Unread { runs, again, .. }, .. },
            ) => (runs, again),
            _ => return None,
        };
        match again.at.filter(|_| !again.is_due(now)) {
            Some(at) => Some(Err(at)),
            None => Some(Ok(digest.clone())),
        }
    }

    /// Takes what an app ran, as it was read.
    pub fn recalled(&mut self, digest: &Digest, read: Result<Option<WantedApp>, Failure>, now: Timestamp) {
        let read = match read {
            Ok(Some(good)) if good.digest == *digest => Ok(Arc::new(good)),
            Ok(Some(_)) => Err(Failure::Final("it is not what was remembered".to_owned())),
            Ok(None) => Err(Failure::Final(format!("{} is not stored", digest.short()))),
            Err(failure) => Err(failure),
        };
        self.stand_in(digest, &read, now);
        let wanted = self.wanted().filter(|_| self.is_from_git()).cloned();
        let Some(back) = self.back_mut() else { return };
        let Target::Unread(again) = back.target else { return };
        if back.memory.good != *digest || back.memory.stage == Stage::Lost {
            return;
        }
        match read {
            Ok(good) => {
                back.target = Target::Known(Arc::new(reversible(&good, wanted.as_deref())));
                self.refresh_target();
            }
            Err(Failure::Passing(_)) => back.target = Target::Unread(again.after(UNREAD, now)),
            Err(Failure::Final(why)) => {
                let note = format!("what ran before cannot be put back: {why}");
                back.memory.why = format!("{}; {note}", back.memory.why);
                self.lose(note, now);
            }
        }
    }

    /// Puts what was read in the place of what git says.
    fn stand_in(&mut self, digest: &Digest, read: &Result<Arc<WantedApp>, Failure>, now: Timestamp) {
        let (Git::Away(stands) | Git::Broken { before: stands, .. }) = &mut self.git else { return };
        let StandIn::Unread { says, runs, again } = stands else { return };
        if runs != digest {
            return;
        }
        *stands = match read {
            Ok(good) if says == runs => StandIn::Remembered(good.clone()),
            Ok(good) => {
                // What no machine puts back stays as the newer one has it, and that is not known here.
                let mut wanted = reversible(good, None);
                wanted.digest = says.clone();
                StandIn::Remembered(Arc::new(wanted))
            }
            Err(Failure::Passing(_)) => {
                StandIn::Unread { says: says.clone(), runs: runs.clone(), again: again.after(UNREAD, now) }
            }
            Err(Failure::Final(why)) => StandIn::Nothing(why.clone()),
        };
    }

    /// Takes that what ran before runs again.
    pub fn came_back(&mut self, target: &WantedApp, now: Timestamp) {
        let Some(back) = self.back_mut() else { return };
        if back.memory.stage != Stage::Going {
            return; // Drift of it was put back.
        }
        back.memory.stage = Stage::Restored;
        let aside = back.memory.clone();
        let (digest, good, why) = (aside.digest.clone(), aside.good.clone(), aside.why.clone());
        let outcome = if aside.asked.is_some() { Outcome::RolledBack } else { Outcome::Restored };
        self.note_back(&aside, outcome, now);
        if aside.asked.is_some() {
            // What is put back from here reads what is stored: this may be in part what the newer one made.
            self.runs.note_good(target, self.wanted_commit(&aside));
            self.runs.last_good.take_if(|good| good.digest != target.digest);
            self.tell(What::RolledBack { digest, good, why });
        } else {
            self.tell(What::Restored { digest, good, why });
        }
        self.note_quarantine();
    }

    fn wanted_commit(&self, aside: &Quarantine) -> Option<crate::object::Revision> {
        aside.asked.as_ref().and_then(|asked| asked.revision.clone())
    }

    /// Takes that the way back halted, if that is what did.
    pub fn stays_lost(&mut self, note: &str, now: Timestamp) -> bool {
        let Some(back) = self.back_mut() else { return false };
        if back.memory.stage == Stage::Going {
            let why = &back.memory.why;
            back.memory.why = match &back.memory.asked {
                Some(_) => format!("{why}, and {} fails: {note}", back.memory.good.short()),
                None => format!(
                    "what ran before fails as well, so the cause is probably environmental. Now: {note}. Before: {why}"
                ),
            };
            let why = back.memory.why.clone();
            self.lose(why, now);
        }
        true
    }

    fn lose(&mut self, note: String, now: Timestamp) {
        let Some(back) = self.back_mut() else { return };
        back.memory.stage = Stage::Lost;
        let aside = back.memory.clone();
        if aside.asked.is_some() {
            self.note_back(&aside, Outcome::RollbackFailed, now);
            self.tell(What::RollbackFailed { why: note });
        } else {
            self.note_back(&aside, Outcome::RestoreFailed, now);
            self.tell(What::RestoreFailed { why: note });
        }
        self.note_quarantine();
    }
}

/// What is put back of what ran before. What no machine can take back stays as the newer one has it; where that is not
/// known, it is left alone.
pub(in crate::delivery) fn reversible(good: &WantedApp, failed: Option<&WantedApp>) -> WantedApp {
    let newer = failed.map(|failed| failed.objects.iter().map(|object| (&object.key, object)));
    let newer: BTreeMap<&ObjectKey, &Arc<Wanted>> = newer.into_iter().flatten().collect();
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
fn is_one_way(object: &Wanted) -> bool {
    let one_way = matches!(
        (&*object.key.group, &*object.key.kind),
        ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("", "PersistentVolume" | "PersistentVolumeClaim")
            | ("batch", "Job")
    );
    one_way && object.value()["metadata"]["annotations"][names::REVERSIBLE] != "true"
}
