//! What of others may stand at rest, and what has to be known of it.

use crate::api::DriftPolicy;
use crate::delivery::simulation::content::Field;
use crate::delivery::simulation::run::Run;
use crate::object::{DriftAction, ObjectKey};
use crate::plan::{WantedApp, compare_owned};

fn policy(run: &Run, key: &ObjectKey, field: Option<Field>) -> DriftPolicy {
    let policies = run.outside.git.head().map(|head| head.policies).unwrap_or_default();
    policies.of(key, field, run.outside.time())
}

/// Whether a field that others set stays, or an object that they took away.
pub fn may_be_theirs(run: &Run, key: &ObjectKey, field: Option<Field>) -> bool {
    policy(run, key, field) != DriftPolicy::Heal
}

/// Whether what stays because it is only reported is on record, once, as it is now; and nothing else is on record as open.
pub fn is_recorded(run: &Run, wanted: &WantedApp) -> Result<(), String> {
    let out = &run.outside;
    // Of two that were told in the order of a clock that went back, the history keeps the wrong one.
    if out.platform.suspended || out.checks.theirs.went_back {
        return Ok(());
    }
    for object in &wanted.objects {
        let key = &object.key;
        let mut open = out.checks.theirs.records.open(key);
        if let Some(record) = open.iter().find(|record| record.action != DriftAction::Reported) {
            return Err(format!("{key} is as git says, and is on record as open: {record:?}"));
        }
        let found = out.server.objects.get(key);
        if found.is_some_and(|found| found.taken.all) {
            continue; // It was never ours, and is told as a whole.
        }
        let paths = found.map(|found| compare_owned(object, &found.live)).unwrap_or_default();
        let mut theirs: Vec<_> = paths
            .into_iter()
            .filter_map(|path| Some((Field::at(&path)?, path)))
            .filter(|(field, _)| policy(run, key, Some(*field)) == DriftPolicy::Report)
            .map(|(field, path)| (path.pointer(), found.and_then(|found| found.setter(field))))
            .collect();
        if found.is_none() && policy(run, key, None) == DriftPolicy::Report {
            theirs.push((String::new(), None));
        }
        for (path, set) in theirs {
            let (manager, value) =
                set.map_or((String::new(), None), |(who, value)| (who.to_owned(), Some(value)));
            let place = open.iter().position(|record| {
                record.path == path
                    && record.manager == manager
                    && (value.is_none() || record.live == value.map(|value| value.to_string()))
            });
            match place {
                Some(place) => drop(open.remove(place)),
                None => return Err(format!("{path} of {key} by {manager:?} is not on record: {open:?}")),
            }
        }
        if let Some(record) = open.first() {
            return Err(format!("{key} is on record as changed, and is not: {record:?}"));
        }
    }
    Ok(())
}
