use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PreviewGrant, Span};

/// Where pull requests into the branch are told what they would do. Environments of one repository share one comment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullRequestsSpec {
    pub forge: ForgeKind,
    /// `owner/name`; on GitLab the path of the project; with `files` the name of a folder in that of the agent.
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$')").message("write owner/name"))]
    #[schemars(length(min = 1, max = 512))]
    pub repository: String,
    /// The URL of the forge's API, where it is not github.com or gitlab.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^ @?#]+$')").message("the URL must be https://, without a password"))]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// A Secret in the agent's own namespace: `token`, or `appId` and `appPrivateKey` of a GitHub App; `ca.crt` where the
    /// forge has a CA of its own; `webhookSecret` where it is to tell of what is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_ref: Option<String>,
    /// How often the forge is asked; 30s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Who may give commands in comments, and which user of the cluster each of them is: what they may do is what that user
    /// may. Nobody where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["login"]))]
    pub people: Vec<PersonSpec>,
    /// What previews of the environment may have; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<PreviewGrant>,
}

/// An account on the forge, and the user of the cluster that it is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersonSpec {
    /// The name of the account.
    #[schemars(length(min = 1, max = 253))]
    pub login: String,
    /// The number of the account: a name that was given up may come to be another one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<i64>,
    /// As whom Requests are made.
    #[x_kube(validation = Rule::new("!self.startsWith('system:')").message("a person is no account of the system"))]
    #[schemars(length(min = 1, max = 512))]
    pub user: String,
    /// The groups of that user that count here, where its rights come by groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(validation = Rule::new("self.all(g, !g.startsWith('system:'))").message("a person is in no group of the system"))]
    #[schemars(length(max = 20), inner(length(min = 1, max = 512)))]
    pub groups: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ForgeKind {
    Github,
    Gitlab,
    /// Gitea or Forgejo.
    Gitea,
    /// A folder of the agent's, where there is no forge.
    Files,
}
