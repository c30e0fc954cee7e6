use serde::Serialize;
use serde_json::Value;

use super::read::text;
use super::{Rules, Status, assess_with};

/// One line of `fairlead health`: an object and the verdict on it. Its field names are a stable format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub api_version: String,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    pub status: Status,
    pub reason: String,
    pub message: String,
}

impl Verdict {
    pub fn of(object: &Value, rules: &Rules) -> Self {
        let health = assess_with(object, rules);
        let metadata = &object["metadata"];
        Self {
            api_version: text(&object["apiVersion"]).to_owned(),
            kind: text(&object["kind"]).to_owned(),
            namespace: metadata["namespace"]
                .as_str()
                .filter(|namespace| !namespace.is_empty())
                .map(Into::into),
            name: text(&metadata["name"]).to_owned(),
            status: health.status,
            reason: health.reason,
            message: health.message,
        }
    }
}

/// The verdict on each object, in the order given; a `List` counts as what it holds.
pub fn report(objects: &[Value]) -> Vec<Verdict> {
    report_with(objects, &Rules::default())
}

pub fn report_with(objects: &[Value], rules: &Rules) -> Vec<Verdict> {
    objects.iter().flat_map(|object| items(object)).map(|object| Verdict::of(object, rules)).collect()
}

fn items(object: &Value) -> Vec<&Value> {
    match object["items"].as_array() {
        Some(items) if text(&object["kind"]).ends_with("List") => items.iter().flat_map(items_of).collect(),
        _ => vec![object],
    }
}

/// A list inside a list is not unfolded again: it is no object that any server returns.
fn items_of(object: &Value) -> Option<&Value> {
    Some(object)
}
