//! Tells from an error of the SDK what is the matter.
//!
//! Codes decide; messages only where AWS gives one code to different things, and they are never passed on. The errors
//! themselves are never printed: their Debug form holds the response, and a response may hold a value.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

use crate::secrets::{CallOutcome, Cause};

/// Why a call failed. Which right is missing depends on what was asked, and is added where that is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    Denied,
    Because(Cause),
}

impl Failure {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(error) = credentials_error(error) {
            return Self::Because(credentials(error));
        }
        match error {
            SdkError::ServiceError(refused) => {
                let status = refused.raw().status().as_u16();
                let refused = refused.err();
                Self::of_code(
                    refused.code().unwrap_or_default(),
                    refused.message().unwrap_or_default(),
                    Some(status),
                )
            }
            SdkError::TimeoutError(_) => Self::unreachable("it timed out"),
            SdkError::DispatchFailure(failed) if failed.is_timeout() => Self::unreachable("it timed out"),
            SdkError::DispatchFailure(_) => Self::unreachable("the connection failed"),
            SdkError::ResponseError(_) => Self::unreachable(NOT_AWS),
            _ => Self::Because(Cause::Other { code: "a request that cannot be built".into() }),
        }
    }

    /// Judges a code, with the message for what one code does not tell apart.
    pub(super) fn of_code(code: &str, message: &str, status: Option<u16>) -> Self {
        let says = |part: &str| message.to_ascii_lowercase().contains(part);
        let cause = match code {
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "KmsThrottled"
            | "LimitExceededException"
            | "PriorRequestNotComplete" => Cause::Throttled,
            // Parameter Store tells of the key by the name of the action alone.
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => {
                if says("kms") {
                    Cause::KmsDenied
                } else {
                    return Self::Denied;
                }
            }
            "DecryptionFailure" | "KmsAccessDenied" | "KmsDisabled" | "KmsInvalidState" | "KmsNotFound"
            | "KmsInvalidKeyUsage" | "InvalidKeyId" => Cause::KmsDenied,
            "ResourceNotFoundException" if says("staging label") || says("versionid") => Cause::NoVersion,
            "ResourceNotFoundException"
            | "ParameterNotFound"
            | "QueueDoesNotExist"
            | "AWS.SimpleQueueService.NonExistentQueue" => Cause::NotFound,
            "ParameterVersionNotFound" | "ParameterVersionLabelLimitExceeded" => Cause::NoVersion,
            "InvalidRequestException" if says("delet") => Cause::ScheduledForDeletion,
            "InvalidRequestException" if says("versionstage") || says("staging label") => Cause::NoVersion,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Cause::ClockOff,
            "InvalidSignatureException" | "SignatureDoesNotMatch"
                if says("signature expired") || says("not yet current") =>
            {
                Cause::ClockOff
            }
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "InvalidAccessKeyId"
            | "OptInRequired"
            | "AuthFailure" => credentials_refused("AWS does not take them", false),
            // New ones are fetched before these expire, so what expired is on its way out.
            "ExpiredToken" | "ExpiredTokenException" => credentials_refused("they have expired", true),
            _ if status == Some(429) => Cause::Throttled,
            "InternalServiceError"
            | "InternalServerError"
            | "InternalFailure"
            | "InternalError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => {
                return Self::unreachable("it failed inside of AWS");
            }
            _ if status.is_some_and(|status| status >= 500) => {
                return Self::unreachable("it failed inside of AWS");
            }
            // AWS always gives one; an answer that is none, such as the page of a proxy, has none.
            "" => return Self::unreachable(NOT_AWS),
            _ => Cause::Other { code: shown(code) },
        };
        Self::Because(cause)
    }

    pub(super) fn unreachable(why: &str) -> Self {
        Self::Because(Cause::Unreachable { why: why.into() })
    }

    /// Tells whether the same call may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Denied => false,
            // Waiting for credentials is the SDK's.
            Self::Because(Cause::Credentials { .. }) => false,
            Self::Because(cause) => cause.passes_by_itself(),
        }
    }

    pub(super) fn outcome(&self) -> CallOutcome {
        match self {
            Self::Denied | Self::Because(Cause::KmsDenied | Cause::Credentials { .. }) => CallOutcome::Denied,
            Self::Because(Cause::Throttled) => CallOutcome::Throttled,
            Self::Because(Cause::Unreachable { .. }) => CallOutcome::Unreachable,
            Self::Because(_) => CallOutcome::Failed,
        }
    }
}

const NOT_AWS: &str = "what answered is not AWS, or broke off";

/// A code as it may be shown: codes are words, and what is none was not written by AWS.
fn shown(code: &str) -> Box<str> {
    let is_word =
        |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_' || c == '#' || c == ':' || c == '-';
    if code.len() > 80 || !code.chars().all(is_word) {
        return "an unknown code".into();
    }
    code.into()
}

fn credentials_refused(why: &str, passes: bool) -> Cause {
    Cause::Credentials { why: why.into(), passes }
}

/// Says that a role was not given.
#[derive(Debug, thiserror::Error)]
#[error("the role cannot be assumed")]
pub(super) struct NotAssumed(pub(super) Failure);

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}

fn credentials(error: &CredentialsError) -> Cause {
    if let Some(NotAssumed(failure)) = error.source().and_then(|source| source.downcast_ref()) {
        return match failure {
            Failure::Denied => credentials_refused(
                "the role does not let us in; its trust policy has to allow sts:AssumeRole and sts:TagSession to the \
                 agent's own identity, with the external id that is configured, and the agent's identity both actions on it",
                false,
            ),
            Failure::Because(Cause::Other { code }) => {
                credentials_refused(&format!("STS refuses the role with {code}"), false)
            }
            Failure::Because(cause @ (Cause::Throttled | Cause::Unreachable { .. } | Cause::ClockOff)) => {
                cause.clone()
            }
            Failure::Because(cause @ Cause::Credentials { .. }) => cause.clone(),
            Failure::Because(_) => credentials_refused("STS refuses the role", false),
        };
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => credentials_refused(
            "there are none; give the agent's service account a role (IRSA or EKS Pod Identity), or a profile or keys",
            false,
        ),
        CredentialsError::ProviderTimedOut(_) => {
            credentials_refused("what gives them does not answer in time", true)
        }
        CredentialsError::InvalidConfiguration(_) => {
            credentials_refused("their configuration is wrong", false)
        }
        CredentialsError::ProviderError(_) => {
            credentials_refused("what gives them failed or refused (STS, the Pod Identity agent, IMDS)", true)
        }
        _ => credentials_refused("they could not be had", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_what_they_leave_open_are_told_apart() {
        let kms = "Access to KMS is not allowed";
        let user = "User: arn:aws:iam::1:role/x is not authorized to perform: secretsmanager:GetSecretValue";
        let because = Failure::Because;
        for (code, message, status, wanted) in [
            ("ThrottlingException", "Rate exceeded", 400, because(Cause::Throttled)),
            ("Strange", "", 429, because(Cause::Throttled)),
            ("AccessDeniedException", user, 400, Failure::Denied),
            ("AccessDeniedException", kms, 400, because(Cause::KmsDenied)),
            (
                "AccessDeniedException",
                "not authorized to perform: kms:Decrypt",
                400,
                because(Cause::KmsDenied),
            ),
            ("DecryptionFailure", "", 400, because(Cause::KmsDenied)),
            (
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
                400,
                because(Cause::NotFound),
            ),
            (
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
                400,
                because(Cause::NoVersion),
            ),
            (
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for VersionId: 1",
                400,
                because(Cause::NoVersion),
            ),
            (
                "InvalidRequestException",
                "You can't perform this operation on the secret because it was marked for deletion.",
                400,
                because(Cause::ScheduledForDeletion),
            ),
            (
                "InvalidSignatureException",
                "Signature expired: 2020 is now earlier than 2026",
                400,
                because(Cause::ClockOff),
            ),
            (
                "InvalidSignatureException",
                "The request signature we calculated does not match",
                403,
                because(credentials_refused("AWS does not take them", false)),
            ),
            ("InternalServiceError", "", 500, Failure::unreachable("it failed inside of AWS")),
            ("", "<html>", 200, Failure::unreachable(NOT_AWS)),
            ("", "<html>", 403, Failure::unreachable(NOT_AWS)),
            ("", "", 503, Failure::unreachable("it failed inside of AWS")),
            (
                "InvalidParameterException",
                "hidden",
                400,
                because(Cause::Other { code: "InvalidParameterException".into() }),
            ),
            ("hidden value!", "", 400, because(Cause::Other { code: "an unknown code".into() })),
        ] {
            assert_eq!(Failure::of_code(code, message, Some(status)), wanted, "{code} {message}");
        }
    }
}
