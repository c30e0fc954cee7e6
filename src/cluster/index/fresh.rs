//! How fresh it is what a watch brought: whether it may be said of its objects that they are as git says.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::heard::{Heard, QUIET};

/// What is known of one watch, beside what its connection says.
#[derive(Debug)]
pub(super) struct Freshness {
    began: Instant,
    /// When all was listed last.
    listed: Option<Instant>,
    /// Since when it fails, and why.
    failed: Option<(Instant, String)>,
}

/// Why it is not known whether objects are as git says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    /// When it was known last.
    pub last: Option<Instant>,
    pub why: String,
}

impl Freshness {
    pub fn new(now: Instant) -> Self {
        Self { began: now, listed: None, failed: None }
    }

    pub fn note_listed(&mut self, now: Instant) {
        (self.listed, self.failed) = (Some(now), None);
    }

    /// What it failed with first is kept: words that change all the time are no news.
    pub fn note_failed(&mut self, why: &str, heard: Heard, now: Instant) {
        if self.failing(heard).is_none() {
            self.failed = Some((now, why.to_owned()));
        }
    }

    /// When it was known last what there is.
    pub fn verified(&self, heard: Heard) -> Option<Instant> {
        self.listed.max(heard.told.filter(|told| *told >= self.began))
    }

    /// Whether it is not known what there is, now that `after` was granted.
    pub fn stale(&self, heard: Heard, after: Duration, now: Instant) -> Option<Stale> {
        let last = self.verified(heard);
        let stale = |why: &str| Some(Stale { last, why: why.to_owned() });
        match self.failing(heard) {
            Some((since, why)) if now.duration_since(since) >= after => stale(why),
            _ if now.duration_since(last.unwrap_or(self.began)) >= after + QUIET => {
                stale("its watch says nothing")
            }
            _ => None,
        }
    }

    /// Since when it fails, where it did not begin anew since.
    fn failing(&self, heard: Heard) -> Option<(Instant, &str)> {
        let (since, why) = self.failed.as_ref()?;
        let is_over = [heard.began, heard.told].into_iter().flatten().any(|at| at > *since);
        (!is_over).then_some((*since, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(300);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_long_enough_is_unknown_until_it_is_listed_or_watched_again() {
        let began = Instant::now();
        let mut fresh = Freshness::new(began);
        let silent = Heard::default();
        fresh.note_listed(began + seconds(1));
        fresh.note_failed("403", silent, began + seconds(100));
        fresh.note_failed("500", silent, began + seconds(200));
        let stale = |fresh: &Freshness, heard, second| {
            fresh.stale(heard, AFTER, began + seconds(second)).map(|stale| stale.why)
        };
        assert_eq!(stale(&fresh, silent, 399), None);
        assert_eq!(stale(&fresh, silent, 400).as_deref(), Some("403"), "since it failed first, and why");
        let taken = Heard { began: Some(began + seconds(401)), told: None };
        assert_eq!(stale(&fresh, taken, 402), None, "the server took the watch again");
        fresh.note_failed("cut", taken, began + seconds(410));
        assert_eq!(stale(&fresh, taken, 709).as_deref(), Some("its watch says nothing"));
        assert_eq!(stale(&fresh, taken, 710).as_deref(), Some("cut"));
        fresh.note_listed(began + seconds(711));
        assert_eq!(stale(&fresh, taken, 712), None);
        assert_eq!(fresh.verified(taken), Some(began + seconds(711)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_silent_is_unknown_however_often_its_watch_begins() {
        let began = Instant::now();
        let mut fresh = Freshness::new(began);
        let told = |second| Heard { began: Some(began), told: Some(began + seconds(second)) };
        assert_eq!(fresh.stale(Heard::default(), AFTER, began + seconds(479)), None);
        let never = fresh.stale(Heard::default(), AFTER, began + seconds(480)).expect("it was never listed");
        assert_eq!(never.last, None);
        fresh.note_listed(began + seconds(10));
        for second in (60..3600).step_by(60) {
            assert_eq!(fresh.stale(told(second), AFTER, began + seconds(second + 59)), None);
        }
        let ends_at_once = Heard { began: Some(began + seconds(3999)), told: Some(began + seconds(3500)) };
        let stale = fresh.stale(ends_at_once, AFTER, began + seconds(4000)).expect("it tells nothing");
        assert_eq!(stale.last, Some(began + seconds(3500)));
    }
}
