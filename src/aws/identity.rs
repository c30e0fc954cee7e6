//! As whom AWS is asked: the agent itself, or a role that it assumes for an environment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sts::types::Tag;

use super::call::Caller;
use super::failure::{Failure, NotAssumed};
use crate::secrets::{Cause, Service};

/// As whom and where secrets are read. Two that are equal in everything share what they read; any others share nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The agent's own identity where there is none.
    pub role: Option<Role>,
    /// The region for what is referred to by name. Where it is not set, that of the process: `AWS_REGION`, the profile, or
    /// the machine's metadata.
    pub region: Option<Box<str>>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role {
    pub arn: Box<str>,
    pub external_id: Option<Box<str>>,
    /// How CloudTrail names the session.
    pub session: Box<str>,
    /// What policies can compare with, as `aws:PrincipalTag/fairlead:environment`.
    pub tags: BTreeMap<Box<str>, Box<str>>,
}

impl Role {
    /// Makes the role of an environment, with the session's name and its tags `fairlead:environment` and
    /// `fairlead:cluster`.
    pub fn of_environment(arn: &str, external_id: Option<&str>, environment: &str, cluster: &str) -> Self {
        let tags = [("fairlead:environment", environment), ("fairlead:cluster", cluster)];
        let tags = tags.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            arn: arn.into(),
            external_id: external_id.map(Into::into),
            session: session_name(environment),
            tags: tags.map(|(key, value)| (key.into(), tag_value(value))).collect(),
        }
    }
}

/// STS takes 2 to 64 characters of `[\w+=,.@-]`.
fn session_name(environment: &str) -> Box<str> {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    let name: String = "fairlead-".chars().chain(environment.chars().map(legal)).take(64).collect();
    name.into()
}

/// STS takes at most 256 characters; ours come from names of Kubernetes, and hold none that it would refuse.
fn tag_value(value: &str) -> Box<str> {
    value.chars().take(256).collect::<String>().into()
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Some(role) => f.write_str(&role.arn),
            None => f.write_str("the agent's own identity"),
        }
    }
}

/// Assumes a role whenever credentials are wanted; the SDK keeps them until shortly before they expire. Its own provider
/// passes no session tags.
pub(super) struct AssumesRole {
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) role: Role,
    pub(super) caller: Arc<Caller>,
}

impl fmt::Debug for AssumesRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumesRole").field("role", &self.role.arn).finish_non_exhaustive()
    }
}

impl ProvideCredentials for AssumesRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

impl AssumesRole {
    async fn assume(&self) -> provider::Result {
        let Role { arn, external_id, session, tags } = &self.role;
        let mut request = self
            .sts
            .assume_role()
            .role_arn(&**arn)
            .role_session_name(&**session)
            .set_external_id(external_id.as_deref().map(str::to_owned));
        for (key, value) in tags {
            let tag = Tag::builder().key(&**key).value(&**value).build();
            request = request.tags(tag.map_err(CredentialsError::invalid_configuration)?);
        }
        let failed = |failure| CredentialsError::provider_error(NotAssumed(failure));
        // Other calls wait for what comes of this one, and hold their permits: it needs none.
        let call =
            self.caller.call_long(Service::Sts, "AssumeRole", Duration::ZERO, || request.clone().send());
        let answer = call.await;
        let given = answer.map_err(failed)?.credentials;
        let none = || failed(Failure::Because(Cause::Other { code: "an answer without credentials".into() }));
        let given = given.ok_or_else(none)?;
        let expires = std::time::SystemTime::try_from(given.expiration).ok();
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            expires,
            "fairlead assume-role",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_bears_the_name_of_its_environment() {
        let role = Role::of_environment("arn:aws:iam::1:role/x", Some("id"), "production", "eu-1");
        assert_eq!(&*role.session, "fairlead-production");
        let tags: Vec<String> = role.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(tags, ["fairlead:cluster=eu-1", "fairlead:environment=production"]);
        assert!(Role::of_environment("a", None, &"x".repeat(300), "").session.len() == 64);
    }
}
