//! Whose turn it is to go on to newer versions of secrets, in all environments of this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::sleep_until;
use crate::secrets::{Limits, Rotation};

pub struct Rotations {
    state: Mutex<Rotation>,
    bell: Notify,
    /// Counts releases.
    releases: watch::Sender<u64>,
}

impl Rotations {
    pub fn new(limits: Limits) -> Self {
        Self { state: Mutex::new(Rotation::new(limits)), bell: Notify::new(), releases: watch::channel(0).0 }
    }

    /// Gives turns until `end`.
    pub async fn run(&self, end: CancellationToken) {
        loop {
            let now = Timestamp::now();
            let (released, again) = {
                let mut state = self.state();
                (state.release(now), state.again(now))
            };
            for (environment, app) in &released {
                tracing::info!(%environment, %app, "goes on to newer versions of its secrets");
            }
            if !released.is_empty() {
                self.releases.send_modify(|count| *count += 1);
            }
            tokio::select! {
                () = self.bell.notified() => {}
                () = sleep_until(again) => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// Looks at what is known, or changes it; then turns are given anew.
    pub fn with<T>(&self, change: impl FnOnce(&mut Rotation) -> T) -> T {
        let result = change(&mut self.state());
        self.bell.notify_one();
        result
    }

    /// Looks at what is known.
    pub fn look<T>(&self, look: impl FnOnce(&Rotation) -> T) -> T {
        look(&self.state())
    }

    /// Has all that watch look again.
    pub fn wake(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// Until some app had its turn.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.releases.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, Rotation> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
