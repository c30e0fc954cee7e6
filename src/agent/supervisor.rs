//! Runs the loops of the environments that this replica has, and no others.
//!
//! 1. What is there? (effects: a watch of the Environments, one of the Leases, the heartbeat)
//! 2. What is ours? (pure: [`Member::decide`])
//! 3. Stop what is not, begin what is. (effects: a task for each)
//! 4. Let the record follow, and bury the dead. (effects: one compare-and-swap, one conditional delete)
//!
//! All of it happens on one task, so that what a decision takes for stopped is stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered, StreamExt};
use kube::ResourceExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::heartbeat::{Footprint, keep};
use super::watchdog::TICK;
use super::{Context, dead_states, look_after};
use crate::api::Environment;
use crate::cluster::{EnvironmentEvent, Fence, LeaseEvent, Leases, uptime};
use crate::config::AgentConfig;
use crate::http::Port;
use crate::object::EnvironmentName;
use crate::ownership::{Epoch, Member, Moment, ReplicaId, Share, Situation, Written};

/// Between two sessions, so that one who is always taken for dead does not keep the others busy.
const JOIN_PAUSE: Duration = Duration::from_secs(1);

/// Between two tries to bury the same replica.
const BURY_PAUSE: Duration = Duration::from_secs(1);

pub struct Supervisor {
    context: Arc<Context>,
    replica: Replica,
    port: Arc<Port>,
    leases: Leases,
    fence: Fence,
    member: Member,
    session: Option<Life>,
    join_at: Moment,
    /// All that there are of our class, once they were read.
    environments: Option<BTreeMap<EnvironmentName, Environment>>,
    /// The names of those of other classes.
    others: BTreeSet<String>,
    children: BTreeMap<String, Child>,
    under_way: UnderWay,
}

/// What this process is among the replicas.
struct Replica {
    instance: String,
    scope: Share,
    class: Option<String>,
    footprint: Footprint,
    /// Dead for certain: the process before us.
    predecessor: Option<ReplicaId>,
}

/// What was begun and has not ended.
#[derive(Default)]
struct UnderWay {
    /// Loops that end, by the names of their environments.
    ended: FuturesUnordered<BoxFuture<'static, String>>,
    written: FuturesUnordered<BoxFuture<'static, Written>>,
    burying: BTreeSet<ReplicaId>,
    buried: FuturesUnordered<BoxFuture<'static, ReplicaId>>,
}

/// One life of this replica: from a heartbeat's first beat to its loss.
struct Life {
    id: ReplicaId,
    began: Moment,
    end: CancellationToken,
    task: JoinHandle<()>,
}

struct Child {
    say: watch::Sender<Arc<Environment>>,
    end: CancellationToken,
}

impl Supervisor {
    pub fn new(
        context: Arc<Context>,
        config: &AgentConfig,
        port: Arc<Port>,
        leases: Leases,
        fence: Fence,
    ) -> Self {
        let (footprint, predecessor) = Footprint::take(&config.cache);
        let only: BTreeSet<String> = config.only.iter().cloned().collect();
        Self {
            context,
            replica: Replica {
                instance: config.instance.clone(),
                scope: if only.is_empty() { Share::All } else { Share::Only(only) },
                class: config.class.clone(),
                footprint,
                predecessor,
            },
            port,
            leases,
            fence,
            member: Member::default(),
            session: None,
            join_at: uptime(),
            environments: None,
            others: BTreeSet::new(),
            children: BTreeMap::new(),
            under_way: UnderWay::default(),
        }
    }

    pub async fn run(mut self, end: &CancellationToken) {
        if let Some(id) = self.replica.predecessor.take()
            && let Err(error) = self.leases.release(&id).await
        {
            tracing::warn!(%error, heartbeat = %id, "the heartbeat of the process before us stays until it runs out");
        }
        let context = self.context.clone();
        let mut platform = std::pin::pin!(context.environments.watch());
        let mut leases: BoxStream<'static, LeaseEvent> = self.leases.watch().boxed();
        let pulse = context.own.watchdog.pulse("the supervisor");
        let mut looked_anew = uptime();
        loop {
            pulse.turn();
            let timer = self.turn().map_or(TICK, |at| at.saturating_sub(uptime()).min(TICK));
            let held = self.fence.left().is_some();
            let fence = self.fence.clone();
            let turned = async move { if held { fence.passed().await } else { fence.raised().await } };
            tokio::select! {
                () = end.cancelled() => break,
                event = platform.next() => match event {
                    Some(event) => self.platform(event),
                    None => break,
                },
                event = leases.next() => match event {
                    Some(event) => self.lease(event),
                    None => leases = self.leases.watch().boxed(),
                },
                Some(name) = self.under_way.ended.next() => {
                    self.children.remove(&name);
                    self.context.metrics.left(&name);
                }
                Some(written) = self.under_way.written.next() => self.member.wrote(written, uptime()),
                Some(id) = self.under_way.buried.next() => drop(self.under_way.burying.remove(&id)),
                () = lost(self.session.as_mut()) => {
                    self.session = None;
                    self.join_at = uptime() + JOIN_PAUSE;
                }
                () = turned => {}
                () = tokio::time::sleep(timer) => {}
            }
            if self.is_blind() && uptime() > looked_anew + self.leases.timing().takeover {
                tracing::warn!("the watch of the Leases is silent; it is begun anew");
                leases = self.leases.watch().boxed();
                looked_anew = uptime();
            }
        }
        drop(pulse);
        self.hand_over().await;
    }

    /// Steps 2 to 4. Says when to look again if nothing happens before.
    fn turn(&mut self) -> Option<Moment> {
        let now = uptime();
        if self.session.is_none() && self.children.is_empty() && self.environments.is_some() {
            // Not before all loops of the last life have ended: the fence does not tell one life from the next.
            if now < self.join_at {
                return Some(self.join_at);
            }
            self.join();
        }
        let Some(me) = self.session.as_ref().map(|session| session.id.clone()) else {
            self.stop(&BTreeMap::new());
            return None;
        };
        let held = self.fence.left().is_some();
        self.context.metrics.held(held);
        let known: BTreeSet<String> =
            self.environments.iter().flatten().map(|(name, _)| name.to_string()).collect();
        let running: BTreeSet<String> = self.children.keys().cloned().collect();
        let situation = Situation { me: &me, held, known: &known, running: &running, now };
        let decision = self.member.decide(&situation, self.leases.timing());
        self.stop(&decision.run);
        for (name, epoch) in &decision.run {
            if !self.children.contains_key(name) {
                self.begin(name, *epoch);
            }
        }
        if let Some((record, base)) = decision.write {
            let leases = self.leases.clone();
            self.under_way.written.push(Box::pin(async move { leases.write(&record, base.as_ref()).await }));
        }
        for (id, version) in decision.bury {
            if self.under_way.burying.insert(id.clone()) {
                let leases = self.leases.clone();
                self.under_way.buried.push(Box::pin(async move {
                    match leases.bury(&id, &version).await {
                        Ok(true) => tracing::warn!(heartbeat = %id, "a replica is dead; its environments are taken over"),
                        Ok(false) => {}
                        Err(error) => tracing::warn!(%error, heartbeat = %id, "a dead replica's heartbeat stays for now"),
                    }
                    // Its end will be seen. Until then it is not asked again at once: the server may have enough to do.
                    tokio::time::sleep(BURY_PAUSE).await;
                    id
                }));
            }
        }
        if held && self.member.view.is_complete() && self.environments.is_some() {
            self.port.ready.store(true, Ordering::Relaxed);
        }
        decision.again
    }

    fn join(&mut self) {
        let id = Leases::new_id(&self.replica.instance);
        self.replica.footprint.leave(&id);
        let end = CancellationToken::new();
        let task = tokio::spawn(keep(
            self.leases.clone(),
            id.clone(),
            self.replica.scope.clone(),
            self.fence.clone(),
            end.clone(),
        ));
        self.session = Some(Life { id, began: uptime(), end, task });
    }

    /// Our own beats are confirmed, and we do not see them: then we do not see what others do, either.
    fn is_blind(&self) -> bool {
        let Some(session) = &self.session else { return false };
        let seen = self.member.view.peers().get(&session.id).map_or(session.began, |peer| peer.changed);
        self.fence.left().is_some() && uptime() > seen + self.leases.timing().fence
    }

    fn lease(&mut self, event: LeaseEvent) {
        let now = uptime();
        match event {
            LeaseEvent::All(all) => {
                self.member.view.all(all, now);
                let known = self.member.view.peers();
                if self.session.as_ref().is_some_and(|session| !known.contains_key(&session.id)) {
                    tracing::debug!("our own heartbeat is not among those seen");
                }
            }
            LeaseEvent::Changed(seen) => self.member.view.changed(seen, now),
            LeaseEvent::Gone(id) => {
                self.member.view.gone(&id);
                if self.session.as_ref().is_some_and(|session| session.id == id) {
                    self.fence.lower();
                }
            }
            LeaseEvent::RecordGone => self.member.view.record_gone(),
            LeaseEvent::Failed(why) => tracing::warn!(error = %why, "watching the Leases failed"),
        }
    }

    fn platform(&mut self, event: EnvironmentEvent) {
        match event {
            EnvironmentEvent::All(all) => {
                if self.environments.is_none() {
                    let there = all.iter().map(ResourceExt::name_any).collect();
                    self.clear_dead_states(None, there);
                }
                self.context.pull_requests.keep(&all.iter().map(ResourceExt::name_any).collect());
                self.environments = Some(BTreeMap::new());
                self.others.clear();
                for environment in all {
                    self.know(environment);
                }
            }
            EnvironmentEvent::Changed(environment) => {
                self.know(*environment);
            }
            EnvironmentEvent::Gone(name) => {
                self.others.remove(&name);
                if let (Some(environments), Ok(name)) = (&mut self.environments, EnvironmentName::new(&name))
                {
                    environments.remove(&name);
                    self.context.pull_requests.forget(&name);
                }
                self.clear_dead_states(Some(name), BTreeSet::new());
            }
            EnvironmentEvent::Failed(why) => tracing::warn!(error = %why, "watching the Environments failed"),
        }
        if let Some(known) = &self.environments {
            let names = known.keys().map(ToString::to_string);
            self.context.requests.know(names.chain(self.others.iter().cloned()).collect());
        }
    }

    /// Has it cleared away what Environments that are no more remembered: one, or all but those that are there.
    fn clear_dead_states(&self, of: Option<String>, there: BTreeSet<String>) {
        let scope = self.replica.scope.clone();
        let is_ours = move |name: &str| {
            let in_scope = match &scope {
                Share::All => true,
                Share::Only(names) => names.contains(name),
            };
            in_scope && !there.contains(name) && of.as_deref().is_none_or(|of| of == name)
        };
        tokio::spawn(dead_states::clear(self.context.clone(), is_ours));
    }

    /// Keeps what the platform says of an environment, and tells its loop.
    fn know(&mut self, environment: Environment) {
        let name = match EnvironmentName::new(&environment.name_any()) {
            Ok(name) => name,
            Err(error) => {
                tracing::error!(%error, "an Environment is left alone");
                return;
            }
        };
        if environment.spec.class != self.replica.class {
            self.environments.get_or_insert_default().remove(&name);
            self.others.insert(name.to_string());
            return;
        }
        self.others.remove(name.as_str());
        if let Some(child) = self.children.get(name.as_str()) {
            child.say.send_if_modified(|known| {
                // Our own status comes back as a change, and says nothing new.
                let new = known.spec != environment.spec
                    || known.metadata.annotations != environment.metadata.annotations
                    || known.metadata.uid != environment.metadata.uid
                    || known.metadata.finalizers != environment.metadata.finalizers
                    || known.metadata.deletion_timestamp != environment.metadata.deletion_timestamp;
                *known = Arc::new(environment.clone());
                new
            });
        }
        self.context.pull_requests.know(&name, &environment);
        self.environments.get_or_insert_default().insert(name, environment);
    }

    /// Ends the loops of all but these. What is under way may take a moment; nothing new begins.
    fn stop(&self, but: &BTreeMap<String, Epoch>) {
        for (name, child) in &self.children {
            if !but.contains_key(name) && !child.end.is_cancelled() {
                let mut known = self.environments.iter().flatten().map(|(known, _)| known.as_str());
                if !known.any(|known| known == name) && !self.others.contains(name) {
                    tracing::info!(environment = name, "the Environment is gone; its objects stay");
                } else {
                    tracing::info!(environment = name, "no longer looks after the environment");
                }
                child.end.cancel();
            }
        }
    }

    fn begin(&mut self, name: &str, epoch: Epoch) {
        let Ok(typed) = EnvironmentName::new(name) else { return };
        let Some(environment) = self.environments.as_ref().and_then(|known| known.get(&typed)) else {
            return;
        };
        tracing::info!(environment = name, %epoch, "looks after the environment");
        self.context.metrics.took(name, epoch.0);
        let (say, platform) = watch::channel(Arc::new(environment.clone()));
        let end = CancellationToken::new();
        let task = tokio::spawn(look_after(self.context.clone(), typed, platform, end.clone()));
        self.children.insert(name.to_owned(), Child { say, end });
        let name = name.to_owned();
        self.under_way.ended.push(Box::pin(async move {
            let _ = task.await;
            name
        }));
    }

    /// Ends all loops, each within its own time limit, and then the heartbeat: the others take over at once.
    async fn hand_over(mut self) {
        for child in self.children.values() {
            child.end.cancel();
        }
        while self.under_way.ended.next().await.is_some() {}
        let Some(session) = self.session else { return };
        session.end.cancel();
        let _ = session.task.await;
        if let Err(error) = self.leases.release(&session.id).await {
            tracing::warn!(%error, heartbeat = %session.id, "others take over only when our heartbeat runs out");
        }
    }
}

/// Until the heartbeat of this session is lost.
async fn lost(session: Option<&mut Life>) {
    let Some(session) = session else { return std::future::pending().await };
    drop(Pin::new(&mut session.task).await);
}
