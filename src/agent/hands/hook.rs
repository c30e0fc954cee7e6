//! Does what an app wants done for its hooks. What was decided is remembered first, or the Job is not made; how it ended is
//! remembered before anyone goes on from there.

use tokio_util::sync::CancellationToken;

use super::Hands;
use super::reasons::reasons;
use super::write::enter;
use crate::cluster::{delete_job, end_job, job_uid, make_hook, start_ttl};
use crate::delivery::{Event, HookDone, HookWork, Tidy, TidyUp, What};
use crate::health::pods::{self, PodProblem};
use crate::object::{AppName, chain};
use crate::plan::{Hook, RefusalKind};
use crate::state::{Change, HookMemory, HookRun, HookStage, Hooks, Quarantine};

/// What an app remembers of its hooks, while that is changed.
pub(super) struct Notes<'a> {
    pub hands: &'a Hands,
    pub app: &'a AppName,
    pub hooks: Hooks,
    pub quarantine: Option<Quarantine>,
}

impl Notes<'_> {
    fn of(&mut self, name: &str) -> &mut HookMemory {
        self.hooks.entry(name.to_owned()).or_default()
    }

    async fn save(&self) -> Result<(), String> {
        let (app, hooks, quarantine) = (self.app.clone(), self.hooks.clone(), self.quarantine.clone());
        self.remember(vec![Change::Hooks { app, hooks, quarantine }]).await
    }

    async fn remember(&self, changes: Vec<Change>) -> Result<(), String> {
        match &self.hands.store {
            Some(store) => {
                let saved = store.save(changes).await;
                saved
                    .map_err(|error| format!("what becomes of hooks cannot be remembered: {}", chain(&error)))
            }
            None => Ok(()),
        }
    }
}

pub(super) async fn work(
    mut notes: Notes<'_>,
    work: HookWork,
    remember: Vec<Change>,
    stop: &CancellationToken,
) -> Event {
    let done = match notes.remember(remember).await {
        Ok(()) => done(&mut notes, work, stop).await,
        Err(why) => HookDone::failed(why),
    };
    if let Some(live) = &done.made {
        notes.hands.index.note_write(live.clone());
    }
    Event::Hooked(Box::new(done))
}

async fn done(notes: &mut Notes<'_>, work: HookWork, stop: &CancellationToken) -> HookDone {
    match work {
        HookWork::Make { hook, run } => make(notes, &hook, run, stop).await,
        HookWork::End { name, run, failed, job, last_words } => {
            let result = match failed {
                None => Ok(()),
                Some(why) => {
                    let words = reasons(notes.hands, job.as_slice(), last_words).await;
                    Err(std::iter::once(why).chain(words).collect::<Vec<_>>().join("; "))
                }
            };
            end(notes, &name, &run, result).await
        }
        HookWork::Look { name, run } => match job_uid(&notes.hands.session, &run.job).await {
            Ok(uid) if uid == run.uid => HookDone { later: true, ..HookDone::default() },
            Ok(_) => {
                let why = "somebody deleted its Job before it ended, and nobody knows what it did".to_owned();
                end(notes, &name, &run, Err(why)).await
            }
            Err(error) => HookDone::failed(chain(&error)),
        },
        HookWork::Probe { name, run } => match never_ran(notes.hands, &run).await {
            Some(why) => end(notes, &name, &run, Err(why)).await,
            None => HookDone { probed: true, ..HookDone::default() },
        },
        HookWork::Tidy { jobs } => tidy(notes, jobs).await,
    }
}

/// Ends the Job of a hook whose image cannot be had and of which nothing ever ran: else a commit that puts it right would wait
/// for the end of its time. Says why; `None` where it is left alone.
async fn never_ran(hands: &Hands, run: &HookRun) -> Option<String> {
    let (namespace, uid) = (run.job.namespace.as_deref()?, run.uid.as_deref()?);
    let (selector, reader) = (format!("job-name={}", run.job.name), hands.identity.as_ref());
    let found = hands.environments.pods(namespace, &selector, reader).await;
    let problem = pods::never_ran(&pods::owned_by(uid, found.ok()?))?;
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
    // A Job that is begun is not stopped by a gate that closes: whoever closes it stops Jobs, too.
    let _pass = match enter(hands, std::iter::once(&*hook.job)) {
        Ok(pass) => pass,
        Err(why) => return HookDone::failed(why),
    };
    let (identity, replaces) = (hands.identity.as_ref(), run.replaces.as_deref());
    let made = make_hook(&hands.session, hook, run.limit, replaces, identity, stop).await;
    let mut done = HookDone { hooks: Some(notes.hooks.clone()), ..HookDone::default() };
    match made {
        Ok(None) => {}
        Ok(Some(live)) => {
            if let Some(run) = notes.of(&name).run_mut(&run.identity) {
                (run.stage, run.uid, run.replaces) = (HookStage::Made, Some(live.uid.clone()), None);
            }
            // Should this fail, another process finds the Job by its name, and knows it as ours by what it bears.
            done.failed = notes.save().await.err();
            done.hooks = Some(notes.hooks.clone());
            done.told.push(What::HookStarted { job: hook.job.key.clone() });
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
        Ok(()) => What::HookSucceeded { job: run.job.clone() },
        Err(why) => What::HookFailed { job: run.job.clone(), why },
    };
    HookDone { hooks: Some(notes.hooks.clone()), told: vec![told], ..HookDone::default() }
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
            told.push(What::HookNotTidied { job: run.job.clone(), why: chain(error) });
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
        Ok(()) => HookDone { hooks: Some(notes.hooks.clone()), told, ..HookDone::default() },
        Err(why) => HookDone { told, ..HookDone::failed(why) },
    }
}
