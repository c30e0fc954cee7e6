use std::fmt;

use serde::{Deserialize, Serialize};

/// What an object's own words say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Healthy,
    /// On its way, or not yet observed by its controller: wait.
    Progressing,
    /// It says that it failed; waiting alone is not expected to help.
    Failed,
    /// Someone asked it to stand still.
    Suspended,
    /// It says nothing that can be read.
    Unknown,
    /// It is not in the cluster.
    Missing,
    /// It is being deleted.
    Terminating,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Healthy,
        Self::Progressing,
        Self::Failed,
        Self::Suspended,
        Self::Unknown,
        Self::Missing,
        Self::Terminating,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Progressing => "progressing",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Terminating => "terminating",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict on one object, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    pub status: Status,
    /// One word in CamelCase, the operator's own where it gave one.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

/// The reason of a verdict on a status that nobody here can read.
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";

/// A message longer than this is cut: some operators put a whole log into a condition.
const MESSAGE_LIMIT: usize = 1024;

impl Health {
    pub fn new(status: Status, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), message: clip(message.into()) }
    }

    pub fn healthy(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Status::Healthy, reason, message)
    }

    pub fn progressing(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Status::Progressing, reason, message)
    }

    pub fn failed(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Status::Failed, reason, message)
    }

    pub fn suspended(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Status::Suspended, reason, message)
    }

    pub fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Status::Unknown, reason, message)
    }

    /// Whether it rests on nothing that could be read: of a kind that should say how it is, and says it in words that
    /// nobody here knows.
    pub fn is_unreadable(&self) -> bool {
        self.reason == NOT_UNDERSTOOD
    }

    pub fn terminating(message: impl Into<String>) -> Self {
        Self::new(Status::Terminating, "Terminating", message)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

fn clip(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT {
        let cut = (0..=MESSAGE_LIMIT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_in_lowercase() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn a_message_of_any_length_is_cut_between_characters() {
        let health = Health::failed("Long", "ä".repeat(4000));
        assert!(health.message.len() <= MESSAGE_LIMIT + '…'.len_utf8());
        assert!(health.message.ends_with('…'));
    }
}
