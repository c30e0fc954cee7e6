//! What of an environment is not as git says now, and what was put back lately: what a report of its drift is made of.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::{Drifted, Fight};
use crate::object::{AppName, DriftAction, DriftRecord, ObjectKey, Principal};
use crate::rollout::later;

/// An object that is not as git says it, and what is done about that.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenDrift {
    pub app: AppName,
    pub drifted: Drifted,
    pub action: DriftAction,
    pub since: Timestamp,
    /// The words of the hold that it is under.
    pub hold: Option<String>,
}

/// So many records are kept: a report has no room for more,
const KEPT: usize = 200;
/// and for so long before the newest. What is older goes with the next record, so that at rest nothing changes.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// What was seen of drift lately, the latest last, by the records that the history takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lately(VecDeque<DriftRecord>);

impl Lately {
    /// Takes a record, or what more is known of one.
    pub fn take(&mut self, record: &DriftRecord) {
        let known = self.0.iter().rposition(|known| known.continues_with(record));
        let mut newest = match known.and_then(|at| self.0.remove(at)) {
            Some(mut known) => {
                known.absorb(record.clone());
                known
            }
            // Nothing was seen: more is known of what was forgotten since.
            None if record.count == 0 && record.closed.is_none() => return,
            None => record.clone(),
        };
        newest.count = newest.count.max(1);
        let oldest = later(newest.last_seen, -LATELY);
        self.0.push_back(newest);
        self.0.retain(|known| known.last_seen >= oldest);
        while self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// What was seen last of a field.
    pub fn of(&self, object: &ObjectKey, path: &str) -> Option<&DriftRecord> {
        self.0.iter().rev().find(|known| known.path == path && known.object == *object)
    }

    /// Who changed a field, where that is known of the manager that holds it.
    pub fn principal(&self, object: &ObjectKey, path: &str, manager: &str) -> Option<&Principal> {
        self.of(object, path).filter(|known| known.manager == manager)?.principal.as_ref()
    }

    /// What is as git says again, the latest first.
    pub fn put_back(&self) -> impl Iterator<Item = &DriftRecord> {
        self.0.iter().rev().filter(|known| known.closed.is_some())
    }
}

/// Where the drift of an environment stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub open: Vec<OpenDrift>,
    pub fights: Vec<Fight>,
    pub lately: Lately,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{DriftClass, EnvironmentName, RecordId};

    fn record(name: &str, second: i64, closed: bool) -> DriftRecord {
        let at = Timestamp::from_second(second).unwrap();
        DriftRecord {
            id: RecordId::new(at, 0),
            cluster: String::new(),
            environment: EnvironmentName::new("dev").unwrap(),
            app: None,
            revision: None,
            object: ObjectKey::new("apps", "Deployment", Some("web"), name),
            uid: "u".into(),
            path: "/spec/replicas".into(),
            desired: None,
            live: None,
            class: DriftClass::Changed,
            cause: None,
            manager: "kubectl".into(),
            operation: None,
            subresource: None,
            principal: None,
            first_seen: at,
            last_seen: at,
            count: u64::from(!closed),
            action: DriftAction::Healed,
            rule: None,
            result: None,
            latency_ms: None,
            closed: closed.then_some(at),
        }
    }

    #[test]
    fn what_is_over_is_put_back_and_what_is_known_later_is_added() {
        let mut lately = Lately::default();
        lately.take(&record("a", 100, false));
        assert_eq!(lately.put_back().count(), 0);
        lately.take(&record("a", 101, true));
        lately.take(&record("b", 102, true));
        let told: Vec<_> = lately.put_back().map(|known| (&*known.object.name, known.count)).collect();
        assert_eq!(told, [("b", 1), ("a", 1)]);
        let mut known = record("a", 101, true);
        known.principal = Some(Principal { user: "ada".into(), ..Principal::default() });
        lately.take(&known);
        let key = known.object;
        assert_eq!(lately.principal(&key, "/spec/replicas", "kubectl").map(|who| &*who.user), Some("ada"));
        assert_eq!(lately.principal(&key, "/spec/replicas", "robot"), None);
        assert_eq!(lately.principal(&key, "/spec", "kubectl"), None);
    }

    #[test]
    fn it_keeps_what_there_is_room_for_and_forgets_only_with_what_is_new() {
        let mut lately = Lately::default();
        for n in 0..300 {
            lately.take(&record(&format!("n{n}"), n, true));
        }
        assert_eq!(lately.put_back().count(), KEPT);
        lately.take(&record("last", 24 * 3600 + 299, true));
        assert_eq!(lately.put_back().count(), 2, "of the one before it is exactly a day");
        let mut nothing = record("gone", 24 * 3600 + 300, false);
        nothing.count = 0;
        lately.take(&nothing);
        assert_eq!(lately.0.len(), 2);
    }
}
