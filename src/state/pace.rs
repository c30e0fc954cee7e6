//! Decides when waiting changes are saved: at once where there are few, together where there are many.
//!
//! Each save of the document is paid for: by time, and by what it saves. Some are on credit, so that one app that changes
//! never waits; when a thousand do, each save has to carry many of them.

use std::time::Duration;

/// So many saves can be made in a row, whatever they carry: a rollout of one app makes about five.
const CREDIT: u32 = 16;
/// One is earned in twenty times the time that the last one took, so that an API server that is slow is asked less often,
const REST: u32 = 20;
/// but in no less than this time,
const EARNED_AFTER: Duration = Duration::from_millis(250);
/// and no more than this, which is the longest that anything waits;
const EARNED_WITHIN: Duration = Duration::from_secs(1);
/// or by so many that wait to be saved.
const EARNED_BY: u32 = 16;

/// Counts how many saves can be paid for.
#[derive(Clone, Debug)]
pub struct Pace {
    /// In parts of [`UNIT`].
    credit: u32,
    /// When it was counted, on a clock that begins anywhere.
    at: Duration,
    /// In what time one is earned.
    every: Duration,
}

/// What one save costs: divided by what earns one, no fraction is left.
const UNIT: u32 = 250 * EARNED_BY;

impl Pace {
    pub fn new(now: Duration) -> Self {
        Self { credit: CREDIT * UNIT, at: now, every: EARNED_AFTER }
    }

    /// Returns how long to wait before `waiting` changes are saved together; zero means at once.
    pub fn wait(&self, waiting: usize, now: Duration) -> Duration {
        let missing = UNIT.saturating_sub(self.credit_at(waiting, now));
        self.every * missing / UNIT
    }

    /// Pays for saving `waiting` together.
    pub fn pay(&mut self, waiting: usize, now: Duration) {
        self.credit = self.credit_at(waiting, now).saturating_sub(UNIT);
        self.at = now;
    }

    /// Notes how long a save took.
    pub fn took(&mut self, time: Duration) {
        self.every = (time * REST).clamp(EARNED_AFTER, EARNED_WITHIN);
    }

    fn credit_at(&self, waiting: usize, now: Duration) -> u32 {
        let by_time = now.saturating_sub(self.at).as_millis().saturating_mul(u128::from(UNIT));
        let by_time = u32::try_from(by_time / self.every.as_millis()).unwrap_or(u32::MAX);
        let by_waiting = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_mul(UNIT / EARNED_BY);
        self.credit.saturating_add(by_time).saturating_add(by_waiting).min(CREDIT * UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn one_app_never_waits() {
        let mut pace = Pace::new(at(0));
        for save in 0..16 {
            assert_eq!(pace.wait(1, at(save)), Duration::ZERO);
            pace.pay(1, at(save));
        }
        let mut pace = Pace::new(at(0));
        for save in 0..1_000 {
            assert_eq!(pace.wait(1, at(save * 240)), Duration::ZERO, "four a second can go on for ever");
            pace.pay(1, at(save * 240));
        }
    }

    #[test]
    fn where_much_is_saved_many_go_together() {
        let mut pace = Pace::new(at(0));
        (0..40).for_each(|_| pace.pay(1, at(0)));
        assert_eq!(pace.wait(16, at(0)), Duration::ZERO, "sixteen need not wait");
        let one = pace.wait(1, at(0));
        assert!(one > at(200) && one <= at(250), "{one:?}");
        assert_eq!(pace.wait(1, at(0) + one + at(1)), Duration::ZERO);
    }

    #[test]
    fn an_api_server_that_is_slow_is_asked_less_often() {
        let mut pace = Pace::new(at(0));
        (0..40).for_each(|_| pace.pay(0, at(0)));
        for (took, wait) in [(1, 250), (20, 400), (5_000, 1_000)] {
            pace.took(at(took));
            assert_eq!(pace.wait(0, at(0)), at(wait));
        }
    }

    #[test]
    fn nothing_is_saved_up_beyond_the_credit() {
        let mut pace = Pace::new(at(0));
        pace.pay(100_000, at(1_000_000));
        (0..15).for_each(|_| pace.pay(0, at(1_000_000)));
        assert!(pace.wait(0, at(1_000_000)) > Duration::ZERO);
    }
}
