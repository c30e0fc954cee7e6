//! What users and the platform write, and what Fairlead says back: the `Environment` (the platform's word, in the
//! cluster), the `EnvironmentConfig` (the team's word, in git), and the names of labels, annotations and conditions.
//!
//! Authority is cut so that git can only narrow: whatever a team's file asks for is checked against its Environment.

mod config;
mod drift;
mod drift_report;
mod duration;
mod environment;
mod history;
mod identity;
mod limits;
pub mod names;
mod night;
mod page;
mod preview;
mod pull_requests;
mod region;
mod region_status;
mod request;
mod rollback;
mod secret_rule;
mod secret_status;
mod source;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use config::{
    Adopt, AppPlaces, AppSpec, EnvironmentConfig, OnFailure, Previews, PruneBudget, Rollout, RolloutScope,
};
pub use drift::{Drift, DriftPolicy, DriftRule};
pub use drift_report::{
    CauseRow, DriftCounts, DriftReport, DriftReportSpec, DriftRow, FightRow, UNKNOWN, UnknownKind,
};
pub use duration::Span;
pub use environment::{
    AdoptionStatus, AppPhase, AppStatus, AwsSpec, Condition, ConditionStatus, DriftLimits, Environment,
    EnvironmentSpec, EnvironmentStatus, HandoverStatus, OnDelete, PruneStatus, WaitingOn, WaveStatus,
};
pub use history::RecordStatus;
pub use identity::Identity;
pub use limits::{KindLimits, PolicyMatch, PolicySpec, PruneLimit, Severity};
pub use night::Night;
pub use page::{AppDetails, EnvironmentPage, EnvironmentPageSpec};
pub use preview::{PreviewGrant, PreviewSpec};
pub use pull_requests::{ForgeKind, PersonSpec, PullRequestsSpec};
pub use region::{
    AutomaticSpec, ObjectivesSpec, ProbeSpec, ReadinessSpec, RegionSpec, StandbyOf, StandbySpec, StepSpec,
};
pub use region_status::{HolderStatus, ReadinessStatus, RegionRunStatus, RegionStatus, RegionStepStatus};
pub use request::{Request, RequestSpec, RequestState, RequestStatus};
pub use rollback::{RollbackRequest, RollbackState, RollbackStatus, RollbackTo};
pub use secret_rule::{OnRotationFailure, SecretRule, Strategy, strategy_of};
pub use secret_status::{SecretStatus, SecretUse, SecretUseState};
pub use source::{HistoryRule, Secret, SignedObject, SignersKind, SignersSpec, SourceSpec, VerifySpec};

/// The CRDs that Fairlead needs, as `fairlead crd` prints them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![Environment::crd(), EnvironmentPage::crd(), DriftReport::crd(), Request::crd()]
}
