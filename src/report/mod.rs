//! What people and scripts read: a plan as text and JSON, an environment's conditions, what set a field.

mod conditions;
mod difference;
mod drift;
mod drift_report;
pub mod explain;
mod fact;
mod handover;
mod hooks;
mod overview;
mod plan;
mod prune;

pub use conditions::{Trouble, conditions, secrets_condition, summary, verified_condition};
pub use difference::{Body, Sketch, whole};
pub use drift::{DriftedFieldReport, DriftedObject, UnknownDrift, cause_name, common_causes};
pub use drift_report::drift_report;
pub use fact::{Told, told};
pub use handover::{HandoverReport, SharedReport};
pub use hooks::{HookReport, HookState};
pub use overview::{Overview, bounded, cut, overview, secrets};
pub use plan::{AppPlan, PlanReport, StepReport};
pub use prune::{DeleteReport, KeptReport, PruneReport};
