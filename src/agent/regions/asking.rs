//! The shared place of one environment, and the calls to it that are under way.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::Regions;
use crate::agent::shared_place::SharedPlace;
use crate::cluster::uptime;
use crate::object::EnvironmentName;
use crate::region::{Answer, Fence, PlaceError, Wish};

/// A place that cannot be opened is tried again after this.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

pub struct Asking {
    regions: Arc<Regions>,
    environment: EnvironmentName,
    opened: Option<Result<SharedPlace, (String, Instant)>>,
    answers: FuturesUnordered<BoxFuture<'static, (u64, Answer)>>,
}

impl Asking {
    pub fn new(regions: Arc<Regions>, environment: EnvironmentName) -> Self {
        Self { regions, environment, opened: None, answers: FuturesUnordered::new() }
    }

    /// Asks what the fence wants to know, if anything. Its answer is waited for by [`Asking::answered`].
    pub async fn ask(&mut self, fence: &mut Fence, wish: &Wish) {
        match self.open().await {
            Ok(place) => {
                if let Some((ticket, call)) = fence.next(wish, uptime()) {
                    self.answers.push(Box::pin(async move { (ticket, place.ask(call).await) }));
                }
            }
            // The fence is told as by a place that does not answer.
            Err(why) => {
                if let Some((ticket, _)) = fence.next(wish, uptime()) {
                    let error = PlaceError::Unreachable { place: "the shared place".into(), why: why.into() };
                    fence.answered(ticket, Answer::Failed(error), uptime());
                }
            }
        }
    }

    /// What came of a call; for ever where none is under way.
    pub async fn answered(&mut self) -> (u64, Answer) {
        match self.answers.next().await {
            Some(answer) => answer,
            None => pending().await,
        }
    }

    async fn open(&mut self) -> Result<SharedPlace, String> {
        match &self.opened {
            Some(Ok(place)) => return Ok(place.clone()),
            Some(Err((why, again))) if *again > Instant::now() => return Err(why.clone()),
            _ => {}
        }
        let opened = self.regions.shared_place(&self.environment).await;
        self.opened = Some(opened.clone().map_err(|why| (why, Instant::now() + OPEN_AGAIN)));
        opened
    }
}
