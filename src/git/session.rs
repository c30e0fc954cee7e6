//! One connection to a remote: what libgit2 asks on the way, and what its errors mean.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use git2::{CertificateCheckStatus, Cred, CredentialType, Error, ErrorClass, ErrorCode, RemoteCallbacks};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::known_hosts::{self, Verdict};
use super::pack;
use super::url::Scheme;
use super::{Cause, Credentials, GitError, Remote};

/// Why we ended a connection ourselves. libgit2 passes our error on without its words, so they are kept here.
#[derive(Clone, Debug)]
enum Refusal {
    Deadline,
    TooLarge,
    Untrusted(String),
    Credentials(&'static str),
    Redirected,
    Pack(String),
}

pub(super) struct RemoteConnection<'a> {
    remote: &'a Remote,
    deadline: Instant,
    limit: u64,
    offered: Cell<bool>,
    refusal: RefCell<Option<Refusal>>,
}

impl<'a> RemoteConnection<'a> {
    pub fn new(remote: &'a Remote, deadline: Instant, limit: u64) -> Self {
        Self { remote, deadline, limit, offered: Cell::new(false), refusal: RefCell::new(None) }
    }

    /// Whether to go on after `bytes` were received.
    pub fn go_on(&self, bytes: u64) -> Result<(), Error> {
        if Instant::now() >= self.deadline {
            return Err(self.refuse(Refusal::Deadline));
        }
        if bytes > self.limit {
            return Err(self.refuse(Refusal::TooLarge));
        }
        Ok(())
    }

    pub fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks
            .credentials(|url, user, allowed| self.credentials(url, user, allowed))
            .certificate_check(|certificate, _| match (certificate.as_hostkey(), certificate.as_x509()) {
                (Some(key), _) => {
                    self.check_host_key(key.hostkey(), key.hostkey_type().map(|kind| kind.name()))
                }
                (_, Some(certificate)) => self.check_certificate(certificate.data()),
                _ => {
                    Err(self
                        .refuse(Refusal::Untrusted("it showed neither a key nor a certificate".to_owned())))
                }
            })
            .sideband_progress(|_| self.go_on(0).is_ok());
        callbacks
    }

    /// The same, while a pack is received into the repository in `folder`. Once all of it is there it is looked at, before
    /// libgit2 takes it apart.
    pub fn receiving(&self, folder: &Path) -> RemoteCallbacks<'_> {
        let folder = folder.join("objects/pack");
        let (before, mut looked) = (unfinished(&folder), false);
        let mut callbacks = self.callbacks();
        callbacks.transfer_progress(move |progress| {
            if self.go_on(progress.received_bytes() as u64).is_err() {
                return false;
            }
            let is_whole =
                progress.total_objects() > 0 && progress.received_objects() == progress.total_objects();
            if looked || !is_whole {
                return true;
            }
            looked = true;
            let received = unfinished(&folder).into_iter().filter(|file| !before.contains(file));
            self.look_at(received, progress.total_objects())
        });
        callbacks
    }

    /// Whether a pack that was received may be taken apart.
    fn look_at(&self, received: impl Iterator<Item = PathBuf>, objects: usize) -> bool {
        let mut why = pack::BadPack::Malformed;
        for file in received {
            let look = || {
                let mut file = BufReader::with_capacity(1 << 16, File::open(&file)?);
                pack::look(&mut file, || self.go_on(0).is_ok())
            };
            // A fetch that was left to itself may have another one there.
            match look() {
                Ok(count) if count as usize == objects => return true,
                Ok(_) => {}
                Err(error) => why = error,
            }
        }
        let _ = self.refuse(Refusal::Pack(why.to_string()));
        false
    }

    fn refuse(&self, why: Refusal) -> Error {
        // The first reason is the cause; libgit2 may ask again on its way out.
        self.refusal.borrow_mut().get_or_insert(why);
        Error::new(ErrorCode::User, ErrorClass::Callback, "refused")
    }

    fn credentials(&self, url: &str, user: Option<&str>, allowed: CredentialType) -> Result<Cred, Error> {
        if allowed.is_username() {
            return Cred::username(self.remote.url().user());
        }
        // Over ssh, which knows no redirects, libgit2 passes the URL as it was given.
        if self.remote.url().scheme() != Scheme::Ssh && !self.remote.url().same_origin(url) {
            return Err(self.refuse(Refusal::Redirected));
        }
        if self.offered.replace(true) {
            return Err(self.refuse(Refusal::Credentials("it does not accept them")));
        }
        match self.remote.credentials() {
            Credentials::Token { username, token } if allowed.is_user_pass_plaintext() => {
                Cred::userpass_plaintext(username, token)
            }
            Credentials::Ssh { private_key, passphrase, .. }
                if allowed.is_ssh_memory() || allowed.is_ssh_key() =>
            {
                let user = user.unwrap_or(self.remote.url().user());
                Cred::ssh_key_from_memory(user, None, private_key, passphrase.as_deref())
            }
            Credentials::None => {
                Err(self.refuse(Refusal::Credentials("it asks for credentials, and none are given")))
            }
            _ => {
                Err(self
                    .refuse(Refusal::Credentials("it asks for credentials of another kind than those given")))
            }
        }
    }

    fn check_host_key(
        &self,
        key: Option<&[u8]>,
        kind: Option<&str>,
    ) -> Result<CertificateCheckStatus, Error> {
        let untrusted = |why: String| Err(self.refuse(Refusal::Untrusted(why)));
        let Credentials::Ssh { known_hosts, .. } = self.remote.credentials() else {
            return untrusted("ssh needs a private key and known_hosts, and none are given".to_owned());
        };
        let (Some(key), url, kind) = (key, self.remote.url(), kind.unwrap_or("key")) else {
            return untrusted("it showed no key".to_owned());
        };
        match known_hosts::judge(known_hosts, url.host(), url.port(), key) {
            Verdict::Known => Ok(CertificateCheckStatus::CertificateOk),
            Verdict::Unknown => untrusted(format!(
                "known_hosts does not list {} port {}; add the line that `ssh-keyscan -p {} {}` prints, once you have \
                 checked it",
                url.host(),
                url.port(),
                url.port(),
                url.host()
            )),
            Verdict::Revoked => untrusted("known_hosts lists its key as revoked".to_owned()),
            Verdict::Differs { kinds } => untrusted(format!(
                "it showed another {kind} key than those that known_hosts lists ({})",
                kinds.join(", ")
            )),
        }
    }

    /// Judges a certificate by the remote's own CA, or leaves it to OpenSSL and the system's.
    fn check_certificate(&self, leaf: &[u8]) -> Result<CertificateCheckStatus, Error> {
        let Some(pem) = self.remote.ca_pem() else {
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        match verify(pem, leaf, self.remote.url().host()) {
            Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
            Err(why) => Err(self.refuse(Refusal::Untrusted(why))),
        }
    }

    /// What an error of libgit2 means to us. `cache` is the folder that was written to.
    pub fn explain(&self, error: &Error, cache: &Path) -> GitError {
        let remote = self.remote.url().to_string();
        let source = Cause(self.remote.scrub(error.message()));
        let message = error.message();
        match self.refusal.borrow().clone() {
            Some(Refusal::Deadline) => return GitError::Timeout { remote },
            Some(Refusal::TooLarge) => {
                return GitError::TooLarge { remote, limit: self.limit };
            }
            Some(Refusal::Credentials(why)) => {
                return GitError::Auth { remote, source: Cause(why.to_owned()) };
            }
            Some(Refusal::Redirected) => {
                let source = Cause("it asked for credentials there; they are for this host only".to_owned());
                return GitError::Redirected { remote, source };
            }
            Some(Refusal::Pack(why)) => return GitError::BadPack { remote, why },
            Some(Refusal::Untrusted(why)) => return self.untrusted(Cause(why)),
            None => {}
        }
        if message.contains("No space left on device") || message.contains("Disk quota exceeded") {
            return GitError::DiskFull { folder: cache.to_owned(), source };
        }
        if message.contains("cannot redirect from") {
            return GitError::Redirected { remote, source };
        }
        match (error.code(), error.class()) {
            (ErrorCode::Timeout, _) => GitError::Timeout { remote },
            (ErrorCode::Auth, _) => GitError::Auth { remote, source },
            (ErrorCode::Certificate, _) | (_, ErrorClass::Ssl) => self.untrusted(source),
            // How libgit2's HTTP parser says that the connection ended too early.
            (_, ErrorClass::Http) if message.contains("EOF") => GitError::Transfer { remote, source },
            (_, ErrorClass::Http) => match message.rsplit("status code: ").next() {
                Some("401" | "403") => GitError::Auth { remote, source },
                Some("404" | "410") => GitError::NoRepository { remote, source },
                _ => GitError::Unreachable { remote, source },
            },
            _ if message.contains("timed out") => GitError::Timeout { remote },
            _ if message.contains("failed to connect") || message.contains("failed to resolve") => {
                GitError::Unreachable { remote, source }
            }
            (_, ErrorClass::Ssh) if message.contains("authenticat") => GitError::Auth { remote, source },
            (
                _,
                ErrorClass::Net | ErrorClass::Ssh | ErrorClass::Indexer | ErrorClass::Zlib | ErrorClass::Sha1,
            ) => GitError::Transfer { remote, source },
            (
                _,
                ErrorClass::Os
                | ErrorClass::Filesystem
                | ErrorClass::Odb
                | ErrorClass::Reference
                | ErrorClass::Repository
                | ErrorClass::Object
                | ErrorClass::Tree
                | ErrorClass::Config,
            ) => GitError::Cache { folder: cache.to_owned(), source },
            _ => GitError::Fetch { remote, source },
        }
    }

    fn untrusted(&self, source: Cause) -> GitError {
        let remote = self.remote.url().to_string();
        match self.remote.url().scheme() {
            Scheme::Ssh => GitError::HostKey { remote, source },
            _ => GitError::Certificate { remote, source },
        }
    }
}

/// What libgit2 receives, or once received, into a folder of packs.
fn unfinished(folder: &Path) -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_unfinished = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"pack_git2_");
    files.filter(|file| is_unfinished(&file.file_name())).map(|file| file.path()).collect()
}

/// Whether a leaf certificate is for `host` and leads to one of the certificates in `pem`.
///
/// libgit2 hands over the leaf alone, so intermediates that lie between must be in `pem` as well.
fn verify(pem: &[u8], leaf: &[u8], host: &str) -> Result<(), String> {
    let given: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "the CA given for it is not PEM".to_owned())?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in &given {
        roots
            .add(certificate.clone())
            .map_err(|error| format!("the CA given for it cannot be used: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| "the CA given for it holds no certificate".to_owned())?;
    let name = ServerName::try_from(host)
        .map_err(|_| "its host is not a name that a certificate can have".to_owned())?;
    verifier
        .verify_server_cert(&CertificateDer::from(leaf), &given, &name, &[], UnixTime::now())
        .map(|_| ())
        .map_err(|error| format!("the CA given for it does not vouch for it: {error}"))
}
