//! Whether a move to this region could begin now: what is looked at all the time, and not first in the emergency.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::seen::{Orders, Seen, Standing};
use crate::api::ReadinessStatus;
use crate::region::{Fence, Preflight};

/// What came of looking at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Ready,
    /// Nothing here looks at it: it is taken to be so, and shown as that.
    Assumed(&'static str),
    Missing(String),
}

/// Looks at what is known without asking anybody.
pub fn look(seen: &Seen, orders: &Orders, fence: &Fence) -> BTreeMap<Preflight, Found> {
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
    BTreeMap::from([
        (Preflight::Renders, renders),
        (Preflight::Secrets, secrets),
        (Preflight::Images, Found::Assumed("no registry is asked")),
        (Preflight::Capacity, Found::Assumed("neither quotas nor nodes are looked at")),
        (Preflight::Foundation, Found::Assumed("classes are not looked at")),
        (Preflight::Data, Found::Assumed("no probe is declared")),
        (Preflight::SharedPlace, place),
    ])
}

/// What was seen at the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    pub at: Option<Timestamp>,
    pub found: BTreeMap<Preflight, Found>,
}

/// What was seen is told again after so long, though it is the same: people see how old it is.
const TOLD_EVERY: SignedDuration = SignedDuration::from_secs(60);

impl Looked {
    /// Takes what was found.
    pub fn take(&mut self, found: BTreeMap<Preflight, Found>, now: Timestamp) {
        let is_old = self.at.is_none_or(|at| now.duration_since(at).abs() >= TOLD_EVERY);
        if is_old || found != self.found {
            *self = Self { at: Some(now), found };
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
