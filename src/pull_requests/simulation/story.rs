use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::forge::{Forge, ME};
use crate::api::{AppPhase, AppStatus, PersonSpec};
use crate::object::{AppName, Digest, Revision};
use crate::pull_requests::{
    Action, Answer, Book, Comment, Failure, Landing, Made, MadeEnvironment, Number, Outcome, Own,
    PullRequest, Reaction, State, StatusState, body,
};
use crate::review::Marker;

/// How old a list may be that the forge shows, and how late a request lands of an agent that was killed: together less
/// than [`SETTLE`](crate::pull_requests::SETTLE).
const STALE: i64 = 15;
const LATE: i64 = 10;
/// Events, and then quiet.
const LIVELY: i64 = 15 * 60;
const QUIET: i64 = 45 * 60;
const POLL: i64 = 15;

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub made: u32,
    pub edited: u32,
    pub removed: u32,
    pub kills: u32,
    pub kills_in_flight: u32,
    pub unanswered_makes: u32,
    pub deleted: u32,
    pub copied: u32,
    pub merges_told: u32,
    pub commands: u32,
    pub requests: u32,
    pub refusals: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.edited += other.edited;
        self.removed += other.removed;
        self.kills += other.kills;
        self.kills_in_flight += other.kills_in_flight;
        self.unanswered_makes += other.unanswered_makes;
        self.deleted += other.deleted;
        self.copied += other.copied;
        self.merges_told += other.merges_told;
        self.commands += other.commands;
        self.requests += other.requests;
        self.refusals += other.refusals;
    }
}

/// A request that is under way.
struct Flight {
    number: Number,
    action: Action,
    lands: Timestamp,
    answers: Timestamp,
    fault: Fault,
    result: Option<Result<Answer, Failure>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// 429, or a secondary limit: nothing is done.
    Limited,
    /// 502 before anything was done.
    Before,
    /// A reset, or a 502, once it was done.
    After,
}

pub struct Story {
    chance: Rng,
    now: Timestamp,
    end: Timestamp,
    forge: Forge,
    book: Book,
    flights: Vec<Flight>,
    /// Requests of an agent that is dead, which land all the same.
    late: Vec<Flight>,
    tip: u64,
    live: u64,
    /// Merges that are in the branch, and since when.
    merged: BTreeMap<Revision, Timestamp>,
    reported: BTreeMap<Number, Timestamp>,
    polled: Timestamp,
    last_write: Timestamp,
    /// The last of them, for people.
    writes: std::collections::VecDeque<String>,
    /// Commits that were told something which no comment says yet; and those of which that was so when an agent died: an
    /// agent that begins anew takes the comment's word.
    telling: BTreeSet<(Number, Revision)>,
    excused: BTreeSet<(Number, Revision)>,
    seen: Tally,
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn revision(n: u64) -> Revision {
    Revision::new(format!("{n:040x}"))
}

fn own() -> Own {
    Own { author: ME.to_owned(), cluster: Some("blue".to_owned()) }
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let mut story = Self {
            chance: Rng::with_seed(seed),
            now,
            end: now + seconds(LIVELY),
            forge: Forge::default(),
            book: Book::new(own(), now),
            flights: Vec::new(),
            late: Vec::new(),
            tip: 1,
            live: 1,
            merged: BTreeMap::new(),
            reported: BTreeMap::new(),
            polled: now - seconds(POLL),
            last_write: now,
            writes: std::collections::VecDeque::new(),
            telling: BTreeSet::new(),
            excused: BTreeSet::new(),
            seen: Tally::default(),
        };
        for number in 1..=3 {
            story.open(Number(number));
        }
        story.begin();
        story
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.chance.u32(0..n) == 0
    }

    fn is_lively(&self) -> bool {
        self.now < self.end
    }

    fn open(&mut self, number: Number) {
        let head = revision(number.0 * 1_000 + self.chance.u64(0..4));
        let pull = PullRequest { number, head, base: "main".to_owned(), ..PullRequest::default() };
        self.forge.set(pull, self.now);
    }

    /// An agent begins, with nothing but what it can read.
    fn begin(&mut self) {
        self.book = Book::new(own(), self.now);
        let environments = [("dev".to_owned(), "main".to_owned()), ("prod".to_owned(), "main".to_owned())];
        self.book.environments(environments.into(), self.now);
        self.book.tip("main", revision(self.tip), self.now);
        let ada = PersonSpec { login: "ada".into(), user: "ada".into(), ..PersonSpec::default() };
        self.book.people([("dev".to_owned(), vec![ada])].into());
        self.polled = self.now - seconds(POLL);
        self.reported.clear();
        self.land();
    }

    fn land(&mut self) {
        // The environment follows a minute after the merge, and is well another minute later.
        let holds = |since: &Timestamp| self.now.duration_since(*since) > seconds(60);
        let held = self.merged.iter().filter(|(_, since)| holds(since)).map(|(merge, _)| merge.clone());
        let holds: BTreeSet<Revision> = held.collect();
        let well = self.merged.values().all(|since| self.now.duration_since(*since) > seconds(120));
        for name in ["dev", "prod"] {
            let digest = Some(Digest::of(b"web"));
            let app = AppStatus {
                name: AppName::new("web").expect("a name"),
                phase: if well { AppPhase::Ready } else { AppPhase::Applying },
                desired: digest.clone(),
                effective: if well { digest } else { None },
                quarantined: None,
                objects: 1,
                wave: None,
                waiting_on: None,
                message: None,
                rollback: None,
                history: Vec::new(),
                adoption: None,
            };
            self.book.landed(name, Landing { holds: holds.clone(), suspended: false, apps: vec![app] });
        }
    }

    /// The report of a commit, as the world is now. Some moves come to the same.
    fn made(&self, head: &Revision) -> Made {
        let environment = |name: &str| MadeEnvironment {
            name: name.to_owned(),
            status: if self.live.is_multiple_of(3) { StatusState::Failure } else { StatusState::Success },
            short: format!("{} changes", self.live % 3),
            previewed: [("web".to_owned(), Some(Digest::of(b"web")))].into(),
        };
        let text = format!("## Report\n\n{head}, {} and {}  \n", self.tip / 2, self.live % 3);
        Made {
            marker: Marker::new(Some("blue"), &["dev", "prod"]),
            text,
            short: format!("{} changes", self.live % 3),
            environments: vec![environment("dev"), environment("prod")],
        }
    }

    pub fn tell(mut self) -> Tally {
        while self.now < self.end + seconds(QUIET) {
            self.now += seconds(1);
            if self.is_lively() {
                self.people();
                if self.one_in(150) {
                    self.kill();
                }
            }
            self.fly();
            self.poll();
            if self.now.as_second() % 7 == 0 {
                self.land();
            }
            for (number, action) in self.book.next(self.now) {
                self.send(number, action);
            }
        }
        self.check_rest();
        self.seen
    }

    fn people(&mut self) {
        let open: Vec<PullRequest> = self.forge.pulls(self.now);
        let Some(pull) = self.chance.choice(open) else { return };
        let number = pull.number;
        let is_open = pull.state == State::Open;
        match self.chance.u32(0..240) {
            0..=2 if is_open => {
                let head = revision(number.0 * 1_000 + self.chance.u64(0..4));
                self.forge.set(PullRequest { head, ..pull }, self.now);
            }
            3..=5 => {
                self.tip += 1;
                self.book.tip("main", revision(self.tip), self.now);
            }
            6..=9 => {
                self.live += 1;
                self.book.live_moved("dev", self.now);
            }
            10 | 11 => {
                // Anybody who may write there may delete any comment.
                let all = self.forge.comments(number, self.now);
                if let Some(comment) = self.chance.choice(all) {
                    self.seen.deleted += u32::from(comment.author == ME);
                    self.forge.delete(number, comment.id, self.now);
                }
            }
            12 | 13 => {
                if let Some(ours) = self.forge.ours(number, self.now).first().cloned() {
                    self.seen.copied += 1;
                    self.forge.write(number, "mallory", ours.body, self.now);
                }
            }
            14 => {
                // A person with the agent's own account.
                if let Some(ours) = self.forge.ours(number, self.now).first().cloned() {
                    self.forge.write(number, ME, ours.body, self.now);
                }
            }
            15 if is_open => self.forge.set(PullRequest { state: State::Closed, ..pull }, self.now),
            16 if is_open => {
                let merge = revision(90_000 + number.0);
                self.merged.insert(merge.clone(), self.now);
                let state = State::Merged { revision: merge, at: self.now };
                self.forge.set(PullRequest { state, ..pull }, self.now);
                self.tip += 1;
                self.book.tip("main", revision(self.tip), self.now);
            }
            18..=21 => {
                let (who, what) = match self.chance.u32(0..4) {
                    0 => ("mallory", "/fairlead rollback dev web"),
                    1 => ("ada", "/fairlead plan"),
                    _ => ("ada", "/fairlead rollback dev web"),
                };
                self.seen.commands += u32::from(who == "ada");
                self.forge.write(number, who, what.to_owned(), self.now);
            }
            22 => {
                let all = self.forge.comments(number, self.now);
                let theirs = all.into_iter().filter(|comment| comment.author != ME).collect::<Vec<_>>();
                if let Some(comment) = self.chance.choice(theirs) {
                    let body = "/fairlead rollback dev web".to_owned();
                    self.forge.edit_theirs(number, Comment { body, ..comment }, self.now);
                }
            }
            17 => {
                let number = Number(self.chance.u64(1..9));
                let there = self.forge.pull(number, self.now);
                if there.is_none_or(|pull| pull.state == State::Closed) {
                    self.open(number);
                }
            }
            _ => {}
        }
    }

    fn kill(&mut self) {
        self.seen.kills += 1;
        self.excused.append(&mut self.telling);
        self.seen.kills_in_flight += u32::from(!self.flights.is_empty());
        for mut flight in std::mem::take(&mut self.flights) {
            // A status that lands late stays until the next change: there is nothing by which it would be noticed.
            let is_write =
                matches!(flight.action, Action::Make { .. } | Action::Edit { .. } | Action::Remove(_));
            if is_write && flight.result.is_none() && self.chance.bool() {
                flight.lands = self.now + seconds(self.chance.i64(0..=LATE));
                self.late.push(flight);
            }
        }
        self.begin();
    }

    fn send(&mut self, number: Number, action: Action) {
        if let Action::Report(_) = &action {
            let before = self.reported.insert(number, self.now);
            let since = before.map(|before| self.now.duration_since(before));
            assert!(since.is_none_or(|since| since >= seconds(60)), "{number} was reported on {since:?} ago");
        }
        let fault = match self.chance.u32(0..12) {
            _ if !self.is_lively() => Fault::None,
            0 => Fault::Limited,
            1 => Fault::Before,
            2 => Fault::After,
            _ => Fault::None,
        };
        if fault == Fault::After && matches!(action, Action::Make { .. }) {
            self.seen.unanswered_makes += 1;
        }
        let lands = self.now + seconds(self.chance.i64(0..=3));
        let answers = lands + seconds(self.chance.i64(0..=3));
        self.flights.push(Flight { number, action, lands, answers, fault, result: None });
    }

    fn fly(&mut self) {
        for flight in std::mem::take(&mut self.late) {
            match flight.lands <= self.now {
                true => drop(self.do_it(&flight)),
                false => self.late.push(flight),
            }
        }
        for mut flight in std::mem::take(&mut self.flights) {
            if flight.result.is_none() && flight.lands <= self.now {
                flight.result = Some(match flight.fault {
                    Fault::Limited => {
                        Err(Failure::Limited { until: self.now + seconds(self.chance.i64(1..90)) })
                    }
                    Fault::Before => Err(match self.chance.bool() {
                        true => Failure::Away("502".to_owned()),
                        // Nobody can tell which.
                        false => Failure::Unknown("502".to_owned()),
                    }),
                    Fault::After => {
                        let _ = self.do_it(&flight);
                        Err(Failure::Unknown("reset".to_owned()))
                    }
                    Fault::None => self.do_it(&flight),
                });
            }
            match flight.result.take() {
                Some(result) if flight.answers <= self.now => {
                    self.book.hear(flight.number, &flight.action, result, self.now);
                }
                result => self.flights.push(Flight { result, ..flight }),
            }
        }
    }

    /// A moment of the past that a reader may be shown.
    fn shown(&mut self) -> Timestamp {
        match self.is_lively() && self.chance.u32(0..3) == 0 {
            true => self.now - seconds(self.chance.i64(0..=STALE)),
            false => self.now,
        }
    }

    fn do_it(&mut self, flight: &Flight) -> Result<Answer, Failure> {
        let number = flight.number;
        if !matches!(
            flight.action,
            Action::Report(_) | Action::Find | Action::Look(_) | Action::Ask | Action::Permit { .. }
        ) {
            self.last_write = self.now;
            self.writes.push_back(format!("{} {number} {:?}", self.now, flight.action));
            if self.writes.len() > 5 {
                self.writes.pop_front();
            }
        }
        Ok(match &flight.action {
            Action::Report(inputs) => Answer::Reported(self.made(&inputs.head)),
            Action::Find => {
                let at = self.shown();
                Answer::Found(self.forge.comments(number, at))
            }
            Action::Look(id) => {
                let at = self.shown();
                let all = self.forge.comments(number, at);
                Answer::Looked(all.into_iter().find(|comment| comment.id == *id))
            }
            Action::Make { body } => {
                self.seen.made += 1;
                self.telling.retain(|(of, _)| *of != number);
                Answer::Made(self.forge.make(number, body.clone(), self.now))
            }
            Action::Edit { comment, body } => {
                self.seen.edited += 1;
                self.telling.retain(|(of, _)| *of != number);
                match self.forge.edit(number, *comment, body.clone(), self.now) {
                    true => Answer::Edited,
                    false => Answer::Gone,
                }
            }
            Action::Remove(id) => {
                self.seen.removed += 1;
                self.forge.remove(number, *id, self.now);
                Answer::Removed
            }
            Action::Tell { revision, status } => {
                self.telling.insert((number, revision.clone()));
                self.forge.statuses.insert((revision.clone(), status.context.clone()), status.clone());
                Answer::Told
            }
            Action::Permit { login, .. } => Answer::Permitted(login == "ada"),
            Action::CarryOut(order) => {
                assert_eq!(order.login, "ada", "somebody who may not");
                if self.forge.requests.contains_key(&order.comment) {
                    Answer::CarriedOut(Outcome::Asked)
                } else if let Some(why) = &order.refused {
                    self.seen.refusals += 1;
                    Answer::CarriedOut(Outcome::Refused(why.clone()))
                } else {
                    let all = self.forge.comments(number, self.now);
                    let of = |comment: &&Comment| comment.id == order.comment;
                    let is_hers = all.iter().find(of).is_none_or(|comment| comment.author == "ada");
                    assert!(is_hers, "a comment of somebody else");
                    self.seen.requests += 1;
                    self.forge.requests.insert(order.comment, number);
                    Answer::CarriedOut(Outcome::Asked)
                }
            }
            Action::React { comment, reaction } => {
                self.forge.react(*comment, *reaction);
                Answer::Reacted
            }
            Action::Ask => {
                let at = self.shown();
                match self.forge.pull(number, at) {
                    Some(pull) => Answer::Asked(pull),
                    None => return Err(Failure::Refused("404".to_owned())),
                }
            }
        })
    }

    fn poll(&mut self) {
        if self.now.duration_since(self.polled) < seconds(POLL) {
            return;
        }
        self.polled = self.now;
        match self.chance.u32(0..10) {
            0 if self.is_lively() => {}
            // As if there were none, or no repository any more.
            1 if self.is_lively() => self.book.pulls(Vec::new(), self.now),
            _ => {
                let at = self.shown();
                self.book.pulls(self.forge.pulls(at), self.now);
            }
        }
    }

    /// Each command was answered, and what was asked for stands in our comment, for as long as there is room.
    fn check_commands(&self, number: Number) {
        let ours = self.forge.ours(number, self.now);
        let (_, record) = body::read(&ours[0].body).expect("a comment of ours");
        for comment in self.forge.comments(number, self.now) {
            if !comment.body.starts_with("/fairlead") {
                continue;
            }
            let reaction = self.forge.reactions.get(&comment.id);
            assert!(reaction.is_some(), "{number}: {comment:?} was not answered");
            let is_hers = comment.author == "ada";
            assert!(!is_hers || record.answered.contains(&comment.id.0), "{number}: {comment:?}, {record:?}");
            let is_shown = record.commands.iter().any(|line| line.id == comment.id.0);
            assert!(is_hers || !is_shown, "{number}: {comment:?} of who may not stands in our comment");
            if self.forge.requests.contains_key(&comment.id) {
                assert_eq!(reaction, Some(&Reaction::Taken), "{number}: {comment:?}");
            }
        }
    }

    fn check_rest(&mut self) {
        let rested = self.now.duration_since(self.last_write);
        assert!(rested > seconds(15 * 60), "it never comes to rest: {:#?}", self.writes);
        for pull in self.forge.pulls(self.now) {
            let ours = self.forge.ours(pull.number, self.now);
            match pull.state {
                State::Open => {
                    assert_eq!(ours.len(), 1, "{}", pull.number);
                    let (content, _) = body::read(&ours[0].body).expect("a comment of ours");
                    self.check_commands(pull.number);
                    let made = self.made(&pull.head);
                    assert_eq!(content.plan, made.text.trim(), "{}", pull.number);
                    let is_excused = self.excused.contains(&(pull.number, pull.head.clone()));
                    for status in made.statuses().filter(|_| !is_excused) {
                        let told = self.forge.statuses.get(&(pull.head.clone(), status.context.clone()));
                        assert_eq!(told, Some(&status), "{}", pull.number);
                    }
                }
                State::Merged { .. } => {
                    // What a person writes with our account once all is said stays.
                    if let Some(comment) = ours.first() {
                        let (content, record) = body::read(&comment.body).expect("a comment of ours");
                        assert!(content.outcome.is_some_and(|it| it.contains("applied and healthy")));
                        assert!(record.outcome.values().all(|landed| landed.state.is_final()));
                        assert!(record.outcome.values().all(|it| it.differing.as_deref() == Some(&[])));
                        self.seen.merges_told += 1;
                    }
                }
                State::Closed => {}
            }
        }
    }
}
