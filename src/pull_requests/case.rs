//! One pull request: what is to be done next for it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::RequestState;
use crate::object::Revision;

use super::action::{Action, Answer, Shared};
use super::after::{Landing, land, outcome, status};
use super::body::{self, Content};
use super::commands::{CommandStep, Commands, Situation};
use super::made::{Made, context};
use super::pace::{Inputs, Pace};
use super::record::{Before, CommentRecord, Landed};
use super::sticky::{CommentStep, Sticky};
use super::words::{Comment, CommentId, Failure, Number, PullRequest, State, Status};

/// The pauses after failures in a row: the first, and the longest.
const PAUSES: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(2), SignedDuration::from_mins(5));
/// What became of a merge is told this often at most while it is not over.
const TELL: SignedDuration = SignedDuration::from_secs(10);
/// What is not over by then is left as it stands.
pub const FOLLOWED: SignedDuration = SignedDuration::from_hours(24);

/// A pull request that is looked after.
pub struct Case {
    pub pull: PullRequest,
    /// Counts what moves in the cluster.
    pub live: u64,
    pace: Pace,
    report: Option<(Inputs, Made)>,
    sticky: Sticky,
    /// What the forge was told of commits.
    told: BTreeMap<String, (Revision, Status)>,
    /// Statuses are refused, and the comment has to do.
    without_statuses: bool,
    missing: bool,
    busy: Option<Timestamp>,
    failures: u32,
    not_before: Timestamp,
    wrote: Option<Timestamp>,
    /// What became of its merge, by environment, and since when: what the comment does not say yet counts as well.
    outcome: BTreeMap<String, Landed>,
    pub commands: Commands,
    /// What is said of its previews.
    pub preview: Option<String>,
    /// Since when it has been at its commit, where that was seen.
    head_since: Option<Timestamp>,
}

/// What is next for a pull request.
pub enum Next {
    Do(Action),
    /// Nothing, until then, if anything is known of when.
    Wait(Option<Timestamp>),
    /// It needs nobody any more.
    Over,
}

impl Case {
    pub fn new(pull: PullRequest, certain_from: Timestamp, now: Timestamp) -> Self {
        Self {
            pull,
            live: 0,
            pace: Pace::default(),
            report: None,
            sticky: Sticky::new(certain_from, now),
            told: BTreeMap::new(),
            without_statuses: false,
            missing: false,
            busy: None,
            failures: 0,
            not_before: now,
            wrote: None,
            outcome: BTreeMap::new(),
            commands: Commands::new(),
            preview: None,
            head_since: None,
        }
    }

    pub fn number(&self) -> Number {
        self.pull.number
    }

    pub fn is_open(&self) -> bool {
        self.pull.state == State::Open
    }

    /// The forge tells of it.
    pub fn seen(&mut self, pull: PullRequest, now: Timestamp) {
        if self.pull.stamp != pull.stamp {
            self.sticky.doubt();
            self.commands.look();
        }
        if self.pull.head != pull.head {
            self.head_since = Some(now);
        }
        self.missing = false;
        self.pull = pull;
    }

    /// The forge does not tell of it any more.
    pub fn missed(&mut self) {
        self.missing = true;
    }

    /// The base branch, the cluster or the environments are not what they were.
    pub fn moved(&mut self, now: Timestamp) {
        self.pace.moved(now);
    }

    /// Goes on where it was left: reports keep their pace.
    pub fn resume(&mut self, pace: Pace) {
        self.pace = pace;
    }

    pub fn into_pace(self) -> (PullRequest, Pace) {
        (self.pull, self.pace.forgotten())
    }

    /// Whether the commit that it has now was reported on.
    pub fn is_reported(&self) -> bool {
        self.pace.has(&self.pull.head)
    }

    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// An action is begun.
    pub fn begin(&mut self, action: &Action, now: Timestamp) {
        self.busy = Some(now);
        if matches!(action, Action::Report(_)) {
            self.pace.began(now);
        }
    }

    pub fn next(&self, shared: &Shared, now: Timestamp) -> Next {
        if self.busy.is_some() {
            return Next::Wait(None);
        }
        if now < self.not_before {
            return Next::Wait(Some(self.not_before));
        }
        if !shared.environments.values().any(|branch| *branch == self.pull.base) {
            return Next::Over;
        }
        if self.missing {
            return Next::Do(Action::Ask);
        }
        let next = match &self.pull.state {
            State::Open => self.next_open(shared, now),
            State::Merged { revision, at } => self.next_merged(shared, revision, *at, now),
            // What is closed keeps its comment: it says what the last commit would have done.
            State::Closed => return Next::Over,
        };
        match next {
            // Who pushed waits for the report.
            Next::Do(Action::Report(_)) if !self.is_reported() => next,
            next if !shared.takes_commands(&self.pull.base) => next,
            next => self.next_command().map_or(next, Next::Do),
        }
    }

    /// What is said beside the report: of previews, and of what people asked for.
    fn asides(&self) -> Option<String> {
        let preview = self.preview.as_deref().map(body::lines_within);
        let all: Vec<String> = preview.into_iter().chain(self.commands.text()).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }

    /// When somebody last pushed or wrote a comment, as far as was seen.
    pub fn active(&self) -> Option<Timestamp> {
        self.head_since.max(self.commands.last_comment())
    }

    fn next_command(&self) -> Option<Action> {
        Some(match self.commands.next()? {
            CommandStep::Find => Action::Find,
            CommandStep::Permit(login, account) => Action::Permit { login, account },
            CommandStep::CarryOut(order) => Action::CarryOut(order),
            CommandStep::React(comment, reaction) => Action::React { comment, reaction },
        })
    }

    /// What came of a Request that was made for a comment.
    pub fn requested(&mut self, comment: CommentId, state: RequestState, message: Option<&str>) {
        self.commands.requested(comment, state, message);
    }

    fn inputs(&self, shared: &Shared) -> Option<Inputs> {
        let base = shared.tips.get(&self.pull.base)?.clone();
        Some(Inputs { head: self.pull.head.clone(), base, live: self.live })
    }

    fn next_open(&self, shared: &Shared, now: Timestamp) -> Next {
        // Nothing is known of a branch that git does not have.
        let Some(inputs) = self.inputs(shared) else { return Next::Wait(None) };
        let due = self.pace.due(&inputs, now);
        if due.is_some_and(|due| due <= now) {
            return Next::Do(Action::Report(inputs));
        }
        let Some((of, made)) = &self.report else { return Next::Wait(due) };
        let content = Content {
            marker: made.marker.to_string(),
            head: of.head.as_str().to_owned(),
            outcome: None,
            plan: made.text.clone(),
            commands: self.asides(),
        };
        let record = || {
            let mut record = CommentRecord::new(made, of.head.as_str(), now).with(&self.commands);
            record.since = self.head_since;
            record.before = self.sticky.content().and_then(|(_, old)| {
                if old.head == record.head && old.short == record.short {
                    // The text changes, and not the short of it.
                    return old.before.clone();
                }
                Some(Before { head: old.head.clone(), short: old.short.clone(), at: old.at })
            });
            record
        };
        let statuses = made.statuses().map(|status| (of.head.clone(), status));
        let wait = self.say(&content, record, statuses, now);
        sooner(wait, due)
    }

    fn next_merged(&self, shared: &Shared, merge: &Revision, at: Timestamp, now: Timestamp) -> Next {
        if now.duration_since(at) > FOLLOWED {
            return Next::Over;
        }
        if !self.sticky.is_found() {
            return Next::Do(Action::Find);
        }
        // Of what nobody saw a plan nobody waits for the end.
        let Some((content, record)) = self.sticky.content() else { return Next::Over };
        let mut record = record.clone();
        record.outcome.extend(self.outcome.clone());
        let is_over = record.outcome.values().all(|landed| landed.state.is_final());
        let tell_at = self.wrote.map_or(now, |wrote| wrote + TELL);
        if !is_over && now < tell_at {
            return Next::Wait(Some(tell_at));
        }
        let record = record.with(&self.commands);
        let commands = self.asides();
        let content = Content { outcome: Some(outcome(&record, at)), commands, ..content.clone() };
        let cluster = shared.own.cluster.as_deref();
        let told: Vec<_> = record
            .outcome
            .iter()
            .map(|(environment, landed)| (merge.clone(), status(context(cluster, environment), landed, at)))
            .collect();
        match self.say(&content, || record.clone(), told.into_iter(), now) {
            Next::Wait(_) if is_over && !self.commands.goes_on(now) => Next::Over,
            next => next,
        }
    }

    /// Sees what has become of a merge by now.
    pub fn land(&mut self, shared: &Shared, now: Timestamp) {
        let State::Merged { revision, .. } = &self.pull.state else { return };
        let Some((_, record)) = self.sticky.content() else { return };
        let nothing = Landing::default();
        for environment in record.previewed.keys() {
            let landing = shared.landings.get(environment).unwrap_or(&nothing);
            let before = self.outcome.get(environment).or_else(|| record.outcome.get(environment));
            let landed = land(before, record.previewed_in(environment), revision, landing, now);
            self.outcome.insert(environment.clone(), landed);
        }
    }

    /// What has to be done until the forge says this. The commits are told first: once the comment says it, all is said.
    fn say(
        &self,
        content: &Content,
        record: impl Fn() -> CommentRecord,
        mut statuses: impl Iterator<Item = (Revision, Status)>,
        now: Timestamp,
    ) -> Next {
        let wanted = content.digest();
        let step = self.sticky.next(Some(&wanted), now);
        let mut status = || {
            let is_new = |(revision, status): &(Revision, Status)| {
                self.told.get(&status.context).is_none_or(|told| told != &(revision.clone(), status.clone()))
            };
            let new = (!self.without_statuses).then(|| statuses.find(is_new)).flatten();
            new.map(|(revision, status)| Next::Do(Action::Tell { revision, status }))
        };
        match step {
            CommentStep::Find => Next::Do(Action::Find),
            CommentStep::Look(comment) => Next::Do(Action::Look(comment)),
            CommentStep::Remove(comment) => Next::Do(Action::Remove(comment)),
            CommentStep::Make => {
                status().unwrap_or_else(|| Next::Do(Action::Make { body: body::write(content, &record()) }))
            }
            CommentStep::Edit(comment) => status()
                .unwrap_or_else(|| Next::Do(Action::Edit { comment, body: body::write(content, &record()) })),
            CommentStep::Wait(until) => status().unwrap_or(Next::Wait(Some(until))),
            CommentStep::Rest => Next::Wait(self.sticky.look_at()),
        }
    }

    /// What came of an action that was begun.
    pub fn hear(
        &mut self,
        action: &Action,
        result: Result<Answer, Failure>,
        shared: &Shared,
        now: Timestamp,
    ) {
        let begun = self.busy.take().unwrap_or(now);
        match (action, result) {
            // Who cannot be asked about may not.
            (Action::Permit { .. }, Err(Failure::Refused(why))) => self.permitted(Err(why), shared, now),
            (Action::React { .. }, Err(Failure::Refused(_))) => self.commands.without_reactions(),
            (_, Ok(answer)) => {
                self.failures = 0;
                self.answered(action, answer, begun, shared, now);
            }
            (_, Err(failure)) => self.failed(action, &failure, now),
        }
    }

    fn permitted(&mut self, may: Result<bool, String>, shared: &Shared, now: Timestamp) {
        let (head_since, people) = (self.head_since, shared.people_of(&self.pull.base));
        let situation = Situation { pull: &self.pull, head_since, people, now };
        if self.commands.permitted(may, &situation) {
            self.pace.again();
        }
    }

    fn answered(
        &mut self,
        action: &Action,
        answer: Answer,
        begun: Timestamp,
        shared: &Shared,
        now: Timestamp,
    ) {
        let own = &shared.own;
        match (action, answer) {
            (Action::Report(inputs), Answer::Reported(made)) => {
                self.pace.made(inputs.clone());
                self.report = Some((inputs.clone(), made));
            }
            (Action::Find, Answer::Found(comments)) => {
                let read = comments.clone();
                self.sticky.found(begun, comments, own);
                if let Some((_, record)) = self.sticky.content() {
                    self.commands.recall(&record.commands, &record.answered);
                    let known = if record.head == self.pull.head.as_str() { record.since } else { Some(now) };
                    self.head_since = self.head_since.or(known);
                }
                self.commands.found(&read, &own.author, now);
            }
            (Action::Look(_), Answer::Looked(comment)) => self.sticky.looked(begun, comment),
            (Action::Make { body }, Answer::Made(id)) => {
                self.wrote = Some(now);
                let (author, body) = (own.author.clone(), body.clone());
                self.sticky.made(Comment { id, author, body, at: now, ..Comment::default() }, now);
            }
            (Action::Edit { body, .. }, Answer::Edited) => {
                self.wrote = Some(now);
                self.sticky.edited(body.clone());
            }
            (_, Answer::Gone) => {
                // An old list may show it for a while.
                self.sticky.gone();
                self.pause(now);
            }
            (Action::Remove(id), Answer::Removed) => self.sticky.removed(*id),
            (Action::Tell { revision, status }, Answer::Told) => {
                self.told.insert(status.context.clone(), (revision.clone(), status.clone()));
            }
            (Action::Ask, Answer::Asked(pull)) => self.seen(pull, now),
            (Action::Permit { .. }, Answer::Permitted(may)) => self.permitted(Ok(may), shared, now),
            (Action::CarryOut(_), Answer::CarriedOut(outcome)) => self.commands.carried_out(outcome, now),
            (Action::React { .. }, Answer::Reacted) => self.commands.reacted(),
            // An answer to something else is none.
            _ => self.pause(now),
        }
    }

    fn failed(&mut self, action: &Action, failure: &Failure, now: Timestamp) {
        let is_unknown = matches!(failure, Failure::Unknown(_));
        match action {
            Action::Make { .. } if is_unknown => self.sticky.perhaps_made(now),
            Action::Make { .. } => self.sticky.not_made(),
            Action::Edit { .. } if is_unknown => self.sticky.doubt(),
            Action::CarryOut(_) => self.commands.not_carried_out(now),
            Action::Tell { status, .. } => {
                // What the commit was told before may not be what it says now.
                self.told.remove(&status.context);
                self.without_statuses |= matches!(failure, Failure::Refused(_));
            }
            _ => {}
        }
        match failure {
            Failure::Limited { until } => self.not_before = (*until).max(now),
            _ => self.pause(now),
        }
    }

    fn pause(&mut self, now: Timestamp) {
        let pause = PAUSES.0 * (1_i32 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause.min(PAUSES.1);
    }
}

fn sooner(next: Next, at: Option<Timestamp>) -> Next {
    match next {
        Next::Wait(until) => Next::Wait(until.into_iter().chain(at).min()),
        next => next,
    }
}
