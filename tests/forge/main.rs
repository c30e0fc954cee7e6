//! The room `forge` over real HTTP, against forges that remember, fail, and are held to GitHub's own description of its API.

#![allow(clippy::disallowed_methods, reason = "tests start processes and servers")]

mod app;
mod commands;
mod fake;
mod faults;
mod judge;
mod life;
mod secure;
mod webhooks;
