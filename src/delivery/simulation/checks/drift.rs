//! What we may take back from others, and how often.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::super::content::{Field, Taken, app_name, app_of};
use super::super::policies::{Policies, start};
use super::super::records::Records;
use super::super::view::View;
use super::{Checks, Millis, OVERTAKEN};
use crate::api::DriftPolicy;
use crate::delivery::{Delivery, Owner, Ticket};
use crate::drift::HandsOff;
use crate::object::{AppName, ObjectKey};
use crate::plan::{CheckedStep, Reason};
use crate::state::Memory;

/// A request that was sent before something was heard has arrived by then.
const ARRIVED: Millis = OVERTAKEN + 10_000;
/// Of the same field so many are put back,
const OFTEN: usize = 14;
/// in so much time at least: the pauses between them add up to more.
const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What the agent that lives heard of what is others'.
#[derive(Default)]
pub struct Theirs {
    /// What git says, and since when that was heard.
    policies: (Policies, Millis),
    holds: Vec<(HandsOff, Millis)>,
    /// What git said, by what is remembered of it.
    said: BTreeMap<String, Policies>,
    /// When each field was put back, by the clock of the agent.
    healed: BTreeMap<(ObjectKey, Option<u8>), VecDeque<Timestamp>>,
    /// How much the clock of the agent is ahead.
    pub clock: i64,
    /// It went back once.
    pub went_back: bool,
    /// What a history would keep of drift.
    pub records: Records,
}

impl Theirs {
    /// A new process knows what was remembered.
    pub fn forget(&mut self, memory: &Memory) {
        let said = memory.drift.as_ref().map(ToString::to_string);
        let known = said.and_then(|said| self.said.get(&said).copied()).unwrap_or_default();
        (self.policies, self.healed, self.holds) = ((known, 0), BTreeMap::new(), Vec::new());
    }

    pub fn hears(&mut self, policies: Policies, now: Millis) {
        if let Some(said) = policies.compile().said() {
            self.said.insert(said.to_string(), policies);
        }
        if self.policies.0 != policies {
            self.policies = (policies, now);
        }
    }

    /// An app left git: who comes back is new to it.
    pub fn leaves(&mut self, app: &AppName) {
        self.healed.retain(|(key, _), _| app_name(app_of(key)) != *app);
    }

    pub fn hears_holds(&mut self, holds: &[HandsOff], now: Millis) {
        let known = std::mem::take(&mut self.holds);
        let since = |hold: &HandsOff| known.iter().find(|(old, _)| old == hold).map_or(now, |(_, at)| *at);
        self.holds = holds.iter().map(|hold| (hold.clone(), since(hold))).collect();
    }

    pub fn time(&self, now: Millis) -> Timestamp {
        start() + SignedDuration::from_millis(i64::try_from(now).unwrap_or(i64::MAX) + self.clock)
    }

    /// The policy of a field, where it has been the same for long enough.
    fn policy(&self, key: &ObjectKey, field: Option<Field>, now: Millis) -> Option<DriftPolicy> {
        let (policies, since) = &self.policies;
        let settled = now > since + ARRIVED || *since == 0;
        let at = |now: Timestamp| policies.of(key, field, now);
        let time = self.time(now);
        let before = at(time - SignedDuration::from_millis(i64::try_from(ARRIVED).unwrap_or(0)));
        // Where the clock goes back, a rule that was over is not.
        Some(at(time)).filter(|policy| settled && before == *policy && !self.went_back)
    }

    /// Whether others may have made pods what they are.
    pub fn is_any(&self) -> bool {
        self.policies.0 != Policies::default()
    }

    fn holds(&self, app: &AppName, key: &ObjectKey, now: Millis) -> bool {
        // Where the clock goes back, a hold that was over is not.
        let time = self.time(now);
        let holds = |(hold, since): &(HandsOff, Millis)| now > since + ARRIVED && hold.covers(app, key, time);
        !self.went_back && self.holds.iter().any(holds)
    }

    pub fn stops(&self, app: &AppName, now: Millis) -> bool {
        let time = self.time(now);
        let stops = |(hold, since): &(HandsOff, Millis)| now > since + ARRIVED && hold.stops(app, time);
        !self.went_back && self.holds.iter().any(stops)
    }
}

/// Whether an app runs what git says and nothing of it is under way, by what is remembered.
pub(super) fn is_rest(app: &AppName, delivery: &Delivery, view: &View) -> bool {
    let says = delivery.apps.get(app).and_then(|app| app.wanted()).map(|wanted| &wanted.digest);
    let runs = delivery.apps.get(app).and_then(|app| app.runs.effective.as_ref());
    let goes_back = delivery.apps.get(app).is_some_and(|app| app.back().is_some());
    if goes_back || runs.is_some() && runs != says {
        return false;
    }
    view.memory.apps.get(app).is_some_and(|known| {
        let good = known.last_good.as_ref().map(|good| &good.digest);
        good.is_some() && good == says && known.quarantined.is_none() && known.rolling.is_none()
    })
}

impl Checks {
    /// A write changed who holds what of an object.
    pub fn took(
        &mut self,
        ticket: &Ticket,
        step: &CheckedStep,
        (before, after): (Option<Taken>, Option<Taken>),
        now: Millis,
    ) {
        let Owner::App(app, _) = &ticket.of else { return };
        let key = &step.wanted().key;
        let is_rest = self.begun.basis.get(ticket).is_some_and(|basis| basis.is_rest);
        let fields: Vec<Option<Field>> = match (before, after) {
            (None, Some(_)) => vec![None],
            (Some(before), Some(after)) => {
                let taken = |field: &Field| before.has(*field) && !after.has(*field);
                Field::ALL.into_iter().filter(taken).map(Some).collect()
            }
            (_, None) => return,
        };
        for field in fields {
            let policy = self.theirs.policy(key, field, now);
            let is_drift = match field {
                Some(_) => matches!(step.reason(), Reason::Drifted { .. }),
                None => is_rest && *step.reason() == Reason::Missing,
            };
            let wrong = match policy {
                Some(DriftPolicy::Ignore) if field.is_some() || is_drift => Some("which is theirs"),
                Some(DriftPolicy::Report) if is_drift => Some("which is only reported"),
                _ if is_drift && self.theirs.holds(app, key, now) => Some("which is held"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                self.fail(|| format!("{now}: {field:?} of {key} is put back, {wrong}"));
            }
            if is_rest && is_drift {
                self.note_healed(key, field, now);
            }
        }
    }

    fn note_healed(&mut self, key: &ObjectKey, field: Option<Field>, now: Millis) {
        let time = self.theirs.time(now);
        let healed = self.theirs.healed.entry((key.clone(), field.map(|field| field as u8))).or_default();
        healed.push_back(time);
        if healed.len() < OFTEN {
            return;
        }
        let first = healed.pop_front().unwrap_or(time);
        if time.duration_since(first) < WITHIN {
            self.fail(|| format!("{now}: {field:?} of {key} is put back {OFTEN} times since {first}"));
        }
    }
}
