use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::health::Status;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("apps", "Deployment", Some("web"), name)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

struct World {
    waves: Vec<Vec<ObjectKey>>,
    health: BTreeMap<ObjectKey, Status>,
    may_go_back: bool,
    baseline: Vec<ObjectKey>,
    settle: i64,
    reason: &'static str,
}

impl World {
    fn new(waves: &[&[&str]]) -> Self {
        let waves = waves.iter().map(|names| names.iter().map(|name| key(name)).collect()).collect();
        let (health, baseline) = (BTreeMap::new(), Vec::new());
        Self { waves, health, may_go_back: false, baseline, settle: 0, reason: "Said" }
    }

    fn set(&mut self, name: &str, status: Status) -> &mut Self {
        self.health.insert(key(name), status);
        self
    }

    fn step(&self, state: State, wrote: Option<Wrote>, now: i64) -> (State, Next) {
        let health = |key: &ObjectKey| {
            Health::new(self.health.get(key).copied().unwrap_or(Status::Missing), self.reason, "so it says")
        };
        let observed = Observed {
            waves: &self.waves,
            baseline: &self.baseline,
            health: &health,
            wrote,
            timeout: SignedDuration::from_secs(600),
            settle: SignedDuration::from_secs(self.settle),
            may_go_back: self.may_go_back,
        };
        step(state, &observed, at(now))
    }
}

fn start() -> State {
    State::start("d".into())
}

#[test]
fn what_nobody_can_read_is_not_waited_for() {
    let mut world = World::new(&[&["a"]]);
    let (state, next) = world.set("a", Status::Progressing).step(start(), Some(Wrote::All), 0);
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    world.reason = "NotUnderstood";
    assert_eq!(world.step(state, None, 1).1, Next::Done);
}

#[test]
fn a_wave_waits_until_the_one_before_is_healthy() {
    let mut world = World::new(&[&["a"], &["b"]]);
    let (state, next) = world.step(start(), None, 0);
    assert_eq!(next, Next::Apply { wave: 0 });
    let (state, next) = world.set("a", Status::Progressing).step(state, Some(Wrote::All), 1);
    assert!(matches!(next, Next::Wait { ref on, .. } if on[0].key == key("a")), "{next:?}");
    let (state, next) = world.set("a", Status::Healthy).step(state, None, 2);
    assert_eq!(next, Next::Apply { wave: 1 });
    let (state, next) = world.set("b", Status::Healthy).step(state, Some(Wrote::All), 3);
    assert_eq!((next, state.is_done()), (Next::Done, true));
}

#[test]
fn a_gate_halts_when_its_time_is_over_and_says_on_what() {
    let mut world = World::new(&[&["a"]]);
    let (state, _) = world.set("a", Status::Progressing).step(start(), Some(Wrote::All), 0);
    let (state, next) = world.step(state, None, 599);
    assert!(matches!(next, Next::Wait { until, .. } if until == at(600)), "{next:?}");
    let (_, next) = world.step(state, None, 600);
    assert!(matches!(next, Next::Halt { why: Halt::TimedOut { ref on } } if on.len() == 1), "{next:?}");
}

#[test]
fn a_failure_must_last_before_it_halts() {
    let mut world = World::new(&[&["a"]]);
    let (state, next) = world.set("a", Status::Failed).step(start(), Some(Wrote::All), 0);
    assert!(matches!(next, Next::Wait { until, .. } if until == at(5)));
    let (recovered, _) = world.set("a", Status::Progressing).step(state.clone(), None, 4);
    let (_, next) = world.set("a", Status::Failed).step(recovered, None, 6);
    assert!(matches!(next, Next::Wait { .. }), "a failure that passed does not count");
    let (_, next) = world.step(state, None, 5);
    assert!(matches!(next, Next::Halt { why: Halt::Failed { .. } }));
}

#[test]
fn what_becomes_healthy_after_a_halt_opens_the_gate() {
    let mut world = World::new(&[&["a"], &["b"]]);
    let (state, _) = world.set("a", Status::Failed).step(start(), Some(Wrote::All), 0);
    let (state, _) = world.step(state, None, 10);
    assert!(matches!(state.phase, Phase::Halted { .. }));
    let (_, next) = world.set("a", Status::Healthy).step(state, None, 20);
    assert_eq!(next, Next::Apply { wave: 1 });
}

#[test]
fn a_refused_write_halts_for_good() {
    let mut world = World::new(&[&["a"]]);
    world.set("a", Status::Healthy);
    let (state, next) = world.step(start(), Some(Wrote::Refused(vec!["no".into()])), 0);
    assert!(matches!(next, Next::Halt { why: Halt::Refused { .. } }));
    assert!(matches!(world.step(state, None, 1).1, Next::Halt { .. }));
}

#[test]
fn a_claim_is_judged_with_the_last_wave() {
    let claim = ObjectKey::new("", "PersistentVolumeClaim", Some("web"), "data");
    let mut world = World::new(&[&[], &["db"]]);
    world.waves[0].push(claim.clone());
    world.health.insert(claim.clone(), Status::Progressing);
    let (state, next) = world.step(start(), Some(Wrote::All), 0);
    assert_eq!(next, Next::Apply { wave: 1 });
    let (_, next) = world.set("db", Status::Healthy).step(state, Some(Wrote::All), 1);
    assert!(matches!(next, Next::Wait { ref on, .. } if on[0].key == claim), "{next:?}");
}

#[test]
fn the_state_survives_being_written_down() {
    let state = State {
        digest: "d".into(),
        purpose: Purpose::Back,
        phase: Phase::Gate { wave: 1, since: at(0), failing_since: Some(at(3)) },
    };
    let settling = Phase::Settle { wave: 1, since: at(0), failing_since: None };
    for state in [state.clone(), State { phase: settling, ..state }] {
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}

#[test]
fn what_was_well_before_is_asked_with_the_last_wave() {
    let mut world = World::new(&[&["a"], &["b"]]);
    world.baseline = vec![key("beside")];
    world.set("a", Status::Healthy).set("b", Status::Healthy).set("beside", Status::Progressing);
    let (state, next) = world.step(start(), Some(Wrote::All), 0);
    assert_eq!(next, Next::Apply { wave: 1 });
    let (state, next) = world.step(state, Some(Wrote::All), 1);
    assert!(matches!(next, Next::Wait { ref on, .. } if on[0].key == key("beside")), "{next:?}");
    let (state, _) = world.set("beside", Status::Failed).step(state, None, 2);
    let (_, next) = world.step(state, None, 7);
    assert!(
        matches!(next, Next::Halt { why: Halt::Failed { ref on } } if on[0].key == key("beside")),
        "{next:?}"
    );
}

#[test]
fn a_failure_while_it_settles_counts_and_what_is_on_its_way_does_not() {
    let mut world = World::new(&[&["a"]]);
    world.settle = 30;
    let (settling, next) = world.set("a", Status::Healthy).step(start(), Some(Wrote::All), 0);
    assert!(matches!(next, Next::Wait { ref on, until, .. } if on.is_empty() && until == at(30)), "{next:?}");

    let (state, next) = world.set("a", Status::Failed).step(settling.clone(), None, 20);
    assert!(matches!(next, Next::Wait { until, .. } if until == at(25)), "{next:?}");
    assert!(matches!(world.step(state, None, 25).1, Next::Halt { why: Halt::Failed { .. } }));

    // An autoscaler asks for more: at the end it has to be healthy, and has as long as a gate has.
    let (state, next) = world.set("a", Status::Progressing).step(settling, None, 30);
    assert!(matches!(next, Next::Wait { until, .. } if until == at(630)), "{next:?}");
    assert!(matches!(world.step(state.clone(), None, 630).1, Next::Halt { why: Halt::TimedOut { .. } }));
    assert_eq!(world.set("a", Status::Healthy).step(state, None, 31).1, Next::Done);
}

proptest! {
    /// Whatever health says, however time passes, whoever commits and whenever the agent is killed: waves are asked for in
    /// order, none twice without a write between and none of a revision that is not wanted any more, and the end is Done,
    /// the way back, or Halted.
    #[test]
    fn any_story_ends_and_waves_come_in_order(
        waves in 1usize..5,
        story in prop::collection::vec((0u8..5, 0i64..400, 0u8..12), 1..60),
        may_go_back in any::<bool>(),
        settle in prop_oneof![Just(0i64), 1i64..300],
        back in any::<bool>(),
    ) {
        let names: Vec<String> = (0..waves).map(|n| format!("w{n}")).collect();
        let lists: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
        let slices: Vec<&[&str]> = lists.iter().map(Vec::as_slice).collect();
        let mut world = World::new(&slices);
        world.may_go_back = may_go_back;
        world.settle = settle;
        let mut back = back;
        let first = if back { State::back("d".into()) } else { start() };
        let (mut state, mut now, mut written, mut asked) = (first, 0, 0usize, false);
        for (says, pause, what) in story {
            now += pause;
            let (refuse, killed, commits) = (what % 2 == 0, what == 10, what == 11);
            if commits {
                // A newer digest: its plan begins with its first wave, whatever came of the one before.
                state = State::start(Digest::from(format!("d{now}").as_str()));
                (written, asked, back) = (0, false, false);
                world.health.clear();
            }
            if killed {
                // Whoever comes after knows what was written down, and asks for the write again whose answer nobody heard.
                state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
                asked = false;
            }
            let status = [Status::Healthy, Status::Progressing, Status::Failed, Status::Missing, Status::Suspended][usize::from(says)];
            for name in &names[..written.min(waves)] {
                world.set(name, status);
            }
            let wrote = asked.then(|| if refuse && says == 2 { Wrote::Refused(vec!["no".into()]) } else { Wrote::All });
            if wrote == Some(Wrote::All) { written += 1; }
            let digest = state.digest.clone();
            let (after, next) = world.step(state, wrote, now);
            prop_assert_eq!(&after.digest, &digest, "it goes to one revision");
            asked = false;
            match &next {
                Next::Apply { wave } => {
                    prop_assert_eq!(*wave, written);
                    asked = true;
                }
                Next::Done => prop_assert_eq!(written, waves),
                Next::Wait { until, .. } => prop_assert!(*until > at(now)),
                Next::Halt { .. } => prop_assert!(back || !may_go_back),
                Next::GoBack { .. } => prop_assert!(may_go_back && !back, "one way back, and only where it may"),
            }
            state = after;
        }
        // Days of silence later it has ended one way or the other, or waits for a write that was asked for. Time to settle
        // begins when the last gate opens.
        let (state, _) = world.step(state, None, now + 86_400);
        let (_, next) = world.step(state, None, now + 172_800);
        let ended = matches!(next, Next::Done | Next::Halt { .. } | Next::GoBack { .. } | Next::Apply { .. });
        prop_assert!(ended, "{:?}", next);
    }
}

#[test]
fn what_fails_goes_back_where_it_may_and_what_went_back_goes_no_further() {
    let mut world = World::new(&[&["a"]]);
    world.may_go_back = true;
    world.set("a", Status::Failed);
    let (state, _) = world.step(start(), None, 0);
    let (state, next) = world.step(state, Some(Wrote::All), 1);
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    let (state, next) = world.step(state, None, 600);
    assert!(matches!(next, Next::GoBack { why: Halt::Failed { .. } }), "{next:?}");
    // Whoever did not hear it is told again.
    assert!(matches!(world.step(state, None, 601).1, Next::GoBack { .. }));

    let (state, _) = world.step(State::back("old".into()), None, 602);
    let (state, _) = world.step(state, Some(Wrote::All), 603);
    let (state, next) = world.step(state, None, 700);
    assert!(matches!(next, Next::Halt { .. }), "{next:?}");
    assert_eq!((state.purpose, state.digest), (Purpose::Back, "old".into()));
    let refused = Some(Wrote::Refused(vec!["no".to_owned()]));
    assert!(matches!(world.step(start(), refused.clone(), 0).1, Next::GoBack { .. }));
    assert!(matches!(world.step(State::back("old".into()), refused, 0).1, Next::Halt { .. }));
}
