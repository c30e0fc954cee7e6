//! Time, chance, and what goes wrong for a while.

use fastrand::Rng;

/// Since the story began.
pub type Millis = u64;

/// Something that is wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storm {
    /// Answers take up to ten seconds.
    Slow,
    /// Requests fail, and change nothing.
    Errors,
    /// Requests are done, and their answers are lost.
    Lost,
    /// What is watched comes late.
    Lag,
    /// Nothing can be remembered.
    Unsaved,
    /// What is remembered cannot be read.
    Unread,
    /// Nobody may delete anything.
    Undeletable,
    /// What is deleted has finalizers that last.
    Held,
    /// Deployments cannot be listed, nor watched.
    Unlisted,
    /// What git says is in doubt, as where its branch is gone: nothing may be deleted for it.
    Doubt,
    /// Pods that start do not become ready.
    Weather,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    Good,
    /// It was never done.
    Failed,
    /// It was done, and nobody says so.
    Lost,
}

pub struct Chance {
    rng: Rng,
    storms: Vec<(Storm, Millis)>,
    pub now: Millis,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), storms: Vec::new(), now: 0 }
    }

    pub fn begin(&mut self, storm: Storm, until: Millis) {
        self.storms.push((storm, until));
    }

    pub fn until(&self, storm: Storm) -> Option<Millis> {
        let all = self.storms.iter().filter(|(known, until)| *known == storm && *until > self.now);
        all.map(|(_, until)| *until).max()
    }

    pub fn is(&self, storm: Storm) -> bool {
        self.until(storm).is_some()
    }

    pub fn between(&mut self, least: Millis, most: Millis) -> Millis {
        self.rng.u64(least..=most)
    }

    pub fn one_of(&mut self, n: u32) -> bool {
        self.rng.u32(0..n) == 0
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        self.rng.shuffle(all);
    }

    /// When something that begins now is at the server, or its answer here.
    pub fn way(&mut self) -> Millis {
        let most = if self.is(Storm::Slow) { 5000 } else { 60 };
        self.now + self.between(1, most)
    }

    pub fn luck(&mut self) -> Luck {
        if self.is(Storm::Errors) && self.one_of(3) {
            return Luck::Failed;
        }
        if self.is(Storm::Lost) && self.one_of(3) {
            return Luck::Lost;
        }
        Luck::Good
    }

    /// When something that is watched is seen.
    pub fn seen(&mut self) -> Millis {
        let most = if self.is(Storm::Lag) { 20_000 } else { 100 };
        self.now + self.between(5, most)
    }
}
