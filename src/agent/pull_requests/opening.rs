//! Opens what a repository's pull requests need: its forge, and its git.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Group, Hook};
use crate::agent::credentials::remote;
use crate::agent::environment::Shared;
use crate::agent::source::Subscription;
use crate::api::{ForgeKind, PullRequestsSpec, SourceSpec};
use crate::forge::{self, Forge, Keys, Kind, Place};
use crate::git::{Changes, Remote};
use crate::object::chain;

/// How often a forge is asked where nobody says; a folder costs nothing.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));
/// How often git is asked where the Environment does not say.
const GIT_INTERVAL: Duration = Duration::from_secs(30);

/// A repository that is looked after.
pub(super) struct Opened {
    pub spec: PullRequestsSpec,
    pub source: SourceSpec,
    pub keys: Keys,
    pub forge: Arc<dyn Forge>,
    pub author: String,
    pub changes: Arc<Changes>,
    pub remote: Remote,
    pub interval: Duration,
    pub poke: Arc<Notify>,
    _listening: Listening,
}

impl Opened {
    /// What has to be opened anew where it is another.
    pub fn by(
        spec: &PullRequestsSpec,
    ) -> (ForgeKind, &str, Option<&str>, Option<&str>, Option<crate::api::Span>) {
        let PullRequestsSpec { forge, repository, url, secret_ref, interval, .. } = spec;
        (*forge, repository.as_str(), url.as_deref(), secret_ref.as_deref(), *interval)
    }

    /// Names the repository, among all of all forges.
    pub fn place(&self) -> String {
        let PullRequestsSpec { forge, repository, url, .. } = &self.spec;
        format!("{forge:?} {} {repository}", url.as_deref().unwrap_or_default())
    }

    /// Follows a branch of it, with all others that do.
    pub fn follow(&self, shared: &Shared, branch: &str) -> Option<Subscription> {
        let interval =
            self.source.interval.map_or(GIT_INTERVAL, |it| it.duration().max(Duration::from_secs(1)));
        let interval = shared.context.own.poll_interval.unwrap_or(interval);
        shared.context.sources.follow(&self.remote, branch, interval).ok()
    }
}

/// Takes the endpoint for webhooks away when nobody listens any more.
struct Listening {
    shared: Shared,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.context.pull_requests.hooks().remove(self.shared.name.as_str());
    }
}

pub(super) async fn open(shared: &Shared, group: &Group) -> Result<Opened, String> {
    let environment = group.environments.get(&shared.name).ok_or("it is gone")?;
    let spec = environment.spec.pull_requests.clone().ok_or("it says nothing of pull requests")?;
    let source = environment.spec.source.clone();
    let keys = keys(shared, &spec).await?;
    let config = &shared.context.pull_requests.config;
    let kind = match spec.forge {
        ForgeKind::Github => Kind::Github,
        ForgeKind::Gitlab => Kind::Gitlab,
        ForgeKind::Gitea => Kind::Gitea,
        ForgeKind::Files => Kind::Files,
    };
    let (url, repository) = (spec.url.clone(), spec.repository.clone());
    let place = Place { kind, url, repository, folder: config.folder.clone() };
    let forge: Arc<dyn Forge> =
        forge::open(&place, &keys, config.plain_http).map_err(|error| chain(&error))?.into();
    let author = forge.author().await.map_err(|failure| failure.to_string())?;
    let remote = remote(&shared.context, &source).await.map_err(|trouble| trouble.message)?;
    let branch = source.branch.as_str();
    let followed = shared.context.sources.follow(&remote, branch, Duration::from_secs(300));
    let changes = followed.map_err(|error| chain(&error))?.changes();
    let poke = Arc::new(Notify::new());
    if let Some(secret) = keys.0.get("webhookSecret").filter(|secret| !secret.is_empty()) {
        let secret = secret.trim_ascii().to_vec();
        let hook = Hook { kind, secret, poke: poke.clone() };
        shared.context.pull_requests.hooks().insert(shared.name.to_string(), hook);
    }
    let least = if kind == Kind::Files { INTERVALS.1 } else { INTERVALS.0 };
    let interval = spec.interval.map_or(least, |interval| interval.duration().max(Duration::from_secs(1)));
    let _listening = Listening { shared: shared.clone() };
    Ok(Opened { spec, source, keys, forge, author, changes, remote, interval, poke, _listening })
}

/// What the Secret holds now.
pub(super) async fn keys(shared: &Shared, spec: &PullRequestsSpec) -> Result<Keys, String> {
    let Some(name) = &spec.secret_ref else { return Ok(Keys::default()) };
    let namespace = &shared.context.own.namespace;
    let found = shared.context.environments.secret(namespace, name).await;
    let secret = found
        .map_err(|error| format!("the Secret {namespace}/{} cannot be read: {}", name, chain(&error)))?;
    let secret = secret.ok_or_else(|| format!("there is no Secret {namespace}/{}", name))?;
    let data = secret.data.unwrap_or_default();
    Ok(Keys(data.into_iter().map(|(key, value)| (key, value.0)).collect::<BTreeMap<_, _>>()))
}

/// Says on the Environment why nobody looks after its pull requests.
pub(super) async fn tell(shared: &Shared, why: &str) {
    tracing::warn!(environment = %shared.name, why, "pull requests are not looked after");
    let environment = shared.platform.borrow().clone();
    let note = format!("pull requests are not looked after: {why}");
    shared.context.environments.event(&environment, true, "PullRequestsFailed", "Report", &note).await;
}
