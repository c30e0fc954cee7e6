//! Looks after the region of an environment: hears git, people and the shared place, remembers what follows, and acts on it.
//!
//! 1. Hear: git, people, what the apps are at, what came of a step (effects: channels).
//! 2. Decide (pure: `region::State::decide`).
//! 3. Remember what changed. What cannot be remembered is not acted on.
//! 4. Act: ask the shared place, open or close the gate of writers, stop them, say what runs here, do the step that is next.

mod watching;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::region_channels::RegionReplies;
use super::region_seen::seen;
use super::{Channels, Shared};
use crate::agent::hands::Hands;
use crate::agent::regions::{
    self, Asking, Desk, JobWith, Orders, Probe, Regions, Seen, Signals, Stepper, StopWith, Stopping,
};
use crate::api::RequestState;
use crate::cluster::uptime;
use crate::delivery::{Fact, What};
use crate::object::chain;
use crate::region::{Decision, Facts, Lag, News, RegionStep, Wish, Writers};
use crate::requests::RegionWord;
use crate::state::Change;

/// The times of the fence are seconds.
const TICK: Duration = Duration::from_millis(500);
/// What cannot be remembered within this is tried again: the hold is renewed meanwhile.
const SAVED_WITHIN: Duration = Duration::from_secs(5);

struct Region<'a> {
    regions: Arc<Regions>,
    shared: &'a Shared,
    channels: &'a Channels,
    hands: &'a Hands,
    desk: Desk,
    place: Asking,
    stopping: Stopping,
    stepper: Stepper,
    probe: Probe,
    signals: Signals,
    seen: Seen,
    /// What was acted on last.
    acted: Acted,
}

#[derive(Default)]
struct Acted {
    wish: Option<Wish>,
    orders: Orders,
    /// What a halt was told of already.
    halted: Option<String>,
    untold: Option<String>,
    /// What was told to be wrong with git's word.
    fault: Option<String>,
}

pub(super) async fn run(shared: Shared, channels: Channels, hands: Arc<Hands>) {
    let Some(regions) = shared.context.own.regions.clone() else { return refuse(&shared, &channels).await };
    let remembered = hands.store.as_ref().and_then(|store| store.memory().region.clone());
    let desk = match Desk::new(&regions.me, remembered.as_ref()) {
        Ok(desk) => desk,
        Err(error) => {
            // Nobody may guess what it was: the gate stays shut, and nothing is rendered.
            tracing::error!(environment = %shared.name, %error, "what is remembered of its regions cannot be read: it stays as it is");
            return shared.end.cancelled().await;
        }
    };
    let mut region = Region {
        shared: &shared,
        channels: &channels,
        hands: &hands,
        desk,
        place: Asking::new(regions.clone(), shared.name.clone()),
        regions: regions.clone(),
        stopping: Stopping::default(),
        stepper: Stepper::default(),
        probe: Probe::default(),
        signals: Signals::default(),
        seen: Seen::default(),
        acted: Acted::default(),
    };
    let (mut heard, mut report) = (channels.region.heard.subscribe(), channels.report.subscribe());
    let mut words = channels.words.subscribe();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !shared.end.is_cancelled() {
        if let Some(heard) = heard.borrow_and_update().as_ref() {
            region.desk.hear(heard);
        }
        region.seen = report.borrow_and_update().as_deref().map(seen).unwrap_or_default();
        let words = words.borrow_and_update().regions.clone();
        region.turn(&words).await;
        tokio::select! {
            () = shared.end.cancelled() => break,
            _ = tick.tick() => {}
            (ticket, answer) = region.place.answered() => {
                region.desk.fence.answered(ticket, answer, uptime());
            }
            _ = heard.changed() => {}
            _ = report.changed() => {}
            () = region.stopping.changed() => {}
            () = region.stepper.ended() => {}
            () = region.probe.ended() => {}
            () = region.signals.ended() => {}
        }
    }
    region.regions.forget(shared.name.as_str());
}

/// Answers people where the agent is in no region.
async fn refuse(shared: &Shared, channels: &Channels) {
    let mut words = channels.words.subscribe();
    loop {
        let asked: Vec<String> =
            words.borrow_and_update().regions.iter().map(|word| word.uid.clone()).collect();
        let why = "this agent is in no region: it was started without --region".to_owned();
        let replies = asked.into_iter().map(|uid| (uid, (RequestState::Refused, why.clone())));
        channels.region.replies.send_replace(replies.collect());
        tokio::select! {
            () = shared.end.cancelled() => return,
            changed = words.changed() => if changed.is_err() { return },
        }
    }
}

impl Region<'_> {
    async fn turn(&mut self, words: &[RegionWord]) {
        if self.desk.settings().is_none() {
            self.stay_free(words);
            return;
        }
        let (now, time) = (uptime(), Timestamp::now());
        let replies = self.hear_people(words);
        let lift = self.desk.next_lift(&self.seen);
        let trial = self.channels.region.trial.borrow().clone();
        let data = self.measure(time);
        let found =
            regions::look(&self.seen, &self.acted.orders, &self.desk.fence, trial.as_ref(), data, time);
        self.desk.looked.take(found, self.probe.measured(), time);
        self.watch(time);
        let facts = self.facts();
        let told = self.seen.revision.as_ref().filter(|_| !self.seen.orders.frozen);
        let Some((decision, orders)) = self.desk.decide(&facts, told, now, time) else { return };
        if self.desk.memory != self.desk.saved && !self.save().await {
            self.desk.revert();
            if let Some(wish) = self.acted.wish.clone() {
                self.place.ask(&mut self.desk.fence, &wish).await;
            }
            return;
        }
        self.tell(&decision.news, time);
        self.tell_fault();
        tell_new(&self.channels.region.replies, replies);
        tell_new(&self.channels.region.lift, lift);
        self.act(decision, orders).await;
    }

    /// An environment without regions runs as if there were one.
    fn stay_free(&self, words: &[RegionWord]) {
        self.channels.region.gate.free();
        let why = || (RequestState::Refused, "this environment is in no region here".to_owned());
        self.channels
            .region
            .replies
            .send_replace(words.iter().map(|word| (word.uid.clone(), why())).collect());
        let orders = Some(Orders { heard: self.desk.heard().cloned(), ..Orders::default() });
        tell_new(&self.channels.region.orders, orders);
    }

    /// Hears what people ask; each is heard once, and what came of it is told until it is written.
    fn hear_people(&mut self, words: &[RegionWord]) -> RegionReplies {
        let known = self.channels.region.replies.borrow().clone();
        let answer = |word: &RegionWord| {
            let came = known.get(&word.uid).cloned().unwrap_or_else(|| {
                match self.desk.ask(word, &self.seen, uptime(), Timestamp::now()) {
                    Ok(said) => (RequestState::Done, said),
                    Err(why) => (RequestState::Refused, why),
                }
            });
            (word.uid.clone(), came)
        };
        words.iter().map(answer).collect()
    }

    fn facts(&self) -> Facts {
        let settings = self.desk.settings();
        let has_data = settings
            .and_then(|known| known.steps.get(&RegionStep::Data))
            .is_some_and(|step| step.job.is_some());
        let lag = match settings.is_some_and(|known| known.data_probe.is_some()) {
            true => self.probe.lag(),
            false if has_data => Lag::Unknown,
            // Where no Job promotes or restores anything there is nothing here that could be behind.
            false => Lag::By(Duration::ZERO),
        };
        let is_confirmed = self.stopping.is_confirmed();
        let is_ready = self.seen.standing(&self.acted.orders) == regions::Standing::Ready;
        let is_standby = self.desk.state().serving().is_none() && !self.acted.orders.frozen;
        Facts {
            preflights: self.desk.looked.facts(),
            lag,
            outcome: self.stepper.outcome(self.desk.state().run()),
            writers_are_guarded: self.seen.is_guarded,
            // Once all apps run what ends by itself, nothing older runs.
            writers_have_ends: self.seen.is_guarded && is_ready,
            writers_stopped: is_confirmed,
            frozen: self.acted.orders.frozen && self.seen.orders.frozen,
            drained: is_standby && is_confirmed && is_ready && !self.seen.is_pruning,
            scratch_left: Some(0),
        }
    }

    async fn save(&mut self) -> bool {
        let Some(store) = &self.hands.store else { return false };
        let value = match serde_json::to_value(&self.desk.memory) {
            Ok(value) => value,
            Err(error) => {
                tracing::error!(environment = %self.shared.name, %error, "what a region knows cannot be written down");
                return false;
            }
        };
        let saved = tokio::time::timeout(SAVED_WITHIN, store.save(vec![Change::Region(value)])).await;
        let why = match saved {
            Ok(Ok(())) => {
                self.desk.saved = self.desk.memory.clone();
                self.acted.untold = None;
                return true;
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("it took longer than {} s", SAVED_WITHIN.as_secs()),
        };
        if self.acted.untold.as_ref() != Some(&why) {
            tracing::warn!(environment = %self.shared.name, why, "what a region knows cannot be remembered, so nothing is done about it");
            self.acted.untold = Some(why);
        }
        false
    }

    /// Tells what happened; a halt once for as long as it stays the same.
    fn tell(&mut self, news: &[News], now: Timestamp) {
        if !news.iter().any(|news| matches!(news, News::Halted { .. })) {
            self.acted.halted = None;
        }
        for news in news {
            if let News::Halted { cause, .. } = news {
                let cause = cause.to_string();
                if self.acted.halted.replace(cause.clone()) == Some(cause) {
                    continue;
                }
            }
            let settings = self.desk.settings();
            // Facts that nobody takes in time are dropped, as all others are.
            let _ = self.channels.facts.try_send(regions::fact(news, &self.shared.name, settings));
            if let Some(history) = &self.shared.context.outlets.history
                && let Some(event) = regions::kept(news, &self.shared.name, settings, now)
            {
                history.tell_event(event);
            }
        }
    }

    async fn act(&mut self, decision: Decision, orders: Orders) {
        self.place.ask(&mut self.desk.fence, &decision.wish).await;
        self.acted.wish = Some(decision.wish.clone());
        let standing = self.seen.standing(&orders);
        let part = orders.part.as_ref();
        match decision.duties.writers {
            Writers::Stop => self.desk.is_restart = self.desk.state().serving().is_some(),
            _ if part.is_some_and(|part| part.writers.is_some()) && standing == regions::Standing::Ready => {
                self.desk.is_restart = false;
            }
            _ => {}
        }
        // What runs since before there were regions goes on until it is known that nobody else has it.
        if !self.desk.is_beginning() {
            self.see_to_writers(&decision);
            self.acted.orders = orders.clone();
            tell_new(&self.channels.region.orders, Some(orders));
            if let (Some(run), Some(settings)) = (self.desk.state().run(), self.desk.settings()) {
                let with = self.job_with();
                let job = move |run| tokio::spawn(regions::run_job(with, run));
                if self.stepper.go_on(run, decision.next.as_ref(), &standing, settings, job) {
                    // A Job writes: that nothing does was confirmed before it.
                    self.stopping.end();
                }
            }
        }
        let status = regions::status(
            &self.desk,
            &decision,
            &self.seen,
            self.stepper.waits_for(),
            self.stopping.left(),
        );
        if let Some(status) = &status {
            let lag = self.probe.measured().filter(|_| self.desk.state().serving().is_none());
            let gauges = regions::gauges(status, self.desk.fence.trouble().is_none(), lag);
            self.shared.context.metrics.region.stands(self.shared.name.as_str(), gauges);
        }
        tell_new(&self.channels.region.status, status.map(Arc::new));
    }

    /// Tells what is wrong with what git says of regions, once for as long as it stays the same.
    fn tell_fault(&mut self) {
        let fault = self.desk.state().words.fault().map(ToString::to_string);
        if fault != self.acted.fault
            && let Some(note) = &fault
        {
            let (warning, reason, note) = (true, "RegionNotFollowed", note.clone());
            let fact = Fact { app: None, what: What::Region { warning, reason, note } };
            let _ = self.channels.facts.try_send(fact);
        }
        self.acted.fault = fault;
    }

    fn see_to_writers(&mut self, decision: &Decision) {
        let gate = &self.channels.region.gate;
        let held = self.desk.fence.may_start(uptime()).zip(self.desk.fence.fresh_until());
        gate.hold(held, self.desk.fence.until().is_some());
        self.regions.leave(self.shared.name.as_str(), decision.duties.writers);
        match decision.duties.writers {
            Writers::Run { epoch, .. } => {
                self.stopping.end();
                gate.open(epoch, self.desk.fence.fresh_until().unwrap_or_default());
            }
            Writers::Keep => {
                self.stopping.end();
                gate.close();
            }
            Writers::Stop => {
                let environment = self.shared.platform.borrow().clone();
                self.stopping.begin(StopWith {
                    gate: gate.clone(),
                    session: self.hands.session.clone(),
                    environment: self.shared.name.to_string(),
                    namespaces: environment.spec.namespaces.clone(),
                    kinds: self
                        .channels
                        .inventoried
                        .borrow()
                        .marked
                        .as_ref()
                        .map(|of| of.inventory.kinds.clone()),
                    identity: self.hands.identity.clone(),
                });
            }
        }
    }

    fn job_with(&self) -> JobWith {
        JobWith {
            gate: self.channels.region.gate.clone(),
            pass: self.channels.region.gate.enter([]).ok(),
            session: self.hands.session.clone(),
            archive: self.channels.git.borrow().archive.clone(),
            revision: self.desk.heard().cloned(),
            identity: self.hands.identity.clone(),
        }
    }
}

/// Tells it where it is something else than what was told last.
fn tell_new<T: PartialEq>(channel: &watch::Sender<T>, now: T) {
    channel.send_if_modified(|known| {
        let new = *known != now;
        *known = now;
        new
    });
}
