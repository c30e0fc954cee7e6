//! What set each field of an object, as text and as data.

use serde::Serialize;
use serde_json::Value;

use crate::object::field_path::{FieldPath, value_at};
use crate::object::{FieldHolder, ObjectKey, Place, holders};
use crate::redact;
use crate::render::Setting;

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
    pub managers: Vec<FieldHolder>,
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
    Live {
        value: value_at(object, path).map(|value| redact::value(key, &path.to_string(), value)),
        managers: holders(object, path),
    }
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
                let holders: Vec<String> = live.managers.iter().map(ToString::to_string).collect();
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
