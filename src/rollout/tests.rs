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
    hooks: Vec<Hook>,
    baseline: Vec<ObjectKey>,
    settle: i64,
    reason: &'static str,
}

impl World {
    fn new(waves: &[&[&str]]) -> Self {
        let waves = waves.iter().map(|names| names.iter().map(|name| key(name)).collect()).collect();
        let (health, baseline, hooks) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { waves, health, may_go_back: false, baseline, settle: 0, hooks, reason: "Said" }
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
            hooks: &self.hooks,
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
                Next::RunHook { .. } => prop_assert!(false, "there is none"),
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

fn job(name: &str) -> Waiting {
    let key = ObjectKey::new("batch", "Job", Some("web"), name);
    Waiting { key, status: Status::Progressing, reason: "Said".into(), message: "so it says".into() }
}

fn runs(until: i64) -> Run {
    Run::Runs { on: job("migrate"), since: at(0), until: at(until) }
}

fn hooks(hooks: &[(usize, Run)]) -> Vec<Hook> {
    hooks.iter().map(|(wave, run)| Hook { wave: *wave, run: run.clone() }).collect()
}

#[test]
fn a_hook_runs_before_its_wave_and_the_wave_is_not_written_before_it_ended_well() {
    let mut world = World::new(&[&["config"], &["web"]]);
    world.hooks = hooks(&[(1, Run::Due), (2, Run::Due)]);
    let (state, next) = world.step(start(), None, 0);
    assert_eq!(next, Next::Apply { wave: 0 });
    let (state, next) = world.set("config", Status::Healthy).step(state, Some(Wrote::All), 1);
    assert_eq!((next, state.wave()), (Next::RunHook { hook: 0 }, None));
    world.hooks[0].run = runs(60);
    let (state, next) = world.step(state, None, 2);
    assert!(matches!(next, Next::Wait { ref on, .. } if on[0].key.name.as_ref() == "migrate"), "{next:?}");
    world.hooks[0].run = Run::Succeeded;
    let (state, next) = world.step(state, None, 3);
    assert_eq!(next, Next::Apply { wave: 1 });
    let (state, next) = world.set("web", Status::Progressing).step(state, Some(Wrote::All), 4);
    assert!(matches!(next, Next::Wait { .. }), "the gate comes before what runs after it: {next:?}");
    let (state, next) = world.set("web", Status::Healthy).step(state, None, 5);
    assert_eq!(next, Next::RunHook { hook: 1 });
    world.hooks[1].run = Run::Succeeded;
    let (state, next) = world.step(state, None, 6);
    assert_eq!((next, state.is_done()), (Next::Done, true));
}

#[test]
fn a_hook_that_fails_or_is_late_halts_or_goes_back() {
    for (run, now) in [(Run::Failed { on: job("migrate") }, 1), (runs(60), 60)] {
        let mut world = World::new(&[&["web"]]);
        world.set("web", Status::Healthy);
        world.hooks = hooks(&[(0, run)]);
        let (state, next) = world.step(start(), None, 0);
        let (state, next) = if now == 60 { world.step(state, None, now) } else { (state, next) };
        assert!(matches!(next, Next::Halt { why: Halt::Hook { .. } }), "{next:?}");
        // That the objects of the next wave are healthy as they are is no reason to go on.
        assert!(matches!(world.step(state.clone(), None, 61).1, Next::Halt { .. }));
        world.may_go_back = true;
        assert!(matches!(world.step(state.clone(), None, 62).1, Next::GoBack { .. }));
        // It ended well after all, or a person had it run again.
        world.hooks[0].run = Run::Succeeded;
        assert_eq!(world.step(state.clone(), None, 63).1, Next::Apply { wave: 0 });
        world.hooks[0].run = Run::Due;
        assert_eq!(world.step(state, None, 64).1, Next::RunHook { hook: 0 });
    }
}

#[test]
fn a_hook_that_the_server_refuses_halts() {
    let mut world = World::new(&[&["web"]]);
    world.hooks = hooks(&[(0, Run::Due)]);
    let (state, next) = world.step(start(), None, 0);
    assert_eq!(next, Next::RunHook { hook: 0 });
    let (_, next) = world.step(state, Some(Wrote::Refused(vec!["no".into()])), 1);
    assert!(matches!(next, Next::Halt { why: Halt::Refused { .. } }), "{next:?}");
}

#[test]
fn a_way_back_runs_no_hooks() {
    let mut world = World::new(&[&["web"]]);
    world.set("web", Status::Healthy).hooks = hooks(&[(0, Run::Due), (1, Run::Due)]);
    let (state, next) = world.step(State::back("old".into()), None, 0);
    assert_eq!(next, Next::Apply { wave: 0 });
    assert_eq!(world.step(state, Some(Wrote::All), 1).1, Next::Done);
}

proptest! {
    /// Whatever becomes of hooks and waves, no wave is written before what runs before it ended well, hooks run one after
    /// the other, none is asked for twice unless it was not made, and in the end all have run or it halted.
    #[test]
    fn hooks_keep_their_place(
        places in prop::collection::vec(0usize..4, 0..4),
        story in prop::collection::vec((0u8..6, 1i64..30), 1..60),
    ) {
        let mut world = World::new(&[&["a"], &["b"], &["c"]]);
        let mut places = places;
        places.sort_unstable();
        world.hooks = places.iter().map(|wave| Hook { wave: *wave, run: Run::Due }).collect();
        let (mut state, mut now, mut wrote, mut halted) = (start(), 0, None, false);
        for name in ["a", "b", "c"] {
            world.set(name, Status::Healthy);
        }
        for (says, pause) in story {
            now += pause;
            let (after, next) = world.step(state, wrote.take(), now);
            state = after;
            match next {
                Next::Apply { wave } => {
                    let before = world.hooks.iter().filter(|hook| hook.wave <= wave);
                    prop_assert!(before.clone().all(|hook| hook.run == Run::Succeeded));
                    wrote = Some(Wrote::All);
                }
                Next::RunHook { hook } => {
                    prop_assert_eq!(&world.hooks[hook].run, &Run::Due);
                    prop_assert!(world.hooks[..hook].iter().all(|hook| hook.run == Run::Succeeded));
                    // Killed before the Job was made, refused, or made.
                    match says {
                        0 => {}
                        1 => world.hooks[hook].run = Run::Behind { on: job("other"), since: at(now), until: at(now + 40) },
                        _ => world.hooks[hook].run = Run::Runs { on: job("m"), since: at(now), until: at(now + 40) },
                    }
                }
                Next::Wait { .. } => {
                    let hook = world.hooks.iter_mut().find(|hook| hook.run != Run::Succeeded);
                    let hook = hook.expect("all else is healthy");
                    hook.run = match (says, &hook.run) {
                        (0, run) => run.clone(),
                        (_, Run::Behind { .. }) => Run::Due,
                        (1, _) => Run::Failed { on: job("m") },
                        _ => Run::Succeeded,
                    };
                }
                Next::Halt { why } => {
                    prop_assert!(matches!(why, Halt::Hook { .. }), "{:?}", why);
                    halted = true;
                }
                Next::Done => prop_assert!(world.hooks.iter().all(|hook| hook.run == Run::Succeeded)),
                Next::GoBack { .. } => prop_assert!(false, "nothing ran before"),
            }
        }
        prop_assert!(!halted || !state.is_done() || world.hooks.iter().all(|hook| hook.run == Run::Succeeded));
    }
}
