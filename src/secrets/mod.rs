//! Says what a provider of secrets tells: the version that was read, what kept it from being read, what has changed, and
//! what asking costs; and decides with which versions apps run. The words are those of no provider, so that another one fits behind the same port; the only one so
//! far is `aws`.
//!
//! The value itself travels as `Arc<Plaintext>` and is the one thing here that cannot be printed.

mod apps;
mod book;
mod calls;
mod poke;
mod rotation;
#[cfg(test)]
pub(crate) mod simulation;
mod trouble;
mod typed;
mod usable;
mod version;

pub use apps::{Apps, Lent, Readings, Usable, Uses};
pub use book::{Book, Known};
pub use calls::{Call, CallOutcome, Calls, Service};
pub use poke::{Poke, Unreadable};
pub use rotation::{Limits, Member, Rotation, Verdict, Versions};
pub use trouble::{Cause, Right, Subject, Trouble};
pub use usable::{expiring, unusable};
pub use version::{Read, Version};
