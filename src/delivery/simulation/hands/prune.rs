//! Asks about deletes, and deletes.

use super::{Progress, Reach, Work};
use crate::delivery::Event;
use crate::delivery::simulation::chance::{Luck, Storm};
use crate::plan::{
    CheckedPrune, Doomed, Due, PruneAnswer, PruneOutcome, PruneRefusal, RefusalKind, check_prune,
};

pub struct Ask {
    due: Option<Due>,
    sent: bool,
}

impl Ask {
    pub fn new(due: Due) -> Self {
        Self { due: Some(due), sent: false }
    }
}

/// What the server says to a delete of this object, in the version in which it was looked at.
fn answer(reach: &mut Reach, object: &Doomed) -> PruneAnswer {
    let refuse = |kind, message: &str| {
        let (key, message) = (object.live.key.clone(), message.to_owned());
        PruneAnswer::Refused(PruneRefusal { key, kind, message })
    };
    if reach.chance.luck() == Luck::Failed {
        return refuse(RefusalKind::Unreachable, "503");
    }
    if reach.chance.is(Storm::Undeletable) {
        return refuse(RefusalKind::Forbidden, "403");
    }
    let Some(now) = reach.server.objects.get(&object.live.key) else { return PruneAnswer::Gone };
    if (&now.live.uid, &now.live.resource_version) != (&object.live.uid, &object.live.resource_version) {
        return refuse(RefusalKind::Conflict, "it changed in the meantime");
    }
    PruneAnswer::Accepted
}

impl Work for Ask {
    fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Progress {
        if !std::mem::replace(&mut self.sent, true) {
            return Progress::Until(reach.chance.way());
        }
        if !awaited {
            return Progress::Ended(Event::Stopped);
        }
        let due = self.due.take().expect("it is asked once");
        let answers = due.objects().to_vec().iter().map(|object| answer(reach, object)).collect();
        Progress::Ended(Event::PruneAsked(check_prune(due, answers)))
    }
}

pub struct Delete {
    left: Vec<Doomed>,
    sent: Option<Doomed>,
    outcome: PruneOutcome,
}

impl Delete {
    pub fn new(prune: &CheckedPrune, wave: usize) -> Self {
        let mut left = prune.waves().get(wave).cloned().unwrap_or_default();
        left.reverse();
        Self { left, sent: None, outcome: PruneOutcome::default() }
    }

    fn delete(object: &Doomed, reach: &mut Reach) -> PruneAnswer {
        let answer = answer(reach, object);
        if let PruneAnswer::Accepted = answer {
            reach.server.delete(&object.live.key, Some(&object.live.uid), reach.chance);
            if reach.chance.luck() == Luck::Lost {
                return PruneAnswer::Refused(PruneRefusal {
                    key: object.live.key.clone(),
                    kind: RefusalKind::Unreachable,
                    message: "no answer".to_owned(),
                });
            }
        }
        answer
    }
}

impl Work for Delete {
    fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Progress {
        if let Some(object) = self.sent.take() {
            match Self::delete(&object, reach) {
                PruneAnswer::Accepted | PruneAnswer::Gone => {
                    self.outcome.deleted.push(object.live.key.clone())
                }
                PruneAnswer::Refused(refusal) => {
                    self.outcome.refused.push(refusal);
                    return Progress::Ended(Event::Pruned(std::mem::take(&mut self.outcome)));
                }
            }
        }
        let next = if awaited { self.left.pop() } else { None };
        let Some(object) = next else {
            self.outcome.stopped = !self.left.is_empty();
            return Progress::Ended(Event::Pruned(std::mem::take(&mut self.outcome)));
        };
        reach.checks.deletes(&object, reach.server, reach.git, reach.chance.now);
        self.sent = Some(object);
        Progress::Until(reach.chance.way())
    }

    fn arrive(&mut self, reach: &mut Reach) {
        if let Some(object) = self.sent.take() {
            drop(Self::delete(&object, reach));
        }
    }
}
