//! The history in both databases for real: files of SQLite, and a PostgreSQL server that is stopped, killed, filled up and
//! tampered with.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests are the outside world: they write files, start servers and wait"
)]

mod bed;
mod command;
mod faults;
mod keeping;
mod sealing;
mod servers;
mod speed;
mod versions;
