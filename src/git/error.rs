use std::path::PathBuf;

use crate::object::Revision;

/// Why something failed, in libgit2's or the system's words, with everything that could be a secret taken out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(super) String);

/// What went wrong with a remote, a cache or a local repository. `remote` is always the redacted URL.
///
/// Clonable, because requests that share one fetch share its failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    #[error("cannot use {remote} as a git remote: {why}")]
    BadUrl { remote: String, why: String },
    #[error(
        "cannot use {remote} as a git remote: the scheme {scheme:?} is refused; use https, http, ssh or file"
    )]
    Scheme { remote: String, scheme: String },
    #[error("{remote} is not reached: {why}")]
    Refused { remote: String, why: String },
    #[error("{branch:?} is not a name that a branch can have")]
    BadBranch { branch: String },
    #[error("the branch {branch} is not on {remote}")]
    BranchGone { remote: String, branch: String },
    #[error("cannot reach {remote}")]
    Unreachable { remote: String, source: Cause },
    #[error("there is no repository at {remote}")]
    NoRepository { remote: String, source: Cause },
    #[error("{remote} refuses the credentials")]
    Auth { remote: String, source: Cause },
    #[error("cannot trust the host key of {remote}")]
    HostKey { remote: String, source: Cause },
    #[error("cannot trust the certificate of {remote}")]
    Certificate { remote: String, source: Cause },
    #[error("{remote} redirects to another host, which is not followed")]
    Redirected { remote: String, source: Cause },
    #[error("{remote} did not answer within its deadline")]
    Timeout { remote: String },
    #[error("{remote} cut the transfer short or damaged it")]
    Transfer { remote: String, source: Cause },
    #[error(
        "{remote} sends more than the {limit} bytes that are left for it: of the limit of one fetch, or of half of what all git \
         caches may still take"
    )]
    TooLarge { remote: String, limit: u64 },
    #[error("what {remote} sends is not taken: {why}")]
    BadPack { remote: String, why: String },
    #[error("the disk that holds the cache {} is full", folder.display())]
    DiskFull { folder: PathBuf, source: Cause },
    #[error("cannot use the cache {}", folder.display())]
    Cache { folder: PathBuf, source: Cause },
    #[error("the cache {} is in use by another process", folder.display())]
    CacheBusy { folder: PathBuf },
    #[error("the revision {revision} of {remote} is not held here any more; fetch again")]
    RevisionGone { remote: String, revision: Revision },
    #[error("the commit {} of {remote} is not followed: {why}", revision.short())]
    NotSigned { remote: String, revision: Revision, why: String },
    #[error(
        "the commit {} of {remote} is not followed: it does not build on {}, so the history of {branch} was rewritten",
        revision.short(), before.short()
    )]
    Rewritten { remote: String, branch: String, revision: Revision, before: Revision },
    #[error("the branch {branch} of {remote} never had a commit {rev}")]
    NotInBranch { remote: String, branch: String, rev: String },
    #[error("more than one commit of {remote} begins with {rev}")]
    Ambiguous { remote: String, rev: String },
    #[error("{} is not a git repository", folder.display())]
    NotARepository { folder: PathBuf, source: Cause },
    #[error("{rev:?} names no commit of {}", folder.display())]
    BadRevision { folder: PathBuf, rev: String, source: Cause },
    #[error("{one} and {other} have no history in common in {}; a shallow clone may lack it", folder.display())]
    Unrelated { folder: PathBuf, one: String, other: String },
    #[error("cannot fetch from {remote}")]
    Fetch { remote: String, source: Cause },
}

impl GitError {
    /// One word for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "BadUrl",
            Self::Scheme { .. } => "SchemeRefused",
            Self::Refused { .. } => "RemoteRefused",
            Self::BadBranch { .. } => "BadBranch",
            Self::BranchGone { .. } => "BranchGone",
            Self::Unreachable { .. } => "Unreachable",
            Self::NoRepository { .. } => "NoRepository",
            Self::Auth { .. } => "AuthFailed",
            Self::HostKey { .. } => "HostKeyRefused",
            Self::Certificate { .. } => "CertificateRefused",
            Self::Redirected { .. } => "Redirected",
            Self::Timeout { .. } => "Timeout",
            Self::Transfer { .. } => "TransferBroken",
            Self::TooLarge { .. } => "TooLarge",
            Self::BadPack { .. } => "PackRefused",
            Self::DiskFull { .. } => "DiskFull",
            Self::Cache { .. } => "CacheBroken",
            Self::CacheBusy { .. } => "CacheBusy",
            Self::RevisionGone { .. } => "RevisionGone",
            Self::NotSigned { .. } => "NotSigned",
            Self::Rewritten { .. } => "HistoryRewritten",
            Self::NotInBranch { .. } => "RevisionUnknown",
            Self::Ambiguous { .. } => "RevisionAmbiguous",
            Self::NotARepository { .. } => "NotARepository",
            Self::Unrelated { .. } => "Unrelated",
            Self::BadRevision { .. } => "BadRevision",
            Self::Fetch { .. } => "FetchFailed",
        }
    }
}
