//! What happens from outside, invented from a seed.

use fastrand::Rng;

/// Seconds since the story began.
pub type Second = i64;

/// How many there are of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub environments: usize,
    /// In each environment.
    pub apps: usize,
    pub secrets: usize,
    /// Consumers that may roll at once on a replica.
    pub cluster: usize,
    /// The same in one environment.
    pub environment: usize,
}

/// What a version is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    Good,
    /// Pods that are given it do not become ready.
    Fails,
    /// It lacks what is referred to.
    Unusable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Happens {
    /// A secret has a newer version; somebody may tell at once.
    Rotate { secret: usize, worth: Worth, is_told: bool },
    /// The provider answers nothing for so long.
    Down { seconds: Second },
    /// One read of this many fails, for so long.
    Throttled { of: u32, seconds: Second },
    /// Git says something else of an app.
    Commit { environment: usize, app: usize, is_good: bool },
    /// The replica is killed, and begins anew after so long.
    Kill { replica: usize, seconds: Second },
    /// The other replica looks after an environment from now on.
    HandOver { environment: usize },
    /// A person wants what failed to be tried again.
    Retry { environment: usize, app: usize },
}

#[derive(Clone, Debug)]
pub struct Story {
    pub seed: u64,
    pub shape: Shape,
    /// In the order of their times.
    pub happens: Vec<(Second, Happens)>,
}

/// So long something happens from outside; then all is to come to rest.
const LONGEST: Second = 1800;

impl Story {
    pub fn invent(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let shape = Shape {
            environments: random.usize(1..=3),
            apps: random.usize(1..=5),
            secrets: random.usize(1..=4),
            cluster: random.usize(3..=10),
            environment: random.usize(2..=5),
        };
        let mut happens: Vec<(Second, Happens)> =
            (0..random.usize(1..=14)).map(|_| (random.i64(0..LONGEST), one(&mut random, &shape))).collect();
        happens.sort_by_key(|(at, _)| *at);
        Self { seed, shape, happens }
    }

    /// The same without what is not needed for it to fail.
    pub fn shrunk(&self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut least = self.clone();
        let mut at = 0;
        while at < least.happens.len() {
            let mut less = least.clone();
            less.happens.remove(at);
            match fails(&less) {
                true => least = less,
                false => at += 1,
            }
        }
        least
    }
}

fn one(random: &mut Rng, shape: &Shape) -> Happens {
    let (environment, app) = (random.usize(0..shape.environments), random.usize(0..shape.apps));
    match random.u32(0..20) {
        0..=8 => {
            let worth = match random.u32(0..6) {
                0 => Worth::Fails,
                1 => Worth::Unusable,
                _ => Worth::Good,
            };
            Happens::Rotate { secret: random.usize(0..shape.secrets), worth, is_told: random.bool() }
        }
        9..=10 => Happens::Down { seconds: random.i64(1..900) },
        11 => Happens::Throttled { of: random.u32(2..5), seconds: random.i64(1..600) },
        12..=14 => Happens::Commit { environment, app, is_good: random.u32(0..3) > 0 },
        15..=16 => Happens::Kill { replica: random.usize(0..2), seconds: random.i64(0..120) },
        17..=18 => Happens::HandOver { environment },
        _ => Happens::Retry { environment, app },
    }
}
