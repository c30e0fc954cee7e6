//! What a region decides, moment by moment. The simulation has what these do not think of.

use std::time::Duration;

use super::*;
use crate::region::fence::TIMING;
use crate::region::record::{Answer, Call, Claim, Stored, Version, record};
use crate::region::run::Waits;
use crate::region::settings::settings;

fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

/// A region, a shared place that answers at once, and a cluster that does as it is told.
struct Bed {
    me: RegionName,
    settings: Settings,
    state: State,
    fence: Fence,
    stands: Option<RegionRecord>,
    facts: Facts,
    seconds: u64,
}

impl Bed {
    fn new(me: &str, stands: Option<RegionRecord>) -> Self {
        let preflights = Preflight::ALL.into_iter().map(|preflight| (preflight, Ok(()))).collect();
        let facts = Facts {
            preflights,
            lag: Lag::By(Duration::ZERO),
            writers_are_guarded: true,
            writers_have_ends: true,
            writers_stopped: true,
            scratch_left: Some(0),
            ..Facts::default()
        };
        Self {
            me: region(me),
            settings: settings("a", &["b", "c"], 1),
            state: State::default(),
            fence: Fence::new(region(me), 1, TIMING),
            stands,
            facts,
            seconds: 0,
        }
    }

    fn git(&mut self, epoch: u64, active: &str, mode: Mode) -> Result<(), WordFault> {
        let from = Source::Git { commit: format!("commit{epoch}") };
        self.state.words.hear_git(Word { epoch: Epoch(epoch), active: region(active), mode, from })
    }

    fn here(&self) -> (RegionName, Settings, Moment, Timestamp) {
        let time = Timestamp::from_second(1_700_000_000 + self.seconds as i64).unwrap();
        (self.me.clone(), self.settings.clone(), Duration::from_secs(self.seconds), time)
    }

    fn hear(&mut self, id: &str, ask: RegionAsk) -> Result<(), Refused> {
        let (me, settings, now, time) = self.here();
        let request =
            Request { id: id.into(), person: "ann".into(), reason: "because".into(), ask: Ask::Retry };
        let here = Here { me: &me, settings: &settings, now, time };
        self.state.hear(&request, &ask, here, &self.fence)
    }

    /// One second: decides, does what was decided, and remembers.
    fn tick(&mut self) -> Decision {
        self.seconds += 1;
        let (me, settings, now, time) = self.here();
        let here = Here { me: &me, settings: &settings, now, time };
        let decision = self.state.decide(&self.facts, &self.fence, here);
        self.state = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
        if let Some((ticket, call)) = self.fence.next(&decision.wish, now) {
            let version = |record: &RegionRecord| Version::new(&record.serial.to_string());
            let current = self.stands.as_ref().map(version);
            let answer = match call {
                Call::Read => Answer::Read(
                    self.stands.clone().map(|record| Stored { version: version(&record), record }),
                ),
                Call::Swap { from, .. } if from != current => Answer::Conflict,
                Call::Swap { record, .. } => {
                    let version = version(&record);
                    self.stands = Some(record);
                    Answer::Swapped(version)
                }
            };
            self.fence.answered(ticket, answer, now);
        }
        self.facts.frozen = decision.duties.freeze;
        self.facts.writers_stopped = decision.duties.writers == Writers::Stop;
        self.facts.outcome = match decision.next {
            Some(Next::Do { step, attempt }) => Some((step, attempt, StepOutcome::Done)),
            _ => None,
        };
        decision
    }

    fn ticks(&mut self, count: usize) -> Vec<Decision> {
        (0..count).map(|_| self.tick()).collect()
    }

    fn serves(mut self) -> Self {
        self.git(1, "a", Mode::Graceful).unwrap();
        self.ticks(5);
        assert_eq!(self.state.serving(), Some(Epoch(1)));
        self
    }

    fn claim(&mut self, epoch: u64, ready: bool) {
        let record = self.stands.as_mut().unwrap();
        record.claim = Some(Claim { region: region("b"), epoch: Epoch(epoch), ready });
        record.serial += 1;
    }
}

fn runs(decision: &Decision) -> bool {
    matches!(decision.duties.writers, Writers::Run { .. })
}

#[test]
fn the_first_region_serves_without_a_move() {
    let mut bed = Bed::new("a", None).serves();
    assert!(runs(&bed.tick()) && bed.state.run().is_none());
    assert!(matches!(bed.tick().duties.writers, Writers::Run { epoch: Epoch(1), until: Some(_) }));
}

#[test]
fn git_alone_freezes_a_region_and_only_a_claim_stops_it() {
    let mut bed = Bed::new("a", None).serves();
    bed.git(2, "b", Mode::Graceful).unwrap();
    let decisions = bed.ticks(100);
    assert!(decisions.iter().skip(1).all(|decision| runs(decision) && decision.duties.freeze));
    assert_eq!(bed.stands.as_ref().unwrap().acknowledged, Epoch(2), "it says that it froze");
    bed.claim(2, true);
    bed.ticks(60);
    assert_eq!(bed.tick().duties.writers, Writers::Stop);
    assert_eq!(bed.stands.as_ref().unwrap().hold, Hold::Released);
}

#[test]
fn a_claim_is_obeyed_where_git_is_away_and_withdrawn_in_time_stops_nothing() {
    let mut bed = Bed::new("a", None).serves();
    bed.claim(2, false);
    bed.ticks(30);
    let decision = bed.tick();
    assert!(runs(&decision) && decision.duties.freeze);
    assert_eq!(bed.stands.as_ref().unwrap().acknowledged, Epoch(2));
    let record = bed.stands.as_mut().unwrap();
    (record.claim, record.serial) = (None, record.serial + 1);
    bed.ticks(30);
    let decision = bed.tick();
    assert!(runs(&decision) && !decision.duties.freeze);
}

#[test]
fn a_returning_region_reads_the_epoch_before_anything_else() {
    let mut bed = Bed::new("a", None).serves();
    let mut taken = record("b", 2, Hold::Held(Silence::Stops));
    (taken.serial, taken.drains) = (90, Some(region("a")));
    bed.stands = Some(taken);
    bed.fence = Fence::new(region("a"), 2, TIMING);
    let first = bed.tick();
    assert_eq!(first.duties.writers, Writers::Keep, "nothing is started");
    let second = bed.tick();
    assert_eq!((second.duties.writers, bed.state.serving()), (Writers::Stop, None));
    assert!(second.news.contains(&News::GaveUp { epoch: Epoch(1), to: region("b"), at: Epoch(2) }));
    assert!(second.duties.drain);
    bed.facts.drained = true;
    bed.ticks(3);
    assert_eq!(bed.stands.unwrap().drains, None);
}

#[test]
fn a_standby_becomes_the_active_region_step_by_step() {
    let mut bed = Bed::new("b", Some(record("a", 1, Hold::Held(Silence::Stops))));
    bed.git(1, "a", Mode::Graceful).unwrap();
    assert!(bed.ticks(5).iter().all(|decision| decision.duties.writers == Writers::Stop));
    bed.git(2, "b", Mode::Graceful).unwrap();
    let decisions = bed.ticks(10);
    assert!(
        decisions
            .iter()
            .any(|decision| matches!(decision.next, Some(Next::Wait { on: Waits::OldRegion, .. })))
    );
    assert_eq!(bed.stands.as_ref().unwrap().claim.as_ref().map(|claim| claim.ready), Some(false));
    let old = bed.stands.as_mut().unwrap();
    (old.acknowledged, old.serial, old.counter) = (Epoch(2), old.serial + 1, old.counter + 1);
    bed.ticks(10);
    assert_eq!(bed.stands.as_ref().unwrap().claim.as_ref().map(|claim| claim.ready), Some(true));
    let old = bed.stands.as_mut().unwrap();
    (old.hold, old.serial, old.counter) = (Hold::Released, old.serial + 1, old.counter + 1);
    let decisions = bed.ticks(40);
    assert_eq!((bed.state.serving(), runs(&bed.tick())), (Some(Epoch(2)), true));
    let news: Vec<&News> = decisions.iter().flat_map(|decision| &decision.news).collect();
    assert!(news.contains(&&News::Served { epoch: Epoch(2) }), "{news:?}");
    let data = decisions
        .iter()
        .position(|decision| matches!(decision.next, Some(Next::Do { step: RegionStep::Data, .. })));
    let writers = decisions.iter().position(runs);
    assert!(data.is_some() && data < writers, "data come before writers");
}

#[test]
fn a_move_that_git_takes_back_half_way_is_overtaken_and_gives_up() {
    let mut bed = Bed::new("b", Some(record("a", 1, Hold::Released)));
    bed.git(2, "b", Mode::Graceful).unwrap();
    bed.ticks(4);
    assert!(bed.state.run().is_some_and(|run| !run.is_ended()));
    bed.git(3, "a", Mode::Graceful).unwrap();
    bed.ticks(10);
    assert!(bed.state.run().is_some_and(Run::is_ended));
    let record = bed.stands.as_ref().unwrap();
    assert!(record.claim.is_none() && !record.is_held_by(&region("b")), "{record:?}");
}

#[test]
fn an_epoch_that_goes_back_changes_nothing_and_is_told() {
    let mut bed = Bed::new("a", None).serves();
    bed.git(3, "a", Mode::Graceful).unwrap();
    bed.ticks(5);
    assert!(bed.git(2, "b", Mode::Graceful).is_err());
    assert!(bed.ticks(50).iter().all(|decision| runs(decision) && !decision.duties.freeze));
    assert!(bed.state.words.fault().is_some());
}

#[test]
fn without_git_and_without_the_old_region_a_person_moves_it() {
    let mut bed = Bed::new("b", Some(record("a", 1, Hold::Held(Silence::Stops))));
    bed.git(1, "a", Mode::Graceful).unwrap();
    bed.ticks(3);
    let ask = RegionAsk::BreakGlass { active: region("b"), epoch: None, mode: Mode::Ungraceful };
    bed.hear("1", ask.clone()).unwrap();
    bed.ticks(120);
    assert_eq!(bed.state.serving(), Some(Epoch(2)));
    bed.hear("1", ask).unwrap();
    assert_eq!(bed.state.words.wanted().unwrap().epoch, Epoch(2), "it is heard once");
    // Git is back and says what it said: the word holds. A higher epoch ends it.
    bed.git(1, "a", Mode::Graceful).unwrap();
    bed.ticks(50);
    assert_eq!(bed.state.words.wanted().unwrap().active, region("b"));
    bed.git(3, "a", Mode::Graceful).unwrap();
    assert_eq!(bed.state.words.wanted().unwrap().active, region("a"));
}

#[test]
fn what_a_person_gave_up_is_not_begun_again_until_it_is_wanted_anew() {
    let mut bed = Bed::new("b", Some(record("a", 1, Hold::Held(Silence::RunsOn))));
    bed.git(2, "b", Mode::Ungraceful).unwrap();
    bed.ticks(10);
    bed.hear("1", RegionAsk::Run(Ask::Abort)).unwrap();
    bed.ticks(30);
    assert!(bed.state.run().is_some_and(Run::is_ended));
    assert_eq!(bed.stands.as_ref().unwrap().claim, None);
    bed.hear("2", RegionAsk::Run(Ask::Retry)).unwrap();
    bed.ticks(5);
    assert!(bed.state.run().is_some_and(|run| !run.is_ended()));
}

#[test]
fn a_drill_leaves_nothing_behind_and_is_for_a_standby() {
    let mut bed = Bed::new("a", None).serves();
    assert_eq!(bed.hear("1", RegionAsk::Drill), Err(Refused::IsActive));
    let mut bed = Bed::new("b", Some(record("a", 1, Hold::Held(Silence::Stops))));
    bed.git(1, "a", Mode::Graceful).unwrap();
    bed.tick();
    bed.hear("1", RegionAsk::Drill).unwrap();
    assert_eq!(bed.hear("2", RegionAsk::Drill), Err(Refused::Busy));
    bed.facts.scratch_left = Some(3);
    assert!(bed.ticks(30).iter().all(|decision| decision.duties.writers == Writers::Stop));
    assert!(bed.state.run().is_some_and(Run::stands));
    bed.hear("3", RegionAsk::Run(Ask::EndDrill)).unwrap();
    assert!(bed.ticks(20).iter().all(|decision| decision.duties.clean_up));
    bed.facts.scratch_left = None;
    assert!(bed.tick().duties.clean_up, "what cannot be looked at is not gone");
    bed.facts.scratch_left = Some(0);
    let decision = bed.tick();
    assert!(!decision.duties.clean_up && decision.news.contains(&News::CleanedUp));
}

#[test]
fn a_commit_with_the_mode_drill_has_a_standby_rehearse_once() {
    let mut bed = Bed::new("b", Some(record("a", 1, Hold::Held(Silence::Stops))));
    bed.git(2, "a", Mode::Drill).unwrap();
    bed.ticks(20);
    assert!(bed.state.run().is_some_and(Run::stands));
    bed.hear("1", RegionAsk::Run(Ask::EndDrill)).unwrap();
    bed.ticks(20);
    assert!(bed.state.run().is_some_and(Run::is_ended));
}

#[test]
fn a_drill_that_stands_becomes_the_real_move() {
    for seed in 0..20 {
        let silence = if seed % 2 == 0 { Silence::Stops } else { Silence::RunsOn };
        let mut bed = Bed::new("b", Some(record("a", 1, Hold::Held(silence))));
        bed.git(1, "a", Mode::Graceful).unwrap();
        bed.hear("1", RegionAsk::Drill).unwrap();
        assert_eq!(bed.hear("2", RegionAsk::PromoteDrill { mode: Mode::Ungraceful }), Err(Refused::NoDrill));
        bed.ticks(30 + seed % 5);
        bed.hear("3", RegionAsk::PromoteDrill { mode: Mode::Ungraceful }).unwrap();
        // Not so long that silence would be proof.
        bed.ticks(5 + seed / 4);
        let old = bed.stands.as_mut().unwrap();
        assert_eq!(old.claim.as_ref().map(|claim| (claim.epoch, claim.ready)), Some((Epoch(2), true)));
        (old.hold, old.serial) = (Hold::Released, old.serial + 1);
        let decisions = bed.ticks(60);
        assert_eq!(bed.state.serving(), Some(Epoch(2)));
        let scaled = |decision: &Decision| {
            matches!(decision.next, Some(Next::Do { step: RegionStep::ScaleTarget, .. }))
        };
        assert!(!decisions.iter().any(scaled), "what the drill scaled stays");
        assert!(decisions.iter().any(|decision| decision.news.contains(&News::CleanedUp)));
    }
}

#[test]
fn nothing_is_promised_before_writers_have_an_end() {
    let mut bed = Bed::new("a", None);
    bed.facts.writers_have_ends = false;
    let mut bed = bed.serves();
    bed.ticks(20);
    assert_eq!(bed.stands.as_ref().unwrap().hold, Hold::Held(Silence::RunsOn));
    let decision = bed.tick();
    assert!(
        matches!(decision.duties.writers, Writers::Run { until: Some(_), .. }),
        "they are given one first"
    );
    bed.facts.writers_have_ends = true;
    bed.ticks(3);
    assert_eq!(bed.stands.as_ref().unwrap().hold, Hold::Held(Silence::Stops));
    bed.facts.writers_are_guarded = false;
    bed.ticks(3);
    assert_eq!(bed.stands.as_ref().unwrap().hold, Hold::Held(Silence::RunsOn));
    assert!(matches!(bed.tick().duties.writers, Writers::Run { until: None, .. }));
}

#[test]
fn an_agent_that_begins_while_the_place_is_away_stops_nothing_and_starts_nothing() {
    let mut bed = Bed::new("a", None).serves();
    bed.fence = Fence::new(region("a"), 2, TIMING);
    for seconds in 1..100 {
        bed.seconds = 100 + seconds;
        let (me, settings, now, time) = bed.here();
        let here = Here { me: &me, settings: &settings, now, time };
        let decision = bed.state.decide(&bed.facts, &bed.fence, here);
        assert_eq!(decision.duties.writers, Writers::Keep);
    }
}
