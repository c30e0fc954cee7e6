//! What says that the active region is lost, where an environment may move by itself: the shared place, in which its holder is
//! silent, and Jobs of the team that look at it from here. What cannot be asked says nothing.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::jobs::NotDone;
use crate::region::automatic::{SHARED_PLACE, Signal};
use crate::region::{Automatic, Fence, Hold, Moment, TIMING};

/// Between two looks of one Job.
const EVERY: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Signals {
    looks: BTreeMap<String, Look>,
    under_way: FuturesUnordered<BoxFuture<'static, (String, Result<(), NotDone>)>>,
}

#[derive(Default)]
struct Look {
    began: Option<Moment>,
    is_under_way: bool,
    lost_since: Option<Timestamp>,
}

impl Signals {
    /// The Jobs that it is time to make.
    pub fn due(&self, automatic: &Automatic, now: Moment) -> Vec<String> {
        let is_due = |name: &&String| {
            let Some(look) = self.looks.get(*name) else { return true };
            !look.is_under_way && look.began.is_none_or(|began| now >= began + EVERY)
        };
        automatic.signals.iter().filter(|name| *name != SHARED_PLACE).filter(is_due).cloned().collect()
    }

    pub fn begin(&mut self, name: &str, looking: JoinHandle<Result<(), NotDone>>, now: Moment) {
        let look = self.looks.entry(name.to_owned()).or_default();
        (look.began, look.is_under_way) = (Some(now), true);
        let (name, looking) = (name.to_owned(), AbortOnDropHandle::new(looking));
        self.under_way.push(Box::pin(async move {
            let seen = looking.await.unwrap_or_else(|error| Err(NotDone::Unknown(error.to_string())));
            (name, seen)
        }));
    }

    /// Until one of them has ended.
    pub async fn ended(&mut self) {
        let Some((name, seen)) = self.under_way.next().await else { return pending().await };
        self.take(&name, &seen, Timestamp::now());
    }

    fn take(&mut self, name: &str, seen: &Result<(), NotDone>, now: Timestamp) {
        let look = self.looks.entry(name.to_owned()).or_default();
        look.is_under_way = false;
        match seen {
            Err(NotDone::Failed(..)) => drop(look.lost_since.get_or_insert(now)),
            Ok(()) => look.lost_since = None,
            Err(NotDone::Unknown(why)) => {
                tracing::warn!(signal = name, why, "it is not known what it says of the active region");
                look.lost_since = None;
            }
        }
    }

    /// Forgets all: this region is the active one, or moves.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// What they say.
    pub fn told(
        &self,
        automatic: &Automatic,
        fence: &Fence,
        now: Moment,
        time: Timestamp,
    ) -> BTreeMap<String, Signal> {
        let told = |name: &String| {
            let lost_since = match name == SHARED_PLACE {
                true => silent_since(fence, now, time),
                false => self.looks.get(name).and_then(|look| look.lost_since),
            };
            (name.clone(), Signal { source: name.clone(), lost_since })
        };
        automatic.signals.iter().map(told).collect()
    }
}

/// Since when the holder is silent in the shared place, where that was read and says so.
fn silent_since(fence: &Fence, now: Moment, time: Timestamp) -> Option<Timestamp> {
    let is_held = fence.record().is_some_and(|record| matches!(record.hold, Hold::Held(_)));
    let silent = fence.silent_for(now);
    if !is_held || fence.trouble().is_some() || silent < TIMING.takeover {
        return None;
    }
    time.checked_sub(SignedDuration::try_from(silent).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_that_a_region_is_lost_from_its_first_failure_on_and_only_while_it_fails() {
        let automatic =
            Automatic { after: Duration::ZERO, signals: vec![SHARED_PLACE.into(), "look.yaml".into()] };
        let mut signals = Signals::default();
        assert_eq!(signals.due(&automatic, Moment::ZERO), ["look.yaml"], "the shared place is read anyway");
        let time = |seconds| Timestamp::from_second(seconds).unwrap();
        let failed = || Err(NotDone::Failed(Box::default(), "no".to_owned()));
        let mut since = |seen: Result<(), NotDone>, at| {
            signals.take("look.yaml", &seen, time(at));
            signals.looks["look.yaml"].lost_since
        };
        assert_eq!(since(failed(), 10), Some(time(10)));
        assert_eq!(since(failed(), 40), Some(time(10)));
        assert_eq!(since(Err(NotDone::Unknown("nobody knows".to_owned())), 50), None);
        assert_eq!(since(failed(), 60), Some(time(60)));
        assert_eq!(since(Ok(()), 70), None);
        let look = signals.looks.get_mut("look.yaml").unwrap();
        look.began = Some(Duration::from_secs(100));
        assert!(signals.due(&automatic, Duration::from_secs(119)).is_empty());
        assert_eq!(signals.due(&automatic, Duration::from_secs(120)), ["look.yaml"]);
    }
}
