use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Identity, KindLimits, PolicySpec, PreviewSpec, PruneLimit, PullRequestsSpec, RecordStatus, RegionStatus,
    RollbackStatus, SecretStatus, SourceSpec, Span,
};
use crate::object::{AppName, Digest, Revision};

/// An environment: what one team runs in one place. The platform's word, which git can narrow and never widen.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "Environment",
    plural = "environments",
    shortname = "env",
    category = "fairlead",
    status = "EnvironmentStatus",
    derive = "PartialEq",
    label("applyset.kubernetes.io/is-parent-type", "true"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.shortRevision"),
    printcolumn(name = "Apps", type_ = "string", json_path = ".status.summary"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of an Environment becomes a label: at most 63 characters")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Where the environment's word is kept in git.
    pub source: SourceSpec,
    /// Which installation of Fairlead looks after it, where there are several: the one that runs with this `--class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub class: Option<String>,
    /// Writes and dry runs are made as this service account. Nothing is written without it.
    pub service_account: Identity,
    /// The namespaces that it may write into; every one is named.
    #[x_kube(validation = Rule::new("self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))").message("a namespace is lowercase letters, digits and '-'; there are no wildcards"))]
    #[schemars(length(max = 100), inner(length(max = 63)))]
    pub namespaces: Vec<String>,
    /// The cluster-scoped kinds that it may write, as `Kind` or `Kind.group`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 253)))]
    pub cluster_kinds: Vec<String>,
    /// The Secrets Manager names that it may read; `*` at the end stands for any rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 512)))]
    pub secrets: Vec<String>,
    /// As whom secrets are read in AWS; as the agent itself where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsSpec>,
    /// From whom git may take objects over by its own word (`adopt` of an app): `kubectl`, `helm`, `flux`, `argocd`, or
    /// the name of a field manager. Where absent, only `fairlead adopt` takes anything over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 128)))]
    pub adopt: Vec<String>,
    /// The regions that it may run in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 63)))]
    pub regions: Vec<String>,
    /// How many objects may be deleted without a person's word; git's own budget counts where it is smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneLimit>,
    /// The kinds that it may touch, of those that the lists above let it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<KindLimits>,
    /// Where images may come from: a registry (`registry.example`, `*.registry.example`), or part of one
    /// (`registry.example/team`). Anywhere where absent, nowhere where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 512)))]
    pub registries: Option<Vec<String>>,
    /// The hosts that charts may be said to come from, in kustomizations, charts and objects: `charts.example`,
    /// `*.charts.example`. Any where absent, none where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub chart_hosts: Option<Vec<String>>,
    /// The hosts of git remotes that objects may name. Any where absent, none where empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub git_hosts: Option<Vec<String>>,
    /// What must hold of each object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub policies: Vec<PolicySpec>,
    /// How far git and people may go in leaving alone what others change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftLimits>,
    /// Where pull requests into its branch are told what they would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_requests: Option<PullRequestsSpec>,
    /// On an Environment that the agent made for a pull request: what it shows. The platform makes none of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewSpec>,
    /// Nothing is written while this is true; what would change is still shown.
    #[serde(default)]
    pub suspended: bool,
    /// What becomes of its objects when the Environment is deleted: `keep` leaves them as they are, `remove` deletes them
    /// first, once `fairlead approve` has let it.
    #[serde(default, skip_serializing_if = "OnDelete::is_keep")]
    pub on_delete: OnDelete,
}

/// How far git and people may go in leaving alone what others change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DriftLimits {
    /// How long a `fairlead hold` may last; 24h where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_hold: Option<Span>,
    /// Kinds of which git may ignore nothing that others change: `Kind.group`, `Kind` of the core group, `*.group`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 253)))]
    pub never_ignore: Vec<String>,
}

impl DriftLimits {
    /// How long a hold may last where nothing else is said.
    pub const MAX_HOLD: Span = Span::seconds(24 * 3600);
}

/// What becomes of an Environment's objects when it is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnDelete {
    #[default]
    Keep,
    Remove,
}

impl OnDelete {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// As whom secrets are read in AWS, and where.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsSpec {
    /// The role that the agent assumes, with the session tags `fairlead:environment` and `fairlead:cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^arn:[a-z-]+:iam::[0-9]+:role/.+$')").message("write the ARN of a role"))]
    #[schemars(length(max = 2048))]
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for, where it asks for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1224))]
    pub external_id: Option<String>,
    /// The region of the secrets; that of the agent where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]{2}(-[a-z]+)+-[0-9]+$')").message("write the code of a region, such as eu-west-1"))]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
}

/// What people see of an environment. It mirrors decisions; nothing is decided from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvironmentStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The commit of the branch that was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_revision: Option<String>,
    /// The request to look at git that was answered last, see `fairlead apply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// `2/3`: how many apps run what git says, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What git no longer wants, where there is any such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneStatus>,
    /// How many apps are well and not among `apps`: there are too many, and they stand in the pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub unlisted: Option<u32>,
    /// How many pages (EnvironmentPage) have what there is no room for here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub pages: Option<u32>,
    /// The apps by name; of one that is well a short line.
    // The agent alone writes them, so that no field of a row needs an owner of its own: that would be as much again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub apps: Vec<AppStatus>,
    /// The secrets that apps refer to, by name; the first of them, where there are very many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub secrets: Vec<SecretStatus>,
    /// Where it stands in the region of this cluster, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionStatus>,
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    #[schemars(with = "String")]
    pub name: AppName,
    pub phase: AppPhase,
    /// What git says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub desired: Option<Digest>,
    /// What runs and passed its gates. In a short line of an app that is `Ready` it is `desired`, and left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub effective: Option<Digest>,
    /// What failed and is not tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub quarantined: Option<Digest>,
    #[serde(default)]
    #[schemars(with = "i64")]
    pub objects: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<WaveStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What came of the last `fairlead rollback`, where it is not over for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// What became of its last rollouts, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<RecordStatus>,
    /// What others hold of its objects, where that has to change hands first or may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionStatus>,
}

impl AppStatus {
    /// What runs and passed its gates.
    pub fn running(&self) -> Option<&Digest> {
        self.effective.as_ref().or_else(|| self.desired.as_ref().filter(|_| self.phase == AppPhase::Ready))
    }
}

/// What others hold of an app's objects, for `fairlead adopt`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdoptionStatus {
    /// How many objects.
    #[schemars(with = "i64")]
    pub count: u32,
    /// Nothing of the app is written until somebody agrees.
    pub needed: bool,
    /// The first of them.
    pub objects: Vec<HandoverStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HandoverStatus {
    pub object: String,
    /// The field managers that hand over.
    pub from: Vec<String>,
    /// Names exactly what changes hands.
    pub token: String,
}

/// Objects that git no longer wants: what is to go, what is kept all the same, and what that waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PruneStatus {
    /// How many are to be deleted.
    #[schemars(with = "i64")]
    pub count: u32,
    /// Names the set of them, for `fairlead approve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub digest: Option<Digest>,
    /// Nothing is deleted until a person says so.
    pub halted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The first of them, in the order in which they go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// Objects that are kept although git does not want them, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AppPhase {
    /// Not looked at yet.
    Pending,
    /// Waits for an app that it depends on.
    Blocked,
    /// Asked of the server, nothing written.
    Proving,
    /// Refused before anything was written.
    Refused,
    /// A wave is written.
    Applying,
    /// A wave was written and is not healthy yet.
    Waiting,
    /// A gate did not open in time.
    Halted,
    /// What git says failed, and what ran before is put back.
    Restoring,
    /// What git says failed, and what ran before runs again.
    Restored,
    /// A person wants something older back, and it is put back.
    RollingBack,
    /// A person wanted something older back, and it runs.
    RolledBack,
    /// Runs what git says, and passed its gates.
    Ready,
    /// Would change, but the environment is suspended.
    Suspended,
}

impl AppPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Blocked => "Blocked",
            Self::Proving => "Proving",
            Self::Refused => "Refused",
            Self::Applying => "Applying",
            Self::Waiting => "Waiting",
            Self::Halted => "Halted",
            Self::Restoring => "Restoring",
            Self::Restored => "Restored",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Ready => "Ready",
            Self::Suspended => "Suspended",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaveStatus {
    #[schemars(with = "i64")]
    pub current: u32,
    #[schemars(with = "i64")]
    pub of: u32,
}

/// Waiting is a value: on what, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingOn {
    pub what: Vec<String>,
    pub since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// A condition as Kubernetes has them everywhere, so that `kubectl wait` works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
    pub last_transition_time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
