//! An object against the fields of its kind, offline: what a strict server would refuse about its shape.
//!
//! A finding names keys and types, never a value. `status` is left out, because the server ignores it in what is
//! applied; null means absent. What a server decides by more than shape (ranges, formats, references) is its own.

use std::fmt;

use serde_json::{Map, Value};

use super::types::{Shape, TypeRef};
use super::{Builtin, Field};
use crate::object::Gvk;

/// Something about the shape of an object, and the JSON pointer to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub pointer: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The kind has no such field; perhaps one with a similar name.
    Unknown {
        field: String,
        similar: Option<String>,
    },
    WrongType {
        wanted: &'static str,
        found: &'static str,
    },
    Missing {
        field: String,
    },
    /// What the schema says beyond types, in words.
    Broken {
        message: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = dotted(&self.pointer);
        match &self.what {
            What::Unknown { field, similar: None } => write!(f, "{path}: there is no field {field:?} here"),
            What::Unknown { field, similar: Some(similar) } => {
                write!(f, "{path}: there is no field {field:?} here; did you mean {similar:?}?")
            }
            What::WrongType { wanted, found } => write!(f, "{path} must be {wanted}, and is {found}"),
            What::Missing { field } => write!(f, "{path} lacks {field:?}"),
            What::Broken { message } => write!(f, "{path} {message}"),
        }
    }
}

/// Checks an object of a built-in kind. Of other kinds nothing is known, and nothing is found.
pub fn check(builtin: &Builtin, gvk: &Gvk, object: &Value) -> Vec<Finding> {
    let mut check = Check { pointer: Pointer::default(), found: Vec::new() };
    if let (Some(root), Value::Object(map)) = (builtin.root(gvk), object) {
        check.fields(root, map, true);
    }
    check.found
}

/// The way to what is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointer(String);

impl Pointer {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Goes one step on; what it gives leads back.
    pub fn enter(&mut self, token: &str) -> usize {
        let length = self.0.len();
        self.0.push('/');
        self.0.push_str(&token.replace('~', "~0").replace('/', "~1"));
        length
    }

    pub fn leave(&mut self, length: usize) {
        self.0.truncate(length);
    }
}

struct Check {
    pointer: Pointer,
    found: Vec<Finding>,
}

impl Check {
    fn fields(&mut self, at: TypeRef<'_>, map: &Map<String, Value>, root: bool) {
        for (name, value) in map {
            if value.is_null() || root && name == "status" {
                continue;
            }
            self.within(name, |this| match at.field(name) {
                Some(Field { shape, .. }) => this.value(at, shape, value),
                None => this.add(What::Unknown { field: name.clone(), similar: similar(at, name) }),
            });
        }
        let mut missing: Vec<&str> = at
            .fields()
            .filter(|(name, field)| field.required && map.get(*name).is_none_or(Value::is_null))
            .filter(|(name, _)| !(root && *name == "status"))
            .map(|(name, _)| name)
            .collect();
        missing.sort_unstable();
        for field in missing {
            self.add(What::Missing { field: field.to_owned() });
        }
    }

    fn value(&mut self, at: TypeRef<'_>, shape: &Shape, value: &Value) {
        let wanted = match (shape, value) {
            (_, Value::Null)
            | (Shape::Anything, _)
            | (Shape::Object, Value::Object(_))
            | (
                Shape::Text | Shape::Time | Shape::Base64 | Shape::IntegerOrText | Shape::Quantity,
                Value::String(_),
            )
            | (Shape::Number | Shape::Quantity, Value::Number(_))
            | (Shape::Boolean, Value::Bool(_)) => return,
            (Shape::Integer | Shape::IntegerOrText, Value::Number(number)) if !number.is_f64() => return,
            (Shape::Type(_), Value::Object(map)) => {
                if let Some(below) = at.resolve(shape) {
                    self.fields(below, map, false);
                }
                return;
            }
            (Shape::List(items), Value::Array(values)) => {
                for (n, value) in values.iter().enumerate() {
                    self.within(&n.to_string(), |this| this.value(at, items, value));
                }
                return;
            }
            (Shape::Map(values), Value::Object(map)) => {
                for (name, value) in map {
                    self.within(name, |this| this.value(at, values, value));
                }
                return;
            }
            (Shape::Text, _) => "text (put it in quotes)",
            (Shape::Time, _) => "a time as text",
            (Shape::Base64, _) => "base64 text",
            (Shape::Integer, _) => "a whole number",
            (Shape::Number, _) => "a number",
            (Shape::Boolean, _) => "true or false",
            (Shape::IntegerOrText, _) => "a whole number or text",
            (Shape::Quantity, _) => "a quantity such as 500m or 1Gi",
            (Shape::List(_), _) => "a list",
            (Shape::Object | Shape::Type(_) | Shape::Map(_), _) => "a map",
        };
        self.add(What::WrongType { wanted, found: kind(value) });
    }

    fn within(&mut self, token: &str, look: impl FnOnce(&mut Self)) {
        let length = self.pointer.enter(token);
        look(self);
        self.pointer.leave(length);
    }

    fn add(&mut self, what: What) {
        self.found.push(Finding { pointer: self.pointer.as_str().to_owned(), what });
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// `/spec/containers/0/name` as people write it: `spec.containers[0].name`; the object itself where it is empty.
fn dotted(pointer: &str) -> String {
    let mut out = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            out += &format!("[{token}]");
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out += &token;
        }
    }
    if out.is_empty() { "the object".to_owned() } else { out }
}

/// The field whose name is closest, if it is close: two letters apart at most, or another case.
fn similar(at: TypeRef<'_>, name: &str) -> Option<String> {
    nearest(at.fields().map(|(known, _)| known), name)
}

pub(super) fn nearest<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    /// Beyond this a name has another meaning, not a typing mistake.
    const NEAR: usize = 2;
    names
        .map(|known| (distance(&known.to_ascii_lowercase(), &name.to_ascii_lowercase()), known))
        .filter(|&(distance, known)| distance <= NEAR.min(known.len() / 3))
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Letters to insert, remove or exchange to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let exchanged = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
