//! One change to what an environment remembers, as a value: so that many of them are saved together, and a test can apply
//! them to a map.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Followed, Good, Hooks, Memory, Pieces, Quarantine, Rolling, WithSecrets};
use crate::object::{AppName, Digest, ObjectKey, Revision, RolloutRecord};
use crate::plan::{Action, Budgets, CheckedPlan, Known, WantedApp};

/// What is to be remembered.
#[derive(Clone, Debug)]
pub enum Change {
    /// A plan is about to be written, and this is where its app goes.
    Begin { plan: Arc<CheckedPlan>, quarantine: Option<Quarantine>, rolling: Option<Rolling> },
    /// A rollout is about to write its next wave.
    Roll { app: AppName, rolling: Option<Rolling> },
    /// Objects bear these uids.
    Wrote(Vec<(ObjectKey, Box<str>)>),
    /// An app passed all its gates; its objects bear these uids.
    Good {
        wanted: Arc<WantedApp>,
        revision: Option<Revision>,
        depends_on: Vec<AppName>,
        uids: Vec<(ObjectKey, Box<str>)>,
    },
    /// These objects are no more.
    Gone(BTreeSet<ObjectKey>),
    /// What of an app is set aside, or that nothing is.
    Quarantine { app: AppName, quarantine: Option<Quarantine> },
    /// A person wants something older back, which is not known as good yet.
    Asked { quarantine: Quarantine, target: Arc<WantedApp>, revision: Option<Revision> },
    /// A person's word to roll back was answered.
    Heard { app: AppName, id: String },
    /// A person's word to try again was answered.
    Retried { app: AppName, word: String },
    /// Every app is well at the same moment, with these digests.
    AllGood(BTreeMap<AppName, Digest>),
    /// What became of an app's hooks, and where the app goes.
    Hooks { app: AppName, hooks: Hooks, quarantine: Option<Quarantine> },
    /// A rollout ended.
    Ended(RolloutRecord),
    /// What git says may be deleted without a person's word, and what of that counts.
    Budgets(Budgets),
    /// What git says of fields that others change; nothing where it says nothing.
    Drift(Option<Value>),
    /// This commit of a branch is followed.
    Followed(Followed),
    /// What its region knows of the others.
    Region(Value),
    /// Git names these apps and no others: what an app was that git does not name is forgotten.
    Apps(BTreeSet<AppName>),
}

impl Change {
    /// Whether it says that a rollout is under way.
    pub fn rolls(&self) -> bool {
        matches!(self, Self::Begin { rolling: Some(_), .. } | Self::Roll { rolling: Some(_), .. })
    }

    /// The apps whose objects have to be stored before this can be applied, each with its commit.
    pub fn to_store(&self) -> Option<(&Arc<WantedApp>, Option<&Revision>)> {
        match self {
            Self::Good { wanted, revision, .. } => Some((wanted, revision.as_ref())),
            Self::Asked { target, revision, .. } => Some((target, revision.as_ref())),
            _ => None,
        }
    }
}

impl Memory {
    /// Applies a change. `stored` says in which pieces the objects of an app stand; they are written before the change is.
    pub fn apply(&mut self, change: &Change, stored: &dyn Fn(&AppName, &Digest) -> Pieces) {
        let good = |wanted: &WantedApp, revision: &Option<Revision>| Good {
            digest: wanted.digest.clone(),
            revision: revision.clone(),
            objects: wanted.objects.len(),
            pieces: stored(&wanted.app, &wanted.digest),
            secrets: WithSecrets::of(wanted),
        };
        match change {
            Change::Begin { plan, quarantine, rolling } => {
                // A process that finds this half done has to know which way it goes, and how far it came.
                if quarantine.is_some() || rolling.is_some() || self.apps.contains_key(plan.app()) {
                    let app = self.app_mut(plan.app());
                    (app.quarantined, app.rolling) = (quarantine.clone(), rolling.clone());
                }
                self.intend(plan);
            }
            Change::Roll { app, rolling } => {
                if rolling.is_some() || self.apps.contains_key(app) {
                    self.app_mut(app).rolling.clone_from(rolling);
                }
            }
            Change::Wrote(uids) => uids.iter().for_each(|(key, uid)| self.ledger.record(key, uid)),
            Change::Good { wanted, revision, depends_on, uids } => {
                let known = self.apps.get(&wanted.app).and_then(|app| app.last_good.clone());
                // What passes its gates again keeps the commit that brought it.
                let revision = known
                    .filter(|known| known.digest == wanted.digest)
                    .and_then(|known| known.revision)
                    .or_else(|| revision.clone());
                self.note_good(&wanted.app, good(wanted, &revision));
                let app = self.app_mut(&wanted.app);
                app.depends_on.clone_from(depends_on);
                app.rolling = None;
                uids.iter().for_each(|(key, uid)| self.ledger.record(key, uid));
            }
            Change::Gone(keys) => keys.iter().for_each(|key| self.ledger.forget(key)),
            Change::Quarantine { app, quarantine } => {
                if quarantine.is_some() || self.apps.contains_key(app) {
                    self.note_quarantine(app, quarantine.as_ref());
                }
            }
            Change::Asked { quarantine, target, revision } => {
                self.note_asked(&target.app, quarantine.clone(), good(target, revision));
            }
            Change::Heard { app, id } => {
                self.app_mut(app).heard = Some(id.clone());
            }
            Change::Retried { app, word } => {
                self.app_mut(app).retried = Some(word.clone());
            }
            Change::AllGood(apps) => {
                for (name, digest) in apps {
                    if let Some(app) = self.apps.get_mut(name)
                        && let Some(good) = app.last_good.clone().filter(|good| good.digest == *digest)
                    {
                        Arc::make_mut(app).with_all = Some(good);
                    }
                }
            }
            Change::Hooks { app, hooks, quarantine } => {
                let known = self.app_mut(app);
                known.hooks.clone_from(hooks);
                known.quarantined.clone_from(quarantine);
                for run in hooks.values().flat_map(|memory| &memory.runs) {
                    if let Some(uid) = &run.uid {
                        self.ledger.record(&run.job, uid);
                    }
                }
            }
            Change::Ended(record) => self.note_record(record.clone()),
            Change::Budgets(budgets) => self.budgets = Some(budgets.clone()),
            Change::Drift(drift) => self.drift.clone_from(drift),
            Change::Followed(followed) => self.followed = Some(followed.clone()),
            Change::Region(region) => self.region = Some(region.clone()),
            Change::Apps(apps) => self.retain_apps(|name| apps.contains(name)),
        }
    }

    /// Notes what a plan is about to make, so that it is known as ours even if nobody is there to see it made.
    fn intend(&mut self, plan: &CheckedPlan) {
        for step in plan.steps() {
            let wanted = step.wanted();
            match step.action() {
                _ if step.replaces() => self.ledger.intend(&wanted.key, &wanted.digest),
                Action::Create => self.ledger.intend(&wanted.key, &wanted.digest),
                // After this write nobody can tell any more that it was what we were about to make.
                Action::Update { uid } => {
                    if let Some(live) = step.live().filter(|live| live.uid == *uid)
                        && self.ledger.knows(live) == Known::Same
                    {
                        self.ledger.record(&wanted.key, uid);
                    }
                }
            }
        }
    }
}
