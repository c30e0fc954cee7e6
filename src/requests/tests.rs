use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::{AppPhase, RequestSpec, RollbackState, RollbackStatus};
use crate::delivery::{Approved, Retried};

const NOW: &str = "2026-01-02T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn digest(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn request(name: &str, verb: &str) -> Request {
    let app = matches!(verb, "retry" | "rollback").then(|| "web".to_owned());
    let spec = RequestSpec {
        verb: verb.to_owned(),
        environment: "dev".to_owned(),
        app,
        digest: Some(digest(1)),
        by: "ada".to_owned(),
        ..RequestSpec::default()
    };
    let mut request = Request::new(name, spec);
    request.metadata.uid = Some(format!("uid-{name}"));
    request.metadata.creation_timestamp = Some(Time("2026-01-02T11:00:00Z".parse().expect("a time")));
    request
}

fn ended(name: &str, verb: &str, state: RequestState, at: &str) -> Request {
    let (message, executed_by) = (None, String::new());
    Request {
        status: Some(RequestStatus { state, message, at: at.to_owned(), executed_by }),
        ..request(name, verb)
    }
}

fn decided(requests: &[Request], known: &Known) -> Docket {
    let requests: Vec<Arc<Request>> = requests.iter().cloned().map(Arc::new).collect();
    decide(&requests, known, now())
}

fn said(docket: &Docket) -> Vec<(&str, RequestState, &str)> {
    docket.write.iter().map(|(handle, state, why)| (handle.name.as_str(), *state, why.as_str())).collect()
}

fn app(rollback: Option<(&str, RollbackState)>) -> AppStatus {
    let mut app: AppStatus =
        serde_json::from_value(serde_json::json!({"name": "web", "phase": "Ready"})).expect("a status");
    app.phase = AppPhase::Ready;
    app.rollback = rollback.map(|(request, state)| RollbackStatus {
        request: request.to_owned(),
        state,
        by: "ada".to_owned(),
        to: None,
        message: None,
    });
    app
}

fn knows(retry: Option<Retried>) -> Replies {
    Replies { retry, knows_apps: true, ..Replies::default() }
}

#[test]
fn what_has_ended_is_removed_a_day_later() {
    let known = Known::default();
    let fresh = ended("a", "retry", RequestState::Done, "2026-01-01T12:00:01Z");
    let docket = decided(std::slice::from_ref(&fresh), &known);
    assert!(docket.remove.is_empty());
    assert_eq!(docket.again, Some("2026-01-02T12:00:01Z".parse().expect("a time")));
    let old = ended("b", "retry", RequestState::Refused, "2026-01-01T12:00:00Z");
    let open = ended("c", "retry", RequestState::Going, "2025-01-01T00:00:00Z");
    let docket = decided(&[fresh, old, open], &known);
    assert_eq!(docket.remove.iter().map(|gone| gone.name.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn of_what_has_ended_only_so_much_stays() {
    let all: Vec<Request> = (0..ENDED + 3)
        .map(|n| {
            let at = now() - SignedDuration::from_mins(10) + SignedDuration::from_secs(n as i64);
            ended(&format!("r{n}"), "apply", RequestState::Done, &at.to_string())
        })
        .collect();
    let removed: Vec<String> =
        decided(&all, &Known::default()).remove.into_iter().map(|gone| gone.name).collect();
    assert_eq!(removed, ["r0", "r1", "r2"]);
}

#[test]
fn a_flood_is_refused_and_the_oldest_are_heard() {
    let flood: Vec<Request> = (0..OPEN + 5).map(|n| request(&format!("r{n:03}"), "apply")).collect();
    let docket = decided(&flood, &Known::default());
    assert_eq!(docket.words.look.len(), OPEN);
    assert_eq!(docket.write.len(), 5);
    assert!(
        docket.write.iter().all(|(_, state, why)| *state == RequestState::Refused && why.contains("50 open"))
    );
}

#[test]
fn one_retry_is_told_after_the_other_and_none_once_it_was_answered() {
    let two = [request("a", "retry"), request("b", "retry")];
    let docket = decided(&two, &Known { replies: knows(None), ..Known::default() });
    assert_eq!(docket.words.retry.as_ref().map(|retry| retry.nonce.as_str()), Some("uid-a by ada"));
    let retried = Retried { nonce: "uid-a by ada".to_owned(), meant: Some(true) };
    let docket = decided(&two, &Known { replies: knows(Some(retried)), ..Known::default() });
    assert_eq!(said(&docket), [("a", RequestState::Done, "web: 010101010101 is tried again")]);
    assert_eq!(docket.words.retry.map(|retry| retry.nonce), Some("uid-b by ada".to_owned()));
    let heard = ended("a", "retry", RequestState::Done, NOW);
    assert_eq!(decided(&[heard], &Known::default()).words.retry, None);
}

#[test]
fn the_newest_word_to_roll_back_an_app_counts_and_is_told_until_it_has_ended() {
    let going = ended("a", "rollback", RequestState::Going, NOW);
    let apps = [app(Some(("uid-a", RollbackState::Going)))];
    let known = Known { apps: &apps, replies: knows(None), ..Known::default() };
    let docket = decided(std::slice::from_ref(&going), &known);
    assert!(docket.write.is_empty());
    assert_eq!(docket.words.rollbacks.len(), 1, "it may not be remembered yet");
    let docket = decided(&[going.clone(), request("b", "rollback")], &known);
    assert_eq!(
        said(&docket),
        [("a", RequestState::Overtaken, "web: a newer request to roll back took over")]
    );
    assert_eq!(docket.words.rollbacks.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["uid-b"]);

    let apps = [app(Some(("uid-a", RollbackState::Done)))];
    let docket = decided(std::slice::from_ref(&going), &Known { apps: &apps, ..known.clone() });
    assert_eq!(docket.write.first().map(|(_, state, _)| *state), Some(RequestState::Done));
    assert!(docket.words.rollbacks.is_empty());

    // Nothing is known of it: after a restart that came before it was remembered it is asked anew, and where it was heard
    // something newer came.
    let apps = [app(None)];
    let docket = decided(std::slice::from_ref(&going), &Known { apps: &apps, ..known.clone() });
    assert!(docket.write.is_empty() && docket.words.rollbacks.len() == 1);
    let replies = Replies { rollbacks: ["uid-a".to_owned()].into(), ..knows(None) };
    let docket = decided(&[going], &Known { apps: &apps, replies, ..Known::default() });
    assert_eq!(docket.write.first().map(|(_, state, _)| *state), Some(RequestState::Overtaken));
}

#[test]
fn an_approval_is_of_the_set_that_was_shown() {
    let asked = [request("a", "approve")];
    let shown = Digest::from(digest(1).as_str());
    let known = |came_to: Option<Approved>| Known {
        replies: Replies { approval: came_to.map(|came_to| (shown.clone(), came_to)), ..Replies::default() },
        ..Known::default()
    };
    let docket = decided(&asked, &known(None));
    assert_eq!((docket.words.approve, docket.write.len()), (Some(shown.clone()), 0));
    let docket = decided(&asked, &known(Some(Approved::Goes)));
    assert_eq!(docket.write.first().map(|(_, state, _)| *state), Some(RequestState::Done));
    assert_eq!(docket.words.approve, None);
    let docket = decided(&asked, &known(Some(Approved::Another(Digest::from(digest(2).as_str())))));
    assert_eq!(docket.write.first().map(|(_, state, _)| *state), Some(RequestState::Refused));
}

#[test]
fn what_was_agreed_to_holds_as_long_as_its_request_is_there() {
    let mut asked = request("a", "adopt");
    asked.spec.tokens = vec!["one".to_owned(), "two".to_owned()];
    let docket = decided(std::slice::from_ref(&asked), &Known::default());
    assert_eq!((docket.words.agreed.len(), docket.write.len()), (2, 0));
    let replies = Replies { agreed: docket.words.agreed, ..Replies::default() };
    let docket = decided(std::slice::from_ref(&asked), &Known { replies, ..Known::default() });
    assert_eq!(docket.write.first().map(|(_, state, _)| *state), Some(RequestState::Done));
    asked.status =
        Some(RequestStatus { state: RequestState::Done, at: NOW.to_owned(), ..RequestStatus::default() });
    assert_eq!(decided(std::slice::from_ref(&asked), &Known::default()).words.agreed.len(), 2);
    asked.status =
        Some(RequestStatus { state: RequestState::Refused, at: NOW.to_owned(), ..RequestStatus::default() });
    assert_eq!(decided(&[asked], &Known::default()).words.agreed.len(), 0);
}

#[test]
fn a_request_of_no_environment_is_refused_once_that_is_sure() {
    let stray = request("a", "apply");
    let soon = stray.metadata.creation_timestamp.as_ref().expect("a time").0 + SignedDuration::from_secs(1);
    assert!(decide_stray(&stray, soon).write.is_empty());
    assert_eq!(
        said(&decide_stray(&stray, now())),
        [("a", RequestState::Refused, "there is no Environment dev")]
    );
    let old = ended("a", "apply", RequestState::Refused, "2026-01-01T00:00:00Z");
    assert_eq!(decide_stray(&old, now()).remove.len(), 1);
}

#[test]
fn what_was_asked_of_another_environment_of_the_name_is_not_done() {
    let since = |text: &str| Known { since: Some(text.parse().expect("a time")), ..Known::default() };
    let asked = [request("a", "retry")];
    assert!(decided(&asked, &since("2026-01-02T11:00:00Z")).words.retry.is_some());
    let docket = decided(&asked, &since("2026-01-02T11:00:01Z"));
    assert!(docket.words.retry.is_none());
    assert_eq!(
        said(&docket),
        [("a", RequestState::Refused, "it was asked of another Environment dev, which is no more")]
    );
    let mut adopted = ended("b", "adopt", RequestState::Done, "2026-01-02T11:30:00Z");
    adopted.spec.tokens = vec!["t".to_owned()];
    assert_eq!(decided(std::slice::from_ref(&adopted), &since("2026-01-02T11:00:00Z")).words.agreed.len(), 1);
    assert!(decided(&[adopted], &since("2026-01-02T11:00:01Z")).words.agreed.is_empty());
}

#[test]
fn a_reason_goes_with_the_word_and_is_one_line() {
    let mut asked = request("a", "retry");
    asked.spec.reason = Some(" the registry\nis back ".to_owned());
    let docket = decided(&[asked], &Known::default());
    assert_eq!(docket.words.retry.and_then(|word| word.reason).as_deref(), Some("the registry is back"));
}
