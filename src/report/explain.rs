//! What set each field of an object, as text and as data.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::object::{ManagedEntry, ObjectKey, Place};
use crate::redact;
use crate::render::{FieldPath, Setting, Step};

/// What is told of one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    pub object: ObjectKey,
    /// Where it begins.
    pub origin: Spot,
    /// What is said where a cluster was asked and no field is compared: it is not there, or could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    pub fields: Vec<Field>,
}

/// A place, and who wrote its line.
#[derive(Clone, Debug, Serialize)]
pub struct Spot {
    pub place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Commit {
    Uncommitted,
    #[serde(untagged)]
    #[serde(rename_all = "camelCase")]
    By {
        id: String,
        author: String,
        email: String,
        time: String,
        subject: String,
        /// The repository's history ends there: it may be older.
        at_or_before: bool,
    },
}

/// A field, and whatever set it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    pub path: FieldPath,
    /// As it leaves git; nothing where it is taken away.
    pub value: Option<Value>,
    /// What set it, the last one last.
    pub settings: Vec<SetBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetBy {
    pub by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub value: Option<Value>,
    #[serde(flatten)]
    pub spot: Spot,
}

/// What a cluster has, and who holds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Live {
    pub value: Option<Value>,
    pub managers: Vec<Holder>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub manager: String,
    pub operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

impl SetBy {
    pub fn new(key: &ObjectKey, path: &FieldPath, setting: Setting, commit: Option<Commit>) -> Self {
        Self {
            by: setting.by,
            from: setting.from,
            value: setting.value.map(|value| redact::value(key, &path.to_string(), &value)),
            spot: Spot { place: setting.place, commit },
        }
    }
}

/// What a live object says of a field.
fn live(key: &ObjectKey, path: &FieldPath, object: &Value) -> Live {
    let value = find(object, &path.0);
    let holders = ManagedEntry::all(object)
        .into_iter()
        .filter(|entry| entry.fields.as_object().is_some_and(|fields| holds(fields, object, &path.0)));
    Live {
        value: value.map(|value| redact::value(key, &path.to_string(), value)),
        managers: holders
            .map(|entry| Holder {
                manager: entry.manager,
                operation: entry.operation,
                subresource: entry.subresource,
                time: entry.time,
            })
            .collect(),
    }
}

fn find<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.as_object()?.get(key),
        Step::Item { key, value: wanted } => {
            value.as_array()?.iter().find(|item| item.get(key) == Some(wanted))
        }
        Step::Index(at) => value.as_array()?.get(*at),
    })
}

/// Whether a set of fields holds a field: it, something in it, or all that it is a part of.
fn holds(set: &Map<String, Value>, value: &Value, path: &[Step]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    // A leaf is held as one.
    if set.is_empty() {
        return true;
    }
    let (below, next) = match first {
        Step::Key(key) => (set.get(&format!("f:{key}")), value.get(key)),
        Step::Item { .. } | Step::Index(_) => {
            let item = find(value, std::slice::from_ref(first));
            (
                item.and_then(|item| set.iter().find(|(name, _)| names(name, item))).map(|(_, below)| below),
                item,
            )
        }
    };
    match (below.and_then(Value::as_object), next) {
        (Some(below), Some(next)) => holds(below, next, rest),
        _ => false,
    }
}

/// Whether `k:{"name":"web"}` or `v:"web"` names an item.
fn names(name: &str, item: &Value) -> bool {
    if let Some(keys) = name.strip_prefix("k:") {
        let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
        return !keys.is_empty() && keys.iter().all(|(key, value)| item.get(key) == Some(value));
    }
    let value = name.strip_prefix("v:").and_then(|text| serde_json::from_str::<Value>(text).ok());
    value.as_ref() == Some(item)
}

/// Longer values are cut: they are there to be recognized.
const SHOWN: usize = 100;

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => return "nothing".to_owned(),
        Some(Value::String(text)) if text.contains('\n') => format!("{} lines of text", text.lines().count()),
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(value) => value.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Spot {
    fn text(&self) -> String {
        match &self.commit {
            Some(commit) => format!("{}   {}", self.place, commit.text()),
            None => self.place.to_string(),
        }
    }
}

impl Commit {
    fn text(&self) -> String {
        match self {
            Self::Uncommitted => "not committed".to_owned(),
            Self::By { id, author, time, subject, at_or_before, .. } => {
                let before = if *at_or_before { "at or before " } else { "" };
                let day = time.split('T').next().unwrap_or_default();
                format!("{before}{} {day} {author}: {subject}", &id[..id.len().min(10)])
            }
        }
    }
}

impl Holder {
    fn text(&self) -> String {
        let through = match self.subresource.as_str() {
            "" => String::new(),
            subresource => format!(" through {subresource}"),
        };
        let since = self.time.as_ref().map_or(String::new(), |time| format!(" since {time}"));
        format!("{} ({}{through}){since}", self.manager, self.operation)
    }
}

impl Explanation {
    /// Puts beside each field what a cluster has, and adds a field that only the cluster has.
    pub fn compare(&mut self, key: &ObjectKey, object: &Value, only_there: Option<FieldPath>) {
        let added = only_there.map(|path| Field { path, value: None, settings: Vec::new(), live: None });
        self.fields.extend(added);
        for field in &mut self.fields {
            field.live = Some(live(key, &field.path, object));
        }
    }

    pub fn text(&self) -> String {
        let wherein: Vec<String> = [("environment", &self.environment), ("app", &self.app)]
            .into_iter()
            .filter_map(|(word, name)| Some(format!("{word} {}", name.as_ref()?)))
            .collect();
        let wherein = if wherein.is_empty() { String::new() } else { format!(" ({})", wherein.join(", ")) };
        let mut text = format!("{}{wherein}\n  from {}\n", self.object, self.origin.text());
        if let Some(cluster) = &self.cluster {
            text.push_str(&format!("  cluster: {cluster}\n"));
        }
        if self.fields.is_empty() {
            text.push_str("  all its fields are as that file has them\n");
        }
        for field in &self.fields {
            let value = match field.settings.is_empty() {
                true => "git does not say".to_owned(),
                false => shown(field.value.as_ref()),
            };
            text.push_str(&format!("\n  {}: {value}\n", field.path));
            for (nth, setting) in field.settings.iter().rev().enumerate() {
                let by = match (&setting.from, &setting.value) {
                    (Some(from), _) => format!("{} ({from})", setting.by),
                    (None, None) => format!("{}, which takes it away", setting.by),
                    _ => setting.by.to_owned(),
                };
                let word = if nth == 0 { "set by".to_owned() } else { "before".to_owned() };
                let value = match nth {
                    0 => String::new(),
                    _ => format!("{}, ", shown(setting.value.as_ref())),
                };
                text.push_str(&format!("    {word} {value}{by} at {}\n", setting.spot.text()));
            }
            if let Some(live) = &field.live {
                let same = live.value == field.value;
                let value = if same { "the same".to_owned() } else { shown(live.value.as_ref()) };
                let holders: Vec<String> = live.managers.iter().map(Holder::text).collect();
                let held = match (holders.is_empty(), &live.value) {
                    (false, _) => format!(", held by {}", holders.join(" and ")),
                    (true, Some(_)) => ", held by nobody".to_owned(),
                    (true, None) => String::new(),
                };
                text.push_str(&format!("    live {value}{held}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_held_by_whoever_holds_it_or_all_around_it() {
        let object = json!({
            "metadata": {"managedFields": [
                {"manager": "fairlead", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {},
                    "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}},
                {"manager": "scaler", "operation": "Update", "subresource": "scale",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "atomic", "operation": "Update", "fieldsV1": {"f:spec": {"f:selector": {}}}},
            ]},
            "spec": {"replicas": 5, "selector": {"a": "b"}, "containers": [{"name": "old"}, {"name": "web", "image": "i"}]},
        });
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "web");
        let step = |text: &str| Step::Key(text.to_owned());
        let item = Step::Item { key: "name".to_owned(), value: json!("web") };
        let managers = |path: Vec<Step>| -> Vec<String> {
            live(&key, &FieldPath(path), &object).managers.into_iter().map(|holder| holder.manager).collect()
        };
        assert_eq!(managers(vec![step("spec"), step("replicas")]), ["fairlead", "scaler"]);
        assert_eq!(managers(vec![step("spec"), step("containers"), item, step("image")]), ["fairlead"]);
        assert_eq!(managers(vec![step("spec"), step("selector"), step("a")]), ["atomic"]);
        assert!(managers(vec![step("spec"), step("containers"), Step::Index(0)]).is_empty());
    }
}
