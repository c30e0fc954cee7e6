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

/// So many are told where nobody says how many. Without optimisation each takes ten times as long.
const STORIES: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
/// How often `make simulate` says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What came of many stories.
#[derive(Default)]
struct Sum {
    stories: u64,
    decisions: u64,
    /// Of those, the ones after the last that happened; and the most of one story.
    calm: (u64, u64),
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
                for (word, count) in told.facts {
                    *self.facts.entry(word).or_default() += count;
                }
            }
            Err(why) => self.faults.entry(kind(&why)).or_insert((seed, 0)).1 += 1,
        }
    }
}

/// A fault without its numbers and digests.
fn kind(why: &str) -> String {
    why.chars().filter(|letter| !letter.is_ascii_hexdigit()).take(60).collect()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Tells stories from a seed on, on all cores, until there were so many; each fault is printed as it is found.
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
                let failed: u64 = sum.faults.values().map(|(_, count)| count).sum();
                println!("{} stories, {failed} failed, {:?}", sum.stories, begun.elapsed());
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let sum = sum.into_inner().unwrap();
    println!("{} stories from seed {from}, {} decisions, {:?}", sum.stories, sum.decisions, begun.elapsed());
    println!("{} of them at rest, {} at most in one story; {:?}", sum.calm.0, sum.calm.1, sum.facts);
    sum
}

#[test]
fn every_story_holds() {
    let from = number("FAIRLEAD_SEED").unwrap_or_else(|| fastrand::u64(0..u64::MAX / 2));
    println!("stories from seed {from}; `make simulate FAIRLEAD_SEED=...` repeats one of them");
    let sum = tell_many(from, number("FAIRLEAD_STORIES").unwrap_or(STORIES));
    for (kind, (seed, count)) in &sum.faults {
        println!("{count} failed like {seed}: {kind}");
    }
    assert!(sum.faults.is_empty(), "stories failed; their shortest forms are above");
}

/// `make simulate`.
#[test]
#[ignore = "it ends when it is stopped, or after the one story that was asked for"]
fn stories_without_end() {
    match number("FAIRLEAD_SEED") {
        None => {
            let sum =
                tell_many(fastrand::u64(0..u64::MAX / 2), number("FAIRLEAD_STORIES").unwrap_or(u64::MAX));
            assert!(sum.faults.is_empty());
        }
        Some(seed) => {
            let (least, why) = shrink(&Story::invent(seed));
            let told = tell_aloud(&least, true);
            if told.is_err() {
                println!("{}", least.as_test(&why));
            }
            assert!(told.is_ok(), "{told:?}");
        }
    }
}
