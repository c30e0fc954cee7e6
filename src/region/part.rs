//! What of an environment runs in a region at this moment.
//!
//! One value says it, so each step of a re-point is a change of that value, and is done when every app runs by it.

use super::fence::Fence;
use super::name::{Epoch, RegionName};
use super::settings::{Role, Warmth};
use super::state::{Decision, Here, State, Writers};
use super::step::RegionStep;

/// What runs in a region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    pub region: RegionName,
    /// Of what does not write.
    pub scale: Scale,
    /// The epoch at which writers run; nothing where they are stopped.
    pub writers: Option<Epoch>,
    /// The same of cron jobs and consumers, and of the autoscalers of all that is not scaled down.
    pub consumers: Option<Epoch>,
    /// Whether what leads traffic here is there.
    pub traffic: bool,
}

/// How much runs of what does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// As in the active region.
    Full,
    /// One replica of each.
    Warm,
    Nothing,
}

impl Part {
    /// What would run here if this region were the active one, at the next epoch there can be.
    pub fn as_active(&self) -> Self {
        Self::whole(self.region.clone())
    }

    /// All of it, as an active region has it at the last epoch there can be.
    pub fn whole(region: RegionName) -> Self {
        let epoch = Some(Epoch(u64::MAX));
        Self { region, scale: Scale::Full, writers: epoch, consumers: epoch, traffic: true }
    }

    /// What is to run here by what was decided. Where writers start again that were stopped, all else that needs them waits until
    /// they run: autoscalers leave alone what has no replicas.
    pub fn of(state: &State, decision: &Decision, fence: &Fence, here: Here<'_>, is_restart: bool) -> Self {
        let run = state.run().filter(|run| !run.is_drill());
        let Some(serving) = state.serving() else {
            let is_scaled = run.is_some_and(|run| !run.is_ended() && run.has_begun(RegionStep::ScaleTarget));
            let scale = match here.settings.role(here.me) {
                _ if is_scaled => Scale::Full,
                // Until it is known whose the environment is, the active region is what it would be as a standby.
                Role::Active | Role::Standby(Warmth::Warm) => Scale::Warm,
                Role::Standby(Warmth::Cold) | Role::None => Scale::Nothing,
            };
            return Self { region: here.me.clone(), scale, writers: None, consumers: None, traffic: false };
        };
        let begun = |step| run.is_none_or(|run| run.epoch != serving || run.has_begun(step));
        let may_run = decision.duties.writers != Writers::Stop && !fence.is_yielding();
        Self {
            region: here.me.clone(),
            scale: Scale::Full,
            writers: Some(serving).filter(|_| may_run && begun(RegionStep::Writers)),
            consumers: Some(serving)
                .filter(|_| may_run && !is_restart && begun(RegionStep::CronAndConsumers)),
            traffic: begun(RegionStep::Traffic),
        }
    }
}
