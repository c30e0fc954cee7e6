//! Decides what is done for the pull requests of a repository: when a report is made, what becomes of the one comment that
//! has it, what commits are told, and what is said once a merge was rolled out.
//!
//! [`Book`] is told what was seen ([`Book::pulls`], [`Book::tip`], [`Book::live_moved`], [`Book::landed`]), says what to
//! begin ([`Book::next`]), and is told what came of it ([`Book::hear`]). It keeps nothing that must not be lost: what an
//! agent that begins anew has to know stands in the comment itself ([`record`]).
//!
//! A forge is no witness that something is gone. An error, an empty list or an old one ends nothing: a pull request is
//! over when the forge says of that very one that it is closed or merged, and a comment is gone when the forge says of
//! that very one that it does not exist.

mod action;
mod after;
mod body;
mod case;
mod commands;
mod made;
mod pace;
mod record;
mod sticky;
mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;

use action::Shared;
pub use action::{Action, Answer};
pub use after::Landing;
use case::{Case, FOLLOWED, Next};
pub use commands::{Command, CommandLine, LineState, Order, Outcome, Spoken, TAKEN, request_name, resolve};
pub use made::{Made, MadeEnvironment, context};
pub use pace::Inputs;
use pace::Pace;
pub use sticky::{Own, SETTLE};
pub use words::{Comment, CommentId, Failure, Number, PullRequest, Reaction, State, Status, StatusState};

use crate::api::{PersonSpec, RequestState};
use crate::object::Revision;

/// Reports of one repository that are made at once: the rest of the agent needs the machine as well.
const REPORTS: usize = 1;
/// Requests of one repository that are under way at once. Forges ask not to be asked in parallel.
const REQUESTS: usize = 2;

/// All pull requests of a repository that concern somebody here.
pub struct Book {
    shared: Shared,
    cases: BTreeMap<Number, Case>,
    /// Who was here before may have made comments until shortly before this.
    since: Timestamp,
    /// The highest number that a list had: what is above it is new, and nobody before us has seen it.
    highest: Option<Number>,
    /// Those that need nobody any more, as they were then.
    over: BTreeMap<Number, Over>,
    limited: Option<Timestamp>,
    reports: usize,
    requests: usize,
}

struct Over {
    at: Timestamp,
    stamp: String,
    pace: Pace,
}

impl Book {
    pub fn new(own: Own, now: Timestamp) -> Self {
        let shared = Shared {
            own,
            environments: BTreeMap::new(),
            tips: BTreeMap::new(),
            landings: BTreeMap::new(),
            people: BTreeMap::new(),
        };
        Self {
            shared,
            cases: BTreeMap::new(),
            since: now,
            highest: None,
            over: BTreeMap::new(),
            limited: None,
            reports: 0,
            requests: 0,
        }
    }

    /// Which environments there are, each with the branch that it follows.
    pub fn environments(&mut self, environments: BTreeMap<String, String>, now: Timestamp) {
        if self.shared.environments == environments {
            return;
        }
        self.shared.tips.retain(|tip, _| environments.values().any(|branch| branch == tip));
        self.shared.landings.retain(|name, _| environments.contains_key(name));
        self.shared.environments = environments;
        self.cases.values_mut().for_each(|case| {
            case.live += 1;
            case.moved(now);
        });
    }

    /// Who may give commands in comments, by environment.
    pub fn people(&mut self, people: BTreeMap<String, Vec<PersonSpec>>) {
        self.shared.people = people;
    }

    /// The Requests that are followed: for which comment each was made, and of which environment it was asked.
    pub fn asked(&self) -> Vec<(Number, CommentId, String)> {
        let of = |(number, case): (&Number, &Case)| {
            let number = *number;
            case.commands
                .asked()
                .map(move |(comment, environment)| (number, comment, environment.to_owned()))
                .collect::<Vec<_>>()
        };
        self.cases.iter().flat_map(of).collect()
    }

    /// What is said of the previews of each; of the others nothing.
    pub fn previews(&mut self, texts: &BTreeMap<Number, String>) {
        for (number, case) in &mut self.cases {
            case.preview = texts.get(number).map(|lines| format!("### Previews\n\n{lines}"));
        }
    }

    /// Those that are open, and when somebody last pushed or wrote a comment.
    pub fn open(&self) -> impl Iterator<Item = (&PullRequest, Option<Timestamp>)> {
        self.cases.values().filter(|case| case.is_open()).map(|case| (&case.pull, case.active()))
    }

    /// What came of commands since that was asked last, but for those that became Requests.
    pub fn take_told(&mut self) -> Vec<(Number, CommandLine)> {
        let of = |(number, case): (&Number, &mut Case)| {
            let number = *number;
            case.commands.take_told().into_iter().map(move |line| (number, line)).collect::<Vec<_>>()
        };
        self.cases.iter_mut().flat_map(of).collect()
    }

    /// What came of such a Request by now.
    pub fn requested(
        &mut self,
        (number, comment): (Number, CommentId),
        state: RequestState,
        message: Option<&str>,
    ) {
        if let Some(case) = self.cases.get_mut(&number) {
            case.requested(comment, state, message);
        }
    }

    /// The branches that matter.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.shared.environments.values().map(String::as_str)
    }

    /// The environments that follow a branch.
    pub fn environments_of<'a>(&'a self, base: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.shared.environments.iter();
        all.filter(move |(_, branch)| *branch == base).map(|(name, _)| name.as_str())
    }

    /// A list of the forge: all that are open, and those that were merged of late.
    pub fn pulls(&mut self, pulls: Vec<PullRequest>, now: Timestamp) {
        for case in self.cases.values_mut() {
            if case.is_open() && !pulls.iter().any(|pull| pull.number == case.number()) {
                case.missed();
            }
        }
        let highest = self.highest;
        self.highest = pulls.iter().map(|pull| pull.number).chain(highest).max().or(Some(Number(0)));
        for pull in pulls {
            if let Some(case) = self.cases.get_mut(&pull.number) {
                case.seen(pull, now);
                continue;
            }
            let over = self.over.get(&pull.number);
            let matters = match &pull.state {
                State::Open => true,
                State::Merged { at, .. } => {
                    now.duration_since(*at) < FOLLOWED && over.is_none_or(|over| over.stamp != pull.stamp)
                }
                State::Closed => false,
            };
            if matters && self.bases().any(|base| base == pull.base) {
                let is_new = highest.is_some_and(|highest| pull.number > highest);
                let certain_from = if is_new { now } else { now + SETTLE };
                let certain_from = certain_from.max(self.since + SETTLE);
                let mut case = Case::new(pull, certain_from, now);
                if let Some(over) = self.over.remove(&case.number()) {
                    case.resume(over.pace);
                }
                self.cases.insert(case.number(), case);
            }
        }
    }

    /// The newest commit of a branch.
    pub fn tip(&mut self, branch: &str, revision: Revision, now: Timestamp) {
        let before = self.shared.tips.insert(branch.to_owned(), revision.clone());
        if before.as_ref() != Some(&revision) {
            self.cases.values_mut().filter(|case| case.pull.base == branch).for_each(|case| case.moved(now));
        }
    }

    /// Something of an environment is not as it was in the cluster.
    pub fn live_moved(&mut self, environment: &str, now: Timestamp) {
        let Some(branch) = self.shared.environments.get(environment) else { return };
        for case in self.cases.values_mut().filter(|case| case.pull.base == *branch) {
            case.live += 1;
            case.moved(now);
        }
    }

    /// Where an environment stands.
    pub fn landed(&mut self, environment: &str, landing: Landing) {
        self.shared.landings.insert(environment.to_owned(), landing);
    }

    /// The merges of which it is to be known whether an environment has them.
    pub fn merges(&self) -> Vec<Revision> {
        let merge = |case: &Case| match &case.pull.state {
            State::Merged { revision, .. } => Some(revision.clone()),
            _ => None,
        };
        self.cases.values().filter_map(merge).collect()
    }

    pub fn pull(&self, number: Number) -> Option<&PullRequest> {
        self.cases.get(&number).map(|case| &case.pull)
    }

    /// What is to be begun now; what is given here is taken to be under way until [`Book::hear`].
    pub fn next(&mut self, now: Timestamp) -> Vec<(Number, Action)> {
        let (mut wanted, mut over) = (Vec::new(), Vec::new());
        for (number, case) in &mut self.cases {
            case.land(&self.shared, now);
            match case.next(&self.shared, now) {
                Next::Over => over.push(*number),
                Next::Wait(_) => {}
                Next::Do(action) => wanted.push((case.is_reported(), *number, action)),
            }
        }
        self.over.retain(|_, over| now.duration_since(over.at) < FOLLOWED);
        for number in over {
            let Some((pull, pace)) = self.cases.remove(&number).map(Case::into_pace) else { continue };
            self.over.insert(number, Over { at: now, stamp: pull.stamp, pace });
        }
        // Who pushed waits for the report; who did not, for nothing.
        wanted.sort_by_key(|(is_reported, number, _)| (*is_reported, *number));
        let mut begun = Vec::new();
        for (_, number, action) in wanted {
            let is_report = matches!(action, Action::Report(_));
            let is_limited = self.limited.is_some_and(|until| now < until);
            let (busy, most) =
                if is_report { (&mut self.reports, REPORTS) } else { (&mut self.requests, REQUESTS) };
            if *busy < most && (is_report || !is_limited) {
                *busy += 1;
                self.cases.entry(number).and_modify(|case| case.begin(&action, now));
                begun.push((number, action));
            }
        }
        begun
    }

    /// When something is due by the clock alone.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let at = |case: &Case| match case.next(&self.shared, now) {
            Next::Wait(until) => until,
            // It waits for its turn, which comes with an answer, or with the end of a limit.
            Next::Do(_) => self.limited.filter(|until| now < *until),
            Next::Over => None,
        };
        self.cases.values().filter_map(at).min()
    }

    /// What came of an action.
    pub fn hear(&mut self, number: Number, action: &Action, result: Result<Answer, Failure>, now: Timestamp) {
        let busy = if matches!(action, Action::Report(_)) { &mut self.reports } else { &mut self.requests };
        *busy = busy.saturating_sub(1);
        if let Err(Failure::Limited { until }) = &result {
            self.limited = self.limited.max(Some(*until));
        }
        if let Some(case) = self.cases.get_mut(&number).filter(|case| case.is_busy()) {
            case.hear(action, result, &self.shared, now);
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
