//! What is to be done for an app now.

use jiff::Timestamp;

use super::cached_lookup::{CachedLookup, Compared};
use super::{App, Doing, Git};
use crate::api::AppPhase;
use crate::delivery::action::Action;
use crate::delivery::fact::What;
use crate::delivery::hold::{self, HeldBy};
use crate::delivery::world::{Listing, World};
use crate::drift::HandsOff;
use crate::object::{AppName, Digest, ObjectKey, Problems};
use crate::plan::{WantedApp, plan_with};
use crate::policy::{Grants, refusal};
use crate::state::Change;

/// What an app is told when it decides.
pub(in crate::delivery) struct View<'a> {
    pub world: &'a dyn World,
    /// Whether an app runs what git says.
    pub ready: &'a dyn Fn(&AppName) -> bool,
    pub suspended: bool,
    /// What people asked to be left alone.
    pub holds: &'a [HandsOff],
    pub holds_unknown: bool,
    /// What the platform grants; `None` for a person, whose rights are their own.
    pub grants: Option<&'a Grants>,
    /// Whether anything outlives this process.
    pub remembers: bool,
    /// Whether it stands on the Environment where its objects are, so that they may be made.
    pub inventory_written: bool,
    pub now: Timestamp,
}

impl View<'_> {
    /// The hold of an object, where there is one.
    pub fn held(&self, app: &AppName, key: &ObjectKey) -> Option<&HandsOff> {
        self.holds.iter().find(|hold| hold.covers(app, key, self.now))
    }

    /// Whether the environment may touch an object, by today's Environment.
    pub fn may_touch(&self, key: &ObjectKey) -> bool {
        self.grants.is_none_or(|grants| grants.may_touch(key).is_ok())
    }
}

/// What comes next for an app.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one is alive at a time")]
pub(in crate::delivery) enum AppStep {
    /// Nothing until something changes, or until then.
    Rest {
        until: Option<Timestamp>,
    },
    Do {
        phase: AppPhase,
        action: Action,
    },
}

impl App {
    pub(in crate::delivery) fn decide(&mut self, view: &View) -> AppStep {
        match self.next(view) {
            AppStep::Rest { until } => AppStep::Rest { until: self.hooks_again(until, view.now) },
            step @ AppStep::Do { .. } => step,
        }
    }

    fn next(&mut self, view: &View) -> AppStep {
        let rest = AppStep::Rest { until: None };
        if self.busy.is_some() || matches!(self.doing, Doing::Panicked { .. }) {
            return rest;
        }
        if let Some(want) = self.wants_back(view.suspended) {
            let action = Action::Find { want: Box::new(want), remember: Vec::new() };
            return AppStep::Do { phase: AppPhase::RollingBack, action };
        }
        match self.unread(view.now) {
            Some(Ok(digest)) => {
                let phase = if self.is_going_back() { AppPhase::Restoring } else { AppPhase::Pending };
                return AppStep::Do { phase, action: Action::Recall { digest } };
            }
            Some(Err(until)) => return AppStep::Rest { until: Some(until) },
            None => {}
        }
        let Some(wanted) = self.target().cloned() else { return rest };
        if view.holds_unknown {
            return self.hold(vec![HeldBy::Listing(vec!["Requests".to_owned()])], view.now);
        }
        match view.world.listed(self.name()) {
            Listing::Done => self.listed(),
            Listing::UnderWay(kinds) => return self.hold(vec![HeldBy::Listing(kinds)], view.now),
            Listing::Failing(why) => return self.hold_unwatched(why, view.now),
        }
        if let Some(step) = self.end_hooks(view) {
            return step;
        }
        if self.rollout().is_some() {
            return self.advance(view, &wanted);
        }
        if let Doing::Refused(refusal) = &self.doing
            && refusal.digest == wanted.digest
            && refusal.again.is_none_or(|again| !again.is_due(view.now))
        {
            return AppStep::Rest { until: refusal.again.and_then(|again| again.at) };
        }
        let forward = self.back().is_none() && self.runs.effective.as_ref() != Some(&wanted.digest);
        if forward && let Some(on) = self.held_by_hook(view, &wanted) {
            return self.hold(vec![HeldBy::Hook(on)], view.now);
        }
        self.compare(view, &wanted, forward)
    }

    /// Compares what is wanted with what is live, and goes on from there.
    fn compare(&mut self, view: &View, wanted: &std::sync::Arc<WantedApp>, forward: bool) -> AppStep {
        let rest = AppStep::Rest { until: None };
        if let Some(messages) = self.not_granted(view, wanted) {
            self.refuse(&wanted.digest, messages, true, view.now);
            return rest;
        }
        let lookup = CachedLookup {
            world: view.world,
            in_sync: &self.runs.in_sync,
            rules: &self.drift.rules,
            now: view.now,
            compared: Compared::default(),
        };
        let mut found = match plan_with(wanted, &lookup, &self.adoption.consent) {
            Ok(plan) => plan,
            Err(problems) => {
                let messages = problems.as_slice().iter().map(ToString::to_string).collect();
                self.refuse(&wanted.digest, messages, false, view.now);
                return rest;
            }
        };
        let compared = lookup.compared;
        self.remember_in_sync(wanted, &found, &compared, (view.world, view.now));
        self.note_shared(std::mem::take(&mut found.shared));
        let at_rest = self.is_where_it_goes(wanted);
        let again = self.leave_drift(&mut found, at_rest, view);
        let mut hooks = self.hooks_due(wanted);
        if found.is_empty() {
            self.adoption.needed.clear();
            if !view.remembers {
                hooks.clear(); // Nobody knows whether they ran, and nothing else is to be done.
            }
            if hooks.is_empty() {
                self.doing = Doing::Idle;
                if self.runs.effective.is_some() && at_rest {
                    self.end_rolling(view);
                    let due = match self.look_at_reported(view.now) {
                        Ok(look) => return look,
                        Err(due) => due,
                    };
                    let until = [again, due].into_iter().flatten().min();
                    return self.tidy_hooks(view, wanted).unwrap_or(AppStep::Rest { until });
                }
                return self.verify(wanted, view);
            }
        }
        if view.suspended {
            let on = HeldBy::Suspended { objects: found.count(), hooks: hooks.len() };
            return self.hold(vec![on], view.now);
        }
        // What is on its way goes on: an app that stands between two versions helps nobody.
        let begun =
            self.runs.broken_off.as_ref().is_some_and(|rolling| rolling.state.digest == wanted.digest);
        if forward
            && !begun
            && let Some(hold) = view.holds.iter().find(|hold| hold.stops(self.name(), view.now))
        {
            let until = hold.until;
            self.hold(vec![HeldBy::Person(hold.to_string())], view.now);
            return AppStep::Rest { until: Some(until) };
        }
        if forward {
            let blocking: Vec<AppName> =
                self.spec.depends_on.iter().filter(|name| !(view.ready)(name)).cloned().collect();
            if !blocking.is_empty() {
                return self.hold(vec![HeldBy::Dependencies(blocking)], view.now);
            }
        }
        if let Doing::Held(_) = self.doing {
            self.doing = Doing::Idle;
        }
        if at_rest {
            // A process that begins knows that this passed its gates: what it writes now puts back, and is no rollout.
            self.runs.effective.get_or_insert_with(|| wanted.digest.clone());
        }
        let (before, consent) = (self.runs.before.clone(), self.adoption.consent.clone());
        let hooks = hooks.into_iter().map(|hook| (hook.clone(), self.hook_seconds(&hook))).collect();
        AppStep::Do {
            phase: AppPhase::Proving,
            action: Action::Prove { plan: found, before, consent, hooks },
        }
    }

    /// Whether what runs passed its gates where it goes now: what went back with another app and is what git says now has
    /// not.
    pub(in crate::delivery) fn is_proven(&self, digest: &Digest) -> bool {
        match self.back() {
            Some(back) => back.is_over(),
            None => self.runs.is_good(digest),
        }
    }

    /// What of an older revision the platform does not let today. What git says was looked at when it was rendered, by
    /// what was granted then.
    fn not_granted(&mut self, view: &View, wanted: &WantedApp) -> Option<Vec<String>> {
        let is_older = self.back().is_some() || !matches!(self.git, Git::Says(_)) || self.runs.other_rights;
        let grants = view.grants.filter(|_| is_older)?;
        let known = self.runs.judged.take().filter(|(digest, _)| *digest == wanted.digest);
        let (_, messages) = self.runs.judged.insert(known.unwrap_or_else(|| {
            let findings =
                refusal(grants.judge_written(wanted)).err().into_iter().flat_map(Problems::into_vec);
            (wanted.digest.clone(), findings.map(|problem| problem.to_string()).collect())
        }));
        (!messages.is_empty()).then(|| messages.clone())
    }

    /// Has it forgotten that a rollout is under way, where all is as it was good: git took it back before anything of it had
    /// to be undone, or it passed its gates while nobody could read git.
    fn end_rolling(&mut self, view: &View) {
        let Some(memory) = view.world.memory() else { return };
        let known = memory.apps.get(self.name()).is_some_and(|known| known.rolling.is_some());
        let waits = self.log.changes.iter().any(|change| matches!(change, Change::Roll { .. }));
        if std::mem::take(&mut self.log.may_roll) || (known && !waits) {
            self.remember(Change::Roll { app: self.spec.name.clone(), rolling: None });
        }
    }

    /// Notes what holds it up. A rollout that is under way is not: it waits at its gate.
    fn hold(&mut self, on: Vec<HeldBy>, now: Timestamp) -> AppStep {
        if !matches!(self.doing, Doing::Rolling(_)) {
            let before = match &self.doing {
                Doing::Held(holds) => holds.as_slice(),
                _ => &[],
            };
            self.doing = Doing::Held(hold::since(before, &on, now));
        }
        AppStep::Rest { until: None }
    }

    /// Notes that a kind that it wants cannot be watched: nothing is known of it, and nothing is done.
    fn hold_unwatched(&mut self, why: String, now: Timestamp) -> AppStep {
        if self.log.unwatched.as_ref() != Some(&why) {
            self.tell(What::Unwatched { why: why.clone() });
            self.log.unwatched = Some(why.clone());
        }
        self.hold(vec![HeldBy::Unwatched(why)], now)
    }

    fn listed(&mut self) {
        self.log.unwatched = None;
        if let Doing::Held(holds) = &mut self.doing {
            holds.retain(|hold| !matches!(hold.on, HeldBy::Listing(_) | HeldBy::Unwatched(_)));
            if holds.is_empty() {
                self.doing = Doing::Idle;
            }
        }
    }
}
