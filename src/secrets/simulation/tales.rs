//! Tells many stories, each from a seed of its own.

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::story::{Happens, Shape, Story, Worth};
use super::world::{World, tell};

/// So many are told among the tests of the library, whose build is not optimised.
#[allow(dead_code, reason = "tests/simulation.rs has no tests of the library")]
const FEW: u64 = 150;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn shortest(story: &Story) -> (Story, String) {
    let least = story.shrunk(|less| tell(less, false).is_err());
    let why = tell(&least, false).err().unwrap_or_default();
    (least, why)
}

fn tell_many(from: u64, count: u64) -> bool {
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    // The kinds of faults: the first story of each, and how many there were.
    let faults = Mutex::new(BTreeMap::<String, (u64, u64)>::new());
    let rollouts = AtomicU64::new(0);
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return;
            }
            let seed = from.wrapping_add(n);
            let story = Story::invent(seed);
            match tell(&story, false) {
                Ok(more) => drop(rollouts.fetch_add(more, Ordering::Relaxed)),
                Err(why) => {
                    let is_plain = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
                    let kind = why.split(' ').filter(is_plain).take(8).collect::<Vec<_>>().join(" ");
                    let mut faults = faults.lock().expect("nobody panicked");
                    let known = faults.entry(kind).or_insert((seed, 0));
                    known.1 += 1;
                    if known.1 == 1 {
                        let (least, why) = shortest(&story);
                        println!("the story {seed} failed: {why}\nits shortest form: {least:?}");
                    }
                }
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let faults = faults.into_inner().expect("nobody panicked");
    let failed: u64 = faults.values().map(|(_, count)| count).sum();
    println!(
        "{count} stories of secrets from seed {from}, {failed} failed, {} rollouts, {:?}",
        rollouts.into_inner(),
        begun.elapsed()
    );
    for (kind, (seed, count)) in &faults {
        println!("{count} failed like {seed}: {kind}");
    }
    faults.is_empty()
}

/// Tells so many stories, from a seed that is printed; or one, aloud, where only its seed is given. Says whether all held.
pub fn simulate(count: Option<u64>) -> bool {
    let seed = number("FAIRLEAD_SEED");
    if let (Some(seed), None) = (seed, count) {
        let (least, why) = match tell(&Story::invent(seed), false) {
            Ok(_) => (Story::invent(seed), String::new()),
            Err(_) => shortest(&Story::invent(seed)),
        };
        println!("{least:?}\n{why}");
        return tell(&least, true).is_ok();
    }
    let from = seed.unwrap_or_else(|| fastrand::u64(0..u64::MAX / 2));
    println!(
        "stories of secrets from seed {from}; with FAIRLEAD_SEED and no count, one of them is told aloud"
    );
    match count {
        Some(count) => tell_many(from, count),
        // Three thousand at once take many minutes to tell: so many only where nobody waits for an end.
        None => many_at_once() && tell_many(from, u64::MAX),
    }
}

/// Three thousand secrets of thirty environments change in the same second, and a replica is killed while they roll.
fn many_at_once() -> bool {
    let begun = Instant::now();
    let shape = Shape { environments: 30, apps: 100, secrets: 3000, cluster: 20, environment: 5 };
    let told = at_once(shape);
    println!("{} secrets at once: {told:?}, {:?}", shape.secrets, begun.elapsed());
    told.is_ok()
}

/// Has all secrets change in the same second. Says after how many seconds all had rolled.
fn at_once(shape: Shape) -> Result<i64, String> {
    let mut world = World::new(&Story { seed: 1, shape, happens: Vec::new() }, false);
    world.live_until(600)?;
    for secret in 0..shape.secrets {
        world.happen(Happens::Rotate { secret, worth: Worth::Good, is_told: false });
    }
    world.live_until(900)?;
    world.happen(Happens::Kill { replica: 0, seconds: 10 });
    let begun = world.now;
    while world.now - begun < 24 * 3600 {
        world.live_until(world.now + 60)?;
        if world.at_rest().is_ok() {
            return Ok(world.now - 600);
        }
    }
    world.at_rest().map(|()| world.now)
}

#[test]
fn no_story_of_secrets_rolls_too_much_or_stays_behind() {
    let held = match number("FAIRLEAD_SEED") {
        Some(_) => simulate(None),
        None => tell_many(0, number("FAIRLEAD_STORIES").unwrap_or(FEW)),
    };
    assert!(held, "stories failed; their shortest forms are above");
}

#[test]
fn many_that_change_at_once_roll_within_the_limits_and_all_come_to_rest() {
    let shape = Shape { environments: 6, apps: 10, secrets: 60, cluster: 12, environment: 5 };
    at_once(shape).expect("all come to rest");
}

/// With a replica that is killed and an environment that is handed over meanwhile, and newer versions that nobody can read.
#[test]
fn a_provider_that_is_down_for_a_year_changes_nothing() {
    const DAY: i64 = 24 * 3600;
    let shape = Shape { environments: 2, apps: 3, secrets: 3, cluster: 20, environment: 5 };
    let mut world = World::new(&Story { seed: 5, shape, happens: Vec::new() }, false);
    world.live_until(600).expect("it begins");
    world.at_rest().expect("all run");
    let (begun, runs) = (world.begun, |world: &World| -> Vec<_> {
        world.environments.iter().flat_map(|of| &of.apps).map(|app| app.good.clone()).collect()
    });
    let before = runs(&world);
    world.happen(Happens::Down { seconds: 365 * DAY });
    for (day, what) in [
        (1, Happens::Rotate { secret: 0, worth: Worth::Good, is_told: true }),
        (30, Happens::Kill { replica: 0, seconds: 60 }),
        (100, Happens::HandOver { environment: 1 }),
        (200, Happens::Rotate { secret: 1, worth: Worth::Good, is_told: false }),
        (300, Happens::Kill { replica: 1, seconds: 60 }),
    ] {
        world.live_until(600 + day * DAY).expect("it goes on");
        world.happen(what);
    }
    world.live_until(599 + 365 * DAY).expect("it goes on");
    assert_eq!((world.begun, runs(&world)), (begun, before), "nothing was rolled");
    world.live_until(600 + 366 * DAY).expect("it goes on");
    world.at_rest().expect("all run with the newest versions again");
    assert!(world.begun > begun);
}
