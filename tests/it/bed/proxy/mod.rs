//! Stands between an agent and the API server: records every request, and harms the one that a test names.

mod effect;
mod line;
mod past;
mod record;
mod stream;
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub use effect::{Effect, End, Fault, SAYS};
use line::{Cord, Door};
pub use past::Behind;
use past::Past;
use record::classify;
pub use record::{Class, Record};

use super::controlplane::{config, write_kubeconfig};
use super::{ControlPlane, RUNTIME};

/// The larger bodies are those of objects; the API server itself takes 3 MiB.
const BODY_LIMIT: usize = 64 << 20;

struct Shared {
    upstream: kube::Client,
    records: Mutex<Vec<Record>>,
    /// Each with the number of requests of its class since it was set.
    faults: Mutex<Vec<(Fault, usize)>>,
    kill: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    past: Past,
    /// Watches that were answered 410: path, and query with the version.
    expired: Mutex<HashSet<(String, String)>>,
    /// Whose watches are to end now: a part of their paths.
    ending: tokio::sync::broadcast::Sender<&'static str>,
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
                past: Past::default(),
                expired: Mutex::default(),
                ending: tokio::sync::broadcast::channel(16).0,
            })
        });
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let router = axum::Router::new().fallback(pass).with_state(shared.clone());
        let service = router.into_make_service_with_connect_info::<Cord>();
        let serving = RUNTIME.spawn(async move {
            let _ = axum::serve(Door(listener), service).await;
        });
        let folder = TempDir::new().expect("a temporary folder");
        let kubeconfig = folder.path().join("kubeconfig");
        write_kubeconfig(&kubeconfig, &format!("http://{address}"), None, &control_plane.agent_token);
        Self { shared, serving, kubeconfig, _folder: folder }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whom `Kill…` kills from now on, or whom `Tell` tells.
    pub fn attach(&self, kill: impl Fn() + Send + Sync + 'static) {
        *self.shared.kill.lock().expect("a lock") = Some(Box::new(kill));
    }

    pub fn set(&self, fault: Fault) {
        self.shared.faults.lock().expect("a lock").push((fault, 0));
    }

    /// Harms nothing any more.
    pub fn clear(&self) {
        self.shared.faults.lock().expect("a lock").clear();
    }

    /// Ends the watches whose path holds this, as if there were nothing more to say.
    pub fn end_watches(&self, path: &'static str) {
        let _ = self.shared.ending.send(path);
    }

    /// How often a fault that was set did its harm.
    pub fn harmed(&self) -> usize {
        self.records().iter().filter(|record| record.harmed.is_some()).count()
    }

    /// From now on the server is behind: what was listed or read before is answered as it is at this moment, and watches
    /// tell nothing new. Writes go on.
    pub fn fall_behind(&self, behind: Behind) {
        let answers = RUNTIME.block_on(async {
            let mut answers = Vec::new();
            for question in self.shared.past.questions() {
                let mut forward = http::Request::new(kube::client::Body::empty());
                *forward.uri_mut() = question.uri().clone();
                *forward.headers_mut() = without_hop(question.headers().clone());
                let answer = self.shared.upstream.send(forward).await.expect("the API server answers");
                if answer.status().is_success() {
                    let (head, body) = answer.into_parts();
                    let bytes = body.collect_bytes().await.expect("a whole answer");
                    answers.push((question, (without_hop(head.headers), bytes)));
                }
            }
            answers
        });
        self.shared.past.hold(answers, behind);
    }

    pub fn catch_up(&self) {
        self.shared.past.let_go();
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
            let records = self.records();
            let last = records.len().saturating_sub(60);
            for (n, record) in records.iter().enumerate() {
                if n >= last || record.harmed.is_some() {
                    eprintln!("  {n} {record}");
                }
            }
        }
    }
}

impl Shared {
    fn note(&self, number: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.records.lock().expect("a lock")[number]);
    }

    fn kill(&self) {
        if let Some(kill) = &*self.kill.lock().expect("a lock") {
            kill();
        }
    }

    /// What is to be done to this request, if it is one that a test named.
    fn due(&self, class: Class, path: &str) -> Option<Effect> {
        let mut faults = self.faults.lock().expect("a lock");
        let mut found = None;
        for (fault, seen) in faults.iter_mut() {
            if fault.class != class || !path.contains(fault.path) {
                continue;
            }
            *seen += 1;
            if found.is_none() && (fault.nth..fault.nth + fault.times).contains(seen) {
                found = Some(fault.effect.clone());
            }
        }
        found
    }

    /// A watch from a version that is gone stays gone, until its path is listed anew.
    fn is_expired(&self, class: Class, path: &str, query: &str, effect: Option<&Effect>) -> bool {
        let mut expired = self.expired.lock().expect("a lock");
        let watch = (path.to_owned(), version(query).to_owned());
        match class {
            Class::List => expired.retain(|(gone, _)| *gone != path),
            Class::Watch if effect == Some(&Effect::Expired) => drop(expired.insert(watch.clone())),
            _ => {}
        }
        class == Class::Watch && expired.contains(&watch)
    }
}

fn version(query: &str) -> &str {
    query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap_or_default()
}

async fn pass(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let whole = head.uri.path_and_query().expect("a request has a path").as_str().to_owned();
    let class = classify(&head.method, &path, &query);
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (identity, user_agent) = (header("impersonate-user"), header("user-agent").unwrap_or_default());
    let effect = shared.due(class, &path);
    let expired = shared.is_expired(class, &path, &query, effect.as_ref());
    let number = {
        let mut records = shared.records.lock().expect("a lock");
        records.push(Record {
            at: Instant::now(),
            method: head.method.clone(),
            path: path.clone(),
            query,
            class,
            identity,
            user_agent,
            bytes: 0,
            status: None,
            forwarded: false,
            harmed: effect.as_ref().map(|effect| format!("{effect:?}")),
        });
        records.len() - 1
    };
    if expired {
        shared.note(number, |record| record.status = Some(410));
        return effect::answer(410, None);
    }
    match &effect {
        Some(Effect::Answer { status, retry_after }) => {
            shared.note(number, |record| record.status = Some(*status));
            return effect::answer(*status, *retry_after);
        }
        Some(Effect::CutBefore) => cut(),
        Some(Effect::ResetBefore) => {
            cord.tear();
            cut();
        }
        Some(Effect::KillBefore) => {
            shared.kill();
            cut();
        }
        Some(Effect::Tell) => shared.kill(),
        Some(Effect::Delay(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    if matches!(class, Class::List | Class::Get)
        && let Some((headers, bytes)) = shared.past.ask(&whole, &head.headers)
    {
        shared.note(number, |record| (record.status, record.harmed) = (Some(200), Some("Past".to_owned())));
        let mut response = Response::new(Body::from(bytes));
        *response.headers_mut() = headers;
        return response;
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else { cut() };
    shared.note(number, |record| record.bytes = body.len());
    let mut forward = http::Request::new(kube::client::Body::from(body));
    *forward.method_mut() = head.method;
    *forward.uri_mut() = whole.parse().expect("a URI");
    *forward.headers_mut() = without_hop(head.headers);
    shared.note(number, |record| record.forwarded = true);
    // On a task of its own: a caller that dies must not take back what is on its way, nor keep it from being recorded.
    let on_its_way = tokio::spawn({
        let shared = shared.clone();
        async move {
            let response = shared.upstream.send(forward).await.ok()?;
            shared.note(number, |record| record.status = Some(response.status().as_u16()));
            Some(response)
        }
    });
    let Ok(Some(response)) = on_its_way.await else { cut() };
    let (head, body) = response.into_parts();
    let mut response = match &effect {
        Some(Effect::CutAfter) => cut(),
        Some(Effect::ResetAfter) => {
            cord.tear();
            cut();
        }
        Some(Effect::KillAfter) => {
            shared.kill();
            cut();
        }
        Some(Effect::Silence) => std::future::pending().await,
        Some(Effect::Truncate) => {
            let Ok(bytes) = body.collect_bytes().await else { cut() };
            truncated(&bytes)
        }
        _ if class == Class::Watch => {
            let ends = match effect {
                Some(Effect::Ends { after, how }) => Some((after, how)),
                _ => None,
            };
            let mut ending = shared.ending.subscribe();
            let told = path.clone();
            let until = async move { while ending.recv().await.is_ok_and(|ended| !told.contains(ended)) {} };
            Response::new(stream::watch(body, shared.past.watches(&path), ends, until))
        }
        _ => Response::new(Body::new(body)),
    };
    *response.status_mut() = head.status;
    response.headers_mut().extend(without_hop(head.headers));
    response
}

fn truncated(whole: &Bytes) -> Response {
    let mut response = Response::new(stream::half(whole));
    response.headers_mut().insert(CONTENT_LENGTH, whole.len().into());
    response
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
