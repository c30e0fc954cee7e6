//! A server for tests, which answers as it is told, so that what it never answers can be told, too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Cluster, Fence};

pub struct Fake {
    /// Connected to it.
    pub cluster: Cluster,
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    /// In bytes; more than there are leaves the client waiting.
    length: usize,
    body: String,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, length: body.len(), body: body.to_owned() }
    }

    /// Falls silent after so many bytes.
    pub fn cut(mut self, at: usize) -> Self {
        self.body.truncate(at);
        self
    }

    /// Falls silent at its end, as a watch does.
    pub fn unfinished(mut self) -> Self {
        self.length += 1_000_000;
        self
    }
}

impl Fake {
    /// Answers each question, by how many there were before and its request line, or never. The client gives up on a server
    /// that is silent for so long.
    pub async fn start(
        silence: Duration,
        answer: impl Fn(usize, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (heard, answer) = (asked.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, heard.clone(), answer.clone()));
            }
        });
        let mut config = kube::Config::new(url.parse().expect("a URL"));
        config.read_timeout = Some(silence);
        let cluster = Cluster::with_config(config, &Fence::open()).expect("a client");
        Self { cluster, asked, _task: AbortOnDropHandle::new(task) }
    }

    /// The request lines so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics under it").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    heard: Arc<Mutex<Vec<String>>>,
    answer: Arc<impl Fn(usize, &str) -> Option<Answer>>,
) {
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        let line = String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned();
        let n = {
            let mut heard = heard.lock().expect("no test panics under it");
            heard.push(line.clone());
            heard.len() - 1
        };
        let Some(Answer { status, length, body }) = answer(n, &line) else { continue };
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let _ = stream.write_all((head + &body).as_bytes()).await;
    }
}
