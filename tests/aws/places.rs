//! The shared places of regions in AWS, against moto, with something in between that loses answers.

#[path = "../place/contract.rs"]
mod contract;
mod tap;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fairlead::agent::shared_place::SharedPlace;
use fairlead::aws::{Aws, Options, PlaceAddress};
use fairlead::region::{Answer, Call, PlaceError};

use crate::bed::{REGION, moto};
use contract::{is_unreachable, keeps_the_contract, lacks, read, record, swap, swapped};
use tap::{Does, Tap};

const WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Kind {
    DynamoDb,
    S3,
}
use Kind::{DynamoDb, S3};

struct Bed {
    tap: Tap,
    place: SharedPlace,
    /// How errors name it.
    named: String,
    name: String,
}

/// A place of its own, behind a tap; a call may take so long.
async fn bed(kind: Kind, within: Duration) -> Bed {
    static BEDS: AtomicUsize = AtomicUsize::new(0);
    let port = moto().await.port;
    let name = format!("regions-{}", BEDS.fetch_add(1, Ordering::Relaxed));
    match kind {
        DynamoDb => tap::make_table(port, &name).await,
        S3 => tap::put(port, &format!("/{name}"), "").await,
    }
    let tap = Tap::start(port).await;
    let options =
        Options { region: Some(REGION.into()), endpoint: Some(tap.url().into()), ..Options::default() };
    let aws = Aws::start(options).await.expect("it starts");
    let region = REGION.into();
    let (address, named) = match kind {
        DynamoDb => {
            let address =
                PlaceAddress::DynamoDb { region, table: name.as_str().into(), environment: "prod".into() };
            (address, format!("the item prod of the DynamoDB table {name} in {REGION}"))
        }
        S3 => {
            let address = PlaceAddress::S3 { region, bucket: name.as_str().into(), key: "prod.json".into() };
            (address, format!("s3://{name}/prod.json"))
        }
    };
    Bed { tap, place: SharedPlace::Aws(aws.shared_place(address, within)), named, name }
}

#[tokio::test]
async fn a_dynamodb_item_is_a_shared_place() {
    keeps_the_contract(&bed(DynamoDb, WITHIN).await.place).await;
}

#[tokio::test]
async fn an_s3_object_is_a_shared_place() {
    keeps_the_contract(&bed(S3, WITHIN).await.place).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_out_by_the_stamp() {
    for kind in [DynamoDb, S3] {
        let bed = bed(kind, WITHIN).await;
        let first = swapped(swap(&bed.place, None, record(0, 1)).await);
        bed.tap.does(Does::LoseAnswers);
        let answer = swap(&bed.place, Some(&first), record(1, 2)).await;
        is_unreachable(&answer, &bed.named);
        bed.tap.does(Does::Pass);
        let stands = read(&bed.place).await.expect("a record");
        assert_eq!(stands.record.written, record(1, 2).written, "{kind:?}: it was done all the same");
        assert_eq!(swap(&bed.place, Some(&first), record(2, 2)).await, Answer::Conflict);
    }
}

#[tokio::test]
async fn a_place_that_does_not_answer_is_given_up_in_time() {
    for kind in [DynamoDb, S3] {
        let bed = bed(kind, Duration::from_secs(1)).await;
        bed.tap.does(Does::Hang);
        for call in [Call::Read, Call::Swap { from: None, record: record(0, 1) }] {
            let began = Instant::now();
            is_unreachable(&bed.place.ask(call).await, &bed.named);
            assert!(began.elapsed() < Duration::from_secs(3), "{kind:?}: {:?}", began.elapsed());
        }
        bed.tap.does(Does::Refuse);
        is_unreachable(&bed.place.ask(Call::Read).await, &bed.named);
        bed.tap.does(Does::Pass);
        assert_eq!(read(&bed.place).await, None, "{kind:?}: nothing was written, and it answers again");
    }
}

#[tokio::test]
async fn a_missing_right_is_named() {
    for (kind, reads, writes) in
        [(DynamoDb, "dynamodb:GetItem", "dynamodb:PutItem"), (S3, "s3:GetObject", "s3:PutObject")]
    {
        let bed = bed(kind, WITHIN).await;
        let body = match kind {
            DynamoDb => {
                r#"{"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "Message": "no"}"#
            }
            S3 => "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
        };
        bed.tap.does(Does::Answer(if matches!(kind, S3) { 403 } else { 400 }, body));
        lacks(&bed.place.ask(Call::Read).await, reads);
        lacks(&swap(&bed.place, None, record(0, 1)).await, writes);
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_record_is_named() {
    for kind in [DynamoDb, S3] {
        let bed = bed(kind, WITHIN).await;
        let port = moto().await.port;
        match kind {
            DynamoDb => tap::put_item(port, &bed.name, "{}").await,
            S3 => tap::put(port, &format!("/{}/prod.json", bed.name), "{}").await,
        }
        match bed.place.ask(Call::Read).await {
            Answer::Failed(error @ PlaceError::Unreadable { .. }) => {
                assert!(error.to_string().contains(&bed.named), "{error}");
            }
            other => panic!("{kind:?}: {other:?}"),
        }
        assert_eq!(
            swap(&bed.place, None, record(0, 1)).await,
            Answer::Conflict,
            "{kind:?}: it is not overwritten"
        );
    }
    let options = |port: u16| Options {
        region: Some(REGION.into()),
        endpoint: Some(format!("http://127.0.0.1:{port}").into()),
        ..Options::default()
    };
    let aws = Aws::start(options(moto().await.port)).await.expect("it starts");
    let region = || REGION.into();
    for address in [
        PlaceAddress::DynamoDb { region: region(), table: "none".into(), environment: "prod".into() },
        PlaceAddress::S3 { region: region(), bucket: "none-at-all".into(), key: "prod".into() },
    ] {
        let place = SharedPlace::Aws(aws.shared_place(address, WITHIN));
        for call in [Call::Read, Call::Swap { from: None, record: record(0, 1) }] {
            let answer = place.ask(call).await;
            assert!(matches!(answer, Answer::Failed(PlaceError::Missing { .. })), "{answer:?}");
        }
    }
}
