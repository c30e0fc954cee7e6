//! The agent's own ports: probes and metrics, and the webhook that takes audit logs (`audit`). The agent's API and the
//! dashboard will live here.

mod audit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use audit::{AuditError, AuditPort, Take, serve_audit};

/// What the port needs to know of the agent.
pub struct Port {
    /// Whether the environments were read once.
    pub ready: AtomicBool,
    pub metrics: Box<dyn Fn() -> Result<String, std::fmt::Error> + Send + Sync>,
}

/// Binds at once, so that a taken port is an error at the start; serves until the end.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

pub async fn serve(listener: TcpListener, port: Arc<Port>, end: CancellationToken) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(port);
    axum::serve(listener, routes).with_graceful_shutdown(async move { end.cancelled().await }).await
}

async fn ready(State(port): State<Arc<Port>>) -> Response {
    if port.ready.load(Ordering::Relaxed) {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the environments were not read yet\n").into_response()
    }
}

async fn metrics(State(port): State<Arc<Port>>) -> Response {
    match (port.metrics)() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
