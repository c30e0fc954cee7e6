//! Tells many stories, each from a seed of its own.

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::rest::{Told, tell};
use super::shrink::shrink;
use super::story::Story;

/// So many are told among the tests of the library, whose build is not optimised.
#[allow(dead_code, reason = "tests/regions.rs has no tests of the library")]
const FEW: u64 = 300;
/// How often it is said how far this is.
const SAY_EVERY: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Sum {
    stories: u64,
    decisions: u64,
    starts: u64,
    /// The kinds of faults: the first story of each, and how many there were.
    faults: BTreeMap<String, (u64, u64)>,
}

/// A fault without its numbers.
fn kind(why: &str) -> String {
    let is_plain = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
    why.split([' ', ';']).filter(is_plain).take(8).collect::<Vec<_>>().join(" ")
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

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
            let told = tell(&Story::invent(seed), false);
            let is_new = {
                let mut sum = sum.lock().unwrap();
                sum.stories += 1;
                match told {
                    Ok(Told { decisions, starts }) => {
                        sum.decisions += decisions;
                        sum.starts += starts;
                        false
                    }
                    Err(why) => {
                        let known = sum.faults.entry(kind(&why)).or_insert((seed, 0));
                        known.1 += 1;
                        known.1 == 1
                    }
                }
            };
            if is_new {
                let (least, why) = shrink(&Story::invent(seed));
                println!("the story {seed} failed; its shortest form:\n{}", least.as_test(&why));
            }
            let mut said = said.lock().unwrap();
            if said.elapsed() > SAY_EVERY {
                *said = Instant::now();
                println!("{} stories, {:?}", sum.lock().unwrap().stories, begun.elapsed());
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let sum = sum.into_inner().unwrap();
    let failed: u64 = sum.faults.values().map(|(_, count)| count).sum();
    println!(
        "{} stories from seed {from}, {failed} failed, {} decisions, writers started {} times, {:?}",
        sum.stories,
        sum.decisions,
        sum.starts,
        begun.elapsed()
    );
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
        let (least, why) = match tell(&Story::invent(seed), false) {
            Ok(_) => (Story::invent(seed), String::new()),
            Err(_) => shrink(&Story::invent(seed)),
        };
        let told = tell(&least, true);
        if told.is_err() {
            println!("{}", least.as_test(&why));
        }
        return told.is_ok();
    }
    let from = seed.unwrap_or_else(|| fastrand::u64(0..u64::MAX / 2));
    println!("stories from seed {from}; with FAIRLEAD_SEED and no count, one of them is told aloud");
    tell_many(from, count.unwrap_or(u64::MAX)).faults.is_empty()
}

#[test]
fn no_story_has_two_writers_and_each_comes_to_an_end() {
    assert!(simulate(Some(FEW), Some(0)), "stories failed; their shortest forms are above");
}
