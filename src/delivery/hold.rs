use std::fmt;

use jiff::Timestamp;

use crate::object::AppName;
use crate::rollout::Waiting;

/// Something that holds an app up: it does not begin what it would begin otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    pub on: HeldBy,
    pub since: Timestamp,
}

/// What an app is held by. A region, a promotion, a window, a secret will be others.
#[derive(Clone, Debug, PartialEq)]
pub enum HeldBy {
    /// The platform suspended the environment; so much would change.
    Suspended { objects: usize, hooks: usize },
    /// A person asked that commits wait: who, until when, and why.
    Person(String),
    /// Apps that it depends on do not run what git says.
    Dependencies(Vec<AppName>),
    /// A Job of an older commit must not be interrupted.
    Hook(Waiting),
    /// Kinds that it wants are being listed.
    Listing(Vec<String>),
    /// A kind that it wants cannot be watched.
    Unwatched(String),
}

impl HeldBy {
    /// Whether it stays so until a person or a commit changes something.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Unwatched(_))
    }

    /// Whether both are of one sort, so that the time since when it holds goes on.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended { objects, hooks } => {
                write!(f, "{objects} objects would change")?;
                match hooks {
                    0 => Ok(()),
                    1 => f.write_str(", and 1 hook would run"),
                    count => write!(f, ", and {count} hooks would run"),
                }
            }
            Self::Person(words) => write!(f, "commits are held {words}"),
            Self::Dependencies(names) => {
                let names: Vec<&str> = names.iter().map(AppName::as_str).collect();
                write!(f, "waits for {}", names.join(", "))
            }
            Self::Hook(on) => write!(f, "waits for {on}"),
            Self::Listing(kinds) => write!(f, "waits until {} were listed", kinds.join(", ")),
            Self::Unwatched(why) => f.write_str(why),
        }
    }
}

/// Holds begin when they were not there before.
pub(super) fn since(before: &[Hold], now: &[HeldBy], at: Timestamp) -> Vec<Hold> {
    now.iter()
        .map(|on| {
            let known = before.iter().find(|hold| hold.on.is_like(on));
            Hold { on: on.clone(), since: known.map_or(at, |hold| hold.since) }
        })
        .collect()
}
