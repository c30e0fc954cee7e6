//! Waits for news in an SQS queue that EventBridge fills.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;

use super::failure::Failure;
use super::place::{queue_pattern, queue_region};
use super::session::AwsSession;
use super::thread::Thread;
use crate::secrets::{Cause, Poke, Right, Service, Trouble};

/// The longest poll that SQS has. One call in 20 s is 131,400 in a month, and the first million is free.
const POLL: Duration = Duration::from_secs(20);
/// The most that SQS hands out and deletes in one call.
const MESSAGES: i32 = 10;

/// What came in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What is to be looked at again, in order and without doubles.
    pub pokes: Vec<Poke>,
    /// How many messages could not be read.
    pub unreadable: u64,
}

/// A queue, read as the agent's own identity.
pub struct Queue {
    thread: Arc<Thread>,
    inner: Arc<Inner>,
    /// Receipts of the messages that were handed out.
    handed_out: Mutex<Vec<String>>,
}

struct Inner {
    session: Arc<AwsSession>,
    url: Box<str>,
    region: Box<str>,
    client: Option<aws_sdk_sqs::Client>,
    poll: Duration,
}

impl Queue {
    pub(super) fn new(
        thread: Arc<Thread>,
        session: Arc<AwsSession>,
        url: &str,
        poll: Option<Duration>,
    ) -> Self {
        let region = queue_region(url).or(session.own_region()).unwrap_or_default();
        let poll = poll.unwrap_or(POLL).min(POLL);
        let client = (!region.is_empty()).then(|| session.queue(region, poll));
        let inner = Inner { url: url.into(), region: region.into(), client, poll, session };
        Self { thread, inner: Arc::new(inner), handed_out: Mutex::default() }
    }

    /// Waits up to 20 seconds for news, and tells none where none came.
    ///
    /// The messages that it tells of are deleted when it is asked again, which shows that they were taken: if the agent dies
    /// before, they come again. It needs `sqs:ReceiveMessage` and `sqs:DeleteMessage` on the queue. One caller at a time.
    pub async fn news(&self) -> Result<News, Trouble> {
        let inner = self.inner.clone();
        let receipts = std::mem::take(&mut *self.handed_out());
        let work = async move {
            inner.delete(receipts).await?;
            inner.receive().await
        };
        let fell = || Failure::Because(Cause::Other { code: "an internal failure of the agent".into() });
        let received = self.thread.run(work).await.unwrap_or_else(|| Err(self.inner.receive_trouble(fell())));
        let (news, receipts) = received?;
        // Nothing is waited for from here on, so that what is remembered as handed out was handed out.
        self.handed_out().extend(receipts);
        Ok(news)
    }

    fn handed_out(&self) -> MutexGuard<'_, Vec<String>> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Waits for messages; gives their receipts with what they say.
    async fn receive(&self) -> Result<(News, Vec<String>), Trouble> {
        let request = self
            .client()?
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(MESSAGES)
            .wait_time_seconds(i32::try_from(self.poll.as_secs()).unwrap_or_default());
        let caller = &self.session.caller;
        let answer =
            caller.call_long(Service::Queue, "ReceiveMessage", self.poll, || request.clone().send()).await;
        let answer = answer.map_err(|failure| self.receive_trouble(failure))?;
        let mut news = News::default();
        let mut receipts = Vec::new();
        for message in answer.messages.into_iter().flatten() {
            match Poke::read(message.body.as_deref().unwrap_or_default()) {
                Ok(pokes) => news.pokes.extend(pokes),
                Err(_) => news.unreadable += 1,
            }
            receipts.extend(message.receipt_handle);
        }
        news.pokes.sort();
        news.pokes.dedup();
        Ok((news, receipts))
    }

    /// Deletes what was handed out before. What cannot be deleted comes again, and pokes again.
    async fn delete(&self, receipts: Vec<String>) -> Result<(), Trouble> {
        if receipts.is_empty() {
            return Ok(());
        }
        let failed = |failure| self.trouble("sqs:DeleteMessage", failure);
        let invalid = || failed(Failure::Because(Cause::Other { code: "a receipt that is none".into() }));
        for receipts in receipts.chunks(MESSAGES as usize) {
            let entry = |(n, receipt): (usize, &String)| {
                DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(receipt).build()
            };
            let entries: Result<Vec<_>, _> = receipts.iter().enumerate().map(entry).collect();
            let request = self
                .client()?
                .delete_message_batch()
                .queue_url(&*self.url)
                .set_entries(Some(entries.map_err(|_| invalid())?));
            let caller = &self.session.caller;
            let answer = caller.call(Service::Queue, "DeleteMessageBatch", || request.clone().send()).await;
            answer.map_err(failed)?;
        }
        Ok(())
    }

    fn client(&self) -> Result<&aws_sdk_sqs::Client, Trouble> {
        self.client.as_ref().ok_or_else(|| self.receive_trouble(Failure::Because(Cause::NoRegion)))
    }

    fn receive_trouble(&self, failure: Failure) -> Trouble {
        self.trouble("sqs:ReceiveMessage", failure)
    }

    fn trouble(&self, action: &'static str, failure: Failure) -> Trouble {
        let right = Right { action, resource: queue_pattern(&self.url, &self.region) };
        self.session.queue_trouble(&self.url, &self.region, right, failure)
    }
}
