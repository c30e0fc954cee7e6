//! Whether a move to this region could begin now: what is looked at all the time, and not first in the emergency.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::seen::{Orders, Seen, Standing};
use crate::api::ReadinessStatus;
use crate::object::MANAGER;
use crate::plan::RefusalKind;
use crate::region::{Fence, Preflight};
use crate::report::PlanReport;

/// What came of looking at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Ready,
    /// Nothing here looks at it: it is taken to be so, and shown as that.
    Assumed(&'static str),
    Missing(String),
}

/// Looks at what is known without asking anybody.
pub fn look(
    seen: &Seen,
    orders: &Orders,
    fence: &Fence,
    trial: Option<&Trial>,
    data: Option<Found>,
    now: Timestamp,
) -> BTreeMap<Preflight, Found> {
    let renders = match (&seen.trouble, seen.standing(orders)) {
        (Some(why), _) => Found::Missing(format!("{why}: put the commit right")),
        (None, Standing::Stuck(why)) => Found::Missing(format!("{why}: put right what the app says")),
        (None, _) => Found::Ready,
    };
    let secrets = match seen.secrets.as_slice() {
        [] => Found::Ready,
        missing => {
            Found::Missing(format!("{}: put them into the secrets of this region", missing.join("; ")))
        }
    };
    let place = match fence.trouble() {
        Some(trouble) => Found::Missing(trouble.to_string()),
        None if fence.was_read() => Found::Ready,
        None => Found::Missing("the shared place was not read yet".to_owned()),
    };
    let trial = trial.filter(|trial| now.duration_since(trial.at).abs() < PROVEN_FOR);
    let mut all = BTreeMap::from([
        (Preflight::Renders, renders),
        (Preflight::Secrets, secrets),
        (Preflight::Images, Found::Assumed("no registry is asked")),
        (Preflight::Capacity, Found::Assumed("neither quotas nor nodes are looked at")),
        (Preflight::Foundation, Found::Assumed("it was not tried yet")),
        (Preflight::Data, data.unwrap_or(Found::Assumed("no probe is declared"))),
        (Preflight::SharedPlace, place),
    ]);
    match trial {
        None => drop(all.insert(
            Preflight::Renders,
            Found::Missing("it was not tried here in the last five minutes".to_owned()),
        )),
        // What does not run as a standby does not run as more, either.
        Some(trial) => {
            let is_red = matches!(all.get(&Preflight::Renders), Some(Found::Missing(_)));
            all.extend(
                trial
                    .found
                    .iter()
                    .filter(|(check, _)| !is_red || **check != Preflight::Renders)
                    .map(|(check, found)| (*check, found.clone())),
            );
        }
    }
    all
}

/// What was proven so long ago is not known now.
const PROVEN_FOR: SignedDuration = SignedDuration::from_mins(5);

/// What was seen at the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    pub at: Option<Timestamp>,
    pub found: BTreeMap<Preflight, Found>,
    /// How far the data were behind then, where that is measured.
    pub lag: Option<Duration>,
}

/// What was seen is told again after so long, though it is the same: people see how old it is. Each time is a write.
const TOLD_EVERY: SignedDuration = SignedDuration::from_mins(4);

impl Looked {
    /// Takes what was found.
    pub fn take(&mut self, found: BTreeMap<Preflight, Found>, lag: Option<Duration>, now: Timestamp) {
        let is_old = self.at.is_none_or(|at| now.duration_since(at).abs() >= TOLD_EVERY);
        // How far the data are behind changes all the time, and is told with the rest.
        if is_old || found != self.found {
            *self = Self { at: Some(now), found, lag };
        }
    }

    /// What a run decides by. What was not looked at is missing there, and so not green.
    pub fn facts(&self) -> BTreeMap<Preflight, Result<(), String>> {
        let fact = |found: &Found| match found {
            Found::Ready | Found::Assumed(_) => Ok(()),
            Found::Missing(why) => Err(why.clone()),
        };
        self.found.iter().map(|(preflight, found)| (*preflight, fact(found))).collect()
    }

    pub fn rows(&self) -> Vec<ReadinessStatus> {
        let row = |preflight: Preflight| {
            let (state, message) = match self.found.get(&preflight) {
                Some(Found::Ready) if preflight == Preflight::Data => {
                    ("ready", self.lag.map(|lag| format!("{} s behind", lag.as_secs())))
                }
                Some(Found::Ready) => ("ready", None),
                Some(Found::Assumed(why)) => ("assumed", Some((*why).to_owned())),
                Some(Found::Missing(why)) => ("missing", Some(why.clone())),
                None => ("unknown", None),
            };
            ReadinessStatus { check: preflight.as_str().to_owned(), state: state.to_owned(), message }
        };
        if self.found.is_empty() { Vec::new() } else { Preflight::ALL.into_iter().map(row).collect() }
    }
}

/// What came of trying out what would run here as the active region.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub at: Timestamp,
    pub found: BTreeMap<Preflight, Found>,
}

impl Trial {
    /// It could not be tried.
    pub fn failed(why: &str) -> Self {
        let why = format!("what would run here cannot be tried: {why}");
        Self { at: Timestamp::now(), found: BTreeMap::from([(Preflight::Renders, Found::Missing(why))]) }
    }
}

/// Reads of a plan whether the server would take what would run here, and what is missing where it would not; `lacks` is what objects
/// take for granted, and what is not here.
pub fn try_out(plan: &PlanReport, lacks: Vec<String>) -> Trial {
    let (mut renders, mut foundation, mut capacity) = (Vec::new(), lacks, Vec::new());
    for app in &plan.apps {
        renders.extend(app.problems.iter().map(|problem| format!("{}: {problem}", app.app)));
        for refusal in &app.refused {
            let words = format!("{}: {refusal}", app.app);
            // What this agent stopped by itself is its own to take back.
            let is_own = refusal.kind == RefusalKind::Conflict && words.contains(&format!("{MANAGER:?}"));
            match refusal.kind {
                _ if is_own => {}
                RefusalKind::UnknownKind | RefusalKind::NoNamespace => foundation.push(words),
                _ if words.contains("exceeded quota") => capacity.push(words),
                _ => renders.push(words),
            }
        }
    }
    let found = |missing: Vec<String>, what: &str| match missing.as_slice() {
        [] => None,
        some => Some(Found::Missing(format!(
            "{}: {what}",
            some.iter().take(3).cloned().collect::<Vec<_>>().join("; ")
        ))),
    };
    let renders = found(renders, "put it right in git, or grant it here").unwrap_or(Found::Ready);
    let foundation = found(foundation, "install what defines it here").unwrap_or(Found::Ready);
    let mut all = BTreeMap::from([(Preflight::Renders, renders), (Preflight::Foundation, foundation)]);
    all.extend(found(capacity, "raise the quota here").map(|missing| (Preflight::Capacity, missing)));
    Trial { at: Timestamp::now(), found: all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_is_missing_and_what_is_assumed_is_shown_as_that() {
        let mut looked = Looked::default();
        assert!(looked.rows().is_empty() && looked.facts().is_empty());
        let found = BTreeMap::from([
            (Preflight::Images, Found::Assumed("no registry is asked")),
            (Preflight::Renders, Found::Missing("web: no".to_owned())),
        ]);
        looked.take(found.clone(), None, Timestamp::UNIX_EPOCH);
        let facts = looked.facts();
        assert_eq!(facts.get(&Preflight::Images), Some(&Ok(())));
        assert!(facts[&Preflight::Renders].is_err());
        let rows = looked.rows();
        let row = |check: &str| rows.iter().find(|row| row.check == check).map(|row| row.state.as_str());
        assert_eq!(
            (row("images"), row("renders"), row("data")),
            (Some("assumed"), Some("missing"), Some("unknown"))
        );
        looked.take(
            found.clone(),
            Some(Duration::ZERO),
            Timestamp::UNIX_EPOCH + SignedDuration::from_secs(5),
        );
        assert_eq!(looked.at, Some(Timestamp::UNIX_EPOCH), "the same is not told anew all the time");
        looked.take(found, None, Timestamp::UNIX_EPOCH + TOLD_EVERY);
        assert_eq!(looked.at, Some(Timestamp::UNIX_EPOCH + TOLD_EVERY));
    }
}
