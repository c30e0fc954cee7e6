//! What people and scripts read: a plan as text and JSON, an environment's conditions, what set a field.

mod conditions;
mod difference;
mod drift;
pub mod explain;
mod fact;
mod handover;
mod hooks;
mod overview;
mod plan;
mod prune;

pub use conditions::{Trouble, conditions, secrets_condition, summary};
pub use difference::{Body, Sketch, whole};
pub use drift::{DriftedFieldReport, DriftedObject, common_causes};
pub use fact::{Told, told};
pub use handover::{HandoverReport, SharedReport};
pub use hooks::{HookReport, HookState};
pub use overview::{Overview, bounded, cut, overview};
pub use plan::{AppPlan, PlanReport, StepReport};
pub use prune::{DeleteReport, KeptReport, PruneReport};
