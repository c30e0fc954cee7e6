//! The steps of a re-point, in their order, and what may be done with each.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a re-point goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The old region helps: it freezes, stops its writers and says so, and no data are lost.
    #[default]
    Graceful,
    /// The old region may be gone: its silence is proof enough where it stops by itself, and some data may be lost.
    Ungraceful,
    /// Nothing moves: the same steps, in scratch namespaces.
    Drill,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Ungraceful => "ungraceful",
            Self::Drill => "drill",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegionStep {
    /// Nothing is deployed nor deleted, here and in the old region.
    Freeze,
    /// Workloads that do not write get the replicas of an active region.
    ScaleTarget,
    /// The old region has given up writing, or provably does not.
    Fence,
    /// The replica is promoted, or the archive restored.
    Data,
    /// The data take a write.
    VerifyWritable,
    Writers,
    CronAndConsumers,
    SmokeTest,
    Traffic,
    /// Gates and queries say that the application is healthy and serves: here recovery time ends.
    Healthy,
    /// People are told.
    Announce,
    /// The old region takes down what is left there.
    Drain,
    /// The lost region is built anew as a standby.
    PostRecovery,
}

impl RegionStep {
    pub const ALL: [Self; 13] = [
        Self::Freeze,
        Self::ScaleTarget,
        Self::Fence,
        Self::Data,
        Self::VerifyWritable,
        Self::Writers,
        Self::CronAndConsumers,
        Self::SmokeTest,
        Self::Traffic,
        Self::Healthy,
        Self::Announce,
        Self::Drain,
        Self::PostRecovery,
    ];

    /// The name of it in `environment.yaml`, in requests and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::ScaleTarget => "scaleTarget",
            Self::Fence => "fence",
            Self::Data => "data",
            Self::VerifyWritable => "verifyWritable",
            Self::Writers => "writers",
            Self::CronAndConsumers => "cronAndConsumers",
            Self::SmokeTest => "smokeTest",
            Self::Traffic => "traffic",
            Self::Healthy => "healthy",
            Self::Announce => "announce",
            Self::Drain => "drain",
            Self::PostRecovery => "postRecovery",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }

    /// Whether the step changes what only the active region may touch.
    pub fn needs_the_fence(self) -> bool {
        self > Self::Fence && self < Self::Announce
    }

    /// Whether a drill does it, in scratch namespaces. The others are of production: its data roles, its traffic, its old
    /// region.
    pub fn is_drilled(self) -> bool {
        !matches!(self, Self::Freeze | Self::Fence | Self::Traffic | Self::Drain | Self::PostRecovery)
    }

    /// Whether what a drill did stands for the real move. All else has to be done with the real data.
    pub fn is_carried_over(self) -> bool {
        self == Self::ScaleTarget
    }

    /// Whether this is waited for by looking at the shared place, in place of having it done.
    pub fn is_watched(self) -> bool {
        matches!(self, Self::Freeze | Self::Fence | Self::Drain)
    }

    /// Which steps may be given a Job of the team.
    pub fn takes_job(self) -> bool {
        matches!(
            self,
            Self::Data | Self::VerifyWritable | Self::SmokeTest | Self::Traffic | Self::PostRecovery
        )
    }

    /// How long it may take before a person is asked, where `environment.yaml` does not say. Together the first ten make
    /// half an hour, which is longer than most objectives: it is an end, not a plan.
    pub fn usual_timeout(self) -> Duration {
        let minutes = match self {
            Self::Freeze | Self::VerifyWritable | Self::Announce => 1,
            Self::Fence | Self::SmokeTest | Self::Traffic => 3,
            Self::ScaleTarget | Self::Writers | Self::CronAndConsumers => 5,
            Self::Data | Self::Healthy | Self::Drain => 10,
            Self::PostRecovery => 60,
        };
        Duration::from_secs(minutes * 60)
    }
}

impl fmt::Display for RegionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_found_by_the_name_that_is_written() {
        for step in RegionStep::ALL {
            assert_eq!(RegionStep::named(step.as_str()), Some(step));
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
        assert!(RegionStep::ALL.is_sorted(), "the order of the steps is that of the enum");
        assert_eq!(RegionStep::named("Freeze"), None);
    }

    #[test]
    fn nothing_that_only_the_active_region_may_touch_comes_before_the_fence() {
        let before: Vec<RegionStep> =
            RegionStep::ALL.into_iter().take_while(|step| *step != RegionStep::Fence).collect();
        assert_eq!(before, [RegionStep::Freeze, RegionStep::ScaleTarget]);
        assert!(before.iter().all(|step| !step.needs_the_fence()));
        assert!(
            [
                RegionStep::Data,
                RegionStep::VerifyWritable,
                RegionStep::Writers,
                RegionStep::CronAndConsumers,
                RegionStep::Traffic
            ]
            .iter()
            .all(|step| step.needs_the_fence())
        );
    }
}
