use crate::object::{AppName, Digest};

/// Names one thing that was begun, so that its answer reaches only what asked for it.
///
/// A number is never given twice, so the answer to an app that left git and came back meanwhile is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub of: Owner,
    pub attempt: u64,
}

/// What an action was begun for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// An app, and the digest that it was to run or to go back to.
    App(AppName, Digest),
    /// The deletes of what bears this app's name.
    Prune(Box<str>),
    /// What the environment remembers.
    Memory,
}

/// Gives out tickets.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    last: u64,
}

impl Tickets {
    pub fn next(&mut self, of: Owner) -> Ticket {
        self.last += 1;
        Ticket { of, attempt: self.last }
    }
}
