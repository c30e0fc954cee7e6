//! What people ask for by Requests: what each means, whether it may be taken up now, what came of it, and when it goes.
//!
//! ```text
//!   Requests of an environment ──► decide ──► Words: what delivery and the follower of git are told
//!   what the words came to    ──►        └──► what is written into each status, and what is removed
//! ```
//!
//! Who may ask for what is the API server's to say, by the policies of the chart: a Request that is there was let in under
//! its caller's own name. What is decided here is the rest. A word is told until what came of it is
//! remembered and written, and of those that could get into one another's way one after the other is. `delivery` remembers
//! what it answered under the Request's uid: so each is executed once, and after a restart too.

mod decisions;
mod holds;
mod meaning;
mod outcome;
mod record;
mod regions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::{AppStatus, Request, RequestState, RequestStatus, RollbackRequest};
use crate::delivery::{Replies, Retry, Tokens};
use crate::drift::{Decision, HandsOff};
use crate::object::{AppName, Digest};
pub use decisions::decisions;
pub use meaning::{Meaning, meaning};
pub use record::event;
pub use regions::{RegionWish, RegionWord};

/// What has ended stays for people to read, and is removed after this long.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// So many of an environment may be open at once. More is not a person's work, and the rest would wait for ever.
pub const OPEN: usize = 50;
/// So many that have ended stay; what is older goes before its day is over.
pub const ENDED: usize = 200;
/// An Environment that was made a moment ago may not be known yet.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_secs(5);

/// Names one Request, and not another that may come to bear its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    pub name: String,
    pub uid: String,
}

/// What is known when it is decided.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    pub apps: &'a [AppStatus],
    pub replies: Replies,
    /// The requests to look at git that were answered, and that people can see so.
    pub looked: BTreeSet<String>,
    /// How long a hold may last.
    pub max_hold: SignedDuration,
    /// The kinds of which nothing may be ignored.
    pub never_ignore: Vec<String>,
    /// What the words about regions came to, by their uids.
    pub regions: BTreeMap<String, (RequestState, String)>,
    /// When the Environment was made. What was asked before was asked of another one of its name.
    pub since: Option<Timestamp>,
}

/// What those are told who execute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// Whether the Requests were read: before that nobody knows what is held.
    pub known: bool,
    /// The requests to look at git now, by name.
    pub look: BTreeSet<String>,
    pub retry: Option<Retry>,
    /// One for an app.
    pub rollbacks: Vec<RollbackRequest>,
    pub approve: Option<Digest>,
    pub agreed: Tokens,
    /// What people asked to be left alone.
    pub holds: Vec<HandsOff>,
    /// What they ask of the region of this cluster, in the order in which they did.
    pub regions: Vec<RegionWord>,
    /// What people decided about what others changed.
    pub decisions: Vec<Decision>,
}

/// What is to be done about the Requests of an environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Docket {
    pub words: Words,
    pub write: Vec<(Handle, RequestState, String)>,
    pub remove: Vec<Handle>,
    /// When to ask again if nothing happens before.
    pub again: Option<Timestamp>,
}

/// Decides about all Requests of one environment.
pub fn decide(requests: &[Arc<Request>], known: &Known, now: Timestamp) -> Docket {
    let mut docket = Docket::default();
    let (ended, mut open): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| state(request).is_some_and(RequestState::is_end));
    age_out(&ended, &mut docket, now);
    let mut agreed: BTreeSet<Box<str>> = BTreeSet::new();
    let is_of_another = |request: &Request| known.since.is_some_and(|since| created(request) < since);
    let done = |request: &&&Arc<Request>| state(request) == Some(RequestState::Done);
    for request in ended.iter().filter(done).filter(|request| !is_of_another(request)) {
        if let Ok(Meaning::Adopt { tokens }) = meaning(request) {
            agreed.extend(tokens);
        }
    }
    open.sort_by_key(|request| (created(request), request.metadata.name.clone()));
    let read = open.into_iter().enumerate().filter_map(|(n, request)| {
        let taken_up = state(request) == Some(RequestState::Going);
        let meant = match meaning(request) {
            Ok(_) if is_of_another(request) => Err(format!(
                "it was asked of another Environment {}, which is no more",
                request.spec.environment
            )),
            Ok(_) if n >= OPEN && !taken_up => Err(format!(
                "there are {OPEN} open requests of {} before it: ask again when they have ended",
                request.spec.environment
            )),
            meant => meant,
        };
        Some((request, handle(request)?, meant))
    });
    let open: Vec<_> = read.collect();
    // Of an app the newest word to roll back counts.
    let newest: BTreeMap<&AppName, &Handle> = open
        .iter()
        .filter_map(|(_, handle, meant)| match meant {
            Ok(Meaning::Rollback { app, .. }) => Some((app, handle)),
            _ => None,
        })
        .collect();
    let released = holds::released(&open);
    for (request, handle, meant) in &open {
        let came_to = match meant {
            Ok(Meaning::Hold { .. } | Meaning::Release { .. }) => {
                let held = holds::came_to(request, handle, meant, (&open, &ended, &released), known, now);
                docket.again = [docket.again, held.again].into_iter().flatten().min();
                docket.words.holds.extend(held.holds);
                held.came_to
            }
            Ok(meant @ Meaning::Decide { .. }) => {
                let decided = decisions::came_to(request, handle, meant, &released, known, now);
                decided.map(|decided| {
                    docket.again = [docket.again, decided.again].into_iter().flatten().min();
                    docket.words.decisions.extend(decided.decision);
                    decided.came_to
                })
            }
            Ok(Meaning::Rollback { app, .. }) if newest.get(app) != Some(&handle) => {
                Some((RequestState::Overtaken, format!("{app}: a newer request to roll back took over")))
            }
            Ok(meant) => outcome::came_to(meant, handle, state(request), known),
            Err(why) => Some((RequestState::Refused, why.clone())),
        };
        let goes_on = came_to.as_ref().is_none_or(|(state, _)| !state.is_end());
        if let Some((now_is, message)) = came_to
            && state(request) != Some(now_is)
        {
            docket.write.push((handle.clone(), now_is, message));
        }
        if let Ok(Meaning::Adopt { tokens }) = meant {
            agreed.extend(tokens.iter().cloned());
        }
        if let (Ok(meant), true) = (meant, goes_on) {
            docket.words.tell(meant.clone(), handle.clone(), &by(request), reason(request));
        }
    }
    docket.words.agreed = Arc::new(agreed);
    docket
}

/// The hand-overs that people agreed to in an environment, as its agent will take them.
pub fn agreed(requests: &[Request], environment: &str, since: Option<Timestamp>) -> Tokens {
    let mine = requests.iter().filter(|request| request.spec.environment == environment);
    let mine = mine.filter(|request| since.is_none_or(|since| created(request) >= since));
    let holds = mine.filter(|request| state(request).is_none_or(|state| state != RequestState::Refused));
    let tokens = holds.filter_map(|request| match meaning(request) {
        Ok(Meaning::Adopt { tokens }) => Some(tokens),
        _ => None,
    });
    Arc::new(tokens.flatten().collect())
}

/// Decides about a Request whose environment nobody has: the others look after their own.
pub fn decide_stray(request: &Request, now: Timestamp) -> Docket {
    let mut docket = Docket::default();
    let Some(handle) = handle(request) else { return docket };
    match state(request).is_some_and(RequestState::is_end) {
        true => age_out(&[&Arc::new(request.clone())], &mut docket, now),
        false if now < later(created(request), UNKNOWN_FOR) => {
            docket.again = Some(later(created(request), UNKNOWN_FOR));
        }
        false => {
            let why = format!("there is no Environment {}", request.spec.environment);
            docket.write.push((handle, RequestState::Refused, why));
        }
    }
    docket
}

/// Removes what ended a day ago, and of the rest all but the newest.
fn age_out(ended: &[&Arc<Request>], docket: &mut Docket, now: Timestamp) {
    let mut stays: BTreeMap<(Timestamp, Handle), ()> = BTreeMap::new();
    for request in ended {
        // One that is being deleted already is held by somebody.
        let held = request.metadata.deletion_timestamp.is_some();
        let Some(handle) = handle(request).filter(|_| !held) else { continue };
        let at = request.status.as_ref().and_then(|status| status.at.parse().ok());
        let at: Timestamp = at.unwrap_or_else(|| created(request));
        if now >= later(at, KEPT) {
            docket.remove.push(handle);
        } else {
            stays.insert((at, handle), ());
        }
    }
    while stays.len() > ENDED {
        let Some(((_, oldest), ())) = stays.pop_first() else { break };
        docket.remove.push(oldest);
    }
    docket.again = stays.first_key_value().map(|((at, _), ())| later(*at, KEPT));
}

impl Words {
    /// Tells a word where nothing older is in its way.
    fn tell(&mut self, meant: Meaning, Handle { name, uid }: Handle, by: &str, reason: Option<String>) {
        match meant {
            Meaning::Look => drop(self.look.insert(name)),
            // One after the other: what was tried again with its environment answers for several apps.
            Meaning::Retry { app, digest } if self.retry.is_none() => {
                self.retry = Some(Retry { app, digest, nonce: format!("{uid} by {by}"), reason });
            }
            // It is told until it has ended: a restart may come before it is remembered.
            Meaning::Rollback { app, to } => {
                let (by, apps) = (by.to_owned(), [(app, to)].into());
                self.rollbacks.push(RollbackRequest { id: uid, by, reason, apps });
            }
            Meaning::Approve { digest } if self.approve.is_none() => self.approve = Some(digest),
            Meaning::Region(wish) => self.regions.push(RegionWord { uid, by: by.to_owned(), reason, wish }),
            Meaning::Retry { .. } | Meaning::Approve { .. } => {}
            // What is agreed to holds together with all that was before; holds are told by themselves.
            Meaning::Adopt { .. }
            | Meaning::Hold { .. }
            | Meaning::Decide { .. }
            | Meaning::Release { .. } => {}
        }
    }
}

/// The status that says it.
pub fn status(state: RequestState, message: String, now: Timestamp, executed_by: &str) -> RequestStatus {
    let at = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
    let message = Some(message.chars().take(MESSAGE).collect());
    RequestStatus { state, message, at, executed_by: executed_by.to_owned() }
}

/// A message is for people to read.
const MESSAGE: usize = 2000;

fn state(request: &Request) -> Option<RequestState> {
    request.status.as_ref().map(|status| status.state)
}

fn handle(request: &Request) -> Option<Handle> {
    Some(Handle { name: request.metadata.name.clone()?, uid: request.metadata.uid.clone()? })
}

fn created(request: &Request) -> Timestamp {
    request.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// A name that is longer says nothing more to people.
const NAME: usize = 100;

/// Who asks, fit to be shown.
fn by(request: &Request) -> String {
    request.spec.by.chars().filter(|c| !c.is_control()).take(NAME).collect()
}

/// A reason that is longer is cut: the history holds a line.
const REASON: usize = 300;

/// Why, in their own words, fit to be shown.
fn reason(request: &Request) -> Option<String> {
    let text = request.spec.reason.as_deref()?.chars().map(|c| if c.is_control() { ' ' } else { c });
    let text: String = text.take(REASON).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
