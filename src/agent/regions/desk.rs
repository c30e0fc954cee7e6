//! What the region of one environment knows, and what follows from it for the others that look after the environment.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::preflights::Looked;
use super::seen::{Orders, Seen};
use super::signals::Signals;
use crate::api::RegionSpec;
use crate::delivery::Retry;
use crate::object::{AppName, Digest, Revision};
use crate::region::automatic::{Stays, Verdict, judge};
use crate::region::{
    Ask, Attestation, Decision, Epoch, Facts, Fence, Here, Mode, Moment, Part, RegionAsk, RegionName,
    Request, Role, Settings, Source, State, TIMING, Warmth, Word,
};
use crate::requests::{RegionWish, RegionWord};

/// What git says of regions at a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub revision: Revision,
    pub spec: Option<RegionSpec>,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<RegionSpec>,
    #[serde(default)]
    state: State,
    /// The commit that the apps were told last while nothing was frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ran: Option<Revision>,
    /// The apps that are to try again what they set aside, for a person who has a step tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lifts: Vec<Lift>,
    /// The epoch that stood in the shared place last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stood: Option<Epoch>,
}

/// What [`Retry`] says, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lift {
    app: AppName,
    digest: Digest,
    nonce: String,
    reason: Option<String>,
}

pub struct Desk {
    pub me: RegionName,
    pub memory: Memory,
    /// What is remembered for certain.
    pub saved: Memory,
    pub fence: Fence,
    pub looked: Looked,
    /// The commit that was heard last.
    heard: Option<Revision>,
    settings: Option<Settings>,
    /// `region:` left git; the last word stands.
    is_wordless: bool,
    /// Writers that were stopped while this region serves are started again.
    pub is_restart: bool,
    /// Why nothing moves by itself, where something could.
    pub stays: Option<Stays>,
}

impl Desk {
    pub fn new(me: &RegionName, remembered: Option<&Value>) -> Result<Self, serde_json::Error> {
        let memory: Memory = remembered.map(Memory::deserialize).transpose()?.unwrap_or_default();
        Ok(Self {
            me: me.clone(),
            settings: memory.spec.as_ref().map(RegionSpec::settings),
            saved: memory.clone(),
            memory,
            fence: Fence::new(me.clone(), fastrand::u64(..), TIMING),
            looked: Looked::default(),
            heard: None,
            is_wordless: false,
            is_restart: false,
            stays: None,
        })
    }

    pub fn state(&self) -> &State {
        &self.memory.state
    }

    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    pub fn heard(&self) -> Option<&Revision> {
        self.heard.as_ref()
    }

    /// What this region is by what counts: git's word, or a person's that goes beyond it.
    pub fn role(&self) -> Option<Role> {
        let role = self.settings.as_ref()?.role(&self.me);
        let active = self.memory.state.words.wanted().map(|word| &word.active);
        Some(match (active == Some(&self.me), role) {
            (true, _) => Role::Active,
            (false, Role::Active) => Role::Standby(Warmth::Warm),
            (false, role) => role,
        })
    }

    /// Whether `region:` left git although regions were heard of before.
    pub fn is_wordless(&self) -> bool {
        self.is_wordless
    }

    /// Takes what git says at its newest commit. Where it says nothing any more, what it said before stands: two regions that
    /// both took the environment for one without regions would both write.
    pub fn hear(&mut self, heard: &Heard) {
        if self.heard.as_ref() == Some(&heard.revision) {
            return;
        }
        self.heard = Some(heard.revision.clone());
        self.is_wordless = heard.spec.is_none() && self.memory.spec.is_some();
        let Some(spec) = &heard.spec else { return };
        let settings = spec.settings();
        let word = Word {
            // The first epoch is 1, be it written or not.
            epoch: settings.epoch.max(Epoch(1)),
            active: settings.active.clone(),
            mode: settings.mode,
            from: Source::Git { commit: heard.revision.to_string() },
        };
        // What is wrong with it is kept, and shown.
        if self.memory.state.words.hear_git(word).is_ok() {
            self.memory.spec = Some(spec.clone());
            self.settings = Some(settings);
        }
    }

    /// Has the apps that failed try again what they set aside: without it a step that waits for them would fail again.
    fn lift(&mut self, word: &RegionWord, seen: &Seen) -> Option<String> {
        for (app, digest) in &seen.set_aside {
            let nonce = format!("{}/{app} by {}", word.uid, word.by);
            let (app, digest, reason) = (app.clone(), digest.clone(), word.reason.clone());
            self.memory.lifts.push(Lift { app, digest, nonce, reason });
        }
        let names: Vec<&str> = seen.set_aside.keys().map(AppName::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The next app that is to try again; those that have are forgotten.
    pub fn next_lift(&mut self, seen: &Seen) -> Option<Retry> {
        if seen.knows_apps && !self.memory.lifts.is_empty() {
            self.memory.lifts.retain(|lift| {
                let is_meant = |known: &BTreeSet<Digest>| known.contains(&lift.digest);
                seen.retried.as_ref() != Some(&lift.nonce)
                    && seen.digests.get(&lift.app).is_some_and(is_meant)
            });
        }
        let Lift { app, digest, nonce, reason } = self.memory.lifts.first()?.clone();
        Some(Retry { app, digest, nonce, reason })
    }

    /// Hears a person; says what came of it.
    pub fn ask(
        &mut self,
        word: &RegionWord,
        seen: &Seen,
        now: Moment,
        time: Timestamp,
    ) -> Result<String, String> {
        let Some(settings) = self.settings.clone() else {
            return Err("this environment is in no region here".to_owned());
        };
        let (ask, said) = match &word.wish {
            RegionWish::Run(ask) => (RegionAsk::Run(ask.clone()), "it is taken into account".to_owned()),
            RegionWish::Attest { region, epoch } => {
                let attestation = self.attestation(word, region, *epoch)?;
                let said = format!("recorded: {} attests that {region} (epoch {epoch}) is off", word.by);
                (RegionAsk::Run(Ask::Attest { attestation }), said)
            }
            RegionWish::BreakGlass { active, epoch, mode } => {
                let (active, epoch, mode) = (active.clone(), *epoch, *mode);
                let said =
                    format!("{active} is meant to be active here from now on, until git says a higher epoch");
                (RegionAsk::BreakGlass { active, epoch, mode }, said)
            }
        };
        let request = Request {
            id: word.uid.clone(),
            person: word.by.clone(),
            reason: word.reason.clone().unwrap_or_default(),
            // Of what is about a run, the run takes it from beside this.
            ask: Ask::Resume,
        };
        let here = Here { me: &self.me, settings: &settings, now, time };
        let heard = self.memory.state.hear(&request, &ask, here, &self.fence);
        heard.map_err(|refused| refused.to_string())?;
        let lifted = if ask == RegionAsk::Run(Ask::Retry) { self.lift(word, seen) } else { None };
        Ok(lifted
            .map_or(said.clone(), |apps| format!("{said}, and what was set aside of {apps} is tried again")))
    }

    /// A person's word about what stands in the shared place now. A holder that renews after it refutes it.
    fn attestation(
        &self,
        word: &RegionWord,
        region: &RegionName,
        epoch: Epoch,
    ) -> Result<Attestation, String> {
        let (person, reason) = (word.by.clone(), word.reason.clone().unwrap_or_default());
        if !self.fence.was_read() {
            return Err("the shared place was not read yet, and a word is about what stands there".to_owned());
        }
        match self.fence.record() {
            None => Ok(Attestation { holder: None, counter: 0, person, reason }),
            Some(record) if record.holder == *region && record.epoch == epoch => {
                let holder = Some((region.clone(), epoch));
                Ok(Attestation { holder, counter: record.counter, person, reason })
            }
            Some(record) => Err(format!(
                "the environment is held by {} at epoch {}, not by {region} at {epoch}",
                record.holder, record.epoch
            )),
        }
    }

    /// Moves the environment here by itself, where that was declared and all signals say that the active region is lost.
    pub fn consider(&mut self, signals: &Signals, now: Moment, time: Timestamp) {
        let Some(settings) = self.settings.clone() else { return };
        let Some(automatic) = &settings.automatic else { return self.stays = None };
        // Whoever moved it: what goes back and forth within a day is for a person to look at.
        if let Some(record) = self.fence.record().filter(|record| self.memory.stood != Some(record.epoch)) {
            if self.memory.stood.is_some() || !record.epoch.is_first() {
                self.memory.state.moved = Some(time);
            }
            self.memory.stood = Some(record.epoch);
        }
        let told = signals.told(automatic, &self.fence, now, time);
        self.stays = match judge(&settings, &self.me, &self.memory.state, &told, time) {
            Verdict::Stay(why) => Some(why),
            Verdict::Move => {
                let names: Vec<&str> = told.keys().map(String::as_str).collect();
                let (of, after) = (&settings.active, automatic.after.as_secs());
                let reason =
                    format!("{} say since {after} s or longer that {of} is lost", names.join(" and "));
                let here = Here { me: &self.me, settings: &settings, now, time };
                if let Err(fault) = self.memory.state.move_by_itself(reason, here, &self.fence) {
                    tracing::warn!(%fault, "it cannot move by itself");
                }
                None
            }
        };
    }

    /// Whether this region is to be the first one ever, and does not hold yet.
    pub fn is_beginning(&self) -> bool {
        let state = &self.memory.state;
        let is_ours = |word: &Word| word.active == self.me && word.epoch.is_first();
        let is_free = self.fence.record().is_none_or(|record| record.holder == self.me);
        state.serving().is_none()
            && state.run().is_none()
            && is_free
            && state.words.wanted().is_some_and(is_ours)
    }

    /// Decides; `told` is the commit that the apps were told last, if nothing was frozen then.
    pub fn decide(
        &mut self,
        facts: &Facts,
        told: Option<&Revision>,
        now: Moment,
        time: Timestamp,
    ) -> Option<(Decision, Orders)> {
        let settings = self.settings.clone()?;
        let here = Here { me: &self.me, settings: &settings, now, time };
        let decision = self.memory.state.decide(facts, &self.fence, here);
        let part = Part::of(&self.memory.state, &decision, &self.fence, here, self.is_restart);
        let frozen = decision.duties.freeze;
        if let Some(told) = told.filter(|told| !frozen && self.memory.ran.as_ref() != Some(*told)) {
            self.memory.ran = Some(told.clone());
        }
        let pinned = self.memory.ran.clone().filter(|_| frozen);
        let orders = Orders { heard: self.heard.clone(), part: Some(part), frozen, pinned };
        Some((decision, orders))
    }

    /// Forgets what was decided and could not be remembered.
    pub fn revert(&mut self) {
        self.memory = self.saved.clone();
        self.settings = self.memory.spec.as_ref().map(RegionSpec::settings);
        // It is heard again.
        self.heard = None;
    }

    /// Whether git asks for a drill, which nobody does yet.
    pub fn asks_for_drill(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.mode == Mode::Drill)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn heard(revision: &str, active: &str, epoch: u64) -> Heard {
        let other = if active == "west" { "east" } else { "west" };
        let spec = json!({"active": active, "standby": [other], "epoch": epoch});
        Heard { revision: Revision::new(revision), spec: Some(serde_json::from_value(spec).unwrap()) }
    }

    fn orders(desk: &mut Desk, told: Option<&str>) -> Orders {
        let told = told.map(Revision::new);
        desk.decide(&Facts::default(), told.as_ref(), Moment::ZERO, Timestamp::UNIX_EPOCH).unwrap().1
    }

    #[test]
    fn what_ran_when_a_move_began_is_known_after_a_restart() {
        let me = RegionName::new("west").unwrap();
        let mut desk = Desk::new(&me, Some(&json!({"state": {"words": {}, "serving": 1}}))).unwrap();
        desk.hear(&heard("aaaa", "west", 1));
        assert!(!orders(&mut desk, Some("aaaa")).frozen);
        desk.hear(&heard("bbbb", "east", 2));
        let frozen = orders(&mut desk, Some("aaaa"));
        assert_eq!((frozen.frozen, frozen.pinned), (true, Some(Revision::new("aaaa"))));
        let remembered = serde_json::to_value(&desk.memory).unwrap();
        let mut desk = Desk::new(&me, Some(&remembered)).unwrap();
        desk.hear(&heard("cccc", "east", 2));
        assert_eq!(orders(&mut desk, None).pinned, Some(Revision::new("aaaa")));
        // A commit that was told by a race is no reason to forget what ran.
        assert_eq!(orders(&mut desk, Some("cccc")).pinned, Some(Revision::new("aaaa")));
        desk.hear(&heard("dddd", "west", 3));
        let thawed = orders(&mut desk, None);
        assert_eq!((thawed.frozen, thawed.pinned), (false, None));
    }

    #[test]
    fn a_step_that_is_tried_again_has_its_apps_try_again_what_they_set_aside() {
        let me = RegionName::new("west").unwrap();
        let mut desk = Desk::new(&me, None).unwrap();
        let (web, api) = (AppName::new("web").unwrap(), AppName::new("api").unwrap());
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let set_aside = BTreeMap::from([(web.clone(), one.clone()), (api.clone(), two.clone())]);
        let digests = set_aside.iter().map(|(app, digest)| (app.clone(), BTreeSet::from([digest.clone()])));
        let mut seen = Seen { knows_apps: true, digests: digests.collect(), set_aside, ..Seen::default() };
        assert_eq!(desk.next_lift(&seen), None, "nobody asked for it");
        let word =
            RegionWord { uid: "u".into(), by: "ann".into(), reason: None, wish: RegionWish::Run(Ask::Retry) };
        assert_eq!(desk.lift(&word, &seen).as_deref(), Some("api, web"));
        let first = desk.next_lift(&seen).unwrap();
        assert_eq!((&first.app, &first.digest, first.nonce.as_str()), (&api, &two, "u/api by ann"));
        let remembered = serde_json::to_value(&desk.memory).unwrap();
        let mut desk = Desk::new(&me, Some(&remembered)).unwrap();
        assert_eq!(desk.next_lift(&seen), Some(first), "it is not forgotten");
        seen.retried = Some("u/api by ann".to_owned());
        assert_eq!(desk.next_lift(&seen).map(|retry| retry.app), Some(web.clone()));
        seen.digests.insert(web, BTreeSet::from([two]));
        assert_eq!(desk.next_lift(&seen), None, "it runs something else by now");
    }
}
