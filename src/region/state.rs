//! Everything about one environment in one region: what was said, what runs here, and the re-point or drill that is under way.
//!
//! The caller looks at the world, and calls [`State::decide`] with what it saw. It remembers the state where that changed,
//! and only then does what was decided: it asks the shared place what the fence wants to know, sees to the duties, and does the
//! step that is next. All of it may be done again.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fence::{Aim, Fence, Wish};
use super::lag::Lag;
use super::name::{Epoch, Moment, RegionName};
use super::record::{Attestation, Hold, RegionRecord, Silence};
use super::run::{
    Ask, Cause, Choice, End, Facts as RunFacts, Next, Preflight, Refusal, Request, Run, StepOutcome,
};
use super::settings::{Role, Settings};
use super::step::{Mode, RegionStep};
use super::words::{Source, Word, WordFault, Words};

/// Requests are heard once. So many are remembered: older ones are gone from the cluster by then.
const HEARD: usize = 64;

/// What a region remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub words: Words,
    /// The epoch at which this region's writers run, or would if the fence let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serving: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// The epoch that was given up here: it is not begun again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_up: Option<Epoch>,
    /// The epoch whose drill was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drilled: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attested: Option<Attestation>,
    /// Something of a drill may be left here.
    #[serde(default)]
    scratch: bool,
    /// When the environment moved last, as far as this region saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Timestamp>,
    #[serde(default)]
    heard: VecDeque<String>,
}

/// What the caller saw.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub preflights: BTreeMap<Preflight, Result<(), String>>,
    pub lag: Lag,
    /// What came of the step that was begun last.
    pub outcome: Option<(RegionStep, u32, StepOutcome)>,
    /// Writers can be told when to end, and then do so by themselves.
    pub writers_are_guarded: bool,
    /// Each writer that runs has been told when to end, by a write that no earlier one can undo. Before that, nothing is
    /// promised in the shared place: the agent may die between the two.
    pub writers_have_ends: bool,
    /// See [`Wish::writers_stopped`]: a stop that this process asked for was confirmed, and nothing else can start them.
    pub writers_stopped: bool,
    /// Nothing is deployed nor deleted here.
    pub frozen: bool,
    /// Nothing is left of what ran here as the active region.
    pub drained: bool,
    /// How many objects are left of a drill; nothing where that cannot be told.
    pub scratch_left: Option<u32>,
}

/// What a person asks of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionAsk {
    /// Something about what is under way.
    Run(Ask),
    /// Sets the active region here, while git cannot be asked; with the next epoch where none is said.
    BreakGlass {
        active: RegionName,
        epoch: Option<Epoch>,
        mode: Mode,
    },
    Drill,
    /// Makes the real move of the drill that stands.
    PromoteDrill {
        mode: Mode,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Run(#[from] Refusal),
    #[error(transparent)]
    Word(#[from] WordFault),
    #[error("a re-point or a drill is under way here")]
    Busy,
    #[error("this region is the active one: a drill is for a standby")]
    IsActive,
    #[error("no drill stands here")]
    NoDrill,
}

/// What is to be so in this region, whatever was so before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duties {
    /// Whether nothing is to be deployed nor deleted.
    pub freeze: bool,
    pub writers: Writers,
    /// Whether all is to go that only an active region has.
    pub drain: bool,
    /// Whether what is left of a drill is to go.
    pub clean_up: bool,
}

/// What becomes of writers, cron jobs and consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    Stop,
    /// What runs goes on, and what does not is not started.
    Keep,
    /// They run until then, if no later moment is told them; without an end where there is none. The moment is one of the
    /// agent's own clock, so what guards writers asks how long is left, and counts from when it asked: a moment that is
    /// written down means something else after the machine has begun anew.
    Run {
        epoch: Epoch,
        until: Option<Moment>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub wish: Wish,
    pub duties: Duties,
    /// Of the re-point or drill, where one is under way.
    pub next: Option<Next>,
    pub news: Vec<News>,
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Began {
        epoch: Epoch,
        to: RegionName,
        mode: Mode,
    },
    Halted {
        cause: Cause,
        choices: Vec<Choice>,
    },
    /// The application is healthy here, and serves.
    Served {
        epoch: Epoch,
    },
    /// It ended: [`super::Report`] has all of it.
    Ended(Box<Run>),
    /// This region is no longer the active one.
    GaveUp {
        epoch: Epoch,
        to: RegionName,
        at: Epoch,
    },
    CleanedUp,
}

/// This region, as it is configured and at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    pub me: &'a RegionName,
    pub settings: &'a Settings,
    /// By the clock that nobody can set.
    pub now: Moment,
    /// For people, and for the times of steps.
    pub time: Timestamp,
}

impl State {
    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    pub fn serving(&self) -> Option<Epoch> {
        self.serving
    }

    pub fn given_up(&self) -> Option<Epoch> {
        self.given_up
    }

    pub fn may_have_scratch(&self) -> bool {
        self.scratch
    }

    /// Hears a person, once.
    pub fn hear(
        &mut self,
        request: &Request,
        ask: &RegionAsk,
        here: Here<'_>,
        fence: &Fence,
    ) -> Result<(), Refused> {
        if self.heard.contains(&request.id) {
            return Ok(());
        }
        self.heard.push_back(request.id.clone());
        while self.heard.len() > HEARD {
            self.heard.pop_front();
        }
        match ask {
            RegionAsk::Run(ask) => self.hear_of_run(request, ask, here.time),
            RegionAsk::BreakGlass { active, epoch, mode } => {
                let epoch = epoch.unwrap_or_else(|| self.next_epoch(fence));
                self.words.hear_cluster(word(request, epoch, active.clone(), *mode))?;
                Ok(())
            }
            RegionAsk::Drill => {
                if self.serving.is_some() || here.settings.role(here.me) == Role::Active {
                    return Err(Refused::IsActive);
                }
                if self.run.as_ref().is_some_and(|run| !run.is_ended()) {
                    return Err(Refused::Busy);
                }
                self.begin_drill(request.person.clone(), here, fence);
                Ok(())
            }
            RegionAsk::PromoteDrill { mode } => self.promote(request, *mode, here, fence),
        }
    }

    fn hear_of_run(&mut self, request: &Request, ask: &Ask, time: Timestamp) -> Result<(), Refused> {
        let run = self.run.as_mut().ok_or(Refusal::NoRun)?;
        if matches!((ask, run.ended()), (Ask::Retry, Some((End::Aborted { .. }, _)))) {
            self.given_up = None;
            self.run = None;
            return Ok(());
        }
        run.hear(&Request { ask: ask.clone(), ..request.clone() }, time)?;
        match ask {
            Ask::Attest { attestation } => self.attested = Some(attestation.clone()),
            Ask::Abort => self.given_up = Some(run.epoch),
            _ => {}
        }
        Ok(())
    }

    fn promote(
        &mut self,
        request: &Request,
        mode: Mode,
        here: Here<'_>,
        fence: &Fence,
    ) -> Result<(), Refused> {
        let Some(drill) = self.run.as_mut().filter(|run| run.stands()) else {
            return Err(Refused::NoDrill);
        };
        let said = self.words.wanted().filter(|word| word.active == *here.me && word.epoch > drill.epoch);
        let said = match said.cloned() {
            Some(said) => said,
            None => {
                let epoch = highest(&self.words, fence).next();
                let said = word(request, epoch, here.me.clone(), mode);
                self.words.hear_cluster(said.clone())?;
                said
            }
        };
        if let Some(run) = drill.promote(&said, here.time) {
            self.run = Some(run);
        }
        Ok(())
    }

    /// Says by nobody's word that the environment is to be here: [`super::automatic::judge`] let it.
    pub fn move_by_itself(&mut self, reason: String, here: Here<'_>, fence: &Fence) -> Result<(), WordFault> {
        let from = Source::Cluster { person: "automatic".to_owned(), reason };
        let (epoch, active) = (self.next_epoch(fence), here.me.clone());
        self.words.hear_cluster(Word { epoch, active, mode: Mode::Ungraceful, from })?;
        self.moved = Some(here.time);
        Ok(())
    }

    fn next_epoch(&self, fence: &Fence) -> Epoch {
        highest(&self.words, fence).next()
    }

    fn begin_drill(&mut self, by: String, here: Here<'_>, fence: &Fence) {
        let epoch = self.words.wanted().map_or(Epoch(0), |word| word.epoch);
        let from = fence.record().map(|record| record.holder.clone());
        self.scratch = true;
        self.run = Some(Run::drill(epoch, from, here.me.clone(), by, here.time));
    }

    /// Decides what is to be so, and what is next.
    pub fn decide(&mut self, facts: &Facts, fence: &Fence, here: Here<'_>) -> Decision {
        let before = self.run.as_ref().map(|run| (run.epoch, run.is_drill(), run.served, run.is_ended()));
        let mut news = Vec::new();
        self.notice_loss(fence, here, &mut news);
        self.follow_words(facts, fence, here);
        let next = self.go_on(facts, fence, here);
        if let Some(run) = &self.run {
            if before.is_none_or(|(epoch, is_drill, ..)| (epoch, is_drill) != (run.epoch, run.is_drill())) {
                news.push(News::Began { epoch: run.epoch, to: run.to.clone(), mode: run.mode });
            }
            if let Some(Next::Halt { cause, choices }) = &next {
                news.push(News::Halted { cause: cause.clone(), choices: choices.clone() });
            }
            if run.served.is_some() && before.is_none_or(|(_, _, served, _)| served.is_none()) {
                news.push(News::Served { epoch: run.epoch });
            }
            if run.is_ended() && before.is_none_or(|(_, _, _, is_ended)| !is_ended) {
                news.push(News::Ended(Box::new(run.clone())));
            }
        }
        let is_over = self.run.as_ref().is_none_or(Run::is_ended);
        let clean_up = self.scratch && is_over;
        if clean_up && facts.scratch_left == Some(0) {
            self.scratch = false;
            news.push(News::CleanedUp);
        }
        let duties = Duties {
            freeze: self.is_frozen(fence, here),
            writers: self.writers(facts, fence, here),
            drain: fence.record().and_then(|record| record.drains.as_ref()) == Some(here.me),
            clean_up: self.scratch && is_over,
        };
        Decision { wish: self.wish(facts, fence, here), duties, next, news }
    }

    /// Another region held it since: what runs here is no longer the environment.
    fn notice_loss(&mut self, fence: &Fence, here: Here<'_>, news: &mut Vec<News>) {
        let (Some(epoch), Some(record)) = (self.serving, fence.record()) else { return };
        if record.holder != *here.me && record.epoch > epoch {
            self.serving = None;
            news.push(News::GaveUp { epoch, to: record.holder.clone(), at: record.epoch });
        }
    }

    fn follow_words(&mut self, facts: &Facts, fence: &Fence, here: Here<'_>) {
        let Some(wanted) = self.words.wanted().cloned() else { return };
        if wanted.active != *here.me {
            if let Some(run) = self.run.as_mut().filter(|run| !run.is_drill() && run.epoch < wanted.epoch) {
                run.overtake(wanted.epoch, here.time);
            }
            self.drill_by_word(&wanted, facts, fence, here);
            return;
        }
        if let Some(serving) = self.serving {
            // The same region at a higher epoch: nothing moves.
            if serving < wanted.epoch && fence.holds() == Some(wanted.epoch) {
                self.serving = Some(wanted.epoch);
            }
            if serving < wanted.epoch
                && let Some(run) = self.run.as_mut().filter(|run| run.epoch < wanted.epoch)
            {
                run.overtake(wanted.epoch, here.time);
            }
            return;
        }
        if self.is_first(&wanted, fence, here) {
            if fence.may_start(here.now) == Some(wanted.epoch) {
                self.serving = Some(wanted.epoch);
            }
            return;
        }
        let is_known = self.run.as_ref().is_some_and(|run| !run.is_drill() && run.epoch >= wanted.epoch);
        // A word that came too late begins nothing; one of the same epoch halts, and says whose it is.
        let is_late = fence.overtaken(wanted.epoch).is_some_and(|(_, by)| by > wanted.epoch);
        if !is_known && !is_late && self.given_up < Some(wanted.epoch) && fence.was_read() {
            let from = fence.record().map(|record| record.holder.clone()).filter(|from| from != here.me);
            self.run = Some(Run::of(&wanted, from, here.time));
        }
    }

    /// Whether there was no re-point before, so that none is needed to begin.
    fn is_first(&self, wanted: &Word, fence: &Fence, here: Here<'_>) -> bool {
        let is_free =
            fence.record().is_none_or(|record| record.holder == *here.me && record.epoch <= wanted.epoch);
        wanted.epoch.is_first() && is_free && self.run.is_none()
    }

    /// `mode: drill` has each standby rehearse once for each epoch.
    fn drill_by_word(&mut self, wanted: &Word, _: &Facts, fence: &Fence, here: Here<'_>) {
        let is_standby = matches!(here.settings.role(here.me), Role::Standby(_));
        let is_free = self.run.as_ref().is_none_or(Run::is_ended);
        let is_new = self.drilled < Some(wanted.epoch);
        if wanted.mode == Mode::Drill && is_standby && is_free && is_new && self.serving.is_none() {
            self.drilled = Some(wanted.epoch);
            self.begin_drill(wanted.from.to_string(), here, fence);
        }
    }

    fn go_on(&mut self, facts: &Facts, fence: &Fence, here: Here<'_>) -> Option<Next> {
        let run = self.run.as_mut()?;
        let record = fence.record();
        let is_ours = |record: &RegionRecord| record.holder == *here.me || record.hold == Hold::Released;
        let next = run.next(
            &RunFacts {
                preflights: &facts.preflights,
                held: fence.may_start(here.now),
                overtaken: fence.overtaken(run.epoch),
                place_is_empty: fence.was_read() && record.is_none(),
                other_froze: record.is_some_and(|record| is_ours(record) || record.acknowledged >= run.epoch),
                other_drained: record.is_some_and(|record| record.drains.is_none()),
                lag: facts.lag,
                outcome: facts.outcome.as_ref(),
            },
            here.settings,
            here.time,
        );
        if !run.is_ended() && run.has_begun(RegionStep::Writers) {
            self.serving = Some(run.epoch);
        }
        (next != Next::Ended).then_some(next)
    }

    fn wish(&self, facts: &Facts, fence: &Fence, here: Here<'_>) -> Wish {
        let announced =
            fence.record().and_then(RegionRecord::open_claim).map_or(Epoch(0), |claim| claim.epoch);
        let wanted = self.words.wanted().map_or(Epoch(0), |word| word.epoch);
        let acknowledged = if facts.frozen { announced.max(wanted) } else { Epoch(0) };
        Wish {
            aim: self.aim(fence, here),
            silence: here.settings.silence(facts.writers_are_guarded && facts.writers_have_ends),
            acknowledged,
            writers_stopped: facts.writers_stopped,
            drained: facts.drained,
            attested: self.attested.clone(),
        }
    }

    fn aim(&self, fence: &Fence, here: Here<'_>) -> Aim {
        let wanted = self.words.wanted().filter(|word| word.active == *here.me);
        if let Some(serving) = self.serving {
            return match wanted {
                Some(word) if word.epoch > serving => Aim::Take { epoch: word.epoch, by_silence: false },
                _ => Aim::Keep(serving),
            };
        }
        if let Some(run) = self.run.as_ref().filter(|run| !run.is_drill() && !run.is_ended()) {
            let holds = fence.holds() == Some(run.epoch);
            // What was halted at the fence still waits for it; what is paused tells the old region to go on meanwhile.
            let is_waiting = run.step() >= RegionStep::Fence && !run.is_paused();
            return if holds || is_waiting {
                Aim::Take { epoch: run.epoch, by_silence: run.mode == Mode::Ungraceful }
            } else if run.is_announced() {
                Aim::Announce(run.epoch)
            } else {
                Aim::Watch
            };
        }
        match wanted {
            Some(word) if self.is_first(word, fence, here) => {
                Aim::Take { epoch: word.epoch, by_silence: false }
            }
            _ => Aim::Watch,
        }
    }

    fn is_frozen(&self, fence: &Fence, here: Here<'_>) -> bool {
        let moves_away =
            self.serving.is_some() && self.words.wanted().is_some_and(|word| word.active != *here.me);
        let is_claimed = self.serving.is_some()
            && fence
                .record()
                .and_then(RegionRecord::open_claim)
                .is_some_and(|claim| claim.region != *here.me);
        let moves_here = self.run.as_ref().is_some_and(|run| !run.is_drill() && !run.is_ended());
        moves_away || is_claimed || moves_here
    }

    fn writers(&self, facts: &Facts, fence: &Fence, here: Here<'_>) -> Writers {
        let Some(serving) = self.serving else { return Writers::Stop };
        if fence.is_yielding() {
            return Writers::Stop;
        }
        if fence.may_start(here.now) == Some(serving) {
            let is_to_end = here.settings.silence(facts.writers_are_guarded) == Silence::Stops;
            let end = fence.fresh_until().filter(|_| is_to_end);
            return Writers::Run { epoch: serving, until: fence.until().or(end) };
        }
        match (fence.holds(), fence.record()) {
            _ if fence.may_run(here.now) == Some(serving) => Writers::Keep,
            // A process that has just begun knows nothing yet. Where writers end by themselves they still do.
            (None, None) if !fence.was_read() => Writers::Keep,
            (None, Some(record)) if record.is_held_by(here.me) && record.epoch == serving => Writers::Keep,
            _ => Writers::Stop,
        }
    }
}

fn word(request: &Request, epoch: Epoch, active: RegionName, mode: Mode) -> Word {
    let from = Source::Cluster { person: request.person.clone(), reason: request.reason.clone() };
    Word { epoch, active, mode, from }
}

/// The highest epoch that is known of at all.
fn highest(words: &Words, fence: &Fence) -> Epoch {
    let said = words.wanted().map_or(Epoch(0), |word| word.epoch);
    let stands = fence.record().map_or(Epoch(0), |record| {
        record.open_claim().map_or(record.epoch, |claim| claim.epoch.max(record.epoch))
    });
    said.max(stands)
}

#[cfg(test)]
mod tests;
