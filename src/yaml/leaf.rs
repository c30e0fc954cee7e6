//! One scalar, and what it means as a value or as a key in each dialect.

use std::borrow::Cow;

use granit_parser::{ScalarStyle, Tag};
use serde_json::Value;

use super::node::{Node, Odd, Text, go_number};
use super::refold::refold;
use super::scalar::{self, Resolved};
use super::{Dialect, tags};

#[derive(Clone)]
pub(super) struct Scalar<'t> {
    pub text: Cow<'t, str>,
    pub style: ScalarStyle,
    pub tag: Option<&'t Tag>,
    /// Whether it stands between brackets or braces.
    pub flow: bool,
    /// Whether the file ends with it, and without a line break.
    pub unended: bool,
}

/// What a key says.
pub(super) enum KeyText {
    Text(String),
    Merge,
}

/// Why a scalar cannot stand where it stands, and what to do. Holds nothing of its text.
pub(super) struct Unfit {
    pub message: String,
    pub hint: Option<&'static str>,
}

impl Unfit {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub fn hint(message: &str, hint: &'static str) -> Self {
        Self { message: message.to_owned(), hint: Some(hint) }
    }
}

impl Scalar<'_> {
    pub fn value(mut self, dialect: Dialect) -> Result<Node, Unfit> {
        let resolved = self.resolve(dialect)?;
        // Before its second reading kustomize puts quotes around what cannot stand plain between braces.
        let quoted = self.flow && dialect == Dialect::Kustomize;
        let value = match resolved {
            Resolved::Text | Resolved::Merge => return Ok(self.into_text()),
            Resolved::Time(time) if dialect == Dialect::Kustomize && !(quoted && self.text.contains(':')) => {
                return Ok(self.with_writing(Value::String(time)));
            }
            Resolved::Time(_) => return Ok(self.into_text()),
            Resolved::Tagged(text) => return Ok(Node::text(text)),
            Resolved::Null if quoted && self.text.is_empty() => Value::String(String::new()),
            Resolved::Null => Value::Null,
            Resolved::Bool(truth) => Value::Bool(truth),
            number @ (Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_)) => {
                scalar::json_number(&number).ok_or_else(|| {
                    Unfit::hint(
                        "infinity and not-a-number have no place in JSON",
                        "put the value in quotes if it is text",
                    )
                })?
            }
        };
        Ok(self.with_writing(value))
    }

    fn into_text(self) -> Node {
        // A tag says what it is; whether there are quotes too says nothing more.
        let quoted = (self.tag.is_none() && self.style != ScalarStyle::Plain).then_some(true);
        Node::Text(Text { value: self.text.into_owned(), quoted, loose: false })
    }

    /// A value that is not text keeps its own way of being written where JSON has another.
    fn with_writing(self, value: Value) -> Node {
        if self.tag.is_some() {
            return Node::from(value);
        }
        let same = match &value {
            Value::Null => self.text == "null",
            Value::Bool(truth) => self.text == if *truth { "true" } else { "false" },
            Value::Number(number) => is_written_as(number, &self.text),
            _ => false,
        };
        if same {
            Node::from(value)
        } else {
            Node::Odd(Box::new(Odd { value, text: self.text.into_owned() }))
        }
    }

    pub fn key(mut self, dialect: Dialect) -> Result<KeyText, Unfit> {
        let resolved = self.resolve(dialect)?;
        key(resolved, &self.text, dialect)
    }

    fn resolve(&mut self, dialect: Dialect) -> Result<Resolved, Unfit> {
        if matches!(self.style, ScalarStyle::Literal | ScalarStyle::Folded) {
            self.block(dialect);
        }
        tags::resolve(&self.text, self.style, self.tag, dialect).map_err(Unfit::new)
    }

    /// A block of text as the tool has it.
    fn block(&mut self, dialect: Dialect) {
        // kubectl reads line by line and supplies a missing last line break; kustomize does not.
        if self.unended && dialect != Dialect::Kubectl && self.text.ends_with('\n') {
            self.text.to_mut().pop();
        }
        if self.style == ScalarStyle::Folded && dialect == Dialect::Kustomize {
            self.text = refold(&self.text).into();
        }
    }
}

pub(super) fn key(resolved: Resolved, text: &str, dialect: Dialect) -> Result<KeyText, Unfit> {
    if resolved == Resolved::Merge {
        return Ok(KeyText::Merge);
    }
    match scalar::key(resolved, text, dialect) {
        Some(key) => Ok(KeyText::Text(key)),
        None => Err(Unfit::hint("a key here is not text", "put the key in quotes")),
    }
}

/// Whether Go would write a number as it stands in the file.
fn is_written_as(number: &serde_json::Number, text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let plain = digits.iter().all(u8::is_ascii_digit) && (digits[0] != b'0' || text.len() == 1);
    // Most numbers are small and written plainly: then there is nothing to compare.
    (plain && number.is_i64()) || go_number(number) == text
}

/// The key that an alias stands for.
pub(super) fn alias_key(value: &Node, dialect: Dialect) -> Result<KeyText, Unfit> {
    let value = &value.to_value();
    let resolved = match value {
        Value::String(_) => Resolved::Text,
        Value::Bool(truth) => Resolved::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Resolved::Int(int),
            None => number.as_f64().map_or(Resolved::Null, Resolved::Float),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Resolved::Null,
    };
    key(resolved, value.as_str().unwrap_or_default(), dialect)
}
