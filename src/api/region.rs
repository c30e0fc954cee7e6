//! What `environment.yaml` says about regions, as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;
use crate::object::Problem;
use crate::region::automatic::SHARED_PLACE;
use crate::region::{
    Automatic, Epoch, Mode, Objectives, PostRecovery, ProbeSettings, RegionName, RegionStep, Settings,
    Silence, StepSettings, Warmth,
};

/// In which region the environment is active, and how it moves: docs/environment.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionSpec {
    pub active: RegionName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<StandbySpec>,
    /// Raised with each change of `active`.
    #[serde(default)]
    pub epoch: u64,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<ObjectivesSpec>,
    /// The most that an ungraceful move may lose without a person's word; nothing where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_data_loss: Option<Span>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<RegionStep, StepSpec>,
    /// What is measured in a standby all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ReadinessSpec>,
    #[serde(default)]
    pub post_recovery: PostRecovery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<AutomaticSpec>,
    /// What the active region does while it cannot reach the shared place: `stop`, or `run`.
    #[serde(default)]
    pub when_cut_off: Silence,
}

/// A region by its name alone is warm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a standby is the name of a region, or {region: NAME, kind: warm or cold}")]
pub enum StandbySpec {
    Warm(RegionName),
    Of(StandbyOf),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandbyOf {
    pub region: RegionName,
    #[serde(default)]
    pub kind: Warmth,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectivesSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// A file with the Job that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadinessSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ProbeSpec>,
}

/// A Job that says in the termination message of its pod what it measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeSpec {
    /// A file with the Job.
    pub job: String,
    /// One minute where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutomaticSpec {
    /// How long all signals have to say that the active region is lost.
    pub after: Span,
    pub signals: Vec<String>,
}

/// How often a probe measures where nothing is said,
const PROBED_EVERY: Duration = Duration::from_secs(60);
/// and at most: each time is a Job.
const PROBED_MOST: Duration = Duration::from_secs(10);
/// Shorter, and one lost packet moves a production.
const SHORTEST_AFTER: Duration = Duration::from_secs(60);

impl StandbySpec {
    pub fn region(&self) -> &RegionName {
        match self {
            Self::Warm(region) | Self::Of(StandbyOf { region, .. }) => region,
        }
    }

    fn warmth(&self) -> Warmth {
        match self {
            Self::Warm(_) => Warmth::Warm,
            Self::Of(standby) => standby.kind,
        }
    }
}

impl RegionSpec {
    /// All regions that it names, each with the JSON pointer to it.
    pub fn regions(&self) -> impl Iterator<Item = (String, &RegionName)> {
        let standby = self.standby.iter().enumerate().map(|(n, standby)| {
            let field = match standby {
                StandbySpec::Warm(_) => "",
                StandbySpec::Of(_) => "/region",
            };
            (format!("/spec/region/standby/{n}{field}"), standby.region())
        });
        std::iter::once(("/spec/region/active".to_owned(), &self.active)).chain(standby)
    }

    /// What the types cannot say: each problem with the JSON pointer of the field that it is about.
    pub fn check(&self) -> Vec<(String, Problem)> {
        let mut found = Vec::new();
        let mut say = |field: &str, problem: Problem| found.push((format!("/spec/region{field}"), problem));
        let mut seen = BTreeSet::new();
        for (pointer, region) in self.regions() {
            let field = pointer.trim_start_matches("/spec/region").to_owned();
            if seen.insert(region.clone()) {
                continue;
            }
            let problem = if *region == self.active {
                Problem::new(format!("{region} is the active region, and cannot be its own standby"))
                    .hint("to move, exchange the two and raise `epoch`")
            } else {
                Problem::new(format!("{region} is a standby twice"))
            };
            say(&field, problem);
        }
        for (step, spec) in &self.steps {
            if spec.timeout.is_some_and(|timeout| timeout.is_zero()) {
                let message = format!("{step} needs some time: its timeout is 0s");
                say(&format!("/steps/{step}/timeout"), Problem::new(message));
            }
            if spec.job.is_some() && !step.takes_job() {
                let takes: Vec<&str> = RegionStep::ALL
                    .iter()
                    .filter(|step| step.takes_job())
                    .map(|step| step.as_str())
                    .collect();
                let problem = Problem::new(format!("{step} is done without a Job"));
                say(
                    &format!("/steps/{step}/job"),
                    problem.hint(format!("Jobs are for {}", takes.join(", "))),
                );
            }
        }
        let probe = self.readiness.as_ref().and_then(|readiness| readiness.data.as_ref());
        if let Some(every) = probe.and_then(|probe| probe.every).filter(|span| span.duration() < PROBED_MOST)
        {
            let least = PROBED_MOST.as_secs();
            let message =
                format!("each measurement is a Job: every {every} is too often, {least}s is the least");
            say("/readiness/data/every", Problem::new(message));
        }
        if self.objectives.as_ref().and_then(|objectives| objectives.rto).is_some_and(|rto| rto.is_zero()) {
            say("/objectives/rto", Problem::new("nothing recovers in no time: the objective is 0s"));
        }
        if let Some(automatic) = &self.automatic {
            let signals: BTreeSet<&String> = automatic.signals.iter().collect();
            if signals.len() < 2 {
                let problem = Problem::new("`automatic` needs two signals that cannot fail together");
                say("/automatic/signals", problem.hint("one alone may be what is broken"));
            }
            for (n, signal) in automatic.signals.iter().enumerate() {
                if signal != SHARED_PLACE && !signal.ends_with(".yaml") && !signal.ends_with(".yml") {
                    let problem = Problem::new(format!("{signal} is no signal"));
                    let hint = format!(
                        "write `{SHARED_PLACE}`, or a file with a Job that fails where the active region does not answer"
                    );
                    say(&format!("/automatic/signals/{n}"), problem.hint(hint));
                }
            }
            if automatic.after.duration() < SHORTEST_AFTER {
                let message =
                    format!("nothing moves by itself after less than 1m: this is {}", automatic.after);
                say("/automatic/after", Problem::new(message));
            }
            if self.standby.is_empty() {
                say("/automatic", Problem::new("there is no standby to move to"));
            }
        }
        found
    }

    /// The same, as the room that decides takes it.
    pub fn settings(&self) -> Settings {
        let objectives = self.objectives.as_ref();
        let time = |span: Option<Span>| span.map(Span::duration);
        Settings {
            active: self.active.clone(),
            standby: self.standby.iter().map(|one| (one.region().clone(), one.warmth())).collect(),
            epoch: Epoch(self.epoch),
            mode: self.mode,
            objectives: Objectives {
                rto: time(objectives.and_then(|objectives| objectives.rto)),
                rpo: time(objectives.and_then(|objectives| objectives.rpo)),
            },
            max_data_loss: time(self.max_data_loss).unwrap_or_default(),
            steps: self
                .steps
                .iter()
                .map(|(step, spec)| {
                    (*step, StepSettings { timeout: time(spec.timeout), job: spec.job.clone() })
                })
                .collect(),
            data_probe: self.readiness.as_ref().and_then(|readiness| readiness.data.as_ref()).map(|probe| {
                ProbeSettings { job: probe.job.clone(), every: time(probe.every).unwrap_or(PROBED_EVERY) }
            }),
            post_recovery: self.post_recovery,
            automatic: self.automatic.as_ref().map(|automatic| Automatic {
                after: automatic.after.duration(),
                signals: automatic.signals.clone(),
            }),
            when_cut_off: self.when_cut_off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Role;

    fn parse(text: &str) -> Result<RegionSpec, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn found(text: &str) -> Vec<String> {
        let found = parse(text).unwrap().check();
        found.into_iter().map(|(pointer, problem)| format!("{pointer}: {}", problem.message)).collect()
    }

    #[test]
    fn a_standby_is_warm_unless_it_says_so() {
        let spec = parse(r#"{"active": "a", "standby": ["b", {"region": "c", "kind": "cold"}], "epoch": 3}"#);
        let settings = spec.unwrap().settings();
        let role = |name: &str| settings.role(&RegionName::new(name).unwrap());
        assert_eq!((role("b"), role("c")), (Role::Standby(Warmth::Warm), Role::Standby(Warmth::Cold)));
        assert_eq!((settings.epoch, settings.mode), (Epoch(3), Mode::Graceful));
        assert_eq!(settings.data_probe, None);
        let spec = parse(r#"{"active": "a", "readiness": {"data": {"job": "x.yaml"}}}"#);
        let probe = spec.unwrap().settings().data_probe.unwrap();
        assert_eq!((probe.job.as_str(), probe.every), ("x.yaml", Duration::from_secs(60)));
        assert_eq!(settings.max_data_loss, Duration::ZERO, "where nothing is said, nothing may be lost");
    }

    #[test]
    fn what_is_no_region_no_time_and_no_step_is_refused() {
        for (text, says) in [
            (r#"{"active": "EU West"}"#, "is not the name of a region"),
            (r#"{"active": "a", "objectives": {"rto": "soon"}}"#, "is not a length of time"),
            (r#"{"active": "a", "maxDataLoss": "5"}"#, "is not a length of time"),
            (r#"{"active": "a", "steps": {"fencing": {}}}"#, "unknown variant `fencing`"),
            (r#"{"active": "a", "mode": "hard"}"#, "unknown variant `hard`"),
            (
                r#"{"active": "a", "standby": [{"region": "b", "kind": "hot"}]}"#,
                "a standby is the name of a region",
            ),
            (r#"{"active": "a", "epoch": -1}"#, "invalid value"),
            (r#"{"active": "a", "whenCutOff": "wait"}"#, "unknown variant `wait`"),
            (r#"{"active": "a", "fence": {}}"#, "unknown field `fence`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn regions_that_contradict_each_other_are_named_where_they_stand() {
        let text = r#"{"active": "a", "standby": ["b", {"region": "a"}, "b"]}"#;
        assert_eq!(
            found(text),
            [
                "/spec/region/standby/1/region: a is the active region, and cannot be its own standby",
                "/spec/region/standby/2: b is a standby twice"
            ]
        );
    }

    #[test]
    fn steps_and_automatic_moves_are_checked() {
        let text = r#"{"active": "a", "steps": {"data": {"job": "x.yaml"}, "fence": {"job": "x.yaml", "timeout": "0s"}},
            "readiness": {"data": {"job": "x.yaml", "every": "1s"}}, "objectives": {"rto": "0s"}, "automatic": {"after": "5s", "signals": ["a", "a"]}}"#;
        assert_eq!(
            found(text),
            [
                "/spec/region/steps/fence/timeout: fence needs some time: its timeout is 0s",
                "/spec/region/steps/fence/job: fence is done without a Job",
                "/spec/region/readiness/data/every: each measurement is a Job: every 1s is too often, 10s is the least",
                "/spec/region/objectives/rto: nothing recovers in no time: the objective is 0s",
                "/spec/region/automatic/signals: `automatic` needs two signals that cannot fail together",
                "/spec/region/automatic/signals/0: a is no signal",
                "/spec/region/automatic/signals/1: a is no signal",
                "/spec/region/automatic/after: nothing moves by itself after less than 1m: this is 5s",
                "/spec/region/automatic: there is no standby to move to",
            ]
        );
    }
}
