//! Tells stories to the room: git, an API server, pods and people that do what they do in the wild, and agents that die at
//! any moment and come back with nothing but what was remembered; all in simulated time, from one seed.

mod agent;
mod chance;
mod checks;
mod content;
mod git;
mod hands;
mod pods;
mod rest;
mod run;
mod server;
mod store;
mod story;
mod view;

use run::tell;
use story::{Stimulus, Story};

/// Tells a story that was told before, and has to hold.
fn holds(seed: u64, stimuli: Vec<(chance::Millis, Stimulus)>) {
    let told = tell(&Story { seed, stimuli });
    assert!(told.is_ok(), "{told:?}");
}

/// The same story with as little as possible in it that still fails.
fn shrink(story: &Story) -> (Story, String) {
    let mut least = story.clone();
    let mut why = tell(story).err().unwrap_or_default();
    loop {
        let before = least.stimuli.len();
        let mut n = least.stimuli.len();
        while n > 0 {
            n -= 1;
            let mut fewer = least.clone();
            fewer.stimuli.remove(n);
            if fewer.stimuli.is_empty() {
                continue;
            }
            if let Err(fault) = tell(&fewer) {
                (least, why) = (fewer, fault);
            }
        }
        if least.stimuli.len() == before {
            return (least, why);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the seed comes from outside, and how long it took is told")]
mod tests {
    use super::*;

    /// One story, aloud: `FAIRLEAD_SEED` names it.
    #[test]
    #[ignore = "for who looks at one story"]
    fn one_story_aloud() {
        let seed: u64 = std::env::var("FAIRLEAD_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        let (least, why) = shrink(&Story::invent(seed));
        println!("{:?}", run::tell_aloud(&least, true));
        println!("{}", least.as_test(&why));
    }

    #[test]
    fn stories_hold() {
        let count: u64 = std::env::var("FAIRLEAD_STORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
        let seed: u64 = std::env::var("FAIRLEAD_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        let begun = std::time::Instant::now();
        let mut decisions = 0;
        let mut facts = std::collections::BTreeMap::new();
        let mut kinds: std::collections::BTreeMap<String, (u64, u64)> = std::collections::BTreeMap::new();
        for n in seed..seed + count {
            match tell(&Story::invent(n)) {
                Ok(told) => {
                    decisions += told.decisions;
                    for (word, count) in told.facts {
                        *facts.entry(word).or_insert(0) += count;
                    }
                }
                Err(why) => {
                    let kind: String = why.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
                    kinds.entry(kind).or_insert((n, 0)).1 += 1;
                }
            }
        }
        println!("{count} stories, {decisions} decisions, {:?}", begun.elapsed());
        println!("{facts:?}");
        let mut all: Vec<_> = kinds.into_iter().collect();
        all.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
        let failed: u64 = all.iter().map(|(_, (_, count))| count).sum();
        for (_, (n, count)) in all.iter().take(8) {
            let (least, why) = shrink(&Story::invent(*n));
            println!("{count} like it:\n{}", least.as_test(&why));
        }
        assert_eq!(failed, 0);
    }
}
