//! What is still to happen in a story, and what lurks.

use std::collections::VecDeque;

use super::chance::Millis;
use super::story::{Stimulus, Story};

pub struct Script {
    left: VecDeque<(Millis, Stimulus)>,
    lurking: Vec<Lurking>,
}

/// What happens so long after an action of this name was begun so many times.
struct Lurking {
    deed: &'static str,
    count: u8,
    delay: Millis,
    stimulus: Stimulus,
}

impl Script {
    pub fn of(story: &Story) -> Self {
        Self { left: story.stimuli.iter().cloned().collect(), lurking: Vec::new() }
    }

    pub fn next(&self) -> Option<Millis> {
        self.left.front().map(|(at, _)| *at)
    }

    /// What happens by now, if anything does.
    pub fn take(&mut self, now: Millis) -> Option<Stimulus> {
        let stimulus = self.left.pop_front_if(|(at, _)| *at <= now)?.1;
        if let Stimulus::Lurk(deed, count, delay) = stimulus
            && let Some((_, stimulus)) =
                self.left.pop_front_if(|(_, next)| !matches!(next, Stimulus::Lurk(..)))
        {
            self.lurking.push(Lurking { deed, count, delay, stimulus });
            return Some(Stimulus::Lurk(deed, count, delay));
        }
        Some(stimulus)
    }

    /// Takes that an action was begun.
    pub fn begun(&mut self, name: &str, now: Millis) {
        let mut left = Vec::new();
        for mut lurking in std::mem::take(&mut self.lurking) {
            if lurking.deed == name {
                lurking.count = lurking.count.saturating_sub(1);
            }
            if lurking.count > 0 {
                left.push(lurking);
                continue;
            }
            let at = now + lurking.delay;
            let place = self.left.partition_point(|(due, _)| *due <= at);
            self.left.insert(place, (at, lurking.stimulus));
        }
        self.lurking = left;
    }
}
