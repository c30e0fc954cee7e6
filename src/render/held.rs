//! The memory that one render holds, given back when it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Limits;
use super::source::Text;
use super::weight;
use crate::object::{OutOfMemory, Place, Problem};
use crate::yaml::{Dialect, Node};

pub(crate) struct Held<'a> {
    limits: &'a Limits,
    bytes: AtomicUsize,
    waited_before: Duration,
}

impl<'a> Held<'a> {
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, bytes: AtomicUsize::new(0), waited_before: limits.memory.waited() }
    }

    /// Reads a text as objects or patches, once there is memory for it.
    pub fn nodes(
        &self,
        text: &Text,
        dialect: Dialect,
        place: &Place,
    ) -> Result<Vec<(Node, Place)>, Vec<Problem>> {
        let none = |error: OutOfMemory| vec![problem(error, place)];
        let most = weight::to_read(text.bytes(), &self.limits.yaml);
        self.limits.memory.take(most).map_err(none)?;
        let read = text.nodes(dialect, &self.limits.yaml);
        let stays = read.iter().flatten().map(|(node, _)| weight::of(node)).sum();
        self.settle(most, stays).map_err(none)?;
        read.map_err(|problem| vec![problem])
    }

    /// Reads a text in another way, of which it is not known how much stays: half, which is more than was seen.
    pub fn reading<T>(
        &self,
        text: &Text,
        place: &Place,
        read: impl FnOnce() -> Result<T, Vec<Problem>>,
    ) -> Result<T, Vec<Problem>> {
        let none = |error: OutOfMemory| vec![problem(error, place)];
        let most = weight::to_read(text.bytes(), &self.limits.yaml);
        self.limits.memory.take(most).map_err(none)?;
        let done = read();
        self.settle(most, if done.is_ok() { most / 2 } else { 0 }).map_err(none)?;
        done
    }

    /// Holds copies of objects that were read before.
    pub fn copies<'n>(&self, of: impl Iterator<Item = &'n Node>, place: &Place) -> Result<(), Problem> {
        self.hold(of.map(weight::of).sum(), place)
    }

    /// Holds so many bytes more.
    pub fn hold(&self, bytes: usize, place: &Place) -> Result<(), Problem> {
        let none = |error: OutOfMemory| problem(error, place);
        self.limits.memory.take(bytes).map_err(none)?;
        self.settle(bytes, bytes).map_err(none)
    }

    fn settle(&self, taken: usize, stays: usize) -> Result<(), OutOfMemory> {
        self.bytes.fetch_add(stays, Ordering::Relaxed);
        self.limits.memory.settle(taken, stays)
    }

    /// For how long this render had to wait.
    pub fn waited(&self) -> Duration {
        self.limits.memory.waited().saturating_sub(self.waited_before)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.limits.memory.give_back(*self.bytes.get_mut());
    }
}

fn problem(error: OutOfMemory, place: &Place) -> Problem {
    Problem::at(place.clone(), error.to_string())
        .hint("make it smaller, split it into several apps, or ask the platform for more")
}
