//! One environment: nine tasks, joined by channels of which each holds only the newest.
//!
//! ```text
//!   follow ──what git says──► deliver ──what is needed──► inventory
//!   (git, render)             (decides, begins) ◄──what is written──┘
//!                                │
//!   requests ◄──what people ask────┤                    pull_requests (of its repository, if it is the one to do so)
//!   (what it means, its status)    │
//!                                ├──what happened, where things stand──► tell (status, events, notices, history)
//!                                └──where the apps stand──► regions (what runs here; joined with follow, both ways) ◄── readiness
//! ```
//!
//! None can stop another: `deliver` waits for nothing but its own select, a slow chart holds up only news of git, and a
//! status that cannot be written only the status. A panic in one is told, and that one is begun anew.

mod deliver_loop;
mod drift_records;
mod drift_report;
mod events;
mod follow;
mod inventory_task;
mod pages;
mod place;
mod placing;
mod prepare;
mod pull_requests_task;
mod readiness_task;
mod region_channels;
mod region_seen;
mod regions_task;
mod requests_task;
mod secrets_task;
mod status;
mod tell;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::inventory::{Marked, Needs};
use super::secrets::EnvironmentSecrets;
use crate::api::{AppStatus, Environment, PruneStatus, RegionStatus, SecretStatus, UnknownKind};
use crate::delivery::{Fact, Replies, Says};
use crate::drift::{Fight, OpenDrift};
use crate::health::Rule;
use crate::object::{AppName, EnvironmentName, Revision};
use crate::policy::Grants;
use crate::report::Trouble;
use crate::requests::Words;

use super::hands::Archive;
use super::regions::Orders;
use region_channels::RegionChannels;

/// Facts that wait to be told; more than that is not told one by one.
const FACTS: usize = 4096;

/// What all tasks of an environment know.
#[derive(Clone)]
pub(super) struct Shared {
    pub context: Arc<Context>,
    pub name: EnvironmentName,
    pub platform: watch::Receiver<Arc<Environment>>,
    pub end: CancellationToken,
}

/// Where git stands.
#[derive(Clone, Default)]
pub(super) struct GitState {
    /// What the newest revision says that could be rendered.
    pub says: Option<Arc<Spoken>>,
    pub revision: Option<Revision>,
    pub trouble: Option<Trouble>,
    /// Why what git says is no reason to delete anything.
    pub doubt: Option<String>,
    /// Nothing could be read since the start: what is remembered stands for it.
    pub away: bool,
    pub archive: Option<Archive>,
    /// The requests of people to look now, once the remote answered a look that began after them.
    pub looked: BTreeSet<String>,
    /// What of it runs in this region, as it was rendered.
    pub orders: Orders,
    /// Whether all that only an active region may run ends by itself.
    pub is_guarded: bool,
}

/// What a revision says, and how health is judged by it.
pub(super) struct Spoken {
    /// Rules about what others change that do nothing.
    pub idle: Vec<String>,
    pub says: Says,
    pub rules: Vec<Rule>,
    /// What the platform warns of, by app.
    pub warnings: BTreeMap<AppName, Vec<String>>,
}

/// What the inventory task is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub needs: Needs,
    /// What stays of an environment that goes, once all else is gone.
    pub left: Option<Vec<String>>,
}

/// What stands on the Environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Inventoried {
    pub marked: Option<Marked>,
    pub trouble: Option<Trouble>,
}

/// Where an environment stands, for people.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Report {
    /// Whether it is known which apps there are. Where it is not, what stood there before stays.
    pub knows_apps: bool,
    pub apps: Vec<AppStatus>,
    pub prune: Option<PruneStatus>,
    pub trouble: Option<Trouble>,
    pub revision: Option<Revision>,
    /// The requests of people to look now that this is the answer to, and the last of them.
    pub looked: BTreeSet<String>,
    pub request: Option<String>,
    /// What their other requests came to.
    pub replies: Replies,
    pub secrets: Vec<SecretStatus>,
    /// What is not as git says now, and who fights over it.
    pub drift: (Vec<OpenDrift>, Vec<Fight>),
    /// Kinds that could not be verified for some time.
    pub unknown: Vec<UnknownKind>,
    pub region: RegionReport,
}

/// Where an environment stands in its region.
#[derive(Clone, Default, PartialEq)]
pub(super) struct RegionReport {
    /// What the apps were told by.
    pub orders: Orders,
    pub is_guarded: bool,
    pub status: Option<Arc<RegionStatus>>,
}

/// The channels between the tasks.
#[derive(Clone)]
pub(super) struct Channels {
    git: watch::Sender<GitState>,
    /// Rung when the server serves other kinds than before.
    kinds: Arc<Notify>,
    asked: watch::Sender<Asked>,
    inventoried: watch::Sender<Inventoried>,
    /// What people ask for.
    words: watch::Sender<Words>,
    /// Nothing is told before something is known.
    report: watch::Sender<Option<Arc<Report>>>,
    /// What is known of its secrets.
    secrets: Arc<EnvironmentSecrets>,
    region: Arc<RegionChannels>,
    facts: mpsc::Sender<Fact>,
    told: Arc<tokio::sync::Mutex<mpsc::Receiver<Fact>>>,
}

impl Channels {
    fn new(secrets: Arc<EnvironmentSecrets>) -> Self {
        let (facts, told) = mpsc::channel(FACTS);
        Self {
            git: watch::channel(GitState::default()).0,
            kinds: Arc::default(),
            asked: watch::channel(Asked::default()).0,
            inventoried: watch::channel(Inventoried::default()).0,
            words: watch::channel(Words::default()).0,
            report: watch::channel(None).0,
            secrets,
            region: Arc::default(),
            facts,
            told: Arc::new(tokio::sync::Mutex::new(told)),
        }
    }
}

/// Runs an environment until `end`, then hands it over. It is begun anew, with empty hands, where the platform gives it
/// another identity.
pub(super) async fn run(
    context: Arc<Context>,
    name: EnvironmentName,
    platform: watch::Receiver<Arc<Environment>>,
    end: CancellationToken,
) {
    let index = context.index.clone();
    while !end.is_cancelled() {
        let shared = Shared {
            context: context.clone(),
            name: name.clone(),
            platform: platform.clone(),
            end: end.child_token(),
        };
        run_once(shared).await;
    }
    index.forget(name.as_str());
}

/// Runs it as one identity.
async fn run_once(shared: Shared) {
    let aws = shared.platform.borrow().spec.aws.clone();
    let channels = Channels::new(shared.context.secrets.of(&shared.name, aws.as_ref()));
    let telling = tokio::spawn(super::guard(shared.clone(), "tell", {
        let (shared, channels) = (shared.clone(), channels.clone());
        move || tell::run(shared.clone(), channels.clone())
    }));
    if let Some(hands) = prepare::prepare(&shared, &channels).await {
        let following = tokio::spawn(super::guard(shared.clone(), "follow", {
            let (shared, channels, hands) = (shared.clone(), channels.clone(), hands.clone());
            move || follow::run(shared.clone(), channels.clone(), hands.clone())
        }));
        let marking = tokio::spawn(super::guard(shared.clone(), "inventory", {
            let (shared, channels, hands) = (shared.clone(), channels.clone(), hands.clone());
            move || inventory_task::run(shared.clone(), channels.clone(), hands.clone())
        }));
        let asking = tokio::spawn(super::guard(shared.clone(), "requests", {
            let (shared, channels) = (shared.clone(), channels.clone());
            move || requests_task::run(shared.clone(), channels.clone())
        }));
        let watching = tokio::spawn(super::guard(shared.clone(), "secrets", {
            let (shared, channels) = (shared.clone(), channels.clone());
            move || secrets_task::run(shared.clone(), channels.clone())
        }));
        let reporting = tokio::spawn(super::guard(shared.clone(), "pull requests", {
            let shared = shared.clone();
            move || pull_requests_task::run(shared.clone())
        }));
        let placing = tokio::spawn(super::guard(shared.clone(), "regions", {
            let (shared, channels, hands) = (shared.clone(), channels.clone(), hands.clone());
            move || regions_task::run(shared.clone(), channels.clone(), hands.clone())
        }));
        let proving = shared.context.own.regions.is_some().then(|| {
            let (shared, channels, hands) = (shared.clone(), channels.clone(), hands.clone());
            tokio::spawn(super::guard(shared.clone(), "readiness", move || {
                readiness_task::run(shared.clone(), channels.clone(), hands.clone())
            }))
        });
        deliver_loop::run(&shared, &channels, hands).await;
        shared.end.cancel();
        let _ = tokio::join!(following, marking, asking, watching, reporting, placing);
        if let Some(proving) = proving {
            let _ = proving.await;
        }
    }
    shared.end.cancel();
    let _ = telling.await;
}

/// What the platform grants, but for what is the agents' own.
pub(super) fn grants(context: &Context, environment: &Environment) -> Grants {
    let reserved = [context.own.namespace.as_str(), context.state.namespace()];
    Grants::of(&environment.name_any(), &environment.spec, &reserved)
}

pub(super) fn trouble(reason: &str, message: &str, may_pass: bool) -> Trouble {
    Trouble { reason: reason.to_owned(), message: message.to_owned(), may_pass }
}
