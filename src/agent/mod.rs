//! The agent: composes everything.
//!
//! One task for each Environment of the cluster ([`environment`]), over shared parts: one session with the API server,
//! one index of what is live, one poller for each git remote ([`source`]). A panic in one environment is caught, counted
//! and begun anew; the others do not notice.

mod app;
pub mod desired;
mod driver;
mod environment;
mod inventory;
mod once;
mod ownership;
mod plan_prune;
mod prune;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use once::{Once, OnceError, Progress, plan_once};

use crate::api::{Environment, names};
use crate::cluster::{
    CallError, Cluster, ConnectError, ConnectOptions, EnvironmentEvent, Environments, Index, Session,
};
use crate::config::AgentConfig;
use crate::git::{Limits, Remotes};
use crate::http::{self, Port};
use crate::metrics::{Metrics, Requests};
use crate::object::EnvironmentName;
use environment::EnvironmentLoop;
use source::Sources;

/// What all environments share.
pub struct Context {
    session: Session,
    index: Index,
    environments: Environments,
    sources: Sources,
    metrics: Arc<Metrics>,
    namespace: String,
    poll_interval: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("connecting to the cluster failed")]
    Connect(#[from] ConnectError),
    #[error("asking the cluster what it serves failed")]
    Discover(#[source] CallError),
    #[error("listening on {address} failed")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
}

/// The longest pause before a panicking environment is begun anew.
const PANIC_PAUSE: Duration = Duration::from_secs(60);

/// Runs until `end`, then hands over: what is under way is finished, nothing new begins.
pub async fn run(config: AgentConfig, end: CancellationToken) -> Result<(), AgentError> {
    let listener = http::listen(config.listen)
        .await
        .map_err(|source| AgentError::Listen { address: config.listen, source })?;
    let options = ConnectOptions { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
    let cluster = Cluster::connect(&options).await?;
    let session = patiently(&cluster, &end).await?;
    let index = Index::new(session.clone(), names::ENVIRONMENT_LABEL);
    let metrics = Arc::new(Metrics::default());
    let environments = Environments::new(&cluster, &config.instance);
    let remotes = Remotes::new(&config.cache.join("git"), Limits::default());
    let context = Arc::new(Context {
        sources: Sources::new(remotes, end.clone()),
        session,
        index: index.clone(),
        environments: environments.clone(),
        metrics: metrics.clone(),
        namespace: config.namespace.clone(),
        poll_interval: config.poll_interval,
    });
    let scrape = move || {
        let counts = cluster.counts();
        let requests = Requests {
            reads: counts.reads.load(Ordering::Relaxed),
            dry_runs: counts.dry_runs.load(Ordering::Relaxed),
            writes: counts.writes.load(Ordering::Relaxed),
            retries: counts.retries.load(Ordering::Relaxed),
        };
        metrics.scrape(requests, index.size())
    };
    let port = Arc::new(Port { ready: false.into(), metrics: Box::new(scrape) });
    let address =
        listener.local_addr().map_or_else(|_| config.listen.to_string(), |address| address.to_string());
    tracing::info!(%address, instance = %config.instance, "the agent is up");
    let port_end = CancellationToken::new();
    let serving = tokio::spawn(http::serve(listener, port.clone(), port_end.clone()));

    supervise(&context, &config, &port, &end).await;

    port_end.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
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

struct Child {
    say: watch::Sender<Arc<Environment>>,
    end: CancellationToken,
    task: JoinHandle<()>,
}

async fn supervise(context: &Arc<Context>, config: &AgentConfig, port: &Port, end: &CancellationToken) {
    let mut children: BTreeMap<String, Child> = BTreeMap::new();
    let mut events = std::pin::pin!(context.environments.watch());
    loop {
        let event = tokio::select! {
            () = end.cancelled() => break,
            event = events.next() => event,
        };
        match event {
            None => break,
            Some(EnvironmentEvent::All(all)) => {
                let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
                let gone: Vec<String> =
                    children.keys().filter(|name| !names.contains(name)).cloned().collect();
                for name in gone {
                    let_go(context, &mut children, &name);
                }
                for environment in all {
                    take(context, config, &mut children, environment);
                }
                port.ready.store(true, Ordering::Relaxed);
            }
            Some(EnvironmentEvent::Changed(environment)) => {
                take(context, config, &mut children, *environment)
            }
            Some(EnvironmentEvent::Gone(name)) => let_go(context, &mut children, &name),
            Some(EnvironmentEvent::Failed(why)) => {
                tracing::warn!(error = %why, "watching the Environments failed")
            }
        }
    }
    // All at once: each has its own time limit.
    for child in children.values() {
        child.end.cancel();
    }
    for (_, child) in children {
        let _ = child.task.await;
    }
}

fn take(
    context: &Arc<Context>,
    config: &AgentConfig,
    children: &mut BTreeMap<String, Child>,
    environment: Environment,
) {
    let name = environment.name_any();
    if !config.only.is_empty() && !config.only.contains(&name) {
        return;
    }
    if let Some(child) = children.get(&name) {
        child.say.send_if_modified(|known| {
            // Our own status comes back as a change, and says nothing new.
            let new = known.spec != environment.spec
                || known.metadata.annotations != environment.metadata.annotations
                || known.metadata.uid != environment.metadata.uid;
            *known = Arc::new(environment);
            new
        });
        return;
    }
    let typed = match EnvironmentName::new(&name) {
        Ok(typed) => typed,
        Err(error) => {
            tracing::error!(%error, "an Environment is left alone");
            return;
        }
    };
    let (say, platform) = watch::channel(Arc::new(environment));
    let child_end = CancellationToken::new();
    let task = tokio::spawn(guard(context.clone(), typed, platform, child_end.clone()));
    children.insert(name, Child { say, end: child_end, task });
}

/// An Environment that is gone is let go of: what it made stays until someone removes it.
fn let_go(context: &Context, children: &mut BTreeMap<String, Child>, name: &str) {
    if let Some(child) = children.remove(name) {
        tracing::info!(environment = name, "the Environment is gone; its objects stay");
        child.end.cancel();
        context.metrics.forget(name);
    }
}

/// Runs an environment's loop, and begins it anew when it panics.
async fn guard(
    context: Arc<Context>,
    name: EnvironmentName,
    platform: watch::Receiver<Arc<Environment>>,
    end: CancellationToken,
) {
    let mut pause = Duration::from_secs(1);
    loop {
        let round = EnvironmentLoop::new(context.clone(), name.clone(), platform.clone());
        let began = tokio::time::Instant::now();
        match tokio::spawn(round.run(end.clone())).await {
            Ok(()) => return,
            Err(error) => {
                let why = panic_message(error);
                context.metrics.panicked(name.as_str());
                tracing::error!(environment = %name, panic = %why, ?pause, "a reconcile panicked and is begun anew");
                let environment = platform.borrow().clone();
                let note = format!("a reconcile panicked ({why}) and is begun anew");
                context.environments.event(&environment, true, "Panicked", "Reconcile", &note).await;
            }
        }
        if began.elapsed() > PANIC_PAUSE {
            pause = Duration::from_secs(1);
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PANIC_PAUSE);
    }
}

fn panic_message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned()),
        Err(error) => error.to_string(),
    }
}
