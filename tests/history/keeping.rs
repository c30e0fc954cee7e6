//! What is told is kept once, coalesced, found again, and goes when it is too old.

use fairlead::history::{Entry, EntryKind, ObjectQuery, Query};
use fairlead::object::{AppName, DriftAction, DriftRecord, EventKind};
use jiff::SignedDuration;

use crate::bed::{Bed, at, days_ago, drift, drifted, event, happened, hours_ago, now, rollout};

#[tokio::test]
async fn everything_reads_back_as_it_was_told_the_newest_first() {
    for bed in Bed::both().await {
        let (first, second, third) = (days_ago(3), days_ago(2), days_ago(1));
        let (record, told) = (drift("web", first), event(EventKind::Hold, third));
        bed.write(vec![drifted(record.clone()), rollout("web", second), happened(told.clone())]).await;
        let all = bed.all().await;
        let east = "east".to_owned();
        let mut details = told.details.clone();
        details["nul"] = "\0".into();
        assert_eq!(
            all,
            [
                happened(fairlead::object::TimelineEvent { cluster: east.clone(), details, ..told }),
                {
                    let Entry::Rollout(mut row) = rollout("web", second) else { unreachable!() };
                    row.record.why = Some("a pod's last words\u{fffd}".to_owned());
                    Entry::Rollout(row)
                },
                drifted(DriftRecord { cluster: east, ..record }),
            ]
        );
        // Told again, by another process, it is there once.
        bed.write(vec![rollout("web", second)]).await;
        assert_eq!(bed.all().await.len(), 3);
    }
}

#[tokio::test]
async fn drift_of_a_field_is_one_record_whoever_tells_it() {
    for bed in Bed::both().await {
        // A day has enough hours for it from its begin on.
        let begin = at("2026-11-10T01:00:00Z");
        let after = |minutes| begin + SignedDuration::from_mins(minutes);
        bed.write(vec![drifted(drift("web", begin)), drifted(drift("web", after(1)))]).await;
        bed.write(vec![
            drifted(drift("web", after(50))),
            drifted(DriftRecord { manager: "hpa".to_owned(), ..drift("web", after(51)) }),
            drifted(drift("api", after(52))),
        ])
        .await;
        // More than an hour after it was healed.
        bed.write(vec![drifted(drift("web", after(111)))]).await;
        let known: Vec<_> =
            bed.drift().await.into_iter().map(|one| (one.first_seen, one.last_seen, one.count)).collect();
        assert_eq!(
            known,
            [
                (begin, after(50), 3),
                (after(51), after(51), 1),
                (after(52), after(52), 1),
                (after(111), after(111), 1),
            ]
        );
        // What is known later changes no count.
        let later = DriftRecord { count: 0, action: DriftAction::Fought, ..drift("web", after(112)) };
        bed.write(vec![drifted(later)]).await;
        let last = bed.drift().await.pop().unwrap();
        assert_eq!((last.count, last.action), (1, DriftAction::Fought));
    }
}

#[tokio::test]
async fn two_that_tell_at_once_coalesce_and_lose_no_count() {
    for bed in Bed::both().await {
        let begin = at("2026-11-10T01:00:00Z");
        let tell = |writer: i64| {
            let bed = &bed;
            async move {
                for n in 0..5 {
                    let seen = begin + SignedDuration::from_secs(10 * n + writer);
                    bed.write((0..20).map(|name| drifted(drift(&format!("app-{name}"), seen))).collect())
                        .await;
                }
            }
        };
        tokio::join!(tell(0), tell(1), tell(2));
        let known = bed.drift().await;
        assert_eq!(known.len(), 20, "one record of each object");
        assert!(known.iter().all(|record| record.count == 15), "{known:#?}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_found_and_nothing_else() {
    for bed in Bed::both().await {
        let mut entries = Vec::new();
        for n in 0..30 {
            entries.push(drifted(drift("web", days_ago(n))));
            entries.push(drifted(drift("api", days_ago(n))));
            entries.push(rollout("web", days_ago(n)));
        }
        entries.push(rollout("other", hours_ago(1)));
        entries.push(happened(event(EventKind::Rotation, hours_ago(2))));
        bed.write(entries).await;
        let query = Query { limit: 1000, ..Query::default() };
        let object = |kind: &str, namespace: Option<&str>, name: &str| ObjectQuery {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let count = async |query: Query| bed.read(&query).await.len();
        assert_eq!(count(query.clone()).await, 92);
        assert_eq!(count(Query { limit: 7, ..query.clone() }).await, 7);
        assert_eq!(count(Query { kinds: vec![EntryKind::Rollouts], ..query.clone() }).await, 31);
        assert_eq!(
            count(Query { kinds: vec![EntryKind::Drift, EntryKind::Events], ..query.clone() }).await,
            61
        );
        let web = Some(object("deployment", Some("shop"), "web"));
        assert_eq!(count(Query { object: web.clone(), ..query.clone() }).await, 31);
        let since = Some(days_ago(9) - SignedDuration::from_mins(1));
        assert_eq!(count(Query { object: web, since, ..query.clone() }).await, 11);
        assert_eq!(
            count(Query { object: Some(object("deployment", None, "web")), ..query.clone() }).await,
            0
        );
        let until = Some(days_ago(8) - SignedDuration::from_mins(1));
        assert_eq!(count(Query { since, until, ..query.clone() }).await, 3);
        let other = Some(AppName::new("other").unwrap());
        assert_eq!(count(Query { app: other, ..query.clone() }).await, 1);
        let prod = Some(fairlead::object::EnvironmentName::new("prod").unwrap());
        assert_eq!(count(Query { environment: prod, ..query }).await, 0);
    }
}

#[tokio::test]
async fn what_is_too_old_goes_and_leaves_the_rest_whole() {
    for bed in Bed::both().await {
        // Partitions go by months: what is in a month that is too old as a whole.
        let old = [
            rollout("web", days_ago(440)),
            drifted(drift("web", days_ago(441))),
            happened(event(EventKind::Hold, days_ago(442))),
        ];
        let kept = [
            rollout("web", days_ago(399)),
            drifted(drift("web", days_ago(398))),
            happened(event(EventKind::Hold, days_ago(397))),
        ];
        // More than one piece of a deletion.
        let many = (0..1200).map(|n| drifted(drift(&format!("app-{n}"), days_ago(445))));
        bed.write(old.into_iter().chain(kept).chain(many).collect()).await;
        let done = bed.look_after(now()).await;
        assert!(done.dropped > 0 && !done.sealed.is_empty(), "{done:?}");
        assert_eq!(bed.all().await.len(), 3);
        assert_eq!(bed.look_after(now()).await, fairlead::history::Done::default(), "and it is done then");
        let verdict = crate::sealing::verify(&bed).await;
        assert_eq!((verdict.wrong, verdict.records), (0, 3), "{verdict:?}");
        if bed.is_postgres() {
            let left =
                bed.number("SELECT count(*) FROM pg_class WHERE relname ~ '^drift_[0-9]{4}_[0-9]{2}$'").await;
            let default = bed.number("SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0").await;
            // The one with a row, the days of now and two months ahead.
            assert!((4..=6).contains(&left), "{left} partitions are left");
            assert_eq!(default, 0, "there is none that fills unseen");
            let old = bed
                .number(
                    "SELECT count(*) FROM sealed_parts WHERE day < extract(epoch FROM now()) / 86400 - 401",
                )
                .await;
            assert_eq!(old, 0);
        }
    }
}
