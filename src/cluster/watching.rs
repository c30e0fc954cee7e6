//! What every watch here has in common: how it begins, and how it begins anew.
//!
//! kube's watcher pauses after failures and lists anew where the server says within a watch that its version is gone. A
//! server, or something on the way to it, may also say so in the place of a watch, by 410. Then kube asks for a watch of
//! the same version for ever, and what happens is never seen again. So on that answer the watcher itself is begun anew.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::Resource;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

/// Between a watch whose version is gone and the next listing, with as much again by chance: a server that always says
/// so must not be kept busy by it.
const PAUSE: Duration = Duration::from_secs(1);

type Events<K> = BoxStream<'static, watcher::Result<watcher::Event<K>>>;

/// All objects, then each change. Failures are told and tried again; it never ends.
pub fn watch<K>(api: Api<K>, config: watcher::Config) -> Events<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    anew(move || watcher(api.clone(), config.clone()).default_backoff().boxed()).boxed()
}

fn anew<K: Send + 'static>(
    begin: impl Fn() -> Events<K> + Send + 'static,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send {
    stream::unfold((begin, None), |(begin, events)| async move {
        let mut events: Events<K> = match events {
            Some(events) => events,
            None => begin(),
        };
        let event = events.next().await?;
        if !is_gone(&event) {
            return Some((event, (begin, Some(events))));
        }
        tokio::time::sleep(PAUSE.mul_f64(1.0 + fastrand::f64())).await;
        Some((event, (begin, None)))
    })
}

fn is_gone<K>(event: &watcher::Result<watcher::Event<K>>) -> bool {
    matches!(event, Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) if status.code == 410)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::ConfigMap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::{Cluster, Fence};

    const LIST: &str =
        r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"5"},"items":[]}"#;
    const GONE: &str =
        r#"{"apiVersion":"v1","kind":"Status","status":"Failure","code":410,"reason":"Expired"}"#;

    /// Answers the n-th question by the n-th of these, and never the ones after: status, announced length, body.
    async fn server(answers: Vec<(u16, usize, &'static str)>) -> (Cluster, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = asked.clone();
        let answers = Arc::new(answers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (heard, answers) = (heard.clone(), answers.clone());
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    loop {
                        let read = stream.read(&mut buffer).await.unwrap_or(0);
                        if read == 0 {
                            return;
                        }
                        let line =
                            String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or("").to_owned();
                        let n = {
                            let mut heard = heard.lock().unwrap();
                            heard.push(line);
                            heard.len() - 1
                        };
                        let Some((status, length, body)) = answers.get(n) else { continue };
                        let head = format!(
                            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
                        );
                        let _ = stream.write_all((head + body).as_bytes()).await;
                    }
                });
            }
        });
        let mut config = kube::Config::new(url.parse().unwrap());
        config.read_timeout = Some(Duration::from_millis(300));
        (Cluster::with_config(config, &Fence::open()).unwrap(), asked)
    }

    /// Watches until so many questions were asked; says which were for a list and which for a watch.
    async fn asks(answers: Vec<(u16, usize, &'static str)>, count: usize) -> Vec<&'static str> {
        let (cluster, asked) = server(answers).await;
        let api: Api<ConfigMap> = Api::all(cluster.client().clone());
        let mut events = watch(api, watcher::Config::default());
        let enough = async {
            while asked.lock().unwrap().len() < count {
                tokio::select! {
                    event = events.next() => assert!(event.is_some(), "it ended"),
                    () = tokio::time::sleep(Duration::from_millis(10)) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough).await.expect("it asks");
        let asked = asked.lock().unwrap();
        asked.iter().map(|line| if line.contains("watch=true") { "watch" } else { "list" }).collect()
    }

    #[tokio::test]
    async fn a_version_that_is_gone_is_not_asked_for_again() {
        let answers = vec![(200, LIST.len(), LIST), (410, GONE.len(), GONE), (200, LIST.len(), LIST)];
        assert_eq!(asks(answers, 4).await, ["list", "watch", "list", "watch"]);
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_asked_anew() {
        // In the middle of a list, before a watch, and within one.
        let answers = vec![(200, LIST.len(), &LIST[..20]), (200, LIST.len(), LIST)];
        assert_eq!(asks(answers, 4).await, ["list", "list", "watch", "watch"]);
        let answers = vec![(200, LIST.len(), LIST), (200, 1000, "")];
        assert_eq!(asks(answers, 3).await, ["list", "watch", "watch"]);
    }
}
