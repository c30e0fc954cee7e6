//! Secrets of environments: reads them, says with which versions apps are rendered, and lets apps go on to newer ones in turn.
//!
//! ```text
//!   follow ──which secrets apps refer to──► EnvironmentSecrets ──► Reader (one for each identity) ──► the provider
//!      ▲                                        │      ▲                │
//!      └──with which versions (Pins)────────────┘      └──what is known─┘
//!                                               └──► Rotations (one for all environments): whose turn it is
//! ```

mod check;
mod environment;
mod provider;
mod reader;
mod rotations;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::api::AwsSpec;
use crate::aws::{Identity, Role};
use crate::config::SecretsConfig;
use crate::object::EnvironmentName;
use crate::secrets::{Calls, Limits, Poke};

pub use check::{CheckedSecret, check_secrets, live_pins};
pub use environment::EnvironmentSecrets;
pub use provider::Lazy;
use reader::Reader;
pub use rotations::Rotations;

/// All that is known of secrets in this process.
pub struct Secrets {
    aws: Lazy,
    interval: Duration,
    /// Identities never share what they read.
    readers: Mutex<Vec<(Identity, Arc<Reader>)>>,
    rotations: Arc<Rotations>,
    queue: Mutex<Option<String>>,
    end: CancellationToken,
}

impl Secrets {
    pub fn new(config: &SecretsConfig, end: CancellationToken) -> Arc<Self> {
        let SecretsConfig { interval, queue, at_once: cluster, at_once_in_one: environment } = config.clone();
        let rotations = Arc::new(Rotations::new(Limits { cluster, environment, ..Limits::default() }));
        tokio::spawn({
            let (rotations, end) = (rotations.clone(), end.clone());
            async move { rotations.run(end).await }
        });
        let (aws, readers, queue) = (Lazy::default(), Mutex::default(), Mutex::new(queue));
        Arc::new(Self { aws, interval, readers, rotations, queue, end })
    }

    /// AWS, for who asks it for something else.
    pub fn aws(&self) -> Lazy {
        self.aws.clone()
    }

    /// What an environment knows of its secrets, read as the identity that its Environment names.
    pub fn of(
        self: &Arc<Self>,
        environment: &EnvironmentName,
        spec: Option<&AwsSpec>,
    ) -> Arc<EnvironmentSecrets> {
        let identity = identity(environment, spec);
        let secrets = EnvironmentSecrets::new(
            (environment.clone(), spec.cloned()),
            self.reader(&identity),
            self.rotations.clone(),
        );
        Arc::new(secrets)
    }

    fn reader(self: &Arc<Self>, identity: &Identity) -> Arc<Reader> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reader)) = readers.iter().find(|(known, _)| known == identity) {
            return reader.clone();
        }
        let reader = Reader::new(self.interval);
        readers.push((identity.clone(), reader.clone()));
        tokio::spawn({
            let (reader, provider, end) = (reader.clone(), self.aws.provider(identity), self.end.clone());
            let secrets = Arc::downgrade(self);
            // Who has no secrets asks no queue.
            let first = move || secrets.upgrade().map_or((), |secrets| secrets.follow_queue());
            async move { reader.run(provider, first, end).await }
        });
        reader
    }

    fn follow_queue(self: &Arc<Self>) {
        let Some(url) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let (secrets, aws, end) = (self.clone(), self.aws.clone(), self.end.clone());
        tokio::spawn(async move { aws.follow(&url, |poke| secrets.poke(poke), end).await });
    }

    /// Takes that somebody said that a secret has changed: whoever reads it looks.
    fn poke(&self, poke: &Poke) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().for_each(|(_, reader)| reader.poke(poke));
    }

    /// How many calls of each kind were made, and how long ago the first was.
    pub fn calls(&self) -> Option<(Calls, Duration)> {
        self.aws.calls()
    }
}

/// Waits for a time; for ever where there is none.
async fn sleep_until(at: Option<Timestamp>) {
    match at {
        Some(at) => {
            let left = at.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
            tokio::time::sleep(Duration::try_from(left).unwrap_or(Duration::ZERO)).await;
        }
        None => std::future::pending().await,
    }
}

/// As whom the secrets of an environment are read.
pub fn identity(environment: &EnvironmentName, spec: Option<&AwsSpec>) -> Identity {
    let Some(spec) = spec else { return Identity::default() };
    let external_id = spec.external_id.as_deref();
    let role = spec.role_arn.as_deref();
    Identity {
        role: role.map(|arn| Role::of_environment(arn, external_id, environment.as_str(), "")),
        region: spec.region.as_deref().map(Into::into),
    }
}
