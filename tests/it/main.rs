//! What needs more than one room, or a tool to compare with.

#![allow(clippy::disallowed_methods, reason = "these tests read files, start programs and wait")]

mod schema;
mod yaml;
