//! Where an environment stands in its region, for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an environment stands in the region of this cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionStatus {
    /// The region that this cluster is in.
    pub region: String,
    /// What it is by what git and people say: `active`, `standby`, or `none`.
    pub role: String,
    /// The region that is meant to be active.
    pub active: String,
    /// The epoch at which it is meant to be.
    #[schemars(with = "i64")]
    pub epoch: u64,
    /// Whether writers run here: `running`, `starting`, `stopping`, `stopped`, or `kept` while the shared place was not read.
    pub writers: String,
    /// Nothing is deployed nor deleted here, for a re-point.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// What stands in the shared place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<HolderStatus>,
    /// What is wrong: with what git says, or with the shared place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The re-point that is under way here, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RegionRunStatus>,
    /// What a move to this region would need, as far as it is no standby's fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub readiness: Vec<ReadinessStatus>,
    /// When readiness was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked: Option<String>,
}

/// Who holds an environment, by the shared place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HolderStatus {
    pub region: String,
    #[schemars(with = "i64")]
    pub epoch: u64,
    /// `held`, or `released`.
    pub hold: String,
    /// What it means that the holder is silent: `stop` or `run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence: Option<String>,
    /// Who wants to have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    /// The region that still takes down what ran there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drains: Option<String>,
}

/// How far a re-point is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionRunStatus {
    #[schemars(with = "i64")]
    pub epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub to: String,
    pub mode: String,
    pub by: String,
    pub began: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The step that it is at.
    pub step: String,
    /// `Going`, `Waiting`, `Halted`, or `Ended`.
    pub state: String,
    /// What it waits for, why it halted, or how it ended.
    pub message: String,
    /// What can be done about a halt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub choices: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<RegionStepStatus>,
    /// From its beginning to an application that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub recovery_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionStepStatus {
    pub step: String,
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub seconds: Option<u64>,
}

/// One thing that has to be so before a move to this region may begin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessStatus {
    /// `renders`, `secrets`, `images`, `capacity`, `foundation`, `data` or `sharedPlace`.
    pub check: String,
    /// `ready`, `missing`, `assumed` where nothing looks at it, or `unknown`.
    pub state: String,
    /// What is missing, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
