//! Which replica looks after which environment, and until when it may.
//!
//! Each replica keeps one heartbeat, a Lease whose name is its own for one run and never comes back. While that Lease
//! exists the replica is alive; whoever has not seen it change for long enough, by its own clock, deletes it on the
//! condition that it still has not changed, and with that the replica is dead for everyone, itself included. So no two
//! clocks are ever compared. Who has which environment stands in one record that changes by compare-and-swap and only
//! when an environment changes hands: at rest the heartbeats are all that is written.
//!
//! 1. What is seen is a [`View`]: the heartbeats, when each last changed, and the record.
//! 2. [`spread`] says who should have which environment. Everyone comes to the same answer from the same view.
//! 3. A [`Member`] decides what this replica runs, and how the record and the dead change hands.
//!
//! A living replica gives away what it has, after it has stopped; nobody takes from it. From the dead anyone takes who
//! should have it. Time comes in as an argument: as long as this machine has run, which no one can set.

mod member;
mod record;
mod spread;
mod view;

#[cfg(test)]
mod simulation;

use std::fmt;
use std::time::Duration;

pub use member::{Decision, Member, Situation, Written};
pub use record::{Claim, OwnershipRecord};
pub use spread::{Seat, spread};
pub use view::{Peer, SeenLease, Share, Version, View};

/// How long this machine has run. It passes while the machine sleeps, and nobody can set it.
pub type Moment = Duration;

/// One run of one agent: the name of its heartbeat. It ends with the heartbeat, and never comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(Box<str>);

impl ReplicaId {
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Raised by every change of the record, so that of two owners the later has the higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The times that keep two replicas from owning at once.
///
/// A heartbeat that was asked for at `t` reaches the others after `t`. The owner stops by itself at `t + fence`; the
/// others wait for `takeover` after they saw it. As long as `takeover` on any clock is longer than `fence` on any
/// other, which allows clocks of one to run a third faster than another's, the owner has stopped before it is replaced.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often the heartbeat is renewed.
    pub renew: Duration,
    /// How long one attempt to renew it may take, so that another fits in before the fence.
    pub attempt: Duration,
    /// A replica stops by itself this long after it began the last renewal that was confirmed.
    pub fence: Duration,
    /// Others take a replica for dead this long after they last saw its heartbeat change.
    pub takeover: Duration,
    /// A living replica gives to another only once that one has lived this long: one that crashes as it starts must
    /// not draw environments to itself each time.
    pub settle: Duration,
}

/// A dead replica's environments run elsewhere within 15 s: 11 s to be sure of its death, the rest to take over.
pub const TIMING: Timing = Timing {
    renew: Duration::from_secs(3),
    attempt: Duration::from_secs(2),
    fence: Duration::from_secs(8),
    takeover: Duration::from_secs(11),
    settle: Duration::from_secs(5),
};

const _: () = {
    assert!(TIMING.renew.as_millis() + 2 * TIMING.attempt.as_millis() < TIMING.fence.as_millis());
    assert!(TIMING.fence.as_millis() * 4 / 3 < TIMING.takeover.as_millis());
};
