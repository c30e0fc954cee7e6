//! Secrets of environments: reads them, says with which versions apps are rendered, and lets apps go on to newer ones in turn.
//!
//! ```text
//!   follow ──which secrets apps refer to──► EnvironmentSecrets ──► Reader (one for each identity) ──► the provider
//!      ▲                                        │      ▲                │
//!      └──with which versions (Pins)────────────┘      └──what is known─┘
//!                                               └──► Rotations (one for all environments): whose turn it is
//! ```

mod environment;
mod provider;
mod reader;
mod rotations;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::api::AwsSpec;
use crate::config::SecretsConfig;
use crate::object::EnvironmentName;
use crate::secrets::{Limits, Poke};

pub use environment::EnvironmentSecrets;
pub use provider::provider;
pub use reader::{Answers, Provider, Reader};
pub use rotations::Rotations;

/// Makes what reads as an identity.
pub type MakeProvider = dyn Fn(&AwsSpec) -> Arc<dyn Provider> + Send + Sync;

/// All that is known of secrets in this process.
pub struct Secrets {
    make: Box<MakeProvider>,
    interval: Duration,
    /// Identities never share what they read.
    readers: Mutex<Vec<(AwsSpec, Arc<Reader>)>>,
    rotations: Arc<Rotations>,
    end: CancellationToken,
}

impl Secrets {
    pub fn new(
        make: impl Fn(&AwsSpec) -> Arc<dyn Provider> + Send + Sync + 'static,
        config: &SecretsConfig,
        end: CancellationToken,
    ) -> Self {
        let SecretsConfig { interval, at_once: cluster, at_once_in_one: environment, .. } = *config;
        let limits = Limits { cluster, environment, ..Limits::default() };
        let rotations = Arc::new(Rotations::new(limits));
        tokio::spawn({
            let (rotations, end) = (rotations.clone(), end.clone());
            async move { rotations.run(end).await }
        });
        let make = Box::new(make);
        Self { make, interval, readers: Mutex::default(), rotations, end }
    }

    /// What an environment knows of its secrets, read as this identity.
    pub fn of(&self, environment: &EnvironmentName, identity: &AwsSpec) -> Arc<EnvironmentSecrets> {
        Arc::new(EnvironmentSecrets::new(environment.clone(), self.reader(identity), self.rotations.clone()))
    }

    fn reader(&self, identity: &AwsSpec) -> Arc<Reader> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reader)) = readers.iter().find(|(known, _)| known == identity) {
            return reader.clone();
        }
        let reader = Reader::new(self.interval);
        readers.push((identity.clone(), reader.clone()));
        tokio::spawn({
            let (reader, provider, end) = (reader.clone(), (self.make)(identity), self.end.clone());
            async move { reader.run(provider, end).await }
        });
        reader
    }

    /// Takes that somebody said that a secret has changed: whoever reads it looks.
    pub fn poke(&self, poke: &Poke) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().for_each(|(_, reader)| reader.poke(poke));
    }
}
