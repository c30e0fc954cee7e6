//! The agent: composes everything.
//!
//! One task for each Environment that this replica looks after ([`supervisor`], [`environment`]), over shared parts:
//! one session with the API server, one index of what is live, one poller for each git remote ([`source`]). A panic in
//! one environment is caught, counted and begun anew; the others do not notice.

mod adopt;
mod audit;
pub mod charted;
pub mod charts;
mod cluster_view;
mod crashes;
mod credentials;
mod dead_states;
mod deliver;
pub mod desired;
mod drift_once;
mod environment;
mod foreign;
mod hands;
mod heartbeat;
mod inventory;
mod memory;
pub mod named_sources;
mod once;
mod panics;
mod plan_prune;
mod pull_requests;
mod reach;
pub mod reads;
mod regional;
mod regions;
mod requests;
pub mod review;
mod scope;
mod secrets;
pub mod shared_place;
mod source;
mod state_store;
mod step_jobs;
mod supervisor;
mod team_config;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use drift_once::{Changes, DriftLook};
pub use once::{Means, Once, OnceError, Progress, plan_once};
pub use secrets::CheckedSecret;
pub use step_jobs::step_jobs;

use crate::api::{Environment, names};
use crate::cluster::{
    CallError, Cluster, ConnectError, ConnectOptions, Environments, Fence, Index, Leases, Requests as Asked,
    Session, StateSecrets,
};
use crate::config::{AgentConfig, HistoryConfig};
use crate::git::{Limits, Remotes};
use crate::helm::{Bounds, Helm, Stop};
use crate::history::{self, BadPlace, History, Place};
use crate::http::{self, AuditError, Port};
use crate::metrics::{Beside, Metrics, Requests};
use crate::notify::{BadUrl, Notifier, Webhook};
use crate::object::EnvironmentName;
use crate::ownership::TIMING;
use crate::render;
use audit::{AuditHearing, AuditTrail};
use crashes::Crashes;
use memory::Budget;
use panics::{catch, panic_message, panic_text};
use pull_requests::PullRequests;
use regions::{Regions, RegionsError};
use requests::RequestBook;
use secrets::Secrets;
use source::Sources;
use supervisor::Supervisor;
use watchdog::Watchdog;

/// What all environments share.
pub struct Context {
    session: Session,
    index: Index,
    environments: Environments,
    requests: RequestBook,
    state: StateSecrets,
    sources: Sources,
    rendering: Rendering,
    metrics: Arc<Metrics>,
    own: Own,
    outlets: Outlets,
    secrets: Arc<Secrets>,
    pull_requests: Arc<PullRequests>,
}

/// What is told of the work, beside it, and who may say more of it.
struct Outlets {
    history: Option<Arc<History>>,
    notifier: Option<Arc<Notifier>>,
    audit: Option<Arc<AuditTrail>>,
}

/// What was said of the agent itself.
struct Own {
    namespace: String,
    /// Asks every remote this often, whatever the Environments say.
    poll_interval: Option<Duration>,
    /// A kind that could not be verified for so long is unknown.
    unknown_after: Duration,
    watchdog: Watchdog,
    /// In which region it is; nothing where it is in none.
    regions: Option<Arc<Regions>>,
}

/// What renders, and what that may cost.
struct Rendering {
    helm: Arc<Helm>,
    limits: render::Limits,
    /// Memory for all that is rendered at the same time.
    memory: Arc<Budget>,
    crashes: Crashes,
}

impl Rendering {
    /// The limits of what is rendered for an environment from here on, which shares memory with all others.
    fn limits_of(&self, environment: &EnvironmentName, stop: Stop) -> render::Limits {
        let lease = self.memory.begin(environment.as_str(), stop);
        render::Limits { memory: Arc::new(lease), ..self.limits.clone() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("connecting to the cluster failed")]
    Connect(#[from] ConnectError),
    #[error("asking the cluster what it serves failed")]
    Discover(#[source] CallError),
    #[error("this is no place for the history")]
    History(#[from] BadPlace),
    #[error("notifications cannot be sent")]
    Notify(#[from] BadUrl),
    #[error("the audit webhook cannot be served")]
    Audit(#[from] AuditError),
    #[error("it cannot be told in which region this is")]
    Regions(#[from] RegionsError),
    #[error("listening on {address} failed")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
}

/// Before a panicking environment is begun anew: the first pause and the longest.
const PANIC_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

fn place(config: &HistoryConfig) -> Result<Option<Place>, BadPlace> {
    let Some(url) = &config.url else { return Ok(None) };
    let place: Place = url.0.parse()?;
    place.with_password_file(config.password_file.as_deref()).map(Some)
}

fn limits_of_git(config: &AgentConfig) -> Limits {
    Limits { all_bytes: config.git_cache, ..Limits::default() }
}

fn settings(config: &AgentConfig) -> history::Settings {
    let days = config.history.kept.as_secs() / (24 * 60 * 60);
    history::Settings {
        cluster: config.history.cluster.clone(),
        instance: config.instance.clone(),
        kept_days: i64::try_from(days).unwrap_or(i64::MAX).clamp(1, 36_500),
        ..history::Settings::default()
    }
}

/// Runs until `end`, then hands over: what is under way is finished, nothing new begins.
pub async fn run(
    config: AgentConfig,
    limits: render::Limits,
    end: CancellationToken,
) -> Result<(), AgentError> {
    let place = place(&config.history)?;
    let channel = config.notify.as_ref().map(|url| Webhook::new(&url.0)).transpose()?;
    let listener = http::listen(config.listen)
        .await
        .map_err(|source| AgentError::Listen { address: config.listen, source })?;
    let options = ConnectOptions { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
    let fence = Fence::down();
    let cluster = Cluster::connect_fenced(&options, &fence).await?;
    let leases = Leases::new(&cluster, &config.namespace, TIMING);
    let session = patiently(&cluster, &end).await?;
    let index = Index::new(session.clone(), names::ENVIRONMENT_LABEL);
    let metrics = Arc::new(Metrics::default());
    let audit = match &config.audit {
        Some(audit) => Some(AuditHearing::open(audit, &session, &metrics).await?),
        None => None,
    };
    let environments = Environments::new(&cluster, &config.instance);
    let requests = RequestBook::new(Asked::new(&cluster), &config.instance);
    let reach = reach::reach(&config.git, &cluster).await;
    let remotes = Remotes::new(&config.cache.join("git"), limits_of_git(&config), reach);
    // Whoever needs the folder says what is wrong with it.
    let _ = std::fs::create_dir_all(&config.cache);
    let history = place.map(|place| Arc::new(History::start(place, settings(&config))));
    let notifier = channel.map(|channel| Arc::new(Notifier::start(channel)));
    let (time, memory, confined) = (config.helm_time, config.helm_memory, config.helm_confined);
    let bounds = Bounds { time, memory, confined, ..Bounds::default() };
    let helm = Helm::new(config.helm.clone(), &config.cache.join("helm"), bounds);
    helm.sweep();
    let secrets = Secrets::new(&config.secrets, end.clone());
    let asked = secrets.clone();
    let pull_requests = PullRequests::new(config.pull_requests.clone());
    let watchdog = Watchdog::default();
    let regions = Regions::new(&config.regions, secrets.aws())?.map(Arc::new);
    let placed = regions.clone();
    let context = Arc::new(Context {
        outlets: Outlets {
            history: history.clone(),
            notifier: notifier.clone(),
            audit: audit.as_ref().map(AuditHearing::trail),
        },
        pull_requests: pull_requests.clone(),
        sources: Sources::new(remotes, end.clone()),
        session,
        index: index.clone(),
        environments: environments.clone(),
        requests: requests.clone(),
        state: StateSecrets::new(&cluster, &config.state_namespace),
        rendering: Rendering {
            helm: Arc::new(helm),
            limits,
            memory: Budget::of(config.memory),
            crashes: Crashes::open(&config.cache),
        },
        metrics: metrics.clone(),
        own: Own {
            namespace: config.namespace.clone(),
            poll_interval: config.poll_interval,
            unknown_after: config.unknown_after,
            watchdog: watchdog.clone(),
            regions,
        },
        secrets,
    });
    let hearing = audit.as_ref().map(AuditHearing::counter);
    let kept = history.clone();
    let scrape = move || {
        let (written, failures, lost) = kept.as_ref().map_or((0, 0, 0), |history| history.counts());
        let waiting = kept.as_ref().map_or(0, |history| history.waiting() as u64);
        let (audited, unaudited) = hearing.as_ref().map_or((0, 0), |count| count());
        let unsent = notifier.as_ref().map_or(0, |notifier| notifier.lost());
        metrics.beside(Beside { written, failures, lost, waiting, unsent, audited, unaudited });
        if let Some((calls, since)) = asked.calls() {
            let kinds = calls
                .iter()
                .map(|(call, count)| (call.service.name(), call.operation, call.outcome.name(), count));
            metrics.provider(kinds, calls.dollars_a_month(since));
        }
        let counts = cluster.counts();
        let requests = Requests {
            reads: counts.reads.load(Ordering::Relaxed),
            dry_runs: counts.dry_runs.load(Ordering::Relaxed),
            writes: counts.writes.load(Ordering::Relaxed),
            own_writes: counts.own_writes.load(Ordering::Relaxed),
            retries: counts.retries.load(Ordering::Relaxed),
        };
        metrics.scrape(requests, index.size())
    };
    let left = move |name: &str| placed.as_ref().map_or(http::Writers::NotKnown, |placed| placed.left(name));
    let beats = fence.clone();
    let stands = move || match (beats.left(), environments.is_heard()) {
        (None, _) => Err("the heartbeat is not confirmed".to_owned()),
        (_, false) => Err("the watch of the environments says nothing".to_owned()),
        (Some(_), true) => Ok(()),
    };
    let port = Arc::new(Port {
        ready: false.into(),
        stands: Box::new(stands),
        turns: Box::new(move || watchdog.check()),
        metrics: Box::new(scrape),
        webhooks: Box::new(pull_requests),
        writers: Box::new(left),
    });
    let address =
        listener.local_addr().map_or_else(|_| config.listen.to_string(), |address| address.to_string());
    tracing::info!(%address, instance = %config.instance, "the agent is up");
    let port_end = CancellationToken::new();
    let serving = tokio::spawn(http::serve(listener, port.clone(), port_end.clone()));

    let hearing = audit.map(|audit| tokio::spawn(audit.serve(port_end.clone())));
    let book = tokio::spawn(requests.run(fence.clone(), port_end.clone()));
    Supervisor::new(context, &config, port, leases, fence).run(&end).await;

    if let Some(history) = history {
        history.end().await;
    }
    port_end.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    book.abort();
    if let Some(hearing) = hearing {
        hearing.abort();
    }
    tracing::info!("the agent has handed over");
    Ok(())
}

/// An agent that starts before its API server waits for it.
async fn patiently(cluster: &Cluster, end: &CancellationToken) -> Result<Session, AgentError> {
    loop {
        match Session::open(cluster.clone()).await {
            Ok(session) => return Ok(session),
            Err(error @ CallError::Refused { .. }) => return Err(AgentError::Discover(error)),
            Err(error) => {
                tracing::warn!(error = %crate::cluster::chain(&error), "the API server does not answer yet");
                tokio::select! {
                    () = end.cancelled() => return Err(AgentError::Discover(error)),
                    () = tokio::time::sleep(Duration::from_secs(2)) => {}
                }
            }
        }
    }
}

/// Runs one task of an environment, and begins it anew when it panics: the others go on.
async fn guard<Round>(shared: environment::Shared, task: &'static str, round: impl FnMut() -> Round)
where
    Round: Future<Output = ()> + Send + 'static,
{
    let told = |why: String| -> BoxFuture<'static, ()> {
        let name = shared.name.clone();
        shared.context.metrics.panicked(name.as_str());
        tracing::error!(environment = %name, task, panic = %why, "a task panicked and is begun anew");
        let (environment, environments) =
            (shared.platform.borrow().clone(), shared.context.environments.clone());
        let note = format!("the task {task} panicked ({why}) and is begun anew");
        Box::pin(async move { environments.event(&environment, true, "Panicked", "Reconcile", &note).await })
    };
    catch(round, told, PANIC_PAUSES, &shared.end).await;
}

/// Runs an environment, and begins all of it anew when what joins its tasks panics.
async fn look_after(
    context: Arc<Context>,
    name: EnvironmentName,
    platform: watch::Receiver<Arc<Environment>>,
    end: CancellationToken,
) {
    let shared = environment::Shared {
        context: context.clone(),
        name: name.clone(),
        platform: platform.clone(),
        end: end.clone(),
    };
    let round = || environment::run(context.clone(), name.clone(), platform.clone(), end.clone());
    guard(shared, "deliver", round).await;
}
