//! Why a field is not written back.

use std::fmt;

use super::Wish;

/// A wish that is not fulfilled.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub wish: Wish,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("the object is gone, and what to take out of git with it is for a person to say")]
    Gone,
    #[error("values of Secrets are never written into git")]
    Secret,
    #[error("this is the agent's own mark or the object's identity, and not git's to set")]
    OurMark,
    #[error("the tree has no such app")]
    NoSuchApp,
    #[error("the tree has no such object")]
    NoSuchObject,
    #[error("its app cannot be rendered: {0}")]
    Broken(String),
    #[error("it is set by {0}, which no line of the tree says alone")]
    NoWay(&'static str),
    #[error("it is written there in a way that cannot be changed with certainty")]
    NotCertain,
    #[error("rendered again, the field would be {0}")]
    NotTheField(String),
    #[error("that would change {what} of {environment}/{app}, too")]
    Another { environment: String, app: String, what: String },
    #[error("{environment}/{app} could not be rendered any more: {problem}")]
    Breaks { environment: String, app: String, problem: String },
    #[error("{environment}/{app} reads it, too, and cannot be rendered as it is")]
    Unknown { environment: String, app: String },
    #[error("{}", tried(.0))]
    Tried(Vec<(String, Why)>),
}

fn tried(all: &[(String, Why)]) -> String {
    all.iter().map(|(how, why)| format!("{how}: {why}")).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish { environment, app, object, path, .. } = &self.wish;
        let field = if path.0.is_empty() { String::new() } else { format!(" .{path}") };
        write!(f, "{environment}/{app} {object}{field}: {}", self.why)
    }
}
