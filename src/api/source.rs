//! Where the environment's word is kept in git, and how far a push to it is trusted.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// A branch of a git remote, and the folder of it that holds `environment.yaml`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceSpec {
    /// https, http, ssh (also `git@host:path`) or file.
    #[x_kube(validation = Rule::new("self.matches('^(https?|ssh|file)://[^ ]+$') || self.matches('^[A-Za-z0-9_.]+@[A-Za-z0-9.]+:[^ ]+$')").message("the URL must be https://, http://, ssh://, file:// or git@host:path"))]
    #[x_kube(validation = Rule::new("!self.matches('^https?://[^/]*@')").message("put the password into the secret that secretRef names, not into the URL"))]
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_][A-Za-z0-9_./+-]*$') && !self.contains('..')").message("this is not the name of a branch"))]
    #[schemars(length(min = 1, max = 255))]
    pub branch: String,
    /// The folder with `environment.yaml`; `environments/<name>` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')").message("the path is relative to the root of the repository and has no '..'"))]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// A Secret in the agent's own namespace: `username` and `password`, or `identity` and `known_hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<Secret>,
    /// How often the remote is asked; 30s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Whose signature a commit needs before it is followed; nobody's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifySpec>,
    /// What a push may do to the branch's history.
    #[serde(default, skip_serializing_if = "HistoryRule::is_any")]
    pub history: HistoryRule,
}

/// Whose signatures are taken, and what has to bear one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifySpec {
    /// Where the keys are listed: each value is a list as ssh-keygen reads it (`allowed_signers`), or OpenPGP public keys in
    /// armor.
    #[schemars(length(min = 1, max = 20))]
    pub signers: Vec<SignersSpec>,
    /// What has to be signed: the `commit`, or a `tag` that points at it.
    #[serde(default)]
    pub from: SignedObject,
}

/// A ConfigMap or a Secret in the namespace of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignersSpec {
    pub kind: SignersKind,
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SignersKind {
    ConfigMap,
    Secret,
}

/// What has to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SignedObject {
    #[default]
    Commit,
    Tag,
}

/// What a push may do to the branch's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryRule {
    /// Anything: what the branch says is followed.
    #[default]
    Any,
    /// Add to it. A commit that does not build on what was followed before is not followed.
    ForwardOnly,
}

impl HistoryRule {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

/// The name of a Secret in the namespace of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(#[schemars(length(min = 1, max = 253))] pub String);
