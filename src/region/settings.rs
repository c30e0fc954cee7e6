//! What `environment.yaml` says about regions, checked, and what a region is by it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::{Epoch, RegionName};
use super::record::Silence;
use super::step::{Mode, RegionStep};

/// How much of a standby runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Warmth {
    /// Everything that does not write runs, with few replicas.
    #[default]
    Warm,
    /// Objects are there, and nothing runs.
    Cold,
}

/// What becomes of a region that was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PostRecovery {
    #[default]
    None,
    /// It is built anew, as a standby.
    RebuildStandby,
}

/// What the regions of an environment are to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub active: RegionName,
    pub standby: BTreeMap<RegionName, Warmth>,
    pub epoch: Epoch,
    pub mode: Mode,
    pub objectives: Objectives,
    /// The most that may be lost without a person's word.
    pub max_data_loss: Duration,
    pub steps: BTreeMap<RegionStep, StepSettings>,
    /// What tells how far the data of a standby are behind.
    pub data_probe: Option<ProbeSettings>,
    pub post_recovery: PostRecovery,
    pub automatic: Option<Automatic>,
    /// What the active region does that cannot renew its hold.
    pub when_cut_off: Silence,
}

/// What a re-point is measured by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// Recovery time: from the commit to a healthy application that serves.
    pub rto: Option<Duration>,
    /// Recovery point: how much of what was written may be lost.
    pub rpo: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepSettings {
    pub timeout: Option<Duration>,
    /// A file with the Job that does it.
    pub job: Option<String>,
}

/// A Job of the team that measures something, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// A file with the Job.
    pub job: String,
    pub every: Duration,
}

/// That the environment may move by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Automatic {
    /// How long all signals have to agree.
    pub after: Duration,
    /// At least two, of sources that cannot fail together.
    pub signals: Vec<String>,
}

/// What a region is by what git says. What it may do is the fence's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Active,
    Standby(Warmth),
    /// The environment is not meant to be here.
    None,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby(_) => "standby",
            Self::None => "none",
        }
    }
}

impl Settings {
    pub fn role(&self, region: &RegionName) -> Role {
        match self.standby.get(region) {
            _ if *region == self.active => Role::Active,
            Some(warmth) => Role::Standby(*warmth),
            None => Role::None,
        }
    }

    pub fn timeout(&self, step: RegionStep) -> Duration {
        self.steps.get(&step).and_then(|step| step.timeout).unwrap_or_else(|| step.usual_timeout())
    }

    /// What silence of the active region means. Where no other can take over there is nothing to stop for; and writers that
    /// do not stop by themselves cannot promise it.
    pub fn silence(&self, writers_are_guarded: bool) -> Silence {
        if self.standby.is_empty() || !writers_are_guarded { Silence::RunsOn } else { self.when_cut_off }
    }
}

#[cfg(test)]
pub fn settings(active: &str, standby: &[&str], epoch: u64) -> Settings {
    let region = |name: &str| RegionName::new(name).unwrap();
    Settings {
        active: region(active),
        standby: standby.iter().map(|name| (region(name), Warmth::Warm)).collect(),
        epoch: Epoch(epoch),
        mode: Mode::Graceful,
        objectives: Objectives::default(),
        max_data_loss: Duration::from_secs(60),
        steps: BTreeMap::new(),
        data_probe: None,
        post_recovery: PostRecovery::None,
        automatic: None,
        when_cut_off: Silence::Stops,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_what_git_says_of_it() {
        let mut settings = settings("a", &["b"], 1);
        settings.standby.insert(RegionName::new("c").unwrap(), Warmth::Cold);
        let role = |name: &str| settings.role(&RegionName::new(name).unwrap());
        assert_eq!(role("a"), Role::Active);
        assert_eq!(role("b"), Role::Standby(Warmth::Warm));
        assert_eq!(role("c"), Role::Standby(Warmth::Cold));
        assert_eq!(role("d"), Role::None);
    }

    #[test]
    fn nothing_stops_where_nobody_can_take_over_or_nothing_would_stop_it() {
        assert_eq!(settings("a", &["b"], 1).silence(true), Silence::Stops);
        assert_eq!(settings("a", &["b"], 1).silence(false), Silence::RunsOn);
        assert_eq!(settings("a", &[], 1).silence(true), Silence::RunsOn);
        let runs_on = Settings { when_cut_off: Silence::RunsOn, ..settings("a", &["b"], 1) };
        assert_eq!(runs_on.silence(true), Silence::RunsOn);
    }
}
