//! Holds: a Request that goes on for as long as it holds, and another that ends it before its time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Handle, Known, Meaning, by, created, later, reason, state};
use crate::api::{Request, RequestState};
use crate::drift::HandsOff;

type Open<'a> = (&'a Arc<Request>, Handle, Result<Meaning, String>);

/// What came of a hold, or of the word that ends it.
#[derive(Default)]
pub(super) struct Held {
    pub came_to: Option<(RequestState, String)>,
    /// What is left alone now.
    pub holds: Option<HandsOff>,
    /// When it ends.
    pub again: Option<Timestamp>,
}

/// Who ends which hold, by its name.
pub(super) fn released<'a>(open: &'a [Open]) -> BTreeMap<&'a str, &'a Request> {
    let word = |(request, _, meant): &'a Open| match meant {
        Ok(Meaning::Release { hold }) => Some((hold.as_str(), &***request)),
        _ => None,
    };
    open.iter().filter_map(word).collect()
}

pub(super) fn came_to(
    request: &Request,
    handle: &Handle,
    meant: &Result<Meaning, String>,
    (open, ended, released): (&[Open], &[&Arc<Request>], &BTreeMap<&str, &Request>),
    known: &Known,
    now: Timestamp,
) -> Held {
    match meant {
        Ok(Meaning::Hold { app, object, span, deploys }) => {
            let length = SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
            let max = known.max_hold;
            let refuse =
                |why: String| Held { came_to: Some((RequestState::Refused, why)), ..Held::default() };
            if *deploys && object.is_some() {
                return refuse(
                    "a commit is not held up for one object: leave out deploys, or the object".to_owned(),
                );
            }
            if let Some(app) = app
                && known.replies.knows_apps
                && !known.apps.is_empty()
                && known.apps.iter().all(|found| found.name != *app)
            {
                return refuse(format!("git has no app {app}"));
            }
            // What was let in before the limit was lowered ends with it.
            let until = later(created(request), length.min(max));
            if length > max && state(request) != Some(RequestState::Going) {
                return refuse(format!("it holds for {span}, and the platform allows {max:#} at most"));
            }
            if let Some(word) = released.get(handle.name.as_str()) {
                let why = reason(word).map_or(String::new(), |why| format!(": {why}"));
                return Held {
                    came_to: Some((RequestState::Done, format!("released by {}{why}", by(word)))),
                    ..Held::default()
                };
            }
            if now >= until {
                return Held {
                    came_to: Some((RequestState::Done, "its time is over".to_owned())),
                    ..Held::default()
                };
            }
            let (app, object) = (app.clone(), object.clone());
            let hold =
                HandsOff { app, object, deploys: *deploys, until, by: by(request), reason: reason(request) };
            let until_text = until.round(jiff::Unit::Second).unwrap_or(until);
            Held {
                came_to: Some((RequestState::Going, format!("{} until {until_text}", what(&hold)))),
                holds: Some(hold),
                again: Some(until),
            }
        }
        Ok(Meaning::Release { hold }) => {
            let is_open = open.iter().any(|(_, handle, meant)| {
                handle.name == *hold && matches!(meant, Ok(Meaning::Hold { .. } | Meaning::Decide { .. }))
            });
            // An agent may have ended it and died before it said so here.
            let is_over = ended.iter().any(|found| {
                found.metadata.name.as_ref() == Some(hold)
                    && matches!(&*found.spec.verb, "hold" | "heal" | "ignore")
                    && state(found) == Some(RequestState::Done)
                    && ended_at(found).is_some_and(|at| at >= created(request))
            });
            let (state, why) = match is_open || is_over {
                true => (RequestState::Done, format!("{hold} is released")),
                false => (RequestState::Refused, format!("nothing is held by a request {hold}")),
            };
            Held { came_to: Some((state, why)), ..Held::default() }
        }
        _ => Held::default(),
    }
}

fn ended_at(request: &Request) -> Option<Timestamp> {
    request.status.as_ref()?.at.parse().ok()
}

fn what(hold: &HandsOff) -> String {
    let of = match (&hold.app, &hold.object) {
        (_, Some(object)) => object.to_string(),
        (Some(app), None) => app.to_string(),
        (None, None) => "the environment".to_owned(),
    };
    let deploys = if hold.deploys { ", and commits wait," } else { "" };
    format!("nothing of {of} is put back{deploys}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::{Docket, decide};
    use super::*;
    use crate::api::{RequestSpec, RequestStatus};

    const NOW: &str = "2026-01-02T12:00:00Z";

    fn request(name: &str, spec: RequestSpec) -> Request {
        let spec = RequestSpec { environment: "dev".into(), by: "ada".into(), ..spec };
        let mut request = Request::new(name, spec);
        request.metadata.uid = Some(format!("uid-{name}"));
        request.metadata.creation_timestamp = Some(Time("2026-01-02T11:00:00Z".parse().unwrap()));
        request
    }

    fn hold(name: &str, duration: &str) -> Request {
        let spec = RequestSpec {
            verb: "hold".into(),
            duration: Some(duration.into()),
            app: Some("web".into()),
            reason: Some("an incident".into()),
            ..RequestSpec::default()
        };
        request(name, spec)
    }

    fn going(mut request: Request) -> Request {
        request.status = Some(RequestStatus { state: RequestState::Going, ..RequestStatus::default() });
        request
    }

    fn decided(requests: &[Request]) -> Docket {
        decide_all(requests, &Known { max_hold: SignedDuration::from_hours(24), ..Known::default() })
    }

    fn decide_all(requests: &[Request], known: &Known) -> Docket {
        let requests: Vec<Arc<Request>> = requests.iter().cloned().map(Arc::new).collect();
        decide(&requests, known, NOW.parse().unwrap())
    }

    fn said(docket: &Docket) -> Vec<(RequestState, &str)> {
        docket.write.iter().map(|(_, state, why)| (*state, why.as_str())).collect()
    }

    #[test]
    fn it_holds_for_its_time_and_ends_by_itself() {
        let docket = decided(&[hold("a", "2h")]);
        let told = "nothing of web is put back until 2026-01-02T13:00:00Z";
        assert_eq!(said(&docket), [(RequestState::Going, told)]);
        assert_eq!(docket.words.holds.len(), 1);
        assert_eq!(docket.again, Some("2026-01-02T13:00:00Z".parse().unwrap()));
        // It is told again after a restart, and written once.
        let docket = decided(&[going(hold("a", "2h"))]);
        assert_eq!((said(&docket).len(), docket.words.holds.len()), (0, 1));
        let docket = decided(&[going(hold("a", "1h"))]);
        assert_eq!(said(&docket), [(RequestState::Done, "its time is over")]);
        assert!(docket.words.holds.is_empty());
    }

    #[test]
    fn the_platform_says_how_long_it_may_hold() {
        let docket = decided(&[hold("a", "48h")]);
        assert!(said(&docket)[0].1.contains("the platform allows"), "{:?}", docket.write);
        assert!(docket.words.holds.is_empty());
        // One that holds already ends with the limit.
        let docket = decided(&[going(hold("a", "48h"))]);
        assert_eq!(docket.words.holds[0].until, "2026-01-03T11:00:00Z".parse().unwrap());
    }

    #[test]
    fn another_request_ends_it() {
        let release = |of: &str| {
            let spec = RequestSpec {
                verb: "release".into(),
                hold: Some(of.into()),
                reason: Some("over".into()),
                ..RequestSpec::default()
            };
            request("b", spec)
        };
        let docket = decided(&[going(hold("a", "2h")), release("a")]);
        let (over, done) =
            ((RequestState::Done, "released by ada: over"), (RequestState::Done, "a is released"));
        assert_eq!(said(&docket), [over, done]);
        assert!(docket.words.holds.is_empty());
        let docket = decided(&[release("a")]);
        assert_eq!(said(&docket), [(RequestState::Refused, "nothing is held by a request a")]);
    }

    #[test]
    fn a_hold_that_ended_for_it_before_the_agent_died_is_released() {
        let spec = RequestSpec { verb: "release".into(), hold: Some("a".into()), ..RequestSpec::default() };
        let release = request("b", spec);
        let ended = |at: &str| {
            let mut hold = hold("a", "2h");
            let status =
                RequestStatus { state: RequestState::Done, at: at.into(), ..RequestStatus::default() };
            hold.status = Some(status);
            hold
        };
        let docket = decided(&[ended("2026-01-02T11:00:00Z"), release.clone()]);
        assert_eq!(said(&docket), [(RequestState::Done, "a is released")]);
        let docket = decided(&[ended("2026-01-02T10:59:59Z"), release]);
        assert_eq!(said(&docket)[0].0, RequestState::Refused, "it was over before that was asked");
    }

    #[test]
    fn a_decision_goes_on_for_its_time_and_is_released_like_a_hold() {
        let decide = |verb: &str, duration: &str| {
            let spec = RequestSpec {
                verb: verb.into(),
                objects: vec!["Deployment.apps web/a".into(), "Deployment.apps web/b".into()],
                field: Some("spec.replicas".into()),
                duration: Some(duration.into()),
                ..RequestSpec::default()
            };
            request("a", spec)
        };
        let docket = decided(&[decide("ignore", "2h")]);
        let told = ".spec.replicas of 2 objects is theirs who changed it until 2026-01-02T13:00:00Z";
        assert_eq!(said(&docket), [(RequestState::Going, told)]);
        let decision = &docket.words.decisions[0];
        assert!(decision.is_about(&"Deployment.apps web/b".parse().unwrap()) && decision.by == "ada");
        assert_eq!(docket.again, Some("2026-01-02T13:00:00Z".parse().unwrap()));
        let docket = decided(&[going(decide("ignore", "1h"))]);
        assert_eq!(said(&docket), [(RequestState::Done, "its time is over")]);
        assert!(docket.words.decisions.is_empty());
        // The platform bounds what is left alone, and not what is put back.
        assert!(said(&decided(&[decide("ignore", "48h")]))[0].1.contains("the platform allows"));
        assert_eq!(said(&decided(&[decide("heal", "48h")]))[0].0, RequestState::Going);
        let spec = RequestSpec { verb: "release".into(), hold: Some("a".into()), ..RequestSpec::default() };
        let docket = decided(&[going(decide("heal", "2h")), request("b", spec)]);
        let (over, done) = ((RequestState::Done, "released by ada"), (RequestState::Done, "a is released"));
        assert_eq!(said(&docket), [over, done]);
        let kinds = vec!["Deployment.apps".to_owned()];
        let known =
            Known { max_hold: SignedDuration::from_hours(24), never_ignore: kinds, ..Known::default() };
        for (request, ends) in [
            (decide("ignore", "2h"), RequestState::Refused),
            (going(decide("ignore", "2h")), RequestState::Done),
        ] {
            let docket = decide_all(&[request], &known);
            assert_eq!(
                said(&docket),
                [(ends, "Deployment.apps web/a: the platform lets nothing of its kind be ignored")]
            );
            assert!(docket.words.decisions.is_empty());
        }
        assert_eq!(said(&decide_all(&[decide("heal", "2h")], &known))[0].0, RequestState::Going);
        let mut nothing = decide("heal", "1h");
        nothing.spec.objects.clear();
        assert!(decided(&[nothing]).write[0].2.contains("objects are missing"));
        let all = [going(decide("ignore", "2h")), decide("heal", "2h")];
        let known = crate::requests::decisions(&all, "dev", NOW.parse().unwrap());
        assert_eq!(known.len(), 1, "only what its agent took up");
        assert!(crate::requests::decisions(&all, "prod", NOW.parse().unwrap()).is_empty());
    }

    #[test]
    fn what_makes_no_hold_is_refused_with_the_reason() {
        let with = |change: &dyn Fn(&mut RequestSpec)| {
            let mut request = hold("a", "2h");
            change(&mut request.spec);
            decided(&[request]).write[0].2.clone()
        };
        assert!(with(&|spec| spec.duration = None).contains("duration is missing"));
        assert!(with(&|spec| spec.duration = Some("soon".into())).contains("not a length of time"));
        assert!(with(&|spec| spec.duration = Some("0s".into())).contains("needs some time"));
        assert!(with(&|spec| spec.object = Some("web".into())).contains("names no object"));
        let both = with(&|spec| {
            spec.object = Some("Deployment.apps web/web".into());
            spec.deploys = true;
        });
        assert!(both.contains("not held up for one object"), "{both}");
    }
}
