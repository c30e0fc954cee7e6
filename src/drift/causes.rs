//! What belongs together: the same manager that changed the same field of the same kind, within an hour, wherever.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::rollout::later;

/// What happens within so long of the first is one cause.
const WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// A field of an object that somebody changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub environment: String,
    pub kind: String,
    pub field: String,
    pub manager: String,
    pub at: Timestamp,
}

/// Members with one cause, by their places in what was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    pub kind: String,
    pub field: String,
    pub manager: String,
    pub first: Timestamp,
    pub environments: usize,
    pub members: Vec<usize>,
}

/// The causes of what was changed, the one that reaches furthest first; of two that reach as far the older one.
pub fn causes(members: &[Member]) -> Vec<Cause> {
    let mut alike: BTreeMap<(&str, &str, &str), Vec<usize>> = BTreeMap::new();
    for (n, member) in members.iter().enumerate() {
        alike.entry((&member.manager, &member.kind, &member.field)).or_default().push(n);
    }
    let mut found: Vec<Cause> = Vec::new();
    for ((manager, kind, field), mut places) in alike {
        places.sort_by_key(|n| members[*n].at);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for n in places {
            match groups.last_mut() {
                Some(group) if members[n].at <= later(members[group[0]].at, WITHIN) => group.push(n),
                _ => groups.push(vec![n]),
            }
        }
        found.extend(groups.into_iter().map(|group| Cause {
            kind: kind.to_owned(),
            field: field.to_owned(),
            manager: manager.to_owned(),
            first: members[group[0]].at,
            environments: group.iter().map(|n| &members[*n].environment).collect::<BTreeSet<_>>().len(),
            members: group,
        }));
    }
    found.sort_by_key(|cause| (std::cmp::Reverse(cause.members.len()), cause.first));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(environment: &str, field: &str, manager: &str, minute: i64) -> Member {
        Member {
            environment: environment.into(),
            kind: "Deployment.apps".into(),
            field: field.into(),
            manager: manager.into(),
            at: Timestamp::from_second(minute * 60).unwrap(),
        }
    }

    #[test]
    fn the_same_manager_field_and_kind_within_an_hour_are_one_cause() {
        let members = [
            member("dev", "spec.replicas", "kubectl", 0),
            member("dev", "spec.paused", "kubectl", 0),
            member("prod", "spec.replicas", "kubectl", 60),
            member("prod", "spec.replicas", "robot", 1),
            member("dev", "spec.replicas", "kubectl", 61),
            member("dev", "spec.replicas", "kubectl", 30),
        ];
        let found = causes(&members);
        let told: Vec<(&[usize], usize)> =
            found.iter().map(|cause| (cause.members.as_slice(), cause.environments)).collect();
        assert_eq!(told, [(&[0, 5, 2][..], 2), (&[1], 1), (&[3], 1), (&[4], 1)]);
        assert_eq!((&*found[0].manager, &*found[0].field), ("kubectl", "spec.replicas"));
    }
}
