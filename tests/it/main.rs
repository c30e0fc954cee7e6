//! The whole agent against a real control plane, and what needs other real tools.

#![allow(clippy::disallowed_methods, reason = "tests start programs, read files and clocks")]

mod bed;
mod drift;
mod faults;
mod gates;
mod kill;
mod preempt;
mod prune;
mod quiet;
mod rollout;
mod schema;
mod yaml;
