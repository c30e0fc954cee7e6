//! What an app wants done for its hooks, and what came of it.

use std::sync::Arc;

use super::fact::What;
use crate::object::{Live, ObjectKey};
use crate::plan::{Hook, Refusal, Wanted};
use crate::state::{HookRun, Hooks};

/// What is to be done for a hook, by the name that it is remembered under.
#[derive(Clone, Debug)]
pub enum HookWork {
    /// Make its Job.
    Make { hook: Arc<Hook>, run: HookRun },
    /// Remember that its Job ended: well, or as it says.
    End { name: String, run: HookRun, failed: Option<String>, job: Option<Arc<Wanted>>, last_words: bool },
    /// Ask for its Job, which is not seen any more.
    Look { name: String, run: HookRun },
    /// Look at the pods of its Job, which takes its time.
    Probe { name: String, run: HookRun },
    /// Do what is left to do with Jobs that ended.
    Tidy { jobs: Vec<Tidy> },
}

/// A Job that ended, and what is left to do with it.
#[derive(Clone, Debug)]
pub struct Tidy {
    pub name: String,
    pub run: HookRun,
    pub what: TidyUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TidyUp {
    Delete,
    /// Let its time to live begin.
    Ttl(i64),
    /// Forget it: it is gone.
    Forget,
}

/// What came of work for a hook.
#[derive(Debug, Default)]
pub struct HookDone {
    /// What is known now; `None` where nothing changed. It is remembered, but for a Job that was made where `failed` says why.
    pub hooks: Option<Hooks>,
    /// The Job as the server answered.
    pub made: Option<Live>,
    /// The server does not take the Job.
    pub refused: Option<Refusal>,
    /// Why it could not be done now.
    pub failed: Option<String>,
    /// There is nothing new yet.
    pub later: bool,
    /// Its pods were looked at, and there is nothing to say.
    pub probed: bool,
    pub told: Vec<What>,
}

impl HookDone {
    pub fn failed(why: String) -> Self {
        Self { failed: Some(why), ..Self::default() }
    }
}

/// The Job of a hook, for a look at its pods.
pub fn job_of(hooks: &[Arc<Hook>], key: &ObjectKey) -> Option<Arc<Wanted>> {
    hooks.iter().find(|hook| hook.job.key == *key).map(|hook| hook.job.clone())
}
