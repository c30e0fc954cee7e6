use std::fmt;

use super::url::redacted;
use super::{GitError, RemoteUrl};

/// What a remote is opened with. Nothing of it is ever shown.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    #[default]
    None,
    /// For https and http: a token, or a password. Sent to the remote's own host only, and only when it asks.
    Token { username: String, token: String },
    /// For ssh: a private key in PEM, and the hosts that are trusted, as `known_hosts` lists them.
    Ssh { private_key: String, passphrase: Option<String>, known_hosts: String },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token { .. } => "Token(…)",
            Self::Ssh { .. } => "Ssh(…)",
        })
    }
}

/// A git remote: where it is, how it is opened, and whom its certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    url: RemoteUrl,
    credentials: Credentials,
    ca: Option<Vec<u8>>,
}

impl Remote {
    /// Checks the URL. Credentials in an http URL are used where none are given beside it.
    pub fn new(url: &str, credentials: Credentials) -> Result<Self, GitError> {
        let (parsed, info) = RemoteUrl::parse(url)?;
        let credentials = match (credentials, info) {
            // `https://TOKEN@host/` is a common way to write a token that needs no name.
            (Credentials::None, Some(info)) if info.password.is_empty() => {
                Credentials::Token { username: "git".to_owned(), token: info.username }
            }
            (Credentials::None, Some(info)) => {
                Credentials::Token { username: info.username, token: info.password }
            }
            (credentials, _) => credentials,
        };
        if matches!(&credentials, Credentials::Token { username, token } if username.contains(':') || token.is_empty())
        {
            let why = "its token is empty, or its username holds a ':'".to_owned();
            return Err(GitError::BadUrl { remote: redacted(url), why });
        }
        Ok(Self { url: parsed, credentials, ca: None })
    }

    /// Trusts certificates that lead to one of these (PEM), instead of those that the system trusts.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    pub fn url(&self) -> &RemoteUrl {
        &self.url
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn ca_pem(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// Takes this remote's secrets, and any URL's userinfo, out of a message.
    pub(super) fn scrub(&self, message: &str) -> String {
        let secret = match &self.credentials {
            Credentials::Token { token, .. } => Some(token.as_str()),
            Credentials::Ssh { passphrase, .. } => passphrase.as_deref(),
            Credentials::None => None,
        };
        let message = match secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => message.replace(secret, "…"),
            None => message.to_owned(),
        };
        super::url::redact_text(&message)
    }
}
