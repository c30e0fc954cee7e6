use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a person asks the agent for. The API server lets it in only under their own name, and if they may do that verb on
/// that environment; the agent executes it once, and says here what came of it.
///
/// All of `spec` is text without a form of its own: an object that cannot be read would end the watch of all others.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "Request",
    plural = "requests",
    category = "fairlead",
    status = "RequestStatus",
    derive = "PartialEq",
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Verb", type_ = "string", json_path = ".spec.verb"),
    printcolumn(name = "App", type_ = "string", json_path = ".spec.app"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec").message("a request does not change: make another one")
)]
#[serde(rename_all = "camelCase")]
pub struct RequestSpec {
    /// `apply` (look at git now), `retry`, `rollback`, `approve`, `adopt`, `hold`, `heal`, `ignore`, `release`; of regions
    /// `repoint`, `attest` and `breakglass`.
    #[x_kube(validation = Rule::new("self.matches('^[a-z]+$')").message("a verb is lowercase letters"))]
    #[schemars(length(min = 1, max = 30))]
    pub verb: String,
    /// The name of the Environment.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// The app, for `retry` and `rollback`; for `hold` where it is of one app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub app: Option<String>,
    /// What was shown, so that nothing else is meant: the digest that failed (`retry`), that git says (`rollback`), of the
    /// set that is to go (`approve`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub digest: Option<String>,
    /// For `rollback`: a commit or a digest, or the beginning of one; what was good before where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub to: Option<String>,
    /// For `adopt`: the hand-overs that were shown, each by its token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000), inner(length(max = 64)))]
    pub tokens: Vec<String>,
    /// For `hold`: one object, as it is shown: `Deployment.apps web/web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 700))]
    pub object: Option<String>,
    /// For `heal` and `ignore`: the objects that it is about, as they are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 700)))]
    pub objects: Vec<String>,
    /// For `heal` and `ignore`: the field of them, as it is shown; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub field: Option<String>,
    /// For `heal` and `ignore`: the cause that they have in common, as it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1300))]
    pub cause: Option<String>,
    /// For `hold`, `heal` and `ignore`: for how long, as `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub duration: Option<String>,
    /// For `hold`: whether commits wait, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deploys: bool,
    /// For `release`: the name of the request that holds, heals or ignores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub hold: Option<String>,
    /// For `repoint`: `pause`, `resume`, `retry`, `skip`, `ungraceful`, `override`, `loss` (of up to `duration`) or `abort`. For
    /// `breakglass`: `graceful` or `ungraceful`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub action: Option<String>,
    /// For `repoint` and `skip`: the step that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub step: Option<String>,
    /// For `repoint` and `override`: what is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub check: Option<String>,
    /// For `attest`: the region that is off. For `breakglass`: the one that is to be active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// For `attest`: the epoch at which it was shown. For `breakglass`: the one to be; the next one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub epoch: Option<String>,
    /// Why, in the words of who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub reason: Option<String>,
    /// Who asks: the name by which the API server knows them, and no other is let in.
    #[schemars(length(min = 1, max = 512))]
    pub by: String,
}

/// What came of a request. Only the agent writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestStatus {
    pub state: RequestState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when it is so.
    pub at: String,
    /// The replica of the agent that executed it.
    pub executed_by: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestState {
    /// Nobody took it up yet.
    #[default]
    Pending,
    /// It was taken up and goes on.
    Going,
    Done,
    /// It was done, and what it led to failed its gates.
    Failed,
    /// Something newer came first, and it is not gone on with.
    Overtaken,
    /// Nothing was done.
    Refused,
}

impl RequestState {
    /// Whether nothing more comes of it.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Pending | Self::Going)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Going => "Going",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Overtaken => "Overtaken",
            Self::Refused => "Refused",
        }
    }
}
