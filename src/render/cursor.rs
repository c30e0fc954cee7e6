//! Reading a typed file with a place for every complaint: a value, the JSON pointer to it, its document.
//!
//! As kustomize does, field names are taken whatever their case, null is the same as absent, and an unknown field or a
//! value of another type is an error.

use serde_json::{Map, Value};

use super::source::Doc;
use crate::object::{Place, Problem};

#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    doc: &'a Doc,
    value: &'a Value,
    pointer: String,
}

/// Collects what is wrong, so that all of it is told at once.
pub(crate) type Found = Vec<Problem>;

impl<'a> Cursor<'a> {
    pub fn new(doc: &'a Doc) -> Self {
        Self { doc, value: doc.value(), pointer: String::new() }
    }

    pub fn place(&self) -> Place {
        self.doc.place_of(&self.pointer)
    }

    pub fn value(&self) -> &'a Value {
        self.value
    }

    pub fn doc(&self) -> &'a Doc {
        self.doc
    }

    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.place(), message)
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        Self { doc: self.doc, value, pointer: format!("{}/{key}", self.pointer) }
    }

    /// The last part of the pointer, as messages name it.
    fn name(&self) -> &str {
        self.pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default()
    }

    /// The fields of a map. Names that are not among `known` are errors.
    pub fn fields(&self, known: &[&'static str], found: &mut Found) -> Vec<(&'static str, Cursor<'a>)> {
        let Some(map) = self.map(found) else {
            return Vec::new();
        };
        let mut fields = Vec::new();
        for (key, value) in map {
            let cursor = self.below(key, value);
            match known
                .iter()
                .find(|known| **known == key)
                .or_else(|| known.iter().find(|known| known.eq_ignore_ascii_case(key)))
            {
                Some(known) if !value.is_null() => fields.push((*known, cursor)),
                Some(_) => {}
                None => found.push(unknown_field(&cursor, key, known)),
            }
        }
        fields
    }

    fn map(&self, found: &mut Found) -> Option<&'a Map<String, Value>> {
        match self.value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            _ => {
                found.push(self.wrong("a map"));
                None
            }
        }
    }

    fn wrong(&self, wanted: &str) -> Problem {
        let have = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        let problem = self.problem(format!("`{}` must be {wanted}, not {have}", self.name()));
        if wanted == "text" && !self.value.is_object() && !self.value.is_array() {
            problem.hint("put it in quotes")
        } else {
            problem
        }
    }

    pub fn items(&self, found: &mut Found) -> Vec<Cursor<'a>> {
        match self.value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(nth, item)| self.below(&nth.to_string(), item)).collect()
            }
            Value::Null => Vec::new(),
            _ => {
                found.push(self.wrong("a list"));
                Vec::new()
            }
        }
    }

    pub fn text(&self, found: &mut Found) -> String {
        match self.value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            _ => {
                found.push(self.wrong("text"));
                String::new()
            }
        }
    }

    pub fn bool(&self, found: &mut Found) -> bool {
        match self.value {
            Value::Bool(value) => *value,
            Value::Null => false,
            _ => {
                found.push(self.wrong("true or false"));
                false
            }
        }
    }

    pub fn int(&self, found: &mut Found) -> i64 {
        match self.value {
            Value::Null => 0,
            value => value.as_i64().unwrap_or_else(|| {
                found.push(self.wrong("a whole number"));
                0
            }),
        }
    }

    pub fn texts(&self, found: &mut Found) -> Vec<(Place, String)> {
        self.items(found).iter().map(|item| (item.place(), item.text(found))).collect()
    }

    pub fn text_map(&self, found: &mut Found) -> Vec<(String, String)> {
        let Some(map) = self.map(found) else {
            return Vec::new();
        };
        map.iter().map(|(key, value)| (key.clone(), self.below(key, value).text(found))).collect()
    }
}

fn unknown_field(cursor: &Cursor<'_>, key: &str, known: &[&str]) -> Problem {
    let problem = cursor.problem(format!("there is no field `{key}` here"));
    let close = known.iter().find(|known| {
        let (known, key) = (known.to_ascii_lowercase(), key.to_ascii_lowercase());
        known.starts_with(&key) || key.starts_with(&known)
    });
    match close {
        Some(close) => problem.hint(format!("is `{close}` meant?")),
        None => problem.hint(format!("known are {}", known.join(", "))),
    }
}
