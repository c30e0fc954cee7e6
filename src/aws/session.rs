//! What one identity asks with: its clients, by region, and what is known of its rights.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::time::Instant;

use super::call::Caller;
use super::failure::Failure;
use super::identity::{AssumesRole, Identity};
use super::place::{account_of, pattern, region_of};
use crate::object::secret::SecretId;
use crate::secrets::{Cause, Right, Subject, Trouble};

/// A right that was missing is asked for again after this: somebody may have added it.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// A connection takes no longer than this, or none is made.
const CONNECTS_WITHIN: Duration = Duration::from_secs(4);

pub(super) struct AwsSession {
    pub(super) caller: Arc<Caller>,
    base: SdkConfig,
    shown: Box<str>,
    account: Option<Box<str>>,
    region: Option<Box<str>>,
    secrets_manager: Mutex<BTreeMap<Box<str>, aws_sdk_secretsmanager::Client>>,
    parameter_store: Mutex<BTreeMap<Box<str>, aws_sdk_ssm::Client>>,
    lacking: Mutex<BTreeMap<&'static str, Instant>>,
}

impl AwsSession {
    pub(super) fn new(base: &SdkConfig, identity: &Identity, caller: Arc<Caller>) -> Self {
        let region = identity.region.clone().or_else(|| base.region().map(|region| region.as_ref().into()));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECTS_WITHIN)
            .operation_attempt_timeout(caller.patience().attempt)
            .build();
        let mut base = base
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .region(region.as_deref().map(|region| Region::new(region.to_owned())))
            .build();
        if let Some(role) = &identity.role {
            let sts = aws_sdk_sts::Client::new(&base);
            let provider = AssumesRole { sts, role: role.clone(), caller: caller.clone() };
            base = base.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build();
        }
        Self {
            caller,
            base,
            shown: identity.to_string().into(),
            account: identity.role.as_ref().and_then(|role| account_of(&role.arn)).map(Into::into),
            region,
            secrets_manager: Mutex::default(),
            parameter_store: Mutex::default(),
            lacking: Mutex::default(),
        }
    }

    /// The region that a secret is read in.
    pub(super) fn region(&self, secret: &SecretId) -> Option<Box<str>> {
        region_of(&secret.name).map(Into::into).or_else(|| self.region.clone())
    }

    pub(super) fn own_region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub(super) fn in_region(&self, region: &str) -> SdkConfig {
        self.base.to_builder().region(Region::new(region.to_owned())).build()
    }

    pub(super) fn secrets_manager(&self, region: &str) -> aws_sdk_secretsmanager::Client {
        let mut clients = self.secrets_manager.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || aws_sdk_secretsmanager::Client::new(&self.in_region(region));
        clients.entry(region.into()).or_insert_with(new).clone()
    }

    pub(super) fn parameter_store(&self, region: &str) -> aws_sdk_ssm::Client {
        let mut clients = self.parameter_store.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || aws_sdk_ssm::Client::new(&self.in_region(region));
        clients.entry(region.into()).or_insert_with(new).clone()
    }

    /// A client for a queue. An answer to a long poll takes as long as the poll.
    pub(super) fn queue(&self, region: &str, poll: Duration) -> aws_sdk_sqs::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECTS_WITHIN)
            .operation_attempt_timeout(self.caller.patience().attempt + poll)
            .build();
        let config = self.in_region(region).to_builder().timeout_config(timeouts).build();
        aws_sdk_sqs::Client::new(&config)
    }

    /// Tells whether this identity was lately refused an operation that it can do without.
    pub(super) fn lacks(&self, operation: &'static str) -> bool {
        let lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        lacking.get(operation).is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    pub(super) fn remember_lack(&self, operation: &'static str) {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        lacking.insert(operation, Instant::now());
    }

    /// Words a failure to read a secret by a call that needs this right.
    pub(super) fn trouble(&self, secret: &SecretId, action: &'static str, failure: Failure) -> Trouble {
        let region = self.region(secret).unwrap_or_default();
        let cause = match failure {
            Failure::Denied => {
                let resource = pattern(secret, &region, self.account.as_deref());
                Cause::Denied(Right { action, resource })
            }
            Failure::Because(cause) => cause,
        };
        Trouble { subject: Subject::Secret(secret.clone()), identity: self.shown.clone(), region, cause }
    }

    /// Words a failure to read a queue.
    pub(super) fn queue_trouble(&self, url: &str, region: &str, right: Right, failure: Failure) -> Trouble {
        let cause = match failure {
            Failure::Denied => Cause::Denied(right),
            Failure::Because(cause) => cause,
        };
        Trouble {
            subject: Subject::Queue(url.into()),
            identity: self.shown.clone(),
            region: region.into(),
            cause,
        }
    }
}
