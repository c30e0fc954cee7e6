//! The fence, moment by moment. The simulation has what these do not think of.

use super::*;
use crate::region::record::{Version, record};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Moment {
    SECOND * u32::try_from(seconds).unwrap()
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

fn wish(aim: Aim) -> Wish {
    Wish {
        aim,
        silence: Silence::Stops,
        acknowledged: Epoch(0),
        writers_stopped: false,
        drained: false,
        attested: None,
    }
}

/// A place that answers at once, unless it is told otherwise.
struct Bed {
    fence: Fence,
    stands: Option<RegionRecord>,
}

impl Bed {
    fn new(stands: Option<RegionRecord>) -> Self {
        Self { fence: Fence::new(region("me"), 7, TIMING), stands }
    }

    fn version(&self) -> Option<Version> {
        self.stands.as_ref().map(|record| Version::new(&record.serial.to_string()))
    }

    fn stored(&self) -> Option<Stored> {
        Some(Stored { record: self.stands.clone()?, version: self.version()? })
    }

    /// Asks what the fence wants to ask, and gives the answer so much later. Says what was written.
    fn ask(&mut self, wish: &Wish, now: Moment, later: Duration) -> Option<RegionRecord> {
        let (ticket, call) = self.fence.next(wish, now)?;
        let (written, answer) = self.serve(call);
        self.fence.answered(ticket, answer, now + later);
        written
    }

    fn serve(&mut self, call: Call) -> (Option<RegionRecord>, Answer) {
        match call {
            Call::Read => (None, Answer::Read(self.stored())),
            Call::Swap { from, .. } if from != self.version() => (None, Answer::Conflict),
            Call::Swap { record, .. } => {
                self.stands = Some(record.clone());
                let version = self.version().unwrap();
                (Some(record), Answer::Swapped(version))
            }
        }
    }

    /// Reads, and then does what follows from it.
    fn settle(&mut self, wish: &Wish, now: Moment) -> Option<RegionRecord> {
        self.ask(wish, now, Duration::ZERO);
        self.ask(wish, now, Duration::ZERO)
    }
}

fn held(silence: Silence) -> RegionRecord {
    record("other", 3, Hold::Held(silence))
}

fn take(epoch: u64, by_silence: bool) -> Wish {
    wish(Aim::Take { epoch: Epoch(epoch), by_silence })
}

#[test]
fn the_first_epoch_begins_in_an_empty_place_and_no_later_one_does() {
    let mut bed = Bed::new(None);
    assert_eq!(bed.settle(&take(1, false), at(0)).unwrap().proof, Proof::First);
    assert_eq!(bed.fence.may_start(at(1)), Some(Epoch(1)));
    let mut bed = Bed::new(None);
    assert_eq!(bed.settle(&take(2, true), at(0)), None);
    let attested =
        Attestation { holder: None, counter: 0, person: "ann".into(), reason: "the table was lost".into() };
    let word = Wish { attested: Some(attested), ..take(2, true) };
    assert!(matches!(bed.ask(&word, at(10), Duration::ZERO).unwrap().proof, Proof::Attested { .. }));
}

#[test]
fn a_hold_counts_from_when_it_was_asked_for_and_not_from_the_answer() {
    let mut bed = Bed::new(Some(record("me", 3, Hold::Released)));
    let keep = wish(Aim::Keep(Epoch(3)));
    bed.ask(&keep, at(0), Duration::ZERO);
    assert_eq!(bed.fence.may_start(at(0)), None, "a read gives no hold");
    bed.ask(&keep, at(10), 4 * SECOND);
    assert_eq!(bed.fence.may_run(at(39)), Some(Epoch(3)));
    assert_eq!(bed.fence.until(), Some(at(40)));
    assert_eq!(bed.fence.may_run(at(40)), None);
}

#[test]
fn that_this_region_holds_is_not_known_from_a_read() {
    let mut bed = Bed::new(Some(record("me", 3, Hold::Held(Silence::Stops))));
    bed.ask(&wish(Aim::Keep(Epoch(3))), at(0), Duration::ZERO);
    assert_eq!((bed.fence.may_start(at(0)), bed.fence.may_run(at(0))), (None, None));
    bed.ask(&wish(Aim::Keep(Epoch(3))), at(0), Duration::ZERO);
    assert_eq!(bed.fence.may_start(at(0)), Some(Epoch(3)));
}

#[test]
fn a_holder_that_promises_to_stop_is_replaced_once_it_has() {
    let mut bed = Bed::new(Some(held(Silence::Stops)));
    let mine = take(4, true);
    let claimed = bed.settle(&mine, at(0)).unwrap();
    assert_eq!(claimed.claim, Some(Claim { region: region("me"), epoch: Epoch(4), ready: true }));
    for seconds in (2..60).step_by(2) {
        assert_eq!(bed.ask(&mine, at(seconds), Duration::ZERO), None, "after {seconds} s");
    }
    let taken = bed.ask(&mine, at(60), Duration::ZERO).unwrap();
    assert_eq!((taken.proof, taken.drains), (Proof::Silence { seconds: 60 }, Some(region("other"))));
    assert_eq!(bed.fence.may_start(at(61)), Some(Epoch(4)));
}

#[test]
fn a_holder_that_renews_is_not_silent_however_often_others_write() {
    let mut bed = Bed::new(Some(held(Silence::Stops)));
    let mine = take(4, true);
    for seconds in 0..200 {
        if seconds % 50 == 49 {
            let record = bed.stands.as_mut().unwrap();
            record.counter += 1;
            record.serial += 1;
        }
        bed.ask(&mine, at(seconds), Duration::ZERO);
        assert_eq!(bed.stands.as_ref().unwrap().epoch, Epoch(3), "after {seconds} s");
    }
}

#[test]
fn the_silence_of_a_holder_that_runs_on_proves_nothing() {
    let mut bed = Bed::new(Some(held(Silence::RunsOn)));
    let mine = take(4, true);
    for seconds in 0..1000 {
        bed.ask(&mine, at(seconds), Duration::ZERO);
    }
    assert_eq!(bed.stands.as_ref().unwrap().epoch, Epoch(3));
    let word = |counter| Wish {
        attested: Some(Attestation {
            holder: Some((region("other"), Epoch(3))),
            counter,
            person: "ann".into(),
            reason: "it burns".into(),
        }),
        ..take(4, false)
    };
    assert_eq!(bed.ask(&word(2), at(1001), Duration::ZERO), None, "a word about another state");
    assert!(matches!(bed.ask(&word(1), at(1001), Duration::ZERO).unwrap().proof, Proof::Attested { .. }));
}

#[test]
fn a_word_does_not_count_against_a_holder_that_may_still_renew() {
    let mut bed = Bed::new(Some(held(Silence::RunsOn)));
    let attested = Attestation {
        holder: Some((region("other"), Epoch(3))),
        counter: 1,
        person: "ann".into(),
        reason: "it burns".into(),
    };
    let word = Wish { attested: Some(attested), ..take(4, false) };
    for seconds in 0..60 {
        bed.ask(&word, at(seconds), Duration::ZERO);
        assert_eq!(bed.stands.as_ref().unwrap().epoch, Epoch(3), "after {seconds} s");
    }
    bed.ask(&word, at(61), Duration::ZERO);
    assert_eq!(bed.stands.as_ref().unwrap().epoch, Epoch(4));
}

#[test]
fn a_claimed_region_stops_before_it_gives_up_and_starts_nothing_after() {
    let mut bed = Bed::new(Some(record("me", 3, Hold::Released)));
    let keep = wish(Aim::Keep(Epoch(3)));
    bed.settle(&keep, at(0));
    let record = bed.stands.as_mut().unwrap();
    record.claim = Some(Claim { region: region("other"), epoch: Epoch(4), ready: false });
    record.serial += 1;
    bed.settle(&keep, at(20));
    bed.settle(&keep, at(21));
    assert_eq!(bed.fence.may_start(at(22)), Some(Epoch(3)), "one that only announces itself stops nobody");
    let record = bed.stands.as_mut().unwrap();
    record.claim = Some(Claim { region: region("other"), epoch: Epoch(4), ready: true });
    record.serial += 1;
    bed.settle(&keep, at(32));
    bed.settle(&keep, at(33));
    assert!(bed.fence.is_yielding());
    assert_eq!((bed.fence.may_start(at(33)), bed.fence.may_run(at(33))), (None, None));
    assert!(bed.stands.as_ref().unwrap().is_held_by(&region("me")), "writers run yet");
    let stopped = Wish { writers_stopped: true, ..keep.clone() };
    let (ticket, call) = bed.fence.next(&stopped, at(34)).unwrap();
    assert_eq!(bed.fence.holds(), None, "from the moment at which it is sent");
    let (_, answer) = bed.serve(call);
    bed.fence.answered(ticket, answer, at(34));
    assert_eq!(bed.stands.as_ref().unwrap().hold, Hold::Released);
    assert_eq!(bed.settle(&keep, at(60)), None, "nothing is taken back from a claim");
}

#[test]
fn an_answer_that_was_lost_is_found_out() {
    let mut bed = Bed::new(Some(record("other", 3, Hold::Released)));
    let mine = take(4, false);
    bed.ask(&mine, at(0), Duration::ZERO);
    let (ticket, call) = bed.fence.next(&mine, at(1)).unwrap();
    let (_, answer) = bed.serve(call);
    assert_eq!(bed.fence.next(&mine, at(3)), None, "one call at a time");
    // Its time is over: what came of it is looked up.
    let (read, call) = bed.fence.next(&mine, at(6)).unwrap();
    assert_eq!(call, Call::Read);
    bed.fence.answered(ticket, answer, at(6));
    assert_eq!(bed.fence.may_start(at(6)), None, "an answer that comes too late says nothing");
    let (_, answer) = bed.serve(call);
    bed.fence.answered(read, answer, at(7));
    assert_eq!(bed.fence.may_start(at(7)), Some(Epoch(4)));
    assert_eq!(bed.fence.until(), Some(at(31)), "it counts from when it was sent");
}

#[test]
fn who_begins_to_promise_keeps_it_from_the_moment_it_is_sent() {
    let mut bed = Bed::new(Some(record("me", 3, Hold::Released)));
    let runs_on = Wish { silence: Silence::RunsOn, ..wish(Aim::Keep(Epoch(3))) };
    bed.settle(&runs_on, at(0));
    assert_eq!((bed.fence.until(), bed.fence.may_run(at(9000))), (None, Some(Epoch(3))));
    assert_eq!(bed.fence.may_start(at(31)), None, "nothing is started without a word of the place");
    let sent = bed.fence.next(&wish(Aim::Keep(Epoch(3))), at(100));
    assert!(matches!(sent, Some((_, Call::Swap { .. }))), "{sent:?}");
    assert_eq!(bed.fence.until(), Some(at(130)), "whether it was done or not");
}

#[test]
fn who_ends_a_promise_keeps_it_until_that_is_confirmed() {
    let mut bed = Bed::new(Some(record("me", 3, Hold::Released)));
    bed.settle(&wish(Aim::Keep(Epoch(3))), at(0));
    let runs_on = Wish { silence: Silence::RunsOn, ..wish(Aim::Keep(Epoch(3))) };
    let (ticket, call) = bed.fence.next(&runs_on, at(5)).unwrap();
    assert_eq!(bed.fence.until(), Some(at(30)));
    let (_, answer) = bed.serve(call);
    bed.fence.answered(ticket, answer, at(6));
    assert_eq!(bed.fence.until(), None);
}

#[test]
fn an_older_state_is_refused_and_named() {
    let mut bed = Bed::new(Some(RegionRecord { serial: 9, ..held(Silence::Stops) }));
    let look = wish(Aim::Watch);
    bed.ask(&look, at(0), Duration::ZERO);
    bed.stands = Some(RegionRecord { serial: 8, hold: Hold::Released, ..held(Silence::Stops) });
    bed.ask(&look, at(30), Duration::ZERO);
    assert_eq!(bed.fence.record().unwrap().hold, Hold::Held(Silence::Stops));
    let trouble = bed.fence.trouble().unwrap().to_string();
    assert!(trouble.contains("an older state than before (write 8 after 9)"), "{trouble}");
}

#[test]
fn of_two_claims_the_higher_counts_and_of_equal_ones_the_first() {
    let mut bed = Bed::new(Some(held(Silence::Stops)));
    bed.stands.as_mut().unwrap().claim =
        Some(Claim { region: region("third"), epoch: Epoch(4), ready: true });
    assert_eq!(bed.settle(&take(4, true), at(0)), None);
    assert_eq!(bed.fence.overtaken(Epoch(4)), Some((region("third"), Epoch(4))));
    assert_eq!(bed.fence.overtaken(Epoch(5)), None);
    let claimed = bed.ask(&take(5, true), at(2), Duration::ZERO).unwrap();
    assert_eq!(claimed.claim.unwrap().region, region("me"));
}

#[test]
fn an_epoch_that_another_has_is_never_taken() {
    for epoch in [2, 3] {
        let mut bed = Bed::new(Some(record("other", 3, Hold::Released)));
        for seconds in 0..200 {
            bed.ask(&take(epoch, true), at(seconds), Duration::ZERO);
        }
        assert_eq!(bed.stands.unwrap().holder, region("other"), "epoch {epoch}");
    }
}

#[test]
fn who_cannot_stop_its_writers_is_silent_at_last() {
    let mut bed = Bed::new(Some(record("me", 3, Hold::Released)));
    let keep = wish(Aim::Keep(Epoch(3)));
    bed.settle(&keep, at(0));
    let record = bed.stands.as_mut().unwrap();
    record.claim = Some(Claim { region: region("other"), epoch: Epoch(4), ready: true });
    record.serial += 1;
    for seconds in 1..300 {
        bed.ask(&keep, at(seconds), Duration::ZERO);
    }
    let counter = bed.stands.as_ref().unwrap().counter;
    for seconds in 300..400 {
        bed.ask(&keep, at(seconds), Duration::ZERO);
    }
    assert_eq!(bed.stands.unwrap().counter, counter);
    assert!(bed.fence.until().unwrap() < at(200));
}

#[test]
fn what_is_given_up_is_withdrawn_and_what_has_drained_is_told() {
    let mut bed = Bed::new(Some(held(Silence::Stops)));
    bed.settle(&take(4, false), at(0));
    assert_eq!(bed.ask(&wish(Aim::Watch), at(3), Duration::ZERO).unwrap().claim, None);
    let record = bed.stands.as_mut().unwrap();
    (record.drains, record.serial) = (Some(region("me")), record.serial + 1);
    assert_eq!(bed.settle(&wish(Aim::Watch), at(40)), None, "it has not drained");
    let drained = Wish { drained: true, ..wish(Aim::Watch) };
    assert_eq!(bed.ask(&drained, at(70), Duration::ZERO).unwrap().drains, None);
}
