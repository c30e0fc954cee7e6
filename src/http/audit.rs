//! The port that takes the audit log of API servers: TLS, and nothing of who cannot show that they are one.
//!
//! A client shows a certificate of an authority that was given, or a bearer token; until then no byte of a body is read.
//! Files are read anew when they change, so that certificates and tokens may be rotated.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::AuditConfig;

/// Bytes of a list. API servers send some hundred events at once, each of one or two kilobytes where no bodies are logged.
const LARGEST: usize = 8 << 20;
/// Lists that are read at once; who comes then is told to come again, and API servers do.
const AT_ONCE: usize = 2;
/// Connections. An API server keeps one or two.
const CONNECTIONS: usize = 64;
/// How long a client may take to show who it is, and to send a list.
const GREETING: Duration = Duration::from_secs(10);
const SENDING: Duration = Duration::from_secs(30);

/// Why the port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("reading {file} failed")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{file} is not what it should be: {why}")]
    Pem { file: PathBuf, why: String },
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(String),
    #[error("{0} holds no token of at least 16 letters")]
    NoToken(PathBuf),
}

/// What takes a list: its bytes. Says why where it is none.
pub type Take = Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

pub struct AuditPort {
    config: AuditConfig,
    take: Take,
    reading: Semaphore,
    refused: AtomicU64,
    tls: Mutex<Known>,
}

/// What was read of files, and when they were changed last by then.
struct Known {
    changed: Vec<Option<SystemTime>>,
    acceptor: TlsAcceptor,
}

/// Whether a client showed a certificate that the authority signed.
#[derive(Clone, Copy)]
struct IsVouchedFor(bool);

impl AuditPort {
    /// Reads the files, so that what is wrong with them is an error at the start.
    pub fn new(config: AuditConfig, take: Take) -> Result<Self, AuditError> {
        let known = read(&config)?;
        if let Some(file) = &config.token {
            read_token(file)?;
        }
        let reading = Semaphore::new(AT_ONCE);
        Ok(Self { config, take, reading, refused: AtomicU64::new(0), tls: Mutex::new(known) })
    }

    /// How many requests were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How connections are accepted now. What cannot be read stays as it was.
    fn acceptor(&self) -> TlsAcceptor {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if changes(&self.config) != known.changed {
            match read(&self.config) {
                Ok(new) => *known = new,
                Err(error) => {
                    tracing::warn!(%error, "the audit webhook goes on with the certificate that it has");
                }
            }
        }
        known.acceptor.clone()
    }

    /// Whether a client may send lists.
    fn admits(&self, vouched: IsVouchedFor, headers: &HeaderMap) -> bool {
        if vouched.0 {
            return true;
        }
        let Some(file) = &self.config.token else { return false };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match (given, read_token(file)) {
            (Some(given), Ok(token)) => is_same(given, token.as_bytes()),
            _ => false,
        }
    }

    fn refuse(&self, status: StatusCode, why: &str) -> Response {
        self.refused.fetch_add(1, Ordering::Relaxed);
        (status, format!("{why}\n")).into_response()
    }
}

/// Serves until the end.
pub async fn serve_audit(listener: TcpListener, port: Arc<AuditPort>, end: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, from)) = accepted else {
            // No more files can be opened, for example: it passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (port, end) = (port.clone(), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = connection(stream, from, &port) => {}
            }
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, port: &Arc<AuditPort>) {
    let stream = match timeout(GREETING, port.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            port.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%from, %error, "the audit webhook refuses a connection");
            return;
        }
        Err(_) => return,
    };
    let vouched = IsVouchedFor(stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty()));
    let routes = Router::new()
        .route("/", post(take))
        .route("/audit", post(take))
        .layer(Extension(vouched))
        .with_state(port.clone());
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(SENDING);
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
}

async fn take(
    State(port): State<Arc<AuditPort>>,
    Extension(vouched): Extension<IsVouchedFor>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if !port.admits(vouched, &head.headers) {
        return port.refuse(StatusCode::UNAUTHORIZED, "a client certificate or a bearer token is needed");
    }
    let announced =
        head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LARGEST) {
        return port.refuse(StatusCode::PAYLOAD_TOO_LARGE, "the list is too large");
    }
    let Ok(_reading) = port.reading.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "others are sending lists\n").into_response();
    };
    let bytes = match timeout(SENDING, read_body(body)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(too_large)) => {
            let (status, why) = match too_large {
                true => (StatusCode::PAYLOAD_TOO_LARGE, "the list is too large"),
                false => (StatusCode::BAD_REQUEST, "the list ended too early"),
            };
            return port.refuse(status, why);
        }
        Err(_) => return port.refuse(StatusCode::REQUEST_TIMEOUT, "the list took too long"),
    };
    match (port.take)(&bytes) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(why) => port.refuse(StatusCode::BAD_REQUEST, &why),
    }
}

/// The bytes of a body; where there are none, whether it is too large.
async fn read_body(body: Body) -> Result<axum::body::Bytes, bool> {
    axum::body::to_bytes(body, LARGEST).await.map_err(|error| {
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(inner) = source {
            if inner.is::<http_body_util::LengthLimitError>() {
                return true;
            }
            source = inner.source();
        }
        false
    })
}

/// Compares digests, and all of them: how long it takes says nothing of the token.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let (given, token) = (Sha256::digest(given), Sha256::digest(token));
    given.iter().zip(token.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn read_token(file: &Path) -> Result<String, AuditError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| AuditError::Read { file: file.to_owned(), source })?;
    let token = text.trim();
    if token.len() < 16 {
        return Err(AuditError::NoToken(file.to_owned()));
    }
    Ok(token.to_owned())
}

/// When each file changed last.
fn changes(config: &AuditConfig) -> Vec<Option<SystemTime>> {
    let files = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
    files.into_iter().map(|file| std::fs::metadata(file?).ok()?.modified().ok()).collect()
}

fn read(config: &AuditConfig) -> Result<Known, AuditError> {
    // Asked first: what changes while it is read is read again.
    let changed = changes(config);
    let chain = certificates(&config.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| AuditError::Pem { file: config.key.clone(), why: error.to_string() })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unusable = |error: &dyn std::fmt::Display| AuditError::Unusable(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                let bad =
                    |error: rustls::Error| AuditError::Pem { file: file.clone(), why: error.to_string() };
                roots.add(certificate).map_err(bad)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if config.token.is_some() { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(&error))?)
        }
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(|error| unusable(&error))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Known { changed, acceptor: TlsAcceptor::from(Arc::new(tls)) })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, AuditError> {
    let bad = |why: String| AuditError::Pem { file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))?;
    let chain: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
    if chain.is_empty() { Err(bad("it holds no certificate".to_owned())) } else { Ok(chain) }
}

#[cfg(test)]
mod tests;
