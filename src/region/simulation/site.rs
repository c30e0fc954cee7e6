//! One region: its clocks, its cluster, what its agent remembers, and the process that runs, if one does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::{Chance, Clock, Millis};
use crate::region::{
    Epoch, Facts, Fence, Here, Preflight, RegionName, RegionStep, Settings, State, StepOutcome, TIMING,
    Timing, Word,
};

/// No margin but that for clocks that run apart: what rests on more than that is found.
pub const TIGHT: Timing = Timing { takeover: Duration::from_millis(53_400), ..TIMING };

pub struct Site {
    pub name: RegionName,
    pub clock: Clock,
    /// Whether writers end by themselves now, and whether they are to.
    pub is_guarded: bool,
    pub wants_guard: bool,
    pub is_on: bool,
    pub cluster: Cluster,
    pub remembered: State,
    pub process: Option<Process>,
    /// Processes that there were.
    pub processes: u64,
    /// Moments until the agent dies, and how long it is dead then.
    pub dies_at: Option<(u32, Millis)>,
    pub scratch: u32,
    /// When it looks into git again.
    pub looks: Millis,
}

/// The writers in a region's cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Raised by every stop: what was sent before it is refused.
    pub generation: u64,
    /// Whether its objects say that writers are to run, and at which epoch they were started.
    pub wanted: Option<Epoch>,
    /// When all writers have ended that were told to.
    pub gone: Millis,
}

/// One run of an agent.
pub struct Process {
    pub id: u64,
    pub state: State,
    pub fence: Fence,
    /// It does nothing before.
    pub stalls: Millis,
    pub memory: Memory,
}

/// What it knows beside that.
#[derive(Debug, Default)]
pub struct Memory {
    /// The step that it began last.
    pub begun: Option<(Epoch, RegionStep, u32)>,
    pub outcome: Option<(Epoch, (RegionStep, u32, StepOutcome))>,
    /// The generation of the cluster's objects, as it knows it.
    pub generation: Option<u64>,
    /// A stop of its own was confirmed, and it has told nothing to run since.
    pub stopped: bool,
    pub stop_sent: Option<Millis>,
    pub frozen: bool,
    pub drained: bool,
}

/// What reaches a cluster.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    Stop,
    /// Run until then by the region's clock, if nothing has stopped writers since that generation.
    Run {
        epoch: Epoch,
        until: Option<Duration>,
        generation: u64,
    },
}

impl Site {
    pub fn new(n: usize, is_guarded: bool, chance: &mut Chance) -> Self {
        // As far apart as the times of the fence allow: by a third.
        let rate = if chance.one_of(3) { 1150 } else { chance.between(870, 1150) };
        let off = i64::try_from(chance.between(0, 7_200_000)).unwrap_or_default() - 3_600_000;
        Self {
            name: name(n),
            clock: Clock { rate, booted: 0, off },
            is_guarded,
            wants_guard: is_guarded,
            is_on: true,
            cluster: Cluster::default(),
            remembered: State::default(),
            process: None,
            processes: 0,
            dies_at: None,
            scratch: 0,
            looks: 0,
        }
    }

    /// A process begins, with nothing but what is remembered.
    pub fn start(&mut self, chance: &mut Chance) -> u64 {
        self.processes += 1;
        let fence = Fence::new(self.name.clone(), chance.number(), TIGHT);
        self.process = Some(Process {
            id: self.processes,
            state: self.remembered.clone(),
            fence,
            stalls: 0,
            memory: Memory::default(),
        });
        self.processes
    }

    pub fn here<'a>(&'a self, settings: &'a Settings, now: Millis) -> Here<'a> {
        Here { me: &self.name, settings, now: self.clock.uptime(now), time: self.clock.time(now) }
    }

    /// The state as it is now, of the process or remembered.
    pub fn state(&self) -> &State {
        self.process.as_ref().map_or(&self.remembered, |process| &process.state)
    }
}

impl Process {
    pub fn hear_git(&mut self, word: &Word) {
        // What is wrong with it is kept in the words, and shown.
        let _ = self.state.words.hear_git(word.clone());
    }

    pub fn facts(&self, preflights: &BTreeMap<Preflight, Result<(), String>>, is_guarded: bool) -> Facts {
        let epoch = self.state.run().map(|run| run.epoch);
        let outcome = self.memory.outcome.as_ref().filter(|(of, _)| Some(*of) == epoch);
        Facts {
            preflights: preflights.clone(),
            outcome: outcome.map(|(_, outcome)| outcome.clone()),
            writers_are_guarded: is_guarded,
            writers_stopped: self.memory.stopped,
            frozen: self.memory.frozen,
            drained: self.memory.drained,
            ..Facts::default()
        }
    }
}

pub fn name(n: usize) -> RegionName {
    RegionName::new(["one", "two", "three"][n]).expect("a name")
}
