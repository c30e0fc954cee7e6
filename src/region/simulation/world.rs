//! Goes from one moment at which something is due to the next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::chance::{Chance, Millis, Storm};
use super::ledger::Ledger;
use super::place::Place;
use super::site::{Command, Site, name};
use super::story::{CALM, Person, Stimulus, Story};
use crate::region::settings::settings;
use crate::region::{
    Answer, Call, Epoch, Fence, Hold, Lag, Mode, Next, Preflight, RegionName, RegionRecord, RegionStep,
    Settings, Silence, Source, StepOutcome, StepSettings, TIMING, Word, Writers,
};

/// In a story every step may take so long: a minute and a half is longer than any wait for the fence.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// Has a person ask something of a region; without saying what, what is sensible.
pub type People = fn(&mut World, usize, Option<Person>);

enum Event {
    Stimulus(usize),
    Tick { site: usize, process: u64 },
    AtPlace { site: usize, process: u64, ticket: u64, call: Box<Call> },
    FromPlace { site: usize, process: u64, ticket: u64, answer: Box<Answer> },
    AtCluster { site: usize, process: u64, booted: Millis, command: Command },
    Confirmed { site: usize, process: u64, generation: u64 },
    StepDone { site: usize, process: u64, epoch: Epoch, step: RegionStep, attempt: u32, outcome: StepOutcome },
    Start { site: usize },
    PowerOn { site: usize },
    Calm,
    Person { site: usize },
}

pub struct World {
    pub now: Millis,
    pub chance: Chance,
    pub sites: Vec<Site>,
    pub settings: Settings,
    pub place: Place,
    pub ledger: Ledger,
    pub git: Word,
    pub lag: Duration,
    pub is_calm: bool,
    pub decisions: u64,
    pub asked: u64,
    people: People,
    aloud: bool,
    green: BTreeMap<Preflight, Result<(), String>>,
    queue: BinaryHeap<Reverse<(Millis, u64)>>,
    events: BTreeMap<u64, Event>,
    numbers: u64,
    pub fault: Option<String>,
}

impl World {
    pub fn new(story: &Story, people: People, aloud: bool) -> Self {
        let mut chance = Chance::new(story.seed);
        let names = ["one", "two", "three"];
        let mut settings = settings("one", &names[1..story.regions], 1);
        settings.when_cut_off = story.silence;
        let timeout = StepSettings { timeout: Some(STEP_TIMEOUT), job: None };
        settings.steps = RegionStep::ALL.into_iter().map(|step| (step, timeout.clone())).collect();
        let sites = (0..story.regions).map(|n| Site::new(n, story.guarded[n], &mut chance)).collect();
        let mut world = Self {
            now: 0,
            chance,
            sites,
            settings,
            place: Place::default(),
            ledger: Ledger::default(),
            git: commit(1, 0, Mode::Graceful),
            lag: Duration::from_secs(story.lag),
            is_calm: false,
            decisions: 0,
            asked: 0,
            people,
            aloud,
            green: Preflight::ALL.into_iter().map(|preflight| (preflight, Ok(()))).collect(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbers: 0,
            fault: None,
        };
        for site in 0..story.regions {
            world.at(0, Event::Start { site });
        }
        for (n, (at, _)) in story.stimuli.iter().enumerate() {
            world.at(*at, Event::Stimulus(n));
        }
        world.at(CALM, Event::Calm);
        world
    }

    fn at(&mut self, when: Millis, event: Event) {
        self.numbers += 1;
        self.queue.push(Reverse((when.max(self.now), self.numbers)));
        self.events.insert(self.numbers, event);
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            println!("{:>8} {}", self.now, what());
        }
    }

    /// Goes on until then, or until something is wrong.
    pub fn run_until(&mut self, until: Millis, story: &Story) -> Result<(), String> {
        while let Some(Reverse((when, number))) = self.queue.peek().copied().filter(|next| next.0.0 <= until)
        {
            self.queue.pop();
            self.now = when;
            if let Some(event) = self.events.remove(&number) {
                self.happen(event, story);
            }
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
        }
        self.now = until;
        Ok(())
    }

    pub fn push(&mut self, epoch: u64, active: usize, mode: Mode) {
        self.say(|| format!("git says epoch {epoch}, active {active}, {}", mode.as_str()));
        self.git = commit(epoch, active, mode);
    }

    fn happen(&mut self, event: Event, story: &Story) {
        match event {
            Event::Stimulus(n) => self.stimulate(&story.stimuli[n].1.clone()),
            Event::Tick { site, process } => self.tick(site, process),
            Event::AtPlace { site, process, ticket, call } => self.at_place(site, process, ticket, *call),
            Event::FromPlace { site, process, ticket, answer } => {
                let now = self.sites[site].clock.uptime(self.now);
                if let Some(process) = self.sites[site].process.as_mut().filter(|known| known.id == process) {
                    process.fence.answered(ticket, *answer, now);
                }
            }
            Event::AtCluster { site, process, booted, command } => {
                // What was under way when the region went off is gone, and a moment of before says nothing now.
                if booted == self.sites[site].clock.booted {
                    self.at_cluster(site, process, command);
                }
            }
            Event::Confirmed { site, process, generation } => {
                let site = &mut self.sites[site];
                let is_now = site.cluster.generation == generation && site.cluster.wanted.is_none();
                if let Some(process) = site.process.as_mut().filter(|known| known.id == process && is_now) {
                    process.memory.generation = Some(generation);
                    process.memory.stopped = process.memory.stop_sent.is_some();
                }
            }
            Event::StepDone { site, process, epoch, step, attempt, outcome } => {
                if let Some(process) = self.sites[site].process.as_mut().filter(|known| known.id == process) {
                    process.memory.outcome = Some((epoch, (step, attempt, outcome)));
                }
            }
            Event::Start { site } => self.start(site),
            Event::PowerOn { site } => self.power_on(site),
            Event::Calm => {
                self.say(|| "all faults end".to_owned());
                self.is_calm = true;
                self.chance.end_all();
                for site in 0..self.sites.len() {
                    self.sites[site].dies_at = None;
                    self.power_on(site);
                    self.start(site);
                    self.at(self.now + 40_000, Event::Person { site });
                }
            }
            Event::Person { site } => {
                (self.people)(self, site, None);
                self.at(self.now + 15_000, Event::Person { site });
            }
        }
    }

    fn stimulate(&mut self, stimulus: &Stimulus) {
        self.say(|| format!("{stimulus:?}"));
        match *stimulus {
            Stimulus::Push(epoch, active, mode) => self.push(epoch, active, mode),
            Stimulus::Storm(storm, site, length) => self.chance.begin(storm, site, self.now + length),
            Stimulus::Die(site, length) => self.die(site, length),
            Stimulus::DieAt(site, point, length) => self.sites[site].dies_at = Some((point, length)),
            Stimulus::Stall(site, length) => {
                if let Some(process) = &mut self.sites[site].process {
                    process.stalls = self.now + length;
                }
            }
            Stimulus::PowerOff(site, length) => {
                self.sites[site].is_on = false;
                self.sites[site].process = None;
                self.ledger.stop(site, self.now);
                self.at(self.now + length, Event::PowerOn { site });
            }
            Stimulus::Guard(site, is_wanted) => self.sites[site].wants_guard = is_wanted,
            Stimulus::Jump(site, by) => self.sites[site].clock.off += by,
            Stimulus::Person(site, person) => (self.people)(self, site, Some(person)),
        }
    }

    pub fn die(&mut self, site: usize, length: Millis) {
        self.say(|| format!("the agent of {site} dies for {length}"));
        self.sites[site].process = None;
        self.at(self.now + length, Event::Start { site });
    }

    fn start(&mut self, site: usize) {
        if !self.sites[site].is_on || self.sites[site].process.is_some() {
            return;
        }
        let process = self.sites[site].start(&mut self.chance);
        self.say(|| format!("an agent of {site} begins"));
        self.at(self.now, Event::Tick { site, process });
    }

    fn power_on(&mut self, site: usize) {
        let it = &mut self.sites[site];
        if it.is_on {
            return;
        }
        it.is_on = true;
        it.clock.booted = self.now;
        // Writers that nothing guards start as soon as there are nodes; the others wait for a word of the agent.
        if let (Some(epoch), false) = (it.cluster.wanted, it.is_guarded) {
            self.write(site, epoch, None);
        }
        self.start(site);
    }

    fn write(&mut self, site: usize, epoch: Epoch, end: Option<Millis>) {
        if let Err(fault) = self.ledger.write(site, epoch, self.now, end) {
            self.fault = Some(fault);
        }
    }

    fn tick(&mut self, site: usize, number: u64) {
        if self.sites[site].process.as_ref().is_none_or(|process| process.id != number) {
            return;
        }
        let pause =
            if self.is_calm { self.chance.between(1500, 2500) } else { self.chance.between(500, 1500) };
        self.at(self.now + pause, Event::Tick { site, process: number });
        let it = &mut self.sites[site];
        let Some(mut process) = it.process.take_if(|process| process.stalls <= self.now) else { return };
        self.decisions += 1;
        if self.now >= it.looks && !self.chance.is(Storm::NoGit, site, self.now) {
            it.looks = self.now + self.chance.between(2_000, 8_000);
            process.hear_git(&self.git);
        }
        if it.wants_guard {
            it.is_guarded = true;
        } else if promises_nothing(&process.fence, &it.name) {
            it.is_guarded = false;
        }
        let mut facts = process.facts(&self.green, it.is_guarded && it.wants_guard);
        if self.chance.is(Storm::Red, site, self.now) {
            facts.preflights.insert(Preflight::Capacity, Err("no room".to_owned()));
        }
        facts.writers_have_ends = self.ledger.end_of(site).is_some();
        facts.scratch_left = Some(it.scratch);
        facts.lag = Lag::By(self.lag_at(site));
        let it = &mut self.sites[site];
        let before = process.state.clone();
        let here = it.here(&self.settings, self.now);
        let decision = process.state.decide(&facts, &process.fence, here);
        let is_changed = process.state != before;
        let asked = process.fence.next(&decision.wish, here.now);
        let memory = &mut process.memory;
        memory.frozen = decision.duties.freeze;
        memory.drained = decision.duties.drain && memory.stopped;
        // It may die before it has remembered this, after that, and before it has done anything.
        let remembered = is_changed.then(|| process.state.clone());
        let (duties, next) = (decision.duties, decision.next);
        let epoch = process.state.run().map(|run| run.epoch);
        let is_drill = process.state.run().is_some_and(|run| run.is_drill());
        let begun = process.memory.begun;
        self.sites[site].process = Some(process);
        if is_changed && self.dies(site) {
            return;
        }
        if let Some(state) = remembered {
            self.say(|| format!("region {site}: {next:?} {duties:?} serving {:?}", state.serving()));
            self.sites[site].remembered = state;
            if self.dies(site) {
                return;
            }
        }
        if let Some((ticket, call)) = asked {
            let way = if self.chance.is(Storm::SlowPlace, site, self.now) { 8_000 } else { 50 };
            let when = self.now + self.chance.between(1, way);
            self.at(when, Event::AtPlace { site, process: number, ticket, call: Box::new(call) });
            if self.dies(site) {
                return;
            }
        }
        self.see_to_writers(site, number, duties.writers);
        if duties.clean_up && self.chance.one_of(2) {
            self.sites[site].scratch = self.sites[site].scratch.saturating_sub(1);
        }
        if let (Some(Next::Do { step, attempt }), Some(epoch)) = (next, epoch)
            && begun != Some((epoch, step, attempt))
        {
            let is_held = self.place.now().is_some_and(|record| record.is_held_by(&self.sites[site].name));
            if step.needs_the_fence() && !is_drill && !is_held {
                self.fault = Some(format!("at {} region {site} begins {step} and does not hold", self.now));
            }
            if let Some(process) = &mut self.sites[site].process {
                process.memory.begun = Some((epoch, step, attempt));
            }
            if is_drill {
                self.sites[site].scratch = 3;
            }
            let fails = self.chance.is(Storm::FailingSteps, site, self.now) && self.chance.one_of(2);
            let outcome = if fails { StepOutcome::Failed("chance".to_owned()) } else { StepOutcome::Done };
            let when = self.now + self.chance.between(200, 6_000);
            self.at(when, Event::StepDone { site, process: number, epoch, step, attempt, outcome });
        }
    }

    /// How far the data of a region are behind: what another writes is on its way for a while after it has stopped.
    fn lag_at(&self, site: usize) -> Duration {
        let others = (0..self.sites.len()).filter(|other| *other != site);
        let last = others.map(|other| self.ledger.end_of(other).unwrap_or(Millis::MAX)).max().unwrap_or(0);
        let is_caught_up = self.now > last.saturating_add(5_000)
            && self.place.now().is_some_and(|record| record.proof == crate::region::Proof::Released);
        if is_caught_up { Duration::ZERO } else { self.lag }
    }

    fn dies(&mut self, site: usize) -> bool {
        let Some((points, length)) = self.sites[site].dies_at else { return false };
        if points > 1 {
            self.sites[site].dies_at = Some((points - 1, length));
            return false;
        }
        self.sites[site].dies_at = None;
        self.die(site, length);
        true
    }

    fn see_to_writers(&mut self, site: usize, number: u64, duty: Writers) {
        let it = &mut self.sites[site];
        let Some(process) = &mut it.process else { return };
        let memory = &mut process.memory;
        let command = match duty {
            Writers::Keep => return,
            Writers::Stop => {
                // Again, if nothing was heard of it.
                if memory.stopped || memory.stop_sent.is_some_and(|sent| self.now < sent + 15_000) {
                    return;
                }
                memory.stop_sent = Some(self.now);
                Command::Stop
            }
            Writers::Run { epoch, until } => {
                (memory.stopped, memory.stop_sent) = (false, None);
                // It reads the objects before it writes them.
                Command::Run { epoch, until, generation: it.cluster.generation }
            }
        };
        let way = if self.chance.is(Storm::SlowCluster, site, self.now) { 10_000 } else { 100 };
        let when = self.now + self.chance.between(1, way);
        let booted = self.sites[site].clock.booted;
        self.at(when, Event::AtCluster { site, process: number, booted, command });
    }

    fn at_cluster(&mut self, site: usize, process: u64, command: Command) {
        let it = &mut self.sites[site];
        if !it.is_on {
            return;
        }
        match command {
            Command::Stop => {
                it.cluster.generation += 1;
                let was = it.cluster.wanted.take();
                let grace = u64::try_from(TIMING.grace.as_millis()).unwrap_or_default();
                if was.is_some() {
                    it.cluster.gone = self.now + self.chance.between(0, grace);
                    self.ledger.stop(site, it.cluster.gone);
                }
                let generation = it.cluster.generation;
                // What has ended is seen to have, a moment later.
                let when = it.cluster.gone.max(self.ledger.end_of(site).unwrap_or(0)).max(self.now) + 50;
                self.at(when, Event::Confirmed { site, process, generation });
            }
            Command::Run { epoch, until, generation } => {
                // Objects bear the epoch that they were started at, and none goes back.
                if generation != it.cluster.generation || it.cluster.wanted > Some(epoch) {
                    return;
                }
                let end = if it.is_guarded { until.map(|until| it.clock.when(until)) } else { None };
                if end.is_some_and(|end| end <= self.now) {
                    return;
                }
                it.cluster.wanted = Some(epoch);
                // What gives writers an end supersedes what would give them none.
                if end.is_some() && self.ledger.end_of(site).is_none() {
                    it.cluster.generation += 1;
                }
                // A writer that has to end takes a while for it.
                let grace = u64::try_from(TIMING.grace.as_millis()).unwrap_or_default();
                let end = end.map(|end| end + self.chance.between(0, grace));
                self.write(site, epoch, end);
            }
        }
    }

    fn at_place(&mut self, site: usize, process: u64, ticket: u64, call: Call) {
        if self.chance.is(Storm::NoPlace, site, self.now) || !self.sites[site].is_on {
            return;
        }
        let is_stale = self.chance.is(Storm::StaleReads, site, self.now) && self.chance.one_of(2);
        let behind = if is_stale { usize::try_from(self.chance.between(1, 6)).unwrap_or(1) } else { 0 };
        let shown = self.aloud.then(|| format!("{call:?}"));
        let answer = self.place.serve(call, behind);
        if let Some(shown) = shown {
            self.say(|| format!("place, for {site}: {shown}\n         {answer:?}"));
        }
        if self.chance.is(Storm::LostAnswers, site, self.now) && self.chance.one_of(2) {
            return;
        }
        let way = if self.chance.is(Storm::SlowPlace, site, self.now) { 8_000 } else { 50 };
        let when = self.now + self.chance.between(1, way);
        self.at(when, Event::FromPlace { site, process, ticket, answer: Box::new(answer) });
    }
}

/// Whether the silence of this region would prove nothing, so that its writers need not end by themselves.
fn promises_nothing(fence: &Fence, me: &RegionName) -> bool {
    let promises = |record: &RegionRecord| record.is_held_by(me) && record.hold == Hold::Held(Silence::Stops);
    fence.was_read() && fence.until().is_none() && !fence.record().is_some_and(promises)
}

fn commit(epoch: u64, active: usize, mode: Mode) -> Word {
    Word {
        epoch: Epoch(epoch),
        active: name(active),
        mode,
        from: Source::Git { commit: format!("c{epoch}") },
    }
}
