//! Who may take how much of one budget. Pure.
//!
//! The oldest work goes on always: one half of the budget is its own, so somebody always comes to an end and gives back.
//! All others share the other half, and each environment may hold as much of it as is still free. So a second environment
//! that takes all it gets leaves half of that for a third, and some always is free for one that wants little.

use std::collections::BTreeMap;

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Granted,
    /// Until others give back.
    Wait,
    /// No one piece of work may have more than this.
    Never(usize),
}

#[derive(Debug)]
struct Held {
    environment: String,
    /// Since when it holds something, or waits for it: of two, the older has the smaller. Work that does something else for
    /// a while stands in nobody's way.
    turn: Option<u64>,
    /// Taken for a step that is under way.
    passing: usize,
    /// What stays until the work is done.
    settled: usize,
}

impl Held {
    fn all(&self) -> usize {
        self.passing.saturating_add(self.settled)
    }
}

#[derive(Debug)]
pub struct Shares {
    half: usize,
    next: u64,
    held: BTreeMap<Work, Held>,
    peak: usize,
}

impl Shares {
    pub fn new(bytes: usize) -> Self {
        Self { half: bytes / 2, next: 0, held: BTreeMap::new(), peak: 0 }
    }

    pub fn begin(&mut self, environment: &str) -> Work {
        let work = Work(self.next);
        self.next += 1;
        self.held
            .insert(work, Held { environment: environment.to_owned(), turn: None, passing: 0, settled: 0 });
        work
    }

    pub fn end(&mut self, work: Work) {
        self.held.remove(&work);
    }

    /// Takes so many bytes for a step, if they may be taken now.
    pub fn ask(&mut self, work: Work, bytes: usize) -> Answer {
        let turn = self.next;
        self.next += 1;
        let Some(own) = self.held.get_mut(&work) else { return Answer::Granted };
        own.turn.get_or_insert(turn);
        let own = &self.held[&work];
        let fits = own.all().saturating_add(bytes) <= self.half;
        let answer = if own.settled > self.half {
            Answer::Never(self.half)
        } else if self.is_oldest(work) {
            match own.passing {
                _ if fits => Answer::Granted,
                // What a step can take at most is far more than what most take, and a file that is read alone may take it.
                0 if own.settled <= self.half / 2 => Answer::Granted,
                0 => Answer::Never(self.half),
                _ => Answer::Wait,
            }
        } else if fits && self.of(&own.environment).saturating_add(bytes) <= self.free() {
            Answer::Granted
        } else {
            Answer::Wait
        };
        if answer == Answer::Granted {
            self.change(work, |held| held.passing += bytes);
        }
        answer
    }

    /// Gives back a step's bytes but for those that stay; the most that it may hold, where that is more.
    pub fn settle(&mut self, work: Work, taken: usize, stays: usize) -> Result<(), usize> {
        self.change(work, |held| {
            held.passing = held.passing.saturating_sub(taken);
            held.settled = held.settled.saturating_add(stays);
        });
        match self.held.get(&work) {
            Some(held) if held.settled > self.half => Err(self.half),
            _ => Ok(()),
        }
    }

    pub fn give_back(&mut self, work: Work, stayed: usize) {
        self.change(work, |held| held.settled = held.settled.saturating_sub(stayed));
    }

    pub fn taken(&self) -> (usize, usize) {
        (self.held.values().map(Held::all).sum(), self.peak)
    }

    fn change(&mut self, work: Work, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.get_mut(&work) {
            change(held);
            held.turn = held.turn.filter(|_| held.all() > 0);
        }
        self.peak = self.peak.max(self.taken().0);
    }

    fn is_oldest(&self, work: Work) -> bool {
        self.oldest() == Some(work)
    }

    fn oldest(&self) -> Option<Work> {
        let turns = self.held.iter().filter_map(|(work, held)| Some((held.turn?, *work)));
        turns.min().map(|(_, work)| work)
    }

    /// What all but the oldest hold.
    fn others(&self) -> impl Iterator<Item = &Held> {
        let oldest = self.oldest();
        self.held.iter().filter(move |(work, _)| Some(**work) != oldest).map(|(_, held)| held)
    }

    fn of(&self, environment: &str) -> usize {
        self.others().filter(|held| held.environment == environment).map(Held::all).sum()
    }

    fn free(&self) -> usize {
        self.half.saturating_sub(self.others().map(Held::all).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn who_takes_all_it_gets_leaves_something_for_who_wants_little() {
        let mut shares = Shares::new(256 * MIB);
        let works: Vec<Work> = (0..5).map(|n| shares.begin(&format!("greedy-{n}"))).collect();
        for work in &works {
            while shares.ask(*work, MIB) == Answer::Granted {
                shares.settle(*work, MIB, MIB).unwrap();
            }
        }
        assert!(shares.taken().0 <= 256 * MIB);
        let small = shares.begin("small");
        assert_eq!(shares.ask(small, 2 * MIB), Answer::Granted);
    }

    #[test]
    fn many_works_of_one_environment_take_no_more_than_one() {
        let mut shares = Shares::new(256 * MIB);
        let oldest = shares.begin("oldest");
        assert_eq!(shares.ask(oldest, MIB), Answer::Granted);
        for _ in 0..50 {
            let work = shares.begin("greedy");
            while shares.ask(work, MIB) == Answer::Granted {}
        }
        let other = shares.begin("other");
        assert_eq!(shares.ask(other, 30 * MIB), Answer::Granted);
    }

    #[test]
    fn the_oldest_always_goes_on_and_who_was_waiting_is_the_oldest_in_the_end() {
        let mut shares = Shares::new(200 * MIB);
        let (first, second, third) = (shares.begin("a"), shares.begin("b"), shares.begin("c"));
        assert_eq!(shares.ask(first, MIB), Answer::Granted);
        assert_eq!(shares.ask(second, 50 * MIB), Answer::Granted);
        shares.settle(second, 50 * MIB, 50 * MIB).unwrap();
        assert_eq!(shares.ask(third, 60 * MIB), Answer::Wait);
        assert_eq!(shares.ask(first, 99 * MIB), Answer::Granted);
        assert_eq!(shares.ask(second, 50 * MIB), Answer::Wait);
        shares.end(first);
        assert_eq!(shares.ask(second, 50 * MIB), Answer::Granted, "it is the oldest now");
        shares.end(second);
        assert_eq!(shares.ask(third, 60 * MIB), Answer::Granted);
    }

    #[test]
    fn what_is_too_much_for_one_is_refused_and_not_waited_for() {
        let mut shares = Shares::new(200 * MIB);
        let work = shares.begin("a");
        assert_eq!(shares.ask(work, 260 * MIB), Answer::Granted, "a step that is likely to take less");
        assert_eq!(shares.ask(work, 60 * MIB), Answer::Wait, "its own other thread waits for that");
        assert_eq!(shares.settle(work, 260 * MIB, 101 * MIB), Err(100 * MIB));
        assert_eq!(shares.ask(work, MIB), Answer::Never(100 * MIB));
        shares.give_back(work, 101 * MIB);
        assert_eq!(shares.ask(work, MIB), Answer::Granted);
    }

    #[test]
    fn no_order_of_steps_ends_in_a_standstill_or_over_the_budget() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (budget, most) = (100 * MIB, 40 * MIB);
            let mut shares = Shares::new(budget);
            let mut open: Vec<(Work, usize, usize)> =
                (0..8).map(|n| (shares.begin(&format!("e{}", n % 4)), 20, 0)).collect();
            let mut idle = 0;
            while !open.is_empty() {
                let at = random.usize(..open.len());
                let (work, steps, passing) = open[at];
                if passing > 0 {
                    let stays =
                        if shares.settle(work, passing, passing / 30).is_ok() { steps - 1 } else { 0 };
                    (open[at].1, open[at].2, idle) = (stays, 0, 0);
                } else if steps == 0 {
                    shares.end(work);
                    open.swap_remove(at);
                    idle = 0;
                } else {
                    let bytes = random.usize(1..most);
                    match shares.ask(work, bytes) {
                        Answer::Granted => (open[at].2, idle) = (bytes, 0),
                        Answer::Never(_) => open[at].1 = 0,
                        Answer::Wait => idle += 1,
                    }
                }
                assert!(idle < 10_000, "seed {seed}: nobody goes on");
                assert!(shares.taken().0 <= budget, "seed {seed}");
            }
        }
    }
}
