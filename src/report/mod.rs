//! What people and scripts read: a plan as text and JSON, an environment's conditions, what set a field.

mod conditions;
pub mod explain;
mod fact;
mod handover;
mod hooks;
mod plan;
mod prune;

pub use conditions::{Trouble, conditions, same_but_times, summary};
pub use fact::{Told, told};
pub use handover::{HandoverReport, SharedReport};
pub use hooks::{HookReport, HookState};
pub use plan::{AppPlan, PlanReport, StepReport};
pub use prune::{DeleteReport, KeptReport, PruneReport};
