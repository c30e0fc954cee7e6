//! Agents of several versions at one database, and replicas that come up at once.

use fairlead::history;
use fairlead::object::EventKind;
use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, SqlSafeStr, SqliteConnection};

use crate::bed::{Bed, days_ago, drift, drifted, event, happened, now, rollout, server, settings};
use crate::sealing::verify;

/// What the agent before this one made, with rows of its own.
async fn old_file(bed: &Bed) {
    let mut connection =
        SqliteConnection::connect(&format!("{}?mode=rwc", bed.url)).await.expect("it is made");
    let text = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let migrator = Migrator::with_migrations(vec![
        text(1, "rollouts", include_str!("../../src/history/migrations/sqlite/0001_rollouts.sql")),
        text(2, "secrets", include_str!("../../src/history/migrations/sqlite/0002_secrets.sql")),
    ]);
    migrator.run_direct(None, &mut connection, false).await.expect("it is made");
    connection.close().await.expect("it closes");
}

/// As the agent before this one writes.
async fn write_as_old(bed: &Bed, id: &str, ended: Timestamp) {
    let ended = ended.as_millisecond();
    bed.sql(&format!(
        "INSERT INTO rollouts (id, environment, app, digest, from_digest, revision, author, subject, outcome, \
         started, ended, objects, by_whom, why, secrets) \
         VALUES ('{id}', 'dev', 'web', 'b', NULL, NULL, NULL, NULL, 'done', {ended}, {ended}, 3, NULL, NULL, NULL) \
         ON CONFLICT (id) DO NOTHING"
    ))
    .await;
}

#[tokio::test]
async fn a_file_of_before_is_read_as_it_is_and_brought_forward_with_its_rows() {
    let bed = Bed::sqlite();
    old_file(&bed).await;
    write_as_old(&bed, "one", days_ago(300)).await;
    write_as_old(&bed, "two", days_ago(3)).await;
    assert_eq!(bed.all().await.len(), 2, "it is read without being changed");
    assert_eq!(verify(&bed).await.wrong, 0);
    bed.write(vec![rollout("web", now()), drifted(drift("web", now()))]).await;
    // The old one goes on beside the new one.
    write_as_old(&bed, "three", days_ago(2)).await;
    assert_eq!(bed.all().await.len(), 5);
    let sealed = bed.look_after(now()).await.sealed;
    assert_eq!(sealed.iter().map(|day| day.records).sum::<i64>(), 3, "{sealed:?}");
    // One that comes when its day is sealed already.
    write_as_old(&bed, "four", days_ago(2)).await;
    bed.look_after(now()).await;
    let verdict = verify(&bed).await;
    assert_eq!(verdict.wrong, 0, "{verdict:?}");
    bed.sql("UPDATE rollouts SET author = 'Eve' WHERE id = 'one'").await;
    assert_eq!(verify(&bed).await.wrong, 1, "what an old one wrote is sealed, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_come_up_at_once_make_one_set_of_tables() {
    tokio::task::spawn_blocking(server).await.expect("it starts");
    for bed in Bed::both().await {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let place = bed.place.clone();
                tokio::spawn(async move {
                    history::look_after(&place, &settings(), now()).await.unwrap_or_else(|error| {
                        panic!("replica {n}: {}", fairlead::object::chain(&error));
                    });
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it is looked after");
        }
        bed.write(vec![rollout("web", now())]).await;
        assert_eq!(bed.all().await.len(), 1);
    }
}

#[tokio::test]
async fn a_newer_schema_is_written_as_far_as_it_is_known() {
    for bed in Bed::both().await {
        bed.write(vec![drifted(drift("web", days_ago(2))), rollout("web", days_ago(2))]).await;
        for table in ["drift", "rollouts", "events"] {
            bed.sql(&format!("ALTER TABLE {table} ADD COLUMN later TEXT")).await;
        }
        let migrations = if bed.is_postgres() { "fairlead_history_migrations" } else { "_sqlx_migrations" };
        let zero = if bed.is_postgres() { "'\\x00'" } else { "x'00'" };
        bed.sql(&format!(
            "INSERT INTO {migrations} (version, description, success, checksum, execution_time) \
             VALUES (99, 'later', true, {zero}, 1)"
        ))
        .await;
        // A record that the newer one is not done with, in words that are not known here.
        bed.write(vec![drifted(drift("api", days_ago(2)))]).await;
        bed.sql(
            "UPDATE drift SET later = 'x', form = 2, hash = 'of-more', class = 'twisted' WHERE name = 'api'",
        )
        .await;
        bed.write(vec![drifted(drift("api", days_ago(2))), happened(event(EventKind::Hold, days_ago(2)))])
            .await;
        assert_eq!(
            bed.number("SELECT count(*) FROM drift WHERE name = 'api'").await,
            2,
            "it is left as it is"
        );
        let found =
            history::read(&bed.place, &history::Query { limit: 100, ..Default::default() }).await.unwrap();
        assert_eq!((found.entries.len(), found.unreadable), (4, 1));
        bed.look_after(now()).await;
        let verdict = verify(&bed).await;
        assert_eq!((verdict.wrong, verdict.newer), (0, 1), "{verdict:?}");
    }
}

#[tokio::test]
async fn both_databases_have_the_same_columns() {
    let mut columns = Vec::new();
    for bed in Bed::both().await {
        bed.look_after(now()).await;
        let list = if bed.is_postgres() {
            "SELECT string_agg(table_name || '.' || column_name, ' ' ORDER BY table_name || '.' || column_name) \
             FROM information_schema.columns WHERE table_name IN ('rollouts', 'drift', 'events', 'writers', \
             'sealed_days', 'sealed_parts')"
        } else {
            "SELECT group_concat(word, ' ') FROM (SELECT m.name || '.' || c.name AS word FROM sqlite_master m, \
             pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '%sqlx%' ORDER BY word)"
        };
        columns.push(crate::bed::text(&bed.url, list).await);
    }
    assert_eq!(columns[0], columns[1]);
}
