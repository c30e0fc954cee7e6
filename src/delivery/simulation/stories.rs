//! Tells many stories, each from a seed of its own.

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::run::{Told, tell, tell_aloud};
use super::shrink::shrink;
use super::story::Story;

/// So many are told among the tests of the library, whose build is not optimised. `make test` tells more.
#[allow(dead_code, reason = "tests/simulation.rs has no tests of the library")]
const FEW: u64 = 300;
/// How often it is said how far this is.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What came of many stories.
#[derive(Default)]
struct Sum {
    stories: u64,
    decisions: u64,
    /// Of those, the ones after the last that happened; and the most of one story.
    calm: (u64, u64),
    /// The most actions that were begun after that in one story, and in which.
    calm_actions: (u64, u64),
    facts: BTreeMap<&'static str, u64>,
    /// The kinds of faults: the first story of each, and how many there were.
    faults: BTreeMap<String, (u64, u64)>,
}

impl Sum {
    fn add(&mut self, seed: u64, told: Result<Told, String>) {
        self.stories += 1;
        match told {
            Ok(told) => {
                self.decisions += told.decisions;
                self.calm = (self.calm.0 + told.calm_decisions, self.calm.1.max(told.calm_decisions));
                self.calm_actions = self.calm_actions.max((told.calm_actions, seed));
                for (word, count) in told.facts {
                    *self.facts.entry(word).or_default() += count;
                }
            }
            Err(why) => self.faults.entry(kind(&why)).or_insert((seed, 0)).1 += 1,
        }
    }

    fn failed(&self) -> u64 {
        self.faults.values().map(|(_, count)| count).sum()
    }
}

/// A fault without its numbers, digests and names.
fn kind(why: &str) -> String {
    let is_name = |word: &&str| {
        let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        word.contains(|letter: char| letter.is_ascii_digit() || letter == '-')
            || super::content::APPS.contains(&word)
    };
    why.split(' ').filter(|word| !is_name(word)).take(12).collect::<Vec<_>>().join(" ")
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Tells stories from a seed on, on all cores, until there were so many; each new kind of fault is printed as it is found.
fn tell_many(from: u64, count: u64) -> Sum {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let begun = Instant::now();
    let said = Mutex::new(begun);
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return;
            }
            let seed = from.wrapping_add(n);
            let told = tell(&Story::invent(seed));
            let is_new = {
                let mut sum = sum.lock().unwrap();
                let is_new = told.as_ref().is_err_and(|why| !sum.faults.contains_key(&kind(why)));
                sum.add(seed, told);
                is_new
            };
            if is_new {
                let (least, why) = shrink(&Story::invent(seed));
                println!("the story {seed} failed; its shortest form:\n{}", least.as_test(&why));
            }
            let mut said = said.lock().unwrap();
            if said.elapsed() > SAY_EVERY {
                *said = Instant::now();
                let sum = sum.lock().unwrap();
                println!("{} stories, {} failed, {:?}", sum.stories, sum.failed(), begun.elapsed());
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let sum = sum.into_inner().unwrap();
    println!("{} stories from seed {from}, {} decisions, {:?}", sum.stories, sum.decisions, begun.elapsed());
    let (calm, most) = sum.calm;
    println!("{calm} of them at rest, {most} at most in one story; actions and seed {:?}", sum.calm_actions);
    println!("{:?}", sum.facts);
    for (kind, (seed, count)) in &sum.faults {
        println!("{count} failed like {seed}: {kind}");
    }
    sum
}

/// Tells so many stories from a seed that is printed, or until it is stopped; or one, aloud, where only its seed is given.
/// `usual` is the seed where the process environment gives none; any, where this does not either. Says whether all held.
pub fn simulate(count: Option<u64>, usual: Option<u64>) -> bool {
    let seed = number("FAIRLEAD_SEED").or(usual);
    if let (Some(seed), None) = (seed, count) {
        let (least, why) = shrink(&Story::invent(seed));
        let told = tell_aloud(&least, true);
        if told.is_err() {
            println!("{}", least.as_test(&why));
        }
        return told.is_ok();
    }
    let from = seed.unwrap_or_else(|| fastrand::u64(0..u64::MAX / 2));
    println!("stories from seed {from}; `make simulate FAIRLEAD_SEED=...` tells one of them aloud");
    tell_many(from, count.unwrap_or(u64::MAX)).failed() == 0
}

/// From here on the first 20,000 stories are known to hold.
const KNOWN: u64 = 500_000;

#[test]
fn every_story_holds() {
    assert!(simulate(Some(FEW), Some(KNOWN)), "stories failed; their shortest forms are above");
}
