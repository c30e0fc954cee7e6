//! When what waits to be saved is saved: at once where little is, together where much is.
//!
//! Each save of the document is paid for: by time, and by what it saves. Some are on credit, so that one app that changes
//! never waits; when a thousand do, each save has to carry many of them.

use std::time::Duration;

/// So many can be made in a row, whatever they carry: one app makes about five on its way.
const CREDIT: u32 = 16;
/// One is earned in this time,
const EARNED_EVERY: Duration = Duration::from_millis(250);
/// or by so many that wait to be saved.
const EARNED_BY: u32 = 16;

/// How many saves can be paid for.
#[derive(Clone, Debug)]
pub struct Pace {
    /// In parts of [`UNIT`].
    credit: u32,
    /// When it was counted, on a clock that begins anywhere.
    at: Duration,
}

/// What one save costs: divided by what earns one, no fraction is left.
const UNIT: u32 = 250 * EARNED_BY;

impl Pace {
    pub fn new(now: Duration) -> Self {
        Self { credit: CREDIT * UNIT, at: now }
    }

    /// How long to wait before `waiting` are saved together; nothing is to begin at once.
    pub fn wait(&self, waiting: usize, now: Duration) -> Duration {
        let missing = UNIT.saturating_sub(self.credit_at(waiting, now));
        EARNED_EVERY * missing / UNIT
    }

    /// Pays for saving `waiting` together.
    pub fn pay(&mut self, waiting: usize, now: Duration) {
        self.credit = self.credit_at(waiting, now).saturating_sub(UNIT);
        self.at = now;
    }

    fn credit_at(&self, waiting: usize, now: Duration) -> u32 {
        let by_time = now.saturating_sub(self.at).as_millis().saturating_mul(u128::from(UNIT));
        let by_time = u32::try_from(by_time / EARNED_EVERY.as_millis()).unwrap_or(u32::MAX);
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
    fn nothing_is_saved_up_beyond_the_credit() {
        let mut pace = Pace::new(at(0));
        pace.pay(100_000, at(1_000_000));
        (0..15).for_each(|_| pace.pay(0, at(1_000_000)));
        assert!(pace.wait(0, at(1_000_000)) > Duration::ZERO);
    }
}
