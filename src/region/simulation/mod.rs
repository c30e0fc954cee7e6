//! Runs the regions of an environment against each other: agents that die at any moment, clocks that run apart, a shared place that
//! is slow, down, loses answers and tells old states, partitions, people who ask for anything, and git that goes back and forth.
//!
//! A [`story`] is a list of what happens from outside. [`world`] goes from one moment at which something is due to the next; a
//! [`site`] is a region with its cluster and its agent. [`ledger`] is written to by the writers of each region, and judges what it
//! is told as a history. When all faults have ended, [`rest`] judges whether everything has come to an end.

mod chance;
mod ledger;
mod people;
mod place;
mod rest;
mod rows;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the seed comes from outside, and how long it took is told")]
pub(crate) mod runs;
mod shrink;
mod site;
mod story;
mod world;
