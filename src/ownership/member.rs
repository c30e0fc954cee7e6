use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Epoch, Moment, OwnershipRecord, ReplicaId, Seat, Timing, Version, View, spread};

/// After a write of the record that failed, the next is tried this much later.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// What a replica is and does, for a decision.
pub struct Situation<'a> {
    pub me: &'a ReplicaId,
    /// The heartbeat was confirmed lately enough.
    pub held: bool,
    /// The environments that there are.
    pub known: &'a BTreeSet<String>,
    /// Those whose loop runs here, or has not quite ended.
    pub running: &'a BTreeSet<String>,
    pub now: Moment,
}

/// What is to be done. It is the whole truth each time: what is not in `run` is to be stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The environments to run, each with the epoch in which we have it.
    pub run: BTreeMap<String, Epoch>,
    /// The record to write in place of the version that we saw.
    pub write: Option<(OwnershipRecord, Option<Version>)>,
    /// Heartbeats to delete if they are still of that version: their replicas are dead.
    pub bury: Vec<(ReplicaId, Version)>,
    /// When to decide again if nothing happens before.
    pub again: Option<Moment>,
}

/// What came of writing the record.
#[derive(Clone, Debug)]
pub enum Written {
    Done {
        record: OwnershipRecord,
        version: Version,
    },
    /// Somebody was faster; what they wrote will be seen.
    Conflict,
    /// It may have been written, or may be yet.
    Unknown,
    Refused,
}

/// One replica's part in sharing the environments.
#[derive(Debug, Default)]
pub struct Member {
    pub view: View,
    /// The version that a write under way wants to replace.
    writing: Option<Option<Version>>,
    /// A write over this version may still come true. Nothing begins until the record has moved on.
    doubt: Option<Option<Version>>,
    /// Somebody has replaced this version, and we are yet to see by what.
    stale: Option<Option<Version>>,
    rest_until: Option<Moment>,
}

impl Member {
    pub fn decide(&mut self, situation: &Situation<'_>, timing: &Timing) -> Decision {
        let Situation { me, held, known, running, now } = *situation;
        let mut decision = Decision::default();
        if !held || !self.view.is_complete() || !self.view.peers().contains_key(me) {
            return decision;
        }
        let nothing = OwnershipRecord::default();
        let record = self.view.record().unwrap_or(&nothing);
        let version = self.view.record_version().cloned();
        if self.doubt.as_ref().is_some_and(|base| *base != version) {
            self.doubt = None;
        }
        if self.stale.as_ref().is_some_and(|base| *base != version) {
            self.stale = None;
        }
        let mut seats = BTreeMap::new();
        for (id, peer) in self.view.peers() {
            let dead_at = peer.changed + timing.takeover;
            if id != me {
                if dead_at <= now {
                    decision.bury.push((id.clone(), peer.version.clone()));
                    sooner(&mut decision.again, now + WRITE_PAUSE);
                } else {
                    sooner(&mut decision.again, dead_at);
                }
            }
            let settled_at = peer.first + timing.settle;
            if settled_at > now {
                sooner(&mut decision.again, settled_at);
            }
            seats.insert(
                id.clone(),
                Seat { scope: peer.scope.clone(), settled: id == me || settled_at <= now },
            );
        }
        let mut changes: BTreeMap<String, Option<ReplicaId>> = BTreeMap::new();
        for (environment, target) in spread(known, record, &seats) {
            match record.claims.get(&environment) {
                Some(claim) if claim.owner == *me => {
                    if target == *me {
                        decision.run.insert(environment, claim.epoch);
                    } else if !running.contains(&environment) {
                        changes.insert(environment, Some(target));
                    }
                }
                Some(claim) if seats.contains_key(&claim.owner) => {} // Its owner gives it away, or keeps it.
                _ if target == *me => {
                    changes.insert(environment, Some(target));
                }
                _ => {}
            }
        }
        let first = seats.keys().next() == Some(me);
        for (environment, claim) in &record.claims {
            let left = if claim.owner == *me {
                !running.contains(environment)
            } else {
                first && !seats.contains_key(&claim.owner)
            };
            if left && !known.contains(environment) {
                changes.insert(environment.clone(), None);
            }
        }
        let may_write = self.writing.is_none() && self.stale.is_none();
        if may_write && (!changes.is_empty() || self.doubt.is_some()) {
            match self.rest_until {
                Some(until) if now < until => sooner(&mut decision.again, until),
                // In doubt, any further version settles it: the write in doubt can no longer come true.
                _ => decision.write = Some((record.with(changes), version.clone())),
            }
        }
        if let Some((_, base)) = &decision.write {
            self.writing = Some(base.clone());
        }
        if self.writing.is_some() || self.doubt.is_some() {
            // What is being given away must not begin again before that is settled.
            decision.run.retain(|environment, _| running.contains(environment));
        }
        decision
    }

    pub fn wrote(&mut self, written: Written, now: Moment) {
        let base = self.writing.take().flatten();
        self.rest_until = None;
        match written {
            Written::Done { record, version } => {
                self.doubt = None;
                self.view.changed(super::SeenLease::Record { record, version }, now);
            }
            Written::Conflict => self.stale = Some(base),
            Written::Unknown => {
                self.doubt = Some(base);
                self.rest_until = Some(now + WRITE_PAUSE);
            }
            Written::Refused => self.rest_until = Some(now + WRITE_PAUSE),
        }
    }
}

fn sooner(at: &mut Option<Moment>, other: Moment) {
    *at = Some(at.map_or(other, |at| at.min(other)));
}
