//! Where the secrets of an environment stand, for people. Never a value, nor anything that is made of one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OnRotationFailure, Strategy};
use crate::object::AppName;

/// A secret that apps refer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// As references name it, such as `aws-sm:notejam/production/db`.
    pub name: String,
    /// The version that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The labels on that version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// When that version was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub strategy: Strategy,
    pub on_rotation_failure: OnRotationFailure,
    /// The apps that refer to it, by name.
    pub apps: Vec<SecretUse>,
    /// Why it cannot be read, or not be used in its newest version, and what to do. Apps go on with what they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What will be a trouble soon: a certificate that ends within 21 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What kind of trouble that is, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How an app stands to a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretUse {
    #[schemars(with = "String")]
    pub app: AppName,
    /// The version that it is written with, where that is not the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub state: SecretUseState,
    /// The version that it may still run with: until the newer one has passed its gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// How many of its workloads read configuration.
    #[schemars(with = "i64")]
    pub consumers: u32,
    /// What reads it once and is told not to be rolled: pods may run with older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_alone: Vec<String>,
    /// What else reads it and needs not to be rolled, with how it comes to a newer version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrolled: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretUseState {
    /// It runs with the newest version, and passed its gates.
    Current,
    /// It is being rolled for the newest version.
    Rolling,
    /// It waits for its turn.
    Pending,
    /// The newest version failed, here or in another app of the environment.
    Paused,
    /// Nothing could be read of it yet.
    Unread,
}

impl SecretUseState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::Rolling => "Rolling",
            Self::Pending => "Pending",
            Self::Paused => "Paused",
            Self::Unread => "Unread",
        }
    }
}
