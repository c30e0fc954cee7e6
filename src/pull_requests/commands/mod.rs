//! What people ask for in comments: who may, what becomes of it, and what is said of that.
//!
//! ```text
//!  comment ─► parse ─► may they write, by the forge? ─► decide ─► carried out, as their user of the cluster
//!                                                          └────► refused, and why     ─► reaction ─► a line
//! ```
//!
//! A comment is a wish of somebody whom the forge vouches for, and nothing more: what they may do in the cluster is what the
//! user of the cluster may that the platform says they are. Nothing is done of a comment that was edited, for others than
//! its author may edit it; nor of one that is older than [`TAKEN`]. What is carried out is a Request under a name that is
//! made of the comment's number, and stays for a day: so an agent that begins anew, or somebody who takes our own comment
//! away, has nothing done twice.

mod line;
mod parse;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use line::{CommandLine, LineState, Outcome};
pub use parse::{Command, Spoken};
pub use resolve::resolve;

use super::words::{Comment, CommentId, Number, PullRequest, Reaction};
use crate::api::{PersonSpec, RequestState};
use crate::object::{Digest, EnvironmentName, Revision};
use parse::parse;

/// A comment that is older than this is not taken up any more.
pub const TAKEN: SignedDuration = SignedDuration::from_hours(1);
/// What is older than this is not looked at: who wrote it has long asked somebody else.
const LOOKED_AT: SignedDuration = SignedDuration::from_hours(24);
const LATE: &str = "it was written more than an hour before it could be done: write it again";
/// Commands of a pull request that wait at once. More is not a person's work.
const WAITING: usize = 20;
/// Commands of one account that are taken up in an hour: each is a question to the forge and an answer there, which anybody
/// who may write a comment can have us ask.
const BY_ONE: usize = 10;
/// What came of a Request is followed for so long.
const FOLLOWED: SignedDuration = SignedDuration::from_mins(30);

/// A command that is to be carried out for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub comment: CommentId,
    pub spoken: Spoken,
    /// Their account on the forge.
    pub login: String,
    /// The environment that the command is for.
    pub environment: EnvironmentName,
    /// Who they are in the cluster.
    pub person: PersonSpec,
    /// The commit that they had before them.
    pub head: Revision,
    /// Why nothing is begun any more. What was done before is looked for all the same: an agent may have died before it
    /// could say so.
    pub refused: Option<String>,
}

/// The name of the Request that is made for a comment: the same one, whoever makes it. `place` names the repository.
pub fn request_name(place: &str, number: Number, comment: CommentId) -> String {
    let place = Digest::of(place.as_bytes());
    format!("comment-{}-{number}-{}", place.short(), comment.0)
}

/// What is to be done next for the commands of a pull request.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandStep {
    /// Read all comments.
    Find,
    /// Ask the forge whether they may write.
    Permit(String, Option<u64>),
    CarryOut(Box<Order>),
    React(CommentId, Reaction),
}

/// What it is decided from.
pub struct Situation<'a> {
    pub pull: &'a PullRequest,
    /// Since when the pull request has been at its commit, where that was seen.
    pub head_since: Option<Timestamp>,
    /// The environments of its base branch, each with who people are there.
    pub people: BTreeMap<&'a str, &'a [PersonSpec]>,
    pub now: Timestamp,
}

/// The commands of one pull request.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    look: bool,
    waiting: BTreeMap<CommentId, Waiting>,
    answered: BTreeSet<CommentId>,
    lines: BTreeMap<CommentId, CommandLine>,
    without_reactions: bool,
    /// When a person last wrote anything.
    last_comment: Option<Timestamp>,
    /// What came to its end and is to be told the history.
    told: Vec<CommandLine>,
}

#[derive(Clone, Debug)]
struct Waiting {
    comment: Comment,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Permit,
    CarryOut(Box<Order>),
    React(Reaction),
}

impl Commands {
    pub fn new() -> Self {
        Self { look: true, ..Self::default() }
    }

    /// There may be new comments.
    pub fn look(&mut self) {
        self.look = true;
    }

    pub fn next(&self) -> Option<CommandStep> {
        if self.look {
            return Some(CommandStep::Find);
        }
        let (id, waiting) = self.waiting.first_key_value()?;
        Some(match &waiting.stage {
            Stage::Permit => CommandStep::Permit(waiting.comment.author.clone(), waiting.comment.account),
            Stage::CarryOut(order) => CommandStep::CarryOut(order.clone()),
            Stage::React(reaction) => CommandStep::React(*id, *reaction),
        })
    }

    /// Takes what the comment of ours says of earlier ones.
    pub fn recall(&mut self, lines: &[CommandLine], answered: &[u64]) {
        self.answered.extend(answered.iter().copied().map(CommentId));
        for line in lines {
            let id = CommentId(line.id);
            self.answered.insert(id);
            self.waiting.remove(&id);
            self.lines.entry(id).or_insert_with(|| line.clone());
        }
        self.waiting.retain(|id, _| !self.answered.contains(id));
    }

    /// All comments; those of `own` ask for nothing.
    pub fn found(&mut self, comments: &[Comment], own: &str, now: Timestamp) {
        self.look = false;
        let written = Written::of(comments);
        for comment in comments {
            let is_new = !self.answered.contains(&comment.id) && !self.waiting.contains_key(&comment.id);
            let is_recent = now.duration_since(comment.at) < LOOKED_AT;
            let is_ours = comment.author == own || comment.author.is_empty();
            if !is_ours {
                self.last_comment = self.last_comment.max(Some(comment.at));
            }
            if is_new
                && is_recent
                && !is_ours
                && self.waiting.len() < WAITING
                && written.before(comment).is_some_and(|before| before < BY_ONE)
            {
                let waiting = Waiting { comment: comment.clone(), stage: Stage::Permit };
                self.waiting.insert(comment.id, waiting);
            }
        }
    }

    /// The forge says whether they may write; `Err` says why it cannot. Whether the report is to be made anew.
    pub fn permitted(&mut self, may: Result<bool, String>, situation: &Situation<'_>) -> bool {
        let Some((id, waiting)) = self.waiting.first_key_value() else { return false };
        let (id, comment) = (*id, waiting.comment.clone());
        if may == Ok(false) {
            // Nothing of theirs stands in a comment of ours.
            self.stage(id, Stage::React(Reaction::Refused));
            return false;
        }
        match may.and_then(|_| decide(&comment, situation)) {
            Ok(Decided::Report(environment)) => {
                let said = Outcome::Done("the report is made anew".to_owned());
                self.came_to(id, Some(&environment), said, situation.now);
                true
            }
            Ok(Decided::CarryOut(order)) => {
                self.stage(id, Stage::CarryOut(order));
                false
            }
            Err(why) => {
                self.came_to(id, None, Outcome::Refused(why), situation.now);
                false
            }
        }
    }

    /// What carrying it out came to.
    pub fn carried_out(&mut self, outcome: Outcome, now: Timestamp) {
        let Some((id, waiting)) = self.waiting.first_key_value() else { return };
        let environment = match &waiting.stage {
            Stage::CarryOut(order) => Some(order.environment.clone()),
            _ => None,
        };
        self.came_to(*id, environment.as_ref(), outcome, now);
    }

    /// It could not be carried out yet; after a while it is too late.
    pub fn not_carried_out(&mut self, now: Timestamp) {
        let Some(mut first) = self.waiting.first_entry() else { return };
        let at = first.get().comment.at;
        if let Stage::CarryOut(order) = &mut first.get_mut().stage
            && now.duration_since(at) > TAKEN
        {
            order.refused.get_or_insert_with(|| LATE.to_owned());
        }
    }

    pub fn reacted(&mut self) {
        if let Some((id, _)) = self.waiting.pop_first() {
            self.answered.insert(id);
        }
    }

    /// Reactions are refused: what is said has to do.
    pub fn without_reactions(&mut self) {
        self.without_reactions = true;
        while let Some((_, Waiting { stage: Stage::React(_), .. })) = self.waiting.first_key_value() {
            self.reacted();
        }
    }

    fn stage(&mut self, id: CommentId, stage: Stage) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.stage = stage;
        }
        if self.without_reactions {
            self.without_reactions();
        }
    }

    fn came_to(
        &mut self,
        id: CommentId,
        environment: Option<&EnvironmentName>,
        outcome: Outcome,
        now: Timestamp,
    ) {
        let Some(waiting) = self.waiting.get(&id) else { return };
        let reaction = match &outcome {
            Outcome::Refused(_) => Reaction::Refused,
            _ => Reaction::Taken,
        };
        let line = CommandLine::new(&waiting.comment, environment, outcome, now);
        if !line.is_asked() {
            self.told.push(line.clone());
        }
        self.lines.insert(id, line);
        self.stage(id, Stage::React(reaction));
    }

    /// The Requests that are followed: the comment of each, and the environment that it was asked of.
    pub fn asked(&self) -> impl Iterator<Item = (CommentId, &str)> {
        self.lines
            .iter()
            .filter_map(|(id, line)| Some((*id, line.environment.as_deref().filter(|_| line.is_asked())?)))
    }

    /// What came of a Request by now.
    pub fn requested(&mut self, comment: CommentId, state: RequestState, message: Option<&str>) {
        if let Some(line) = self.lines.get_mut(&comment).filter(|line| line.is_asked()) {
            line.requested(state, message);
        }
    }

    /// Whether something is still to be said of them.
    pub fn goes_on(&self, now: Timestamp) -> bool {
        let follows = |line: &CommandLine| {
            line.is_asked() && now.duration_since(line.at) < FOLLOWED && !line.is_going()
        };
        !self.waiting.is_empty() || self.lines.values().any(follows)
    }

    /// What is said of them, the newest last; and all that were answered.
    pub fn lines(&self) -> Vec<CommandLine> {
        let skip = self.lines.len().saturating_sub(line::SHOWN);
        self.lines.values().skip(skip).cloned().collect()
    }

    pub fn answered(&self) -> Vec<u64> {
        let all: BTreeSet<u64> = self.answered.iter().chain(self.lines.keys()).map(|id| id.0).collect();
        let skip = all.len().saturating_sub(line::REMEMBERED);
        all.into_iter().skip(skip).collect()
    }

    /// When a person last wrote anything, as far as was seen.
    pub fn last_comment(&self) -> Option<Timestamp> {
        self.last_comment
    }

    /// What came to its end since that was asked last, but for Requests: those tell of themselves.
    pub fn take_told(&mut self) -> Vec<CommandLine> {
        std::mem::take(&mut self.told)
    }

    /// As text for our comment.
    pub fn text(&self) -> Option<String> {
        line::section(&self.lines())
    }
}

/// When each account wrote commands, by the list itself: so it is the same ones that are taken up, whoever reads it and
/// whenever.
struct Written<'a>(BTreeMap<&'a str, Vec<(Timestamp, CommentId)>>);

impl<'a> Written<'a> {
    fn of(comments: &'a [Comment]) -> Self {
        let mut all: BTreeMap<&str, Vec<(Timestamp, CommentId)>> = BTreeMap::new();
        for comment in comments.iter().filter(|comment| parse(&comment.body).is_some()) {
            all.entry(&comment.author).or_default().push((comment.at, comment.id));
        }
        all.values_mut().for_each(|of_one| of_one.sort_unstable());
        Self(all)
    }

    /// How many the same account wrote in the hour before a command; `None` of what is none.
    fn before(&self, comment: &Comment) -> Option<usize> {
        let all = self.0.get(comment.author.as_str())?;
        let place = all.binary_search(&(comment.at, comment.id)).ok()?;
        let first = all.partition_point(|(at, _)| comment.at.duration_since(*at) >= TAKEN);
        Some(place.saturating_sub(first))
    }
}

enum Decided {
    Report(EnvironmentName),
    CarryOut(Box<Order>),
}

/// Whether a command of somebody who may write on the forge is carried out, and as whom.
fn decide(comment: &Comment, situation: &Situation<'_>) -> Result<Decided, String> {
    let Situation { pull, head_since, people, now } = situation;
    let spoken = parse(&comment.body).ok_or("it is no command any more")?;
    let mapped = |all: &[PersonSpec]| all.iter().find(|one| is(one, comment)).cloned();
    let unknown =
        || "nobody said which user of the cluster that account is (spec.pullRequests.people)".to_owned();
    let anywhere = people.iter().find_map(|(name, all)| Some((*name, mapped(all)?)));
    let (first, somebody) = anywhere.ok_or_else(unknown)?;
    let spoken = spoken?;
    let names = || people.keys().copied().collect::<Vec<_>>().join(", ");
    let (environment, person) = match (spoken.command.environment(), spoken.command.is_of_environment()) {
        (Some(name), _) => {
            let all = people.get(name.as_str());
            let all =
                all.ok_or_else(|| format!("no environment {name} follows {} here: {}", pull.base, names()))?;
            (name.to_string(), mapped(all).ok_or_else(unknown)?)
        }
        (None, true) if people.len() > 1 => return Err(format!("say of which environment: {}", names())),
        (None, _) => (first.to_owned(), somebody),
    };
    let environment = EnvironmentName::new(&environment).map_err(|error| error.to_string())?;
    let refused = refusal(comment, &spoken, pull, *head_since, *now);
    match refused {
        Some(why) if !spoken.command.is_of_environment() => return Err(why),
        None if spoken.command == Command::Plan => return Ok(Decided::Report(environment)),
        _ => {}
    }
    let (head, login) = (pull.head.clone(), comment.author.clone());
    let order = Order { comment: comment.id, spoken, login, environment, person, head, refused };
    Ok(Decided::CarryOut(Box::new(order)))
}

/// Why a command is not, or no longer, what its author meant.
fn refusal(
    comment: &Comment,
    spoken: &Spoken,
    pull: &PullRequest,
    head_since: Option<Timestamp>,
    now: Timestamp,
) -> Option<String> {
    let short = pull.head.short();
    match &spoken.commit {
        _ if comment.edited => {
            Some("it was edited, which others than its author may do: write a new one".to_owned())
        }
        Some(commit) if !pull.head.as_str().starts_with(commit.as_str()) => {
            Some(format!("the pull request is at {short} by now, not at {commit}"))
        }
        None if head_since.is_some_and(|since| comment.at < since) => Some(format!(
            "the pull request got {short} after that was written: look at it and write it again, or name it: @{short}"
        )),
        _ => (now.duration_since(comment.at) > TAKEN).then(|| LATE.to_owned()),
    }
}

/// Whether an account is the one that the platform means. Forges let nobody have a name that differs in case alone.
fn is(person: &PersonSpec, comment: &Comment) -> bool {
    person.login.eq_ignore_ascii_case(&comment.author)
        && person.account.is_none_or(|account| u64::try_from(account).ok() == comment.account)
}

#[cfg(test)]
mod tests;
