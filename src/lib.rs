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
//! The pure rooms (`object render policy plan health rollout report`) decide and do no I/O; the rooms of effects
//! (`git cluster`) each touch one outside world; `agent` composes them, `cli` is for people.
//! `tests/architecture.rs` holds the table of who may import whom.

pub mod object;
pub mod render;
pub mod schema;
pub mod yaml;
