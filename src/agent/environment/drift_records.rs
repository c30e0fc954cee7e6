//! Hands what is known of drift to the history.

use jiff::Timestamp;

use super::Shared;
use crate::delivery::{Fact, What};
use crate::drift::{Observation, records};
use crate::history::History;
use crate::object::{DriftAction, Revision};

/// Records what a fact says of drift. It is handed over before anything of it is put back, and never waited for.
pub(super) fn keep(shared: &Shared, history: &History, fact: &Fact, revision: Option<&Revision>) {
    let now = Timestamp::now();
    let seen = |action, over_since| Observation {
        environment: shared.name.clone(),
        app: fact.app.clone(),
        revision: revision.cloned(),
        action,
        at: now,
        over_since,
    };
    let (objects, seen) = match &fact.what {
        What::Drifted { objects } => (objects.clone(), seen(DriftAction::Healed, None)),
        What::DriftReported { objects } => (objects.clone(), seen(DriftAction::Reported, None)),
        What::DriftOver { objects, since, was_put_back } => {
            let action = if *was_put_back { DriftAction::Healed } else { DriftAction::Reported };
            (objects.clone(), seen(action, Some(*since)))
        }
        _ => return,
    };
    for record in records(&objects, &seen, &mut || fastrand::u128(..)) {
        history.tell_drift(record);
    }
}
