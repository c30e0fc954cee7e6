//! Replicas against an API server that is slow, loses requests and answers, and tells each what happened at its own
//! pace; replicas stall, die and come back, and their clocks start anywhere and run at different speeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;

use super::*;

const ENVIRONMENTS: usize = 6;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[derive(Clone, Debug)]
enum Event {
    Changed(SeenLease),
    Gone(ReplicaId),
}

#[derive(Clone, Debug)]
enum Request {
    Create(ReplicaId),
    Renew { id: ReplicaId, begun: Moment },
    Write { record: OwnershipRecord, base: Option<Version> },
    Bury { id: ReplicaId, version: Version },
}

#[derive(Clone, Debug)]
enum Answer {
    Renewed { id: ReplicaId, begun: Moment },
    Lost(ReplicaId),
    Wrote(Written),
    Nothing,
}

#[derive(Default)]
struct Server {
    version: u64,
    heartbeats: BTreeMap<ReplicaId, u64>,
    record: Option<(OwnershipRecord, u64)>,
    log: Vec<Event>,
}

impl Server {
    fn touch(&mut self, id: &ReplicaId) {
        self.version += 1;
        self.heartbeats.insert(id.clone(), self.version);
        let version = Version::new(self.version.to_string());
        self.log.push(Event::Changed(SeenLease::Heartbeat { id: id.clone(), version, scope: Share::All }));
    }

    fn handle(&mut self, request: &Request) -> Answer {
        match request {
            Request::Create(id) => {
                if !self.heartbeats.contains_key(id) {
                    self.touch(id);
                }
                Answer::Nothing
            }
            Request::Renew { id, begun } if self.heartbeats.contains_key(id) => {
                self.touch(id);
                Answer::Renewed { id: id.clone(), begun: *begun }
            }
            Request::Renew { id, .. } => Answer::Lost(id.clone()),
            Request::Write { record, base } => {
                let now = self.record.as_ref().map(|(_, version)| Version::new(version.to_string()));
                if now != *base {
                    return Answer::Wrote(Written::Conflict);
                }
                self.version += 1;
                self.record = Some((record.clone(), self.version));
                let version = Version::new(self.version.to_string());
                self.log.push(Event::Changed(SeenLease::Record {
                    record: record.clone(),
                    version: version.clone(),
                }));
                Answer::Wrote(Written::Done { record: record.clone(), version })
            }
            Request::Bury { id, version } => {
                if self.heartbeats.get(id).is_some_and(|known| known.to_string() == version.as_str()) {
                    self.version += 1;
                    self.heartbeats.remove(id);
                    self.log.push(Event::Gone(id.clone()));
                }
                Answer::Nothing
            }
        }
    }
}

struct Replica {
    number: usize,
    session: u32,
    id: ReplicaId,
    joined: bool,
    lost: bool,
    /// Of the clock: where it began, and thousandths of true time that it makes in one.
    offset: Duration,
    rate: u32,
    cursor: usize,
    member: Member,
    fence_until: Moment,
    renew_at: Moment,
    /// With the true time at which the loop ends, where it was told to.
    running: BTreeMap<String, Option<Duration>>,
    frozen_until: Duration,
    dead: bool,
}

impl Replica {
    fn clock(&self, now: Duration) -> Moment {
        self.offset + now * self.rate / 1000
    }

    /// Would write for this environment if it wanted to.
    fn owns(&self, environment: &str, now: Duration) -> bool {
        !self.dead
            && !self.lost
            && self.running.contains_key(environment)
            && self.clock(now) < self.fence_until
    }

    fn rename(&mut self) {
        self.session += 1;
        self.id = ReplicaId::new(format!("replica-{}-{}", self.number, self.session));
        (self.joined, self.lost) = (false, false);
        (self.fence_until, self.renew_at) = (Duration::ZERO, Duration::ZERO);
    }
}

/// A request on its way: when it reaches the server, when the answer is there, and whether that is lost.
struct Flight {
    from: usize,
    request: Request,
    arrives: Option<Duration>,
    answered: Duration,
    answer: Option<Answer>,
    answer_lost: bool,
}

struct World {
    now: Duration,
    rng: Rng,
    timing: Timing,
    server: Server,
    replicas: Vec<Replica>,
    flights: Vec<Flight>,
    calm: bool,
}

impl World {
    fn new(seed: u64, timing: Timing, rates: std::ops::Range<u32>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let replicas = (0..3)
            .map(|number| Replica {
                number,
                session: 0,
                id: ReplicaId::new(format!("replica-{number}-0")),
                joined: false,
                lost: false,
                offset: millis(rng.u64(0..10_000_000)),
                rate: rng.u32(rates.clone()),
                cursor: 0,
                member: Member::default(),
                fence_until: Duration::ZERO,
                renew_at: Duration::ZERO,
                running: BTreeMap::new(),
                frozen_until: Duration::ZERO,
                dead: false,
            })
            .collect();
        let server = Server::default();
        Self { now: Duration::ZERO, rng, timing, server, replicas, flights: Vec::new(), calm: false }
    }

    fn send(&mut self, from: usize, request: Request) {
        let slow = if self.calm { 20 } else { 3000 };
        let way = |rng: &mut Rng| millis(if rng.u8(..) < 220 { rng.u64(1..60) } else { rng.u64(1..=slow) });
        let lost = !self.calm && self.rng.u8(..) < 20;
        let arrives = self.now + way(&mut self.rng);
        let answered = arrives + way(&mut self.rng);
        let answer_lost = !self.calm && self.rng.u8(..) < 20;
        self.flights.push(Flight {
            from,
            request,
            arrives: (!lost).then_some(arrives),
            answered,
            answer: None,
            answer_lost: answer_lost || lost,
        });
    }

    fn arrivals(&mut self) {
        let now = self.now;
        self.flights.sort_by_key(|flight| flight.arrives);
        for flight in &mut self.flights {
            if flight.arrives.is_some_and(|at| at <= now) {
                flight.arrives = None;
                flight.answer = Some(self.server.handle(&flight.request));
            }
        }
    }

    fn answers(&mut self, number: usize) {
        let now = self.now;
        let due =
            |flight: &Flight| flight.from == number && flight.arrives.is_none() && flight.answered <= now;
        let (ready, rest) = std::mem::take(&mut self.flights).into_iter().partition::<Vec<_>, _>(due);
        self.flights = rest;
        let replica = &mut self.replicas[number];
        let clock = replica.clock(now);
        for flight in ready {
            let answer = if flight.answer_lost { None } else { flight.answer };
            match (answer, &flight.request) {
                (Some(Answer::Renewed { id, begun }), _) if id == replica.id => {
                    replica.fence_until = begun + self.timing.fence;
                }
                (Some(Answer::Lost(id)), _) if id == replica.id && replica.joined => replica.lost = true,
                (Some(Answer::Wrote(written)), _) => replica.member.wrote(written, clock),
                (None, Request::Write { .. }) => replica.member.wrote(Written::Unknown, clock),
                _ => {}
            }
        }
    }

    fn step(&mut self, number: usize) {
        let now = self.now;
        if self.replicas[number].dead || now < self.replicas[number].frozen_until {
            return;
        }
        self.answers(number);
        let due = self.rng.usize(0..8);
        let replica = &mut self.replicas[number];
        let clock = replica.clock(now);
        let news = self.server.log.iter().skip(replica.cursor).take(if self.calm { usize::MAX } else { due });
        for event in news {
            replica.cursor += 1;
            match event.clone() {
                Event::Changed(seen) => replica.member.view.changed(seen, clock),
                Event::Gone(id) => {
                    replica.member.view.gone(&id);
                    replica.lost |= id == replica.id;
                }
            }
        }
        if replica.cursor == self.server.log.len() && !replica.member.view.is_complete() {
            let known = replica.member.view.clone();
            let mut all: Vec<SeenLease> = known
                .peers()
                .iter()
                .map(|(id, peer)| SeenLease::Heartbeat {
                    id: id.clone(),
                    version: peer.version.clone(),
                    scope: Share::All,
                })
                .collect();
            if let (Some(record), Some(version)) = (known.record(), known.record_version()) {
                all.push(SeenLease::Record { record: record.clone(), version: version.clone() });
            }
            replica.member.view.all(all, clock);
        }
        replica.running.retain(|_, ends| ends.is_none_or(|at| now < at));
        if replica.lost && replica.running.is_empty() {
            replica.rename();
        }
        let mut requests = Vec::new();
        if clock >= replica.renew_at && !replica.lost {
            let id = replica.id.clone();
            if replica.joined {
                requests.push(Request::Renew { id, begun: clock });
            } else {
                replica.joined = true;
                requests.push(Request::Create(id));
            }
            replica.renew_at = clock + if replica.joined { self.timing.renew } else { self.timing.attempt };
        }
        let known: BTreeSet<String> = (0..ENVIRONMENTS).map(|n| format!("env-{n}")).collect();
        let running: BTreeSet<String> = replica.running.keys().cloned().collect();
        let held = !replica.lost && clock < replica.fence_until;
        let me = replica.id.clone();
        let situation = Situation { me: &me, held, known: &known, running: &running, now: clock };
        let decision = replica.member.decide(&situation, &self.timing);
        let slow = if self.calm { 50 } else { 3000 };
        for (environment, ends) in &mut replica.running {
            if !decision.run.contains_key(environment) && ends.is_none() {
                *ends = Some(now + millis(self.rng.u64(0..slow)));
            }
        }
        for environment in decision.run.keys() {
            // One that is still ending is begun when it has ended.
            replica.running.entry(environment.clone()).or_insert(None);
        }
        requests.extend(decision.write.map(|(record, base)| Request::Write { record, base }));
        requests.extend(decision.bury.into_iter().map(|(id, version)| Request::Bury { id, version }));
        for request in requests {
            self.send(number, request);
        }
    }

    fn harm(&mut self) {
        let number = self.rng.usize(0..3);
        let now = self.now;
        let replica = &mut self.replicas[number];
        match self.rng.u32(0..400) {
            0..=5 => replica.frozen_until = now + millis(self.rng.u64(100..25_000)),
            6 => replica.dead = true,
            7..=20 if replica.dead => {
                replica.dead = false;
                replica.running.clear();
                replica.member = Member::default();
                replica.cursor = 0;
                replica.rename();
                self.flights.retain(|flight| flight.from != number);
            }
            _ => {}
        }
    }

    /// The first environment that two own by their own reckoning, if any.
    fn two_owners(&self) -> Option<String> {
        (0..ENVIRONMENTS).map(|n| format!("env-{n}")).find(|environment| {
            self.replicas.iter().filter(|replica| replica.owns(environment, self.now)).count() > 1
        })
    }

    fn run(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        while self.now < end {
            self.now += millis(self.rng.u64(1..250));
            if !self.calm {
                self.harm();
            }
            self.arrivals();
            let mut order = [0, 1, 2];
            self.rng.shuffle(&mut order);
            for number in order {
                self.step(number);
                if let Some(environment) = self.two_owners() {
                    return Err(format!("at {:?} two replicas own {environment}", self.now));
                }
            }
        }
        Ok(())
    }

    fn calm_down(&mut self) {
        self.calm = true;
        for replica in &mut self.replicas {
            replica.frozen_until = Duration::ZERO;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn never_two_owners_and_in_the_end_each_environment_has_one(seed in any::<u64>()) {
        let mut world = World::new(seed, TIMING, 900..1100);
        prop_assert_eq!(world.run(Duration::from_secs(180)), Ok(()));
        world.calm_down();
        prop_assert_eq!(world.run(Duration::from_secs(60)), Ok(()));
        let now = world.now;
        let alive: Vec<&Replica> = world.replicas.iter().filter(|replica| !replica.dead).collect();
        for n in 0..ENVIRONMENTS {
            let name = format!("env-{n}");
            let owners = alive.iter().filter(|replica| replica.owns(&name, now)).count();
            prop_assert_eq!(owners, usize::from(!alive.is_empty()), "owners of {}", name);
        }
        let loads: Vec<usize> = alive.iter().map(|replica| replica.running.len()).collect();
        let (least, most) = (loads.iter().min().copied().unwrap_or(0), loads.iter().max().copied().unwrap_or(0));
        prop_assert!(most - least <= 1, "{loads:?}");
    }

    #[test]
    fn a_death_is_made_good_within_12_seconds(seed in any::<u64>()) {
        let mut world = World::new(seed, TIMING, 1000..1001);
        world.calm = true;
        prop_assert_eq!(world.run(Duration::from_secs(20)), Ok(()));
        let victim = world.rng.usize(0..3);
        world.replicas[victim].dead = true;
        prop_assert_eq!(world.run(Duration::from_secs(12)), Ok(()));
        let now = world.now;
        for n in 0..ENVIRONMENTS {
            let name = format!("env-{n}");
            prop_assert!(world.replicas.iter().any(|replica| replica.owns(&name, now)), "nobody has {}", name);
        }
    }
}

/// The simulation can see two owners: it does where the dead are buried before they stop by themselves.
#[test]
fn margins_that_are_too_small_are_found_out() {
    let hasty = Timing { takeover: Duration::from_secs(5), ..TIMING };
    let caught =
        (0..64).filter(|seed| World::new(*seed, hasty, 900..1100).run(Duration::from_secs(180)).is_err());
    assert!(caught.count() > 0);
}
