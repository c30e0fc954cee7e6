//! Keeps a replica that may have been replaced from writing.
//!
//! The fence is up until a moment of this machine's own clock, and each confirmed heartbeat moves that moment on. It
//! stands in the client itself: a write that begins when it is down is refused here, one that is under way when it
//! falls is dropped, and no caller can forget to ask.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

use crate::ownership::Moment;

/// How long this machine has run, with the time that it slept: nobody can set it, and all processes agree on it.
pub fn uptime() -> Moment {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Shared by a client and whoever keeps the heartbeat.
#[derive(Clone, Debug)]
pub struct Fence {
    until: Arc<watch::Sender<Moment>>,
    clock: fn() -> Moment,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this replica's heartbeat was not confirmed lately, so it writes nothing")]
pub struct Fenced;

impl Fence {
    /// Always up: for who shares nothing.
    pub fn open() -> Self {
        Self { until: Arc::new(watch::Sender::new(Duration::MAX)), clock: uptime }
    }

    pub fn down() -> Self {
        Self { until: Arc::new(watch::Sender::new(Duration::ZERO)), clock: uptime }
    }

    pub fn raise(&self, until: Moment) {
        self.until.send_replace(until);
    }

    pub fn lower(&self) {
        self.until.send_replace(Duration::ZERO);
    }

    /// How long it stays up if nobody raises it; `None` where it is down.
    pub fn left(&self) -> Option<Duration> {
        let until = *self.until.borrow();
        until.checked_sub((self.clock)()).filter(|left| !left.is_zero())
    }

    /// Until it is down.
    pub async fn passed(&self) {
        let mut until = self.until.subscribe();
        while let Some(left) = self.left() {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = until.changed() => {}
            }
        }
    }

    /// Until it is up.
    pub async fn raised(&self) {
        let mut until = self.until.subscribe();
        while self.left().is_none() {
            let _ = until.changed().await;
        }
    }
}

impl<S> Layer<S> for Fence {
    type Service = FencedService<S>;

    fn layer(&self, inner: S) -> FencedService<S> {
        FencedService { inner, fence: self.clone() }
    }
}

pub struct FencedService<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<Body>> for FencedService<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !is_write(&request) {
            return Box::pin(self.inner.call(request));
        }
        let fence = self.fence.clone();
        let mut answer = Box::pin(self.inner.call(request));
        Box::pin(async move {
            let passed = fence.passed();
            let mut passed = std::pin::pin!(passed);
            // Asked before each step of the request, and so before its first byte.
            std::future::poll_fn(|context| {
                if fence.left().is_none() || passed.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(Fenced.into()));
                }
                Pin::new(&mut answer).poll(context)
            })
            .await
        })
    }
}

fn is_write(request: &Request<Body>) -> bool {
    let dry_run = request.uri().query().is_some_and(|query| query.contains("dryRun=All"));
    !dry_run && ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers after a second; counts what reached it.
    fn slow(
        reached: &Arc<AtomicUsize>,
    ) -> impl Service<Request<Body>, Response = Response<()>, Error = BoxError, Future: Send> + use<> {
        let reached = reached.clone();
        tower::service_fn(move |_: Request<Body>| {
            let reached = reached.clone();
            async move {
                reached.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, BoxError>(Response::new(()))
            }
        })
    }

    fn request(method: &str, uri: &str) -> Request<Body> {
        Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_write_behind_the_fence_is_never_sent() {
        let reached = Arc::default();
        let mut service = Fence::down().layer(slow(&reached));
        let error = service.call(request("PATCH", "/api/v1/x")).await.unwrap_err();
        assert!(error.is::<Fenced>());
        assert_eq!(reached.load(Ordering::Relaxed), 0);
        assert!(service.call(request("GET", "/api/v1/x")).await.is_ok());
        assert!(service.call(request("PATCH", "/api/v1/x?dryRun=All")).await.is_ok());
    }

    /// The runtime's own clock, which stands still but for what is waited for. A test has a thread to itself.
    fn paused() -> Moment {
        thread_local! {
            static BEGAN: tokio::time::Instant = tokio::time::Instant::now();
        }
        BEGAN.with(tokio::time::Instant::elapsed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_under_way_is_dropped_when_the_fence_falls_and_goes_on_while_it_is_raised() {
        let reached = Arc::default();
        let fence = Fence { clock: paused, ..Fence::down() };
        let began = paused();
        fence.raise(began + Duration::from_millis(100));
        let mut service = fence.layer(slow(&reached));
        assert!(service.call(request("POST", "/api/v1/x")).await.unwrap_err().is::<Fenced>());
        let took = paused() - began;
        assert!(
            took < Duration::from_millis(110),
            "dropped when the fence fell, and not when it was answered: {took:?}"
        );
        fence.raise(paused() + Duration::from_millis(500));
        let answer = service.call(request("POST", "/api/v1/x"));
        let keep = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            fence.raise(paused() + Duration::from_secs(5));
        };
        assert!(tokio::join!(answer, keep).0.is_ok());
        assert_eq!(reached.load(Ordering::Relaxed), 2);
    }
}
