use jiff::Timestamp;

use super::*;
use crate::object::{AppName, Commit, Outcome, Revision};

fn dev() -> EnvironmentName {
    EnvironmentName::new("dev").unwrap()
}

fn record(app: &str, outcome: Outcome, ended: Timestamp) -> Record {
    Record {
        app: AppName::new(app).unwrap(),
        digest: "b".into(),
        from: Some("a".into()),
        commit: Some(Commit::new(Revision::new("1234"), "Ada", "It's; DROP TABLE rollouts --")),
        outcome,
        started: ended,
        ended,
        objects: 3,
        by: None,
        why: None,
        secrets: [("aws-sm:db".to_owned(), "v1".into())].into(),
    }
    .because("a pod's last words")
}

fn query(app: Option<&str>, limit: u32) -> Query {
    Query { environment: dev(), app: app.map(|app| AppName::new(app).unwrap()), limit }
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap()
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never did");
}

#[test]
fn a_place_is_a_url_or_a_path_and_never_quoted() {
    let place = |text: &str| text.parse::<Place>();
    assert_eq!(place("sqlite:/a/b.db").unwrap(), Place::file("/a/b.db".as_ref()));
    assert_eq!(place("sqlite:///a/b.db").unwrap(), Place::file("/a/b.db".as_ref()));
    assert_eq!(place("a/b.db").unwrap(), Place::file("a/b.db".as_ref()));
    let error = place("postgres://u:s3cret@db/history").unwrap_err();
    assert_eq!(error, BadPlace::Scheme);
    assert!(!error.to_string().contains("s3cret"));
    assert_eq!(place("sqlite:").unwrap_err(), BadPlace::NoPath);
}

#[tokio::test]
async fn what_was_told_is_read_again_the_newest_first_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::file(&folder.path().join("history.sqlite"));
    let (then, now) = (now() - jiff::SignedDuration::from_hours(1), now());
    for _ in 0..2 {
        let history = History::start(place.clone());
        for outcome in Outcome::ALL {
            history.tell(&dev(), record("web", outcome, then));
        }
        history.tell(&dev(), record("other", Outcome::Done, now));
        history.tell(&EnvironmentName::new("production").unwrap(), record("web", Outcome::Done, now));
        history.end().await;
    }
    let all = read(&place, &query(None, 100)).await.unwrap();
    assert_eq!(all.len(), 9, "what is told twice is written once");
    assert_eq!(all[0].record, record("other", Outcome::Done, now));
    assert_eq!(read(&place, &query(Some("web"), 100)).await.unwrap().len(), 8);
    assert_eq!(read(&place, &query(None, 2)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_too_old_goes() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::file(&folder.path().join("history.sqlite"));
    let rows = [401, 399].map(|days| {
        let ended = now() - jiff::SignedDuration::from_hours(24 * days);
        Row { environment: dev(), record: record("web", Outcome::Done, ended) }
    });
    Table::open(&place).await.unwrap().put(&rows).await.unwrap();
    drop(Table::open(&place).await.unwrap());
    assert_eq!(read(&place, &query(None, 10)).await.unwrap(), rows[1..]);
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_holds_nobody_up_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not/there/yet");
    let place = Place::file(&missing.join("history.sqlite"));
    let history = History::start(place.clone());
    for n in 0..WAITING + BATCH + 10 {
        let ended = now() + jiff::SignedDuration::from_millis(i64::try_from(n).unwrap());
        history.tell(&dev(), record("web", Outcome::Done, ended));
    }
    assert!(history.counts().2 > 0, "what does not fit is counted");
    until(|| history.counts().1 > 0).await;
    std::fs::create_dir_all(&missing).unwrap();
    until(|| history.counts().0 == WAITING as u64).await;
    history.end().await;
    assert_eq!(read(&place, &query(None, 9999)).await.unwrap().len(), WAITING);
}

#[tokio::test]
async fn what_is_no_history_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::file(&folder.path().join("history.sqlite"));
    let error = read(&place, &query(None, 1)).await.unwrap_err();
    assert!(error.to_string().contains("history.sqlite"), "{error}");
    std::fs::write(folder.path().join("history.sqlite"), "something else altogether, and long enough")
        .unwrap();
    assert!(read(&place, &query(None, 1)).await.is_err());
}
