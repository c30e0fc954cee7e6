//! A run, step by step, with a world that does what it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::region::lag::Lag;
use crate::region::record::Attestation;
use crate::region::settings::{Settings, settings};
use crate::region::words::Source;

fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn word(mode: Mode) -> Word {
    let from = Source::Git { commit: "0123456789abcdef".into() };
    Word { epoch: Epoch(4), active: region("b"), mode, from }
}

fn green() -> BTreeMap<Preflight, Result<(), String>> {
    Preflight::ALL.into_iter().map(|preflight| (preflight, Ok(()))).collect()
}

/// What all is well with: the old region helps, and the hold is had as soon as it is wanted.
fn well(green: &BTreeMap<Preflight, Result<(), String>>) -> Facts<'_> {
    Facts {
        preflights: green,
        held: Some(Epoch(4)),
        overtaken: None,
        place_is_empty: false,
        other_froze: true,
        other_drained: true,
        lag: Lag::By(Duration::ZERO),
        outcome: None,
    }
}

struct Bed {
    run: Run,
    settings: Settings,
    clock: i64,
}

impl Bed {
    fn new(mode: Mode) -> Self {
        let run = Run::of(&word(mode), Some(region("a")), time(0));
        Self { run, settings: settings("b", &["a"], 4), clock: 0 }
    }

    fn drill() -> Self {
        let run = Run::drill(Epoch(3), Some(region("a")), region("b"), "ann".into(), time(0));
        Self { run, settings: settings("a", &["b"], 3), clock: 0 }
    }

    fn next(&mut self, facts: &Facts<'_>) -> Next {
        self.clock += 1;
        self.run.next(facts, &self.settings, time(self.clock))
    }

    /// Does each step at once, until something else is next. Says which steps were done.
    fn go(&mut self, facts: &Facts<'_>) -> (Vec<RegionStep>, Next) {
        let mut done = Vec::new();
        let mut next = self.next(facts);
        while let Next::Do { step, attempt } = next {
            done.push(step);
            let outcome = (step, attempt, StepOutcome::Done);
            next = self.next(&Facts { outcome: Some(&outcome), ..facts.clone() });
        }
        (done, next)
    }

    fn ask(&mut self, ask: Ask) -> Result<(), Refusal> {
        self.clock += 1;
        let request = Request { id: "1".into(), person: "ann".into(), reason: "because".into(), ask };
        self.run.hear(&request, time(self.clock))
    }
}

fn halted(next: &Next) -> (&Cause, &[Choice]) {
    match next {
        Next::Halt { cause, choices } => (cause, choices),
        other => panic!("it does not halt: {other:?}"),
    }
}

#[test]
fn a_move_does_all_its_steps_in_order_and_ends() {
    let green = green();
    let mut bed = Bed::new(Mode::Graceful);
    let (done, next) = bed.go(&well(&green));
    let asked: Vec<RegionStep> = RegionStep::ALL.into_iter().filter(|step| !step.is_watched()).collect();
    assert_eq!((done, next), (asked, Next::Ended));
    assert!(matches!(bed.run.ended(), Some((End::Done, _))));
    let served = bed.run.served.unwrap();
    assert!(bed.run.ended().unwrap().1 > served, "recovery ends before what is done for order's sake");
    assert!(
        bed.run.steps().all(|(_, progress)| progress.result == StepResult::Done && progress.attempt == 1)
    );
}

#[test]
fn a_run_goes_on_where_it_was_remembered() {
    let green = green();
    let mut bed = Bed::new(Mode::Graceful);
    for _ in 0..100 {
        let next = bed.next(&well(&green));
        // Each time it is written and read back, and asks for the same again.
        bed.run = serde_json::from_str(&serde_json::to_string(&bed.run).unwrap()).unwrap();
        assert_eq!(bed.next(&well(&green)), next);
        let Next::Do { step, attempt } = next else { break };
        let outcome = (step, attempt, StepOutcome::Done);
        bed.next(&Facts { outcome: Some(&outcome), ..well(&green) });
    }
    assert!(bed.run.is_ended());
}

#[test]
fn nothing_begins_while_the_region_is_not_ready_and_each_reason_is_overridden_by_itself() {
    let mut red = green();
    red.insert(Preflight::Capacity, Err("no room".into()));
    red.remove(&Preflight::Images);
    let mut bed = Bed::new(Mode::Graceful);
    let next = bed.next(&well(&red));
    let (cause, choices) = halted(&next);
    assert_eq!(cause.to_string(), "this region is not ready: images, capacity");
    assert!(choices.contains(&Choice::Override(Preflight::Images)), "{choices:?}");
    assert!(!bed.run.is_announced());
    bed.ask(Ask::Override { preflight: Preflight::Images }).unwrap();
    let next = bed.next(&well(&red));
    assert_eq!(halted(&next).0, &Cause::Preflights { red: vec![Preflight::Capacity] });
    bed.ask(Ask::Override { preflight: Preflight::Capacity }).unwrap();
    assert_eq!(bed.next(&well(&red)), Next::Do { step: RegionStep::ScaleTarget, attempt: 1 });
}

#[test]
fn a_region_that_becomes_ready_begins_by_itself() {
    let (green, red) = (green(), BTreeMap::new());
    let mut bed = Bed::new(Mode::Ungraceful);
    assert!(matches!(bed.next(&well(&red)), Next::Halt { .. }));
    assert_eq!(bed.next(&well(&green)), Next::Do { step: RegionStep::ScaleTarget, attempt: 1 });
}

#[test]
fn a_graceful_move_waits_for_the_old_region_and_an_ungraceful_one_for_the_fence_alone() {
    let green = green();
    let facts = Facts { other_froze: false, other_drained: false, held: None, ..well(&green) };
    let mut bed = Bed::new(Mode::Graceful);
    assert!(matches!(bed.next(&facts), Next::Wait { on: Waits::OldRegion, until: Some(_) }));
    bed.clock += 120;
    let next = bed.next(&facts);
    let (cause, choices) = halted(&next);
    assert_eq!(cause.to_string(), "freeze took longer than 60 s");
    assert!(choices.contains(&Choice::Ungraceful) && choices.contains(&Choice::Skip), "{choices:?}");
    bed.ask(Ask::Ungraceful).unwrap();
    let (done, next) = bed.go(&facts);
    assert_eq!(done, [RegionStep::ScaleTarget]);
    assert!(matches!(next, Next::Wait { on: Waits::OldRegion, .. }), "{next:?}");
    bed.clock += 600;
    let next = bed.next(&facts);
    assert!(halted(&next).1.contains(&Choice::Attest));
    assert_eq!(bed.ask(Ask::Skip { step: RegionStep::Fence }), Err(Refusal::FenceStays));
    let (done, next) = bed.go(&Facts { held: Some(Epoch(4)), ..facts });
    assert_eq!((done.first(), next), (Some(&RegionStep::Data), Next::Ended));
    let result =
        |step: RegionStep| bed.run.steps().find(|(known, _)| *known == step).unwrap().1.result.clone();
    assert_eq!(result(RegionStep::Drain), StepResult::NotWaitedFor);
}

#[test]
fn nothing_of_an_active_region_is_touched_without_the_hold() {
    let green = green();
    let lost = Facts { held: None, ..well(&green) };
    for upto in RegionStep::ALL.into_iter().filter(|step| step.needs_the_fence()) {
        let mut bed = Bed::new(Mode::Graceful);
        let mut next = bed.next(&well(&green));
        while let Next::Do { step, attempt } = next
            && step != upto
        {
            let outcome = (step, attempt, StepOutcome::Done);
            next = bed.next(&Facts { outcome: Some(&outcome), ..well(&green) });
        }
        assert!(matches!(bed.next(&lost), Next::Wait { on: Waits::Fence, .. }), "{upto}");
        bed.clock += 3600;
        assert_eq!(halted(&bed.next(&lost)).0, &Cause::FenceLost);
        assert!(matches!(bed.next(&well(&green)), Next::Do { .. }), "it goes on by itself");
    }
}

#[test]
fn more_than_may_be_lost_is_taken_by_a_person_and_by_its_number() {
    let green = green();
    let behind = |seconds| Facts { lag: Lag::By(Duration::from_secs(seconds)), ..well(&green) };
    let mut bed = Bed::new(Mode::Ungraceful);
    let (done, next) = bed.go(&behind(61));
    assert_eq!(done, [RegionStep::ScaleTarget]);
    assert_eq!(halted(&next).0.to_string(), "the data here are 61 s behind, and at most 60 s may be lost");
    bed.ask(Ask::TakeLoss { most: Duration::from_secs(90) }).unwrap();
    assert_eq!(
        halted(&bed.next(&behind(91))).0.to_string(),
        "the data here are 91 s behind, and at most 90 s may be lost"
    );
    bed.ask(Ask::TakeLoss { most: Duration::from_secs(120) }).unwrap();
    assert_eq!(bed.go(&behind(91)).1, Next::Ended);
    assert_eq!(bed.run.loss, Some(Duration::from_secs(91)));
    let mut bed = Bed::new(Mode::Ungraceful);
    let next = bed.go(&Facts { lag: Lag::Unknown, ..well(&green) }).1;
    assert_eq!(
        halted(&next).0.to_string(),
        "how far the data here are behind is unknown, and at most 60 s may be lost"
    );
}

#[test]
fn what_is_being_measured_is_waited_for_and_not_for_ever() {
    let green = green();
    let awaited = Facts { lag: Lag::Awaited, ..well(&green) };
    for mode in [Mode::Graceful, Mode::Ungraceful] {
        let mut bed = Bed::new(mode);
        assert!(matches!(bed.go(&awaited).1, Next::Wait { on: Waits::Measurement, .. }), "{mode:?}");
        bed.clock += 3600;
        assert!(matches!(halted(&bed.next(&awaited)).0, Cause::DataLag { lag: None, .. }));
        bed.ask(Ask::Retry).unwrap();
        assert!(matches!(bed.next(&awaited), Next::Wait { on: Waits::Measurement, .. }));
        assert!(matches!(bed.next(&well(&green)), Next::Do { step: RegionStep::Data, attempt: 2 }));
    }
    let mut drill = Bed::drill();
    assert!(matches!(drill.go(&awaited).1, Next::Wait { on: Waits::Measurement, .. }));
    let behind = Facts { lag: Lag::By(Duration::from_secs(600)), ..well(&green) };
    assert!(matches!(drill.go(&behind).1, Next::Wait { on: Waits::Promotion, .. }));
    assert_eq!(
        drill.run.loss,
        Some(Duration::from_secs(600)),
        "a drill loses nothing, and says what a move would"
    );
}

#[test]
fn a_graceful_move_loses_nothing_and_waits_for_the_replica() {
    let green = green();
    let behind = Facts { lag: Lag::By(Duration::from_secs(2)), ..well(&green) };
    let mut bed = Bed::new(Mode::Graceful);
    assert!(matches!(bed.go(&behind).1, Next::Wait { on: Waits::Replica, .. }));
    assert!(matches!(bed.next(&well(&green)), Next::Do { step: RegionStep::Data, .. }));
    assert_eq!(bed.run.loss, Some(Duration::ZERO));
    // What is measured once the data are being promoted says nothing any more.
    assert!(matches!(bed.next(&behind), Next::Do { step: RegionStep::Data, .. }));
}

#[test]
fn a_step_that_failed_is_tried_again_under_another_number() {
    let green = green();
    let mut bed = Bed::new(Mode::Graceful);
    assert_eq!(bed.next(&well(&green)), Next::Do { step: RegionStep::ScaleTarget, attempt: 1 });
    let failed = (RegionStep::ScaleTarget, 1, StepOutcome::Failed("no nodes".into()));
    let facts = Facts { outcome: Some(&failed), ..well(&green) };
    assert_eq!(halted(&bed.next(&facts)).0.to_string(), "scaleTarget failed: no nodes");
    bed.ask(Ask::Retry).unwrap();
    // The old outcome is still seen, and is not that of the new attempt.
    assert_eq!(bed.next(&facts), Next::Do { step: RegionStep::ScaleTarget, attempt: 2 });
    bed.ask(Ask::Skip { step: RegionStep::Data }).unwrap_err();
    bed.ask(Ask::Skip { step: RegionStep::ScaleTarget }).unwrap();
    assert_eq!(bed.next(&facts), Next::Do { step: RegionStep::Data, attempt: 1 });
    assert_eq!(bed.run.said.len(), 2);
}

#[test]
fn what_is_paused_does_nothing_and_its_time_does_not_run() {
    let green = green();
    let mut bed = Bed::new(Mode::Graceful);
    bed.next(&well(&green));
    bed.ask(Ask::Pause).unwrap();
    bed.clock += 10_000;
    assert!(matches!(bed.next(&well(&green)), Next::Wait { on: Waits::Resume { .. }, until: None }));
    bed.ask(Ask::Resume).unwrap();
    assert_eq!(bed.next(&well(&green)), Next::Do { step: RegionStep::ScaleTarget, attempt: 1 });
    assert_eq!(bed.ask(Ask::Resume), Err(Refusal::NotPaused));
}

#[test]
fn it_can_be_given_up_until_writers_are_started() {
    let green = green();
    let mut bed = Bed::new(Mode::Graceful);
    bed.next(&well(&green));
    bed.ask(Ask::Abort).unwrap();
    assert!(matches!(bed.run.ended(), Some((End::Aborted { .. }, _))));
    assert_eq!(bed.ask(Ask::Retry), Err(Refusal::Ended));
    let mut bed = Bed::new(Mode::Graceful);
    let mut next = bed.next(&well(&green));
    while let Next::Do { step, attempt } = next
        && step != RegionStep::Writers
    {
        let outcome = (step, attempt, StepOutcome::Done);
        next = bed.next(&Facts { outcome: Some(&outcome), ..well(&green) });
    }
    assert_eq!(bed.ask(Ask::Abort), Err(Refusal::WritersStarted));
    assert!(!bed.run.choices(&Cause::FenceLost).contains(&Choice::Abort));
}

#[test]
fn an_epoch_of_another_ends_it_and_the_same_epoch_halts_it() {
    let green = green();
    let by = |epoch| Facts { overtaken: Some((region("c"), Epoch(epoch))), ..well(&green) };
    let mut bed = Bed::new(Mode::Graceful);
    assert_eq!(bed.next(&by(5)), Next::Ended);
    assert!(matches!(bed.run.ended(), Some((End::Overtaken { by: Epoch(5) }, _))));
    let mut bed = Bed::new(Mode::Graceful);
    let next = bed.next(&by(4));
    assert_eq!(halted(&next).0.to_string(), "epoch 4 is that of c in the shared place");
    assert!(halted(&next).1.contains(&Choice::RaiseEpoch));
}

#[test]
fn every_halt_has_a_choice() {
    let causes = [
        Cause::Preflights { red: vec![Preflight::Data] },
        Cause::TimedOut { step: RegionStep::Fence, after: Duration::from_secs(1) },
        Cause::Failed { step: RegionStep::Data, why: "x".into() },
        Cause::DataLag { lag: None, most: Duration::ZERO },
        Cause::FenceLost,
        Cause::EpochTaken { region: region("a"), epoch: Epoch(1) },
        Cause::PlaceEmpty,
    ];
    for mode in [Mode::Graceful, Mode::Ungraceful] {
        for step in RegionStep::ALL {
            for cause in &causes {
                let mut run = Bed::new(mode).run;
                run.at = step;
                assert!(!run.choices(cause).is_empty(), "{cause} at {step}");
                assert!(step != RegionStep::Fence || !run.choices(cause).contains(&Choice::Skip));
            }
        }
    }
}

#[test]
fn a_reason_is_asked_for() {
    let mut run = Bed::new(Mode::Graceful).run;
    let silent = |ask| Request { id: "1".into(), person: "ann".into(), reason: " ".into(), ask };
    assert_eq!(run.hear(&silent(Ask::Ungraceful), time(1)), Err(Refusal::NoReason));
    assert_eq!(run.hear(&silent(Ask::Retry), time(1)), Ok(()));
}

#[test]
fn a_drill_touches_neither_the_fence_nor_the_old_region_nor_traffic() {
    let green = green();
    let facts = Facts { held: None, other_froze: false, lag: Lag::Unknown, ..well(&green) };
    let mut bed = Bed::drill();
    let (done, next) = bed.go(&facts);
    let drilled: Vec<RegionStep> = RegionStep::ALL.into_iter().filter(|step| step.is_drilled()).collect();
    assert_eq!((done, next), (drilled, Next::Wait { on: Waits::Promotion, until: None }));
    assert!(bed.run.stands() && bed.run.served.is_none() && !bed.run.has_begun(RegionStep::Writers));
    let attestation = Attestation { holder: None, counter: 0, person: "ann".into(), reason: "x".into() };
    for ask in [Ask::Abort, Ask::Ungraceful, Ask::Attest { attestation }] {
        assert_eq!(bed.ask(ask), Err(Refusal::IsDrill));
    }
    bed.ask(Ask::EndDrill).unwrap();
    assert!(bed.run.is_ended());
}

#[test]
fn a_promoted_drill_does_again_all_that_is_about_data_traffic_and_the_old_region() {
    let green = green();
    let mut bed = Bed::drill();
    assert_eq!(bed.run.clone().promote(&word(Mode::Graceful), time(1)), None, "it does not stand yet");
    bed.go(&well(&green));
    let promoted = bed.run.promote(&word(Mode::Graceful), time(500)).unwrap();
    assert!(matches!(bed.run.ended(), Some((End::Promoted, _))));
    bed.run = promoted;
    let (done, next) = bed.go(&well(&green));
    assert_eq!(next, Next::Ended);
    let asked: Vec<RegionStep> = RegionStep::ALL
        .into_iter()
        .filter(|step| !step.is_watched() && *step != RegionStep::ScaleTarget)
        .collect();
    assert_eq!(done, asked);
}
