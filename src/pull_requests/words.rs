//! What is said of pull requests, on whatever forge.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::object::Revision;

/// The number of a pull request, by which people and the forge name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a comment. Every forge counts up, so the smaller one is the older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommentId(pub u64);

/// A pull request as its forge tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest {
    pub number: Number,
    /// The newest commit of what is to be merged.
    pub head: Revision,
    /// The branch into which it is to be merged.
    pub base: String,
    pub state: State,
    /// Differs once the forge has something new of it, a comment among other things.
    pub stamp: String,
    pub labels: Vec<String>,
    /// It comes from another repository, into which anybody may have pushed.
    pub is_fork: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Open,
    Merged {
        /// The commit of the base branch that has the change.
        revision: Revision,
        at: Timestamp,
    },
    Closed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comment {
    pub id: CommentId,
    /// By what the forge tells its accounts apart.
    pub author: String,
    /// The number of that account, where the forge gives it.
    pub account: Option<u64>,
    pub body: String,
    /// When it was written.
    pub at: Timestamp,
    /// Whether it may say something else than what was written then.
    pub edited: bool,
}

/// How a command in a comment is answered at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It is done, or asked for.
    Taken,
    Refused,
}

/// What a commit's status, or check, says of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name, which branch protection can ask for.
    pub context: String,
    pub state: StatusState,
    /// One line.
    pub description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusState {
    Pending,
    Success,
    Failure,
    /// Nobody could say.
    Error,
}

/// Why a forge did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It was not done, and asking again does not help by itself.
    #[error("the forge refuses: {0}")]
    Refused(String),
    /// It was not done, because we ask too often.
    #[error("the forge wants nothing to be asked before {until}")]
    Limited { until: Timestamp },
    /// It was not done; it may work later.
    #[error("{0}")]
    Away(String),
    /// Whether it was done is not known.
    #[error("{0}")]
    Unknown(String),
}
