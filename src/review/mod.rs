//! Says what a change of the infra repository does to environments, for who reviews it: what changes in git, what is
//! risky about it, what it would overwrite in the cluster, and what will not roll out.
//!
//! Three sides are compared: what each app wanted where the change began (the merge base), what it wants with the
//! change, and what is live, as `fairlead plan` sees it. [`review`] makes a [`Report`] of them, which is JSON as it is;
//! [`markdown()`] writes it as a comment of a forge, within its limit, and [`sarif()`] for tools that show findings at
//! their lines.
//!
//! Everything that git or a cluster says is foreign text: [`markdown::escape`] is the one way for it into the comment.
//! Values of Secrets are taken out before there is a report ([`hide`]).

mod assemble;
mod compare;
mod drifted;
#[cfg(test)]
mod fixtures;
mod hide;
mod input;
pub mod markdown;
mod report;
mod risk;
mod rules;
mod sarif;

pub use assemble::review;
pub use drifted::{DriftReport, DriftSides, Drifting, drifted};
pub use input::{AppSide, Change, LiveSide, Quota, Stop, Target};
pub use markdown::{Marker, drift_markdown, markdown};
pub use report::{
    Action, AppReport, AppState, Counts, Drift, DriftCause, EnvironmentReport, ObjectChange, Report,
    SecretUse, Side, Verdict,
};
pub use risk::{Risk, RiskClass, Severity};
pub use rules::outside;
pub use sarif::sarif;

#[cfg(test)]
mod tests;
