//! What the history costs with many records. Asked for by hand, for a suite is no place to measure:
//!
//!     cargo test --release --test history -- --ignored --nocapture many_records
//!
//! `FAIRLEAD_RECORDS` says how many, ten million where it does not. A file gets a hundredth of that: an agent by itself.

use std::time::{Duration, Instant};

use fairlead::history::{self, EntryKind, ObjectQuery, Query};
use fairlead::object::DriftRecord;
use jiff::{SignedDuration, Timestamp};

use crate::bed::{Bed, Server, days_ago, drift, now, number, sql, until};

/// User and system time of a process, and of all children of one where it is asked for.
fn cpu(pid: &str) -> Duration {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return Duration::ZERO };
    let words: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|at| words[*at].parse::<u64>().unwrap_or(0)).sum();
    Duration::from_millis(ticks * 10)
}

/// What the processes of the server took so far, those that are still there.
fn server_cpu() -> Duration {
    let all = std::fs::read_dir("/proc").expect("it is read").flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    let is_ours = |pid: &String| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with(b"postgres: app history_0"))
    };
    names.filter(is_ours).map(|pid| cpu(&pid)).sum()
}

/// Makes records as `batch.rs` writes them, a day at a time.
async fn fill(url: &str, records: i64) {
    // Indexes that are made at the end are the same, and sooner there.
    let tables = include_str!("../../src/history/migrations/postgres/0001_time_line.sql");
    let indexes = || tables.lines().filter(|line| line.starts_with("CREATE INDEX drift_"));
    for index in indexes() {
        let name = index.split(' ').nth(2).expect("its name");
        sql(url, &format!("DROP INDEX {name}")).await;
    }
    let today = fairlead::object::day_of(now());
    let each = records / 400;
    for day in (today - 400)..today {
        sql(
            url,
            &format!(
                "INSERT INTO drift (id, day, form, hash, field, cluster, environment, app, revision, api_group, kind, \
                 namespace, name, uid, path, desired, live, class, manager, operation, first_seen, last_seen, seen, action, \
                 rule, result, latency_ms) \
                 SELECT gen_random_uuid()::text, {day}, 1, repeat(md5(n::text), 2), hashtextextended(n::text, {day}), 'east', \
                 'env-' || n % 20, 'app-' || n % 100, repeat('a', 40), 'apps', 'Deployment', 'ns-' || n % 50, \
                 'web-' || n % 10000, md5(n::text), '/spec/template/spec/containers/0/image', \
                 repeat('x', 60), repeat('y', 60), 'changed', 'kubectl-edit', 'Update', \
                 {day} * 86400000::bigint + n, {day} * 86400000::bigint + n, 1, 'healed', 'default', 'healed', 12 \
                 FROM generate_series(1, {each}) n"
            ),
        )
        .await;
    }
    for index in indexes() {
        sql(url, index).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes ten million records: minutes, and gigabytes of disk"]
async fn many_records_are_asked_and_written_quickly() {
    let records =
        std::env::var("FAIRLEAD_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let settings = [
        "fsync = off",
        "synchronous_commit = off",
        "autovacuum = off",
        "wal_level = minimal",
        "max_wal_senders = 0",
        "maintenance_work_mem = '256MB'",
        "max_wal_size = '8GB'",
    ];
    let server = tokio::task::spawn_blocking(move || Server::start(&settings)).await.unwrap();
    let bed = Bed::at(server.database().await);
    // The partitions come with a record of each month.
    let months = (0..=16).map(|n| crate::bed::rollout("web", days_ago(n * 25)));
    bed.write(months.collect()).await;
    let begin = Instant::now();
    fill(&bed.url, records).await;
    sql(&bed.url, "ANALYZE").await;
    let bytes =
        number(&bed.url, "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('drift')")
            .await;
    let table =
        number(&bed.url, "SELECT sum(pg_relation_size(relid))::bigint FROM pg_partition_tree('drift')").await;
    println!(
        "{records} records in {:?}: {} MB, of which {} MB are indexes",
        begin.elapsed(),
        bytes >> 20,
        (bytes - table) >> 20
    );
    let drift_only = || Query { kinds: vec![EntryKind::Drift], limit: 50, ..Query::default() };
    let object = ObjectQuery {
        kind: "Deployment".to_owned(),
        namespace: Some("ns-17".to_owned()),
        name: "web-4217".to_owned(),
    };
    let day =
        |ago: i64| Timestamp::from_millisecond(fairlead::object::day_of(days_ago(ago)) * 86_400_000).unwrap();
    let environment = fairlead::object::EnvironmentName::new("env-7").ok();
    let queries = [
        ("the newest 50", drift_only()),
        ("an object, of all time", Query { object: Some(object.clone()), ..drift_only() }),
        ("an object, of a month", Query { object: Some(object), since: Some(days_ago(30)), ..drift_only() }),
        ("a day, 200 days ago", Query { since: Some(day(200)), until: Some(day(199)), ..drift_only() }),
        (
            "a day of an environment, 1,000 of them",
            Query { environment, since: Some(day(90)), until: Some(day(89)), limit: 1000, ..drift_only() },
        ),
    ];
    let mut reader = history::Reader::open(&bed.place).await.unwrap();
    for (name, query) in queries {
        let mut times: Vec<Duration> = Vec::new();
        let mut found = 0;
        for _ in 0..21 {
            let begin = Instant::now();
            found = reader.read(&query).await.unwrap().entries.len();
            times.push(begin.elapsed());
        }
        let first = times[0];
        times.sort();
        println!("{name}: {found} found, first {first:?}, median {:?}, worst {:?}", times[10], times[20]);
    }
    reader.close().await;
    write(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a hundred thousand records: a minute"]
async fn many_records_of_a_file_are_asked_and_written_quickly() {
    let records: usize =
        std::env::var("FAIRLEAD_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000) / 100;
    let bed = Bed::sqlite();
    let history = bed.history();
    let (begin, own) = (Instant::now(), cpu("self"));
    for n in 0..records {
        // Over a hundred days, of a thousand objects.
        let seen = days_ago(i64::try_from(n % 100).unwrap())
            + SignedDuration::from_micros(i64::try_from(n).unwrap());
        history.tell_drift(drift(&format!("web-{}-{}", n % 1000, n / 1000), seen));
        // No more than it keeps in memory.
        while n as u64 >= history.counts().0 + 5_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    until("all is written", || history.counts().0 == records as u64).await;
    let (took, own) = (begin.elapsed(), cpu("self") - own);
    println!(
        "a file: {records} records in {took:?}, {:.0} a second, {:.1} % of a core at 1,000 a second",
        records as f64 / took.as_secs_f64(),
        100.0 * own.as_secs_f64() * 1000.0 / records as f64
    );
    history.end().await;
    let object = ObjectQuery { kind: "Deployment".to_owned(), namespace: None, name: "web-7-0".to_owned() };
    let day = |ago: i64| {
        Timestamp::from_millisecond(fairlead::object::day_of(days_ago(ago)) * 86_400_000).expect("a time")
    };
    let drift_only = || Query { kinds: vec![EntryKind::Drift], limit: 50, ..Query::default() };
    let mut reader = history::Reader::open(&bed.place).await.unwrap();
    for (name, query) in [
        ("the newest 50", drift_only()),
        ("an object, of all time", Query { object: Some(object), ..drift_only() }),
        ("a day, 50 days ago", Query { since: Some(day(50)), until: Some(day(49)), ..drift_only() }),
    ] {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..21 {
            let begin = Instant::now();
            found = reader.read(&query).await.unwrap().entries.len();
            times.push(begin.elapsed());
        }
        times.sort();
        println!("a file, {name}: {found} found, median {:?}, worst {:?}", times[10], times[20]);
        assert!(found > 0, "{name}");
    }
    reader.close().await;
    write(&bed).await;
}

/// A thousand records in each second.
async fn write(bed: &Bed) {
    let history = bed.history();
    let telling = 20;
    let begin = Instant::now();
    let (own, theirs) = (cpu("self"), server_cpu());
    for second in 0..telling {
        for n in 0..1000 {
            let seen = now() + SignedDuration::from_micros(n);
            let record: DriftRecord = drift(&format!("new-{}", second * 1000 + n), seen);
            history.tell_drift(record);
            if n % 100 == 99 {
                tokio::time::sleep_until(
                    (begin + Duration::from_millis((second * 1000 + n).unsigned_abs())).into(),
                )
                .await;
            }
        }
    }
    until("all is written", || history.counts().0 == (telling * 1000).unsigned_abs()).await;
    let (took, own, theirs) = (begin.elapsed(), cpu("self") - own, server_cpu() - theirs);
    let share = |time: Duration| 100.0 * time.as_secs_f64() / took.as_secs_f64();
    println!(
        "{} records in {took:?}: {:.1} % of a core here, {:.1} % in the server",
        telling * 1000,
        share(own),
        share(theirs)
    );
    history.end().await;
}
