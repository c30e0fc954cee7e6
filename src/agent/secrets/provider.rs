//! AWS, as what reads secrets.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::reader::{Answers, Provider};
use crate::api::AwsSpec;
use crate::object::secret::SecretId;
use crate::secrets::{Cause, Subject, Trouble};

struct Nothing;

impl Provider for Nothing {
    fn read(&self, secrets: Vec<SecretId>) -> BoxFuture<'_, Answers> {
        let trouble = |secret: &SecretId| Trouble {
            subject: Subject::Secret(secret.clone()),
            identity: "the agent".into(),
            region: "".into(),
            cause: Cause::NoRegion,
        };
        async move { secrets.into_iter().map(|secret| (secret.clone(), Err(trouble(&secret)))).collect() }
            .boxed()
    }
}

/// Makes what reads as an identity.
pub fn provider(_identity: &AwsSpec) -> Arc<dyn Provider> {
    Arc::new(Nothing)
}
