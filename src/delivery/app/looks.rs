//! While a gate waits, the pods of what it waits for are looked at: a failure that is known for one ends the wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::App;
use crate::delivery::action::later;
use crate::health::{Health, Status};
use crate::object::ObjectKey;
use crate::plan::{Wanted, WantedApp};
use crate::rollout::{Phase, Waiting};

/// So long a gate waits before its pods are looked at; most are open by then.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);
/// So many workloads are looked at together.
const TOGETHER: usize = 10;

/// What the pods of a rollout said so far.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Looks {
    known: BTreeMap<ObjectKey, Health>,
    due: Option<Timestamp>,
    /// Where the next look begins, of many that are waited for.
    from: usize,
}

impl Looks {
    /// The health of an object, in the light of its pods.
    pub(in crate::delivery) fn health(&self, key: &ObjectKey, said: Health, settling: bool) -> Health {
        // What became healthy since is healthy, whatever its pods went through on the way. What was healthy once and
        // goes on ending is not.
        match self.known.get(key) {
            Some(failed) if said.status == Status::Progressing || settling => failed.clone(),
            _ => said,
        }
    }

    /// When a look is due, given since when the gate waits.
    fn next(&mut self, since: Timestamp) -> Timestamp {
        *self.due.get_or_insert(later(since, FIRST_LOOK))
    }
}

impl App {
    /// What is to be looked at now, or when.
    pub(in crate::delivery) fn look(
        &mut self,
        wanted: &WantedApp,
        on: &[Waiting],
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Arc<Wanted>>, Option<Timestamp>> {
        if self.terms.restarts == 0 {
            return Err(None);
        }
        let Some(rollout) = self.rollout_mut().filter(|rollout| rollout.asking.is_none()) else {
            return Err(None);
        };
        let looks = &mut rollout.looks;
        let due = looks.next(since);
        if now < due {
            return Err(Some(due));
        }
        let runs_pods = |key: &ObjectKey| matches!(&*key.group, "apps" | "batch") && key.namespace.is_some();
        // While it settles, what looks healthy may be up between two crashes.
        let settling = matches!(rollout.state.phase, Phase::Settle { .. });
        let changed = rollout.waves.iter().flatten().filter(|_| settling);
        let on = on.iter().map(|waiting| &waiting.key).filter(|_| !settling);
        let keys: Vec<&ObjectKey> = changed.chain(on).filter(|key| runs_pods(key)).collect();
        let from = if looks.from < keys.len() { looks.from } else { 0 };
        let some = keys.iter().skip(from).take(TOGETHER);
        let find = |key: &&ObjectKey| wanted.objects.iter().find(|object| object.key == **key).cloned();
        let objects: Vec<Arc<Wanted>> = some.filter_map(find).collect();
        looks.from = from + TOGETHER;
        if objects.is_empty() {
            looks.due = None;
            return Err(Some(later(now, FIRST_LOOK)));
        }
        Ok(objects)
    }

    /// Takes what the pods of these said: that they failed, or that nothing is known.
    pub(in crate::delivery) fn looked(&mut self, found: Vec<(ObjectKey, Option<Health>)>, now: Timestamp) {
        let Some(rollout) = self.rollout_mut() else { return };
        let settling = matches!(rollout.state.phase, Phase::Settle { .. });
        let looks = &mut rollout.looks;
        for (key, failed) in found {
            match failed {
                Some(failed) => drop(looks.known.insert(key, failed)),
                // While it settles, what failed once has failed.
                None if settling => {}
                None => drop(looks.known.remove(&key)),
            }
        }
        // Rarer the longer it takes: who waits for ten minutes need not be asked every five seconds.
        let since = rollout.waiting.as_ref().map_or(now, |waiting| waiting.since);
        looks.due = Some(later(now, FIRST_LOOK.max(now.duration_since(since) / 4)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ObjectKey {
        ObjectKey::new("apps", "Deployment", Some("web"), "web")
    }

    #[test]
    fn what_pods_say_counts_while_it_is_waited_for_and_no_longer() {
        let mut looks = Looks::default();
        let failed = Health::failed("CrashLoopBackOff", "restarted 4 times");
        looks.known.insert(key(), failed.clone());
        assert_eq!(looks.health(&key(), Health::progressing("Updating", "0 of 1"), false), failed);
        let healthy = Health::healthy("Available", "1 of 1");
        assert_eq!(looks.health(&key(), healthy.clone(), false), healthy);
        assert_eq!(looks.health(&key(), healthy, true), failed, "it is up between two crashes");
    }
}
