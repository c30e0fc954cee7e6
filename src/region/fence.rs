//! May this region's writers run, and may it take over from another? Both sides of the fence, for one region.
//!
//! 1. A [`Wish`] says what the region is for: it looks, keeps what it has, announces itself, or wants to take over.
//! 2. [`Fence::next`] says what to ask the shared place, at most one thing at a time; [`Fence::answered`] takes what came of it.
//! 3. [`Fence::may_start`] and [`Fence::may_run`] say what the writers may do at this moment.
//!
//! The hold comes from a confirmed swap alone, never from a read, and counts from the moment at which that swap was *sent*. A
//! holder whose silence is a promise may run until `fence` after that, by its own clock. Another region takes over, by silence,
//! only when it has seen the holder's counter unmoved for `takeover`, by *its* own clock, and by a swap that is refused if the
//! counter moved meanwhile. It saw the counter after the holder sent it, so it waits longer than the holder runs, as long as
//! neither clock runs a third faster than the other. No two clocks are compared, and none has to be right.

use std::time::Duration;

use super::name::{Epoch, Moment, RegionName};
use super::record::{
    Answer, Attestation, Call, Claim, Hold, PlaceError, Proof, RegionRecord, Silence, Stamp, Stored,
};

/// The times of the fence.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often a holder renews.
    pub renew: Duration,
    /// After so long a call has no answer.
    pub attempt: Duration,
    /// The pause after a call that failed.
    pub pause: Duration,
    /// Writers may run so long after the last confirmed renewal was sent.
    pub fence: Duration,
    /// So much longer a writer may take to end.
    pub grace: Duration,
    /// A holder that renews nothing for so long has stopped.
    pub takeover: Duration,
    /// How often a region looks that wants to take over, and one that does not.
    pub poll: Duration,
    pub watch: Duration,
    /// A holder that gives up goes on renewing for so long while its writers end. After that it is silent.
    pub yields: Duration,
}

/// Writers of a region that is cut off end within 30 s, and another may run its own 60 s after the last sign of it. Renewals cost
/// about six writes a minute.
pub const TIMING: Timing = Timing {
    renew: Duration::from_secs(10),
    attempt: Duration::from_secs(5),
    pause: Duration::from_secs(1),
    fence: Duration::from_secs(30),
    grace: Duration::from_secs(10),
    takeover: Duration::from_secs(60),
    poll: Duration::from_secs(2),
    watch: Duration::from_secs(20),
    yields: Duration::from_secs(60),
};

const _: () = {
    assert!(TIMING.renew.as_millis() + 3 * TIMING.attempt.as_millis() < TIMING.fence.as_millis());
    assert!((TIMING.fence.as_millis() + TIMING.grace.as_millis()) * 4 / 3 < TIMING.takeover.as_millis());
};

/// What a region wants of the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub aim: Aim,
    /// What its silence is to mean, while it holds.
    pub silence: Silence,
    /// The highest epoch that it has frozen for.
    pub acknowledged: Epoch,
    /// No writer is left, nor can one start but by a new word of this process: a stop that this process asked for was confirmed.
    pub writers_stopped: bool,
    /// Nothing is left running of what it ran as the active region.
    pub drained: bool,
    pub attested: Option<Attestation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Only looks; what it holds it gives up once its writers have stopped.
    Watch,
    /// Serves at this epoch, until another claims a higher one.
    Keep(Epoch),
    /// Lets the holder know that it comes.
    Announce(Epoch),
    /// Wants to hold this epoch; whether the holder's silence is enough for that.
    Take { epoch: Epoch, by_silence: bool },
}

impl Aim {
    fn holds(self) -> Option<Epoch> {
        match self {
            Self::Keep(epoch) | Self::Take { epoch, .. } => Some(epoch),
            Self::Watch | Self::Announce(_) => None,
        }
    }
}

/// What is to be asked, and the number to give its answer back with.
pub type Asked = (u64, Call);

/// One process's view of the shared place, and what it holds there. Nothing of it outlives the process.
#[derive(Clone, Debug)]
pub struct Fence {
    me: RegionName,
    /// Tells this process from all others of the region.
    run: u64,
    timing: Timing,
    tickets: u64,
    known: Option<Known>,
    /// The known state may be an old one: it is read before anything is swapped.
    in_doubt: bool,
    sent: Option<Sent>,
    /// The last swap whose answer was lost.
    lost: Option<Sent>,
    holding: Option<Holding>,
    /// Since when this region gives up its hold to a claim.
    yields: Option<Moment>,
    not_before: Moment,
    trouble: Option<PlaceError>,
}

#[derive(Clone, Debug)]
struct Known {
    stored: Option<Stored>,
    /// When this process first saw the holder's counter as it is.
    unmoved_since: Moment,
    read: Moment,
}

#[derive(Clone, Debug)]
struct Sent {
    ticket: u64,
    begun: Moment,
    record: Option<RegionRecord>,
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    epoch: Epoch,
    /// When the last confirmed swap was sent.
    confirmed: Moment,
    /// When the writers end without another one; never, where they run on.
    end: Option<Moment>,
}

impl Fence {
    /// `run` is a number by chance, another one for each process.
    pub fn new(me: RegionName, run: u64, timing: Timing) -> Self {
        Self {
            me,
            run,
            timing,
            tickets: 0,
            known: None,
            in_doubt: false,
            sent: None,
            lost: None,
            holding: None,
            yields: None,
            not_before: Moment::ZERO,
            trouble: None,
        }
    }

    /// What stands in the shared place, as far as is known; `None` where there is none, or nothing was read yet.
    pub fn record(&self) -> Option<&RegionRecord> {
        self.known.as_ref()?.stored.as_ref().map(|stored| &stored.record)
    }

    pub fn was_read(&self) -> bool {
        self.known.is_some()
    }

    /// Why the place was of no use the last time.
    pub fn trouble(&self) -> Option<&PlaceError> {
        self.trouble.as_ref()
    }

    /// The epoch at which writers may be started: it was confirmed lately, and nobody waits for them to stop.
    pub fn may_start(&self, now: Moment) -> Option<Epoch> {
        let holding = self.holding.filter(|_| self.yields.is_none())?;
        let is_fresh = now < holding.confirmed + self.timing.fence;
        (is_fresh && holding.end.is_none_or(|end| now < end)).then_some(holding.epoch)
    }

    /// The epoch at which writers that run may go on.
    pub fn may_run(&self, now: Moment) -> Option<Epoch> {
        let holding = self.holding.filter(|_| self.yields.is_none())?;
        holding.end.is_none_or(|end| now < end).then_some(holding.epoch)
    }

    /// When writers end by themselves, if nothing is confirmed until then. It goes to what guards them.
    pub fn until(&self) -> Option<Moment> {
        self.holding?.end
    }

    /// When writers would end if this hold were a promise to stop: the end that they are given before it becomes one.
    pub fn fresh_until(&self) -> Option<Moment> {
        Some(self.holding?.confirmed + self.timing.fence)
    }

    /// The epoch that this region holds, be it that its writers have to stop.
    pub fn holds(&self) -> Option<Epoch> {
        Some(self.holding?.epoch)
    }

    pub fn is_yielding(&self) -> bool {
        self.yields.is_some()
    }

    /// For how long the holder has renewed nothing, as far as this process saw.
    pub fn silent_for(&self, now: Moment) -> Duration {
        self.known.as_ref().map_or(Duration::ZERO, |known| now.saturating_sub(known.unmoved_since))
    }

    /// The epoch for which this region can never have the hold: that of another, or of a claim that came first.
    pub fn overtaken(&self, epoch: Epoch) -> Option<(RegionName, Epoch)> {
        let record = self.record()?;
        if record.holder != self.me && record.epoch >= epoch {
            return Some((record.holder.clone(), record.epoch));
        }
        let claim = record.open_claim().filter(|claim| claim.region != self.me && claim.epoch >= epoch)?;
        Some((claim.region.clone(), claim.epoch))
    }

    /// What to ask the shared place now, if anything.
    pub fn next(&mut self, wish: &Wish, now: Moment) -> Option<Asked> {
        self.give_up_waiting(now);
        self.note_claims(wish, now);
        if self.sent.is_some() || now < self.not_before {
            return None;
        }
        let Some(known) = self.known.as_ref().filter(|_| !self.in_doubt) else {
            return Some(self.send(Call::Read, now));
        };
        if let Some(record) = self.change(wish, now) {
            let from = known.stored.as_ref().map(|stored| stored.version.clone());
            let record = RegionRecord {
                serial: self.record().map_or(0, |record| record.serial) + 1,
                written: Stamp { region: self.me.clone(), run: self.run, write: self.tickets + 1 },
                ..record
            };
            return Some(self.send(Call::Swap { from, record }, now));
        }
        let every = match wish.aim {
            Aim::Take { .. } | Aim::Announce(_) => self.timing.poll,
            Aim::Watch | Aim::Keep(_) => self.timing.watch,
        };
        (now >= known.read + every).then(|| self.send(Call::Read, now))
    }

    /// Takes an answer. One that came too late, or to another process, says nothing.
    pub fn answered(&mut self, ticket: u64, answer: Answer, now: Moment) {
        self.give_up_waiting(now);
        let Some(sent) = self.sent.take_if(|sent| sent.ticket == ticket) else { return };
        match answer {
            Answer::Read(stored) => self.take_read(stored, now),
            Answer::Swapped(version) => {
                self.trouble = None;
                if let Some(record) = sent.record {
                    self.take_hold(&record, sent.begun);
                    self.learn(Some(Stored { record, version }), now);
                }
            }
            Answer::Conflict => self.in_doubt = true,
            Answer::Failed(error) => {
                self.trouble = Some(error);
                self.not_before = now + self.timing.pause;
                self.lose(sent);
            }
        }
    }

    fn send(&mut self, call: Call, now: Moment) -> Asked {
        self.tickets += 1;
        let record = match &call {
            Call::Read => None,
            Call::Swap { record, .. } => Some(record.clone()),
        };
        // From here on it may be done at any time, whatever is heard of it.
        if let Some(record) = &record {
            match record.hold {
                Hold::Released if record.holder == self.me => self.holding = None,
                Hold::Held(Silence::Stops) if record.holder == self.me => {
                    let end = now + self.timing.fence;
                    if let Some(holding) = &mut self.holding {
                        holding.end.get_or_insert(end);
                    }
                }
                _ => {}
            }
        }
        self.sent = Some(Sent { ticket: self.tickets, begun: now, record });
        (self.tickets, call)
    }

    fn give_up_waiting(&mut self, now: Moment) {
        if let Some(sent) = self.sent.take_if(|sent| now >= sent.begun + self.timing.attempt) {
            self.lose(sent);
        }
    }

    fn lose(&mut self, sent: Sent) {
        if sent.record.is_some() {
            self.lost = Some(sent);
            self.in_doubt = true;
        }
    }

    fn take_read(&mut self, stored: Option<Stored>, now: Moment) {
        let known = self.record().map(|record| record.serial);
        let found = stored.as_ref().map_or(0, |stored| stored.record.serial);
        if let Some(known) = known.filter(|known| found < *known) {
            self.trouble = Some(PlaceError::Stale { place: "the shared place".into(), found, known });
            self.not_before = now + self.timing.pause;
            return;
        }
        self.trouble = None;
        self.in_doubt = false;
        let record = stored.as_ref().map(|stored| &stored.record);
        let written = record.map(|record| &record.written);
        let is_ours = |lost: &Sent| lost.record.as_ref().map(|record| &record.written) == written;
        if let (Some(record), Some(begun)) =
            (record.cloned(), self.lost.as_ref().filter(|lost| is_ours(lost)).map(|lost| lost.begun))
        {
            self.lost = None;
            self.take_hold(&record, begun);
        }
        let me = &self.me;
        if stored.as_ref().is_none_or(|stored| !stored.record.is_held_by(me)) {
            self.holding = None;
        }
        self.learn(stored, now);
    }

    /// Takes that this process wrote what stands there, by what it sent at that moment.
    fn take_hold(&mut self, record: &RegionRecord, begun: Moment) {
        self.holding = match record.hold {
            Hold::Held(silence) if record.holder == self.me => Some(Holding {
                epoch: record.epoch,
                confirmed: begun,
                end: (silence == Silence::Stops).then(|| begun + self.timing.fence),
            }),
            _ => None,
        };
    }

    fn learn(&mut self, stored: Option<Stored>, now: Moment) {
        let sign = |stored: Option<&Stored>| {
            stored.map(|Stored { record, .. }| (record.holder.clone(), record.epoch, record.counter))
        };
        let since = self.known.as_ref().filter(|known| sign(known.stored.as_ref()) == sign(stored.as_ref()));
        let unmoved_since = since.map_or(now, |known| known.unmoved_since);
        self.known = Some(Known { stored, unmoved_since, read: now });
    }

    /// Notes since when somebody waits for this region to stop.
    fn note_claims(&mut self, wish: &Wish, now: Moment) {
        let wanted = wish.aim.holds().unwrap_or_default();
        let claim =
            self.record().filter(|record| record.is_held_by(&self.me)).and_then(RegionRecord::open_claim);
        let is_claimed =
            claim.is_some_and(|claim| claim.ready && claim.region != self.me && claim.epoch > wanted);
        match (is_claimed, self.yields) {
            (true, None) => self.yields = Some(now),
            (false, Some(_)) => self.yields = None,
            _ => {}
        }
    }

    /// What should stand there in place of what does, if anything should. Its serial and stamp are set when it is sent.
    fn change(&self, wish: &Wish, now: Moment) -> Option<RegionRecord> {
        let Some(record) = self.record() else { return self.first(wish) };
        match record.hold {
            Hold::Held(_) if record.holder == self.me => self.as_holder(record, wish, now),
            Hold::Released => self.take_released(record, wish).or_else(|| self.beside(record, wish)),
            Hold::Held(silence) => {
                self.take_from(record, silence, wish, now).or_else(|| self.beside(record, wish))
            }
        }
    }

    /// An empty place proves something for the first epoch alone: later it has lost what stood there, or is another one.
    fn first(&self, wish: &Wish) -> Option<RegionRecord> {
        let epoch = wish.aim.holds()?;
        let proof = match &wish.attested {
            _ if epoch.is_first() => Proof::First,
            Some(word) if word.is_about(None) => {
                Proof::Attested { person: word.person.clone(), reason: word.reason.clone() }
            }
            _ => return None,
        };
        Some(RegionRecord {
            serial: 0,
            written: Stamp { region: self.me.clone(), run: self.run, write: 0 },
            epoch,
            holder: self.me.clone(),
            hold: Hold::Held(wish.silence),
            counter: 1,
            proof,
            acknowledged: epoch.max(wish.acknowledged),
            claim: None,
            drains: None,
        })
    }

    fn as_holder(&self, record: &RegionRecord, wish: &Wish, now: Moment) -> Option<RegionRecord> {
        let gives_up = self.yields.is_some() || wish.aim.holds().is_none();
        if gives_up && wish.writers_stopped {
            return Some(RegionRecord {
                hold: Hold::Released,
                counter: record.counter + 1,
                acknowledged: record.acknowledged.max(wish.acknowledged),
                ..record.clone()
            });
        }
        // Who can neither stop its writers nor say so is silent at last, so that silence can do for it.
        if self.yields.is_some_and(|since| now >= since + self.timing.yields) {
            return None;
        }
        let epoch = wish.aim.holds().map_or(record.epoch, |epoch| epoch.max(record.epoch));
        let next = RegionRecord {
            epoch,
            hold: Hold::Held(wish.silence),
            counter: record.counter + 1,
            acknowledged: record.acknowledged.max(wish.acknowledged).max(epoch),
            claim: record.claim.clone().filter(|claim| claim.epoch > epoch && claim.region != self.me),
            proof: if epoch > record.epoch { Proof::Released } else { record.proof.clone() },
            ..record.clone()
        };
        let confirmed = self.holding.map(|holding| holding.confirmed);
        let is_due = confirmed.is_none_or(|confirmed| now >= confirmed + self.timing.renew);
        let is_new =
            (next.epoch, next.hold, next.acknowledged) != (record.epoch, record.hold, record.acknowledged);
        (is_due || is_new).then_some(next)
    }

    fn take_released(&self, record: &RegionRecord, wish: &Wish) -> Option<RegionRecord> {
        let epoch = wish.aim.holds()?;
        let is_ours = record.holder == self.me;
        let may = match wish.aim {
            Aim::Keep(_) => is_ours && epoch >= record.epoch,
            _ => epoch > record.epoch || (is_ours && epoch == record.epoch),
        };
        (may && self.overtaken(epoch).is_none()).then(|| self.taken(record, wish, epoch, Proof::Released))
    }

    fn take_from(
        &self,
        record: &RegionRecord,
        silence: Silence,
        wish: &Wish,
        now: Moment,
    ) -> Option<RegionRecord> {
        let Aim::Take { epoch, by_silence } = wish.aim else { return None };
        let silent_for = self.silent_for(now);
        // A holder that is connected, whatever is said of it, has renewed within this time.
        if self.overtaken(epoch).is_some() || silent_for < self.timing.takeover {
            return None;
        }
        let word = wish.attested.as_ref().filter(|word| word.is_about(Some(record)));
        let proof = match word {
            _ if by_silence && silence == Silence::Stops => Proof::Silence { seconds: silent_for.as_secs() },
            Some(word) => Proof::Attested { person: word.person.clone(), reason: word.reason.clone() },
            None => return None,
        };
        Some(self.taken(record, wish, epoch, proof))
    }

    fn taken(&self, record: &RegionRecord, wish: &Wish, epoch: Epoch, proof: Proof) -> RegionRecord {
        let before = record.holder.clone();
        RegionRecord {
            epoch,
            holder: self.me.clone(),
            hold: Hold::Held(wish.silence),
            counter: record.counter + 1,
            proof,
            acknowledged: epoch.max(wish.acknowledged),
            claim: record.claim.clone().filter(|claim| claim.epoch > epoch && claim.region != self.me),
            drains: if before == self.me { record.drains.clone() } else { Some(before) },
            ..record.clone()
        }
    }

    /// What a region has to say that does not hold: that it comes, that it does not come after all, that it has drained.
    fn beside(&self, record: &RegionRecord, wish: &Wish) -> Option<RegionRecord> {
        let own = record.claim.as_ref().filter(|claim| claim.region == self.me);
        let wanted = match wish.aim {
            Aim::Take { epoch, .. } => Some((epoch, true)),
            Aim::Announce(epoch) => Some((epoch, false)),
            Aim::Watch | Aim::Keep(_) => None,
        };
        let claim =
            match wanted.filter(|(epoch, _)| self.overtaken(*epoch).is_none() && *epoch > record.epoch) {
                Some((epoch, ready)) => Some(Claim { region: self.me.clone(), epoch, ready }),
                None if own.is_some() => None,
                None => record.claim.clone(),
            };
        let drains = record.drains.clone().filter(|region| !(wish.drained && *region == self.me));
        let is_new = claim != record.claim || drains != record.drains;
        is_new.then(|| RegionRecord { claim, drains, ..record.clone() })
    }
}

#[cfg(test)]
mod tests;
