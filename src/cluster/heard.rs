//! When each watch was heard last: what kube's watcher does not say.
//!
//! A watch that goes well has a bookmark about once a minute, which kube's watcher takes in silence. Without it a watch
//! that tells nothing new cannot be told from one that is dead. It stands in the client itself, as a layer, and looks at
//! nothing but that something comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body as HttpBody;
use kube::client::Body;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// A watch that goes well is heard once a minute. One that is silent for so long is not.
pub const QUIET: Duration = Duration::from_secs(180);

/// What was heard of the watch of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// When the server took the watch last.
    pub began: Option<Instant>,
    /// When it told something by it last, be it that there is nothing new.
    pub told: Option<Instant>,
}

/// Shared by a client and who wants to know.
#[derive(Clone, Debug, Default)]
pub struct Hearing(Arc<Mutex<HashMap<Box<str>, Heard>>>);

impl Hearing {
    pub fn of(&self, path: &str) -> Heard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied().unwrap_or_default()
    }

    fn note(&self, path: &str, change: impl FnOnce(&mut Heard)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(path) {
            Some(heard) => change(heard),
            None => change(all.entry(path.into()).or_default()),
        }
    }
}

impl<S> Layer<S> for Hearing {
    type Service = HearingService<S>;

    fn layer(&self, inner: S) -> HearingService<S> {
        HearingService { inner, hearing: self.clone() }
    }
}

/// What is answered, as it comes.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

pub struct HearingService<S> {
    inner: S,
    hearing: Hearing,
}

impl<S, B> Service<Request<Body>> for HearingService<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = is_watch(&request).then(|| request.uri().path().to_owned());
        let (answer, hearing) = (self.inner.call(request), self.hearing.clone());
        Box::pin(async move {
            let answer = answer.await?;
            let Some(path) = path.filter(|_| answer.status().is_success()) else {
                return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
            };
            hearing.note(&path, |heard| heard.began = Some(Instant::now()));
            let note = move |frame: hyper::body::Frame<Bytes>| {
                if frame.data_ref().is_some_and(|data| !is_end(data)) {
                    hearing.note(&path, |heard| heard.told = Some(Instant::now()));
                }
                frame
            };
            Ok(answer.map(|body| body.map_err(Into::into).map_frame(note).boxed_unsync()))
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    let watches = |query: &str| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    request.method() == Method::GET && request.uri().query().is_some_and(watches)
}

/// That a watch cannot go on is no sign of life of it.
fn is_end(data: &Bytes) -> bool {
    data.starts_with(br#"{"type":"ERROR""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each request with this status and these pieces.
    fn server(
        status: u16,
        pieces: &'static [&'static str],
    ) -> impl Service<Request<Body>, Response = Response<Answer>, Error = BoxError, Future: Send> {
        tower::service_fn(move |_: Request<Body>| async move {
            let frames =
                pieces.iter().map(|piece| Ok::<_, BoxError>(hyper::body::Frame::data(Bytes::from(*piece))));
            let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
            Ok::<_, BoxError>(Response::builder().status(status).body(body.boxed_unsync()).unwrap())
        })
    }

    async fn heard(status: u16, uri: &str, pieces: &'static [&'static str]) -> (bool, bool) {
        let hearing = Hearing::default();
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let answer = hearing.layer(server(status, pieces)).call(request).await.unwrap();
        let whole = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(whole, pieces.concat(), "it is handed on as it is");
        let heard = hearing.of("/api/v1/pods");
        (heard.began.is_some(), heard.told.is_some())
    }

    #[tokio::test]
    async fn a_watch_is_heard_when_it_tells_something_and_not_when_it_ends() {
        let bookmark = &[r#"{"type":"BOOKMARK","object":{}}"#][..];
        let gone = &[r#"{"type":"ERROR","object":{"code":410}}"#][..];
        let watch = "/api/v1/pods?labelSelector=a&watch=true";
        assert_eq!(heard(200, watch, bookmark).await, (true, true));
        assert_eq!(heard(200, watch, &[]).await, (true, false));
        assert_eq!(heard(200, watch, gone).await, (true, false));
        assert_eq!(heard(410, watch, gone).await, (false, false));
        assert_eq!(heard(200, "/api/v1/pods?limit=500", bookmark).await, (false, false));
        assert_eq!(heard(200, "/api/v1/nodes?watch=true", bookmark).await, (false, false), "of another path");
    }
}
