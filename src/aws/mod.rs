//! AWS: Secrets Manager, Parameter Store, and the queue that tells of changes. Nothing else of the agent speaks to it.
//!
//! [`Aws`] is made once. It gives a [`Reader`] for each [`Identity`], which is who asks and where: the agent itself, by
//! whatever the SDK finds (IRSA, EKS Pod Identity, keys or a profile), or a role that it assumes for an environment. Readers
//! share no value. It decides nothing: what is read when, and what a version sets off, is decided elsewhere.
//!
//! | call | right | price |
//! | --- | --- | --- |
//! | BatchGetSecretValue, twenty current versions | `secretsmanager:BatchGetSecretValue` on `*`, and the next | $0.05 for 10,000 |
//! | GetSecretValue, one version | `secretsmanager:GetSecretValue` on the secret, `kms:Decrypt` on a key of one's own | the same |
//! | DescribeSecret, to look at one | `secretsmanager:DescribeSecret` on the secret; done without | the same |
//! | GetParameters, ten | `ssm:GetParameters` on the parameter, `kms:Decrypt` on its key | free |
//! | ReceiveMessage, DeleteMessageBatch | `sqs:ReceiveMessage`, `sqs:DeleteMessage` on the queue | $0.40 for a million, the first free |
//! | GetItem, PutItem of the shared place | `dynamodb:GetItem`, `dynamodb:PutItem` on the table | $0.63 for a million writes |
//! | GetObject, PutObject of it | `s3:GetObject`, `s3:PutObject` on the object, `s3:ListBucket` on the bucket | $5 for a million writes |
//! | AssumeRole | `sts:AssumeRole` and `sts:TagSession` on the role | free |
//!
//! The SDK reads the process environment itself, as every program that uses it does: `AWS_REGION`, `AWS_ENDPOINT_URL`,
//! `AWS_ENDPOINT_URL_SECRETS_MANAGER` and the like mean here what they mean elsewhere.
//!
//! Values are moved into `Plaintext` where the answer is read. All of it happens on one thread, which logs nothing and whose
//! memory is wiped when it is freed (`thread.rs` says why); connections that carried values are closed when they have been
//! idle for a moment.

mod answer;
mod call;
mod failure;
mod identity;
mod parameter_store;
mod place;
mod queue;
mod reader;
mod reading;
mod secrets_manager;
mod session;
mod shared_place;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

pub use call::Patience;
pub use identity::{Identity, Role};
pub use queue::{News, Queue};
pub use reader::Reader;
pub use shared_place::{PlaceAddress, SharedPlace};

use crate::secrets::Calls;
use call::Caller;
use session::AwsSession;
use thread::Thread;

/// A connection that is idle for so long is closed, and its buffers are freed: long enough for the calls of one reading, and
/// a new one costs some milliseconds.
const IDLE: Duration = Duration::from_millis(250);

/// What is set for all of it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The region of the agent. Where it is not set, that of the process: `AWS_REGION`, the profile, the machine's metadata.
    pub region: Option<Box<str>>,
    /// Where all services are, in place of AWS. Where it is not set, `AWS_ENDPOINT_URL` may say it.
    pub endpoint: Option<Box<str>>,
    pub patience: Patience,
    /// How long a poll of the queue waits; 20 s where it is not set, and at most.
    pub poll: Option<Duration>,
}

/// AWS, as the whole agent uses it.
pub struct Aws {
    thread: Arc<Thread>,
    base: SdkConfig,
    caller: Arc<Caller>,
    poll: Option<Duration>,
    readers: Mutex<BTreeMap<Identity, Reader>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("a thread for AWS cannot be started")]
    Thread(#[source] io::Error),
    #[error("what the process environment says about AWS cannot be read")]
    Configuration,
}

impl Aws {
    /// Reads what the process environment and the profile say about AWS. It calls nothing but, where no region is set, the
    /// machine's own metadata.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let thread = Thread::start().map_err(StartError::Thread)?;
        let region = options.region.as_deref().map(|region| Region::new(region.to_owned()));
        let load = async move {
            let http = aws_smithy_http_client::Builder::new()
                .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
                .pool_idle_timeout(IDLE)
                .build_https();
            let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
            if let Some(region) = region {
                loader = loader.region(region);
            }
            if let Some(endpoint) = options.endpoint {
                loader = loader.endpoint_url(endpoint);
            }
            loader.load().await
        };
        let base = thread.run(load).await.ok_or(StartError::Configuration)?;
        Ok(Self {
            thread: Arc::new(thread),
            base,
            caller: Arc::new(Caller::new(options.patience)),
            poll: options.poll,
            readers: Mutex::default(),
        })
    }

    /// Gives the reader of an identity, the same one to everyone who names an equal identity.
    pub fn reader(&self, identity: &Identity) -> Reader {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Reader::new(self.thread.clone(), Arc::new(self.session(identity)));
        readers.entry(identity.clone()).or_insert_with(new).clone()
    }

    /// Gives the queue of this URL, read as the agent's own identity, in the region that the URL names.
    pub fn queue(&self, url: &str) -> Queue {
        Queue::new(self.thread.clone(), Arc::new(self.session(&Identity::default())), url, self.poll)
    }

    /// Gives a shared place of regions, asked as the agent's own identity; a call may take so long.
    pub fn shared_place(&self, address: PlaceAddress, within: Duration) -> SharedPlace {
        SharedPlace::new(self.thread.clone(), &self.session(&Identity::default()), address, within)
    }

    /// Tells how many calls of each kind were made, every try counted, and how long ago the first was.
    pub fn calls(&self) -> (Calls, Duration) {
        self.caller.calls()
    }

    fn session(&self, identity: &Identity) -> AwsSession {
        AwsSession::new(&self.base, identity, self.caller.clone())
    }
}
