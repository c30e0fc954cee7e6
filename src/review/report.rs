//! The report: what `--format json` prints, as docs/report.md documents it.

use serde::Serialize;

use super::drifted::Drifting;
use super::risk::{Risk, Severity};
use crate::object::{Digest, DriftRecord, Place, Problem};
use crate::plan::FieldChange;
use crate::report::PruneReport;

/// What a change does to environments.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of the form of this document: 1.
    pub version: u32,
    /// What people call the cluster, where it has a name.
    pub cluster: Option<String>,
    pub base: Side,
    pub head: Side,
    pub verdict: Verdict,
    pub environments: Vec<EnvironmentReport>,
}

/// One side of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// The commit; `None` where the files were read as they lie in the folder.
    pub revision: Option<String>,
    /// What it is, in words.
    pub what: String,
}

/// The short of a report. The graver ones come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing changes.
    Nothing,
    /// Something changes, and no risk is more than a note.
    Changes,
    /// Somebody should look at the risks.
    Risky,
    /// An app or more would not be applied at all.
    Refused,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentReport {
    pub environment: String,
    pub verdict: Verdict,
    /// Whether it was compared with the cluster, too.
    pub live: bool,
    /// Why not, where it should have been.
    pub unseen: Option<String>,
    pub counts: Counts,
    pub risks: Vec<Risk>,
    /// The apps in which anything changes, or that cannot be applied.
    pub apps: Vec<AppReport>,
    /// What is in the cluster otherwise than git had it before this change, and would be overwritten.
    pub drift: Vec<Drift>,
    /// What has drifted and is not written over, as the history knows it; for people alone, and not looked for otherwise.
    #[serde(skip)]
    pub stays: Vec<Drifting>,
    /// What would be deleted, and what stands in the way; `None` where nothing leaves git, or nobody looked.
    pub prune: Option<PruneReport>,
}

/// How many objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub create: usize,
    pub update: usize,
    pub recreate: usize,
    pub delete: usize,
    /// Workloads whose pods are replaced because of what they read, and that are as they were otherwise.
    pub restart: usize,
    pub unchanged: usize,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppReport {
    pub app: String,
    pub state: AppState,
    /// SHA-256 of what it renders to.
    pub digest: Option<Digest>,
    /// What is wrong with its files.
    pub problems: Vec<Problem>,
    pub objects: Vec<ObjectChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AppState {
    Added,
    Changed,
    Removed,
    /// Nothing of it would be applied.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    Delete,
    Recreate,
    Update,
    Create,
    Restart,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Recreate => "recreate",
            Self::Update => "update",
            Self::Create => "create",
            Self::Restart => "restart",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    pub action: Action,
    /// `Kind.group namespace/name`.
    pub object: String,
    pub place: Place,
    /// The app that it belonged to before, where that was another.
    pub moved_from: Option<String>,
    /// The fields that change in git. Empty where it is made, goes or restarts.
    pub changes: Vec<FieldChange>,
    /// The secrets outside of git that it refers to, where these or their versions change.
    pub secrets: Vec<SecretUse>,
    /// The whole of what is made, with no value of a Secret, for people alone.
    #[serde(skip)]
    pub made: Option<serde_json::Value>,
}

/// A secret that an object refers to: its version, or `referred to` where that is not known; `None` where it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretUse {
    pub secret: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// What is live otherwise than git had it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    pub app: String,
    pub object: String,
    pub cause: DriftCause,
    /// From what is live to what would be.
    pub changes: Vec<FieldChange>,
    /// Who did it and since when, as the history knows it; for people alone.
    #[serde(skip)]
    pub records: Vec<DriftRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftCause {
    /// Somebody changed it in the cluster.
    Changed,
    /// Somebody deleted it in the cluster, or it was never applied.
    Missing,
    /// The cluster runs something older than git had before this change.
    Behind,
    /// It left git before this change, and is still there.
    LeftOver,
}

impl EnvironmentReport {
    pub fn has_changes(&self) -> bool {
        let Counts { create, update, recreate, delete, restart, unchanged: _ } = self.counts;
        create + update + recreate + delete + restart > 0 || !self.apps.is_empty() || !self.drift.is_empty()
    }
}

impl Report {
    pub fn has_changes(&self) -> bool {
        self.environments.iter().any(EnvironmentReport::has_changes)
    }

    pub fn is_refused(&self) -> bool {
        self.verdict == Verdict::Refused
    }

    pub fn risks(&self) -> impl Iterator<Item = &Risk> {
        self.environments.iter().flat_map(|environment| &environment.risks)
    }

    /// The gravest risk.
    pub fn severity(&self) -> Option<Severity> {
        self.risks().map(|risk| risk.severity).max()
    }
}
