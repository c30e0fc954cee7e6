//! What is made of a forge that fails: what was not done is told apart from what may have been.

use fairlead::forge::Kind;
use fairlead::pull_requests::{Failure, Number};
use jiff::{SignedDuration, Timestamp};

use crate::fake::{Fake, Fault, ME, TOKEN};

const KINDS: [Kind; 3] = [Kind::Github, Kind::Gitlab, Kind::Gitea];

fn answer(code: u16, headers: &[(&'static str, &str)], text: &'static str) -> Fault {
    Fault::Answer(code, headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), text)
}

#[tokio::test]
async fn a_write_that_nobody_answered_is_not_known_and_is_never_sent_twice() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let forge = fake.open();
        for (fault, made) in [
            (Fault::CutAfter, 1),
            (Fault::CutBefore, 1),
            (answer(502, &[], "Bad Gateway"), 1),
            (answer(500, &[], ""), 1),
            (Fault::CutAfter, 2),
        ] {
            let shown = format!("{kind:?} {fault:?}");
            fake.fail(fault);
            let failure = forge.make(Number(7), "ours").await.expect_err("it fails");
            assert!(matches!(failure, Failure::Unknown(_)), "{shown}: {failure:?}");
            assert_eq!(fake.state().notes.get(&7).map_or(0, Vec::len), made, "{shown}");
        }
        // What only reads can be read again.
        for fault in [Fault::CutAfter, answer(502, &[], ""), Fault::Endless] {
            fake.fail(fault);
            let failure = forge.comments(Number(7)).await.expect_err("it fails");
            assert!(matches!(failure, Failure::Away(_)), "{kind:?}: {failure:?}");
        }
        assert_eq!(forge.comments(Number(7)).await.expect("comments").len(), 2);
        fake.check();
    }
}

#[tokio::test]
async fn limits_say_when_to_come_back_and_nothing_was_done() {
    let now = Timestamp::now();
    let reset = (now + SignedDuration::from_secs(100)).as_second().to_string();
    for (kind, fault, least, most) in [
        (
            Kind::Github,
            answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)], ""),
            90,
            130,
        ),
        (
            Kind::Github,
            answer(403, &[], "{\"message\": \"You have exceeded a secondary rate limit.\"}"),
            55,
            90,
        ),
        (Kind::Github, answer(403, &[("retry-after", "30")], ""), 25, 60),
        (Kind::Github, answer(429, &[("retry-after", "30")], ""), 25, 60),
        (
            Kind::Gitlab,
            answer(429, &[("retry-after", "30"), ("ratelimit-remaining", "0")], "Retry later"),
            25,
            60,
        ),
        (Kind::Gitea, answer(429, &[], ""), 55, 90),
        (Kind::Gitea, answer(503, &[("retry-after", "30")], ""), 25, 60),
    ] {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let shown = format!("{kind:?} {fault:?}");
        fake.fail(fault);
        match fake.open().make(Number(7), "ours").await {
            Err(Failure::Limited { until }) => {
                let wait = until.duration_since(now).as_secs();
                assert!((least..=most).contains(&wait), "{shown}: {wait}");
            }
            other => panic!("{shown}: {other:?}"),
        }
        assert!(fake.state().notes.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_and_never_shows_the_token() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        let forge = fake.open();
        for code in [400, 401, 403, 404, 422] {
            fake.fail(answer(code, &[], TOKEN));
            let failure = forge.make(Number(7), "ours").await.expect_err("it fails");
            assert!(matches!(failure, Failure::Refused(_)), "{kind:?} {code}: {failure:?}");
            assert!(!format!("{failure} {failure:?}").contains(TOKEN));
        }
        // An answer of another form is not "there is none".
        for text in ["", "{}", "[{}]", "[7]", "null", "<html>"] {
            fake.fail(answer(200, &[], text));
            let failure = forge.comments(Number(7)).await.expect_err("it fails");
            assert!(matches!(failure, Failure::Away(_)), "{kind:?} {text}: {failure:?}");
        }
        fake.fail(answer(201, &[], "{}"));
        let failure = forge.make(Number(7), "ours").await.expect_err("it fails");
        assert!(matches!(failure, Failure::Unknown(_)), "{kind:?}: it was made: {failure:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_and_nowhere_else() {
    for kind in KINDS {
        let (fake, other) = (Fake::start(kind).await, Fake::start(kind).await);
        fake.pull(7, "open", None);
        fake.note(7, ME, "ours");
        let forge = fake.open();
        let path = match kind {
            Kind::Gitlab => "/api/v4/projects/team%2Fsub%2Finfra/merge_requests/7/notes",
            Kind::Gitea => "/api/v1/repos/ada/infra/issues/7/comments",
            _ => "/repos/ada/infra/issues/7/comments",
        };
        for code in [301, 302, 307, 308] {
            let to = |url: &str| answer(code, &[("location", &format!("{url}{path}"))], "");
            fake.fail(to(&fake.url));
            assert_eq!(forge.comments(Number(7)).await.expect("it moved").len(), 1, "{kind:?} {code}");
            fake.fail(to(&other.url));
            assert!(matches!(forge.comments(Number(7)).await, Err(Failure::Refused(_))), "{kind:?} {code}");
            fake.fail(to(&other.url));
            assert!(matches!(forge.make(Number(7), "x").await, Err(Failure::Refused(_))), "{kind:?} {code}");
        }
        // A write that would become a read is not followed.
        fake.fail(answer(302, &[("location", path)], ""));
        assert!(matches!(forge.make(Number(7), "x").await, Err(Failure::Refused(_))), "{kind:?}");
        (0..5).for_each(|_| fake.fail(answer(301, &[("location", path)], "")));
        assert!(matches!(forge.comments(Number(7)).await, Err(Failure::Refused(_))), "{kind:?}: in circles");
        fake.state().faults.clear();
        // Nor does a list go on elsewhere.
        for _ in 0..5 {
            fake.note(7, "ada", "more");
        }
        fake.state().next_host = Some(other.url.clone());
        assert!(matches!(forge.comments(Number(7)).await, Err(Failure::Refused(_))), "{kind:?}");
        assert!(other.state().requests.is_empty(), "{kind:?}: {:?}", other.state().requests);
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error_and_not_its_beginning() {
    for kind in KINDS {
        let fake = Fake::start(kind).await;
        fake.pull(7, "open", None);
        fake.state().page = 1;
        for _ in 0..60 {
            fake.note(7, "ada", "x");
        }
        assert!(matches!(fake.open().comments(Number(7)).await, Err(Failure::Refused(_))), "{kind:?}");
    }
}
