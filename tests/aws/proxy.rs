//! Stands between the agent and moto: writes down each request, judges it, and does to it what a test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::judge::{Models, form};

/// A request as the proxy saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub service: String,
    pub operation: String,
    pub region: String,
    /// Tells identities apart.
    pub key: String,
    pub input: Value,
    /// Another one for each connection.
    pub peer: std::net::SocketAddr,
}

impl Asked {
    pub fn names(&self, name: &str) -> bool {
        self.input.to_string().contains(name)
    }
}

/// What is done to a request.
pub enum Fault {
    /// AWS's own way to refuse.
    Refuse(u16, &'static str, &'static str),
    /// This and nothing else.
    Answer(u16, String),
    /// The connection breaks in the middle of the answer.
    Reset,
    Slow(Duration),
    /// The answer of moto, changed.
    Change(Box<dyn Fn(&mut Value) + Send>),
}

type Rule = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

struct Inner {
    upstream: u16,
    models: Arc<Models>,
    client: Client<HttpConnector, Full<Bytes>>,
    asked: Mutex<Vec<Asked>>,
    wrong: Mutex<Vec<String>>,
    rules: Mutex<Vec<Rule>>,
}

pub struct Proxy {
    inner: Arc<Inner>,
    port: u16,
    server: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(upstream: u16, models: Arc<Models>) -> Self {
        let inner = Arc::new(Inner {
            upstream,
            models,
            client: Client::builder(TokioExecutor::new()).build_http(),
            asked: Mutex::default(),
            wrong: Mutex::default(),
            rules: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let app = axum::Router::new().fallback(handle).with_state(inner.clone());
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { inner, port, server }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks this of every request that comes; the first rule that says something counts.
    pub fn rule(&self, rule: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        self.inner.rules.lock().unwrap().push(Box::new(rule));
    }

    pub fn forget_rules(&self) {
        self.inner.rules.lock().unwrap().clear();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: &str) -> usize {
        self.asked().iter().filter(|asked| asked.operation == operation).count()
    }

    pub fn forget(&self) {
        self.inner.asked.lock().unwrap().clear();
    }
}

impl Drop for Proxy {
    /// No test passes with a request that AWS would not understand.
    fn drop(&mut self) {
        self.server.abort();
        let wrong = self.inner.wrong.lock().unwrap();
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "requests that AWS does not know: {wrong:#?}");
        }
    }
}

async fn handle(
    State(inner): State<Arc<Inner>>,
    peer: axum::extract::ConnectInfo<std::net::SocketAddr>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let (asked, wrong) = inner.read(&parts.headers, &body, peer.0);
    inner.wrong.lock().unwrap().extend(wrong);
    inner.asked.lock().unwrap().push(asked.clone());
    let fault = inner.rules.lock().unwrap().iter_mut().find_map(|rule| rule(&asked));
    let change = match fault {
        Some(Fault::Refuse(status, code, message)) => return refusal(&asked, status, code, message),
        Some(Fault::Answer(status, body)) => return answer(status, Body::from(body)),
        Some(Fault::Reset) => {
            let broken = [Ok(Bytes::from_static(b"{\"Sec")), Err(std::io::Error::other("reset"))];
            return answer(200, Body::from_stream(futures::stream::iter(broken)));
        }
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            None
        }
        Some(Fault::Change(change)) => Some(change),
        None => None,
    };
    let uri = format!("http://127.0.0.1:{}{}", inner.upstream, parts.uri);
    let mut onward =
        http::Request::builder().method(parts.method).uri(uri).body(Full::new(body)).expect("a request");
    *onward.headers_mut() = parts.headers;
    onward.headers_mut().remove("host");
    let came = inner.client.request(onward).await.expect("moto answers");
    let (parts, body) = came.into_parts();
    let mut body = body.collect().await.expect("a body").to_bytes();
    if let Some(change) = change {
        let mut value: Value = serde_json::from_slice(&body).expect("JSON");
        change(&mut value);
        body = value.to_string().into();
    }
    let mut response = answer(parts.status.as_u16(), Body::from(body));
    for name in ["content-type", "x-amzn-errortype", "x-amzn-query-error"] {
        if let Some(value) = parts.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn answer(status: u16, body: Body) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let builder = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    builder.body(body).expect("a response")
}

fn refusal(asked: &Asked, status: u16, code: &str, message: &str) -> Response {
    let body = match asked.service.as_str() {
        "sts" => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        ),
        _ => json!({"__type": code, "message": message, "Message": message}).to_string(),
    };
    let mut response = answer(status, Body::from(body));
    if asked.service == "sts" {
        response.headers_mut().insert("content-type", "text/xml".parse().expect("a header"));
    }
    response
}

impl Inner {
    fn read(&self, headers: &HeaderMap, body: &[u8], peer: std::net::SocketAddr) -> (Asked, Vec<String>) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // AWS4-HMAC-SHA256 Credential=KEY/20261130/eu-west-1/secretsmanager/aws4_request, …
        let scope =
            header("authorization").split("Credential=").nth(1).and_then(|rest| rest.split(',').next());
        let scope: Vec<&str> = scope.unwrap_or_default().split('/').collect();
        let part = |n: usize| scope.get(n).copied().unwrap_or_default().to_owned();
        let (key, region, service) = (part(0), part(2), part(3));
        let text = String::from_utf8_lossy(body);
        let (target, input) = match header("x-amz-target") {
            "" => form(&text),
            target => (target.to_owned(), serde_json::from_str(&text).unwrap_or(Value::Null)),
        };
        // Only the call that a web identity makes is not signed.
        let service = if service.is_empty() { "sts".to_owned() } else { service };
        let mut wrong = self.models.judge(&service, &target, &input);
        let version = &self.models.0[&service]["metadata"]["jsonVersion"];
        if let Some(version) = version.as_str()
            && header("content-type") != format!("application/x-amz-json-{version}")
        {
            wrong.push(format!("{target}: the content type is {:?}", header("content-type")));
        }
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        (Asked { service, operation, region, key, input, peer }, wrong)
    }
}
