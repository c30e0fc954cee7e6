//! The pull requests of the repositories that environments follow: effects for what `pull_requests` decides.
//!
//! Environments whose pull requests are in one repository share one comment, so one of them looks after it, the first by
//! name: whichever replica has that environment has its repository as well, and a hand-over is one of both.

mod desk;
mod explaining;
mod maker;
mod opening;
mod orders;
mod preview_parts;
mod previewed;
mod previews;
mod seeing;

pub(super) use previewed::previewed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{Notify, Semaphore, watch};

use super::environment::Shared;
use crate::api::{Environment, PersonSpec, PreviewGrant, PullRequestsSpec};
use crate::config::PullRequestsConfig;
use crate::forge::{self, webhook};
use crate::http::Webhooks;
use crate::object::EnvironmentName;

/// Reports that this agent makes at once, whatever the repositories: deliveries need the machine as well.
const REPORTS: usize = 1;
/// Until it is tried again to open a forge.
const TRY_AGAIN: Duration = Duration::from_secs(30);

type Known = BTreeMap<EnvironmentName, Arc<Environment>>;

/// What the repositories share.
pub struct PullRequests {
    config: PullRequestsConfig,
    /// Every Environment of the cluster, whoever looks after it.
    known: watch::Sender<Known>,
    hooks: Mutex<BTreeMap<String, Hook>>,
    turns: Semaphore,
}

/// Somebody who waits for webhooks.
struct Hook {
    kind: forge::Kind,
    secret: Vec<u8>,
    poke: Arc<Notify>,
}

impl PullRequests {
    pub fn new(config: PullRequestsConfig) -> Arc<Self> {
        let known = watch::channel(Known::new()).0;
        Arc::new(Self { config, known, hooks: Mutex::default(), turns: Semaphore::new(REPORTS) })
    }

    /// The platform says this of an environment.
    pub fn know(&self, name: &EnvironmentName, environment: &Environment) {
        self.known.send_if_modified(|known| {
            let concerns = environment.spec.pull_requests.is_some();
            match concerns {
                true => known.insert(name.clone(), Arc::new(environment.clone())).is_some() || concerns,
                false => known.remove(name).is_some(),
            }
        });
    }

    /// There are these environments and no others.
    pub fn keep(&self, there: &BTreeSet<String>) {
        self.known.send_if_modified(|known| {
            let before = known.len();
            known.retain(|name, _| there.contains(name.as_str()));
            known.len() != before
        });
    }

    pub fn forget(&self, name: &EnvironmentName) {
        self.known.send_if_modified(|known| known.remove(name).is_some());
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Hook>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Webhooks for Arc<PullRequests> {
    fn is_known(&self, name: &str) -> bool {
        self.hooks().contains_key(name)
    }

    fn take(&self, name: &str, headers: &HeaderMap, body: &[u8]) -> bool {
        let hooks = self.hooks();
        let genuine = |hook: &&Hook| webhook::is_genuine(hook.kind, &hook.secret, headers, body);
        let Some(hook) = hooks.get(name).filter(genuine) else { return false };
        hook.poke.notify_one();
        true
    }
}

/// The environments whose pull requests are in one repository.
#[derive(Clone, PartialEq)]
struct Group {
    environments: Known,
}

impl Group {
    /// The one that an environment belongs to.
    fn of(known: &Known, name: &EnvironmentName) -> Option<Self> {
        let wanted = known.get(name)?.spec.pull_requests.clone()?;
        let is_same = |spec: &PullRequestsSpec| {
            (spec.forge, &spec.url, &spec.repository) == (wanted.forge, &wanted.url, &wanted.repository)
        };
        let belongs = |environment: &Environment| {
            environment.metadata.deletion_timestamp.is_none()
                && environment.spec.pull_requests.as_ref().is_some_and(is_same)
        };
        let environments = known.iter().filter(|(_, environment)| belongs(environment));
        Some(Self { environments: environments.map(|(name, it)| (name.clone(), it.clone())).collect() })
    }

    fn is_led_by(&self, name: &EnvironmentName) -> bool {
        self.environments.keys().next() == Some(name)
    }

    /// Who may give commands in comments, by environment.
    fn people(&self) -> BTreeMap<String, Vec<PersonSpec>> {
        let people = |(name, it): (&EnvironmentName, &Arc<Environment>)| {
            let people = it.spec.pull_requests.as_ref().map(|spec| spec.people.clone());
            (name.to_string(), people.unwrap_or_default())
        };
        self.environments.iter().map(people).collect()
    }

    /// The environments whose previews the platform lets be.
    fn previewed(&self) -> Vec<(EnvironmentName, Arc<Environment>, PreviewGrant)> {
        let grant = |(name, it): (&EnvironmentName, &Arc<Environment>)| {
            let grant = it.spec.pull_requests.as_ref()?.previews.clone()?;
            Some((name.clone(), it.clone(), grant))
        };
        self.environments.iter().filter_map(grant).collect()
    }

    /// The branch of each.
    fn branches(&self) -> BTreeMap<String, String> {
        let branch = |(name, it): (&EnvironmentName, &Arc<Environment>)| {
            (name.to_string(), it.spec.source.branch.clone())
        };
        self.environments.iter().map(branch).collect()
    }
}

/// Looks after the repository of an environment for as long as that environment is the one to do so.
pub async fn run(shared: &Shared) {
    let mut known = shared.context.pull_requests.known.subscribe();
    while !shared.end.is_cancelled() {
        let group = Group::of(&known.borrow_and_update(), &shared.name);
        let mut pause = None;
        if let Some(group) = group.filter(|group| group.is_led_by(&shared.name)) {
            match opening::open(shared, &group).await {
                Ok(opened) => desk::Desk::new(shared, opened, group).run(known.clone()).await,
                Err(why) => {
                    opening::tell(shared, &why).await;
                    pause = Some(TRY_AGAIN);
                }
            }
        }
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.end.cancelled() => return,
            changed = known.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}
