//! Does a step of a re-point. Most are a change of what runs here, which is done when every app runs by it; some have a Job of
//! the team.

use std::future::pending;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::jobs::{JobRun, Purpose};
use super::seen::Standing;
use crate::cluster::uptime;
use crate::region::{Epoch, Moment, Next, RegionStep, Run, Settings, StepOutcome};

/// What is refused may pass: a namespace or a right may come. After so long it is the step's failure.
const STUCK_FOR: Duration = Duration::from_secs(20);

/// The step that is done now.
#[derive(Default)]
pub struct Stepper {
    at: Option<(Epoch, RegionStep, u32)>,
    outcome: Option<StepOutcome>,
    job: Option<AbortOnDropHandle<Result<(), String>>>,
    stuck_since: Option<Moment>,
    /// What it waits for, for people.
    waits_for: Option<String>,
}

impl Stepper {
    /// What came of the step that was begun last, if it was of this run.
    pub fn outcome(&self, run: Option<&Run>) -> Option<(RegionStep, u32, StepOutcome)> {
        let (epoch, step, attempt) =
            self.at.filter(|(epoch, ..)| run.is_some_and(|run| run.epoch == *epoch))?;
        let _ = epoch;
        Some((step, attempt, self.outcome.clone()?))
    }

    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// Goes on with what is next, and says whether a Job was begun. `job` begins it, or finds the one that was begun before.
    pub fn go_on(
        &mut self,
        run: &Run,
        next: Option<&Next>,
        standing: &Standing,
        settings: &Settings,
        job: impl FnOnce(JobRun) -> JoinHandle<Result<(), String>>,
    ) -> bool {
        let Some(Next::Do { step, attempt }) = next else {
            self.waits_for = None;
            return false;
        };
        let at = (run.epoch, *step, *attempt);
        if self.at != Some(at) {
            *self = Self { at: Some(at), ..Self::default() };
        }
        if self.outcome.is_some() || self.job.is_some() {
            return false;
        }
        if run.is_drill() {
            self.outcome = Some(StepOutcome::Failed("drills are not acted out yet".to_owned()));
            return false;
        }
        if changes_what_runs(*step) {
            match standing {
                Standing::Ready => self.stuck_since = None,
                Standing::Going(why) => {
                    (self.stuck_since, self.waits_for) = (None, Some(why.clone()));
                    return false;
                }
                Standing::Stuck(why) => {
                    let since = *self.stuck_since.get_or_insert_with(uptime);
                    self.waits_for = Some(why.clone());
                    if uptime() >= since + STUCK_FOR {
                        self.outcome = Some(StepOutcome::Failed(why.clone()));
                    }
                    return false;
                }
            }
        }
        match settings.steps.get(step).and_then(|step| step.job.as_ref()) {
            None => {
                self.outcome = Some(StepOutcome::Done);
                false
            }
            Some(file) => {
                self.waits_for = Some(format!("the Job of {file}"));
                let purpose = Purpose::Step { step: *step, attempt: *attempt, epoch: run.epoch };
                let (from, to) = (run.from.clone(), run.to.clone());
                let begun = job(JobRun { file: file.clone(), purpose, from, to });
                self.job = Some(AbortOnDropHandle::new(begun));
                true
            }
        }
    }

    /// Until the Job of a step has ended; what came of it is known then.
    pub async fn ended(&mut self) {
        let Some(job) = &mut self.job else { return pending().await };
        let ended =
            job.await.unwrap_or_else(|error| Err(format!("what looks after its Job panicked: {error}")));
        self.job = None;
        self.outcome = Some(match ended {
            Ok(()) => StepOutcome::Done,
            Err(why) => StepOutcome::Failed(why),
        });
    }
}

/// Whether a step is done once all apps run what it has them run.
fn changes_what_runs(step: RegionStep) -> bool {
    matches!(
        step,
        RegionStep::ScaleTarget
            | RegionStep::Writers
            | RegionStep::CronAndConsumers
            | RegionStep::Traffic
            | RegionStep::Healthy
    )
}
