//! What the history keeps of a Request: that something is held, that it is not any more, and how every other one ended.

use jiff::Timestamp;
use serde_json::json;

use super::{by, created, reason};
use crate::api::{Request, RequestState};
use crate::object::{AppName, Digest, EnvironmentName, EventKind, RecordId, TimelineEvent};

/// The event that a new state of a Request is; the same one each time that it is told.
pub fn event(request: &Request, state: RequestState, message: &str, now: Timestamp) -> Option<TimelineEvent> {
    let kind = match (request.spec.verb.as_str(), state) {
        ("hold" | "ignore", RequestState::Going) => EventKind::Hold,
        ("hold" | "ignore", RequestState::Done) => EventKind::Release,
        // What is put back from now on is told when that begins.
        ("heal", RequestState::Going) => EventKind::Request,
        (_, state) if state.is_end() => EventKind::Request,
        _ => return None,
    };
    let uid = request.metadata.uid.as_deref()?;
    let chance = Digest::of(format!("{uid} {}", state.as_str()).as_bytes());
    let chance = u128::from_str_radix(chance.as_str().get(..32)?, 16).ok()?;
    let mut details = json!({"verb": request.spec.verb, "outcome": state.as_str(), "message": message});
    for (word, said) in [("field", &request.spec.field), ("cause", &request.spec.cause)] {
        if let Some(said) = said {
            details[word] = said.as_str().into();
        }
    }
    if !request.spec.objects.is_empty() {
        details["objects"] = request.spec.objects.len().into();
    }
    Some(TimelineEvent {
        id: RecordId::new(created(request), chance),
        kind,
        cluster: String::new(),
        environment: EnvironmentName::new(&request.spec.environment).ok()?,
        app: request.spec.app.as_deref().and_then(|name| AppName::new(name).ok()),
        object: request.spec.object.as_deref().and_then(|object| object.parse().ok()),
        who: Some(by(request)),
        why: reason(request),
        at: now,
        details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RequestSpec;

    #[test]
    fn a_hold_its_end_and_every_other_end_are_events() {
        let request = |verb: &str| {
            let spec = RequestSpec {
                verb: verb.into(),
                environment: "dev".into(),
                by: "ada".into(),
                ..RequestSpec::default()
            };
            let mut request = Request::new("a", spec);
            request.metadata.uid = Some("u".into());
            request
        };
        let kind = |verb: &str, state| {
            event(&request(verb), state, "", Timestamp::UNIX_EPOCH).map(|event| event.kind)
        };
        assert_eq!(kind("hold", RequestState::Going), Some(EventKind::Hold));
        assert_eq!(kind("hold", RequestState::Done), Some(EventKind::Release));
        assert_eq!(kind("hold", RequestState::Refused), Some(EventKind::Request));
        assert_eq!(kind("ignore", RequestState::Going), Some(EventKind::Hold));
        assert_eq!(kind("ignore", RequestState::Done), Some(EventKind::Release));
        assert_eq!(kind("heal", RequestState::Going), Some(EventKind::Request));
        assert_eq!(kind("rollback", RequestState::Going), None);
        assert_eq!(kind("rollback", RequestState::Failed), Some(EventKind::Request));
        let at = |second| {
            let now = Timestamp::from_second(second).expect("a time");
            event(&request("retry"), RequestState::Done, "", now).expect("an event").id
        };
        let twice = [0, 1].map(at);
        assert_eq!(twice[0], twice[1]);
    }
}
