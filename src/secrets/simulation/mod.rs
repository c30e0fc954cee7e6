//! Tells stories to what decides about secrets: versions that change, fail or cannot be used; a provider that is down or
//! throttles; commits that are good or bad; agents that are killed at any moment or hand environments over.
//!
//! A [`story`] is what happens from outside, by the second. [`world`] goes from one moment at which something is due to the
//! next; a [`replica`] has a [`Book`](super::Book), [`Apps`](super::Apps) for each environment and a
//! [`Rotation`](super::Rotation), which are the real ones. [`cluster`] stands for what delivers: an app is rolled, passes its
//! gates or fails, goes back or halts, and is remembered. [`checks`] holds what must be so at every moment.

mod checks;
mod cluster;
mod provider;
mod replica;
mod story;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the seed comes from outside, and how long it took is told")]
pub(crate) mod tales;
mod world;
