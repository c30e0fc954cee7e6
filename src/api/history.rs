use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Digest, Outcome, Revision, RolloutRecord};

/// What became of one rollout of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordStatus {
    /// `done`, `restored`, `restoreFailed`, `halted`, `preempted`, `refused`, `rolledBack` or `rollbackFailed`.
    #[schemars(with = "String")]
    pub outcome: Outcome,
    /// What was to run,
    #[schemars(with = "String")]
    pub digest: Digest,
    /// and what ran before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub from: Option<Digest>,
    /// The commit that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub started: String,
    pub ended: String,
    /// How many objects were to be written.
    #[serde(default)]
    #[schemars(with = "i64")]
    pub objects: u32,
    /// The person whose word it was, where it was not git's: as the API server knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The versions of the secrets that it was to run with, by their references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

impl From<&RolloutRecord> for RecordStatus {
    fn from(record: &RolloutRecord) -> Self {
        let time = |at: jiff::Timestamp| at.round(jiff::Unit::Second).unwrap_or(at).to_string();
        let commit = record.commit.as_ref();
        let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            outcome: record.outcome,
            digest: record.digest.clone(),
            from: record.from.clone(),
            revision: commit.map(|commit| commit.revision.clone()),
            author: commit.and_then(|commit| said(&commit.author)),
            subject: commit.and_then(|commit| said(&commit.subject)),
            started: time(record.started),
            ended: time(record.ended),
            objects: record.objects,
            by: record.by.clone(),
            why: record.why.clone(),
            secrets: record
                .secrets
                .iter()
                .map(|(name, version)| (name.clone(), version.to_string()))
                .collect(),
        }
    }
}
