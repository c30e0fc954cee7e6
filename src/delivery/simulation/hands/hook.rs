//! Makes the Jobs of hooks, and remembers what became of them.

use std::sync::Arc;

use super::{Progress, Reach, Save, Work, note, unreachable};
use crate::delivery::simulation::chance::Luck;
use crate::delivery::{Event, HookDone, HookWork, Ticket, TidyUp, What};
use crate::object::{AppName, Live};
use crate::state::{Change, HookStage, Hooks, Quarantine};

pub struct HookHand {
    ticket: Ticket,
    app: AppName,
    work: HookWork,
    hooks: Hooks,
    quarantine: Option<Quarantine>,
    remember: Vec<Change>,
    stage: Stage,
    done: HookDone,
}

enum Stage {
    Begin,
    /// It is remembered that a Job is about to be made.
    Intend(Save),
    /// A question, or a request that changes something.
    Ask,
    Make(Luck),
    Replace,
    /// What became of it is remembered.
    End(Save),
}

impl HookHand {
    pub fn new(
        (ticket, app): (Ticket, AppName),
        work: HookWork,
        (hooks, quarantine): (Hooks, Option<Quarantine>),
        remember: Vec<Change>,
    ) -> Self {
        let (stage, done) = (Stage::Begin, HookDone::default());
        Self { ticket, app, work, hooks, quarantine, remember, stage, done }
    }

    fn save(&mut self) -> Save {
        let mut changes = std::mem::take(&mut self.remember);
        let (app, hooks, quarantine) = (self.app.clone(), self.hooks.clone(), self.quarantine.clone());
        changes.push(Change::Hooks { app, hooks, quarantine });
        Save::new(changes)
    }

    fn fail(&mut self, why: &str) -> Progress {
        self.done.failed = Some(why.to_owned());
        self.end()
    }

    fn end(&mut self) -> Progress {
        Progress::Ended(Event::Hooked(Box::new(std::mem::take(&mut self.done))))
    }

    /// Notes how the Job of this work ended, and goes on to remember that.
    fn note_end(&mut self, result: Result<(), String>, reach: &mut Reach) -> Progress {
        let (HookWork::End { name, run, .. } | HookWork::Look { name, run }) = &self.work else {
            return self.end();
        };
        let what = match &result {
            Ok(()) => What::HookSucceeded { job: run.job.clone() },
            Err(why) => What::HookFailed { job: run.job.clone(), why: why.clone() },
        };
        self.done.told.push(what);
        self.hooks.entry(name.clone()).or_default().end(&run.identity, result);
        self.stage = Stage::End(self.save());
        Progress::Until(reach.chance.now)
    }

    fn begin(&mut self, reach: &mut Reach) -> Progress {
        match self.work.clone() {
            HookWork::Make { hook, run } => {
                self.hooks.entry(hook.key.to_string()).or_default().intend(run);
                self.stage = Stage::Intend(self.save());
                Progress::Until(reach.chance.now)
            }
            HookWork::End { failed, .. } => self.note_end(failed.map_or(Ok(()), Err), reach),
            HookWork::Look { .. } | HookWork::Probe { .. } | HookWork::Tidy { .. } => {
                self.stage = Stage::Ask;
                Progress::Until(reach.chance.way())
            }
        }
    }

    fn ask(&mut self, reach: &mut Reach, awaited: bool) -> Progress {
        if reach.chance.luck() != Luck::Good {
            return self.fail(unreachable().why());
        }
        match self.work.clone() {
            HookWork::Look { run, .. } => {
                let uid = reach.server.objects.get(&run.job).map(|job| job.live.uid.clone());
                if uid == run.uid {
                    self.done.later = true;
                    return self.end();
                }
                self.note_end(Err("somebody deleted its Job before it ended".to_owned()), reach)
            }
            HookWork::Probe { .. } => {
                self.done.probed = true;
                self.end()
            }
            HookWork::Tidy { jobs } => {
                for tidy in jobs {
                    let uid = tidy.run.uid.as_deref();
                    if tidy.what == TidyUp::Delete && uid.is_some() {
                        reach.server.delete(&tidy.run.job, uid, reach.chance);
                    }
                    let memory = self.hooks.entry(tidy.name).or_default();
                    match tidy.what {
                        TidyUp::Ttl(_) => {
                            memory.run_mut(&tidy.run.identity).into_iter().for_each(|run| run.tidy = true);
                        }
                        _ => memory.runs.retain(|run| run.identity != tidy.run.identity),
                    }
                }
                self.stage = Stage::End(self.save());
                Progress::Until(reach.chance.now)
            }
            HookWork::Make { hook, run } => {
                if let Some(found) = reach.server.objects.get(&hook.job.key) {
                    let (live, deleting) = (found.live.clone(), found.live.deleting);
                    if deleting {
                        return self.fail("it is being deleted");
                    }
                    if Some(&live.uid) != run.replaces.as_ref() {
                        return self.made(&live, reach);
                    }
                    reach.server.delete(&hook.job.key, Some(&live.uid), reach.chance);
                    self.stage = Stage::Replace;
                    return Progress::Until(reach.chance.now + 5000);
                }
                if !awaited {
                    self.done.hooks = Some(self.hooks.clone());
                    return self.end();
                }
                reach.checks.writes(&self.ticket, &hook.job.key.name, reach.chance.now);
                self.stage = Stage::Make(reach.chance.luck());
                Progress::Until(reach.chance.way())
            }
            HookWork::End { .. } => self.end(),
        }
    }

    fn made(&mut self, live: &Arc<Live>, reach: &mut Reach) -> Progress {
        let HookWork::Make { hook, run } = &self.work else { return self.end() };
        note(reach, live);
        if let Some(run) = self.hooks.entry(hook.key.to_string()).or_default().run_mut(&run.identity) {
            (run.stage, run.uid, run.replaces) = (HookStage::Made, Some(live.uid.clone()), None);
        }
        self.done.told.push(What::HookStarted { job: live.key.clone() });
        self.done.made = Some((**live).clone());
        self.stage = Stage::End(self.save());
        Progress::Until(reach.chance.now)
    }

    fn create(&mut self, reach: &mut Reach) -> Option<Arc<Live>> {
        let HookWork::Make { hook, run } = &self.work else { return None };
        let limit = run.limit.unsigned_abs();
        let made = reach.server.create(&hook.job, limit, reach.chance);
        if made.is_some() {
            reach.checks.job_made(&self.ticket, &self.app, hook, reach.chance.now);
        }
        made.or_else(|| Some(reach.server.objects.get(&hook.job.key)?.live.clone()))
    }
}

impl Work for HookHand {
    fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Progress {
        match &mut self.stage {
            Stage::Begin => self.begin(reach),
            Stage::Intend(save) => match save.go_on(reach) {
                Err(at) => Progress::Until(at),
                Ok(Err(failure)) => self.fail(failure.why()),
                Ok(Ok(())) => {
                    self.done.hooks = Some(self.hooks.clone());
                    self.stage = Stage::Ask;
                    Progress::Until(reach.chance.way())
                }
            },
            Stage::Ask => self.ask(reach, awaited),
            Stage::Replace => {
                self.stage = Stage::Ask;
                Progress::Until(reach.chance.way())
            }
            Stage::Make(Luck::Failed) => self.fail("503"),
            Stage::Make(luck) => {
                let lost = *luck == Luck::Lost && reach.chance.one_of(2);
                match self.create(reach) {
                    Some(live) if !lost => self.made(&live, reach),
                    _ => self.fail("no answer"),
                }
            }
            Stage::End(save) => match save.go_on(reach) {
                Err(at) => Progress::Until(at),
                Ok(Err(failure)) => {
                    self.done.hooks = self.done.made.is_some().then(|| self.hooks.clone());
                    self.fail(failure.why())
                }
                Ok(Ok(())) => {
                    self.done.hooks = Some(self.hooks.clone());
                    self.end()
                }
            },
        }
    }

    fn arrive(&mut self, reach: &mut Reach) {
        match &mut self.stage {
            Stage::Intend(save) | Stage::End(save) => save.arrive(reach),
            Stage::Make(luck) if *luck != Luck::Failed => drop(self.create(reach)),
            _ => {}
        }
    }
}
