//! Where secrets are kept: each has a current version, and older ones that can be read by their names.

use std::sync::Arc;

use fastrand::Rng;

use super::story::{Second, Worth};
use crate::object::secret::{Pick, Plaintext, Reference, SecretId};
use crate::secrets::{Cause, Read, Subject, Trouble, Version};

pub struct Provider {
    /// What each version of each secret is worth; the last one is current.
    pub versions: Vec<Vec<Worth>>,
    pub down_until: Second,
    pub throttled: (u32, Second),
}

pub fn secret(number: usize) -> SecretId {
    Reference::parse(&format!("aws-sm:s{number}")).expect("a reference").secret
}

pub fn number(secret: &SecretId) -> usize {
    secret.name.trim_start_matches('s').parse().expect("a number")
}

/// Versions are named by their numbers, from 0.
pub fn version(name: &str) -> usize {
    name.trim_start_matches('v').parse().expect("a number")
}

impl Provider {
    pub fn new(secrets: usize) -> Self {
        Self { versions: vec![vec![Worth::Good]; secrets], down_until: 0, throttled: (0, 0) }
    }

    pub fn newest(&self, secret: &SecretId) -> String {
        format!("v{}", self.versions[number(secret)].len() - 1)
    }

    pub fn worth(&self, secret: &SecretId, of: &str) -> Worth {
        self.versions[number(secret)][version(of)]
    }

    pub fn read(&self, id: &SecretId, random: &mut Rng, now: Second) -> Result<Read, Trouble> {
        let trouble = |cause| {
            let subject = Subject::Secret(id.clone());
            Err(Trouble { subject, identity: "the agent".into(), region: "here".into(), cause })
        };
        if now < self.down_until {
            return trouble(Cause::Unreachable { why: "it is down".into() });
        }
        if now < self.throttled.1 && random.u32(0..self.throttled.0) == 0 {
            return trouble(Cause::Throttled);
        }
        let name = match &id.pick {
            Pick::Version(name) => name.to_string(),
            _ => self.newest(id),
        };
        let text = match self.worth(id, &name) {
            Worth::Unusable => r#"{"other": "x"}"#.to_owned(),
            _ => format!(r#"{{"password": "{name}"}}"#),
        };
        let version =
            Version { id: name.into(), stages: Vec::new(), arn: None, created: None, rotated: None };
        Ok(Read { version, value: Arc::new(Plaintext::new(text.into_bytes())) })
    }
}
