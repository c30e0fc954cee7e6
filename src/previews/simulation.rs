//! Stories of previews: people that open, label, push, close and open again; a forge whose lists are old or empty, and that is
//! away; rules that cannot be read; namespaces that take long to go; and an agent that is killed at any step. At every
//! moment no more have a place than may, nothing runs without its fences, no namespace is without its Environment, and none
//! ends that has a reason to be there. At rest each pull request has what it is to have, and nothing else is left.

use fastrand::Rng;

use super::*;

const STORIES: u64 = 100;
const LIVELY: i64 = 6 * 3600;
const QUIET: i64 = 3600;
/// How old a list may be.
const STALE: i64 = 15;

#[derive(Clone, Debug)]
struct Truth {
    head: u64,
    is_open: bool,
    is_labelled: bool,
    is_fork: bool,
    active: Timestamp,
}

#[derive(Clone, Debug)]
struct Space {
    is_fenced: bool,
    gone_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Seen {
    made: u32,
    ended: u32,
    gone: u32,
    kills: u32,
    queued: u32,
    revived: u32,
    slept: u32,
    of_forks: u32,
}

/// How many pull requests there are, and how many of them may have a preview at once.
#[derive(Clone, Copy)]
struct Size {
    pulls: u64,
    max: usize,
}

struct Story {
    chance: Rng,
    size: Size,
    now: Timestamp,
    end: Timestamp,
    /// What was true, and from when on.
    truth: Vec<(Timestamp, BTreeMap<u64, Truth>)>,
    environments: BTreeMap<u64, Preview>,
    spaces: BTreeMap<u64, Space>,
    /// What the agent knows.
    pulls: BTreeMap<u64, Pull>,
    wishes: BTreeMap<u64, Wish>,
    seen: Seen,
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn rules(max: usize) -> Rules {
    Rules {
        label: Some("preview".into()),
        idle: SignedDuration::from_hours(72),
        cap: SignedDuration::from_hours(14 * 24),
        max,
        night: serde_json::from_str(r#"{"from": "10:00", "to": "12:00"}"#).ok(),
        forks: true,
    }
}

impl Story {
    fn new(size: Size, seed: u64) -> Self {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        Self {
            chance: Rng::with_seed(seed),
            size,
            now,
            end: now + seconds(LIVELY),
            truth: vec![(now, BTreeMap::new())],
            environments: BTreeMap::new(),
            spaces: BTreeMap::new(),
            pulls: BTreeMap::new(),
            wishes: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    fn is_lively(&self) -> bool {
        self.now < self.end
    }

    fn known(&self) -> &BTreeMap<u64, Truth> {
        &self.truth.last().expect("there is always one").1
    }

    fn change(&mut self, number: u64, change: impl Fn(&mut Truth)) {
        let mut all = self.known().clone();
        let new = Truth { head: 1, is_open: false, is_labelled: false, is_fork: false, active: self.now };
        change(all.entry(number).or_insert(new));
        self.truth.push((self.now, all));
    }

    fn people(&mut self) {
        let number = self.chance.u64(1..=self.size.pulls);
        let last = self.size.pulls;
        let now = self.now;
        // However many there are, each has as much said of it.
        match self.chance.u64(0..1800 / self.size.pulls) {
            0 => self.change(number, |truth| (truth.is_open, truth.active) = (true, now)),
            1 => self.change(number, |truth| truth.is_open = false),
            2..=4 => self.change(number, |truth| truth.is_labelled = true),
            5 => self.change(number, |truth| truth.is_labelled = false),
            6..=8 => self.change(number, |truth| {
                truth.head += 1;
                truth.active = now;
            }),
            9 => drop(self.wishes.insert(number, Wish::Start)),
            10 => drop(self.wishes.insert(number, Wish::Stop)),
            11 => drop(self.wishes.insert(number, Wish::Keep)),
            12 => self.change(number, |truth| truth.is_fork = number == last),
            _ => {}
        }
    }

    /// What a forge shows of then.
    fn at(&self, then: Timestamp) -> &BTreeMap<u64, Truth> {
        let found = self.truth.iter().rev().find(|(from, _)| *from <= then);
        found.map_or(&self.truth[0].1, |(_, all)| all)
    }

    fn poll(&mut self) {
        let then = if self.is_lively() { self.now - seconds(self.chance.i64(0..=STALE)) } else { self.now };
        match self.chance.u32(0..8) {
            // It is away, or its list is empty.
            0 | 1 if self.is_lively() => return,
            _ => {}
        }
        let shown = self.at(then).clone();
        for (number, truth) in shown {
            let is_known = self.environments.contains_key(&number) || self.pulls.contains_key(&number);
            if !truth.is_open && !is_known {
                continue;
            }
            // That one is closed is asked for by its number; the answer may be old, too.
            let labels: Vec<String> = if truth.is_labelled { vec!["preview".into()] } else { Vec::new() };
            let since = self.pulls.get(&number).and_then(|pull| pull.unlabelled_since);
            let pull = Pull {
                head: Revision::new(truth.head.to_string()),
                base: Revision::new("base"),
                is_over: !truth.is_open,
                unlabelled_since: labels.is_empty().then(|| since.unwrap_or(self.now)),
                labels,
                is_fork: truth.is_fork,
                active: truth.active,
            };
            self.pulls.insert(number, pull);
        }
        self.pulls.retain(|number, pull| !pull.is_over || self.environments.contains_key(number));
    }

    fn look(&mut self) {
        for (number, preview) in &mut self.environments {
            let away = self.now < self.end && self.chance.u32(0..20) == 0;
            preview.namespace = match self.spaces.get(number) {
                _ if away => NamespaceState::Unknown,
                None => NamespaceState::Absent,
                // Not all of it was made before the agent died.
                Some(space) if !space.is_fenced => NamespaceState::Absent,
                Some(space) => NamespaceState::There { is_going: space.gone_at.is_some() },
            };
            if let Some(Space { is_fenced: false, .. }) = self.spaces.get(number)
                && preview.ended.is_some()
                && preview.namespace == NamespaceState::Absent
            {
                preview.namespace = NamespaceState::There { is_going: false };
            }
        }
    }

    fn turn(&mut self) {
        self.look();
        let rules = rules(self.size.max);
        let readable = !self.is_lively() || self.chance.u32(0..10) > 0;
        let world = World {
            rules: readable.then_some(&rules),
            pulls: &self.pulls,
            previews: &self.environments,
            wishes: &self.wishes,
        };
        let decision = decide(&world, self.now);
        self.seen.queued += u32::try_from(decision.queue.len()).unwrap_or(0);
        for (number, step) in decision.steps {
            // The agent dies before it, or after it and before what comes next.
            if self.is_lively() && self.chance.u32(0..40) == 0 {
                self.kill();
                return;
            }
            self.take(number, &step);
        }
    }

    fn kill(&mut self) {
        self.seen.kills += 1;
        self.pulls.clear();
        // What somebody asked for is in a comment, which is read again.
    }

    fn take(&mut self, number: u64, step: &Step) {
        let truth = self.known().get(&number).cloned();
        match step {
            Step::Make { head, base, is_asked } | Step::Revive { head, base, is_asked } => {
                let places = self.environments.values().filter(|one| takes_place(one)).count();
                assert!(places < self.size.max, "{number} is one too many");
                let is_fork = self.pulls[&number].is_fork;
                let is_named = self.wishes.get(&number) == Some(&Wish::Start);
                assert!(!is_fork || is_named, "{number} is of a fork, and nobody named its commit");
                self.seen.of_forks += u32::from(is_fork);
                let is_new = matches!(step, Step::Make { .. });
                assert_eq!(is_new, !self.environments.contains_key(&number), "{number}");
                (self.seen.made, self.seen.revived) =
                    (self.seen.made + u32::from(is_new), self.seen.revived + u32::from(!is_new));
                let preview = Preview {
                    number,
                    head: head.clone(),
                    base: base.clone(),
                    is_asked: *is_asked,
                    is_fork,
                    is_asleep: false,
                    since: self.now,
                    active: self.now,
                    ended: None,
                    is_suspended: true,
                    namespace: NamespaceState::Absent,
                };
                self.environments.insert(number, preview);
                self.wishes.remove(&number);
            }
            Step::Fence => {
                let is_fenced = !self.is_lively() || self.chance.u32(0..4) > 0;
                self.spaces.insert(number, Space { is_fenced, gone_at: None });
            }
            Step::Open => {
                assert!(
                    self.spaces.get(&number).is_some_and(|space| space.is_fenced),
                    "{number} has no fences"
                );
                self.environments.entry(number).and_modify(|one| one.is_suspended = false);
            }
            Step::Update { head, base, active, since, is_asked, is_asleep } => {
                let preview = self.environments.get_mut(&number).expect("it is there");
                let is_named = self.wishes.get(&number) == Some(&Wish::Start);
                assert!(
                    !preview.is_fork || is_named || preview.head == *head,
                    "{number}: nobody named {head}"
                );
                if *is_asleep && !preview.is_asleep {
                    let night = rules(self.size.max).night.and_then(|night| night.around(self.now));
                    assert!(night.is_some_and(|(begin, _)| *active < begin), "{number}: it is no night");
                    self.seen.slept += 1;
                }
                preview.is_asleep = *is_asleep;
                preview.head = head.clone();
                preview.base = base.clone();
                (preview.active, preview.since, preview.is_asked) = (*active, *since, *is_asked);
                self.wishes.remove(&number);
            }
            Step::End(ended) => {
                let truth = truth.expect("nobody made it up");
                let lately = self
                    .truth
                    .iter()
                    .rev()
                    .take_while(|(from, _)| self.now.duration_since(*from) < seconds(2 * STALE));
                let mut lately: Vec<Truth> =
                    lately.filter_map(|(_, all)| all.get(&number).cloned()).collect();
                lately.extend(self.at(self.now - seconds(2 * STALE)).get(&number).cloned());
                lately.push(truth);
                match ended {
                    Ended::Closed => {
                        assert!(lately.iter().any(|one| !one.is_open), "{number} was never closed")
                    }
                    Ended::Unlabelled => {
                        assert!(
                            lately.iter().any(|one| !one.is_labelled),
                            "{number} had its label all the time"
                        );
                    }
                    Ended::Stopped => assert_eq!(self.wishes.remove(&number), Some(Wish::Stop), "{number}"),
                    Ended::Yielded => assert!(self.now >= self.environments[&number].active + YIELDS),
                    Ended::Idle | Ended::Cap => panic!("{number}: six hours are no time"),
                }
                self.seen.ended += 1;
                let preview = self.environments.get_mut(&number).expect("it is there");
                (preview.ended, preview.is_suspended) = (Some(*ended), true);
            }
            Step::Clear => {
                let long = self.chance.i64(1..60);
                if let Some(space) = self.spaces.get_mut(&number) {
                    space.gone_at.get_or_insert(self.now + seconds(long));
                }
            }
            Step::Forget => {
                assert!(!self.spaces.contains_key(&number), "{number}: its namespace is not gone");
                self.seen.gone += 1;
                self.environments.remove(&number);
                // A person's word to stop was about this one.
                self.wishes.remove(&number);
            }
        }
    }

    fn tell(mut self) -> Seen {
        while self.now < self.end + seconds(QUIET) {
            self.now += seconds(1);
            if self.is_lively() {
                self.people();
            } else {
                self.wishes.clear();
            }
            if self.now.as_second() % 15 == 0 {
                self.poll();
            }
            let now = self.now;
            self.spaces.retain(|_, space| space.gone_at.is_none_or(|at| now < at));
            if self.now.as_second() % 3 == 0 {
                self.turn();
            }
            for number in self.spaces.keys() {
                assert!(self.environments.contains_key(number), "{number}: a namespace with no Environment");
            }
        }
        self.check_rest();
        self.seen
    }

    fn check_rest(&self) {
        let mut running = 0;
        for (number, preview) in &self.environments {
            let truth = &self.known()[number];
            assert!(truth.is_open, "{number} is closed, and something is left of it: {preview:?}");
            if preview.ended.is_some() {
                assert!(!self.spaces.contains_key(number), "{number}: {preview:?}");
                continue;
            }
            running += 1;
            assert!(truth.is_labelled || preview.is_asked, "{number}: nobody wants it: {preview:?}");
            assert!(!preview.is_asleep, "{number}: it is day");
            let is_held = preview.is_fork || truth.is_fork;
            assert!(is_held || preview.head.as_str() == truth.head.to_string(), "{number}: {preview:?}");
            assert!(!preview.is_suspended && self.spaces[number].is_fenced, "{number}: {preview:?}");
        }
        for (number, truth) in self.known() {
            let wanted = truth.is_open && truth.is_labelled && !truth.is_fork;
            if wanted && !self.environments.contains_key(number) {
                assert_eq!(running, self.size.max, "{number} waits, and there is a place");
            }
        }
    }
}

fn tell(size: Size, stories: u64) -> Seen {
    let mut seen = Seen::default();
    for seed in 0..stories {
        let one = Story::new(size, seed).tell();
        seen.made += one.made;
        seen.ended += one.ended;
        seen.gone += one.gone;
        seen.kills += one.kills;
        seen.queued += one.queued;
        seen.revived += one.revived;
        seen.slept += one.slept;
        seen.of_forks += one.of_forks;
    }
    println!("{stories} stories: {seen:?}");
    seen
}

#[test]
fn no_preview_is_left_behind_and_none_ends_without_a_reason() {
    let seen = tell(Size { pulls: 6, max: 3 }, STORIES);
    assert!(seen.made > 1_000 && seen.ended > 1_000 && seen.gone > 1_000, "{seen:?}");
    assert!(seen.kills > 500 && seen.queued > 1_000 && seen.revived > 200, "{seen:?}");
    assert!(seen.slept > 50 && seen.of_forks > 5, "{seen:?}");
}

#[test]
fn thirty_pull_requests_share_ten_places() {
    let seen = tell(Size { pulls: 30, max: 10 }, STORIES / 10);
    assert!(seen.made > 300 && seen.gone > 300 && seen.kills > 100 && seen.queued > 10_000, "{seen:?}");
}
