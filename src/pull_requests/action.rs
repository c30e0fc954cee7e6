//! What is done for a pull request, what came of it, and what all pull requests of a repository share.

use std::collections::BTreeMap;

use crate::api::PersonSpec;
use crate::object::Revision;

use super::after::Landing;
use super::commands::{Order, Outcome};
use super::made::Made;
use super::pace::Inputs;
use super::sticky::Own;
use super::words::{Comment, CommentId, PullRequest, Reaction, Status};

/// What is to be done for a pull request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make its report.
    Report(Inputs),
    /// Read all its comments.
    Find,
    /// Read this comment.
    Look(CommentId),
    Make {
        body: String,
    },
    Edit {
        comment: CommentId,
        body: String,
    },
    Remove(CommentId),
    Tell {
        revision: Revision,
        status: Status,
    },
    /// Ask what became of it: the list of open ones has it no more.
    Ask,
    /// Ask whether an account may write.
    Permit {
        login: String,
        account: Option<u64>,
    },
    /// Do what a comment asks for, as who wrote it.
    CarryOut(Box<Order>),
    React {
        comment: CommentId,
        reaction: Reaction,
    },
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Reported(Made),
    Found(Vec<Comment>),
    /// `None` where the forge says that there is no such comment.
    Looked(Option<Comment>),
    Made(CommentId),
    Edited,
    /// There is no such comment to edit.
    Gone,
    Removed,
    Told,
    Asked(PullRequest),
    Permitted(bool),
    CarriedOut(Outcome),
    Reacted,
}

/// What all pull requests of a repository share.
pub struct Shared {
    pub own: Own,
    /// The environments by name, each with the branch that it follows.
    pub environments: BTreeMap<String, String>,
    /// The newest commit of each branch.
    pub tips: BTreeMap<String, Revision>,
    pub landings: BTreeMap<String, Landing>,
    /// Who may give commands, by environment.
    pub people: BTreeMap<String, Vec<PersonSpec>>,
}

impl Shared {
    /// Who may give commands in pull requests into a branch, by environment that follows it.
    pub fn people_of(&self, base: &str) -> BTreeMap<&str, &[PersonSpec]> {
        let of = self.environments.iter().filter(|(_, branch)| *branch == base);
        of.map(|(name, _)| (name.as_str(), self.people.get(name).map_or(&[][..], Vec::as_slice))).collect()
    }

    pub fn takes_commands(&self, base: &str) -> bool {
        self.people_of(base).values().any(|people| !people.is_empty())
    }
}
