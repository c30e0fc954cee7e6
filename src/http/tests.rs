use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Takes webhooks that say the word.
#[derive(Default)]
struct Heard(Arc<Mutex<Vec<usize>>>);

impl Webhooks for Heard {
    fn is_known(&self, name: &str) -> bool {
        name == "infra"
    }

    fn take(&self, _: &str, headers: &HeaderMap, body: &[u8]) -> bool {
        let is_genuine = headers.get("x-word").is_some_and(|word| word == "please");
        if is_genuine {
            self.0.lock().unwrap().push(body.len());
        }
        is_genuine
    }
}

async fn start() -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let heard = Heard::default();
    let all = heard.0.clone();
    let metrics = Box::new(|| Ok(String::new()));
    let stands = Box::new(|| Err("the heartbeat is not confirmed".to_owned()));
    let port = Port {
        ready: true.into(),
        stands,
        turns: Box::new(|| Ok(())),
        metrics,
        webhooks: Box::new(heard),
        writers: Box::new(|_| Writers::NotKnown),
    };
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(port), CancellationToken::new()));
    (address, all)
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_alive_need_not_be_ready_and_says_why() {
    let (address, _) = start().await;
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("heartbeat is not confirmed"), "{ready}");
}

async fn post(address: SocketAddr, path: &str, word: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-word: {word}\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n"
    );
    // In one piece, so that what is small is there before it is refused. What is large may be refused before it was read.
    let mut request = head.into_bytes();
    request.resize(request.len() + bytes, b'x');
    let _ = stream.write_all(&request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_webhook_is_taken_where_somebody_waits_for_it_and_it_is_genuine() {
    let (address, heard) = start().await;
    assert_eq!(post(address, "/webhooks/infra", "please", 7).await, "204");
    assert_eq!(
        post(address, "/webhooks/infra", "please", 7).await,
        "204",
        "one that is sent again does no harm"
    );
    assert_eq!(post(address, "/webhooks/infra", "now", 7).await, "403");
    assert_eq!(
        post(address, "/webhooks/other", "please", 7).await,
        "404",
        "without a secret there is no endpoint"
    );
    assert_eq!(*heard.lock().unwrap(), [7, 7]);
}

#[tokio::test]
async fn a_webhook_has_an_end() {
    let (address, heard) = start().await;
    assert_eq!(post(address, "/webhooks/infra", "please", WEBHOOK_BYTES).await, "204");
    // Where the rest is not read, the answer may be lost with it.
    let code = post(address, "/webhooks/infra", "please", WEBHOOK_BYTES + 1).await;
    assert!(matches!(&*code, "413" | ""), "{code}");
    assert_eq!(*heard.lock().unwrap(), [WEBHOOK_BYTES]);
}
