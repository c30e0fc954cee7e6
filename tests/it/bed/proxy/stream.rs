//! Answers on their way back: whole, cut in the middle, and watches that are held back or end.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use tokio::sync::{mpsc, watch};

use super::effect::{End, gone_event};

/// The first half must have left before the connection is given up, or it is a cut without an answer.
const LEAVES_WITHIN: Duration = Duration::from_millis(20);

/// The first half of it, and then an end that its announced length does not allow.
pub fn half(whole: &Bytes) -> Body {
    let first = Ok(whole.slice(..whole.len() / 2));
    let then = Err(io::Error::other("the proxy cuts an answer"));
    Body::from_stream(stream::iter([first, then]).then(|part: io::Result<Bytes>| async {
        if part.is_err() {
            tokio::time::sleep(LEAVES_WITHIN).await;
        }
        part
    }))
}

/// A watch, event by event. Nothing goes out while `held`; after `ends` so many events it ends, and when `until` does.
pub fn watch(
    body: kube::client::Body,
    held: watch::Receiver<bool>,
    ends: Option<(usize, End)>,
    until: impl Future<Output = ()> + Send + 'static,
) -> Body {
    let (say, mut heard) = mpsc::channel(16);
    tokio::spawn(async move {
        tokio::select! {
            () = pump(body, held, ends, &say) => {}
            // Whoever listened is gone: the API server is told so.
            () = say.closed() => {}
            () = until => {}
        }
    });
    Body::from_stream(stream::poll_fn(move |cx| heard.poll_recv(cx)))
}

async fn pump(
    body: kube::client::Body,
    mut held: watch::Receiver<bool>,
    ends: Option<(usize, End)>,
    say: &mpsc::Sender<io::Result<Bytes>>,
) {
    let mut body = pin!(Body::new(body).into_data_stream());
    let (mut rest, mut sent) = (BytesMut::new(), 0);
    loop {
        if let Some((after, how)) = ends
            && sent >= after
        {
            match how {
                End::Gone => drop(say.send(Ok(gone_event().into())).await),
                End::Close => {}
                End::Stall => std::future::pending().await,
            }
            return;
        }
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let event = rest.split_to(end + 1).freeze();
            let free = held.wait_for(|held| !held).await.is_ok();
            if !free || say.send(Ok(event)).await.is_err() {
                return;
            }
            sent += 1;
            continue;
        }
        match body.next().await {
            Some(Ok(bytes)) => rest.extend_from_slice(&bytes),
            Some(Err(error)) => {
                let _ = say.send(Err(io::Error::other(error))).await;
                return;
            }
            None => return,
        }
    }
}
