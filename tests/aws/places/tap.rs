//! What stands between a place and moto, one connection for each request; and moto itself, past it.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};

use crate::bed::REGION;

/// What becomes of a request that comes from now on.
#[derive(Clone, Copy)]
pub enum Does {
    Pass,
    /// It is done, and nobody says so.
    LoseAnswers,
    Hang,
    /// The connection is closed at once.
    Refuse,
    Answer(u16, &'static str),
}

pub struct Tap {
    port: u16,
    does: Arc<Mutex<Does>>,
    task: tokio::task::JoinHandle<()>,
}

impl Tap {
    pub async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let does = Arc::new(Mutex::new(Does::Pass));
        let shared = does.clone();
        // moto looks at a condition and writes in two turns, and its threads come in between: it is given one request at a
        // time. AWS does both in one.
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (does, turn) = (shared.clone(), turn.clone());
                drop(tokio::spawn(async move { serve(client, upstream, &does, &turn).await }));
            }
        });
        Self { port, does, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn does(&self, does: Does) {
        *self.does.lock().expect("the lock") = does;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, whole, before it is decided what becomes of it; the connection ends with its answer.
async fn serve(mut client: TcpStream, upstream: u16, does: &Mutex<Does>, turn: &tokio::sync::Mutex<()>) {
    let Some(request) = read_request(&mut client).await else { return };
    let does = *does.lock().expect("the lock");
    match does {
        Does::Refuse => {}
        Does::Hang => {
            let _ = copy(&mut client, &mut sink()).await;
        }
        Does::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} No\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = client.write_all(head.as_bytes()).await;
        }
        Does::Pass | Does::LoseAnswers => {
            let _turn = turn.lock().await;
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
            if server.write_all(&request).await.is_err() {
                return;
            }
            if matches!(does, Does::Pass) {
                let _ = copy(&mut server, &mut client).await;
            } else {
                let _ = copy(&mut server, &mut sink()).await;
            }
        }
    }
}

/// The bytes of a request that announces its length, asking for the connection to be closed after it.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let count = client.read(&mut part).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if bytes.len() < end + 4 + length.unwrap_or(0) {
            continue;
        }
        let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let mut request: Vec<u8> = lines.flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
        request.extend_from_slice(b"connection: close\r\n\r\n");
        request.extend_from_slice(&bytes[end + 4..]);
        return Some(request);
    }
}

async fn send(port: u16, service: &str, request: http::request::Builder, path: &str, body: &str) {
    let credential = format!("AWS4-HMAC-SHA256 Credential=AKIATEST/20261130/{REGION}/{service}/aws4_request");
    let request = request
        .uri(format!("http://127.0.0.1:{port}{path}"))
        .header("authorization", format!("{credential}, SignedHeaders=host, Signature=0"))
        .body(Full::new(bytes::Bytes::from(body.to_owned())))
        .expect("a request");
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.expect("moto answers");
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
}

/// Makes a bucket, or an object in one.
pub async fn put(port: u16, path: &str, body: &str) {
    let body = if path.matches('/').count() == 1 {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        )
    } else {
        body.to_owned()
    };
    send(port, "s3", http::Request::builder().method("PUT"), path, &body).await;
}

async fn dynamodb(port: u16, operation: &str, input: Value) {
    let request = http::Request::builder()
        .method("POST")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0");
    send(port, "dynamodb", request, "/", &input.to_string()).await;
}

pub async fn make_table(port: u16, name: &str) {
    let input = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "environment", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "environment", "KeyType": "HASH"}],
    });
    dynamodb(port, "CreateTable", input).await;
}

/// Puts something there that Fairlead did not write.
pub async fn put_item(port: u16, table: &str, record: &str) {
    let item = json!({"environment": {"S": "prod"}, "version": {"S": "x"}, "record": {"S": record}});
    dynamodb(port, "PutItem", json!({"TableName": table, "Item": item})).await;
}
