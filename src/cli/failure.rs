use std::error::Error;

use super::Exit;
use crate::agent::OnceError;
use crate::cluster::{CallError, ConnectError};
use crate::git::GitError;
use crate::object::{Problem, Problems, TreeError, chain};

/// What a user sees when something went wrong: what was tried, why it failed, what to do, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    hint: Option<String>,
}

impl Failure {
    /// Something failed that is not the caller's to change.
    pub fn error(attempt: &str, error: &dyn Error) -> Self {
        Self { exit: Exit::Error, message: format!("{attempt}: {}", chain(error)), hint: None }
    }

    pub fn input(message: impl Into<String>) -> Self {
        Self { exit: Exit::Input, message: message.into(), hint: None }
    }

    /// The caller lacks a right.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn print(&self) {
        eprintln!("error: {}", self.message);
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {hint}");
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::input(problems.to_string().replace('\n', "\nerror: "))
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::input(problem.to_string())
    }
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self::input(chain(&error))
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self { exit: Exit::Error, message: chain(&error), hint: None }
            .hint("KUBECONFIG or --kubeconfig names the file, --context the cluster in it")
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let failure = Self::error("asking the cluster failed", &error);
        match error.is_unserved() {
            true => failure.hint(
                "does the cluster have Fairlead's definitions? `fairlead crd | kubectl apply --server-side -f -`",
            ),
            false => failure,
        }
    }
}

impl From<OnceError> for Failure {
    fn from(error: OnceError) -> Self {
        match error {
            OnceError::Input(problems) => problems.into(),
            OnceError::NoSuchApp(_) => Self::input(error.to_string()),
            OnceError::Aws(_) => Self::error("the secrets cannot be read", &error),
            OnceError::Cluster(_) | OnceError::Watch(_) => {
                Self { exit: Exit::Error, message: chain(&error), hint: None }
            }
        }
    }
}
