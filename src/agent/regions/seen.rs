//! What follows git is told by the region of an environment, and what is seen of what came of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{AppName, Digest, Revision};
use crate::region::Part;

/// What those are told who follow git.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orders {
    /// The commit whose word was heard; it is not rendered before.
    pub heard: Option<Revision>,
    /// What runs here; nothing where the environment is in no region.
    pub part: Option<Part>,
    /// Nothing new of git is taken, and nothing is deleted.
    pub frozen: bool,
    /// The commit that ran when the freeze began, where that is known: an agent that begins anew meanwhile goes on with it.
    pub pinned: Option<Revision>,
}

/// What was seen of the environment, as far as a region decides by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What the apps were told by.
    pub orders: Orders,
    /// The commit that the apps were told.
    pub revision: Option<Revision>,
    pub knows_apps: bool,
    /// Those that do not run it, each with whether it will not go on by itself, and why.
    pub behind: BTreeMap<String, (bool, String)>,
    pub is_pruning: bool,
    /// What is wrong with git, or with the Environment.
    pub trouble: Option<String>,
    /// Whether all that only an active region may run ends by itself, as git has it.
    pub is_guarded: bool,
    /// The secrets that cannot be read here, and why.
    pub secrets: Vec<String>,
    /// The apps that failed their gates, and what is not tried again of each.
    pub set_aside: BTreeMap<AppName, Digest>,
    /// The digests that apps have set aside, or are to run.
    pub digests: BTreeMap<AppName, BTreeSet<Digest>>,
    /// The word to try again that was answered last.
    pub retried: Option<String>,
}

/// How far the apps are with what is to run here.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    Ready,
    Going(String),
    Stuck(String),
}

impl Seen {
    /// Whether all apps run what they are to run by these orders.
    pub fn standing(&self, orders: &Orders) -> Standing {
        if self.orders.part != orders.part || !self.knows_apps {
            let why = self.trouble.clone().unwrap_or_else(|| "its apps were not told yet".to_owned());
            return Standing::Going(why);
        }
        let stuck = self.behind.iter().find(|(_, (is_stuck, _))| *is_stuck);
        match stuck.or_else(|| self.behind.iter().next()) {
            None => Standing::Ready,
            Some((app, (true, why))) => Standing::Stuck(format!("{app}: {why}")),
            Some((app, (false, why))) => Standing::Going(format!("{app}: {why}")),
        }
    }
}
