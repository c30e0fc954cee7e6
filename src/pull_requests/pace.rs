//! When a report is due: at once for a new commit, after a while of quiet where the base branch or the cluster moves, and
//! at most once a minute for each pull request.

use jiff::{SignedDuration, Timestamp};

use crate::object::Revision;

/// Between the beginnings of two reports of one pull request.
pub const LEAST: SignedDuration = SignedDuration::from_secs(60);
/// The base branch and the cluster move in bursts: a rollout is many changes.
pub const QUIET: SignedDuration = SignedDuration::from_secs(10);
/// What moves all the time is reported all the same.
pub const LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// What a report is made from. Equal ones come to the same report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    pub head: Revision,
    /// The newest commit of the base branch.
    pub base: Revision,
    /// Counts what moves in the cluster, and which environments there are.
    pub live: u64,
}

/// Where the reports of one pull request stand.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// What the last report was made from.
    made: Option<Inputs>,
    began: Option<Timestamp>,
    /// The first and the last move that no report has seen.
    moved: Option<(Timestamp, Timestamp)>,
}

impl Pace {
    /// The base branch, or the cluster, is not what it was.
    pub fn moved(&mut self, now: Timestamp) {
        self.moved = Some((self.moved.map_or(now, |(first, _)| first), now));
    }

    pub fn began(&mut self, now: Timestamp) {
        self.began = Some(now);
    }

    pub fn made(&mut self, inputs: Inputs) {
        self.made = Some(inputs);
        // What moved since it was begun it may not have seen.
        self.moved = self
            .moved
            .filter(|(_, last)| self.began.is_some_and(|began| *last > began))
            .map(|(_, last)| (last, last));
    }

    /// Somebody wants another one.
    pub fn again(&mut self) {
        self.made = None;
    }

    /// With no report, but with the memory of when it was made.
    pub fn forgotten(self) -> Self {
        Self { began: self.began, ..Self::default() }
    }

    /// Whether there is a report of this commit.
    pub fn has(&self, head: &Revision) -> bool {
        self.made.as_ref().is_some_and(|made| made.head == *head)
    }

    /// When the next report is due; `None` where the last one says all.
    pub fn due(&self, inputs: &Inputs, now: Timestamp) -> Option<Timestamp> {
        let earliest = self.began.map_or(now, |began| began + LEAST);
        match &self.made {
            Some(made) if made == inputs => None,
            Some(made) if made.head == inputs.head => {
                let quiet = self.moved.map(|(first, last)| (last + QUIET).min(first + LONGEST));
                Some(quiet.map_or(earliest, |quiet| earliest.max(quiet)))
            }
            _ => Some(earliest),
        }
    }
}
