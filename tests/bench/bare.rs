//! The roofline: a client that proves and applies every object, by the same requests as the agent, and does nothing else.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{Method, Request};
use kube::client::Body;

/// Sends every body twice as this user, as a dry run and then for good, so many at a time.
pub async fn prove_and_apply(
    client: &kube::Client,
    user: &str,
    bodies: &[(String, Bytes)],
    concurrency: usize,
) {
    for query in ["dryRun=All&fieldValidation=Strict", "fieldValidation=Ignore"] {
        let sends = stream::iter(0..bodies.len()).map(|n| {
            let (path, body) = &bodies[n];
            let uri = format!("{path}?{query}&fieldManager=barelead&force=false");
            async move {
                let request = Request::builder()
                    .method(Method::PATCH)
                    .uri(uri)
                    .header("impersonate-user", user)
                    .header("content-type", "application/apply-patch+yaml")
                    .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
                    .body(Body::from(body.clone()))
                    .expect("a request");
                let response = client.send(request).await.expect("an answer");
                assert!(response.status().is_success(), "{}", response.status());
                response.into_body().collect_bytes().await.expect("a body");
            }
        });
        sends.buffer_unordered(concurrency).collect::<Vec<()>>().await;
    }
}
