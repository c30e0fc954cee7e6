//! AWS, as what reads secrets: started when the first secret is wanted, so that who uses none needs nothing of it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::reader::{Answers, Provider};
use crate::aws::{Aws, Identity, Options, PlaceAddress, SharedPlace, StartError};
use crate::object::chain;
use crate::object::secret::SecretId;
use crate::secrets::{Calls, Cause, Poke, Subject, Trouble};

/// AWS, once somebody wants it.
#[derive(Clone, Default)]
pub struct Lazy(Arc<OnceCell<Aws>>);

/// After a poll of the queue that failed.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

impl Lazy {
    async fn get(&self) -> Result<&Aws, StartError> {
        self.0.get_or_try_init(|| Aws::start(Options::default())).await
    }

    /// Makes what reads as an identity.
    pub fn provider(&self, identity: &Identity) -> Arc<dyn Provider> {
        Arc::new(AwsProvider { aws: self.clone(), identity: identity.clone() })
    }

    /// Gives a shared place of regions; a call to it may take so long.
    pub async fn shared_place(
        &self,
        address: PlaceAddress,
        within: Duration,
    ) -> Result<SharedPlace, StartError> {
        Ok(self.get().await?.shared_place(address, within))
    }

    /// How many calls of each kind were made, and how long ago the first was; none before the first secret was wanted.
    pub fn calls(&self) -> Option<(Calls, Duration)> {
        self.0.get().map(Aws::calls)
    }

    /// Hands on what a queue tells of changes, until `end`. A queue that cannot be read is told about once for each cause:
    /// the provider is asked by interval all the same.
    pub async fn follow(&self, url: &str, poke: impl Fn(&Poke), end: CancellationToken) {
        let mut told = None;
        let queue = loop {
            match self.get().await {
                Ok(aws) => break aws.queue(url),
                Err(error) => tracing::warn!(error = %chain(&error), "AWS cannot be asked for news"),
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(QUEUE_PAUSE) => {}
            }
        };
        loop {
            let news = tokio::select! {
                () = end.cancelled() => return,
                news = queue.news() => news,
            };
            match news {
                Ok(news) => {
                    told = None;
                    if news.unreadable > 0 {
                        tracing::warn!(
                            count = news.unreadable,
                            "messages of the queue are no events and are dropped"
                        );
                    }
                    news.pokes.iter().for_each(&poke);
                }
                Err(trouble) => {
                    if told.as_ref() != Some(&trouble.cause) {
                        tracing::warn!(%trouble, "changes of secrets are not told by the queue");
                    }
                    told = Some(trouble.cause);
                    tokio::select! {
                        () = end.cancelled() => return,
                        () = tokio::time::sleep(QUEUE_PAUSE) => {}
                    }
                }
            }
        }
    }
}

struct AwsProvider {
    aws: Lazy,
    identity: Identity,
}

impl Provider for AwsProvider {
    fn read(&self, secrets: Vec<SecretId>) -> BoxFuture<'_, Answers> {
        async move {
            let aws = match self.aws.get().await {
                Ok(aws) => aws,
                Err(error) => {
                    let cause = Cause::Credentials { why: chain(&error).into(), passes: true };
                    return secrets
                        .into_iter()
                        .map(|secret| (secret.clone(), Err(self.trouble(secret, &cause))))
                        .collect();
                }
            };
            aws.reader(&self.identity).read(&secrets, Duration::ZERO).await.into_iter().collect()
        }
        .boxed()
    }
}

impl AwsProvider {
    fn trouble(&self, secret: SecretId, cause: &Cause) -> Trouble {
        Trouble {
            subject: Subject::Secret(secret),
            identity: self.identity.role.as_ref().map_or("the agent".into(), |role| role.arn.clone()),
            region: self.identity.region.clone().unwrap_or_default(),
            cause: cause.clone(),
        }
    }
}
