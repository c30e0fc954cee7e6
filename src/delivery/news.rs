//! What an environment is told: by git, by the platform, by people, by the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::app::{App, Git, Retry, StandIn, Tokens};
use super::apps::{Apps, Timers};
use super::fact::{Fact, What};
use super::pruner::{PruneTerms, budget_of};
use super::says::Says;
use super::{Delivery, World};
use crate::api::{AppSpec, PruneBudget, RollbackRequest};
use crate::drift::{Decision, HandsOff, Rules};
use crate::object::AppName;
use crate::plan::Budgets;
use crate::policy::Grants;
use crate::state::{AppMemory, Change, Memory};

/// Something that an environment is told.
#[derive(Debug)]
pub enum News {
    /// A revision says this.
    Git(Says),
    /// Nothing can be read of git: what is remembered stands for it, where nothing was heard yet.
    GitAway,
    /// The platform says this.
    Platform(Box<Platform>),
    /// The environment itself goes, and what it made with it.
    Leaving,
    /// Something of these apps changed in the cluster; of any app where none is named.
    Cluster(Option<BTreeSet<AppName>>),
    /// Something of what is remembered is damaged.
    StateDamaged(String),
}

/// What the platform says by the Environment, and people by their requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Platform {
    pub suspended: bool,
    /// `None` where there is no Environment: then rights are the person's own.
    pub grants: Option<Grants>,
    /// The hand-overs that people agreed to.
    pub agreed: Tokens,
    /// Under which terms is deleted what git no longer wants; without, nothing is.
    pub prune: Option<PruneTerms>,
    /// The word of a person who wants to try again.
    pub retry: Option<Retry>,
    /// The words of people who want something older back, one for an app.
    pub rollbacks: Vec<RollbackRequest>,
    /// What people asked to be left alone.
    pub holds: Vec<HandsOff>,
    /// Nobody knows yet what people asked for: until then nothing is begun.
    pub holds_unknown: bool,
    /// What people decided about what others changed, before the rules of the team.
    pub decisions: Vec<Decision>,
}

impl Delivery {
    /// Takes something that it is told.
    pub fn hear(&mut self, news: News, world: &dyn World, now: Timestamp) {
        match news {
            News::Git(says) => self.hear_git(says, world, now),
            News::GitAway => self.hear_nothing(world),
            News::Platform(platform) => self.hear_platform(*platform),
            News::Leaving => self.leave(world),
            News::Cluster(Some(apps)) => {
                self.due.extend(apps.into_iter().filter(|app| self.apps.contains_key(app)))
            }
            News::Cluster(None) => self.ask_all(),
            News::StateDamaged(why) => self.facts.push(Fact { app: None, what: What::StateDamaged { why } }),
        }
    }

    fn ask_all(&mut self) {
        self.due.extend(self.apps.keys().cloned());
    }

    /// Takes what a revision says. An app that is no longer named is let go of: what it made is the pruner's.
    fn hear_git(&mut self, says: Says, world: &dyn World, now: Timestamp) {
        if self.leaving {
            return;
        }
        self.knows_git = true;
        let memory = world.memory().unwrap_or_default();
        self.hear_budget(&says, &memory);
        let said = says.drift.said();
        if memory.drift != said || self.saving.changes_drift() {
            self.saving.push(Change::Drift(said));
        }
        let rules = Arc::new(says.drift.deciding(&self.platform.decisions));
        let (mut old, mut new) = (std::mem::take(&mut self.apps).into_all(), BTreeMap::new());
        for (spec, wanted) in says.apps {
            let name = spec.name.clone();
            // What is being forgotten just now is known no more, though it is remembered still.
            let forgotten = !old.contains_key(&name) && self.saving.forgets(&name);
            let known = memory.apps.get(&name).map(|known| &**known).filter(|_| !forgotten);
            let mut app = old
                .remove(&name)
                .unwrap_or_else(|| App::new(spec.clone(), Git::Away(StandIn::of_known(known)), known));
            app.set_drift_rules(&rules);
            app.set(spec, wanted, &says.rollout, says.commit.as_ref(), now);
            app.agree(&self.platform.agreed);
            if forgotten {
                app.note_quarantine();
            }
            new.insert(name, app);
        }
        self.apps = Apps::of(new);
        // An app that left goes with all that it was waiting to have remembered.
        let unknown = memory.apps.keys().any(|name| !self.apps.contains_key(name));
        if unknown || !old.is_empty() || self.saving.names_apps() {
            self.saving.push(Change::Apps(self.apps.keys().cloned().collect()));
        }
        self.swept.late.extend(old.values().filter_map(|app| Some(app.busy.as_ref()?.ticket.clone())));
        old.values_mut().for_each(App::end_drift);
        self.facts.extend(old.into_values().flat_map(|app| app.log.facts));
        self.timers.retain(|name| self.apps.contains_key(name));
        self.ask_all();
    }

    /// Takes what a revision says may be deleted. That it raises its budget is remembered: it counts from the next one on.
    fn hear_budget(&mut self, says: &Says, memory: &Memory) {
        let says_now = budget_of(says.rollout.prune);
        let usual = || Budgets::settled(budget_of(PruneBudget::default()));
        let known = self.pruner.budgets().or(memory.budgets.as_ref()).cloned();
        let is_new = memory.apps.is_empty() && memory.ledger.is_empty();
        // Where nothing was ever written there is nothing that a first commit could delete.
        let known = known.unwrap_or_else(|| if is_new { Budgets::settled(says_now) } else { usual() });
        let commit = says.commit.as_ref().map(|commit| &commit.revision);
        let budgets = known.then(commit, says_now);
        if memory.budgets.clone().unwrap_or_else(usual) != budgets {
            self.saving.push(Change::Budgets(budgets.clone()));
        }
        self.pruner.set(says, budgets);
    }

    /// What the apps were told last goes on; where nothing was heard yet, what is remembered stands for it.
    fn hear_nothing(&mut self, world: &dyn World) {
        if self.knows_git || self.leaving {
            return;
        }
        self.knows_git = true;
        let memory = world.memory().unwrap_or_default();
        let mut apps = BTreeMap::new();
        let rules = Rules::remembered(memory.drift.as_ref()).deciding(&self.platform.decisions);
        let rules = Arc::new(rules);
        for (name, known) in &memory.apps {
            let mut app = App::new(spec_of(name, known), Git::Away(StandIn::of(known)), Some(known));
            app.set_drift_rules(&rules);
            app.agree(&self.platform.agreed);
            apps.insert(name.clone(), app);
        }
        self.apps = Apps::of(apps);
        self.ask_all();
    }

    fn hear_platform(&mut self, platform: Platform) {
        if self.platform == platform {
            return;
        }
        if self.platform.agreed != platform.agreed {
            self.apps.for_each(|app| app.agree(&platform.agreed));
        }
        if self.platform.decisions != platform.decisions {
            self.apps.for_each(|app| app.hear_decisions(&platform.decisions));
        }
        if let Some(terms) = &platform.prune {
            self.pruner.allow(terms.clone());
        }
        let other_rights = platform.grants != self.platform.grants;
        if other_rights {
            self.apps.for_each(App::hear_rights);
        }
        if platform.holds != self.platform.holds {
            self.apps.for_each(App::hear_holds);
            self.pruner.stop();
        }
        if (platform.suspended && !self.platform.suspended) || other_rights {
            self.apps.for_each(App::stop);
            self.pruner.stop();
        }
        self.platform = platform;
        self.ask_all();
    }

    /// Takes that the environment itself goes. Nothing is rolled out any more.
    fn leave(&mut self, world: &dyn World) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        let mut apps = std::mem::take(&mut self.apps).into_all();
        apps.values_mut().for_each(App::end_drift);
        self.facts.extend(apps.into_values().flat_map(|app| app.log.facts));
        (self.due, self.timers) = (BTreeSet::new(), Timers::default());
        let memory: Arc<Memory> = world.memory().unwrap_or_default();
        self.pruner.leave(memory.apps.iter().map(|(name, app)| (name.clone(), app.depends_on.clone())));
    }
}

impl StandIn {
    fn of_known(known: Option<&AppMemory>) -> Self {
        known.map_or_else(|| Self::Nothing("git said nothing of it that renders".to_owned()), Self::of)
    }
}

fn spec_of(name: &AppName, known: &AppMemory) -> AppSpec {
    AppSpec {
        name: name.clone(),
        path: None,
        chart: None,
        values: Vec::new(),
        namespace: None,
        release: None,
        depends_on: known.depends_on.clone(),
        adopt: None,
    }
}
