//! Tells stories to the room: git, an API server, pods and people that do what they do in the wild, and agents that die at
//! any moment and come back with nothing but what was remembered; all in simulated time, from one seed.
//!
//! A [`story`] is a list of what happens from outside, and when. [`run`] goes from one moment at which something is due to the
//! next; the [`agent`] in it hears, decides and has its [`hands`] do what was decided, request by request, as those of
//! `agent/` do. [`checks`] has what must hold at every moment, [`rest`] what must hold once nothing more happens.

mod agent;
mod chance;
mod checks;
mod content;
mod git;
mod hands;
mod pods;
mod rest;
mod rows;
mod run;
mod server;
mod shrink;
mod store;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the seed comes from outside, and how long it took is told")]
mod stories;
mod story;
mod view;
