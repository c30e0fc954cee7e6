//! Stands between an agent and the API server: records every request, and harms the one that a test names.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::controlplane::{config, write_kubeconfig};
use super::rbac::STATE_NAMESPACE;
use super::{ControlPlane, RUNTIME};

/// The larger bodies are those of objects; the API server itself takes 3 MiB.
const BODY_LIMIT: usize = 64 << 20;

/// What a request is about, so far as tests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What is served, versions, health.
    Discovery,
    Watch,
    List,
    /// One object is read.
    Get,
    DryRun,
    /// An object of an app is written.
    Write,
    /// The status of an Environment is written, or what the agent says in its metadata.
    Status,
    Event,
    /// A heartbeat, or who has which environment.
    Lease,
    /// What environments remember, read or written.
    State,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: Instant,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub class: Class,
    /// As whom, where that is not the agent itself.
    pub identity: Option<String>,
    /// `None` while it is under way, and where its connection was cut before an answer.
    pub status: Option<u16>,
    /// Whether it was sent on to the API server.
    pub forwarded: bool,
}

/// What is done to a request.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Not sent on; answered with this status, and with Retry-After in seconds where given.
    Answer { status: u16, retry_after: Option<u32> },
    /// The connection ends before the request reaches the API server.
    CutBefore,
    /// The API server does it, and the connection ends before the answer.
    CutAfter,
    /// The agent dies by SIGKILL before the request is sent on.
    KillBefore,
    /// The API server does it, and the agent dies by SIGKILL before it learns so.
    KillAfter,
    /// Sent on after this long.
    Delay(Duration),
}

/// Harms requests of one class: the `nth` (from 1, counted since the fault was set) and those after it, `times` in all.
#[derive(Clone, Debug)]
pub struct Fault {
    pub class: Class,
    pub nth: usize,
    pub times: usize,
    pub effect: Effect,
}

impl Fault {
    pub fn nth(class: Class, nth: usize, effect: Effect) -> Self {
        Self { class, nth, times: 1, effect }
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

struct Shared {
    upstream: kube::Client,
    records: Mutex<Vec<Record>>,
    /// Each with the number of requests of its class since it was set.
    faults: Mutex<Vec<(Fault, usize)>>,
    kill: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

pub struct Proxy {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Proxy {
    pub fn start(control_plane: &ControlPlane) -> Self {
        let mut config = config(&control_plane.kubeconfig);
        // The caller's own token goes on with each request; the proxy has no identity.
        config.auth_info = kube::config::AuthInfo::default();
        config.default_retry = false;
        config.read_timeout = None;
        let shared = RUNTIME.block_on(async {
            Arc::new(Shared {
                upstream: kube::Client::try_from(config).expect("a client"),
                records: Mutex::default(),
                faults: Mutex::default(),
                kill: Mutex::default(),
            })
        });
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let router = axum::Router::new().fallback(pass).with_state(shared.clone());
        let serving = RUNTIME.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let folder = TempDir::new().expect("a temporary folder");
        let kubeconfig = folder.path().join("kubeconfig");
        write_kubeconfig(&kubeconfig, &format!("http://{address}"), None, &control_plane.agent_token);
        Self { shared, serving, kubeconfig, _folder: folder }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whom `Kill…` kills from now on.
    pub fn attach(&self, kill: impl Fn() + Send + Sync + 'static) {
        *self.shared.kill.lock().expect("a lock") = Some(Box::new(kill));
    }

    pub fn set(&self, fault: Fault) {
        self.shared.faults.lock().expect("a lock").push((fault, 0));
    }

    pub fn records(&self) -> Vec<Record> {
        self.shared.records.lock().expect("a lock").clone()
    }

    /// Requests since `then` that are of one of these classes.
    pub fn since(&self, then: Instant, classes: &[Class]) -> Vec<Record> {
        self.records()
            .into_iter()
            .filter(|record| record.at >= then && classes.contains(&record.class))
            .collect()
    }

    pub fn count(&self, class: Class) -> usize {
        self.records().iter().filter(|record| record.class == class).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
        if std::thread::panicking() {
            eprintln!("what went through the proxy:");
            for record in self.records().iter().rev().take(60).rev() {
                eprintln!(
                    "  {:?} {} {}?{} as {} → {}",
                    record.class,
                    record.method,
                    record.path,
                    record.query,
                    record.identity.as_deref().unwrap_or("itself"),
                    record.status.map_or("nothing".to_owned(), |status| status.to_string()),
                );
            }
        }
    }
}

fn classify(method: &Method, path: &str, query: &str) -> Class {
    let read = *method == Method::GET;
    if path.starts_with(&format!("/api/v1/namespaces/{STATE_NAMESPACE}/")) {
        return Class::State;
    }
    if read && (query.contains("watch=true") || query.contains("watch=1")) {
        return Class::Watch;
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    // After /api/v1 or /apis/group/version, and after a namespace.
    let rest = match parts.first() {
        Some(&"api") => parts.get(2..).unwrap_or_default(),
        Some(&"apis") => parts.get(3..).unwrap_or_default(),
        _ => return Class::Discovery,
    };
    let rest = if rest.len() > 2 && rest[0] == "namespaces" { &rest[2..] } else { rest };
    match (read, rest) {
        (_, []) => Class::Discovery,
        (true, [_]) => Class::List,
        (true, _) => Class::Get,
        (false, ["events", ..]) => Class::Event,
        (false, ["leases", ..]) => Class::Lease,
        (false, ["environments", ..]) => Class::Status,
        (false, _) if query.contains("dryRun=All") => Class::DryRun,
        (false, _) => Class::Write,
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let class = classify(&head.method, &path, &query);
    let identity =
        head.headers.get("impersonate-user").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let number = {
        let mut records = shared.records.lock().expect("a lock");
        records.push(Record {
            at: Instant::now(),
            method: head.method.clone(),
            path,
            query,
            class,
            identity,
            status: None,
            forwarded: false,
        });
        records.len() - 1
    };
    let effect = due(&shared, class);
    let kill = || {
        if let Some(kill) = &*shared.kill.lock().expect("a lock") {
            kill();
        }
    };
    match effect {
        Some(Effect::Answer { status, retry_after }) => {
            shared.records.lock().expect("a lock")[number].status = Some(status);
            return answer(status, retry_after);
        }
        Some(Effect::CutBefore) => cut(),
        Some(Effect::KillBefore) => {
            kill();
            cut();
        }
        Some(Effect::Delay(time)) => tokio::time::sleep(time).await,
        Some(Effect::CutAfter | Effect::KillAfter) | None => {}
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else { cut() };
    let mut forward = http::Request::new(kube::client::Body::from(body));
    *forward.method_mut() = head.method;
    *forward.uri_mut() =
        head.uri.path_and_query().expect("a request has a path").as_str().parse().expect("a URI");
    *forward.headers_mut() = without_hop(head.headers);
    shared.records.lock().expect("a lock")[number].forwarded = true;
    // On a task of its own: a caller that dies must not take back what is on its way, nor keep it from being recorded.
    let on_its_way = tokio::spawn({
        let shared = shared.clone();
        async move {
            let response = shared.upstream.send(forward).await.ok()?;
            shared.records.lock().expect("a lock")[number].status = Some(response.status().as_u16());
            Some(response)
        }
    });
    let Ok(Some(response)) = on_its_way.await else { cut() };
    let (head, body) = response.into_parts();
    match effect {
        Some(Effect::CutAfter) => cut(),
        Some(Effect::KillAfter) => {
            kill();
            cut();
        }
        _ => {}
    }
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = without_hop(head.headers);
    response
}

/// What is to be done to this request, if it is one that a test named.
fn due(shared: &Shared, class: Class) -> Option<Effect> {
    let mut faults = shared.faults.lock().expect("a lock");
    let mut found = None;
    for (fault, seen) in faults.iter_mut().filter(|(fault, _)| fault.class == class) {
        *seen += 1;
        if found.is_none() && (fault.nth..fault.nth + fault.times).contains(seen) {
            found = Some(fault.effect.clone());
        }
    }
    found
}

/// Ends the connection without an answer: unwinding out of the handler drops the socket. No panic hook runs.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new("the proxy cuts a connection"))
}

fn without_hop(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, ACCEPT_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn answer(status: u16, retry_after: Option<u32>) -> Response {
    let reason = match status {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "reason": reason,
        "message": "the proxy says so",
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
