//! Does what an app wants done for its hooks. What was decided is remembered first, or the Job is not made; how it ended is
//! remembered before anyone goes on from there.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::driver::Hands;
use super::explain::explain;
use crate::cluster::{chain, delete_job, end_job, job_uid, make_hook, start_ttl};
use crate::health::pods::{self, PodProblem};
use crate::object::{AppName, Live, ObjectKey};
use crate::plan::{Hook, Refusal, RefusalKind, Wanted};
use crate::state::{HookMemory, HookRun, HookStage, Hooks, Quarantine};

/// What is to be done for a hook, by the name that it is remembered under.
pub enum HookWork {
    /// Make its Job.
    Make { hook: Arc<Hook>, run: HookRun, stop: CancellationToken },
    /// Its Job ended: well, or as it says.
    End { name: String, run: HookRun, failed: Option<String>, job: Option<Arc<Wanted>> },
    /// Its Job is not seen any more.
    Look { name: String, run: HookRun },
    /// Its Job takes its time.
    Probe { name: String, run: HookRun },
    /// What is left to do with Jobs that ended.
    Tidy { jobs: Vec<Tidy> },
}

/// A Job that ended.
pub struct Tidy {
    pub name: String,
    pub run: HookRun,
    pub what: TidyUp,
}

pub enum TidyUp {
    Delete,
    /// Its time to live begins.
    Ttl(i64),
    /// It is gone.
    Forget,
}

/// What came of it.
pub struct HookDone {
    /// What is remembered now; `None` where nothing changed.
    pub hooks: Option<Hooks>,
    /// The Job as the server answered.
    pub made: Option<Live>,
    /// The server does not take the Job.
    pub refused: Option<Refusal>,
    /// It could not be done now.
    pub failed: Option<String>,
    /// There is nothing new yet.
    pub later: bool,
    /// Its pods were looked at, and there is nothing to say.
    pub probed: bool,
    /// What to tell: whether it is bad, the reason, the words.
    pub told: Vec<(bool, &'static str, String)>,
}

impl HookDone {
    fn nothing() -> Self {
        Self {
            hooks: None,
            made: None,
            refused: None,
            failed: None,
            later: false,
            probed: false,
            told: Vec::new(),
        }
    }

    fn failed(why: String) -> Self {
        Self { failed: Some(why), ..Self::nothing() }
    }
}

/// What an app remembers of its hooks, while that is changed.
pub struct Notes<'a> {
    pub hands: &'a Hands,
    pub app: &'a AppName,
    pub hooks: Hooks,
    pub quarantine: Option<&'a Quarantine>,
}

impl Notes<'_> {
    fn of(&mut self, name: &str) -> &mut HookMemory {
        self.hooks.entry(name.to_owned()).or_default()
    }

    async fn save(&self) -> Result<(), String> {
        match &self.hands.keeper {
            Some(keeper) => {
                let saved = keeper.hooks(self.app, &self.hooks, self.quarantine).await;
                saved
                    .map_err(|error| format!("what becomes of hooks cannot be remembered: {}", chain(&error)))
            }
            None => Ok(()),
        }
    }
}

pub async fn work(mut notes: Notes<'_>, work: HookWork) -> HookDone {
    match work {
        HookWork::Make { hook, run, stop } => make(&mut notes, &hook, run, &stop).await,
        HookWork::End { name, run, failed, job } => {
            let result = match failed {
                None => Ok(()),
                Some(why) => {
                    let words = explain(notes.hands, job.as_slice()).await;
                    Err(std::iter::once(why).chain(words).collect::<Vec<_>>().join("; "))
                }
            };
            end(&mut notes, &name, &run, result).await
        }
        HookWork::Look { name, run } => match job_uid(&notes.hands.session, &run.job).await {
            Ok(uid) if uid == run.uid => HookDone { later: true, ..HookDone::nothing() },
            Ok(_) => {
                let why = "somebody deleted its Job before it ended, and nobody knows what it did".to_owned();
                end(&mut notes, &name, &run, Err(why)).await
            }
            Err(error) => HookDone::failed(chain(&error)),
        },
        HookWork::Probe { name, run } => match never_ran(notes.hands, &run).await {
            Some(why) => end(&mut notes, &name, &run, Err(why)).await,
            None => HookDone { probed: true, ..HookDone::nothing() },
        },
        HookWork::Tidy { jobs } => tidy(&mut notes, jobs).await,
    }
}

/// Ends the Job of a hook whose image cannot be had and of which nothing ever ran: else a commit that puts it right would wait
/// for the end of its time. Says why; `None` where it is left alone.
async fn never_ran(hands: &Hands, run: &HookRun) -> Option<String> {
    let (namespace, uid) = (run.job.namespace.as_deref()?, run.uid.as_deref()?);
    let found = hands.environments.pods(namespace, &format!("job-name={}", run.job.name)).await;
    let problem = pods::never_ran(&found.ok()?)?;
    match end_job(&hands.session, &run.job, uid, hands.identity.as_ref()).await {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            tracing::warn!(error = %chain(&error), job = %run.job, "it runs nothing, and cannot be ended");
            return None;
        }
    }
    let PodProblem { pod, reason, message, .. } = problem;
    Some(format!("pod {pod} {reason}: {message}; nothing of it ran, and it was deleted"))
}

async fn make(notes: &mut Notes<'_>, hook: &Hook, run: HookRun, stop: &CancellationToken) -> HookDone {
    let name = hook.key.to_string();
    notes.of(&name).intend(run.clone());
    if let Err(why) = notes.save().await {
        return HookDone::failed(why);
    }
    let hands = notes.hands;
    let (identity, replaces) = (hands.identity.as_ref(), run.replaces.as_deref());
    let made = make_hook(&hands.session, hook, run.limit, replaces, identity, stop).await;
    let mut done = HookDone { hooks: Some(notes.hooks.clone()), ..HookDone::nothing() };
    match made {
        Ok(None) => {}
        Ok(Some(live)) => {
            if let Some(run) = notes.of(&name).run_mut(&run.identity) {
                (run.stage, run.uid, run.replaces) = (HookStage::Made, Some(live.uid.clone()), None);
            }
            // Should this fail, the Job is found by its name, and is known as ours by what it bears.
            match notes.save().await {
                Ok(()) => done.hooks = Some(notes.hooks.clone()),
                Err(why) => done.failed = Some(why),
            }
            done.told.push((false, "HookStarted", format!("{} runs", hook.job.key)));
            done.made = Some(live);
        }
        Err(refusal) => match refusal.kind {
            RefusalKind::Unreachable | RefusalKind::BeingDeleted | RefusalKind::Conflict => {
                done.failed = Some(refusal.to_string());
            }
            _ => done.refused = Some(refusal),
        },
    }
    done
}

async fn end(notes: &mut Notes<'_>, name: &str, run: &HookRun, result: Result<(), String>) -> HookDone {
    notes.of(name).end(&run.identity, result.clone());
    if let Err(why) = notes.save().await {
        return HookDone::failed(why);
    }
    let told = match result {
        Ok(()) => (false, "HookSucceeded", format!("{} succeeded", run.job)),
        Err(why) => (true, "HookFailed", format!("{} failed: {why}", run.job)),
    };
    HookDone { hooks: Some(notes.hooks.clone()), told: vec![told], ..HookDone::nothing() }
}

/// None of this is worth a halt: what cannot be done is told, and not tried again before the next start.
async fn tidy(notes: &mut Notes<'_>, jobs: Vec<Tidy>) -> HookDone {
    let hands = notes.hands;
    let mut told = Vec::new();
    for Tidy { name, run, what } in jobs {
        let (session, identity) = (&hands.session, hands.identity.as_ref());
        let uid = run.uid.as_deref().unwrap_or_default();
        let result = match what {
            TidyUp::Forget => Ok(()),
            TidyUp::Delete => delete_job(session, &run.job, uid, identity).await,
            TidyUp::Ttl(seconds) => start_ttl(session, &run.job, uid, seconds, identity).await,
        };
        if let Err(error) = &result {
            told.push((true, "HookNotTidied", format!("{} stays as it is: {}", run.job, chain(error))));
        }
        let memory = notes.of(&name);
        if matches!(what, TidyUp::Ttl(_)) || result.is_err() {
            if let Some(run) = memory.run_mut(&run.identity) {
                run.tidy = true;
            }
        } else {
            memory.runs.retain(|other| other.identity != run.identity);
        }
    }
    match notes.save().await {
        Ok(()) => HookDone { hooks: Some(notes.hooks.clone()), told, ..HookDone::nothing() },
        Err(why) => HookDone { told, ..HookDone::failed(why) },
    }
}

/// The Job of a hook, for whoever asks its pods.
pub fn job_of(hooks: &[Arc<Hook>], key: &ObjectKey) -> Option<Arc<Wanted>> {
    hooks.iter().find(|hook| hook.job.key == *key).map(|hook| hook.job.clone())
}
