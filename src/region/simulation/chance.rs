//! Chance, time, and what is wrong for a while.

use std::time::Duration;

use fastrand::Rng;

/// Of the world, since the story began. No region knows it.
pub type Millis = u64;

/// Something that is wrong for a while, at one region or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storm {
    /// The shared place does not answer this region.
    NoPlace,
    /// It takes up to eight seconds each way.
    SlowPlace,
    /// What is asked of it is done, and no answer comes.
    LostAnswers,
    /// Reads tell older states.
    StaleReads,
    /// Git cannot be read.
    NoGit,
    /// What the agent tells its cluster arrives up to ten seconds later.
    SlowCluster,
    /// Steps fail.
    FailingSteps,
    /// A preflight is red.
    Red,
}

#[derive(Clone, Debug)]
pub struct Chance {
    rng: Rng,
    storms: Vec<(Storm, usize, Millis)>,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), storms: Vec::new() }
    }

    pub fn begin(&mut self, storm: Storm, region: usize, until: Millis) {
        self.storms.push((storm, region, until));
    }

    pub fn end_all(&mut self) {
        self.storms.clear();
    }

    pub fn is(&self, storm: Storm, region: usize, now: Millis) -> bool {
        self.storms.iter().any(|known| known.0 == storm && known.1 == region && known.2 > now)
    }

    pub fn between(&mut self, least: Millis, most: Millis) -> Millis {
        self.rng.u64(least..=most)
    }

    pub fn one_of(&mut self, n: u32) -> bool {
        self.rng.u32(0..n) == 0
    }

    pub fn number(&mut self) -> u64 {
        self.rng.u64(..)
    }
}

/// The clocks of a region: how fast they run, and how far the one for people is off.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Thousandths of the world's speed.
    pub rate: u64,
    /// When the machine began to run.
    pub booted: Millis,
    pub off: i64,
}

impl Clock {
    pub fn uptime(&self, now: Millis) -> Duration {
        Duration::from_micros(now.saturating_sub(self.booted) * self.rate)
    }

    /// When the region's own clock shows that.
    pub fn when(&self, uptime: Duration) -> Millis {
        let micros = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        self.booted + micros.div_ceil(self.rate)
    }

    pub fn time(&self, now: Millis) -> jiff::Timestamp {
        let since = i64::try_from(now * self.rate / 1000).unwrap_or_default();
        jiff::Timestamp::from_millisecond(1_700_000_000_000 + since + self.off).unwrap_or_default()
    }
}
