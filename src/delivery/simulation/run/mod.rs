//! Tells a story: what happens goes on from one moment at which something is due to the next.

mod rest;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::agent::{Agent, Outside};
use super::chance::{Chance, Millis, Storm};
use super::checks::{Checks, Counted};
use super::content::{ENVIRONMENT, Part, app_name, key_of, wanted};
use super::git::{Git, Word};
use super::server::Server;
use super::store::Store;
use super::story::{Stimulus, Story};
use crate::api::{RollbackRequest, RollbackTo};
use crate::delivery::{Platform, PruneTerms, Retry};
use crate::object::EnvironmentName;
use crate::plan::{Approval, Inventory};

/// So long a story goes on after the last that happened: longer than the longest pause between two tries.
const CALM: Millis = 40 * 60 * 1000;
/// So often an agent may decide in that time, at most: some tries every five minutes are for ever.
const DECISIONS: u64 = 4000;

/// What came of a story.
#[derive(Debug, Default)]
pub struct Told {
    pub decisions: u64,
    pub calm_decisions: u64,
    pub facts: std::collections::BTreeMap<&'static str, u64>,
}

pub struct Run {
    pub outside: Outside,
    pub agent: Option<Agent>,
    born: Millis,
    stimuli: std::vec::IntoIter<(Millis, Stimulus)>,
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
        };
        let stimuli = story.stimuli.clone().into_iter();
        Self { outside, agent: None, born: 10, stimuli, words: 0, git_told: None }
    }

    fn tell(mut self, story: &Story) -> Result<Told, String> {
        let mut next = self.stimuli.next();
        let mut end = Millis::MAX;
        let mut before_calm = 0;
        loop {
            let out = &self.outside;
            let agent = match &self.agent {
                Some(agent) => agent.next(),
                None => Some(self.born),
            };
            let now = out.chance.now;
            let times = [next.as_ref().map(|(at, _)| *at), agent, out.server.next(), out.git.next(now)];
            let Some(at) = times.into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.outside.chance.now = at.max(now);
            if let Some((_, stimulus)) = next.take_if(|(due, _)| *due <= at) {
                self.happens(&stimulus);
                next = self.stimuli.next();
                if next.is_none() {
                    end = at + CALM;
                    before_calm = self.outside.checks.counted.decisions;
                }
            }
            self.go_on();
            let checks = &self.outside.checks;
            if let Some(fault) = &checks.fault {
                return Err(fault.clone());
            }
            if next.is_none() && checks.counted.decisions - before_calm > DECISIONS {
                return Err(format!("{at}: it does not come to rest"));
            }
        }
        rest::check(&self, story)?;
        let Counted { decisions, facts } = self.outside.checks.counted;
        Ok(Told { decisions, calm_decisions: decisions - before_calm, facts })
    }

    fn go_on(&mut self) {
        let Self { outside, agent, .. } = self;
        let now = outside.chance.now;
        outside.server.go_on(now);
        let git_changes = self.git_told.is_some_and(|at| at <= now);
        self.git_told = outside.git.next(now);
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
            Stimulus::Away(seconds) => {
                out.git.leave(now + seconds * 1000);
                self.tell_git();
            }
            Stimulus::Unrenderable(app, seconds) => {
                out.git.fail(*app, now + seconds * 1000);
                self.tell_git();
            }
            Stimulus::Storm(storm, seconds) => out.chance.begin(*storm, now + seconds * 1000),
            Stimulus::Die(gap) => {
                if let Some(agent) = self.agent.take() {
                    agent.die(out);
                    self.born = now + gap;
                }
            }
            Stimulus::Edit(app, part, fate) => out.server.edit(&key_of(*app, *part), *fate, &mut out.chance),
            Stimulus::Delete(app, part) => self.delete(*app, *part),
            Stimulus::Claim(app, part) => {
                if let Some(Word::Says(content)) = out.git.says(&app_name(*app)) {
                    let all = wanted(*app, content);
                    let key = key_of(*app, *part);
                    let object = all.objects.iter().find(|object| object.key == key);
                    object.into_iter().for_each(|object| out.server.claim(object, &mut out.chance));
                }
            }
            Stimulus::Scale(app, scales) => out.server.scale(&key_of(*app, Part::Web), *scales),
            Stimulus::Jump(seconds) => out.clock += seconds * 1000,
            Stimulus::Retry(_) | Stimulus::Rollback(_) | Stimulus::Suspend(_) | Stimulus::Approve => {
                self.ask(stimulus);
            }
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
            Stimulus::Rollback(app) => {
                let Some(Word::Says(content)) = out.git.says(&app_name(*app)) else { return };
                let from = wanted(*app, content).digest.clone();
                let apps = [(app_name(*app), RollbackTo { from, to: None })].into();
                let id = self.words.to_string();
                out.platform.rollbacks =
                    vec![RollbackRequest { id, by: "ann".to_owned(), reason: None, apps }];
            }
            Stimulus::Suspend(suspended) => out.platform.suspended = *suspended,
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
        self.git_told = outside.git.next(outside.chance.now);
        if let Some(agent) = agent {
            agent.tell_git(outside);
        }
    }

    /// Whether pods could not start for a while.
    pub fn had_weather(story: &Story) -> bool {
        story.stimuli.iter().any(|(_, stimulus)| matches!(stimulus, Stimulus::Storm(Storm::Weather, _)))
    }
}
