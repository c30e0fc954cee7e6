//! Whether the loops still turn. Each turns twice a minute although nothing happens; one that does not is stuck, or nobody runs
//! it, and Kubernetes is asked to begin the process anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A loop that has not turned for so long is stuck.
const LONGEST: Duration = Duration::from_secs(120);
/// Every loop turns at least as often.
pub const TICK: Duration = Duration::from_secs(30);

/// Shared by all loops of a process and by who asks whether they turn.
#[derive(Clone, Default)]
pub struct Watchdog(Arc<Mutex<Loops>>);

#[derive(Default)]
struct Loops {
    next: u64,
    /// When each turned last.
    turned: BTreeMap<u64, (String, Instant)>,
}

/// What a loop says that it turns with. Who ends is not waited for any more.
pub struct Pulse {
    watchdog: Watchdog,
    number: u64,
}

impl Watchdog {
    pub fn pulse(&self, name: impl Into<String>) -> Pulse {
        let mut loops = self.lock();
        loops.next += 1;
        let number = loops.next;
        loops.turned.insert(number, (name.into(), Instant::now()));
        Pulse { watchdog: self.clone(), number }
    }

    /// Names the loops that are stuck.
    pub fn check(&self) -> Result<(), String> {
        let loops = self.lock();
        let stuck = loops.turned.values().filter(|(_, turned)| turned.elapsed() > LONGEST);
        let stuck: Vec<String> =
            stuck.map(|(name, turned)| format!("{name} for {} s", turned.elapsed().as_secs())).collect();
        if stuck.is_empty() { Ok(()) } else { Err(format!("these do not turn: {}", stuck.join(", "))) }
    }

    fn lock(&self) -> MutexGuard<'_, Loops> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    pub fn turn(&self) {
        if let Some((_, turned)) = self.watchdog.lock().turned.get_mut(&self.number) {
            *turned = Instant::now();
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.watchdog.lock().turned.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_named_until_it_does_or_ends() {
        let watchdog = Watchdog::default();
        let (one, two) = (watchdog.pulse("environment dev"), watchdog.pulse("the supervisor"));
        tokio::time::advance(LONGEST).await;
        one.turn();
        assert_eq!(watchdog.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(watchdog.check(), Err("these do not turn: the supervisor for 121 s".to_owned()));
        two.turn();
        assert_eq!(watchdog.check(), Ok(()));
        tokio::time::advance(2 * LONGEST).await;
        drop(one);
        drop(two);
        assert_eq!(watchdog.check(), Ok(()));
    }
}
