//! What needs more than one room, or a tool to compare with.

#![allow(clippy::disallowed_methods, reason = "tests start programs, read files and clocks")]

mod schema;
mod yaml;
