//! Follows git for one environment: what does its newest revision say? Renders on a thread of its own, so that a slow chart
//! holds up nothing but this.

mod asking;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use asking::Asking;

use super::place::{archive, scope, tree_of};
use super::placing::Placing;
use super::trust::Trust;
use super::{Channels, GitState, Shared, Spoken, trouble};
use crate::agent::charts::Charts;
use crate::agent::credentials::remote;
use crate::agent::desired::{Desire, DesiredScope, Memo, desire, idle_rules};
use crate::agent::hands::Hands;
use crate::agent::pull_requests::previewed;
use crate::agent::secrets::EnvironmentSecrets;
use crate::agent::source::{BranchState, MANY_FAILURES, Subscription};
use crate::api::{Environment, PreviewSpec, SourceSpec};
use crate::delivery::Says;
use crate::drift::Rules;
use crate::git::GitError;
use crate::helm::Stop;
use crate::object::{AppName, Commit, Kinds, Problems, Revision, Tree, chain};
use crate::previews::FOLDER;
use crate::report::Trouble;

/// How often a remote is asked where the Environment does not say.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Refused credentials are read again after this long at the earliest.
const CREDENTIALS_LAST: Duration = Duration::from_secs(30);
/// After a failure that is not git's: unreadable Secret, invalid source.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// A commit that refers to new secrets waits so long until they are read. Then apps whose secrets are not there are told
/// so, and the others go on.
const SECRETS_WITHIN: Duration = Duration::from_secs(5);

/// The reason of a revision that ended the agent.
const SET_ASIDE: &str = "RevisionSetAside";

struct Follow<'a> {
    shared: &'a Shared,
    trust: Trust<'a>,
    out: &'a watch::Sender<GitState>,
    state: GitState,
    source: Option<(SourceSpec, Subscription)>,
    /// What was rendered last.
    told: Option<Wanted>,
    /// When the credentials were read last: they are read again when the remote refuses them.
    credentials_read: Option<Instant>,
    rendering: Rendering,
    secrets: Arc<EnvironmentSecrets>,
    asking: Asking,
    placing: Placing<'a>,
}

/// What is kept from one render to the next.
#[derive(Default)]
struct Rendering {
    memo: Memo,
    /// When to render again what could not be rendered for a reason that may pass.
    again: Option<Instant>,
    /// What was rendered last was dropped for a newer commit.
    was_overtaken: bool,
}

/// What is rendered: a revision, or what a pull request would make of one.
#[derive(Clone, PartialEq)]
struct Wanted {
    revision: Revision,
    scope: DesiredScope,
    kinds: Arc<Kinds>,
    preview: Option<PreviewSpec>,
}

pub(super) async fn run(shared: Shared, channels: Channels, hands: Arc<Hands>) {
    let mut platform = shared.platform.clone();
    let mut follow = Follow {
        shared: &shared,
        trust: Trust::new(&hands),
        out: &channels.git,
        state: channels.git.borrow().clone(),
        source: None,
        told: None,
        credentials_read: None,
        rendering: Rendering::default(),
        secrets: channels.secrets.clone(),
        asking: Asking { words: channels.words.subscribe(), asked: None },
        placing: Placing::new(&shared, &channels.region),
    };
    let mut words = channels.words.subscribe();
    let (mut known, mut turns) = channels.secrets.watch();
    let mut orders = channels.region.orders.subscribe();
    while !shared.end.is_cancelled() {
        let environment = platform.borrow_and_update().clone();
        let mut again = None;
        if environment.metadata.deletion_timestamp.is_none() {
            again = follow.look(&environment).await;
            follow.out.send_replace(follow.state.clone());
        }
        let wake = [again, follow.rendering.again].into_iter().flatten().min();
        let answered = follow.answered();
        let changed = async {
            match &mut follow.source {
                Some((_, source)) => source.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.end.cancelled() => break,
            changed = platform.changed() => if changed.is_err() { break },
            _ = words.changed() => {}
            () = answered => {}
            () = changed => {}
            () = channels.kinds.notified() => {}
            _ = known.changed() => channels.secrets.refresh(),
            _ = turns.changed() => {}
            _ = orders.changed() => {}
            () = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

impl Follow<'_> {
    /// Looks at the newest revision. Says when to look again if nothing happens before.
    async fn look(&mut self, environment: &Environment) -> Option<Instant> {
        if let Err(trouble) = self.subscribe(&environment.spec.source).await {
            self.away(trouble);
            return Some(Instant::now() + TRY_AGAIN);
        }
        self.poke_if_asked();
        let scope = match scope(self.shared, environment) {
            Ok(scope) => scope,
            Err(trouble) => {
                self.state.trouble = Some(trouble);
                return None;
            }
        };
        let kinds = self.shared.context.session.kinds();
        let (spec, source) = self.source.as_mut()?;
        self.state.archive = Some(archive(self.shared, source, &spec.branch, &scope, &kinds, &self.secrets));
        let BranchState { revision, error, failures } = source.look();
        let stale = |at: Instant| at.elapsed() > CREDENTIALS_LAST;
        if matches!(error, Some(GitError::Auth { .. })) && self.credentials_read.is_none_or(stale) {
            // A rotated password: the Secret may hold the new one by now.
            self.source = None;
            return Some(Instant::now());
        }
        let git_trouble = error.as_ref().map(|error| Trouble {
            reason: error.reason().to_owned(),
            message: chain(error),
            may_pass: true,
        });
        let Some(revision) = revision else {
            match git_trouble {
                Some(trouble) => self.away(trouble),
                None => {
                    // Another source is followed since. What the last one wanted goes on; nothing is deleted for it.
                    (self.state.trouble, self.state.doubt) = (None, Some("git was not read yet".to_owned()));
                }
            }
            return None;
        };
        let (spec, mirror) = (spec.clone(), source.mirror.clone());
        let judged = tokio::select! {
            judged = self.trust.judge(self.shared, &spec, &mirror, &revision) => judged,
            // Tags, and the history, may take long to fetch.
            () = self.shared.end.cancelled() => return None,
        };
        let refused = judged.err();
        let revision = match (&refused, self.trust.accepted(&spec)) {
            (None, _) => revision,
            (Some(_), Some(accepted)) => accepted.clone(),
            (Some(trouble), None) => {
                self.away(trouble.clone());
                return Some(Instant::now() + TRY_AGAIN);
            }
        };
        let preview = environment.spec.preview.clone();
        let placed = match &preview {
            Some(preview) => Some((Revision::new(preview.head.as_str()), scope)),
            None => {
                let told = self.told.as_ref().map(|told| &told.revision);
                self.placing.place((&mirror, &spec.branch), revision, scope, told).await
            }
        };
        let Some((revision, scope)) = placed else {
            return Some(Instant::now() + TRY_AGAIN); // What runs here is not decided yet.
        };
        if let Some(archive) = &mut self.state.archive {
            archive.scope.clone_from(&scope);
        }
        let wanted = Wanted { revision, scope, kinds, preview };
        let is_due = self.rendering.again.is_some_and(|at| at <= Instant::now());
        if self.told.as_ref() != Some(&wanted) || is_due || self.secrets.is_behind() {
            match self.render(&wanted).await {
                Ok(true) => {}
                Ok(false) => return Some(Instant::now()),
                Err(trouble) => {
                    if trouble.reason == SET_ASIDE {
                        self.state.doubt = Some(trouble.message.clone());
                        self.state.away = self.state.says.is_none();
                    }
                    self.state.trouble = refused.or(Some(trouble));
                    return Some(Instant::now() + TRY_AGAIN);
                }
            }
        } else if failures >= MANY_FAILURES {
            self.state.trouble = git_trouble;
        } else if self.state.trouble.as_ref().is_some_and(|trouble| trouble.may_pass) {
            self.state.trouble = None;
        }
        self.note_answered();
        self.placing.note(&mut self.state);
        if let Some(error) = &error {
            self.state.doubt.get_or_insert_with(|| format!("git cannot be read: {}", chain(error)));
        } else if self.state.trouble.is_none() {
            self.state.doubt = self.placing.doubt();
        }
        let trouble = refused?;
        // What was followed before goes on, and nothing is deleted for what is not.
        self.state.doubt.get_or_insert_with(|| trouble.message.clone());
        self.state.trouble = Some(trouble);
        Some(Instant::now() + TRY_AGAIN)
    }

    /// Notes that nothing can be read of git. What the apps were told last goes on.
    fn away(&mut self, trouble: Trouble) {
        self.state.doubt = Some(format!("git cannot be read: {}", trouble.message));
        self.state.away = self.state.says.is_none();
        let goes_on = "what is remembered is kept true until git can be read, and nothing new is rolled out";
        self.state.trouble = Some(match self.state.away {
            true => Trouble { message: format!("{}; {goes_on}", trouble.message), ..trouble },
            false => trouble,
        });
    }

    async fn subscribe(&mut self, spec: &SourceSpec) -> Result<(), Trouble> {
        if self.source.as_ref().is_some_and(|(followed, _)| followed == spec) {
            return Ok(());
        }
        let context = &self.shared.context;
        let remote = remote(context, spec).await?;
        self.credentials_read = Some(Instant::now());
        let refused = |error: GitError| trouble(error.reason(), &chain(&error), false);
        let interval =
            spec.interval.map_or(POLL_INTERVAL, |interval| interval.duration().max(Duration::from_secs(1)));
        let interval = context.own.poll_interval.unwrap_or(interval);
        let source = context.sources.follow(&remote, &spec.branch, interval).map_err(refused)?;
        self.source = Some((spec.clone(), source));
        Ok(())
    }

    /// Renders a revision; false where it was overtaken, by a newer one or by the end.
    async fn render(&mut self, wanted: &Wanted) -> Result<bool, Trouble> {
        let Some(mut rendered) = self.desire(wanted).await? else { return Ok(false) };
        if let Ok((desire, _)) = &rendered
            && self.is_behind(desire).await
        {
            let Some(again) = self.desire(wanted).await? else { return Ok(false) };
            rendered = again;
            if let Ok((desire, _)) = &rendered {
                self.note_rendered(desire);
            }
        }
        self.rendering.again = None;
        self.state.revision = Some(wanted.revision.clone());
        match rendered {
            Ok((desire, commit)) => {
                (self.state.trouble, self.state.doubt, self.state.away) = (None, None, false);
                self.rendering.again = desire.again.map(|pause| Instant::now() + pause);
                let Desire { config, apps, warnings, .. } = desire;
                let drift = Arc::new(Rules::new(&config.drift));
                let idle = idle_rules(&drift, &apps);
                let says = Says { apps, rollout: config.rollout.clone(), drift, commit: Some(commit) };
                self.state.says =
                    Some(Arc::new(Spoken { says, rules: config.rollout.health, warnings, idle }));
                self.state.is_guarded = self.placing.rendered(self.state.says.as_deref());
            }
            Err(problems) => {
                // The team's file is wrong: what ran goes on, nothing new begins.
                let first = problems.as_slice().iter().take(3).map(ToString::to_string);
                let first = first.collect::<Vec<_>>().join("; ");
                self.state.away = self.state.says.is_none();
                self.state.doubt = Some(first.clone());
                self.state.trouble = Some(trouble("InvalidConfig", &first, false));
            }
        }
        self.told = Some(wanted.clone());
        Ok(true)
    }

    /// Has secrets read that are new, and says whether apps have to be rendered once more, with what is known of them by then.
    async fn is_behind(&self, desire: &Desire) -> bool {
        self.secrets.want(&desire.uses, &desire.config.secrets);
        self.note_rendered(desire);
        if desire.uses.sealed.is_empty() {
            return false;
        }
        self.secrets.settled(SECRETS_WITHIN).await;
        self.secrets.is_behind()
    }

    fn note_rendered(&self, desire: &Desire) {
        for (spec, wanted) in desire.apps.iter().filter(|(spec, _)| self.secrets.concerns(&spec.name)) {
            match wanted {
                Ok(wanted) => self.secrets.rendered(wanted),
                Err(_) => self.secrets.unrendered(&spec.name),
            }
        }
    }

    /// Renders on a thread of its own. `None` where it was overtaken.
    async fn desire(
        &mut self,
        wanted: &Wanted,
    ) -> Result<Option<Result<(Desire, Commit), Problems>>, Trouble> {
        let Some((_, source)) = &mut self.source else {
            return Err(trouble("NoSource", "no remote is followed", true));
        };
        let (mirror, changes) = (source.mirror.clone(), wanted.preview.as_ref().map(|_| source.changes()));
        let Wanted { revision, scope, kinds, preview } = wanted.clone();
        let (is_preview, past) = (preview.is_some(), self.placing.past(&revision));
        let mut memo = std::mem::take(&mut self.rendering.memo);
        let (context, stop) = (self.shared.context.clone(), Stop::default());
        let (stops, of, secrets) = (stop.clone(), revision.clone(), self.secrets.clone());
        let (ending, of_environment) = (stop.clone(), self.shared.name.clone());
        let mut rendered = tokio::task::spawn_blocking(move || {
            let _under_way = match context.rendering.crashes.begin(&of_environment, &of) {
                Ok(under_way) => under_way,
                Err(set_aside) => return (memo, Err(trouble(SET_ASIDE, &set_aside.to_string(), true))),
            };
            let charts = Charts::blocking(&context.rendering.helm, &context.session, &kinds, stop);
            let tree: Result<Box<dyn Tree>, Trouble> = match (&preview, &changes) {
                (Some(preview), Some(changes)) => previewed(changes, preview, &scope),
                _ => tree_of(&mirror, past.as_ref(), &of),
            };
            let scope = if preview.is_some() { scope.within(FOLDER) } else { scope };
            let result = tree.map(|tree| {
                let said = past.map(|past| past.info.clone()).or_else(|| mirror.commit_info(&of).ok());
                let said =
                    said.as_ref().map_or(("", ""), |info| (info.author.as_str(), info.subject.as_str()));
                let commit = Commit::new(of, said.0, said.1);
                let limits = &context.rendering.limits_of(&of_environment, ending);
                let pins = |app: &AppName| secrets.pins(app);
                let desire = desire(&*tree, &scope, &kinds, &mut memo, limits, &charts, &pins);
                desire.map(|desire| (desire, commit))
            });
            (memo, result)
        });
        let rendered = loop {
            tokio::select! {
                biased;
                rendered = &mut rendered => break rendered,
                () = self.shared.end.cancelled(), if !stops.is_set() => stops.set(),
                () = source.changed(), if !stops.is_set() && !is_preview => {
                    // Once in a row: where commits come faster than charts are rendered, one has to get through.
                    let newest = source.look().revision;
                    if !self.rendering.was_overtaken && newest.is_some_and(|newest| newest != revision) {
                        self.rendering.was_overtaken = true;
                        stops.set();
                    }
                }
            }
        };
        match rendered {
            Ok((memo, result)) => {
                self.rendering.memo = memo;
                if stops.is_set() {
                    return Ok(None);
                }
                self.rendering.was_overtaken = false;
                result.map(Some)
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
