//! Pull requests, comments and statuses of a forge: GitHub, GitLab, Gitea or Forgejo, and a folder where there is none.
//!
//! One port, [`Forge`]. What an adapter gives is what the forge says now: every list is whole, or an error. Whether
//! something is to be done about it is decided in [`pull_requests`](crate::pull_requests).
//!
//! A forge is asked over one [`Client`](client::Client), which holds what must hold with any of them: tokens go to their
//! own host and over nothing but TLS, bodies and pages have an end, limits are kept, and a write of which nobody knows
//! whether it was done is told as such.

mod answers;
mod app;
mod client;
mod files;
mod gitea;
mod github;
mod gitlab;
pub mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use crate::object::Revision;
use crate::pull_requests::{Comment, CommentId, Failure, Number, Reaction, State, Status};

/// Pull requests that were merged longer ago are not told of.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// A pull request as a forge lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub number: Number,
    pub head: Head,
    /// The branch into which it is to be merged.
    pub base: String,
    pub state: ListedState,
    /// Differs once there is something new of it.
    pub stamp: String,
    pub labels: Vec<String>,
    /// What is to be merged comes from another repository.
    pub is_fork: bool,
}

/// What is to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A commit, and the name by which the forge's git has it.
    Commit { revision: Revision, reference: String },
    /// A branch: git says which commit that is.
    Branch(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedState {
    Open,
    Closed,
    /// The commit where the forge knows it.
    Merged {
        revision: Option<Revision>,
        at: Timestamp,
    },
}

impl ListedState {
    /// As it is decided about, where the merge's commit is known.
    pub fn state(&self) -> Option<State> {
        Some(match self {
            Self::Open => State::Open,
            Self::Closed => State::Closed,
            Self::Merged { revision, at } => State::Merged { revision: revision.clone()?, at: *at },
        })
    }
}

/// One repository of a forge, as one account.
pub trait Forge: Send + Sync + 'static {
    /// The account that writes comments, as their author is named.
    fn author(&self) -> BoxFuture<'_, Result<String, Failure>>;

    /// All pull requests that are open, and those that were merged of late.
    fn pulls(&self) -> BoxFuture<'_, Result<Vec<Listed>, Failure>>;

    fn pull(&self, number: Number) -> BoxFuture<'_, Result<Listed, Failure>>;

    /// All comments.
    fn comments(&self, number: Number) -> BoxFuture<'_, Result<Vec<Comment>, Failure>>;

    /// One comment; `None` only where the pull request is there and the comment is not.
    fn comment(&self, number: Number, comment: CommentId) -> BoxFuture<'_, Result<Option<Comment>, Failure>>;

    fn make<'a>(&'a self, number: Number, body: &'a str) -> BoxFuture<'a, Result<CommentId, Failure>>;

    /// Whether it was there to be edited.
    fn edit<'a>(
        &'a self,
        number: Number,
        comment: CommentId,
        body: &'a str,
    ) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Takes a comment away; one that is gone is as good.
    fn remove(&self, number: Number, comment: CommentId) -> BoxFuture<'_, Result<(), Failure>>;

    fn tell<'a>(&'a self, revision: &'a Revision, status: &'a Status) -> BoxFuture<'a, Result<(), Failure>>;

    /// Whether an account may write to the repository now. `number` is a pull request that is there: whether the repository
    /// can be seen at all is told by it.
    fn may_write<'a>(
        &'a self,
        number: Number,
        login: &'a str,
        account: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Answers a comment by a sign; once, however often it is asked for.
    fn react(
        &self,
        number: Number,
        comment: CommentId,
        reaction: Reaction,
    ) -> BoxFuture<'_, Result<(), Failure>>;
}

/// Whether a name of an account can stand in a path. Those of programs (`x[bot]`) are none of people.
fn is_login(login: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !login.is_empty() && !login.starts_with('.') && login.chars().all(plain)
}

/// Which forge, and which of its repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    /// The URL of its API; the public one where there is one and none is given.
    pub url: Option<String>,
    /// `owner/name`; on GitLab there may be groups within groups.
    pub repository: String,
    /// For `files`.
    pub folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Github,
    Gitlab,
    /// Gitea or Forgejo.
    Gitea,
    Files,
}

/// What a Secret says of how a forge is reached. Nothing of it is ever shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(pub BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.keys().cloned().collect::<Vec<_>>().join(", "))
    }
}

impl Keys {
    fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        let text = String::from_utf8_lossy(value).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Why a forge cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum BadPlace {
    #[error("the URL of the forge is not an https:// URL")]
    Url,
    #[error(
        "the URL of the forge is http://, and a token would be sent in the clear; only a loopback address may be, with --allow-plain-http"
    )]
    Plain,
    #[error("{kind} needs the URL of its API")]
    NoUrl { kind: &'static str },
    #[error("the repository {repository:?} is not OWNER/NAME")]
    Repository { repository: String },
    #[error("the Secret has no {key:?}")]
    NoKey { key: &'static str },
    #[error("the Secret's {key:?} cannot be used: {why}")]
    BadKey { key: &'static str, why: String },
    #[error("the certificates that this machine trusts cannot be read")]
    Roots(#[source] std::io::Error),
    #[error("there is no folder for pull requests: give the agent one with --pull-requests-folder")]
    NoFolder,
}

/// Opens a repository of a forge. Nothing is asked yet. `plain` lets a loopback address be asked without TLS.
pub fn open(place: &Place, keys: &Keys, plain: bool) -> Result<Box<dyn Forge>, BadPlace> {
    let parts: Vec<&str> = place.repository.split('/').collect();
    let is_part = |part: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    let enough = match place.kind {
        Kind::Github | Kind::Gitea => parts.len() == 2,
        Kind::Gitlab => parts.len() >= 2,
        Kind::Files => true,
    };
    if !enough || !parts.iter().all(is_part) {
        return Err(BadPlace::Repository { repository: place.repository.clone() });
    }
    let repository = place.repository.as_str();
    Ok(match place.kind {
        Kind::Github => Box::new(github::Github::open(place.url.as_deref(), repository, keys, plain)?),
        Kind::Gitlab => Box::new(gitlab::Gitlab::open(place.url.as_deref(), repository, keys, plain)?),
        Kind::Gitea => Box::new(gitea::Gitea::open(place.url.as_deref(), repository, keys, plain)?),
        Kind::Files => {
            let folder = place.folder.as_ref().ok_or(BadPlace::NoFolder)?;
            Box::new(files::Files::new(&folder.join(repository)))
        }
    })
}
