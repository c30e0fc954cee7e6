//! What became of each rollout of an app, one record for each. Tells; decides nothing.

use jiff::Timestamp;

use super::App;
use crate::delivery::fact::{Fact, What};
use crate::object::{Commit, Digest, Outcome, RolloutRecord};
use crate::state::{Change, Quarantine, WithSecrets};

#[derive(Debug, Default)]
pub(in crate::delivery) struct RolloutLog {
    /// The digest that git says, and the commit that brought it: not an older one's, nor a later one's that left it as it was.
    brought: Option<(Digest, Option<Commit>)>,
    begun: Option<Begun>,
    /// The person whose word it is, where it is not git's.
    pub by: Option<String>,
    /// Why they wanted it, in their own words.
    pub reason: Option<String>,
    /// Why a kind could not be watched, as it was told last.
    pub unwatched: Option<String>,
    /// What happened, until it is told.
    pub facts: Vec<Fact>,
    /// What is to be remembered, until it is.
    pub changes: Vec<Change>,
    /// A rollout was about to be written, and whether that is remembered is not known.
    pub may_roll: bool,
}

#[derive(Debug)]
struct Begun {
    at: Timestamp,
    from: Option<Digest>,
    objects: usize,
}

impl RolloutLog {
    /// Whether it is known which commit brought a digest.
    pub fn knows(&self, digest: &Digest) -> bool {
        self.brought.as_ref().is_some_and(|(known, _)| known == digest)
    }

    /// Takes that git says a digest, and the commit that brought it: after a restart the one that is remembered for it, and not
    /// the newest.
    pub fn came(&mut self, digest: &Digest, commit: Option<Commit>) {
        (self.brought, self.by, self.reason, self.begun) = (Some((digest.clone(), commit)), None, None, None);
    }

    pub fn commit(&self) -> Option<&Commit> {
        self.brought.as_ref().and_then(|(_, commit)| commit.as_ref())
    }

    pub fn is_begun(&self) -> bool {
        self.begun.is_some()
    }
}

impl App {
    /// Notes that a rollout begins; what was begun already goes on.
    pub fn note_begun(&mut self, objects: usize, now: Timestamp) {
        let from = self.runs.effective.clone().or_else(|| self.runs.good().cloned());
        self.log.begun.get_or_insert(Begun { at: now, from, objects });
    }

    /// Notes how a rollout to what git says ended.
    pub fn note_ended(&mut self, digest: &Digest, outcome: Outcome, why: Option<&str>, now: Timestamp) {
        let from = self.log.begun.as_ref().map(|begun| begun.from.clone());
        let from = from.unwrap_or_else(|| self.runs.good().cloned()).filter(|from| from != digest);
        // A rollout that another digest ended is of the commit that brought it, which may not be known any more.
        let commit = match &self.log.brought {
            Some((brought, commit)) if brought == digest => commit.clone(),
            _ => self.runs.commit_of(digest),
        };
        let record = self.record(digest.clone(), outcome, now);
        let asked = self.log.reason.as_ref().map(|reason| format!("tried again: {reason}"));
        let why = match (why, asked) {
            (Some(why), Some(asked)) => Some(format!("{asked}; {why}")),
            (why, asked) => why.map(str::to_owned).or(asked),
        };
        self.end(RolloutRecord { from, commit, by: self.log.by.clone(), ..record }, why.as_deref());
    }

    /// Notes how a way back ended.
    pub fn note_back(&mut self, aside: &Quarantine, outcome: Outcome, now: Timestamp) {
        let record = match &aside.asked {
            Some(asked) => RolloutRecord {
                from: Some(aside.digest.clone()),
                commit: asked.revision.clone().map(|revision| Commit::new(revision, "", "")),
                by: Some(asked.by.clone()),
                ..self.record(aside.good.clone(), outcome, now)
            },
            None => RolloutRecord {
                from: Some(aside.good.clone()),
                commit: self.log.commit().cloned(),
                by: self.log.by.clone(),
                ..self.record(aside.digest.clone(), outcome, now)
            },
        };
        self.end(record, Some(&aside.why));
    }

    fn record(&mut self, digest: Digest, outcome: Outcome, now: Timestamp) -> RolloutRecord {
        let begun = self.log.begun.take();
        let (started, objects) = begun.map_or((now, 0), |begun| (begun.at, begun.objects));
        let of = [self.target(), self.wanted(), self.runs.last_good.as_ref()];
        let of = of.into_iter().flatten().find(|wanted| wanted.digest == digest);
        let secrets = of.and_then(|wanted| WithSecrets::of(wanted)).map(|secrets| secrets.versions);
        RolloutRecord {
            app: self.spec.name.clone(),
            digest,
            from: None,
            commit: None,
            outcome,
            started,
            ended: now,
            objects: u32::try_from(objects).unwrap_or(u32::MAX),
            by: None,
            why: None,
            secrets: secrets.unwrap_or_default(),
        }
    }

    fn end(&mut self, record: RolloutRecord, why: Option<&str>) {
        let record = why.map_or(record.clone(), |why| record.because(why));
        self.remember(Change::Ended(record.clone()));
        self.tell(What::Ended(Box::new(record)));
    }
}
