//! One budget of memory for all that is read and rendered at the same time in this process.
//!
//! Who may take how much is decided by [`Shares`]; here is the waiting for it. A wait ends when others give back, or when the
//! work that waits is stopped.

mod shares;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::helm::Stop;
use crate::object::{Memory, OutOfMemory};
use shares::{Answer, Shares, Work};

/// How soon who waits sees that it was stopped.
const LOOK: Duration = Duration::from_millis(200);

/// Of the memory of this process so much is for what is being rendered: the rest is what the agent remembers, what helm
/// takes, and what is being fetched.
const PART: u64 = 4;

/// The least that renders anything real.
const LEAST: usize = 64 << 20;

/// The memory of the process, shared by all that is rendered in it.
pub struct Budget {
    shares: Mutex<Shares>,
    changed: Condvar,
}

/// What is rendered for one environment at a time.
pub struct Lease {
    budget: Arc<Budget>,
    work: Work,
    stop: Stop,
    waits: Mutex<Waits>,
}

/// How long some thread of the work waited.
#[derive(Default)]
struct Waits {
    threads: usize,
    since: Option<Instant>,
    over: Duration,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Arc<Self> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Arc::new(Self { shares: Mutex::new(Shares::new(bytes.max(LEAST))), changed: Condvar::new() })
    }

    /// A part of the memory that the process may have.
    pub fn of(all: u64) -> Arc<Self> {
        Self::new(all / PART)
    }

    /// Begins a piece of work for an environment. It ends when it is let go of.
    pub fn begin(self: &Arc<Self>, environment: &str, stop: Stop) -> Lease {
        let work = self.lock().begin(environment);
        Lease { budget: self.clone(), work, stop, waits: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are granted now, and the most that were at once.
    #[cfg(test)]
    fn taken(&self) -> (usize, usize) {
        self.lock().taken()
    }
}

impl Lease {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory for Lease {
    fn take(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let mut shares = self.budget.lock();
        let mut has_waited = false;
        let granted = loop {
            match shares.ask(self.work, bytes) {
                Answer::Granted => break Ok(()),
                Answer::Never(most) => break Err(OutOfMemory::TooMuch(most)),
                Answer::Wait if self.stop.is_set() => break Err(OutOfMemory::Ended),
                Answer::Wait => {}
            }
            if !has_waited {
                has_waited = true;
                self.waits().begin();
            }
            let waited = self.budget.changed.wait_timeout(shares, LOOK);
            shares = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(shares);
        if has_waited {
            self.waits().end();
        }
        granted
    }

    fn settle(&self, taken: usize, stays: usize) -> Result<(), OutOfMemory> {
        let fits = self.budget.lock().settle(self.work, taken, stays);
        self.budget.changed.notify_all();
        fits.map_err(OutOfMemory::TooMuch)
    }

    fn give_back(&self, stayed: usize) {
        self.budget.lock().give_back(self.work, stayed);
        self.budget.changed.notify_all();
    }

    fn waited(&self) -> Duration {
        self.waits().so_far()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.lock().end(self.work);
        self.budget.changed.notify_all();
    }
}

impl Waits {
    fn begin(&mut self) {
        self.threads += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn end(&mut self) {
        self.threads -= 1;
        if self.threads == 0 {
            self.over += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        }
    }

    fn so_far(&self) -> Duration {
        self.over + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({:?})", self.work)
    }
}

#[cfg(test)]
mod tests;
