use std::time::Duration;

/// When a remote is asked again. Pure: what is random, and how often it failed, come in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Poll {
    pub interval: Duration,
    /// How much of a delay is left to chance, from 0 to 1: 0.1 means up to a tenth more or less, so that many agents do
    /// not ask one server at the same second.
    pub jitter: f64,
    /// What repeated failures stretch the delay to at most.
    pub cap: Duration,
}

impl Poll {
    pub fn new(interval: Duration) -> Self {
        Self { interval, jitter: 0.1, cap: interval.max(Duration::from_secs(300)) }
    }

    /// The delay until the next poll, after `failures` in a row. `random` is in 0..1.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        // 2^20 intervals pass any cap; more doublings would only overflow.
        let doubled = self.interval.saturating_mul(1 << failures.min(20));
        let delay = doubled.min(self.cap.max(self.interval));
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.5 };
        delay.mul_f64(1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * random - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Poll = Poll { interval: Duration::from_secs(10), jitter: 0.1, cap: Duration::from_secs(300) };

    #[test]
    fn jitter_stays_in_its_share_of_the_interval() {
        assert_eq!(POLL.delay(0, 0.5), Duration::from_secs(10));
        assert_eq!(POLL.delay(0, 0.0), Duration::from_secs(9));
        assert_eq!(POLL.delay(0, 1.0), Duration::from_secs(11));
    }

    #[test]
    fn failures_double_the_delay_up_to_the_cap() {
        let seconds: Vec<u64> = (0..8).map(|failures| POLL.delay(failures, 0.5).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(POLL.delay(u32::MAX, 0.5).as_secs(), 300);
    }

    #[test]
    fn an_interval_over_the_cap_is_kept() {
        let slow = Poll { interval: Duration::from_secs(600), ..POLL };
        assert_eq!(slow.delay(0, 0.5).as_secs(), 600);
        assert_eq!(slow.delay(9, 0.5).as_secs(), 600);
    }

    #[test]
    fn odd_numbers_do_not_panic() {
        for random in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
            let delay = Poll { jitter: 9.0, ..POLL }.delay(3, random);
            assert!(delay <= Duration::from_secs(160));
        }
    }
}
