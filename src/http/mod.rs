//! The agent's own ports: probes, metrics and webhooks of forges, and the webhook that takes audit logs (`audit`). The
//! agent's API and the dashboard will live here.

mod audit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use audit::{AuditError, AuditPort, Take, serve_audit};

/// Forges send up to 25 MB, and cut what is longer themselves. All of it is signed, so all of it has to be read; a push that
/// has more than this is seen at the next poll.
const WEBHOOK_BYTES: usize = 5 << 20;
/// Webhooks that are read at once: anybody may begin to send one.
const WEBHOOKS: usize = 8;
/// Forges themselves wait for ten seconds.
const WEBHOOK_WITHIN: Duration = Duration::from_secs(10);

/// What the port needs to know of the agent.
pub struct Port {
    /// Whether the environments were read once.
    pub ready: AtomicBool,
    /// Whether its heartbeat and its watch of the environments stand; else, why not.
    pub stands: Check,
    /// Whether its loops turn; else, which do not.
    pub turns: Check,
    pub metrics: Box<dyn Fn() -> Result<String, std::fmt::Error> + Send + Sync>,
    pub webhooks: Box<dyn Webhooks>,
    /// The epoch at which writers of an environment may run in this region, and for how many milliseconds.
    pub writers: Box<dyn Fn(&str) -> Writers + Send + Sync>,
}

/// Whether writers of an environment may run.
pub enum Writers {
    MayRun {
        epoch: u64,
        milliseconds: u64,
    },
    MayNot,
    /// Another replica may look after it.
    NotKnown,
}

/// Looks at something, and says what is wrong with it.
pub type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What is done with a webhook.
pub trait Webhooks: Send + Sync {
    /// Whether anybody waits for webhooks of that name.
    fn is_known(&self, name: &str) -> bool;

    /// Takes one, and says whether it is genuine.
    fn take(&self, name: &str, headers: &HeaderMap, body: &[u8]) -> bool;
}

/// Binds at once, so that a taken port is an error at the start; serves until the end.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

pub async fn serve(listener: TcpListener, port: Arc<Port>, end: CancellationToken) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/webhooks/{name}", post(webhook))
        .route("/writers/{environment}", get(writers))
        .with_state(Arc::new(Shared { port, reading: Semaphore::new(WEBHOOKS) }));
    axum::serve(listener, routes).with_graceful_shutdown(async move { end.cancelled().await }).await
}

struct Shared {
    port: Arc<Port>,
    reading: Semaphore,
}

/// Says nothing of why one is refused.
async fn webhook(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    if !shared.port.webhooks.is_known(&name) {
        return StatusCode::NOT_FOUND;
    }
    let Ok(_turn) = shared.reading.try_acquire() else { return StatusCode::SERVICE_UNAVAILABLE };
    let body = tokio::time::timeout(WEBHOOK_WITHIN, axum::body::to_bytes(body, WEBHOOK_BYTES)).await;
    match body {
        Err(_) => StatusCode::REQUEST_TIMEOUT,
        Ok(Err(_)) => StatusCode::PAYLOAD_TOO_LARGE,
        Ok(Ok(body)) if shared.port.webhooks.take(&name, &headers, &body) => StatusCode::NO_CONTENT,
        Ok(Ok(_)) => StatusCode::FORBIDDEN,
    }
}

/// For what guards writers.
async fn writers(State(shared): State<Arc<Shared>>, Path(environment): Path<String>) -> Response {
    match (shared.port.writers)(&environment) {
        Writers::MayRun { epoch, milliseconds: left } => (
            [(header::CONTENT_TYPE, "application/json")],
            format!("{{\"epoch\":{epoch},\"milliseconds\":{left}}}\n"),
        )
            .into_response(),
        Writers::MayNot => (StatusCode::GONE, "no writer of it may run in this region\n").into_response(),
        Writers::NotKnown => (StatusCode::NOT_FOUND, "this replica does not look after it\n").into_response(),
    }
}

async fn alive(State(shared): State<Arc<Shared>>) -> Response {
    answer((shared.port.turns)().inspect_err(|why| tracing::error!(%why, "the agent is stuck")))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    answer(match shared.port.ready.load(Ordering::Relaxed) {
        true => (shared.port.stands)(),
        false => Err("the environments were not read yet".to_owned()),
    })
}

fn answer(checked: Result<(), String>) -> Response {
    match checked {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.port.metrics)() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests;
