//! Reads AWS Systems Manager Parameter Store, ten parameters a call. Calls are free at the standard throughput.
//!
//! A call is refused as a whole where one of its parameters, or the key of one, may not be used. So that one does not harm
//! the others, each is then asked for by itself.

use std::sync::Arc;

use aws_sdk_ssm::types::Parameter;

use super::answer::{Answer, Wanted, no_value, timestamp};
use super::failure::Failure;
use super::place::is_it;
use super::session::AwsSession;
use crate::object::secret::{Pick, Plaintext, SecretId};
use crate::secrets::{Cause, Read, Service, Trouble, Version};

/// What GetParameters takes at most.
pub(super) const BATCH: usize = 10;
const RIGHT: &str = "ssm:GetParameters";

/// Puts parameters into calls. Those that are versions of one parameter go into different ones, so that an answer is told
/// by its name.
pub(super) fn calls(parameters: Vec<SecretId>) -> Vec<Vec<SecretId>> {
    let mut calls: Vec<Vec<SecretId>> = Vec::new();
    for parameter in parameters {
        let fits = |call: &&mut Vec<SecretId>| {
            call.len() < BATCH && call.iter().all(|other| other.plain_name() != parameter.plain_name())
        };
        match calls.iter_mut().find(fits) {
            Some(call) => call.push(parameter),
            None => calls.push(vec![parameter]),
        }
    }
    calls
}

/// Reads up to ten parameters of one region.
pub(super) async fn read<T: Wanted>(
    session: &AwsSession,
    region: &str,
    parameters: Vec<SecretId>,
    with_values: bool,
) -> Vec<Answer<T>> {
    let names = parameters.iter().map(selected).collect();
    let mut found = match get(session, region, names, with_values).await {
        Ok(found) => found,
        Err(failure) => return apart(session, region, parameters, with_values, failure).await,
    };
    let mut answers = Vec::new();
    for parameter in parameters {
        let at = found.iter().position(|one| is_it(&parameter.name, one.name.as_deref(), one.arn.as_deref()));
        let answer = match at.map(|at| found.swap_remove(at)) {
            Some(found) => read_of(found, &parameter).map(T::from_read),
            None => Err(missing(session, region, &parameter).await),
        };
        let answer = answer.map_err(|failure| session.trouble(&parameter, RIGHT, failure));
        answers.push((parameter, answer));
    }
    answers
}

/// Reads each by itself after all together were refused.
async fn apart<T: Wanted>(
    session: &AwsSession,
    region: &str,
    parameters: Vec<SecretId>,
    with_values: bool,
    failure: Failure,
) -> Vec<Answer<T>> {
    let is_of_one =
        matches!(failure, Failure::Denied | Failure::Because(Cause::KmsDenied | Cause::Other { .. }));
    let is_alone = parameters.len() == 1;
    let mut answers = Vec::new();
    for parameter in parameters {
        let answer = if is_of_one && !is_alone {
            read_alone(session, region, &parameter, with_values).await
        } else {
            Err(failure.clone())
        };
        let answer: Result<T, Trouble> =
            answer.map(T::from_read).map_err(|failure| session.trouble(&parameter, RIGHT, failure));
        answers.push((parameter, answer));
    }
    answers
}

async fn read_alone(
    session: &AwsSession,
    region: &str,
    parameter: &SecretId,
    with_values: bool,
) -> Result<Read, Failure> {
    let found = get(session, region, vec![selected(parameter)], with_values).await?;
    let mut found = found.into_iter();
    match found.find(|one| is_it(&parameter.name, one.name.as_deref(), one.arn.as_deref())) {
        Some(found) => read_of(found, parameter),
        None => Err(missing(session, region, parameter).await),
    }
}

async fn get(
    session: &AwsSession,
    region: &str,
    names: Vec<String>,
    with_values: bool,
) -> Result<Vec<Parameter>, Failure> {
    let request =
        session.parameter_store(region).get_parameters().set_names(Some(names)).with_decryption(with_values);
    let answer =
        session.caller.call(Service::ParameterStore, "GetParameters", || request.clone().send()).await?;
    Ok(answer.parameters.unwrap_or_default())
}

/// Tells whether a parameter is missing, or only the version of it: the answer says the same of both.
async fn missing(session: &AwsSession, region: &str, parameter: &SecretId) -> Failure {
    let name = parameter.name.to_string();
    match get(session, region, vec![name], false).await {
        Ok(found) if found.is_empty() => Failure::Because(Cause::NotFound),
        Ok(_) => Failure::Because(Cause::NoVersion),
        Err(failure) => failure,
    }
}

/// `name`, `name:3` or `name:label`.
fn selected(parameter: &SecretId) -> String {
    match &parameter.pick {
        Pick::Current => parameter.name.to_string(),
        Pick::Stage(version) | Pick::Version(version) => format!("{}:{version}", parameter.name),
    }
}

fn read_of(found: Parameter, parameter: &SecretId) -> Result<Read, Failure> {
    let Parameter { value, version, arn, last_modified_date, .. } = found;
    let value = value.map(|value| Plaintext::new(value.into_bytes())).ok_or_else(no_value)?;
    let id = version.to_string();
    if let Pick::Version(wanted) = &parameter.pick
        && **wanted != *id
    {
        return Err(Failure::unreachable("it answered with another version"));
    }
    let stages = match &parameter.pick {
        Pick::Stage(label) => vec![label.clone()],
        _ => Vec::new(),
    };
    let version = Version {
        id: id.into(),
        stages,
        arn: arn.map(Into::into),
        created: timestamp(last_modified_date.as_ref()),
        rotated: None,
    };
    Ok(Read { version, value: Arc::new(value) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::Reference;

    #[test]
    fn versions_of_one_parameter_go_into_different_calls() {
        let ids =
            (0..25).map(|n| format!("aws-ps:/p{n}")).chain(["aws-ps:/p0@1".into(), "aws-ps:/p0@blue".into()]);
        let ids = ids.map(|text| Reference::parse(&text).expect("a reference").secret).collect();
        let calls = calls(ids);
        assert_eq!(calls.iter().map(Vec::len).sum::<usize>(), 27);
        assert_eq!(calls.len(), 4, "ten, ten, five and a version of one, and another version of that one");
        for call in calls {
            let mut names: Vec<&str> = call.iter().map(SecretId::plain_name).collect();
            names.dedup();
            assert_eq!(names.len(), call.len());
            assert!(call.len() <= BATCH);
        }
    }
}
