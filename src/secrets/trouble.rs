//! Says why a provider did not give what was asked of it, and what cures that.
//!
//! A trouble is built of names, codes and our own words, never of the provider's message: a message may quote what it is
//! about. Two troubles of one cause read the same, so that a condition that shows one does not change with each try.

use std::fmt;

use crate::object::secret::{Pick, Provider, SecretId};

/// What the trouble is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Secret(SecretId),
    /// The queue that news comes from, by its URL.
    Queue(Box<str>),
}

/// A right that the identity lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Such as `secretsmanager:GetSecretValue`.
    pub action: &'static str,
    /// The narrowest ARN pattern that would do.
    pub resource: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no secret of this name.
    NotFound,
    /// The secret is there, and has no such version.
    NoVersion,
    /// The version is one that a rotation has not finished with.
    Pending,
    Denied(Right),
    /// The secret may be read, and its key not used.
    KmsDenied,
    ScheduledForDeletion,
    Throttled,
    /// No answer came, or one that AWS did not mean to give: no network, a timeout, a failure inside of AWS.
    Unreachable {
        why: Box<str>,
    },
    /// The clock is too far from that of AWS.
    ClockOff,
    /// There are no credentials, or AWS does not take them.
    Credentials {
        why: Box<str>,
        passes: bool,
    },
    /// Nothing says in which region to ask.
    NoRegion,
    /// AWS refused with a code that has no cause of its own here.
    Other {
        code: Box<str>,
    },
}

impl Cause {
    /// Tells whether it may pass while nobody does anything.
    pub fn passes_by_itself(&self) -> bool {
        match self {
            Self::Throttled | Self::Unreachable { .. } | Self::Pending => true,
            Self::Credentials { passes, .. } => *passes,
            _ => false,
        }
    }

    /// A word for metrics and the reason of a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "SecretNotFound",
            Self::NoVersion => "SecretVersionNotFound",
            Self::Pending => "SecretVersionPending",
            Self::Denied(_) => "SecretAccessDenied",
            Self::KmsDenied => "SecretKeyDenied",
            Self::ScheduledForDeletion => "SecretScheduledForDeletion",
            Self::Throttled => "ProviderThrottled",
            Self::Unreachable { .. } => "ProviderUnreachable",
            Self::ClockOff => "ClockOff",
            Self::Credentials { .. } => "ProviderCredentials",
            Self::NoRegion => "ProviderRegionUnknown",
            Self::Other { .. } => "ProviderRefused",
        }
    }
}

/// Why something could not be read: what, by whom, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Trouble {
    pub subject: Subject,
    /// The role that asked, or the agent itself.
    pub identity: Box<str>,
    pub region: Box<str>,
    pub cause: Cause,
}

impl Trouble {
    /// Tells whether it may pass while nobody does anything.
    pub fn passes_by_itself(&self) -> bool {
        self.cause.passes_by_itself()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, identity, region, cause } = self;
        match subject {
            Subject::Secret(secret) => write!(f, "{secret}")?,
            Subject::Queue(url) => write!(f, "the queue {url}")?,
        }
        write!(f, " cannot be read as {identity}: ")?;
        let thing = match subject {
            Subject::Secret(SecretId { provider: Provider::SecretsManager, .. }) => "secret",
            Subject::Secret(SecretId { provider: Provider::ParameterStore, .. }) => "parameter",
            Subject::Queue(_) => "queue",
        };
        match cause {
            Cause::NotFound => {
                write!(f, "{region} has no such {thing}; create it, or correct its name or the region")
            }
            Cause::NoVersion => {
                let version = match subject {
                    Subject::Secret(SecretId { pick: Pick::Stage(version) | Pick::Version(version), .. }) => {
                        version
                    }
                    _ => "AWSCURRENT",
                };
                write!(f, "the {thing} has no version {version}; give it a value, or correct the version")
            }
            Cause::Pending => f.write_str(
                "a rotation has not finished with this version, which is AWSPENDING; it is used once it is AWSCURRENT",
            ),
            Cause::Denied(Right { action, resource }) => {
                write!(f, "access is denied; allow {action} on {resource}")
            }
            Cause::KmsDenied => f.write_str(
                "its KMS key cannot be used; allow kms:Decrypt on that key, in the identity's policy and in the key's \
                 own, and check that the key is enabled",
            ),
            Cause::ScheduledForDeletion => write!(
                f,
                "the {thing} is scheduled for deletion; restore it with `aws secretsmanager restore-secret`, or remove \
                 what refers to it"
            ),
            Cause::Throttled => f.write_str(
                "AWS throttles our calls; they are repeated more slowly, and the quota of the account can be raised",
            ),
            Cause::Unreachable { why } => write!(
                f,
                "AWS does not answer in {region}: {why}; it is tried again, and the network, DNS, proxy or VPC endpoint \
                 may need a look"
            ),
            Cause::ClockOff => f.write_str(
                "the clock of this machine differs from that of AWS by minutes; set it, by NTP for instance",
            ),
            Cause::Credentials { why, .. } => {
                write!(f, "the credentials do not work: {why}")
            }
            Cause::NoRegion => f.write_str("no region is set; set AWS_REGION, or refer to the secret by its ARN"),
            Cause::Other { code } => write!(f, "AWS refuses with {code}; its documentation says what that means"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::Reference;

    fn trouble(reference: &str, cause: Cause) -> Trouble {
        let secret = Reference::parse(reference).expect("a reference").secret;
        Trouble {
            subject: Subject::Secret(secret),
            identity: "arn:aws:iam::1:role/production".into(),
            region: "eu-west-1".into(),
            cause,
        }
    }

    #[test]
    fn it_names_the_secret_the_identity_and_the_cure() {
        let right = Right {
            action: "secretsmanager:GetSecretValue",
            resource: "arn:aws:secretsmanager:eu-west-1:1:secret:db-??????".into(),
        };
        for (cause, cure) in [
            (Cause::NotFound, "create it"),
            (Cause::NoVersion, "has no version blue"),
            (Cause::Pending, "once it is AWSCURRENT"),
            (
                Cause::Denied(right),
                "allow secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-west-1:1:secret:db-??????",
            ),
            (Cause::KmsDenied, "allow kms:Decrypt"),
            (Cause::ScheduledForDeletion, "restore it"),
            (Cause::Throttled, "quota"),
            (Cause::Unreachable { why: "timed out".into() }, "eu-west-1: timed out"),
            (Cause::ClockOff, "NTP"),
            (Cause::Credentials { why: "there are none".into(), passes: false }, "there are none"),
            (Cause::NoRegion, "AWS_REGION"),
            (Cause::Other { code: "Strange".into() }, "Strange"),
        ] {
            let said = trouble("aws-sm:db@blue", cause).to_string();
            assert!(
                said.starts_with("aws-sm:db@blue cannot be read as arn:aws:iam::1:role/production: "),
                "{said}"
            );
            assert!(said.contains(cure), "{said}");
        }
    }

    #[test]
    fn only_what_needs_nobody_passes_by_itself() {
        let unreachable = Cause::Unreachable { why: "".into() };
        assert!(trouble("aws-sm:db", unreachable).passes_by_itself());
        assert!(trouble("aws-sm:db", Cause::Throttled).passes_by_itself());
        assert!(!trouble("aws-sm:db", Cause::KmsDenied).passes_by_itself());
        assert!(!trouble("aws-sm:db", Cause::NotFound).passes_by_itself());
    }
}
