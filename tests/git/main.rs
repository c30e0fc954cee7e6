//! Git against the real thing: repositories made by the `git` command, served from disk, over http and over ssh.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests are the outside world: they write files, start servers and wait"
)]

mod bed;
mod blame;
mod cache;
mod changes;
mod file;
mod http;
mod links;
mod signatures;
mod ssh;
mod tree;
mod web;
