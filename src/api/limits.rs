//! The platform's limits, as they stand in the spec of an Environment. Git narrows them and never widens them; `policy`
//! holds what is rendered against them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many objects may be deleted without a person's word, whatever git says. What is left out is git's to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneLimit {
    /// So many at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = 4_294_967_295i64))]
    pub max: Option<u32>,
    /// So many of a hundred of the environment's objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0, max = 100))]
    pub percent: Option<u8>,
}

/// Kinds that an environment may touch, namespaced ones too: `Kind.group`, `Kind` of the core group, `*.group` for every
/// kind of a group, `*.*.example.org` for every group that ends so, `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindLimits {
    /// These and no others; every kind where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 253)))]
    pub allowed: Option<Vec<String>>,
    /// None of these, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 253)))]
    pub denied: Vec<String>,
}

/// Something that must hold of each object: one that is shipped, by its name alone, or an expression of the platform's own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.expression) == has(self.message)").message("a policy has an expression and a message, or is one that is shipped and has neither"))]
#[x_kube(validation = Rule::new("has(self.expression) || self.name in ['digests-only', 'no-latest', 'limits-set', 'memory-limits', 'baseline-pods', 'restricted-pods']").message("shipped are digests-only, no-latest, limits-set, memory-limits, baseline-pods and restricted-pods; any other policy has an expression"))]
pub struct PolicySpec {
    /// What it is called where it is told about.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// CEL over `object`, `metadata`, `spec` and `status`, which must be true. A field that is not there makes it false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub expression: Option<String>,
    /// What people are told where it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub message: Option<String>,
    /// `deny` refuses the app; `warn` tells only.
    #[serde(default)]
    pub severity: Severity,
    /// The objects that it is about; all where absent.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<PolicyMatch>,
}

/// What comes of a policy that does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing of the app is written.
    #[default]
    Deny,
    /// It is told, and written.
    Warn,
}

/// The objects that a policy is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyMatch {
    /// By kind, as in `kinds`; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub kinds: Vec<String>,
}
