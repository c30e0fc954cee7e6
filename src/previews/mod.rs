//! Previews: which pull request has an environment of its own, when it gets it, what it is made of, and when it goes.
//!
//! ```text
//!   rules (base branch, platform) ┐
//!   pull requests (the forge)     ├─► decide ─► steps: make, fence, open, update, close, remove
//!   previews (the cluster)        ┘
//! ```
//!
//! A preview is an Environment, `preview-ENVIRONMENT-NUMBER`, and a namespace of the same name. The Environment is made
//! first and removed last, so that whatever an agent that dies leaves is found by it; it is suspended until its namespace
//! has its fences, and from when it ends until that namespace is really gone. All that has to be remembered stands on it.
//!
//! Nothing ends for want of knowledge. A pull request is over when the forge says so of that very one, its label is gone
//! when that was seen for [`SETTLE`], and where the rules cannot be read nothing begins and nothing ends but by what is
//! known.

mod fences;
mod files;
mod limits;
mod names;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub use fences::{NAMESPACE_LABEL, namespace, objects};
pub use files::{Composed, FOLDER, compose};
pub use limits::{kinds, policies};
pub use names::{PREFIX, host, name};

use crate::api::Night;
use crate::object::Revision;

/// A list may be old by that much: what it does not say any more counts only after it.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(30);
/// Who waits for a place gets that of a preview which nobody has looked at for so long.
pub const YIELDS: SignedDuration = SignedDuration::from_hours(4);
/// So long before its time is over that is said.
pub const WARNING: SignedDuration = SignedDuration::from_hours(24);

/// What the base branch says of previews of one environment, within what the platform lets.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Pull requests with this label have one; only those for which somebody asks where there is none.
    pub label: Option<String>,
    /// Without a push, a comment or a request.
    pub idle: SignedDuration,
    /// In all, since it was made or was last to be kept.
    pub cap: SignedDuration,
    /// So many at once.
    pub max: usize,
    /// When nothing runs of those at which nobody looks.
    pub night: Option<Night>,
    /// Whether those of forks may have one.
    pub forks: bool,
}

/// A pull request as the forge tells of it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Pull {
    pub head: Revision,
    pub base: Revision,
    /// The forge said of this very one that it is closed or merged.
    pub is_over: bool,
    pub labels: Vec<String>,
    /// Since when every word of the forge was without the label.
    pub unlabelled_since: Option<Timestamp>,
    pub is_fork: bool,
    /// The last push or comment of a person that was seen.
    pub active: Timestamp,
}

/// What somebody asked for in a comment, once the server let them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Start,
    Stop,
    Keep,
}

/// A preview as it stands in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    pub number: u64,
    pub head: Revision,
    pub base: Revision,
    /// It was asked for, and needs no label.
    pub is_asked: bool,
    /// Its commit is of a fork, and stays until a person names another one.
    pub is_fork: bool,
    pub is_asleep: bool,
    /// When it was made, or was last to be kept.
    pub since: Timestamp,
    pub active: Timestamp,
    /// Why it ended; what is left of it then is only this memory.
    pub ended: Option<Ended>,
    pub is_suspended: bool,
    pub namespace: NamespaceState,
}

#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceState {
    /// It could not be asked for.
    Unknown,
    Absent,
    /// It bears our label, and is there with this uid.
    There {
        is_going: bool,
    },
    /// There is one of its name that is not ours.
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Closed,
    Unlabelled,
    Idle,
    Cap,
    Stopped,
    /// Another one waited for its place.
    Yielded,
}

impl Ended {
    pub const ALL: [Self; 6] =
        [Self::Closed, Self::Unlabelled, Self::Idle, Self::Cap, Self::Stopped, Self::Yielded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Unlabelled => "unlabelled",
            Self::Idle => "idle",
            Self::Cap => "cap",
            Self::Stopped => "stopped",
            Self::Yielded => "yielded",
        }
    }

    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Whether nothing of it is remembered any longer.
    fn is_forgotten(self) -> bool {
        matches!(self, Self::Closed | Self::Unlabelled)
    }
}

/// One thing to do for one preview. Each can be done again: it was perhaps done, and nobody heard of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make its Environment, suspended.
    Make { head: Revision, base: Revision, is_asked: bool },
    /// Make its namespace and all that bounds it.
    Fence,
    /// Let it be rolled out.
    Open,
    /// Go on to another commit, or note that somebody looked at it.
    Update {
        head: Revision,
        base: Revision,
        active: Timestamp,
        since: Timestamp,
        is_asked: bool,
        is_asleep: bool,
    },
    /// Begin again one that ended.
    Revive { head: Revision, base: Revision, is_asked: bool },
    /// Note that it ends, and stop what is rolled out.
    End(Ended),
    /// Delete its namespace.
    Clear,
    /// Remove its Environment: its namespace is gone.
    Forget,
}

/// What is known when it is decided.
pub struct World<'a> {
    /// `None` where they cannot be read.
    pub rules: Option<&'a Rules>,
    /// Those that are known. What is not in it is not known, and not gone.
    pub pulls: &'a BTreeMap<u64, Pull>,
    pub previews: &'a BTreeMap<u64, Preview>,
    pub wishes: &'a BTreeMap<u64, Wish>,
}

/// What is to be done, and who waits for a place, the first in turn first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    pub steps: Vec<(u64, Step)>,
    pub queue: Vec<u64>,
    pub again: Option<Timestamp>,
}

pub fn decide(world: &World<'_>, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    for (number, preview) in world.previews {
        let pull = world.pulls.get(number);
        let step =
            next(preview, pull, world.rules, world.wishes.get(number).copied(), now, &mut decision.again);
        decision.steps.extend(step.map(|step| (*number, step)));
    }
    admit(world, now, &mut decision);
    decision
}

/// Takes a place, or frees one: until its namespace is gone.
fn takes_place(preview: &Preview) -> bool {
    preview.ended.is_none() || !matches!(preview.namespace, NamespaceState::Absent | NamespaceState::Foreign)
}

fn next(
    preview: &Preview,
    pull: Option<&Pull>,
    rules: Option<&Rules>,
    wish: Option<Wish>,
    now: Timestamp,
    again: &mut Option<Timestamp>,
) -> Option<Step> {
    if let Some(ended) = preview.ended {
        // It ends, whatever is said meanwhile; it may begin again once that is done.
        return match preview.namespace {
            NamespaceState::There { .. } => Some(Step::Clear),
            NamespaceState::Unknown => None,
            NamespaceState::Absent | NamespaceState::Foreign => {
                let is_over = pull.is_some_and(|pull| pull.is_over);
                (ended.is_forgotten() || is_over || is_unlabelled(preview, pull, rules, now))
                    .then_some(Step::Forget)
            }
        };
    }
    if let Some(ended) = ends(preview, pull, rules, wish, now, again) {
        return Some(Step::End(ended));
    }
    if preview.is_suspended {
        return match preview.namespace {
            NamespaceState::There { is_going: false } => Some(Step::Open),
            NamespaceState::Absent => Some(Step::Fence),
            // One that goes has to be gone first; one that is not ours is not touched.
            _ => None,
        };
    }
    let pull = pull?;
    let is_kept = wish == Some(Wish::Keep);
    let is_asked = preview.is_asked || wish == Some(Wish::Start);
    let (active, since) = match wish {
        Some(Wish::Keep | Wish::Start) => (now, if is_kept { now } else { preview.since }),
        // To the minute: each word of it is a write.
        _ if pull.active.duration_since(preview.active) >= SignedDuration::from_mins(1) => {
            (pull.active, preview.since)
        }
        _ => (preview.active, preview.since),
    };
    // What a fork pushes after a person looked at it has to be looked at as well.
    let is_held = (preview.is_fork || pull.is_fork) && wish != Some(Wish::Start);
    let head = if is_held { &preview.head } else { &pull.head };
    let is_asleep = match rules {
        Some(rules) => sleeps(rules, active, now, again),
        // Whoever looks at it wants to see it.
        None => preview.is_asleep && active == preview.active,
    };
    let is_same = (head, &pull.base, is_asked, is_asleep)
        == (&preview.head, &preview.base, preview.is_asked, preview.is_asleep);
    if is_same && (active, since) == (preview.active, preview.since) {
        return None;
    }
    let (head, base) = (head.clone(), pull.base.clone());
    Some(Step::Update { head, base, active, since, is_asked, is_asleep })
}

/// Whether it is night, and nobody looked since that began.
fn sleeps(rules: &Rules, active: Timestamp, now: Timestamp, again: &mut Option<Timestamp>) -> bool {
    let Some(night) = &rules.night else { return false };
    *again = [*again, night.next(now)].into_iter().flatten().min();
    night.around(now).is_some_and(|(begin, _)| active < begin)
}

/// Why a preview ends now, if it does.
fn ends(
    preview: &Preview,
    pull: Option<&Pull>,
    rules: Option<&Rules>,
    wish: Option<Wish>,
    now: Timestamp,
    again: &mut Option<Timestamp>,
) -> Option<Ended> {
    if pull.is_some_and(|pull| pull.is_over) {
        return Some(Ended::Closed);
    }
    if preview.is_fork && rules.is_some_and(|rules| !rules.forks) {
        return Some(Ended::Stopped);
    }
    match wish {
        Some(Wish::Stop) => return Some(Ended::Stopped),
        Some(Wish::Keep | Wish::Start) => return None,
        None => {}
    }
    if is_unlabelled(preview, pull, rules, now) {
        return Some(Ended::Unlabelled);
    }
    let rules = rules?;
    let active = pull.map_or(preview.active, |pull| pull.active.max(preview.active));
    let (idle, cap) = (active + rules.idle, preview.since + rules.cap);
    // A pull request that is not known may have been pushed to.
    if now >= idle && pull.is_some() {
        return Some(Ended::Idle);
    }
    if now >= cap {
        return Some(Ended::Cap);
    }
    *again = [*again, Some(idle.min(cap))].into_iter().flatten().min();
    None
}

/// Whether it was for a label that is gone for certain.
fn is_unlabelled(preview: &Preview, pull: Option<&Pull>, rules: Option<&Rules>, now: Timestamp) -> bool {
    let (Some(pull), Some(rules)) = (pull, rules) else { return false };
    let is_labelled = rules.label.as_ref().is_some_and(|label| pull.labels.contains(label));
    let is_settled = pull.unlabelled_since.is_some_and(|since| now.duration_since(since) >= SETTLE);
    !preview.is_asked && !is_labelled && is_settled
}

/// When its time is over by what is known.
pub fn ends_at(preview: &Preview, pull: Option<&Pull>, rules: &Rules) -> Timestamp {
    let active = pull.map_or(preview.active, |pull| pull.active.max(preview.active));
    (active + rules.idle).min(preview.since + rules.cap)
}

/// Gives places to those who want one.
fn admit(world: &World<'_>, now: Timestamp, decision: &mut Decision) {
    let Some(rules) = world.rules else { return };
    let wants = |(number, pull): &(&u64, &Pull)| {
        let wish = world.wishes.get(number);
        let is_labelled = rules.label.as_ref().is_some_and(|label| pull.labels.contains(label));
        let is_wanted = match world.previews.get(number) {
            None => is_labelled || wish == Some(&Wish::Start),
            Some(preview) => {
                preview.ended.is_some() && !takes_place(preview) && is_revived(preview, pull, wish)
            }
        };
        // What a fork says runs nowhere by itself.
        let may = !pull.is_fork || rules.forks && wish == Some(&Wish::Start);
        is_wanted && may && !pull.is_over && wish != Some(&Wish::Stop)
    };
    let mut free = rules.max.saturating_sub(world.previews.values().filter(|one| takes_place(one)).count());
    for (number, pull) in world.pulls.iter().filter(wants) {
        if free == 0 {
            decision.queue.push(*number);
            continue;
        }
        free -= 1;
        let is_asked = world.wishes.get(number) == Some(&Wish::Start);
        let (head, base) = (pull.head.clone(), pull.base.clone());
        decision.steps.retain(|(of, _)| of != number);
        decision.steps.push((
            *number,
            match world.previews.get(number) {
                None => Step::Make { head, base, is_asked },
                Some(preview) => Step::Revive { head, base, is_asked: is_asked || preview.is_asked },
            },
        ));
    }
    if decision.queue.is_empty() {
        return;
    }
    // One place for those who wait, unless one is being freed already.
    let is_freed = decision.steps.iter().any(|(_, step)| matches!(step, Step::End(_) | Step::Clear));
    let is_going = world.previews.values().any(|one| one.ended.is_some() && takes_place(one));
    let active = |number: &u64, preview: &Preview| {
        world.pulls.get(number).map_or(preview.active, |pull| pull.active.max(preview.active))
    };
    let running = world.previews.iter().filter(|(number, one)| {
        one.ended.is_none() && world.pulls.contains_key(number) && !world.wishes.contains_key(number)
    });
    let longest = running.map(|(number, one)| (active(number, one), *number)).min();
    match longest {
        Some((since, number)) if now >= since + YIELDS && !is_freed && !is_going => {
            decision.steps.retain(|(of, _)| *of != number);
            decision.steps.push((number, Step::End(Ended::Yielded)));
        }
        Some((since, _)) => {
            let at = since + YIELDS;
            decision.again = [decision.again, Some(at)].into_iter().flatten().filter(|at| *at > now).min();
        }
        None => {}
    }
}

/// Whether one that ended begins again: somebody asks for it, or there is something new to look at.
fn is_revived(preview: &Preview, pull: &Pull, wish: Option<&Wish>) -> bool {
    let is_new = pull.head != preview.head;
    match preview.ended {
        _ if wish == Some(&Wish::Start) => true,
        Some(Ended::Idle | Ended::Cap | Ended::Yielded) => is_new,
        // A person's word counts until another one.
        _ => false,
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
