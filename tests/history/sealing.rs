//! What somebody removes or alters is found, when its day was sealed.

use fairlead::history::{self, Check, Verdict, Wrong};
use fairlead::object::{Digest, EventKind, day_of};
use jiff::{SignedDuration, Timestamp};

use crate::bed::{Bed, days_ago, drift, drifted, event, happened, now, rollout};

pub async fn verify(bed: &Bed) -> Verdict {
    verify_with(bed, None).await
}

async fn verify_with(bed: &Bed, expected: Option<(i64, Digest)>) -> Verdict {
    let check = Check { since: None, kept_from: day_of(now()) - 400, expected };
    history::verify(&bed.place, &check).await.expect("it is verified")
}

/// Records of ten days, each day with one of each kind and 1,200 more on the seventh, so that its list has two parts.
async fn filled(bed: &Bed) {
    let mut entries = Vec::new();
    for day in 1..=10 {
        entries.push(drifted(drift("web", noon(day))));
        entries.push(rollout("web", noon(day)));
        entries.push(happened(event(EventKind::Request, noon(day))));
    }
    entries.extend((0..1200).map(|n| drifted(drift(&format!("app-{n}"), noon(7)))));
    bed.write(entries).await;
}

/// A time that is the same whenever a test asks.
fn noon(days: i64) -> Timestamp {
    let day = day_of(days_ago(days));
    Timestamp::from_millisecond((2 * day + 1) * 12 * 60 * 60 * 1000).expect("a time")
}

#[tokio::test]
async fn days_that_are_over_are_sealed_and_whole() {
    for bed in Bed::both().await {
        filled(&bed).await;
        let before = verify(&bed).await;
        assert_eq!((before.wrong, before.unsealed, before.head), (0, 1230, None));
        let done = bed.look_after(now()).await;
        // The last one may still be in its hours of grace.
        assert!((9..=10).contains(&done.sealed.len()), "{done:?}");
        assert_eq!(bed.look_after(now()).await.sealed, [], "at rest nothing is written");
        let verdict = verify(&bed).await;
        assert_eq!((verdict.wrong, verdict.records + verdict.unsealed), (0, 1230), "{verdict:?}");
        let last = done.sealed.last().unwrap();
        assert_eq!(verdict.head, Some((last.day, last.digest.clone())));
        // Days without records are in the chain, too, when one follows that has some.
        bed.write(vec![rollout("web", now())]).await;
        let later = bed.look_after(now() + SignedDuration::from_hours(24 * 5)).await;
        // Of a server no agent's clock is believed, for it would close days that others write.
        let days = if bed.is_postgres() { 0 } else { day_of(now()) - last.day };
        assert_eq!(i64::try_from(later.sealed.len()).unwrap(), days);
        assert_eq!(verify(&bed).await.wrong, 0);
    }
}

#[tokio::test]
async fn what_is_told_again_or_late_breaks_no_seal() {
    for bed in Bed::both().await {
        filled(&bed).await;
        bed.look_after(now()).await;
        // The day of these is sealed: they go into one that is not, and keep their time.
        let late = vec![drifted(drift("web", noon(5))), rollout("late", noon(5)), rollout("web", noon(5))];
        bed.write(late).await;
        let all = bed.all().await;
        assert_eq!(all.len(), 1232, "a rollout that was told before is there once");
        assert_eq!(all.iter().filter(|entry| entry.time() == noon(5)).count(), 5);
        let verdict = verify(&bed).await;
        assert_eq!((verdict.wrong, verdict.records + verdict.unsealed), (0, 1232), "{verdict:?}");
        // Again, and coalesced with the late one.
        bed.write(vec![drifted(drift("web", noon(5) + SignedDuration::from_millis(1)))]).await;
        assert_eq!(bed.all().await.len(), 1232);
        assert_eq!(verify(&bed).await.wrong, 0);
    }
}

/// What somebody does to the seventh day, and what is said of it.
async fn tampered(bed: &Bed, sql: &str) -> Verdict {
    filled(bed).await;
    bed.look_after(now()).await;
    assert_eq!(verify(bed).await.wrong, 0);
    let day = day_of(noon(7));
    let changed = bed.sql(&sql.replace("{day}", &day.to_string())).await;
    assert!(changed > 0, "{sql} changes something");
    let verdict = verify(bed).await;
    assert!(verdict.wrong > 0, "{sql} is found");
    verdict
}

#[tokio::test]
async fn a_removed_record_is_named() {
    for bed in Bed::both().await {
        let verdict = tampered(&bed, "DELETE FROM events WHERE day = {day}").await;
        let fault = &verdict.faults[0];
        assert_eq!((verdict.wrong, fault.day), (1, day_of(noon(7))));
        assert!(matches!(&fault.what, Wrong::Removed { table: "events", id } if id.len() == 36), "{fault}");
        let among = "DELETE FROM drift WHERE day = {day} AND name = 'app-700'"
            .replace("{day}", &day_of(noon(7)).to_string());
        bed.sql(&among).await;
        let verdict = verify(&bed).await;
        assert_eq!(verdict.wrong, 2, "{verdict:?}");
    }
}

#[tokio::test]
async fn an_altered_record_is_named_even_with_a_new_hash() {
    for bed in Bed::both().await {
        let alter = "UPDATE drift SET who = 'eve@example.org' WHERE day = {day} AND name = 'web'";
        let verdict = tampered(&bed, alter).await;
        assert_eq!(verdict.wrong, 1);
        assert!(matches!(&verdict.faults[0].what, Wrong::Altered { table: "drift", .. }), "{verdict:?}");
    }
    for bed in Bed::both().await {
        let verdict = tampered(&bed, "UPDATE rollouts SET hash = 'made up' WHERE day = {day}").await;
        assert!(matches!(&verdict.faults[0].what, Wrong::Altered { table: "rollouts", .. }), "{verdict:?}");
    }
}

#[tokio::test]
async fn what_is_altered_before_its_day_is_sealed_is_not_sealed_as_it_is_then() {
    for bed in Bed::both().await {
        filled(&bed).await;
        let day = day_of(noon(3));
        bed.sql(&format!("UPDATE drift SET live = '2' WHERE day = {day}")).await;
        let altered = |verdict: &Verdict| {
            verdict.wrong == 1
                && verdict.faults[0].day == day
                && matches!(verdict.faults[0].what, Wrong::Altered { table: "drift", .. })
        };
        assert!(altered(&verify(&bed).await));
        bed.look_after(now()).await;
        assert!(altered(&verify(&bed).await), "sealing makes nothing good");
    }
}

#[tokio::test]
async fn a_removed_day_is_named() {
    for bed in Bed::both().await {
        let verdict = tampered(&bed, "DELETE FROM sealed_days WHERE day = {day}").await;
        let fault = &verdict.faults[0];
        assert_eq!((verdict.wrong, fault.day, &fault.what), (1, day_of(noon(7)), &Wrong::NoSeal));
    }
    for bed in Bed::both().await {
        let verdict = tampered(&bed, "DELETE FROM sealed_parts WHERE day = {day} AND part = 1").await;
        assert!(verdict.faults.iter().any(|fault| fault.what == Wrong::List), "{verdict:?}");
    }
    for bed in Bed::both().await {
        let verdict = tampered(&bed, "DELETE FROM sealed_days WHERE day <= {day}").await;
        assert!(verdict.faults.iter().any(|fault| fault.what == Wrong::NoSeal), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_day_that_is_sealed_anew_does_not_follow_and_is_not_the_one_that_was_known() {
    for bed in Bed::both().await {
        filled(&bed).await;
        let sealed = bed.look_after(now()).await.sealed;
        let (day, last) = (day_of(noon(7)), sealed.last().unwrap().clone());
        // Somebody who may write everything, and makes the seal of one day fit what is left of it.
        bed.sql(&format!("UPDATE sealed_days SET digest = 'made up' WHERE day = {day}")).await;
        let verdict = verify(&bed).await;
        assert!(
            verdict.faults.iter().any(|fault| fault.day == day + 1 && fault.what == Wrong::Chain),
            "{verdict:?}"
        );
        // And somebody who makes all seals anew: the chain is whole, and not the one that was written down elsewhere.
        bed.sql("DELETE FROM sealed_parts").await;
        bed.sql("DELETE FROM sealed_days").await;
        bed.sql(&format!("DELETE FROM events WHERE day = {day}")).await;
        bed.look_after(now()).await;
        assert_eq!(verify(&bed).await.wrong, 0);
        let verdict = verify_with(&bed, Some((last.day, last.digest))).await;
        assert_eq!(verdict.faults[0].what, Wrong::Expected, "{verdict:?}");
    }
}

#[tokio::test]
async fn a_record_that_was_put_there_afterwards_is_named() {
    for bed in Bed::both().await {
        let copy = "INSERT INTO events (id, day, form, hash, kind, cluster, environment, happened) \
                    VALUES ('0', {day}, 1, 'x', 'hold', '', 'dev', 1)";
        let verdict = tampered(&bed, copy).await;
        assert_eq!(verdict.wrong, 1, "{verdict:?}");
        assert!(matches!(&verdict.faults[0].what, Wrong::Added { table: "events", id } if id == "0"));
    }
}
