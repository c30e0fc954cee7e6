//! Which value of a chart sets a field. Templates can compute anything, so it is tried: a value that the field's text may
//! come from is changed, the chart rendered again, and where the field is another then, it was that value.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::charts::Charts;
use crate::object::field_path::{FieldPath, value_at};
use crate::object::{
    AppName, ChartRequest, ChartValues, EntryKind, EnvironmentName, InvalidName, Manifest, Place, Problem,
    Problems, RenderContext, Tree, TreePath,
};
use crate::render::{self, AppSource, Explained, Setting};
use crate::yaml::{self, Dialect};

/// So many values are tried, each by a run of helm.
const TRIED: usize = 16;

/// The charts that a place is rendered from.
pub struct Charted<'a> {
    pub tree: &'a dyn Tree,
    pub charts: &'a Charts<'a>,
    pub limits: &'a render::Limits,
    pub requests: Vec<ChartRequest>,
}

/// Takes some values, and what says where each stands.
type Take<'a> = dyn FnMut(&Value, &dyn Fn(&str) -> Place) + 'a;

/// A value of a chart, and where it is said, the last word last.
struct Leaf {
    value: Value,
    places: Vec<(Place, Value)>,
}

impl Charted<'_> {
    /// Says of a field that a template set it, where the object is of a chart.
    pub fn name_template(&self, object: &Explained, settings: &mut [Setting]) {
        let is_of_chart = |first: &&mut Setting| {
            self.asked_for(object).any(|request| first.place.path.is_within(&request.chart))
        };
        if let Some(first) = settings.first_mut().filter(is_of_chart) {
            first.by = "chart template";
        }
    }

    fn asked_for(&self, object: &Explained) -> impl Iterator<Item = &ChartRequest> {
        let template = &object.manifest.origin.place.path;
        self.requests.iter().filter(move |request| template.is_within(&request.chart))
    }

    /// Says which values of its chart set a field. Each that is tried is a run of helm.
    pub fn name_values(&self, object: &Explained, path: &FieldPath, settings: &mut Vec<Setting>) {
        let first = settings.first().filter(|first| first.by == "chart template");
        let value = first.and_then(|first| first.value.clone());
        let Some(value) = value.filter(|value| !value.is_object() && !value.is_array()) else { return };
        let names = object.names();
        let is_it = |manifest: &&Manifest| {
            manifest.gvk() == object.manifest.gvk() && names.iter().any(|name| *name == *manifest.key().name)
        };
        let field = |request: &ChartRequest| {
            let objects = self.render(request).ok()?;
            value_at(&objects.iter().find(is_it)?.value(), path).cloned()
        };
        // One chart may be there as several releases.
        let mut asked_for = self.asked_for(object);
        let Some(request) = asked_for.find(|request| field(request).as_ref() == Some(&value)) else { return };
        let (leaves, all) = self.values(request);
        let mut found = Vec::new();
        for (keys, leaf) in likely(&leaves, &value) {
            let mut changed = request.clone();
            changed.values.push(ChartValues::Inline(with_another(&all, keys).to_string()));
            if field(&changed).is_some_and(|now| now != value) {
                // Those that were overruled come first.
                found.extend(leaf.places.iter().map(|(place, value)| Setting {
                    by: "chart value",
                    place: place.clone(),
                    from: Some(keys.join(".")),
                    value: Some(value.clone()),
                }));
            }
        }
        settings.splice(0..0, found);
    }

    /// The objects of a chart by itself.
    pub fn render(&self, request: &ChartRequest) -> Result<Vec<Manifest>, Problems> {
        // Nothing that helm is told names them.
        let nobody = |error: InvalidName| Problems::from(Problem::new(error.to_string()));
        let context = RenderContext {
            environment: EnvironmentName::new("explain").map_err(nobody)?,
            app: AppName::new("explain").map_err(nobody)?,
            cluster: None,
            region: None,
            role: None,
        };
        let (source, cache) = (AppSource::Chart(Box::new(request.clone())), render::Cache::none());
        let made = self.charts.serve(self.tree, |answers| {
            render::render(self.tree, &source, &context, self.limits, &cache, answers)
        });
        made.map(|(desired, _)| desired.objects)
    }

    /// All values that the chart is rendered with, by their keys, and as one.
    fn values(&self, request: &ChartRequest) -> (BTreeMap<Vec<String>, Leaf>, Value) {
        let (mut leaves, mut all) = (BTreeMap::new(), json!({}));
        let mut take = |prefix: &[String], value: &Value, place: &dyn Fn(&str) -> Place| {
            gather(&mut prefix.to_vec(), "", value, place, &mut leaves, &mut all);
        };
        let mut files = vec![(Vec::new(), request.chart.child("values.yaml"))];
        let below = request.chart.child("charts");
        for entry in self.tree.list(&below).unwrap_or_default() {
            if entry.kind == EntryKind::Folder {
                files.insert(0, (vec![entry.name.clone()], below.child(&entry.name).child("values.yaml")));
            }
        }
        for (prefix, file) in files {
            self.file(&file, &mut |value, place| take(&prefix, value, place));
        }
        for values in &request.values {
            match values {
                ChartValues::File(file, _) => self.file(file, &mut |value, place| take(&[], value, place)),
                ChartValues::Inline(text) => {
                    let value = serde_json::from_str(text).unwrap_or_default();
                    take(&[], &value, &|_| request.place.clone());
                }
            }
        }
        (leaves, all)
    }

    fn file(&self, path: &TreePath, take: &mut Take<'_>) {
        let Ok(blob) = self.tree.read(path, self.limits.yaml.file_bytes) else { return };
        let Ok(documents) = yaml::read(&blob.bytes, path, Dialect::Config, &self.limits.yaml) else { return };
        if let Some(document) = documents.first() {
            take(document.value(), &|pointer| document.place_of(pointer));
        }
    }
}

/// Notes the leaves of some values, later ones over earlier ones. A list is one value: helm takes it or leaves it.
fn gather(
    keys: &mut Vec<String>,
    pointer: &str,
    value: &Value,
    place: &dyn Fn(&str) -> Place,
    leaves: &mut BTreeMap<Vec<String>, Leaf>,
    all: &mut Value,
) {
    if let Value::Object(map) = value {
        for (key, value) in map {
            let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            keys.push(key.clone());
            gather(keys, &pointer, value, place, leaves, all);
            keys.pop();
        }
        return;
    }
    let leaf = leaves.entry(keys.clone()).or_insert_with(|| Leaf { value: Value::Null, places: Vec::new() });
    leaf.value = value.clone();
    // The chart's own values may be among those that it is asked for with.
    let said = (place(pointer), value.clone());
    if leaf.places.last() != Some(&said) {
        leaf.places.push(said);
    }
    set(all, keys, value.clone());
}

fn set(all: &mut Value, keys: &[String], value: Value) {
    let mut here = all;
    for key in keys {
        if !here.is_object() {
            *here = json!({});
        }
        here = &mut here[key];
    }
    *here = value;
}

/// The values that a text may be made of: those that are it, then those that are parts of it, the longer ones first.
fn likely<'a>(
    leaves: &'a BTreeMap<Vec<String>, Leaf>,
    value: &Value,
) -> impl Iterator<Item = (&'a Vec<String>, &'a Leaf)> {
    let text = plain(value);
    let mut likely: Vec<_> = leaves
        .iter()
        .filter_map(|(keys, leaf)| {
            let parts: Vec<String> = match &leaf.value {
                Value::Array(items) => items.iter().map(plain).collect(),
                value => vec![plain(value)],
            };
            let longest =
                parts.iter().filter(|part| !part.is_empty() && text.contains(&***part)).map(String::len);
            longest.max().map(|length| (length, keys, leaf))
        })
        .collect();
    likely.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
    likely.into_iter().take(TRIED).map(|(_, keys, leaf)| (keys, leaf))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An override that changes one value, and nothing else.
fn with_another(all: &Value, keys: &[String]) -> Value {
    let mut changed = json!({});
    let value = keys.iter().fold(all, |value, key| &value[key]);
    set(&mut changed, keys, another(value));
    changed
}

fn another(value: &Value) -> Value {
    match value {
        Value::Bool(yes) => (!yes).into(),
        Value::Number(number) => number.as_i64().map_or_else(|| json!(0), |number| (number ^ 1).into()),
        Value::String(text) => format!("{text}x").into(),
        Value::Array(items) => items.iter().map(another).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), another(value))).collect(),
        Value::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_the_ones_before_are_kept() {
        let (mut leaves, mut all) = (BTreeMap::new(), json!({}));
        for (n, value) in [(1, json!({"a": {"b": 1, "c": "x"}})), (2, json!({"a": {"b": 2}}))] {
            let place = |_: &str| Place::at(TreePath::root(), n, 1);
            gather(&mut Vec::new(), "", &value, &place, &mut leaves, &mut all);
        }
        assert_eq!(all, json!({"a": {"b": 2, "c": "x"}}));
        let leaf = &leaves[&vec!["a".to_owned(), "b".to_owned()]];
        assert_eq!(leaf.value, 2);
        let said: Vec<_> = leaf.places.iter().map(|(place, value)| (place.line, value.clone())).collect();
        assert_eq!(said, [(1, json!(1)), (2, json!(2))]);
    }

    #[test]
    fn what_is_the_text_is_tried_before_what_is_a_part_of_it() {
        let (mut leaves, mut all) = (BTreeMap::new(), json!({}));
        let value =
            json!({"tag": "1.2", "image": "web:1.2", "empty": "", "other": "no", "list": ["x", "1.2"]});
        gather(&mut Vec::new(), "", &value, &|_| Place::file(TreePath::root()), &mut leaves, &mut all);
        let tried: Vec<String> = likely(&leaves, &json!("web:1.2")).map(|(keys, _)| keys.join(".")).collect();
        assert_eq!(tried, ["image", "list", "tag"]);
    }

    #[test]
    fn another_value_is_one_of_its_kind() {
        let value = json!({"a": true, "b": 1, "c": "x", "d": [1], "e": 1.5});
        assert_eq!(another(&value), json!({"a": false, "b": 0, "c": "xx", "d": [0], "e": 0}));
        let keys = ["c".to_owned()];
        assert_eq!(with_another(&value, &keys), json!({"c": "xx"}));
    }
}
