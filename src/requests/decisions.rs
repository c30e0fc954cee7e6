//! Decisions about drift: a Request that goes on for as long as it holds, as a hold does.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Handle, Known, Meaning, by, created, later, meaning, reason, state};
use crate::api::{DriftPolicy, Request, RequestState};
use crate::drift::Decision;
use crate::object::{ObjectKey, pattern};

/// What came of a decision.
pub(super) struct Decided {
    pub came_to: (RequestState, String),
    pub decision: Option<Decision>,
    /// When it ends.
    pub again: Option<Timestamp>,
}

pub(super) fn came_to(
    request: &Request,
    handle: &Handle,
    meant: &Meaning,
    released: &BTreeMap<&str, &Request>,
    known: &Known,
    now: Timestamp,
) -> Option<Decided> {
    let Meaning::Decide { policy, objects, span, .. } = meant else { return None };
    let end = |state, why: String| Some(Decided { came_to: (state, why), decision: None, again: None });
    let length = SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
    // To put back what git says is nothing that anybody has to bound.
    let max = if *policy == DriftPolicy::Heal { SignedDuration::MAX } else { known.max_hold };
    if length > max && state(request) != Some(RequestState::Going) {
        return end(
            RequestState::Refused,
            format!("it holds for {span}, and the platform allows {max:#} at most"),
        );
    }
    // The platform may say so while it goes on, too.
    let never = |key: &&ObjectKey| known.never_ignore.iter().any(|kind| pattern::names_kind(kind, key));
    if *policy == DriftPolicy::Ignore
        && let Some(key) = objects.iter().find(never)
    {
        let ends = if state(request) == Some(RequestState::Going) {
            RequestState::Done
        } else {
            RequestState::Refused
        };
        return end(ends, format!("{key}: the platform lets nothing of its kind be ignored"));
    }
    if let Some(word) = released.get(handle.name.as_str()) {
        let why = reason(word).map_or(String::new(), |why| format!(": {why}"));
        return end(RequestState::Done, format!("released by {}{why}", by(word)));
    }
    let decision = decision(request, meant, max)?;
    if !decision.holds(now) {
        return end(RequestState::Done, "its time is over".to_owned());
    }
    let until = decision.until.round(jiff::Unit::Second).unwrap_or(decision.until);
    let count = match objects.len() {
        1 => "one object".to_owned(),
        count => format!("{count} objects"),
    };
    let field = request.spec.field.as_deref().filter(|field| !field.is_empty());
    let field = field.map_or("all".to_owned(), |field| format!(".{field}"));
    let what = match policy {
        DriftPolicy::Heal => "is put back",
        _ => "is theirs who changed it",
    };
    let words = format!("{field} of {count} {what} until {until}");
    Some(Decided {
        came_to: (RequestState::Going, words),
        again: Some(decision.until),
        decision: Some(decision),
    })
}

fn decision(request: &Request, meant: &Meaning, max: SignedDuration) -> Option<Decision> {
    let Meaning::Decide { policy, objects, field, span } = meant else { return None };
    let length = SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
    let until = later(created(request), length.min(max));
    Some(Decision::new(*policy, objects.iter().cloned(), field, until, (by(request), reason(request))))
}

/// What was decided for an environment and holds, as its agent said itself.
pub fn decisions<'a>(
    requests: impl IntoIterator<Item = &'a Request>,
    environment: &str,
    now: Timestamp,
) -> Vec<Decision> {
    let going = requests.into_iter().filter(|request| {
        request.spec.environment == environment && state(request) == Some(RequestState::Going)
    });
    let read = going.filter_map(|request| decision(request, &meaning(request).ok()?, SignedDuration::MAX));
    read.filter(|decision| decision.holds(now)).collect()
}
