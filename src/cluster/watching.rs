//! What every watch here has in common: how it begins, how it begins anew, and what it tells.
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

pub type Events<K> = BoxStream<'static, watcher::Result<watcher::Event<K>>>;

/// What a watch tells, read.
pub enum News<T> {
    /// These are all.
    All(Vec<T>),
    /// This one came, or changed.
    Is(T),
    Gone(T),
    /// It fails, and goes on trying. Nothing follows from that about what is there.
    Failed(String),
}

/// Hands on what a watch tells, as `read` understands it, for as long as the watch goes on. What `read` makes nothing of is
/// passed over.
pub async fn tell<K, T>(mut events: Events<K>, read: impl Fn(K) -> Option<T>, mut take: impl FnMut(News<T>)) {
    let mut listing = Vec::new();
    while let Some(event) = events.next().await {
        let news = match event {
            Ok(watcher::Event::Init) => {
                listing.clear();
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                listing.extend(read(object));
                None
            }
            Ok(watcher::Event::InitDone) => Some(News::All(std::mem::take(&mut listing))),
            Ok(watcher::Event::Apply(object)) => read(object).map(News::Is),
            Ok(watcher::Event::Delete(object)) => read(object).map(News::Gone),
            Err(error) => Some(News::Failed(super::call::chain(&error))),
        };
        if let Some(news) = news {
            take(news);
        }
    }
}

/// Asks for all objects, then for each change. Failures are told and tried again; it never ends.
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
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::cluster::fake::{Answer, Fake};

    const LIST: &str =
        r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"5"},"items":[]}"#;
    const GONE: &str =
        r#"{"apiVersion":"v1","kind":"Status","status":"Failure","code":410,"reason":"Expired"}"#;

    /// Answers the n-th question by the n-th of these, and never the ones after. Watches until so many questions were
    /// asked; says which were for a list and which for a watch.
    async fn asks(answers: Vec<Answer>, count: usize) -> Vec<&'static str> {
        let silence = Duration::from_millis(300);
        let fake = Fake::start(silence, move |n, _| answers.get(n).cloned()).await;
        let api: Api<ConfigMap> = Api::all(fake.cluster.client().clone());
        let mut events = watch(api, watcher::Config::default());
        let enough = async {
            while fake.asked().len() < count {
                tokio::select! {
                    event = events.next() => assert!(event.is_some(), "it ended"),
                    () = tokio::time::sleep(Duration::from_millis(10)) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough).await.expect("it asks");
        fake.asked().iter().map(|line| if line.contains("watch=true") { "watch" } else { "list" }).collect()
    }

    #[tokio::test]
    async fn a_version_that_is_gone_is_not_asked_for_again() {
        let answers = vec![Answer::new(200, LIST), Answer::new(410, GONE), Answer::new(200, LIST)];
        assert_eq!(asks(answers, 4).await, ["list", "watch", "list", "watch"]);
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_asked_anew() {
        // In the middle of a list, before a watch, and within one.
        let answers = vec![Answer::new(200, LIST).cut(20), Answer::new(200, LIST)];
        assert_eq!(asks(answers, 4).await, ["list", "list", "watch", "watch"]);
        let answers = vec![Answer::new(200, LIST), Answer::new(200, "").unfinished()];
        assert_eq!(asks(answers, 3).await, ["list", "watch", "watch"]);
    }
}
