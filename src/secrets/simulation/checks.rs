//! What must be so at every moment.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{App, Environment, Is};
use super::story::{Second, Shape};
use crate::object::secret::SecretId;

/// An app rolls for secrets at most once in this time.
const PAUSE: Second = 60;

type Marked = BTreeSet<(SecretId, Box<str>)>;

pub struct Checks {
    /// Versions with which an app of each environment passed its gates.
    proven: Vec<Marked>,
    /// Versions with which one failed that tried nothing else for the first time.
    alone: Vec<Marked>,
    /// When each app last began to roll for secrets, as far as its replica remembers.
    began: BTreeMap<(usize, usize), Second>,
    /// Apps that a person wants to be tried again.
    asked: BTreeSet<(usize, usize)>,
}

impl Checks {
    pub fn new(environments: usize) -> Self {
        let (began, asked) = Default::default();
        let marked = vec![Marked::new(); environments];
        Self { proven: marked.clone(), alone: marked, began, asked }
    }

    pub fn well(&mut self, environment: usize, with: &Is) {
        self.proven[environment]
            .extend(with.versions.iter().map(|(id, version)| (id.clone(), version.clone())));
    }

    /// A rollout for newer versions failed.
    pub fn failed(&mut self, environment: usize, with: &Is) {
        let tried = with.versions.iter().map(|(id, version)| (id.clone(), version.clone()));
        let mut new = tried.filter(|tried| !self.proven[environment].contains(tried));
        if let (Some(only), None) = (new.next(), new.next()) {
            self.alone[environment].insert(only);
        }
    }

    /// Who is begun anew does not remember when each app rolled last.
    pub fn killed(&mut self) {
        self.began.clear();
    }

    /// A person wants an app to be tried again, at once.
    pub fn asked(&mut self, of: (usize, usize)) {
        self.began.remove(&of);
        self.asked.insert(of);
    }

    pub fn handed_over(&mut self, environment: usize) {
        self.began.retain(|(of, _), _| *of != environment);
    }

    /// A rollout began.
    pub fn began(
        &mut self,
        environments: &[Environment],
        shape: &Shape,
        (e, at): (usize, usize),
        is_rotation: bool,
        now: Second,
    ) -> Result<(), String> {
        let environment = &environments[e];
        let app = &environment.apps[at];
        let name = format!("{}/{}", environment.name, app.name);
        let Some(course) = app.course.as_ref() else { return Ok(()) };
        self.holds_what_it_reads(environment, app, &course.to).map_err(|why| format!("{name} {why}"))?;
        if !is_rotation {
            return Ok(());
        }
        if self.asked.remove(&(e, at)) {
            // A person's word goes before limits; what begins after it has to count it.
            return Ok(());
        }
        if let Some(last) = self.began.insert((e, at), now)
            && now - last < PAUSE
        {
            return Err(format!("{name} rolls for secrets after {} s again", now - last));
        }
        let of = rolling(environment);
        if of > shape.environment && of > app.consumers {
            return Err(format!(
                "{of} consumers roll in {} at once, of {}",
                environment.name, shape.environment
            ));
        }
        let all: usize =
            environments.iter().filter(|other| other.owner == environment.owner).map(rolling).sum();
        if all > shape.cluster && all > app.consumers {
            return Err(format!("{all} consumers roll at once, of {}", shape.cluster));
        }
        let old = app.good.as_ref().map(|good| &good.versions);
        for (id, version) in &course.to.versions {
            let had = course.halted.as_ref().is_some_and(|halted| halted.versions.get(id) == Some(version));
            // What it did not refer to before is taken as it is.
            let is_new = old.and_then(|old| old.get(id)).is_some_and(|old| old != version);
            if !is_new || self.proven[e].contains(&(id.clone(), version.clone())) {
                continue;
            }
            for other in environment.apps.iter().filter(|other| other.name != app.name) {
                if is_trying(other, id, version) {
                    return Err(format!("{name} tries {id} {version} while {} does", other.name));
                }
                if !had && has_failed(other, id, version, &self.proven[e], &self.alone[e]) {
                    return Err(format!(
                        "{name} goes on to {id} {version}, with which {} failed",
                        other.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// A Secret of another app holds the version for which a workload that reads it is rolled.
    fn holds_what_it_reads(&self, environment: &Environment, app: &App, to: &Is) -> Result<(), String> {
        let Some(owner) = app.reads.map(|owner| &environment.apps[owner]) else { return Ok(()) };
        for id in owner.own.iter().filter(|id| !app.own.contains(id)) {
            let (Some(to), Some(holds)) = (to.versions.get(id), owner.written.get(id)) else { continue };
            if to != holds && app.good.as_ref().is_some_and(|good| good.versions.get(id) != Some(to)) {
                // It may have been proven, and be replaced by a newer one since.
                let number = |version: &str| super::provider::version(version);
                if number(to) > number(holds) {
                    return Err(format!(
                        "is rolled for {id} {to}, and the Secret of {} holds {holds}",
                        owner.name
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The consumers of an environment that roll for newer versions alone.
fn rolling(environment: &Environment) -> usize {
    let rolls =
        |app: &&App| app.course.as_ref().is_some_and(|course| !course.is_back && app.is_rotation(&course.to));
    environment.apps.iter().filter(rolls).map(|app| app.consumers).sum()
}

fn is_trying(app: &App, id: &SecretId, version: &str) -> bool {
    let course = app.course.as_ref().filter(|course| !course.is_back && app.is_rotation(&course.to));
    let is_new = |is: &Is| {
        let good = app.good.as_ref().and_then(|good| good.versions.get(id));
        is.versions.get(id).is_some_and(|tried| **tried == *version)
            && good.is_none_or(|good| **good != *version)
    };
    course.is_some_and(|course| is_new(&course.to))
}

/// Whether an app stands failed with a version, and by nothing else: neither by a commit, nor by another version that was tried
/// with it and fails alone, or was replaced by a newer one that works.
fn has_failed(app: &App, id: &SecretId, version: &str, proven: &Marked, alone: &Marked) -> bool {
    let Some(good) = &app.good else { return false };
    // What halts on its way back from a commit is remembered as that commit.
    let failed = app.aside.iter().chain(app.halted.iter().filter(|_| app.aside.is_none()));
    let number = super::provider::version;
    let is_replaced = |id: &SecretId, version: &str| {
        proven.iter().any(|(other, newer)| other == id && number(newer) > number(version))
    };
    failed.filter(|failed| failed.content == good.content).any(|failed| {
        let mut new = failed.versions.iter().filter(|(id, version)| good.versions.get(*id) != Some(*version));
        let is_it = new.clone().any(|(of, failed)| of == id && **failed == *version);
        is_it
            && !new.any(|(of, failed)| {
                of != id && (is_replaced(of, failed) || alone.contains(&(of.clone(), failed.clone())))
            })
    })
}
