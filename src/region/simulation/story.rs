//! What happens in a story, and when: small enough to be printed, so that one that fails can be told again.

use super::chance::{Chance, Millis, Storm};
use crate::region::{Mode, Preflight, Silence};

#[derive(Clone, Debug, PartialEq)]
pub enum Stimulus {
    /// A commit: the epoch, the region, and how.
    Push(u64, usize, Mode),
    /// Something is wrong at a region, for so many milliseconds.
    Storm(Storm, usize, Millis),
    /// The agent of a region dies, and another begins so much later.
    Die(usize, Millis),
    /// It dies at the so manieth moment from now at which it remembers or does something.
    DieAt(usize, u32, Millis),
    /// It does nothing for so long, and goes on as if nothing had been.
    Stall(usize, Millis),
    /// The whole region is off for so long.
    PowerOff(usize, Millis),
    /// Its writers are to end by themselves from now on, or no longer.
    Guard(usize, bool),
    /// The clock for people jumps.
    Jump(usize, i64),
    Person(usize, Person),
}

/// What a person asks of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    Pause,
    Resume,
    Retry,
    Skip,
    Ungraceful,
    Override(Preflight),
    TakeLoss,
    /// Only where it is true: the region that holds is off.
    Attest,
    Abort,
    BreakGlass(usize),
    Drill,
    PromoteDrill,
    EndDrill,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Of latencies, clocks, and what else is left to chance.
    pub seed: u64,
    pub regions: usize,
    /// Whether writers of each region end by themselves.
    pub guarded: [bool; 3],
    pub silence: Silence,
    /// How far the data of a standby are behind, in seconds.
    pub lag: u64,
    pub stimuli: Vec<(Millis, Stimulus)>,
}

/// All faults are over then.
pub const CALM: Millis = 200_000;

impl Story {
    pub fn invent(seed: u64) -> Self {
        let mut chance = Chance::new(!seed);
        let regions = if chance.one_of(2) { 2 } else { 3 };
        let guarded = std::array::from_fn(|_| !chance.one_of(4));
        let silence = if chance.one_of(4) { Silence::RunsOn } else { Silence::Stops };
        let lag = if chance.one_of(2) { 0 } else { chance.between(1, 120) };
        let count = chance.between(2, 14);
        let mut epoch = 1;
        let mut stimuli: Vec<(Millis, Stimulus)> = (0..count)
            .map(|_| {
                let at = chance.between(2_000, CALM - 40_000);
                let region = pick(&mut chance, regions);
                (at, one(&mut chance, region, regions, &mut epoch))
            })
            .collect();
        // Without a re-point there is little to see.
        let at = chance.between(5_000, 60_000);
        epoch += 1;
        let to = 1 + pick(&mut chance, regions - 1);
        let mode = if chance.one_of(2) { Mode::Graceful } else { Mode::Ungraceful };
        stimuli.push((at, Stimulus::Push(epoch, to, mode)));
        if chance.one_of(2) {
            stimuli.extend(cut_off(&mut chance, regions, &mut epoch));
        }
        stimuli.sort_by_key(|(at, _)| *at);
        Self { seed, regions, guarded, silence, lag, stimuli }
    }

    /// As a test to paste.
    pub fn as_test(&self, fault: &str) -> String {
        let lines: String = self
            .stimuli
            .iter()
            .map(|(at, stimulus)| format!("            ({at}, {stimulus:?}),\n"))
            .collect();
        let Self { seed, regions, guarded, silence, lag, .. } = self;
        format!(
            "/// {fault}\n#[test]\nfn a_story_that_failed() {{\n    holds(Story {{\n        seed: {seed},\n        regions: \
             {regions},\n        guarded: {guarded:?},\n        silence: {silence:?},\n        lag: {lag},\n        stimuli: \
             vec![\n{lines}        ],\n    }});\n}}\n"
        )
    }
}

/// A region that may hold is cut off or off, after something that leaves it in doubt, and another is to take over: what the
/// fence is for.
fn cut_off(chance: &mut Chance, regions: usize, epoch: &mut u64) -> Vec<(Millis, Stimulus)> {
    let (from, at) = (pick(chance, regions), chance.between(10_000, 100_000));
    let to = (from + 1 + pick(chance, regions - 1)) % regions;
    let doubt = match chance.between(0, 6) {
        0 => Stimulus::Storm(Storm::SlowPlace, from, 30_000),
        1 => Stimulus::Storm(Storm::LostAnswers, from, 30_000),
        2 => Stimulus::Storm(Storm::StaleReads, to, 90_000),
        3 => Stimulus::Storm(Storm::SlowCluster, from, 60_000),
        4 => Stimulus::Guard(from, true),
        5 => Stimulus::Guard(from, false),
        _ => Stimulus::Storm(Storm::LostAnswers, to, 60_000),
    };
    let gone = chance.between(at, at + 25_000);
    let length = chance.between(20_000, 120_000);
    let is_off = chance.one_of(3);
    let gone_by =
        if is_off { Stimulus::PowerOff(from, length) } else { Stimulus::Storm(Storm::NoPlace, from, length) };
    *epoch += 1;
    let mode = if chance.one_of(4) { Mode::Graceful } else { Mode::Ungraceful };
    let mut all = vec![(at, doubt), (gone, gone_by)];
    all.push((chance.between(at.saturating_sub(10_000), gone + 20_000), Stimulus::Push(*epoch, to, mode)));
    if is_off {
        let words = chance.between(1, 4);
        all.extend(
            (0..words).map(|_| (chance.between(gone, gone + length), Stimulus::Person(to, Person::Attest))),
        );
    }
    all
}

fn pick(chance: &mut Chance, of: usize) -> usize {
    usize::try_from(chance.between(0, of as u64 - 1)).unwrap_or_default()
}

fn one(chance: &mut Chance, region: usize, regions: usize, epoch: &mut u64) -> Stimulus {
    let length = match chance.between(0, 2) {
        0 => chance.between(500, 5_000),
        1 => chance.between(5_000, 40_000),
        _ => chance.between(40_000, 120_000),
    };
    match chance.between(0, 15) {
        0 | 1 => {
            // Mostly epochs rise as they should; some commits race, forget to raise it, or go back.
            match chance.between(0, 5) {
                0 => {}
                1 => *epoch = epoch.saturating_sub(1).max(1),
                _ => *epoch += 1,
            }
            let mode = if chance.one_of(2) { Mode::Graceful } else { Mode::Ungraceful };
            Stimulus::Push(*epoch, region, mode)
        }
        2..=6 => {
            let storms = [
                Storm::NoPlace,
                Storm::SlowPlace,
                Storm::LostAnswers,
                Storm::StaleReads,
                Storm::NoGit,
                Storm::SlowCluster,
                Storm::FailingSteps,
                Storm::Red,
            ];
            Stimulus::Storm(storms[pick(chance, storms.len())], region, length)
        }
        7 => Stimulus::Die(region, length),
        8 | 9 => {
            let point = u32::try_from(chance.between(1, 30)).unwrap_or(1);
            Stimulus::DieAt(region, point, chance.between(100, 20_000))
        }
        10 => Stimulus::Stall(region, length),
        11 => Stimulus::PowerOff(region, length),
        12 => {
            let jump = i64::try_from(chance.between(1_000, 4_000_000)).unwrap_or_default();
            Stimulus::Jump(region, if chance.one_of(2) { jump } else { -jump })
        }
        _ => Stimulus::Person(region, person(chance, regions)),
    }
}

fn person(chance: &mut Chance, regions: usize) -> Person {
    match chance.between(0, 15) {
        0 => Person::Pause,
        1 => Person::Resume,
        2 | 3 => Person::Retry,
        4 => Person::Skip,
        5 | 6 => Person::Ungraceful,
        7 => Person::Override(Preflight::ALL[pick(chance, Preflight::ALL.len())]),
        8 => Person::TakeLoss,
        9 | 10 => Person::Attest,
        11 => Person::Abort,
        12 | 13 => Person::BreakGlass(pick(chance, regions)),
        14 => Person::Drill,
        _ => {
            if chance.one_of(3) {
                Person::EndDrill
            } else {
                Person::PromoteDrill
            }
        }
    }
}

impl Story {
    /// Whether it speaks of no region that is not there.
    pub fn is_sound(&self) -> bool {
        self.stimuli.iter().all(|(_, stimulus)| {
            let (region, other) = match stimulus {
                Stimulus::Push(_, region, _) | Stimulus::Storm(_, region, _) => (region, None),
                Stimulus::Die(region, _) | Stimulus::DieAt(region, ..) | Stimulus::Stall(region, _) => {
                    (region, None)
                }
                Stimulus::PowerOff(region, _) | Stimulus::Jump(region, _) => (region, None),
                Stimulus::Guard(region, _) => (region, None),
                Stimulus::Person(region, Person::BreakGlass(other)) => (region, Some(other)),
                Stimulus::Person(region, _) => (region, None),
            };
            *region < self.regions && other.is_none_or(|other| *other < self.regions)
        })
    }
}
