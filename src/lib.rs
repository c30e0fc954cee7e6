//! Fairlead: a GitOps agent that keeps a cluster true to an infra repository.
//!
//! Data flows one way:
//!
//! ```text
//! git ─Tree→ render ─Desired→ plan ←Live─ cluster
//!                              │ check
//!                              ▼
//!                         CheckedPlan → rollout ─Next→ cluster ─Outcome→ health, drift → report
//! ```
//!
//! The pure rooms (`object render policy plan health rollout ownership state region requests pull_requests report
//! write_back`) decide and do no I/O; the rooms of effects
//! (`git cluster helm aws forge history notify`) each touch one outside world; `agent` composes them, `cli` is for people.
//! `tests/architecture.rs` holds the table of who may import whom.

#[allow(clippy::disallowed_methods)]
pub mod agent;
pub mod api;
#[allow(clippy::disallowed_methods)]
pub mod aws;
#[allow(clippy::disallowed_methods)]
pub mod cli;
#[allow(clippy::disallowed_methods)]
pub mod cluster;
#[allow(clippy::disallowed_methods)]
pub mod config;
pub mod delivery;
pub mod drift;
#[allow(clippy::disallowed_methods)]
pub mod forge;
#[allow(clippy::disallowed_methods)]
pub mod git;
pub mod health;
#[allow(clippy::disallowed_methods)]
pub mod helm;
#[allow(clippy::disallowed_methods)]
pub mod history;
#[allow(clippy::disallowed_methods)]
pub mod http;
#[allow(clippy::disallowed_methods)]
pub mod metrics;
#[allow(clippy::disallowed_methods)]
pub mod notify;
pub mod object;
pub mod ownership;
pub mod plan;
pub mod policy;
pub mod previews;
pub mod pull_requests;
pub mod redact;
pub mod region;
pub mod render;
pub mod report;
pub mod requests;
pub mod review;
pub mod rollout;
pub mod schema;
pub mod secrets;
pub mod state;
#[allow(clippy::disallowed_methods)]
pub mod telemetry;
pub mod write_back;
pub mod yaml;
