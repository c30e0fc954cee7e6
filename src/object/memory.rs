//! Memory that is asked for before it is taken. Who decides about it is elsewhere; here is what a piece of work may ask.

use std::fmt;
use std::time::Duration;

/// What grants memory to one piece of work.
///
/// Work asks for as much as its next step can take at most, does the step, and then says how much of it stays. It asks for
/// nothing more in between, so a wait always ends.
pub trait Memory: fmt::Debug + Send + Sync {
    /// Waits until so many bytes may be taken.
    fn take(&self, bytes: usize) -> Result<(), OutOfMemory>;

    /// Gives back what was taken, but for the bytes that stay.
    fn settle(&self, taken: usize, stays: usize) -> Result<(), OutOfMemory>;

    /// Gives back what stayed.
    fn give_back(&self, stayed: usize);

    /// For how long the work had to wait.
    fn waited(&self) -> Duration;
}

/// Why no memory is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfMemory {
    #[error("rendering this takes more than {} MiB of memory, which is all that one app may take here", .0 >> 20)]
    TooMuch(usize),
    #[error("what waited for memory was ended")]
    Ended,
}

/// Grants all of it at once: for a command, whose memory is that of whoever runs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbounded;

impl Memory for Unbounded {
    fn take(&self, _: usize) -> Result<(), OutOfMemory> {
        Ok(())
    }

    fn settle(&self, _: usize, _: usize) -> Result<(), OutOfMemory> {
        Ok(())
    }

    fn give_back(&self, _: usize) {}

    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}
