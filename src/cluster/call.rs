//! One request to the API server: its deadline, its retries, its identity, and the warnings that came back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Method, StatusCode};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::fence::{Fence, Fenced};
use super::heard::Hearing;
use super::slots::Slots;
use crate::api::{Identity, PersonSpec};
pub use crate::object::chain;

/// A webhook may take 30 s by the API's own limit, and then the server answers; so one try waits a little longer.
const TRY_TIMEOUT: Duration = Duration::from_secs(34);
/// All tries of one call together, without the time in which it waited for its turn here.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that something is expected of and that says nothing for so long is dead: one that was forgotten on the way
/// never ends by itself. Watches are never so quiet, for the server sends a bookmark about once a minute.
const SILENCE: Duration = Duration::from_secs(90);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Tells our requests from those of others, in an audit log and in what the server counts.
const USER_AGENT: &str = concat!("fairlead/", env!("CARGO_PKG_VERSION"));

/// Where to find the cluster, as kubectl understands it.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    pub kubeconfig: Option<std::path::PathBuf>,
    pub context: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("reading the kubeconfig failed")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    #[error("no cluster is configured: there is no kubeconfig, and this is not a pod")]
    Infer(#[source] kube::config::InferConfigError),
    #[error("making a client for the cluster failed")]
    Client(#[source] kube::Error),
}

/// A connection to one API server, shared by everything.
#[derive(Clone)]
pub struct Cluster {
    /// Writes of this one stop at the fence.
    client: kube::Client,
    unfenced: kube::Client,
    slots: Slots,
    counts: Arc<Counts>,
    hearing: Hearing,
    default_namespace: Arc<str>,
}

/// How often the server was asked, for metrics and benchmarks.
#[derive(Debug, Default)]
pub struct Counts {
    pub reads: AtomicU64,
    pub dry_runs: AtomicU64,
    pub writes: AtomicU64,
    /// Writes with the agent's own identity: what environments remember, and what is told of them.
    pub own_writes: AtomicU64,
    pub retries: AtomicU64,
}

/// A request, before anyone sends it.
#[derive(Clone)]
pub struct Call<'a> {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub body: Option<Bytes>,
    pub content_type: &'static str,
    pub accept: &'static str,
    pub identity: Option<&'a Identity>,
    /// As whom it is made, where that is a person: the server lets them do it, or not.
    pub person: Option<&'a PersonSpec>,
}

pub const JSON: &str = "application/json";
/// Of a response that is wanted only for its metadata: the server writes less and we read less.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// Of what is no object: a log is text, and refusals are JSON.
pub const ANYTHING: &str = "application/json, */*";
pub const APPLY: &str = "application/apply-patch+yaml";

impl<'a> Call<'a> {
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: None,
            content_type: JSON,
            accept: JSON,
            identity: None,
            person: None,
        }
    }

    pub fn apply(path: impl Into<String>, body: Bytes, identity: Option<&'a Identity>) -> Self {
        Self {
            method: Method::PATCH,
            path: path.into(),
            body: Some(body),
            content_type: APPLY,
            accept: METADATA,
            identity,
            person: None,
        }
    }

    /// Makes what the body describes in the collection at a path.
    pub fn create(path: impl Into<String>, body: Bytes, identity: Option<&'a Identity>) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: Some(body),
            content_type: JSON,
            accept: METADATA,
            identity,
            person: None,
        }
    }

    /// A patch by RFC 7386, of which nothing but metadata is wanted back.
    pub fn merge_patch(path: impl Into<String>, patch: &Value, identity: Option<&'a Identity>) -> Self {
        Self { content_type: MERGE_PATCH, ..Self::json_patch(path, patch, identity) }
    }

    /// A patch by RFC 6902, of which nothing but metadata is wanted back.
    pub fn json_patch(path: impl Into<String>, patch: &Value, identity: Option<&'a Identity>) -> Self {
        Self {
            method: Method::PATCH,
            path: path.into(),
            body: Some(patch.to_string().into()),
            content_type: JSON_PATCH,
            accept: METADATA,
            identity,
            person: None,
        }
    }

    /// As a person.
    #[must_use]
    pub fn by(mut self, person: Option<&'a PersonSpec>) -> Self {
        self.person = person;
        self
    }

    #[must_use]
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }
}

pub struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
    pub warnings: Vec<String>,
    retry_after: Option<Duration>,
}

impl Reply {
    pub fn json(&self) -> Result<Value, CallError> {
        self.read()
    }

    /// Reads the answer as an object of a known type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(CallError::Unreadable)
    }
}

/// Shows how large a body is and never what it holds: it may be a Secret, and this may end in a log.
fn size_of(body: &[u8]) -> String {
    format!("{} bytes", body.len())
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body", &self.body.as_deref().map(size_of))
            .field("content_type", &self.content_type)
            .field("accept", &self.accept)
            .field("identity", &self.identity)
            .field("person", &self.person)
            .finish()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("body", &size_of(&self.body))
            .field("warnings", &self.warnings)
            .field("retry_after", &self.retry_after)
            .finish()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered, and the answer is no. The Status object says why.
    #[error("{}", status_message(.status, .body))]
    Refused { status: StatusCode, body: Value },
    #[error("the API server could not be reached")]
    Unreachable(#[source] kube::Error),
    #[error("the API server did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the API server's answer is not what was asked for")]
    Unreadable(#[source] serde_json::Error),
    /// Refused here and not sent, or dropped under way.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    #[error("the request cannot be built")]
    Unsendable(#[source] http::Error),
}

fn status_message(status: &StatusCode, body: &Value) -> String {
    match body["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("the API server answered {status}"),
    }
}

impl CallError {
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Tells a path that the server does not know from an object that is not there: its kind is not served.
    pub fn is_unserved(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, body } if body["reason"] != "NotFound")
    }

    /// What was to be made is there. Quotas and others answer the same status for a conflict of their own, and then it is
    /// not.
    pub fn is_already_there(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::CONFLICT, body } if body["reason"] == "AlreadyExists")
    }
}

impl Cluster {
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ConnectError> {
        Self::connect_fenced(options, &Fence::open()).await
    }

    /// A connection that writes while the fence is up, and only then.
    pub async fn connect_fenced(options: &ConnectOptions, fence: &Fence) -> Result<Self, ConnectError> {
        let chosen = KubeConfigOptions { context: options.context.clone(), ..Default::default() };
        let config = match &options.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(ConnectError::Kubeconfig)?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &chosen)
                    .await
                    .map_err(ConnectError::Kubeconfig)?
            }
            None if options.context.is_some() => {
                kube::Config::from_kubeconfig(&chosen).await.map_err(ConnectError::Kubeconfig)?
            }
            None => kube::Config::infer().await.map_err(ConnectError::Infer)?,
        };
        Self::with_config(config, fence)
    }

    pub fn with_config(mut config: kube::Config, fence: &Fence) -> Result<Self, ConnectError> {
        config.default_retry = false; // It sleeps for up to 1000 s; ours is below.
        config.read_timeout.get_or_insert(SILENCE);
        config.write_timeout.get_or_insert(SILENCE);
        // Silence between two requests is not counted.
        config.reset_reader_on_write = true;
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        let default_namespace = config.default_namespace.as_str().into();
        // Two clients have two sets of connections: heartbeats do not queue behind what they guard.
        let unfenced = kube::Client::try_from(config.clone()).map_err(ConnectError::Client)?;
        let builder = kube::client::ClientBuilder::try_from(config).map_err(ConnectError::Client)?;
        let hearing = Hearing::default();
        let client = builder.with_layer(fence).with_layer(&hearing).build();
        Ok(Self { client, unfenced, slots: Slots::new(), counts: Arc::default(), hearing, default_namespace })
    }

    /// Speaks to what a test puts in the place of the API server.
    #[cfg(test)]
    pub(super) fn of(client: kube::Client) -> Self {
        Self {
            unfenced: client.clone(),
            client,
            slots: Slots::new(),
            counts: Arc::default(),
            hearing: Hearing::default(),
            default_namespace: "default".into(),
        }
    }

    /// Takes all slots, as calls that are under way do.
    #[cfg(test)]
    pub(super) async fn take_slots(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.slots.take_all().await
    }

    /// For the watches of kube's own runtime.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// For the heartbeats, which raise the fence.
    pub fn unfenced(&self) -> &kube::Client {
        &self.unfenced
    }

    /// When the watches of its client were heard last.
    pub(super) fn hearing(&self) -> &Hearing {
        &self.hearing
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// Sends a call until it is answered. A call that the server may have done is sent again: all of ours may be, since
    /// reads change nothing, applying twice is applying once, and what is created bears its name: twice is a refusal.
    pub async fn send(&self, call: &Call<'_>) -> Result<Reply, CallError> {
        let mut deadline = Instant::now() + CALL_TIMEOUT;
        let mut backoff = FIRST_BACKOFF;
        loop {
            let (error, asked_to_wait) = match self.try_once(call, &mut deadline).await {
                Ok(reply) if reply.status.is_success() => return Ok(reply),
                Ok(reply) => {
                    let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
                    let again = may_pass(reply.status, &body);
                    let error = CallError::Refused { status: reply.status, body };
                    if !again {
                        return Err(error);
                    }
                    (error, reply.retry_after)
                }
                Err(error @ (CallError::Unreachable(_) | CallError::TimedOut(_))) => (error, None),
                Err(error) => return Err(error),
            };
            let pause = asked_to_wait.unwrap_or_else(|| backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(error = %chain(&error), ?pause, path = %call.path, "asking the API server again");
            sleep(pause).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn try_once(&self, call: &Call<'_>, deadline: &mut Instant) -> Result<Reply, CallError> {
        let request = call.request()?;
        let asked = Instant::now();
        let _slot = self.slots.take(call.identity).await;
        // To wait for a turn is no failure.
        *deadline += asked.elapsed();
        let count = match call.method {
            Method::GET => &self.counts.reads,
            _ if call.path.contains("dryRun=All") => &self.counts.dry_runs,
            _ if call.identity.is_none() && call.person.is_none() => &self.counts.own_writes,
            _ => &self.counts.writes,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let until = (*deadline).min(Instant::now() + TRY_TIMEOUT);
        let answered = timeout_at(until, async {
            let response = self.client.send(request).await?;
            let (head, body) = response.into_parts();
            Ok::<_, kube::Error>((head, body.collect_bytes().await?))
        });
        let (head, body) = match answered.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(kube::Error::Service(error))) if error.is::<Fenced>() => return Err(Fenced.into()),
            Ok(Err(error)) => return Err(CallError::Unreachable(error)),
            Err(_) => return Err(CallError::TimedOut(TRY_TIMEOUT)),
        };
        let warnings = head.headers.get_all(WARNING).iter().filter_map(warning_text).collect();
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Reply { status: head.status, body, warnings, retry_after: seconds.map(Duration::from_secs) })
    }
}

/// Whether the same call may be answered otherwise in a moment.
fn may_pass(status: StatusCode, body: &Value) -> bool {
    match status.as_u16() {
        500 => !is_unreadable_patch(body),
        status => matches!(status, 429 | 502 | 503 | 504),
    }
}

/// The API server answers 500 where the applied object does not fit the schema (kubernetes#104219), as often as it is
/// asked. It is the object that is wrong.
pub fn is_unreadable_patch(body: &Value) -> bool {
    let message = body["message"].as_str().unwrap_or_default();
    ["failed to create typed patch object", "field not declared in schema", "failed to convert new object"]
        .iter()
        .any(|phrase| message.contains(phrase))
}

/// `299 - "text"` carries the text.
fn warning_text(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let start = text.find('"')? + 1;
    let end = text.rfind('"').filter(|&end| end >= start)?;
    Some(text[start..end].replace("\\\"", "\""))
}

impl Call<'_> {
    fn request(&self) -> Result<http::Request<Body>, CallError> {
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(ACCEPT, self.accept)
            .header(CONTENT_TYPE, self.content_type);
        if self.content_type == APPLY && self.path.contains("/secrets/") {
            // A connection keeps what it sent last in its buffers for as long as it lives.
            request = request.header(CONNECTION, "close");
        }
        if let Some(identity) = self.identity {
            // No groups: the server adds those of a service account by itself, and naming them would need the right to
            // become a member of any.
            let user = format!("system:serviceaccount:{}:{}", identity.namespace, identity.name);
            request = request.header("Impersonate-User", user);
        }
        if let Some(person) = self.person {
            // No more groups than the platform names; the server adds `system:authenticated` by itself.
            request = request.header("Impersonate-User", &person.user);
            for group in &person.groups {
                request = request.header("Impersonate-Group", group);
            }
        }
        request.body(Body::from(self.body.clone().unwrap_or_default())).map_err(CallError::Unsendable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_its_text() {
        let value = HeaderValue::from_static("299 - \"v1 is \\\"old\\\"\"");
        assert_eq!(warning_text(&value).as_deref(), Some("v1 is \"old\""));
        assert_eq!(warning_text(&HeaderValue::from_static("299 - \"")), None);
    }

    #[test]
    fn a_body_is_not_shown() {
        let call = Call::create("/api/v1/secrets", Bytes::from_static(b"hunter2"), None);
        let reply = Reply {
            status: StatusCode::OK,
            body: Bytes::from_static(b"hunter2"),
            warnings: Vec::new(),
            retry_after: None,
        };
        for shown in [format!("{call:?}"), format!("{reply:#?}")] {
            assert!(shown.contains("7 bytes") && !shown.contains("hunter2"), "{shown}");
            assert!(!shown.contains("104, 117"), "nor as numbers: {shown}");
        }
    }

    #[test]
    fn not_every_conflict_says_that_it_is_there() {
        let conflict = |reason: &str| CallError::Refused {
            status: StatusCode::CONFLICT,
            body: serde_json::json!({"reason": reason}),
        };
        assert!(conflict("AlreadyExists").is_already_there());
        assert!(!conflict("Conflict").is_already_there());
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let nothing = Value::Null;
        for (status, again) in
            [(429, true), (500, true), (503, true), (409, false), (422, false), (403, false)]
        {
            assert_eq!(may_pass(StatusCode::from_u16(status).unwrap(), &nothing), again, "{status}");
        }
        let message = "failed to create typed patch object (x): .spec.y: field not declared in schema";
        let body = serde_json::json!({"message": message});
        assert!(!may_pass(StatusCode::INTERNAL_SERVER_ERROR, &body));
    }
}
