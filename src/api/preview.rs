use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Identity;
use crate::object::AppName;

/// What the platform lets previews of an environment have. Without it there are none, whatever git says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewGrant {
    /// As whom previews are written: an account that may write into the namespaces of previews and no others.
    pub service_account: Identity,
    /// So many at once; git may say less. 10 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub max: Option<u32>,
    /// What each may take, as `hard` of a ResourceQuota, where it is more or less than usual.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quota: BTreeMap<String, String>,
    /// Namespaces from which previews are reached, such as that of an ingress controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub ingress_from: Vec<String>,
    /// Annotations that previews may have beside those that order nothing of a controller: names, or how they begin, up to
    /// a `/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 100), regex(pattern = "^[A-Za-z0-9._/-]+$")))]
    pub annotations: Vec<String>,
    /// Whether pull requests of forks may have one, for a commit that a person named and with no way out of it; git has to
    /// say so as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forks: bool,
}

/// On an Environment that the agent made for a pull request: what it shows.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewSpec {
    /// The Environment of which it is a preview.
    #[schemars(length(min = 1, max = 63))]
    pub of: String,
    #[schemars(with = "i64")]
    pub pull_request: u64,
    /// What git calls its commits.
    #[schemars(length(min = 1, max = 1024))]
    pub reference: String,
    /// What git calls the branch that it is to be merged into.
    #[schemars(length(min = 1, max = 1024))]
    pub branch: String,
    /// The commits that are merged.
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{40}([0-9a-f]{24})?$')").message("head is a commit"))]
    #[schemars(length(max = 64))]
    pub head: String,
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{40}([0-9a-f]{24})?$')").message("base is a commit"))]
    #[schemars(length(max = 64))]
    pub base: String,
    /// By the rules of the base branch: the apps, all where it does not say, and under which hosts they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>", length(max = 200))]
    pub apps: Option<Vec<AppName>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host: Option<String>,
    /// Somebody asked for it, and it needs no label.
    #[serde(default)]
    pub asked: bool,
    /// Its commits are of a fork: it goes on to another one only when a person names that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fork: bool,
    /// It is night, and nothing of it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asleep: bool,
    /// When it was made, or was last to be kept.
    #[schemars(length(max = 40))]
    pub since: String,
    /// When somebody last looked at it, as far as is known.
    #[schemars(length(max = 40))]
    pub active: String,
    /// Why it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub ended: Option<String>,
}
