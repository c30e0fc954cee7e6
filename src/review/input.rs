//! What a review is made from.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::object::{AppName, DriftRecord, EnvironmentName, Kinds, ObjectKey, Problems};
use crate::plan::WantedApp;
use crate::policy::Finding;
use crate::report::PlanReport;
use crate::schema::Builtin;

/// What changes in one environment.
pub struct Change<'a> {
    pub environment: EnvironmentName,
    pub production: bool,
    /// The apps where the change began; none where the environment is new. What is wrong there is no news.
    pub before: Vec<AppSide>,
    /// The apps with the change; none where the environment leaves git, the problems where its file is wrong.
    pub after: Result<Vec<AppSide>, Problems>,
    pub target: Target<'a>,
    /// What keeps an app, or the environment as a whole, from rolling out.
    pub stops: Vec<Stop>,
    pub live: Option<LiveSide>,
    /// Why nobody looked at the cluster, where somebody should have.
    pub unseen: Option<String>,
    /// What the history knows of drift: who, and since when.
    pub records: Vec<DriftRecord>,
}

/// What is known of the server.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The kinds that it serves; `None` where it was not asked.
    pub serves: Option<&'a Kinds>,
    /// What the release of Kubernetes says by itself.
    pub release: &'a Builtin,
}

/// An app on one side.
#[derive(Clone)]
pub struct AppSide {
    pub app: AppName,
    /// What it wants, or why that cannot be said.
    pub wanted: Result<Arc<WantedApp>, Problems>,
    /// What the platform does not let, or warns of.
    pub findings: Vec<Finding>,
    /// The name and the version of the chart that it is rendered from.
    pub chart: Option<(String, String)>,
}

impl AppSide {
    pub fn objects(&self) -> Option<&WantedApp> {
        self.wanted.as_deref().ok()
    }
}

/// What was seen in the cluster.
pub struct LiveSide {
    /// Of the apps that change, as `fairlead plan` has it.
    pub plan: PlanReport,
    /// The quotas of the namespaces in which something changes.
    pub quotas: Vec<Quota>,
    /// Secrets and ConfigMaps that pods name and git does not have, and that are not in the cluster either.
    pub missing: BTreeSet<ObjectKey>,
    /// Secrets outside of the cluster that cannot be used: the app, and why.
    pub unreadable: Vec<(AppName, String)>,
}

/// A ResourceQuota as it is in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    pub namespace: String,
    pub name: String,
    /// `spec.hard` and `status.used`.
    pub hard: Value,
    pub used: Value,
}

/// Why something does not roll out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The whole environment where it names none.
    pub app: Option<AppName>,
    pub why: String,
}
