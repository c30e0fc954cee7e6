//! What is remembered of an app's hooks: which have ended well, and the Jobs that were made or about to be.
//!
//! ```text
//!            written before the Job is made      its uid, when the server answered      seen in its status
//! nothing ───────────────► Intended ───────────────────► Made ──────────┬──────────► Succeeded ──► `done`
//!                              ▲                           │ it is gone │
//!                              │ a person says so          ▼            ▼
//!                              └──────────────────────── Failed ◄───────┘
//! ```
//!
//! A Job that was made has no time to live until its end is remembered. So one that is not there although it is `Intended`
//! was never made; and one that was made and is gone was deleted, and nobody knows what it did.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::object::{Digest, ObjectKey};

/// So many that ended well are known by their identity: who goes back further in history runs a hook again.
const DONE: usize = 50;

/// By hook, as git has it, such as `Job.batch web/migrate`.
pub type Hooks = BTreeMap<String, HookMemory>;

/// What is remembered of one hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookMemory {
    /// The identities that ended well, the newest last, by their first digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    done: Vec<Box<str>>,
    /// Its Jobs that may be there, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<HookRun>,
}

/// A Job of a hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    pub identity: Digest,
    pub job: ObjectKey,
    pub stage: HookStage,
    /// What it bore when the server answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Box<str>>,
    /// The uid of one that failed and has to go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Box<str>>,
    /// When it was about to be made.
    pub begun: Timestamp,
    /// How many seconds it has.
    pub limit: i64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The last word of a person who wanted to try again, when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<String>,
    /// Nothing is left to do with the Job of one that ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tidy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookStage {
    Intended,
    Made,
    Succeeded,
    Failed,
}

impl HookMemory {
    pub fn is_done(&self, identity: &Digest) -> bool {
        self.done.iter().any(|done| **done == *identity.short())
    }

    pub fn run(&self, identity: &Digest) -> Option<&HookRun> {
        self.runs.iter().find(|run| run.identity == *identity)
    }

    pub fn run_mut(&mut self, identity: &Digest) -> Option<&mut HookRun> {
        self.runs.iter_mut().find(|run| run.identity == *identity)
    }

    /// Notes that a Job is about to be made. One that was made under this identity before goes first.
    pub fn intend(&mut self, run: HookRun) {
        self.runs.retain(|old| old.identity != run.identity);
        self.runs.push(run);
    }

    /// Notes how a Job ended.
    pub fn end(&mut self, identity: &Digest, result: Result<(), String>) {
        let well = result.is_ok();
        if let Some(run) = self.run_mut(identity) {
            run.stage = if well { HookStage::Succeeded } else { HookStage::Failed };
            run.why = result.err();
        }
        if well && !self.is_done(identity) {
            self.done.push(identity.short().into());
            let surplus = self.done.len().saturating_sub(DONE);
            self.done.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(identity: &str) -> HookRun {
        HookRun {
            identity: Digest::from(identity),
            job: ObjectKey::new("batch", "Job", Some("web"), "migrate-1"),
            stage: HookStage::Intended,
            uid: None,
            replaces: None,
            begun: Timestamp::UNIX_EPOCH,
            limit: 600,
            why: None,
            retried: None,
            tidy: false,
        }
    }

    #[test]
    fn what_ended_well_is_known_when_its_job_is_gone() {
        let mut memory = HookMemory::default();
        memory.intend(run("a"));
        memory.end(&Digest::from("a"), Ok(()));
        memory.runs.clear();
        let text = serde_json::to_string(&memory).unwrap();
        let memory: HookMemory = serde_json::from_str(&text).unwrap();
        assert!(memory.is_done(&Digest::from("a")) && !memory.is_done(&Digest::from("b")));
    }

    #[test]
    fn what_failed_is_not_done_and_says_why() {
        let mut memory = HookMemory::default();
        memory.intend(run("a"));
        memory.end(&Digest::from("a"), Err("no".to_owned()));
        assert!(!memory.is_done(&Digest::from("a")));
        assert_eq!(memory.run(&Digest::from("a")).unwrap().why.as_deref(), Some("no"));
        memory.intend(HookRun { replaces: Some("u".into()), ..run("a") });
        assert_eq!((memory.runs.len(), memory.runs[0].stage), (1, HookStage::Intended));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut memory = HookMemory::default();
        for n in 0..=DONE {
            memory.end(&Digest::of(n.to_string().as_bytes()), Ok(()));
        }
        assert!(!memory.is_done(&Digest::of(b"0")) && memory.is_done(&Digest::of(b"1")));
    }
}
