//! Tells other systems what people have to know now: that an environment does not run what git says, and that it does
//! again. One channel so far, a webhook; others join [`Channel`].
//!
//! It is told beside the work and never in its way: what does not fit into the queue is dropped and counted.

mod webhook;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use tokio::sync::mpsc;

pub use webhook::{BadUrl, Webhook};

use crate::object::{AppName, EnvironmentName};

/// Notes that wait for a channel that does not answer.
const WAITING: usize = 256;
/// Tries before a note is given up, and the pauses between them.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// One thing that somebody has to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub environment: EnvironmentName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The reason of the Event that says the same.
    pub reason: &'static str,
    /// Whether it wants a person's eyes.
    pub warning: bool,
    pub message: String,
    pub time: String,
}

/// Where notices go.
pub trait Channel: Send + Sync + 'static {
    /// Hands one over. The error never names a secret.
    fn send<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Unsent>>;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// It may go later.
    #[error("{0}")]
    Later(String),
    /// It never will.
    #[error("{0}")]
    Never(String),
}

/// Hands notices to a channel, one after the other.
pub struct Notifier {
    queue: mpsc::Sender<Notice>,
    lost: Arc<AtomicU64>,
}

impl Notifier {
    pub fn start(channel: impl Channel) -> Self {
        let (queue, notices) = mpsc::channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        tokio::spawn(deliver(channel, notices, lost.clone()));
        Self { queue, lost }
    }

    pub fn tell(&self, notice: Notice) {
        if self.queue.try_send(notice).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were given up.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn deliver(channel: impl Channel, mut notices: mpsc::Receiver<Notice>, lost: Arc<AtomicU64>) {
    let mut told: VecDeque<String> = VecDeque::new();
    while let Some(notice) = notices.recv().await {
        let mut pause = FIRST_PAUSE;
        for n in 1..=TRIES {
            match channel.send(&notice).await {
                Ok(()) => {
                    told.clear();
                    break;
                }
                Err(Unsent::Later(_)) if n < TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(unsent) => {
                    lost.fetch_add(1, Ordering::Relaxed);
                    let why = unsent.to_string();
                    if !told.contains(&why) {
                        tracing::warn!(why, reason = notice.reason, "a notification could not be delivered");
                        told.push_back(why);
                        told.truncate(8);
                    }
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
