use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Channel, Notice, Unsent};

/// A receiver that takes longer is taken to be away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Posts each notice as JSON to a URL. The URL itself may be a secret, as those of chat services are: it is never shown,
/// and no redirect is followed with it.
pub struct Webhook {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    #[error("the URL for notifications is not an http:// or https:// URL")]
    NotHttp,
    #[error("the certificates that this machine trusts cannot be read")]
    Roots(#[source] std::io::Error),
}

impl Webhook {
    pub fn new(url: &str) -> Result<Self, BadUrl> {
        let url: Uri = url.trim().parse().map_err(|_| BadUrl::NotHttp)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(BadUrl::NotHttp);
        }
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(BadUrl::Roots)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { url, client: Client::builder(TokioExecutor::new()).build(connector) })
    }
}

impl Channel for Webhook {
    fn send<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Unsent>> {
        Box::pin(async move {
            let body = serde_json::to_vec(notice).map_err(|error| Unsent::Never(error.to_string()))?;
            let request = Request::builder()
                .method(Method::POST)
                .uri(self.url.clone())
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::USER_AGENT, concat!("fairlead/", env!("CARGO_PKG_VERSION")))
                .body(Full::new(Bytes::from(body)))
                .map_err(|_| Unsent::Never("the URL for notifications cannot be asked".to_owned()))?;
            let answer = tokio::time::timeout(ANSWERS_WITHIN, self.client.request(request)).await;
            match answer {
                Err(_) => Err(Unsent::Later("the webhook does not answer in time".to_owned())),
                // The error of the client may quote the URL.
                Ok(Err(error)) if error.is_connect() => {
                    Err(Unsent::Later("the webhook cannot be reached".to_owned()))
                }
                Ok(Err(_)) => Err(Unsent::Later("the webhook broke the connection off".to_owned())),
                Ok(Ok(answer)) => judge(answer.status()),
            }
        })
    }
}

fn judge(status: StatusCode) -> Result<(), Unsent> {
    let code = status.as_u16();
    match code {
        200..=299 => Ok(()),
        408 | 429 | 500..=599 => Err(Unsent::Later(format!("the webhook answers {code}"))),
        _ => Err(Unsent::Never(format!("the webhook answers {code}"))),
    }
}
