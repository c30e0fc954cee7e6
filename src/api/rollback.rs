use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{AppName, Digest};

/// What `fairlead rollback` asks for: which apps go back, from what, to what. It holds for exactly what git said when it was
/// asked: a newer commit ends it.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackRequest {
    /// Tells it from every other: each is answered once.
    pub id: String,
    /// Who asks, as the API server knows them.
    pub by: String,
    /// Why, in their own words.
    pub reason: Option<String>,
    pub apps: BTreeMap<AppName, RollbackTo>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RollbackTo {
    /// What git said when it was asked.
    pub from: Digest,
    /// A commit or a digest, or the beginning of one; what was good before where absent.
    pub to: Option<String>,
}

/// What came of the last request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// The `id` of the request.
    pub request: String,
    pub state: RollbackState,
    /// Who asked.
    pub by: String,
    /// What runs, or is to run, instead of what git says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub to: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RollbackState {
    /// It is put back.
    Going,
    /// It runs and passed its gates.
    Done,
    /// It failed its gates as well.
    Failed,
    /// Nothing had to be done.
    Unchanged,
    /// Nothing was done.
    Refused,
}
