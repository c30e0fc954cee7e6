//! Tells a story: what happens goes on from one moment at which something is due to the next.

mod rest;

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::SignedDuration;

use super::agent::Agent;
use super::chance::{Chance, Millis, Storm};
use super::checks::{Checks, Counted};
use super::content::{ENVIRONMENT, Part, app_name, key_of, tidy_catalogue, wanted};
use super::git::{Git, Word, revision};
use super::outside::{Limbo, Outside};
use super::script::Script;
use super::server::Server;
use super::store::Store;
use super::story::{Stimulus, Story};
use crate::api::{RollbackRequest, RollbackTo};
use crate::delivery::{Platform, PruneTerms, Retry};
use crate::drift::HandsOff;
use crate::object::EnvironmentName;
use crate::plan::{Approval, Inventory};

/// So long a story goes on after the last that happened: longer than the longest pause between two tries.
const CALM: Millis = 40 * 60 * 1000;
/// So often an agent may decide in that time, at most: some tries every five minutes are for ever.
const DECISIONS: u64 = 4000;
/// So long an agent that is told to end waits for what is under way.
const HAND_OVER: Millis = 20_000;

/// What came of a story.
#[derive(Debug, Default)]
pub struct Told {
    pub decisions: u64,
    pub calm_decisions: u64,
    /// How many actions were begun after the last that happened.
    pub calm_actions: u64,
    pub facts: std::collections::BTreeMap<&'static str, u64>,
}

pub struct Run {
    pub outside: Outside,
    pub agent: Option<Agent>,
    /// An agent that ends, until when at most, and so long before the next begins.
    ending: Option<(Agent, Millis, Millis)>,
    born: Millis,
    script: Script,
    words: u32,
    /// When git will look different by itself, as it was told last.
    git_told: Option<Millis>,
}

/// Tells a story to its end, or to the first thing that is wrong.
pub fn tell(story: &Story) -> Result<Told, String> {
    tell_aloud(story, false)
}

/// The same, and prints what happens.
pub fn tell_aloud(story: &Story, traced: bool) -> Result<Told, String> {
    let run = || {
        tidy_catalogue();
        let mut run = Run::new(story);
        run.outside.checks.traced = traced;
        run.tell(story)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned()));
        Err(format!("it panicked: {}", why.unwrap_or_default()))
    })
}

impl Run {
    fn new(story: &Story) -> Self {
        let environment = EnvironmentName::new(ENVIRONMENT).expect("it is a name");
        let terms = PruneTerms { environment, grants: None, approval: Approval::default(), hold: None };
        let outside = Outside {
            chance: Chance::new(story.seed),
            server: Server::default(),
            store: Store::default(),
            git: Git::default(),
            platform: Platform { prune: Some(terms), ..Platform::default() },
            inventory: Inventory::default(),
            checks: Checks::default(),
            clock: 0,
            goes: false,
            begun: Vec::new(),
            limbo: Limbo::default(),
        };
        let script = Script::of(story);
        Self { outside, agent: None, ending: None, born: 10, script, words: 0, git_told: None }
    }

    fn tell(mut self, story: &Story) -> Result<Told, String> {
        let mut end = Millis::MAX;
        let mut before_calm = (0, 0);
        loop {
            let now = self.outside.chance.now;
            // What is tried again now and then may be under way just then.
            let at_work = self.agent.as_ref().is_some_and(|agent| !agent.tasks.is_empty());
            let latest = if at_work { end.saturating_add(HAND_OVER) } else { end };
            let Some(at) = self.next().filter(|at| *at <= latest) else { break };
            self.outside.chance.now = at.max(now);
            if let Some(stimulus) = self.script.take(at.max(now)) {
                self.happens(&stimulus);
                if self.script.next().is_none() {
                    end = at.max(now) + CALM;
                    let counted = &self.outside.checks.counted;
                    before_calm = (counted.decisions, counted.actions);
                }
            }
            self.go_on();
            let checks = &self.outside.checks;
            if let Some(fault) = &checks.fault {
                return Err(fault.clone());
            }
            if self.script.next().is_none() && checks.counted.decisions - before_calm.0 > DECISIONS {
                return Err(format!("{at}: it does not come to rest"));
            }
        }
        rest::check(&self, story)?;
        let Counted { decisions, actions, facts } = self.outside.checks.counted;
        let (calm_decisions, calm_actions) = (decisions - before_calm.0, actions - before_calm.1);
        Ok(Told { decisions, calm_decisions, calm_actions, facts })
    }

    /// When something is due next.
    fn next(&self) -> Option<Millis> {
        let out = &self.outside;
        let agent = match (&self.agent, &self.ending) {
            (Some(agent), _) => agent.next(),
            (None, Some((ending, latest, _))) => {
                ending.next_end().map_or(Some(*latest), |at| Some(at.min(*latest)))
            }
            (None, None) => Some(self.born),
        };
        let times = [self.script.next(), agent, out.server.next(), self.git_changes(), out.next()];
        times.into_iter().flatten().min()
    }

    /// When git will look different by itself.
    fn git_changes(&self) -> Option<Millis> {
        let out = &self.outside;
        [out.git.next(out.chance.now), out.chance.until(Storm::Doubt)].into_iter().flatten().min()
    }

    fn go_on(&mut self) {
        let now = self.outside.chance.now;
        let git_changes = self.git_told.is_some_and(|at| at <= now);
        self.git_told = self.git_changes();
        let Self { outside, agent, .. } = self;
        outside.server.go_on(&mut outside.chance);
        outside.go_on();
        if let Some((ending, latest, gap)) = &mut self.ending {
            if !ending.end(outside) && now < *latest {
                return;
            }
            self.born = now + *gap;
            if let Some((ending, ..)) = self.ending.take() {
                ending.die(outside);
            }
        }
        match agent {
            Some(agent) => {
                if git_changes {
                    agent.tell_git(outside);
                }
                agent.go_on(outside);
            }
            None if now >= self.born => *agent = Some(Agent::begin(outside)),
            None => {}
        }
        outside.begun.drain(..).for_each(|name| self.script.begun(name, now));
    }

    fn happens(&mut self, stimulus: &Stimulus) {
        let out = &mut self.outside;
        let now = out.chance.now;
        if out.checks.traced {
            println!("{now} {stimulus:?}");
        }
        match stimulus {
            Stimulus::Push(edits) => {
                out.git.push(edits);
                out.checks.pushed(&out.git);
                self.tell_git();
            }
            Stimulus::Reset(count) => {
                out.git.reset(*count);
                out.checks.pushed(&out.git);
                self.tell_git();
            }
            Stimulus::Away(seconds) => {
                out.git.leave(now + seconds * 1000);
                self.tell_git();
            }
            Stimulus::Unrenderable(app, seconds) => {
                out.git.fail(*app, now + seconds * 1000);
                self.tell_git();
            }
            Stimulus::Storm(storm, seconds) => {
                out.chance.begin(*storm, now + seconds * 1000);
                if *storm == Storm::Doubt {
                    self.tell_git();
                }
            }
            Stimulus::Die(gap) => {
                let ending = self.ending.take().map(|(agent, ..)| agent);
                if let Some(agent) = self.agent.take().or(ending) {
                    agent.die(out);
                    self.born = now + gap;
                }
            }
            Stimulus::HandOver(gap) => {
                if let Some(agent) = self.agent.take() {
                    self.ending = Some((agent, now + HAND_OVER, *gap));
                }
            }
            Stimulus::Edit(app, part, fate) => {
                out.server.edit(&key_of(*app, *part), *fate, "kubectl-edit", &mut out.chance);
            }
            Stimulus::Touch(app, part, who) => out.server.touch(&key_of(*app, *part), who),
            Stimulus::Delete(app, part) => self.delete(*app, *part),
            Stimulus::Claim(app, part) => {
                if let Some(Word::Says(content)) = out.git.says(&app_name(*app)) {
                    let all = wanted(*app, content);
                    let key = key_of(*app, *part);
                    let object = all.objects.iter().find(|object| object.key == key);
                    object.into_iter().for_each(|object| out.server.claim(object, &mut out.chance));
                }
            }
            Stimulus::Fight(app, part, seconds) => {
                out.server.others.fight(&key_of(*app, *part), now + seconds * 1000, now);
            }
            Stimulus::Scale(app, scales) => out.server.scale(&key_of(*app, Part::Web), *scales, now),
            Stimulus::Jump(seconds) => {
                out.clock += seconds * 1000;
                out.checks.theirs.clock = out.clock;
                out.checks.theirs.went_back |= *seconds < 0;
            }
            Stimulus::Remove => {
                out.goes = true;
                if let Some(agent) = &mut self.agent {
                    agent.tell_leaving(out);
                }
            }
            Stimulus::Lurk(..) => {}
            Stimulus::Retry(_)
            | Stimulus::Rollback(_)
            | Stimulus::RollbackTo(..)
            | Stimulus::Suspend(_)
            | Stimulus::Hold(..)
            | Stimulus::Release
            | Stimulus::Approve => self.ask(stimulus),
        }
    }

    fn delete(&mut self, app: usize, part: Part) {
        let out = &mut self.outside;
        let prefix = key_of(app, part);
        let jobs = out.server.objects.keys().filter(|key| {
            key.kind == prefix.kind
                && (key.name == prefix.name || part == Part::Migrate && key.name.starts_with(&*prefix.name))
        });
        let jobs: Vec<_> = jobs.cloned().collect();
        for key in jobs {
            out.server.delete(&key, None, &mut out.chance);
            out.checks.job_gone(&key);
        }
    }

    /// A person says something, by the Environment.
    fn ask(&mut self, stimulus: &Stimulus) {
        self.words += 1;
        let out = &mut self.outside;
        match stimulus {
            Stimulus::Retry(app) => {
                let Some(Word::Says(content)) = out.git.says(&app_name(*app)) else { return };
                let digest = wanted(*app, content).digest.clone();
                let nonce = format!("{} by ann", self.words);
                out.checks.retried();
                out.platform.retry = Some(Retry { app: app_name(*app), digest, nonce, reason: None });
            }
            Stimulus::Rollback(app) | Stimulus::RollbackTo(app, _) => {
                let Some(Word::Says(content)) = out.git.says(&app_name(*app)) else { return };
                let from = wanted(*app, content).digest.clone();
                let to = match stimulus {
                    Stimulus::RollbackTo(_, number) => {
                        out.checks.blame.wants(app_name(*app), revision(*number));
                        Some(revision(*number).as_str().to_owned())
                    }
                    _ => None,
                };
                let apps = [(app_name(*app), RollbackTo { from, to })].into();
                let id = self.words.to_string();
                out.platform.rollbacks =
                    vec![RollbackRequest { id, by: "ann".to_owned(), reason: None, apps }];
            }
            Stimulus::Suspend(suspended) => out.platform.suspended = *suspended,
            Stimulus::Hold(app, part, deploys, seconds) => {
                let object = app.zip(*part).map(|(app, part)| key_of(app, part));
                let until = out.time() + SignedDuration::from_secs(i64::try_from(*seconds).unwrap_or(0));
                let (app, by) = (app.map(app_name), "ann".to_owned());
                let deploys = *deploys && object.is_none();
                out.platform.holds.push(HandsOff { app, object, deploys, until, by, reason: None });
            }
            Stimulus::Release => out.platform.holds.clear(),
            _ => {
                let status = self.agent.as_ref().and_then(|agent| agent.delivery.prune_status());
                let Some(terms) = &mut out.platform.prune else { return };
                terms.approval.digest = status.and_then(|status| status.digest);
                out.checks.approved = true;
            }
        }
        if let Some(agent) = &mut self.agent {
            agent.tell_platform(out);
        }
    }

    fn tell_git(&mut self) {
        let Self { outside, agent, .. } = self;
        if let Some(agent) = agent {
            agent.tell_git(outside);
        }
        self.git_told = self.git_changes();
    }
}
