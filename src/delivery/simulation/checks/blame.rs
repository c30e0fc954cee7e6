//! Which commit brought which digest: blame belongs to that one, and to no later one that left it as it was.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{AppName, Commit, Digest, Revision};
use crate::state::AppMemory;

#[derive(Default)]
pub struct Blame {
    /// What git said last of each app, to whichever agent.
    says: BTreeMap<AppName, Digest>,
    /// The commit that brought a digest of an app; and those that brought it to a process that knew nothing of it.
    brought: BTreeMap<(AppName, Digest), Vec<Revision>>,
    /// All that ever brought it: a process may remember one of those, and not what was said and taken back since.
    ever: BTreeMap<(AppName, Digest), Vec<Revision>>,
    /// The commits that people named when they wanted something older back: what is put back for them is of those.
    named: BTreeSet<(AppName, Revision)>,
}

impl Blame {
    /// A person wants what an app was at a commit.
    pub fn wants(&mut self, app: AppName, revision: Revision) {
        self.named.insert((app, revision));
    }

    /// Forgets what was said of apps that git does not name any more.
    pub fn keep(&mut self, named: &BTreeSet<&AppName>) {
        self.says.retain(|app, _| named.contains(app));
    }

    /// Takes what git says of an app, and what is remembered of it; `is_first` is its first word to a process.
    pub fn heard(
        &mut self,
        (app, digest): (&AppName, &Digest),
        commit: Option<&Commit>,
        known: Option<&AppMemory>,
        is_first: bool,
    ) {
        let Some(revision) = commit.map(|commit| commit.revision.clone()) else { return };
        let key = (app.clone(), digest.clone());
        let brought = self.brought.entry(key.clone()).or_default();
        let ever = self.ever.entry(key).or_default();
        ever.push(revision.clone());
        let remembered = remembers(known, digest);
        if self.says.get(app) != Some(digest) {
            // What was good once keeps the commit that brought it then, and so does what a process remembers that begins.
            if !is_first && !remembered {
                brought.clear();
            }
            brought.push(revision);
            self.says.insert(app.clone(), digest.clone());
        } else if is_first && !remembered {
            brought.push(revision);
        } else if is_first {
            brought.clone_from(ever);
        }
    }

    /// Whether a commit may be blamed for a digest.
    pub fn is_of(&self, app: &AppName, digest: &Digest, commit: &Commit) -> bool {
        let brought = self.brought.get(&(app.clone(), digest.clone()));
        brought.is_some_and(|all| all.contains(&commit.revision))
            || self.named.contains(&(app.clone(), commit.revision.clone()))
    }
}

/// Whether anything of a digest is remembered, so that its commit has to be known after a restart.
fn remembers(known: Option<&AppMemory>, digest: &Digest) -> bool {
    let Some(known) = known else { return false };
    let is_good = known.last_good.as_ref().is_some_and(|good| good.digest == *digest);
    let is_rolling = known.rolling.as_ref().is_some_and(|rolling| rolling.state.digest == *digest);
    is_good || is_rolling
}
