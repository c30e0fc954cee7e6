//! The whole agent against a real control plane, and what needs other real tools.

#![allow(clippy::disallowed_methods, reason = "tests start programs, read files and clocks")]

mod adopt;
mod authority;
mod away;
mod bed;
mod charts;
mod cli;
mod config;
mod delivery;
mod drift;
mod drift_report;
mod drift_rules;
mod drift_who;
mod epoch;
mod explain;
mod explain_charts;
mod faults;
mod gates;
mod helm;
mod helm_overlay;
mod history;
mod hooks;
mod input;
mod kill;
mod limits;
mod matrix;
mod mending;
mod ownership;
mod platform_limits;
mod preempt;
mod prune;
mod quiet;
mod regions;
mod regress;
mod removal;
mod replicas;
mod report;
mod report_markdown;
mod requests;
mod restore;
mod rollback;
mod rollout;
mod schema;
mod secrets;
mod source;
mod state;
mod state_owner;
mod status;
mod together;
#[path = "../tools/mod.rs"]
mod tools;
mod traffic;
mod validate;
mod watches;
mod yaml;
