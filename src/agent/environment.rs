//! The loop of one environment.
//!
//! 1. What does git say? (effect: the branch's newest revision and its files)
//! 2. What does each app want? (pure: config, render, stamp, grants)
//! 3. What is to be done for each app? (pure: plan against the index, rollout step)
//! 4. Begin it. (effects: dry runs, writes, each stoppable between two requests)
//! 5. Say where things stand, if that changed. (effect: status, events)
//! 6. Wait for whichever comes first: a commit, a change in the cluster, an answer, a deadline, the end.

mod following;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Context;
use super::adopt;
use super::charts::Charts;
use super::desired::{Desire, Grants, Memo, Scope, desire};
use super::driver::{Driver, Hands};
use super::inventory::{self, Parent, ParentError};
use super::prune::PruneContext;
use super::rollback::Archive;
use super::source::{MANY_FAILURES, Seen, Subscription};
use super::state_store::StateStore;
use crate::api::{ConditionStatus, Environment, EnvironmentStatus, OnDelete, SourceSpec, names};
use crate::git::GitError;
use crate::helm::Stop;
use crate::object::{Commit, EnvironmentName, Kinds, Problems, Revision, TreePath};
use crate::report::{Trouble, conditions, same_but_times, summary};

/// Changes in the cluster come in swarms; they are looked at together.
const SWARM: Duration = Duration::from_millis(50);
/// At most one status a second is written, but for the first after a rest.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// A status that cannot be written is tried again ever more rarely, at last every 32 s.
const STATUS_DOUBLINGS: u32 = 5;
/// How long a request that is under way may take at the end: less than a pod's grace period.
const HAND_OVER: Duration = Duration::from_secs(20);
/// Refused credentials are read again after this long at the earliest.
const CREDENTIALS_LAST: Duration = Duration::from_secs(30);
/// After a failure that is not git's or the apps': unreadable Secret, unwatchable kind.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// After a start there is more urgent work than to look whether all that is remembered is whole.
const VERIFY_AFTER: Duration = Duration::from_secs(5);

pub struct EnvironmentLoop {
    pub(super) context: Arc<Context>,
    pub(super) name: EnvironmentName,
    platform: watch::Receiver<Arc<Environment>>,
    pub(super) driver: Option<(crate::api::Identity, Driver)>,
    pub(super) keeper: Option<Arc<StateStore>>,
    /// Looks once whether what is remembered is whole.
    verifying: Option<AbortOnDropHandle<()>>,
    source: Option<(SourceSpec, Subscription)>,
    /// What the apps were last told.
    told: Option<(Revision, Scope, Arc<Kinds>)>,
    /// When the credentials were read last: they are read again when the remote refuses them.
    credentials_read: Option<tokio::time::Instant>,
    memo: Memo,
    /// When to render again what could not be rendered for a reason that may pass.
    render_again: Option<tokio::time::Instant>,
    /// There was news of git while something was rendered.
    look_again: bool,
    /// What was rendered last was dropped for a newer commit.
    was_overtaken: bool,
    end: CancellationToken,
    parent: Parent,
    /// What is wrong with the newest configuration: what is known of an older one is no reason to delete anything.
    misread: Option<String>,
    /// Git cannot be read since the start: what is remembered stands for it.
    remembering: bool,
    pub(super) trouble: Option<Trouble>,
    revision: Option<Revision>,
    written: EnvironmentStatus,
    /// How often in a row writing it failed.
    unwritten: u32,
}

enum Woken {
    Git,
    Platform,
    Cluster,
    Finished,
    Time,
    End,
}

impl EnvironmentLoop {
    pub fn new(
        context: Arc<Context>,
        name: EnvironmentName,
        platform: watch::Receiver<Arc<Environment>>,
    ) -> Self {
        let written = platform.borrow().status.clone().unwrap_or_default();
        Self {
            context,
            name,
            platform,
            driver: None,
            keeper: None,
            verifying: None,
            source: None,
            told: None,
            credentials_read: None,
            memo: Memo::default(),
            render_again: None,
            look_again: false,
            was_overtaken: false,
            end: CancellationToken::new(),
            parent: Parent::default(),
            misread: None,
            remembering: false,
            trouble: None,
            revision: None,
            written,
            unwritten: 0,
        }
    }

    pub async fn run(mut self, end: CancellationToken) {
        self.end = end.clone();
        let bell = self.context.index.listen(self.name.as_str());
        let mut status_due: Option<tokio::time::Instant> = None;
        loop {
            let environment = self.platform.borrow_and_update().clone();
            let mut again = None;
            let prepared = match environment.metadata.deletion_timestamp {
                Some(_) => self.leave(&environment).await,
                None => self.prepare(&environment).await,
            };
            match prepared {
                Ok(()) => {
                    if let Some((_, driver)) = &mut self.driver {
                        let retry = environment.annotations().get(names::RETRY_ANNOTATION);
                        driver.hear(retry.map(String::as_str));
                        let back = environment.annotations().get(names::ROLLBACK_ANNOTATION);
                        driver.hear_rollback(back.map(String::as_str));
                        again = driver.turn(environment.spec.suspended, Timestamp::now());
                        if driver.left().is_some() {
                            // Nothing else will happen here.
                            again = Some(Timestamp::now() + jiff::SignedDuration::from_secs(1));
                        }
                    }
                    if self.source.is_none() {
                        again = Some(again.map_or(soon(), |at| at.min(soon())));
                    }
                }
                Err(trouble) => {
                    again = Some(soon());
                    self.trouble = Some(trouble);
                }
            }
            self.tell_news(&environment).await;
            self.keep_history();
            let status = self.status(&environment);
            if !same_but_times(&status, &self.written) {
                let now = tokio::time::Instant::now();
                match status_due {
                    Some(due) if now < due => {
                        let left = jiff::SignedDuration::try_from(due - now).unwrap_or_default();
                        again = [again, Some(Timestamp::now() + left)].into_iter().flatten().min();
                    }
                    _ => {
                        let pause = self.write_status(status).await;
                        status_due = Some(now + pause);
                        if self.unwritten > 0 {
                            // Nothing else may ever happen here, and the last status would stay unsaid.
                            let at =
                                Timestamp::now() + jiff::SignedDuration::try_from(pause).unwrap_or_default();
                            again = [again, Some(at)].into_iter().flatten().min();
                        }
                    }
                }
            }
            if std::mem::take(&mut self.look_again) {
                again = Some(Timestamp::now());
            } else if let Some(at) = self.render_again {
                let left = at.saturating_duration_since(tokio::time::Instant::now());
                let at = Timestamp::now() + jiff::SignedDuration::try_from(left).unwrap_or_default();
                again = [again, Some(at)].into_iter().flatten().min();
            }
            match self.wait(&bell, again, &end).await {
                Woken::End => break,
                Woken::Cluster => tokio::time::sleep(SWARM).await,
                Woken::Platform => {
                    let before = environment.annotations().get(names::REQUEST_ANNOTATION);
                    if self.platform.borrow().annotations().get(names::REQUEST_ANNOTATION) != before
                        && let Some((_, source)) = &self.source
                    {
                        source.poke();
                    }
                }
                Woken::Git | Woken::Finished | Woken::Time => {}
            }
        }
        if let Some((_, driver)) = &mut self.driver {
            driver.hand_over(HAND_OVER).await;
        }
        self.keep_history();
        self.context.index.forget(self.name.as_str());
    }

    async fn wait(
        &mut self,
        bell: &tokio::sync::Notify,
        again: Option<Timestamp>,
        end: &CancellationToken,
    ) -> Woken {
        let pause =
            again.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO));
        let timer = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        let git = async {
            let Some((_, source)) = &mut self.source else { return std::future::pending().await };
            source.changed().await;
        };
        let finished = async {
            match &mut self.driver {
                Some((_, driver)) => driver.finish_one().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = end.cancelled() => Woken::End,
            () = git => Woken::Git,
            changed = self.platform.changed() => if changed.is_ok() { Woken::Platform } else { Woken::End },
            () = finished => Woken::Finished,
            () = bell.notified() => Woken::Cluster,
            () = timer => Woken::Time,
        }
    }

    /// Whose hands do the work, and what is remembered.
    pub(super) async fn equip(&mut self, environment: &Environment) -> Result<(), Trouble> {
        let identity = &environment.spec.service_account;
        if identity.name.is_empty() || identity.namespace.is_empty() {
            return Err(trouble(
                "NoIdentity",
                "spec.serviceAccount is empty, and nothing is written without it",
                false,
            ));
        }
        let keeper = self.keeper().await?;
        if self.driver.as_ref().is_none_or(|(as_whom, _)| as_whom != identity) {
            let hands = Hands {
                session: self.context.session.clone(),
                index: self.context.index.clone(),
                environments: self.context.environments.clone(),
                environment: self.name.clone(),
                keeper: Some(keeper),
                identity: Some(identity.clone()),
            };
            self.driver = Some((identity.clone(), Driver::new(hands)));
            self.told = None;
        }
        Ok(())
    }

    /// Steps 1 and 2: the newest revision, and what it wants, told to the apps.
    async fn prepare(&mut self, environment: &Environment) -> Result<(), Trouble> {
        self.equip(environment).await?;
        self.hold(environment, environment.spec.on_delete == OnDelete::Remove).await?;
        if let Err(trouble) = self.follow(&environment.spec.source).await {
            return self.go_on_without_git(environment, trouble).await;
        }
        let (scope, kinds) = (self.scope(environment)?, self.context.session.kinds());
        let Some((spec, source)) = &mut self.source else { return Ok(()) };
        if let Some((_, driver)) = &mut self.driver {
            let (mirror, branch) = (source.mirror.clone(), spec.branch.clone());
            let (helm, session) = (self.context.helm.clone(), self.context.session.clone());
            let limits = self.context.limits.clone();
            let (scope, kinds) = (scope.clone(), kinds.clone());
            driver.archive(Archive { mirror, branch, scope, kinds, helm, limits, session });
        }
        let Seen { revision, error, failures } = source.look();
        let in_doubt =
            error.as_ref().map(|error| format!("git cannot be read: {}", crate::cluster::chain(error)));
        let stale = |at: tokio::time::Instant| at.elapsed() > CREDENTIALS_LAST;
        if matches!(error, Some(GitError::Auth { .. })) && self.credentials_read.is_none_or(stale) {
            // A rotated password: the Secret may hold the new one by now.
            self.source = None;
            if let Err(trouble) = self.follow(&environment.spec.source).await {
                return self.go_on_without_git(environment, trouble).await;
            }
        }
        let git_trouble = error.map(|error| Trouble {
            reason: error.reason().to_owned(),
            message: crate::cluster::chain(&error),
            may_pass: true,
        });
        let Some(revision) = revision else {
            if let Some(trouble) = git_trouble {
                return self.go_on_without_git(environment, trouble).await;
            }
            self.trouble = None;
            if self.told.is_some() || self.remembering {
                // Another source is followed since. What the last one wanted goes on; nothing is deleted for it any more.
                self.tend(environment, Some("git was not read yet".to_owned())).await?;
            }
            return Ok(());
        };
        // A kind that is served since may be namespaced, and then its objects want a namespace.
        let wanted = (revision.clone(), scope, kinds);
        let is_due = self.render_again.is_some_and(|at| at <= tokio::time::Instant::now());
        if self.told.as_ref() != Some(&wanted) || is_due {
            self.revision = Some(revision.clone());
            let Some(desired) = self.desire(&wanted).await? else { return Ok(()) };
            self.render_again = None;
            match desired {
                Ok((desire, commit)) => {
                    (self.trouble, self.misread, self.remembering) = (None, None, false);
                    self.render_again = desire.again.map(|pause| tokio::time::Instant::now() + pause);
                    if let Some((_, driver)) = &mut self.driver {
                        driver.set(desire, Some(commit));
                    }
                }
                Err(problems) => {
                    // The team's file is wrong: what ran goes on, nothing new begins.
                    let first =
                        problems.as_slice().iter().take(3).map(ToString::to_string).collect::<Vec<_>>();
                    self.misread = Some(first.join("; "));
                    self.remember(&wanted.1, &wanted.2).await;
                    self.trouble = Some(trouble("InvalidConfig", &first.join("; "), false));
                }
            }
            self.told = Some(wanted);
        } else if failures >= MANY_FAILURES {
            self.trouble = git_trouble;
        } else if self.trouble.as_ref().is_some_and(|trouble| trouble.may_pass) {
            self.trouble = None;
        }
        let hold = self.misread.clone().or(in_doubt);
        self.tend(environment, hold).await?;
        if let Some((_, driver)) = &mut self.driver {
            driver.watch().await;
        }
        Ok(())
    }

    /// Says on the Environment where its objects are, before any is written; and to the driver what may be deleted.
    pub(super) async fn tend(
        &mut self,
        environment: &Environment,
        hold: Option<String>,
    ) -> Result<(), Trouble> {
        let Some((_, driver)) = &mut self.driver else { return Ok(()) };
        let marked = self.parent.tend(&self.context.environments, environment, driver.needs()).await;
        let marked = marked.map_err(|error| match &error {
            ParentError::Foreign(_) => trouble("ForeignInventory", &error.to_string(), false),
            ParentError::Write(_) => trouble("InventoryFailed", &error.to_string(), true),
        })?;
        let approval = inventory::approval(environment, marked);
        driver.agree(adopt::agreed(environment));
        // A kind that cannot be listed keeps what nobody wants; it is no reason to hold up what somebody does.
        let unlisted = driver.watch_inventory(&marked.inventory).await.err();
        driver.allow_prune(PruneContext {
            environment: self.name.clone(),
            grants: Some(grants(environment)),
            approval,
            hold: hold.or(unlisted),
        });
        Ok(())
    }

    /// What the environment remembers. Without it nothing is written: nobody could tell later what was.
    async fn keeper(&mut self) -> Result<Arc<StateStore>, Trouble> {
        if let Some(keeper) = &self.keeper {
            return Ok(keeper.clone());
        }
        let opened = StateStore::open(&self.context.state_secrets, &self.name).await;
        let opened = opened.map_err(|error| {
            let may_pass = error.may_pass();
            trouble("StateUnavailable", &crate::cluster::chain(&error), may_pass)
        })?;
        let keeper = Arc::new(opened);
        let (verifies, bell) = (keeper.clone(), self.context.index.listen(self.name.as_str()));
        self.verifying = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(VERIFY_AFTER).await;
            match verifies.verify().await {
                Ok(()) => bell.notify_one(),
                Err(error) => {
                    tracing::warn!(error = %crate::cluster::chain(&error), "what is remembered cannot be verified");
                }
            }
        })));
        self.keeper = Some(keeper.clone());
        Ok(keeper)
    }

    fn scope(&self, environment: &Environment) -> Result<Scope, Trouble> {
        let spec = &environment.spec;
        let path = spec.source.path.clone().unwrap_or_else(|| format!("environments/{}", self.name));
        Ok(Scope {
            environment: self.name.clone(),
            path: TreePath::new(&path).map_err(|error| trouble("InvalidPath", &error.to_string(), false))?,
            grants: Some(grants(environment)),
            default_namespace: None,
        })
    }

    /// Renders on a thread of its own: a large tree must not hold up the others.
    /// `None` where it was overtaken: by a newer commit, or by the end.
    async fn desire(
        &mut self,
        wanted: &(Revision, Scope, Arc<Kinds>),
    ) -> Result<Option<Result<(Desire, Commit), Problems>>, Trouble> {
        let Some((_, source)) = &mut self.source else {
            return Err(trouble("NoSource", "no remote is followed", true));
        };
        let mirror = source.mirror.clone();
        let (revision, scope, kinds) = wanted.clone();
        let mut memo = std::mem::take(&mut self.memo);
        let (context, stop) = (self.context.clone(), Stop::default());
        let (stops, of) = (stop.clone(), revision.clone());
        let mut rendered = tokio::task::spawn_blocking(move || {
            let charts = Charts::blocking(&context.helm, &context.session, &kinds, stop);
            let result = mirror.tree(&of).map(|tree| {
                let said = mirror.commit_info(&of).ok();
                let said =
                    said.as_ref().map_or(("", ""), |info| (info.author.as_str(), info.subject.as_str()));
                let commit = Commit::new(of, said.0, said.1);
                let desire = desire(&tree, &scope, &kinds, &mut memo, &context.limits, &charts);
                desire.map(|desire| (desire, commit))
            });
            (memo, result)
        });
        let rendered = loop {
            tokio::select! {
                biased;
                rendered = &mut rendered => break rendered,
                () = self.end.cancelled(), if !stops.is_set() => stops.set(),
                () = source.changed(), if !stops.is_set() => {
                    self.look_again = true;
                    // Once in a row: where commits come faster than charts are rendered, one has to get through.
                    let newest = source.look().revision;
                    if !self.was_overtaken && newest.is_some_and(|newest| newest != revision) {
                        self.was_overtaken = true;
                        stops.set();
                    }
                }
            }
        };
        match rendered {
            Ok((memo, result)) => {
                self.memo = memo;
                if stops.is_set() {
                    return Ok(None);
                }
                self.was_overtaken = false;
                match result {
                    Ok(result) => Ok(Some(result)),
                    Err(error) => Err(trouble(error.reason(), &crate::cluster::chain(&error), true)),
                }
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn status(&self, environment: &Environment) -> EnvironmentStatus {
        let apps = self.driver.as_ref().map(|(_, driver)| driver.statuses()).unwrap_or_default();
        let prune = self.driver.as_ref().and_then(|(_, driver)| driver.prune_status());
        let now =
            Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |now| now.to_string());
        let starting = self.told.is_none() && self.trouble.is_none();
        let starting = starting.then(|| trouble("Starting", "git was not read yet", true));
        let trouble = self.trouble.as_ref().or(starting.as_ref());
        EnvironmentStatus {
            observed_generation: environment.metadata.generation,
            short_revision: self.revision.as_ref().map(|revision| revision.short().to_owned()),
            revision: self.revision.clone(),
            request: environment.annotations().get(names::REQUEST_ANNOTATION).cloned(),
            summary: Some(summary(&apps)),
            conditions: conditions(
                &apps,
                prune.as_ref(),
                trouble,
                &self.written,
                environment.metadata.generation,
                &now,
            ),
            prune,
            apps,
        }
    }

    /// Answers after how long the next one may be written.
    async fn write_status(&mut self, status: EnvironmentStatus) -> Duration {
        match self.context.environments.write_status(self.name.as_str(), &status).await {
            Ok(()) => {
                let ready = status.conditions.iter().any(|condition| {
                    condition.type_ == names::READY && condition.status == ConditionStatus::True
                });
                self.context.metrics.ready(self.name.as_str(), ready);
                let aside = status.apps.iter().filter(|app| app.quarantined.is_some());
                let aside = aside.map(|app| app.name.to_string()).collect();
                self.context.metrics.quarantined(self.name.as_str(), aside);
                self.written = status;
                self.unwritten = 0;
            }
            Err(error) => {
                self.unwritten = (self.unwritten + 1).min(STATUS_DOUBLINGS);
                tracing::warn!(environment = %self.name, error = %crate::cluster::chain(&error), "writing the status failed");
            }
        }
        STATUS_PAUSE * (1 << self.unwritten)
    }
}

/// When it is tried again.
fn soon() -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::try_from(TRY_AGAIN).unwrap_or_default()
}

fn grants(environment: &Environment) -> Grants {
    let spec = &environment.spec;
    Grants {
        namespaces: spec.namespaces.clone(),
        cluster_kinds: spec.cluster_kinds.clone(),
        regions: spec.regions.clone(),
        adopt: spec.adopt.clone(),
    }
}

pub(super) fn trouble(reason: &str, message: &str, may_pass: bool) -> Trouble {
    Trouble { reason: reason.to_owned(), message: message.to_owned(), may_pass }
}
