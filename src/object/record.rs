use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AppName, Digest, Revision};

/// Longer words are cut: a record is a line of a table.
const WHY_LIMIT: usize = 500;
const SUBJECT_LIMIT: usize = 100;

/// What became of one rollout of an app. It holds words that were told already, and never a value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    pub app: AppName,
    /// What was to run,
    pub digest: Digest,
    /// and what ran before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// The commit that brought it, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    pub outcome: Outcome,
    pub started: Timestamp,
    pub ended: Timestamp,
    /// How many objects were to be written.
    pub objects: u32,
    /// The person whose word it was, where it was not git's: as the API server knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The versions of the secrets that it was to run with, by their references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Box<str>>,
}

/// A commit, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub revision: Revision,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
}

impl Commit {
    pub fn new(revision: Revision, author: &str, subject: &str) -> Self {
        Self { revision, author: cut(author, SUBJECT_LIMIT), subject: cut(subject, SUBJECT_LIMIT) }
    }
}

impl RolloutRecord {
    /// With a reason, as long as a line may be.
    #[must_use]
    pub fn because(mut self, why: &str) -> Self {
        self.why = Some(cut(why, WHY_LIMIT));
        self
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It runs and passed its gates.
    Done,
    /// It failed, and what ran before runs again.
    Restored,
    /// It failed, and what ran before could not be put back or failed as well.
    RestoreFailed,
    /// It failed, and waits for a person.
    Halted,
    /// A newer commit took over.
    Preempted,
    /// Nothing was written.
    Refused,
    /// A person wanted it back, and it runs.
    RolledBack,
    /// A person wanted it back, and it failed.
    RollbackFailed,
}

impl Outcome {
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Restored,
        Self::RestoreFailed,
        Self::Halted,
        Self::Preempted,
        Self::Refused,
        Self::RolledBack,
        Self::RollbackFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Restored => "restored",
            Self::RestoreFailed => "restoreFailed",
            Self::Halted => "halted",
            Self::Preempted => "preempted",
            Self::Refused => "refused",
            Self::RolledBack => "rolledBack",
            Self::RollbackFailed => "rollbackFailed",
        }
    }
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_one_word_everywhere() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }

    #[test]
    fn long_words_are_cut_between_letters() {
        assert_eq!(cut("ääää", 2), "ää…");
        assert_eq!(cut("ää", 2), "ää");
    }
}
