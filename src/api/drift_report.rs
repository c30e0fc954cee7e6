use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{AppName, DriftAction, DriftClass, DriftRecord};

/// What of an Environment is not as git says. Written by the agent, and gone with its Environment.
#[allow(clippy::duplicated_attributes, reason = "columns may be of one type")]
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "DriftReport",
    plural = "driftreports",
    shortname = "drift",
    category = "fairlead",
    derive = "PartialEq",
    printcolumn(name = "Open", type_ = "integer", json_path = ".spec.counts.open"),
    printcolumn(name = "Fights", type_ = "integer", json_path = ".spec.counts.fights"),
    printcolumn(name = "Unknown", type_ = "integer", json_path = ".spec.counts.unknown"),
    printcolumn(name = "PutBack", type_ = "integer", json_path = ".spec.counts.putBack"),
    printcolumn(name = "Summary", type_ = "string", json_path = ".spec.summary"),
    printcolumn(name = "Changed", type_ = "date", json_path = ".spec.changed")
)]
#[serde(rename_all = "camelCase")]
pub struct DriftReportSpec {
    /// In one line, for people.
    #[serde(default)]
    pub summary: String,
    /// When this changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub changed: Option<String>,
    /// The commit that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How much there is, whether it is listed here or has no room.
    #[serde(default)]
    pub counts: DriftCounts,
    /// How much of it is not listed here.
    #[serde(default, skip_serializing_if = "DriftCounts::is_nothing")]
    pub left_out: DriftCounts,
    /// Kinds that could not be verified for some time: whether they are as git says is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub unknown: Vec<UnknownKind>,
    /// Fields that others change again and again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub fights: Vec<FightRow>,
    /// What changed several objects at once, the one that reaches furthest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub causes: Vec<CauseRow>,
    /// What is not as git says, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub open: Vec<DriftRow>,
    /// What is as git says again, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub put_back: Vec<DriftRow>,
}

/// How much there is of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftCounts {
    #[serde(default)]
    pub open: u32,
    #[serde(default)]
    pub fights: u32,
    #[serde(default)]
    pub causes: u32,
    #[serde(default)]
    pub put_back: u32,
    #[serde(default)]
    pub unknown: u32,
}

impl DriftCounts {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A field that was not as git says; the object itself where no field is named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub app: Option<AppName>,
    /// As it is shown elsewhere, such as `Deployment.apps shop/web`.
    pub object: String,
    /// As a JSON pointer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// `changed`, `missing`, `extra` or `deleted`.
    #[schemars(with = "String")]
    pub class: DriftClass,
    /// As JSON; values of Secrets are hidden, and long ones cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// The field manager, by the object's own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// The person or account, where the audit log of the API server says so; `unknown` otherwise.
    pub who: String,
    /// What is done about it: `healed`, `reported`, `held`, `fought`.
    #[schemars(with = "String")]
    pub action: DriftAction,
    /// The rule or the hold that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// How often it was seen, where that is more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// When it was as git says again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub over: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
}

/// The name of whoever no audit log names.
pub const UNKNOWN: &str = "unknown";

/// Bytes of a value in a report.
const VALUE: usize = 200;

impl DriftRow {
    pub fn of(record: &DriftRecord) -> Self {
        let second = |at: jiff::Timestamp| at.round(jiff::Unit::Second).unwrap_or(at).to_string();
        let short = |text: &String| match text.len() > VALUE {
            true => format!("{}…", &text[..text.floor_char_boundary(VALUE)]),
            false => text.clone(),
        };
        let who = record.principal.as_ref().map_or_else(|| UNKNOWN.to_owned(), |who| who.user.clone());
        Self {
            app: record.app.clone(),
            object: record.object.to_string(),
            field: record.path.clone(),
            class: record.class,
            desired: record.desired.as_ref().map(short),
            live: record.live.as_ref().map(short),
            manager: record.manager.clone(),
            who,
            action: record.action,
            rule: record.rule.clone(),
            since: second(record.first_seen),
            times: Some(record.count).filter(|count| *count > 1),
            over: record.closed.map(second),
            latency_ms: record.latency_ms,
        }
    }
}

/// Two that want different things of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FightRow {
    pub object: String,
    /// Empty where the object itself comes and goes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    #[serde(default)]
    pub managers: Vec<String>,
    /// How often it was put back.
    pub times: u32,
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
}

/// What changed several objects at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CauseRow {
    pub manager: String,
    /// Such as `Deployment.apps`.
    pub kind: String,
    pub field: String,
    #[schemars(extend("format" = "date-time"))]
    pub first: String,
    /// How many objects it reaches.
    pub objects: u32,
}

/// A kind of which it is not known whether its objects are as git says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownKind {
    /// Such as `Deployment.apps`.
    pub kind: String,
    /// When it was known last; nothing where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_verified: Option<String>,
    pub why: String,
}
