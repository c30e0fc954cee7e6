use std::fmt;

use serde::Serialize;

use crate::health::Status;
use crate::object::{Digest, Place};
use crate::plan::{Hook, Moment};

/// A hook in a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReport {
    pub hook: String,
    pub moment: Moment,
    /// The Job that it is or would be.
    pub job: String,
    /// The digest of what it does.
    pub identity: Digest,
    pub place: Place,
    pub state: HookState,
}

/// What is seen of a hook's Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HookState {
    /// It is not there: it runs, unless the agent remembers that it did.
    Due,
    Runs,
    Succeeded,
    Failed,
}

impl HookReport {
    /// `job` is the health of its Job, where there is one.
    pub fn new(hook: &Hook, moment: Moment, job: Option<Status>) -> Self {
        let state = match job {
            None => HookState::Due,
            Some(Status::Healthy) => HookState::Succeeded,
            Some(Status::Failed) => HookState::Failed,
            Some(_) => HookState::Runs,
        };
        let (name, job) = (hook.key.to_string(), hook.job.key.to_string());
        let identity = hook.identity.clone();
        Self { hook: name, moment, job, identity, place: hook.place.clone(), state }
    }

    pub fn is_due(&self) -> bool {
        self.state == HookState::Due
    }
}

impl fmt::Display for HookReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, words) = match self.state {
            HookState::Due => ("▸", "runs once"),
            HookState::Runs => ("▸", "is running"),
            HookState::Succeeded => ("·", "succeeded, and does not run again"),
            HookState::Failed => ("✗", "failed; `fairlead retry` runs it again"),
        };
        let when = match self.moment {
            Moment::Before => "before the app changes",
            Moment::After => "after the last gate",
            Moment::Verify => "last of all, to verify",
        };
        write!(f, "{sign} hook {when}: {} {words}", self.job)
    }
}
