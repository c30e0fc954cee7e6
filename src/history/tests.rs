use super::*;
use crate::object::{AppName, Commit, Outcome, Revision};

fn dev() -> EnvironmentName {
    EnvironmentName::new("dev").unwrap()
}

fn record(app: &str, outcome: Outcome, ended: Timestamp) -> RolloutRecord {
    RolloutRecord {
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
    let app = app.map(|app| AppName::new(app).unwrap());
    Query { environment: Some(dev()), app, limit, ..Query::default() }
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
    for text in ["sqlite:/a/b.db", "sqlite:///a/b.db", "/a/b.db"] {
        assert_eq!(place(text).unwrap().to_string(), "sqlite:/a/b.db");
    }
    assert_eq!(place("sqlite:").unwrap_err(), BadPlace::NoPath);
    assert_eq!(place("mysql://u:s3cret@db/history").unwrap_err(), BadPlace::Scheme);
    let server = place("postgres://u:s3cret@db.example:5433/history?sslmode=require").unwrap();
    assert_eq!(server.to_string(), "postgres://u@db.example:5433/history");
    for shown in [format!("{server:?}"), format!("{server:#?}"), server.to_string()] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    for (text, error) in [
        // A password with a question mark or a number sign in it, written as it is.
        ("postgres://u:s3?s3cret=1@db/history", BadPlace::Parameter),
        ("postgres://u@db/history?passwrod=s3cret", BadPlace::Parameter),
        ("postgres://u@db/history?s3cret", BadPlace::Url),
        ("postgres://u:s3cret@db:port/history", BadPlace::Url),
        ("postgres://u@db/history?sslmode=s3cret", BadPlace::SslMode),
    ] {
        let found = place(text).unwrap_err();
        assert!(!found.to_string().contains("s3cret") && !format!("{found:?}").contains("s3cret"), "{found}");
        assert_eq!(found, error, "{text}");
    }
}

#[test]
fn without_a_word_a_server_over_a_network_has_to_prove_who_it_is() {
    let exposed = |text: &str| text.parse::<Place>().unwrap().is_exposed();
    for text in [
        "postgres://u@db/history",
        "postgres://u@db/history?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgres://u@localhost/history",
        "postgres://u@127.0.0.1/history",
        "postgres://u@[::1]/history",
        "postgres:///history?user=u&host=/run/postgresql",
        "sqlite:/a",
    ] {
        assert!(!exposed(text), "{text}");
    }
    for mode in ["disable", "prefer", "require"] {
        assert!(exposed(&format!("postgres://u@db/history?sslmode={mode}")), "{mode}");
    }
}

#[test]
fn a_password_may_be_in_a_file_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let place: Place = "postgres://u@localhost/history".parse().unwrap();
    let place = place.with_password_file(Some(&file)).unwrap();
    let place::Kind::Server(server) = place.kind() else { panic!("it is a server") };
    assert!(server.options().is_err(), "there is none yet");
    for password in ["first", "second"] {
        std::fs::write(&file, format!("{password}\n")).unwrap();
        assert!(format!("{:?}", server.options().unwrap()).contains(&format!("{password:?}")));
        assert!(!format!("{place:?}").contains(password));
    }
    assert_eq!(Place::file("/a".as_ref()).with_password_file(Some(&file)).unwrap_err(), BadPlace::NoPassword);
}

#[tokio::test]
async fn what_was_told_is_read_again_the_newest_first_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::file(&folder.path().join("history.sqlite"));
    let (then, now) = (now() - jiff::SignedDuration::from_hours(1), now());
    for _ in 0..2 {
        let history = History::start(place.clone(), Settings::default());
        for outcome in Outcome::ALL {
            history.tell(&dev(), record("web", outcome, then));
        }
        history.tell(&dev(), record("other", Outcome::Done, now));
        history.tell(&EnvironmentName::new("production").unwrap(), record("web", Outcome::Done, now));
        history.end().await;
    }
    let all = read(&place, &query(None, 100)).await.unwrap().entries;
    assert_eq!(all.len(), 9, "what is told twice is written once");
    let other =
        Row { cluster: String::new(), environment: dev(), record: record("other", Outcome::Done, now) };
    assert_eq!(all[0], Entry::Rollout(Box::new(other)));
    assert_eq!(read(&place, &query(Some("web"), 100)).await.unwrap().entries.len(), 8);
    assert_eq!(read(&place, &query(None, 2)).await.unwrap().entries.len(), 2);
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_holds_nobody_up_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not/there/yet");
    let place = Place::file(&missing.join("history.sqlite"));
    let history = History::start(place.clone(), Settings::default());
    for n in 0..WAITING + BATCH + 10 {
        let ended = now() + jiff::SignedDuration::from_millis(i64::try_from(n).unwrap());
        history.tell(&dev(), record("web", Outcome::Done, ended));
    }
    assert!(history.counts().2 > 0, "what does not fit is counted");
    until(|| history.counts().1 > 0).await;
    std::fs::create_dir_all(&missing).unwrap();
    until(|| history.counts().0 == WAITING as u64).await;
    history.end().await;
    assert_eq!(read(&place, &query(None, 99_999)).await.unwrap().entries.len(), WAITING);
}

#[tokio::test]
async fn what_waits_is_bounded_by_what_it_takes_too() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::file(&folder.path().join("missing/history.sqlite"));
    let history = History::start(place, Settings::default());
    let large = TimelineEvent {
        id: new_id(),
        kind: crate::object::EventKind::Hold,
        cluster: String::new(),
        environment: dev(),
        app: None,
        object: None,
        who: None,
        why: None,
        at: now(),
        details: serde_json::Value::from("x".repeat(8000)),
    };
    for _ in 0..WAITING - 1 {
        history.tell_event(large.clone());
    }
    // Nothing was taken out meanwhile: nobody waited.
    assert!(history.counts().2 > 0, "{:?}", history.counts());
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
