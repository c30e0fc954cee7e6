//! Divides secrets into calls, and makes those side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;

use super::answer::{Answer, Wanted, is_pending};
use super::failure::Failure;
use super::session::AwsSession;
use super::{parameter_store, secrets_manager};
use crate::object::secret::{Pick, Provider, SecretId};
use crate::secrets::{Cause, Read, Version};

/// Calls of one reading that are under way at once.
const CONCURRENT: usize = 8;

type Job<T> = BoxFuture<'static, Vec<Answer<T>>>;

/// Reads each secret once, and tells of each as soon as it is answered.
pub(super) async fn read(
    session: Arc<AwsSession>,
    secrets: BTreeSet<SecretId>,
    tell: impl FnMut(Answer<Read>),
) {
    let by_one: fn(Arc<AwsSession>, Box<str>, SecretId) -> Job<Read> = |session, region, secret| {
        Box::pin(async move {
            let answer = secrets_manager::read_one(&session, &region, &secret).await;
            vec![(secret, answer)]
        })
    };
    run(session, secrets, by_one, true, tell).await;
}

/// Looks which version each secret has. A version that is named is what it is, and costs no call.
pub(super) async fn look(
    session: Arc<AwsSession>,
    secrets: BTreeSet<SecretId>,
    mut tell: impl FnMut(Answer<Version>),
) {
    let mut asked = BTreeSet::new();
    for secret in secrets {
        match &secret.pick {
            Pick::Version(version) => {
                let version = Version {
                    id: version.clone(),
                    stages: Vec::new(),
                    arn: None,
                    created: None,
                    rotated: None,
                };
                tell((secret, Ok(version)));
            }
            Pick::Current | Pick::Stage(_) => {
                asked.insert(secret);
            }
        }
    }
    let by_one: fn(Arc<AwsSession>, Box<str>, SecretId) -> Job<Version> = |session, region, secret| {
        Box::pin(async move {
            let answer = secrets_manager::look_at_one(&session, &region, &secret).await;
            vec![(secret, answer)]
        })
    };
    run(session, asked, by_one, false, tell).await;
}

async fn run<T: Wanted>(
    session: Arc<AwsSession>,
    secrets: BTreeSet<SecretId>,
    by_one: fn(Arc<AwsSession>, Box<str>, SecretId) -> Job<T>,
    with_values: bool,
    mut tell: impl FnMut(Answer<T>),
) {
    let mut jobs: Vec<Job<T>> = Vec::new();
    let mut groups: BTreeMap<(Provider, Box<str>), Vec<SecretId>> = BTreeMap::new();
    for secret in secrets {
        let refuse = |cause| session.trouble(&secret, "", Failure::Because(cause));
        match session.region(&secret) {
            _ if is_pending(&secret) => tell((secret.clone(), Err(refuse(Cause::Pending)))),
            None => tell((secret.clone(), Err(refuse(Cause::NoRegion)))),
            Some(region) => groups.entry((secret.provider, region)).or_default().push(secret),
        }
    }
    for ((provider, region), secrets) in groups {
        let new_jobs = match provider {
            Provider::SecretsManager => of_secrets_manager(&session, &region, secrets, by_one),
            Provider::ParameterStore => of_parameter_store(&session, &region, secrets, with_values),
        };
        jobs.extend(new_jobs);
    }
    let mut answered = futures::stream::iter(jobs).buffer_unordered(CONCURRENT);
    while let Some(answers) = answered.next().await {
        answers.into_iter().for_each(&mut tell);
    }
}

fn of_secrets_manager<T: Wanted>(
    session: &Arc<AwsSession>,
    region: &str,
    secrets: Vec<SecretId>,
    by_one: fn(Arc<AwsSession>, Box<str>, SecretId) -> Job<T>,
) -> Vec<Job<T>> {
    let is_current =
        |secret: &SecretId| secret.pick == Pick::Current && secrets_manager::reads_batches(session);
    let (current, single): (Vec<_>, Vec<_>) = secrets.into_iter().partition(is_current);
    let batch = |secrets: &[SecretId]| -> Job<T> {
        let (session, region, secrets) = (session.clone(), region.to_owned(), secrets.to_vec());
        Box::pin(async move { secrets_manager::read_batch(&session, &region, secrets).await })
    };
    let batches = current.chunks(secrets_manager::BATCH).map(batch);
    let singles = single.into_iter().map(|secret| by_one(session.clone(), region.into(), secret));
    batches.chain(singles).collect()
}

fn of_parameter_store<T: Wanted>(
    session: &Arc<AwsSession>,
    region: &str,
    parameters: Vec<SecretId>,
    with_values: bool,
) -> Vec<Job<T>> {
    let call = |parameters: Vec<SecretId>| -> Job<T> {
        let (session, region) = (session.clone(), region.to_owned());
        Box::pin(async move { parameter_store::read(&session, &region, parameters, with_values).await })
    };
    parameter_store::calls(parameters).into_iter().map(call).collect()
}
