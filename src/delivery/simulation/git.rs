//! What git says, commit by commit, and whether it can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chance::Millis;
use super::content::{Content, app_name, wanted};
use super::policies::Policies;
use crate::api::{AppSpec, OnFailure, PruneBudget, Rollout, RolloutScope, Span};
use crate::delivery::Says;
use crate::object::{AppName, Commit, Digest, Problem, Problems, Revision};
use crate::plan::WantedApp;

/// How everything rolls out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    pub timeout: u64,
    pub settle: u64,
    pub halts: bool,
    pub together: bool,
    /// The first app waits for the second.
    pub depends: bool,
    pub budget: u8,
}

impl Default for Terms {
    fn default() -> Self {
        Self { timeout: 60, settle: 0, halts: false, together: false, depends: false, budget: 100 }
    }
}

/// What a commit changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edit {
    Says(usize, Content),
    /// `{ this is no YAML: [`
    Breaks(usize),
    Leaves(usize),
    Terms(Terms),
    Policies(Policies),
}

/// What a commit says of an app.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    Says(Content),
    Broken,
}

#[derive(Clone, Debug, Default)]
pub struct Revised {
    pub apps: BTreeMap<usize, Word>,
    pub terms: Terms,
    pub policies: Policies,
}

#[derive(Default)]
pub struct Git {
    commits: Vec<Revised>,
    /// Which of them the branch is at.
    head: usize,
    away_until: Millis,
    /// The apps that cannot be rendered now, though nothing is wrong with them.
    passing: BTreeMap<usize, Millis>,
}

impl Git {
    pub fn push(&mut self, edits: &[Edit]) {
        let mut next = self.head().cloned().unwrap_or_default();
        for edit in edits {
            match *edit {
                Edit::Says(app, content) => drop(next.apps.insert(app, Word::Says(content))),
                Edit::Breaks(app) => {
                    // What is not there cannot be broken.
                    if let Some(word) = next.apps.get_mut(&app) {
                        *word = Word::Broken;
                    }
                }
                Edit::Leaves(app) => drop(next.apps.remove(&app)),
                Edit::Terms(terms) => next.terms = terms,
                Edit::Policies(policies) => next.policies = policies,
            }
        }
        self.commits.push(next);
        self.head = self.commits.len() - 1;
    }

    /// Takes the branch back by so many commits.
    pub fn reset(&mut self, count: usize) {
        self.head = self.head.saturating_sub(count);
    }

    pub fn leave(&mut self, until: Millis) {
        self.away_until = self.away_until.max(until);
    }

    pub fn fail(&mut self, app: usize, until: Millis) {
        self.passing.insert(app, until);
    }

    pub fn is_away(&self, now: Millis) -> bool {
        now < self.away_until
    }

    pub fn head(&self) -> Option<&Revised> {
        self.commits.get(self.head)
    }

    /// What a commit says of an app, by its number.
    pub fn digest_at(&self, commit: &Commit, app: usize) -> Option<Digest> {
        let number: usize = commit.revision.as_str().trim_start_matches('c').parse().ok()?;
        match self.commits.get(number)?.apps.get(&app)? {
            Word::Says(content) => Some(wanted(app, *content).digest.clone()),
            Word::Broken => None,
        }
    }

    /// What a commit was, for who wants it back.
    pub fn past(&self, app: usize, revision: &str) -> Option<Arc<WantedApp>> {
        let number: usize = revision.trim_start_matches('c').parse().ok()?;
        match self.commits.get(number)?.apps.get(&app)? {
            Word::Says(content) => Some(wanted(app, *content)),
            Word::Broken => None,
        }
    }

    /// What is read of it now.
    pub fn read(&self, now: Millis) -> Option<Says> {
        if self.is_away(now) {
            return None;
        }
        let head = self.head()?;
        let failing: BTreeSet<usize> =
            self.passing.iter().filter(|(_, until)| now < **until).map(|(app, _)| *app).collect();
        let says = |(app, word): (&usize, &Word)| {
            let mut spec = AppSpec::folder(app_name(*app), "base");
            if head.terms.depends && *app == 0 && head.apps.contains_key(&1) {
                spec.depends_on = vec![app_name(1)];
            }
            let said = match word {
                _ if failing.contains(app) => Err(problem("its chart cannot be rendered now")),
                Word::Says(content) => Ok(wanted(*app, *content)),
                Word::Broken => Err(problem("this is no YAML")),
            };
            (spec, said)
        };
        let apps = head.apps.iter().map(says).collect();
        let commit = Commit::new(revision(self.head), "", "");
        let drift = head.policies.compile();
        Some(Says { apps, rollout: rollout(head.terms), drift, commit: Some(commit) })
    }

    /// When something about it changes by itself.
    pub fn next(&self, now: Millis) -> Option<Millis> {
        let ends = self.passing.values().copied().chain([self.away_until]);
        ends.filter(|at| *at > now).min()
    }

    /// Whether git says this app now, and in which words.
    pub fn says(&self, name: &AppName) -> Option<Word> {
        let app = super::content::APPS.iter().position(|app| *app == name.as_str())?;
        self.head()?.apps.get(&app).copied()
    }
}

/// The name of a commit, by its number.
pub fn revision(number: usize) -> Revision {
    Revision::new(format!("c{number:07}"))
}

fn problem(why: &str) -> Problems {
    Problems::check(vec![Problem::new(why)]).expect_err("there is one")
}

fn rollout(terms: Terms) -> Rollout {
    Rollout {
        timeout: Span::seconds(terms.timeout),
        settle: Span::seconds(terms.settle),
        on_failure: if terms.halts { OnFailure::Halt } else { OnFailure::Restore },
        scope: if terms.together { RolloutScope::Environment } else { RolloutScope::App },
        prune: PruneBudget { max: 10, percent: terms.budget },
        ..Rollout::default()
    }
}
