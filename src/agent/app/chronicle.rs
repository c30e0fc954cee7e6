//! What became of each rollout of an app, one record for each. Tells; decides nothing.

use jiff::Timestamp;

use super::App;
use crate::object::{Commit, Digest, Outcome, Record};
use crate::state::Quarantine;

#[derive(Default)]
pub(super) struct Chronicle {
    /// The commit that brought what git says,
    commit: Option<Commit>,
    /// and the one that is about to be told.
    next: Option<Commit>,
    begun: Option<Begun>,
    /// Whose word it is, where it is not git's.
    pub by: Option<String>,
    ended: Vec<Record>,
}

struct Begun {
    at: Timestamp,
    from: Option<Digest>,
    objects: usize,
}

impl App {
    /// Says which commit brings what is told next.
    pub fn comes_with(&mut self, commit: Option<&Commit>) {
        self.chronicle.next = commit.cloned();
    }

    pub(super) fn note_came(&mut self) {
        (self.chronicle.commit, self.chronicle.by) = (self.chronicle.next.take(), None);
        self.chronicle.begun = None;
    }

    /// Notes that a rollout begins; what was begun already goes on.
    pub(super) fn note_begun(&mut self, objects: usize) {
        let from = self.effective.clone().or_else(|| self.known_good.clone());
        self.chronicle.begun.get_or_insert(Begun { at: Timestamp::now(), from, objects });
    }

    pub(super) fn is_begun(&self) -> bool {
        self.chronicle.begun.is_some()
    }

    /// Notes how a rollout to what git says ended.
    pub(super) fn note_ended(&mut self, digest: &Digest, outcome: Outcome, why: Option<&str>) {
        let (commit, by) = (self.chronicle.commit.clone(), self.chronicle.by.clone());
        let from = self.chronicle.begun.as_ref().map(|begun| begun.from.clone());
        let from = from.unwrap_or_else(|| self.known_good.clone()).filter(|from| from != digest);
        self.note(digest.clone(), from, commit, outcome, by, why);
    }

    /// Notes how a way back ended.
    pub(super) fn note_back(&mut self, aside: &Quarantine, outcome: Outcome) {
        let why = Some(aside.why.as_str());
        match &aside.asked {
            Some(asked) => {
                let commit = asked.revision.clone().map(|revision| Commit::new(revision, "", ""));
                let (from, by) = (Some(aside.digest.clone()), Some(asked.by.clone()));
                self.note(aside.good.clone(), from, commit, outcome, by, why);
            }
            None => {
                let (commit, by) = (self.chronicle.commit.clone(), self.chronicle.by.clone());
                self.note(aside.digest.clone(), Some(aside.good.clone()), commit, outcome, by, why);
            }
        }
    }

    fn note(
        &mut self,
        digest: Digest,
        from: Option<Digest>,
        commit: Option<Commit>,
        outcome: Outcome,
        by: Option<String>,
        why: Option<&str>,
    ) {
        let ended = Timestamp::now();
        let begun = self.chronicle.begun.take();
        let (started, objects) = begun.map_or((ended, 0), |begun| (begun.at, begun.objects));
        let objects = u32::try_from(objects).unwrap_or(u32::MAX);
        let app = self.spec.name.clone();
        let record = Record { app, digest, from, commit, outcome, started, ended, objects, by, why: None };
        self.chronicle.ended.push(why.map_or(record.clone(), |why| record.because(why)));
    }

    /// What ended since the last time.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.chronicle.ended)
    }
}
