//! A server that is killed, away, full or read-only: nothing is held up, and what waited is written once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairlead::history::History;
use fairlead::object::DriftRecord;
use jiff::SignedDuration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bed::{Bed, Server, at, dev, drift, number, rollout, server, settings, sql, until};

/// The n-th observation: of one of ten objects, some of them again and again.
fn nth(n: i64) -> DriftRecord {
    drift(&format!("app-{}", n % 10), at("2026-11-10T01:00:00Z") + SignedDuration::from_millis(n))
}

async fn written(history: &History, count: u64) {
    until("all is written", || history.counts().0 == count).await;
}

/// What is told makes ten records, which have all counts together.
async fn nothing_lost_nothing_doubled(url: &str, told: i64) {
    assert_eq!(number(url, "SELECT count(*) FROM drift").await, 10);
    assert_eq!(number(url, "SELECT sum(seen)::bigint FROM drift").await, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_in_mid_write_has_everything_once_in_the_end() {
    let mut server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    let bed = Bed::at(server.database().await);
    let history = Arc::new(bed.history());
    let teller = history.clone();
    let told = tokio::spawn(async move {
        for n in 0..3000 {
            teller.tell_drift(nth(n));
            if n % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    until("it is in the middle of it", || history.counts().0 > 0).await;
    let crash = tokio::task::spawn_blocking(move || {
        server.crash();
        server
    });
    let mut server = crash.await.unwrap();
    until("it is seen to be away", || history.counts().1 > 0).await;
    let run = tokio::task::spawn_blocking(move || {
        server.run();
        server
    });
    let _server = run.await.unwrap();
    told.await.unwrap();
    written(&history, 3000).await;
    assert_eq!(history.counts().2, 0);
    nothing_lost_nothing_doubled(&bed.url, 3000).await;
    history.end().await;
}

/// Passes on what a client and the server say, but that it cuts the line when the answer to a commit comes.
async fn proxy(port: u16, cuts: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let cuts = cuts.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let commits = Arc::new(AtomicBool::new(false));
                let seen = commits.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                        // A message of its own: Q, its length, the word, and a NUL.
                        if buffer[..count]
                            .windows(8)
                            .any(|bytes| bytes == b"\x0bCOMMIT\0" || bytes == b"\0COMMIT\0")
                        {
                            seen.store(true, Ordering::SeqCst);
                        }
                        if to_server.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    if commits.swap(false, Ordering::SeqCst) && cuts.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if to_client.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_not_written_twice() {
    let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
    let bed = Bed::at(url.clone());
    // So that no commit of a migration is cut.
    bed.look_after(at("2026-11-30T12:00:00Z")).await;
    let cuts = Arc::new(AtomicBool::new(false));
    let port = proxy(server().port, cuts.clone()).await;
    let through = Bed::at(url.replace(&server().port.to_string(), &port.to_string()) + "?sslmode=disable");
    let history = through.history();
    history.tell_drift(nth(0));
    written(&history, 1).await;
    let mut told = 1;
    for _ in 0..2 {
        cuts.store(true, Ordering::SeqCst);
        for _ in 0..100 {
            history.tell_drift(nth(told));
            told += 1;
        }
        written(&history, u64::try_from(told).unwrap()).await;
        assert!(!cuts.load(Ordering::SeqCst), "an answer was lost");
    }
    assert!(history.counts().1 >= 2, "{:?}", history.counts());
    nothing_lost_nothing_doubled(&url, told).await;
    history.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_or_takes_no_writes_holds_up_nothing() {
    for (breaks, mends) in [
        (
            vec!["ALTER DATABASE {} SET default_transaction_read_only = on"],
            vec!["ALTER DATABASE {} RESET default_transaction_read_only"],
        ),
        (
            vec![
                "CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN RAISE EXCEPTION ''could not extend file'' USING ERRCODE = ''53100''; END'",
                "CREATE TRIGGER is_full BEFORE INSERT OR UPDATE ON writers EXECUTE FUNCTION is_full()",
            ],
            vec!["DROP TRIGGER is_full ON writers"],
        ),
    ] {
        let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
        let bed = Bed::at(url.clone());
        let database = url.rsplit('/').next().unwrap();
        bed.look_after(at("2026-11-30T12:00:00Z")).await;
        for text in breaks {
            sql(&url, &text.replace("{}", database)).await;
        }
        let history = bed.history();
        let begin = Instant::now();
        for n in 0..500 {
            history.tell_drift(nth(n));
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "whoever tells does not wait");
        until("it fails", || history.counts().1 > 0).await;
        assert_eq!((history.counts().0, history.counts().2), (0, 0));
        for text in mends {
            // A session that is read-only writes what it says it does.
            let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
            for text in ["SET default_transaction_read_only = off", &text.replace("{}", database)] {
                sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
            }
        }
        written(&history, 500).await;
        nothing_lost_nothing_doubled(&url, 500).await;
        history.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_server_refuses_keeps_no_other_out() {
    let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
    let bed = Bed::at(url.clone());
    bed.look_after(at("2026-11-30T12:00:00Z")).await;
    sql(&url, "ALTER TABLE drift ADD CONSTRAINT odd CHECK (name <> 'app-7')").await;
    let history = bed.history();
    (0..100).for_each(|n| history.tell_drift(nth(n)));
    let crate::bed::Entry::Rollout(row) = rollout("web", at("2026-11-10T01:00:00Z")) else { unreachable!() };
    history.tell(&dev(), row.record);
    until("ten are refused", || history.counts().2 == 10).await;
    written(&history, 91).await;
    assert_eq!(number(&url, "SELECT sum(seen)::bigint FROM drift").await, 90);
    assert_eq!(number(&url, "SELECT count(*) FROM rollouts").await, 1);
    history.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_end_is_written_or_counted() {
    let url = tokio::task::spawn_blocking(server).await.unwrap().database().await;
    let bed = Bed::at(url.clone());
    let history = bed.history();
    (0..700).for_each(|n| history.tell_drift(nth(n)));
    history.end().await;
    assert_eq!((history.counts().0, history.counts().2), (700, 0));
    nothing_lost_nothing_doubled(&url, 700).await;
    // A port that nobody listens on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let away = History::start(format!("postgres://u@127.0.0.1:{port}/x").parse().unwrap(), settings());
    (0..20).for_each(|n| away.tell_drift(nth(n)));
    until("it fails", || away.counts().1 > 0).await;
    away.end().await;
    assert_eq!((away.counts().0, away.counts().2), (0, 20));
}
