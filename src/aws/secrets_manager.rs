//! Reads AWS Secrets Manager.
//!
//! Current versions are read twenty a call; that call has a right of its own, and where an identity lacks it each secret is
//! read by itself. A batch may answer in part: what it leaves out, it says nothing about, and that is asked for singly.

use std::sync::Arc;

use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::SecretValueEntry;

use super::answer::{Answer, Wanted, check_stages, no_value, stages, timestamp};
use super::failure::Failure;
use super::place::is_it;
use super::session::AwsSession;
use crate::object::secret::{Pick, Plaintext, SecretId};
use crate::secrets::{Cause, Read, Service, Trouble, Version};

/// What BatchGetSecretValue takes at most.
pub(super) const BATCH: usize = 20;
/// Pages of one batch. Each holds something, so more than this is no answer of AWS.
const MOST_PAGES: usize = 20;
const BATCH_GET: &str = "BatchGetSecretValue";
const DESCRIBE: &str = "DescribeSecret";
const GET_RIGHT: &str = "secretsmanager:GetSecretValue";
const DESCRIBE_RIGHT: &str = "secretsmanager:DescribeSecret";

/// Tells whether this identity may read batches, as far as is known.
pub(super) fn reads_batches(session: &AwsSession) -> bool {
    !session.lacks(BATCH_GET)
}

/// Reads the current versions of up to twenty secrets of one region in one call.
pub(super) async fn read_batch<T: Wanted>(
    session: &AwsSession,
    region: &str,
    secrets: Vec<SecretId>,
) -> Vec<Answer<T>> {
    let mut left = secrets;
    let mut answers = Vec::new();
    if let Err(failure) = read_pages(session, region, &mut left, &mut answers).await {
        if failure == Failure::Denied {
            session.remember_lack(BATCH_GET);
        } else if !singles_help(&failure) {
            let trouble = |secret: SecretId| {
                let trouble = session.trouble(&secret, GET_RIGHT, failure.clone());
                (secret, Err(trouble))
            };
            answers.extend(left.into_iter().map(trouble));
            return answers;
        }
    }
    for secret in left {
        let answer = read_one(session, region, &secret).await;
        answers.push((secret, answer));
    }
    answers
}

/// Tells whether secrets may be readable one by one though all together were not: not where nobody answered.
fn singles_help(failure: &Failure) -> bool {
    match failure {
        Failure::Denied => true,
        Failure::Because(cause) => !matches!(
            cause,
            Cause::Throttled | Cause::Unreachable { .. } | Cause::ClockOff | Cause::Credentials { .. }
        ),
    }
}

/// Moves what was answered from `left` to `answers`.
async fn read_pages<T: Wanted>(
    session: &AwsSession,
    region: &str,
    left: &mut Vec<SecretId>,
    answers: &mut Vec<Answer<T>>,
) -> Result<(), Failure> {
    let client = session.secrets_manager(region);
    let ids: Vec<String> = left.iter().map(|secret| secret.name.to_string()).collect();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let request =
            client.batch_get_secret_value().set_secret_id_list(Some(ids.clone())).set_next_token(token);
        let mut page =
            session.caller.call(Service::SecretsManager, BATCH_GET, || request.clone().send()).await?;
        for entry in page.secret_values.take().into_iter().flatten() {
            let (name, arn) = (entry.name.clone(), entry.arn.clone());
            let asked = take(left, |secret| is_it(&secret.name, name.as_deref(), arn.as_deref()));
            if asked.is_empty() {
                // Nobody asked for it.
                drop(read_of_entry(entry));
                continue;
            }
            // A name and its ARN may both have been asked for; the value is one.
            let read = read_of_entry(entry);
            for secret in asked {
                let read = read.clone().map(T::from_read);
                answers.push((
                    secret.clone(),
                    read.map_err(|failure| session.trouble(&secret, GET_RIGHT, failure)),
                ));
            }
        }
        for error in page.errors.take().into_iter().flatten() {
            let id = error.secret_id.unwrap_or_default();
            let code = error.error_code.unwrap_or_default();
            let failure = Failure::of_code(&code, error.message.as_deref().unwrap_or_default(), None);
            for secret in take(left, |secret| *secret.name == *id) {
                let trouble = session.trouble(&secret, GET_RIGHT, failure.clone());
                answers.push((secret, Err(trouble)));
            }
        }
        token = page.next_token.take().filter(|token| !token.is_empty());
        if token.is_none() || left.is_empty() {
            break;
        }
    }
    Ok(())
}

fn take(left: &mut Vec<SecretId>, is_meant: impl Fn(&SecretId) -> bool) -> Vec<SecretId> {
    let (taken, rest) = std::mem::take(left).into_iter().partition(is_meant);
    *left = rest;
    taken
}

fn read_of_entry(entry: SecretValueEntry) -> Result<Read, Failure> {
    let SecretValueEntry {
        arn, version_id, secret_binary, secret_string, version_stages, created_date, ..
    } = entry;
    let value = plaintext(secret_string, secret_binary);
    let version = Version {
        id: version_id.unwrap_or_default().into(),
        stages: stages(version_stages),
        arn: arn.map(Into::into),
        created: timestamp(created_date.as_ref()),
        rotated: None,
    };
    checked(version, value)
}

/// Moves a value into the one place where it may be.
fn plaintext(text: Option<String>, binary: Option<Blob>) -> Option<Plaintext> {
    text.map(String::into_bytes).or_else(|| binary.map(Blob::into_inner)).map(Plaintext::new)
}

fn checked(version: Version, value: Option<Plaintext>) -> Result<Read, Failure> {
    if version.id.is_empty() {
        return Err(no_value());
    }
    check_stages(&version.stages)?;
    Ok(Read { version, value: Arc::new(value.ok_or_else(no_value)?) })
}

/// Reads one version of one secret.
pub(super) async fn read_one<T: Wanted>(
    session: &AwsSession,
    region: &str,
    secret: &SecretId,
) -> Result<T, Trouble> {
    let trouble = |failure| session.trouble(secret, GET_RIGHT, failure);
    let (version, stage) = match &secret.pick {
        Pick::Current => (None, None),
        Pick::Stage(stage) => (None, Some(stage.to_string())),
        Pick::Version(version) => (Some(version.to_string()), None),
    };
    let request = session
        .secrets_manager(region)
        .get_secret_value()
        .secret_id(&*secret.name)
        .set_version_id(version)
        .set_version_stage(stage);
    let answer =
        session.caller.call(Service::SecretsManager, "GetSecretValue", || request.clone().send()).await;
    let mut answer = answer.map_err(trouble)?;
    let value = plaintext(answer.secret_string.take(), answer.secret_binary.take());
    if !is_it(&secret.name, answer.name.as_deref(), answer.arn.as_deref()) {
        return Err(trouble(Failure::unreachable("it answered about another secret")));
    }
    let version = Version {
        id: answer.version_id.take().unwrap_or_default().into(),
        stages: stages(answer.version_stages.take()),
        arn: answer.arn.take().map(Into::into),
        created: timestamp(answer.created_date.as_ref()),
        rotated: None,
    };
    checked(version, value).map(T::from_read).map_err(trouble)
}

/// Looks which version a secret has, without its value where that can be.
pub(super) async fn look_at_one(
    session: &AwsSession,
    region: &str,
    secret: &SecretId,
) -> Result<Version, Trouble> {
    if session.lacks(DESCRIBE) {
        return read_one(session, region, secret).await;
    }
    let request = session.secrets_manager(region).describe_secret().secret_id(&*secret.name);
    let answer = session.caller.call(Service::SecretsManager, DESCRIBE, || request.clone().send()).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(Failure::Denied) => {
            session.remember_lack(DESCRIBE);
            return read_one(session, region, secret).await;
        }
        Err(failure) => return Err(session.trouble(secret, DESCRIBE_RIGHT, failure)),
    };
    let trouble = |cause| session.trouble(secret, DESCRIBE_RIGHT, Failure::Because(cause));
    if answer.deleted_date.is_some() {
        return Err(trouble(Cause::ScheduledForDeletion));
    }
    let wanted = |id: &str, stages: &[String]| match &secret.pick {
        Pick::Current => stages.iter().any(|stage| stage == "AWSCURRENT"),
        Pick::Stage(stage) => stages.iter().any(|found| **found == **stage),
        Pick::Version(version) => *id == **version,
    };
    let mut versions = answer.version_ids_to_stages.into_iter().flatten();
    let (id, found) =
        versions.find(|(id, stages)| wanted(id, stages)).ok_or_else(|| trouble(Cause::NoVersion))?;
    let stages = stages(Some(found));
    check_stages(&stages).map_err(|failure| session.trouble(secret, DESCRIBE_RIGHT, failure))?;
    Ok(Version {
        id: id.into(),
        stages,
        arn: answer.arn.map(Into::into),
        created: None,
        rotated: timestamp(answer.last_rotated_date.as_ref()),
    })
}
