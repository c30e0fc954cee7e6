//! Custom resources against the definitions that stand beside them: what a strict server would refuse about their shape.
//!
//! A definition's schema is structural: it names every field, and what it does not name is pruned, which a strict server
//! refuses. Its rules in CEL, and formats, are left to the server.

use std::collections::{BTreeMap, HashSet};

use regex::Regex;
use serde_json::{Map, Value};

use super::Finding;
use super::check::{Pointer, What, kind, nearest};
use crate::object::Gvk;

/// The kinds that CustomResourceDefinitions bring, by group and kind.
#[derive(Debug, Default)]
pub struct Definitions(BTreeMap<(String, String), Definition>);

#[derive(Debug)]
struct Definition {
    /// By version: whether it is served, and its schema. The stored one is first.
    versions: Vec<Version>,
}

#[derive(Debug)]
struct Version {
    name: String,
    served: bool,
    schema: Value,
}

impl Definitions {
    /// Takes up what a CustomResourceDefinition defines. The first of a kind counts.
    pub fn add(&mut self, definition: &Value) {
        let spec = &definition["spec"];
        let (Some(group), Some(kind)) = (spec["group"].as_str(), spec["names"]["kind"].as_str()) else {
            return;
        };
        let version = |version: &Value| Version {
            name: version["name"].as_str().unwrap_or_default().to_owned(),
            served: version["served"].as_bool().unwrap_or(true),
            schema: version["schema"]["openAPIV3Schema"].clone(),
        };
        let mut versions: Vec<(bool, Version)> = spec["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| (item["storage"].as_bool().unwrap_or_default(), version(item)))
            .collect();
        versions.sort_by_key(|(stored, _)| !stored);
        let versions = versions.into_iter().map(|(_, version)| version).collect();
        self.0.entry((group.to_owned(), kind.to_owned())).or_insert(Definition { versions });
    }

    pub fn has(&self, group: &str, kind: &str) -> bool {
        self.0.contains_key(&(group.to_owned(), kind.to_owned()))
    }

    /// What a strict server would refuse of an object of a kind that is defined here.
    pub fn check(&self, gvk: &Gvk, object: &Value) -> Vec<Finding> {
        let mut check = Check { pointer: Pointer::default(), found: Vec::new() };
        let Some(definition) = self.0.get(&(gvk.group.to_string(), gvk.kind.to_string())) else {
            return check.found;
        };
        let served = definition.versions.iter().filter(|version| version.served);
        match served.clone().find(|version| *version.name == *gvk.version) {
            Some(version) => check.value(&version.schema, object, Level::Root),
            None => {
                let names: Vec<&str> = served.map(|version| version.name.as_str()).collect();
                let message =
                    format!("its definition does not serve {}, but {}", gvk.version, names.join(", "));
                check.pointer.enter("apiVersion");
                check.broken(message);
            }
        }
        check.found
    }
}

/// How much of an object a schema speaks of.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// A whole object: what every object has is not the schema's to name.
    Root,
    Part,
}

struct Check {
    pointer: Pointer,
    found: Vec<Finding>,
}

/// What every object has: a schema of a whole object need not name it.
const OWN_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Check {
    fn value(&mut self, schema: &Value, value: &Value, level: Level) {
        if value.is_null() {
            // What has a default gets that instead.
            if schema["nullable"] != true && schema["default"].is_null() {
                self.wrong(wanted(schema["type"].as_str().unwrap_or_default()), value);
            }
            return;
        }
        if schema["x-kubernetes-int-or-string"] == true {
            if !value.is_string() && !value.is_i64() && !value.is_u64() {
                self.wrong("a whole number or text", value);
            }
            return self.limits(schema, value);
        }
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Some("number") => value.is_number(),
            _ => true,
        };
        if !fits {
            return self.wrong(wanted(schema["type"].as_str().unwrap_or_default()), value);
        }
        match value {
            Value::Object(map) => self.fields(schema, map, level),
            Value::Array(items) => self.items(schema, items),
            _ => {}
        }
        self.limits(schema, value);
    }

    fn fields(&mut self, schema: &Value, map: &Map<String, Value>, level: Level) {
        let is_whole = level == Level::Root || schema["x-kubernetes-embedded-resource"] == true;
        let known = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true
            || others == &Value::Bool(true)
            || (known.is_none() && schema["type"].is_null());
        let is_required =
            |name: &str| schema["required"].as_array().into_iter().flatten().any(|one| one == name);
        for (name, value) in map {
            if is_whole && OWN_FIELDS.contains(&name.as_str()) || level == Level::Root && name == "status" {
                continue;
            }
            let below = known.and_then(|known| known.get(name)).or(others.is_object().then_some(others));
            let length = self.pointer.enter(name);
            match below {
                // Told as missing.
                Some(_) if value.is_null() && is_required(name) => {}
                Some(below) => self.value(below, value, Level::Part),
                None if keeps || value.is_null() => {}
                None => {
                    let names = known.into_iter().flat_map(Map::keys).map(String::as_str);
                    self.add(What::Unknown { field: name.clone(), similar: nearest(names, name) });
                }
            }
            self.pointer.leave(length);
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let has_default =
                known.and_then(|known| known.get(name)).is_some_and(|field| !field["default"].is_null());
            let is_own = level == Level::Root && (name == "status" || OWN_FIELDS.contains(&name));
            if map.get(name).is_none_or(Value::is_null) && !has_default && !is_own {
                self.add(What::Missing { field: name.to_owned() });
            }
        }
    }

    fn items(&mut self, schema: &Value, items: &[Value]) {
        for (nth, item) in items.iter().enumerate() {
            let length = self.pointer.enter(&nth.to_string());
            self.value(&schema["items"], item, Level::Part);
            self.pointer.leave(length);
        }
        let keys: Vec<&str> = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Vec::new(),
            Some("map") => schema["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
            _ => return,
        };
        let mut seen = HashSet::new();
        for (nth, item) in items.iter().enumerate() {
            let default = |key: &str| schema["items"]["properties"][key]["default"].clone();
            let part = |key: &&str| item.get(*key).cloned().unwrap_or_else(|| default(key)).to_string();
            let id: Vec<String> = match keys.is_empty() {
                true => vec![item.to_string()],
                false => keys.iter().map(part).collect(),
            };
            if !seen.insert(id) {
                let length = self.pointer.enter(&nth.to_string());
                let message = match keys.is_empty() {
                    true => "is there twice".to_owned(),
                    false => format!("has the {} of an item before it", keys.join(" and ")),
                };
                self.broken(message);
                self.pointer.leave(length);
            }
        }
    }

    /// What a schema says beyond types.
    fn limits(&mut self, schema: &Value, value: &Value) {
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            let words: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            self.broken(format!("must be one of {}", words.join(", ")));
        }
        let mut bound = |key: &str, holds: &dyn Fn(f64) -> bool, word: &str| {
            if let Some(limit) = schema[key].as_f64()
                && !holds(limit)
            {
                self.found.push(Finding {
                    pointer: self.pointer.as_str().to_owned(),
                    what: What::Broken { message: format!("{word} {limit}") },
                });
            }
        };
        if let Some(number) = value.as_f64() {
            let is_exclusive = |key: &str| schema[key] == true;
            let (low, high) = (is_exclusive("exclusiveMinimum"), is_exclusive("exclusiveMaximum"));
            bound(
                "minimum",
                &|limit| number > limit || !low && number >= limit,
                if low { "must be more than" } else { "must be at least" },
            );
            bound(
                "maximum",
                &|limit| number < limit || !high && number <= limit,
                if high { "must be less than" } else { "must be at most" },
            );
            bound("multipleOf", &|limit| (number / limit).fract() == 0.0, "must be a multiple of");
        }
        // A count is far below what a float holds exactly.
        let mut count = |least: &str, most: &str, count: usize, what: &str| {
            bound(least, &|limit| count as f64 >= limit, &format!("{what} must be at least"));
            bound(most, &|limit| count as f64 <= limit, &format!("{what} must be at most"));
        };
        match value {
            Value::String(text) => count("minLength", "maxLength", text.chars().count(), "its length"),
            Value::Array(items) => count("minItems", "maxItems", items.len(), "its items"),
            Value::Object(map) => count("minProperties", "maxProperties", map.len(), "its fields"),
            _ => {}
        }
        if let (Some(pattern), Value::String(text)) = (schema["pattern"].as_str(), value)
            && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
        {
            self.broken(format!("does not match {pattern}"));
        }
        self.combined(schema, value);
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`: of these only whether they hold is told, but for `allOf`.
    fn combined(&mut self, schema: &Value, value: &Value) {
        let list = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
        for part in list("allOf") {
            let mut found = self.of_part(&part, value);
            self.found.append(&mut found);
        }
        let fitting = |this: &Self, key: &str| {
            list(key).iter().filter(|part| this.of_part(part, value).is_empty()).count()
        };
        if !list("anyOf").is_empty() && fitting(self, "anyOf") == 0 {
            self.broken("fits none of the forms that its schema allows".to_owned());
        }
        if !list("oneOf").is_empty() && fitting(self, "oneOf") != 1 {
            self.broken("must fit exactly one of the forms that its schema allows".to_owned());
        }
        if schema["not"].is_object() && self.of_part(&schema["not"], value).is_empty() {
            self.broken("has a form that its schema forbids".to_owned());
        }
    }

    /// What a part of a schema says of values; fields are the whole schema's to name.
    fn of_part(&self, part: &Value, value: &Value) -> Vec<Finding> {
        let mut check = Self { pointer: self.pointer.clone(), found: Vec::new() };
        check.value(part, value, Level::Part);
        check.found.retain(|finding| !matches!(finding.what, What::Unknown { .. }));
        check.found
    }

    fn wrong(&mut self, wanted: &'static str, value: &Value) {
        self.add(What::WrongType { wanted, found: kind(value) });
    }

    fn broken(&mut self, message: String) {
        self.add(What::Broken { message });
    }

    fn add(&mut self, what: What) {
        self.found.push(Finding { pointer: self.pointer.as_str().to_owned(), what });
    }
}

fn wanted(name: &str) -> &'static str {
    match name {
        "object" => "a map",
        "array" => "a list",
        "string" => "text (put it in quotes)",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "something",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: Value, object: Value) -> Vec<String> {
        let mut definitions = Definitions::default();
        definitions.add(&json!({"spec": {"group": "example.org", "names": {"kind": "Widget"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
            {"name": "v1beta1", "served": false, "storage": false},
        ]}}));
        let gvk = Gvk::from_api_version(object["apiVersion"].as_str().unwrap(), "Widget");
        definitions.check(&gvk, &object).iter().map(Finding::to_string).collect()
    }

    fn of_spec(schema: Value, spec: Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"spec": schema}});
        let metadata = json!({"name": "a", "labels": {}});
        found(
            schema,
            json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": metadata, "spec": spec}),
        )
    }

    #[test]
    fn each_rule_of_a_schema_refuses_what_breaks_it_and_nothing_else() {
        let object = |properties: Value| json!({"type": "object", "properties": properties});
        let one = |schema: Value| object(json!({"a": schema}));
        for (schema, good, bad, says) in [
            (
                one(json!({"type": "string"})),
                json!("x"),
                json!(1),
                "spec.a must be text (put it in quotes), and is a number",
            ),
            (
                one(json!({"type": "integer"})),
                json!(1.0),
                json!(1.5),
                "spec.a must be a whole number, and is a number with a fraction",
            ),
            (
                one(json!({"type": "boolean"})),
                json!(true),
                json!("true"),
                "spec.a must be true or false, and is text",
            ),
            (
                one(json!({"type": "string", "enum": ["x", "y"]})),
                json!("x"),
                json!("z"),
                r#"spec.a must be one of "x", "y""#,
            ),
            (
                one(json!({"type": "string", "pattern": "^[a-z]+$"})),
                json!("x"),
                json!("X"),
                "spec.a does not match ^[a-z]+$",
            ),
            (one(json!({"type": "integer", "minimum": 1})), json!(1), json!(0), "spec.a must be at least 1"),
            (
                one(json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true})),
                json!(2),
                json!(1),
                "spec.a must be more than 1",
            ),
            (one(json!({"type": "integer", "maximum": 9})), json!(9), json!(10), "spec.a must be at most 9"),
            (
                one(json!({"type": "integer", "multipleOf": 5})),
                json!(10),
                json!(9),
                "spec.a must be a multiple of 5",
            ),
            (
                one(json!({"type": "string", "maxLength": 2})),
                json!("äö"),
                json!("abc"),
                "spec.a its length must be at most 2",
            ),
            (
                one(json!({"type": "array", "minItems": 1, "items": {"type": "string"}})),
                json!(["x"]),
                json!([]),
                "spec.a its items must be at least 1",
            ),
            (
                one(json!({"type": "array", "items": {"type": "string"}})),
                json!(["x"]),
                json!([1]),
                "spec.a[0] must be text (put it in quotes), and is a number",
            ),
            (
                one(json!({"type": "object", "additionalProperties": {"type": "integer"}})),
                json!({"k": 1}),
                json!({"k": "v"}),
                "spec.a.k must be a whole number, and is text",
            ),
            (
                one(json!({"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}})),
                json!({"b": "x"}),
                json!({}),
                r#"spec.a lacks "b""#,
            ),
            (
                one(json!({"x-kubernetes-int-or-string": true})),
                json!("25%"),
                json!(true),
                "spec.a must be a whole number or text, and is true or false",
            ),
            (
                one(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}})),
                json!(["x", "y"]),
                json!(["x", "x"]),
                "spec.a[1] is there twice",
            ),
            (
                one(
                    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}}}),
                ),
                json!([{"name": "x"}, {"name": "y"}]),
                json!([{"name": "x"}, {"name": "x"}]),
                "spec.a[1] has the name of an item before it",
            ),
            (
                one(json!({"type": "string", "anyOf": [{"minLength": 3}, {"enum": ["x"]}]})),
                json!("x"),
                json!("y"),
                "spec.a fits none of the forms that its schema allows",
            ),
            (
                one(
                    json!({"type": "object", "properties": {"b": {"type": "string"}, "c": {"type": "string"}},
                "oneOf": [{"required": ["b"]}, {"required": ["c"]}]}),
                ),
                json!({"b": "x"}),
                json!({"b": "x", "c": "x"}),
                "spec.a must fit exactly one of the forms that its schema allows",
            ),
            (
                one(json!({"type": "string", "not": {"enum": ["x"]}})),
                json!("y"),
                json!("x"),
                "spec.a has a form that its schema forbids",
            ),
            (
                one(json!({"type": "string", "allOf": [{"minLength": 2}]})),
                json!("xy"),
                json!("x"),
                "spec.a its length must be at least 2",
            ),
            (
                one(json!({"type": "array", "items": {"type": "object"}})),
                json!([{}]),
                json!([null]),
                "spec.a[0] must be a map, and is null",
            ),
        ] {
            assert_eq!(of_spec(schema.clone(), json!({"a": good})), [""; 0], "{schema}");
            assert_eq!(of_spec(schema.clone(), json!({"a": bad})), [says], "{schema}");
        }
    }

    #[test]
    fn what_a_schema_does_not_name_is_refused_where_it_would_be_pruned() {
        let schema = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
        assert_eq!(
            of_spec(schema.clone(), json!({"replica": 1})),
            [r#"spec.replica: there is no field "replica" here; did you mean "replicas"?"#]
        );
        let mut keeps = schema.clone();
        keeps["x-kubernetes-preserve-unknown-fields"] = json!(true);
        assert_eq!(of_spec(keeps, json!({"replica": 1})), [""; 0]);
        let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object", "properties": {}}}});
        assert_eq!(
            of_spec(
                embedded,
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}})
            ),
            [""; 0]
        );
        // A default fills in, and a status is not what is applied.
        let defaults = json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "string"}}});
        assert_eq!(of_spec(defaults, json!({"b": null})), [r#"spec lacks "b""#]);
        let schema = json!({"type": "object", "required": ["spec", "status"], "properties": {"spec": {"type": "object"}}});
        let object = json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {}, "status": {"x": 1}});
        assert_eq!(found(schema, object), [""; 0]);
    }

    #[test]
    fn a_version_that_is_not_served_is_refused() {
        let object =
            |version: &str| json!({"apiVersion": format!("example.org/{version}"), "kind": "Widget"});
        for version in ["v2", "v1beta1"] {
            let said = found(json!({}), object(version));
            assert_eq!(said, [format!("apiVersion its definition does not serve {version}, but v1")]);
        }
        assert_eq!(found(json!({}), object("v1")), [""; 0]);
    }
}
