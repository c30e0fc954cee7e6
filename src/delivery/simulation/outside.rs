//! Everything but the agent: the world that it lives in, and what outlives it.

use jiff::{SignedDuration, Timestamp};

use super::chance::{Chance, Millis};
use super::checks::Checks;
use super::git::Git;
use super::hands::{Reach, Task};
use super::policies::start;
use super::server::Server;
use super::store::Store;
use super::view::View;
use crate::delivery::Platform;
use crate::object::ObjectKey;
use crate::plan::Inventory;

/// Everything but the agent.
pub struct Outside {
    pub chance: Chance,
    pub server: Server,
    pub store: Store,
    pub git: Git,
    pub platform: Platform,
    /// What stands on the Environment.
    pub inventory: Inventory,
    pub checks: Checks,
    /// How much the clock of the agent is ahead.
    pub clock: i64,
    /// The Environment goes, and what it made with it.
    pub goes: bool,
    /// The actions that were begun since somebody looked.
    pub begun: Vec<&'static str>,
    /// What dead agents sent, and what they knew.
    pub limbo: Limbo,
}

/// Requests of processes that are dead.
#[derive(Default)]
pub struct Limbo {
    pub tasks: Vec<Task>,
    pub view: View,
    pub notes: Vec<(ObjectKey, Box<str>)>,
}

macro_rules! reach {
    ($agent:ident, $outside:ident) => {
        &mut Reach {
            chance: &mut $outside.chance,
            server: &mut $outside.server,
            store: &mut $outside.store,
            git: &$outside.git,
            checks: &mut $outside.checks,
            view: &mut $agent.view,
            notes: &mut $agent.notes,
        }
    };
}

pub(super) use reach;

impl Outside {
    /// The time, as the agent reads it.
    pub fn time(&self) -> Timestamp {
        let now = i64::try_from(self.chance.now).unwrap_or(i64::MAX) + self.clock;
        start() + SignedDuration::from_millis(now)
    }

    /// When something that a dead agent sent arrives.
    pub fn next(&self) -> Option<Millis> {
        self.limbo.tasks.iter().map(|task| task.at).min()
    }

    /// Lets arrive what dead agents sent.
    pub fn go_on(&mut self) {
        if self.next().is_none_or(|at| at > self.chance.now) {
            return;
        }
        let mut limbo = std::mem::take(&mut self.limbo);
        let (mut due, later): (Vec<_>, Vec<_>) =
            limbo.tasks.drain(..).partition(|task| task.at <= self.chance.now);
        let outside = self;
        due.iter_mut().for_each(|task| task.arrive(reach!(limbo, outside)));
        limbo.tasks = later;
        outside.limbo = limbo;
    }
}
