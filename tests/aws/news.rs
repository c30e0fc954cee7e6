//! What the queue tells.

use std::time::Instant;

use fairlead::aws::{News, Queue};
use fairlead::object::secret::SecretId;
use fairlead::secrets::{Cause, Poke};
use serde_json::{Value, json};

use crate::bed::{Bed, bed};
use crate::proxy::Fault;

impl Bed {
    async fn make_queue(&self) -> String {
        let made =
            self.call("AmazonSQS.CreateQueue", json!({"QueueName": format!("news-{}", self.prefix)})).await;
        made["QueueUrl"].as_str().expect("a URL").to_owned()
    }

    async fn send(&self, queue: &str, body: &str) {
        self.call("AmazonSQS.SendMessage", json!({"QueueUrl": queue, "MessageBody": body})).await;
    }

    async fn left(&self, queue: &str) -> Vec<u64> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let input = json!({"QueueUrl": queue, "AttributeNames": names});
        let told = self.call("AmazonSQS.GetQueueAttributes", input).await;
        let number = |name| {
            told["Attributes"][name].as_str().and_then(|number| number.parse().ok()).expect("a number")
        };
        names.into_iter().map(number).collect()
    }
}

fn moved(name: &str) -> String {
    json!({
        "version": "0", "id": "1", "detail-type": "Secret Label Updated", "source": "aws.secretsmanager",
        "account": "123456789012", "time": "2026-11-30T10:00:00Z", "region": "eu-west-1", "resources": [],
        "detail": {"name": name, "labelUpdated": "AWSCURRENT", "versionId": "v"},
    })
    .to_string()
}

async fn news(queue: &Queue) -> News {
    queue.news().await.unwrap_or_else(|trouble| panic!("{trouble}"))
}

fn pokes(news: &News, secret: &SecretId) -> bool {
    news.pokes.iter().any(|poke| poke.concerns(secret))
}

#[tokio::test]
async fn a_moved_label_is_news_and_gone_once_it_was_taken() {
    let bed = bed().await;
    let url = bed.make_queue().await;
    let queue = bed.aws().await.queue(&url);
    assert_eq!(news(&queue).await, News::default(), "nothing happened");
    bed.send(&url, &moved(&bed.name("db"))).await;
    let began = Instant::now();
    let told = news(&queue).await;
    assert!(pokes(&told, &bed.secret("db")) && !pokes(&told, &bed.secret("other")), "{told:?}");
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
    assert_eq!(bed.left(&url).await, [0, 1], "if the agent died now, it would come again");
    assert_eq!(news(&queue).await, News::default());
    assert_eq!(bed.left(&url).await, [0, 0]);
}

#[tokio::test]
async fn doubled_forged_and_broken_messages_are_harmless_and_go() {
    let bed = bed().await;
    let url = bed.make_queue().await;
    for body in [
        &moved("db"),
        &moved("db"),
        "not JSON at all",
        "{\"source\": \"aws.secretsmanager\"}",
        &moved("a name\nthat is none"),
        &json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}).to_string(),
        &moved("nobody/refers/to/this"),
    ] {
        bed.send(&url, body).await;
    }
    let queue = bed.aws().await.queue(&url);
    let told = news(&queue).await;
    let names: Vec<&str> = told.pokes.iter().map(|Poke { name, .. }| &**name).collect();
    assert_eq!(names, ["db", "nobody/refers/to/this"]);
    assert_eq!(told.unreadable, 3);
    news(&queue).await;
    assert_eq!(bed.left(&url).await, [0, 0], "what cannot be read does not stay");
}

#[tokio::test]
async fn many_are_told_in_few_calls() {
    let bed = bed().await;
    let url = bed.make_queue().await;
    for n in 0..35 {
        bed.send(&url, &moved(&format!("s{n}"))).await;
    }
    let queue = bed.aws().await.queue(&url);
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..6 {
        told.extend(news(&queue).await.pokes);
    }
    assert_eq!(told.len(), 35);
    assert_eq!((bed.proxy.count("ReceiveMessage"), bed.proxy.count("DeleteMessageBatch")), (6, 4));
}

#[tokio::test]
async fn a_queue_that_may_not_be_read_is_a_trouble_with_its_cure() {
    let bed = bed().await;
    let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/news";
    bed.proxy.rule(|_| Some(Fault::Refuse(403, "AccessDenied", "not authorized")));
    let queue = bed.aws().await.queue(url);
    let said = queue.news().await.expect_err("denied").to_string();
    let cure = "allow sqs:ReceiveMessage on arn:aws:sqs:eu-central-1:123456789012:news";
    assert!(said.contains(url) && said.contains(cure), "{said}");
    assert_eq!(bed.proxy.asked()[0].region, "eu-central-1", "in the region of the queue");
    bed.proxy.forget_rules();
    let missing = bed.aws().await.queue("http://127.0.0.1/123456789012/none").news().await.expect_err("none");
    assert_eq!(missing.cause, Cause::NotFound, "{missing}");
}

#[tokio::test]
async fn what_may_not_be_deleted_is_told_and_news_go_on() {
    let bed = bed().await;
    let url = bed.make_queue().await;
    bed.send(&url, &moved("a")).await;
    bed.proxy.rule(|asked| {
        (asked.operation == "DeleteMessageBatch").then_some(Fault::Refuse(
            403,
            "AccessDenied",
            "not authorized",
        ))
    });
    let queue = bed.aws().await.queue(&url);
    assert_eq!(news(&queue).await.pokes.len(), 1);
    let said = queue.news().await.expect_err("denied").to_string();
    assert!(said.contains("allow sqs:DeleteMessage on"), "{said}");
    bed.send(&url, &moved("b")).await;
    assert_eq!(&*news(&queue).await.pokes[0].name, "b");
}

/// A year of polls is what the free tier covers twice over; see docs/secrets-aws.md.
#[tokio::test]
async fn a_poll_is_one_call_and_costs_nothing() {
    let bed = bed().await;
    let url = bed.make_queue().await;
    let aws = bed.aws().await;
    news(&aws.queue(&url)).await;
    let (calls, since) = aws.calls();
    assert_eq!(calls.of("ReceiveMessage"), 1);
    assert_eq!(calls.dollars_a_month(since), 0.0);
    let asked = bed.proxy.asked();
    assert_eq!(asked.len(), 1);
    let wanted = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1});
    assert_eq!(asked[0].input, wanted as Value);
}
