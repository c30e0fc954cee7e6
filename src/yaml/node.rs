//! A value as it was read: JSON, and what JSON forgets of a scalar. Overlays work on these.
//!
//! kustomize edits the YAML tree, not the values in it, and that shows: a `5` put over a quoted string becomes `"5"`,
//! over a plain one `5`; an annotation `1.10` is the text `1.10`. So text knows whether it was quoted, and a scalar
//! that is written in another way than JSON would write it keeps its own text.

use serde_json::{Number, Value};

use super::Dialect;
pub use super::map::Map;
use super::scalar::{Resolved, resolve};

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Map(Map),
    /// A null, boolean, number or date that is not written as JSON writes it: `True`, `0644`, `1.10`, `2026-11-21`,
    /// nothing at all (which in braces kustomize puts out as empty text).
    Odd(Box<Odd>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Odd {
    pub value: Value,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Text {
    pub value: String,
    /// Whether it stands in quotes or in a block, where that was looked up: then what is put over it stays text.
    pub quoted: Option<bool>,
    /// Whether kustomize made it without saying of what type it is. Everything takes it for text until it is written;
    /// without quotes it is then what it looks like.
    pub loose: bool,
}

impl Text {
    pub fn new(value: impl Into<String>, quoted: bool) -> Self {
        Self { value: value.into(), quoted: Some(quoted), loose: false }
    }

    pub fn loose(value: impl Into<String>) -> Self {
        Self { value: value.into(), quoted: Some(false), loose: true }
    }

    /// Another value in the same place, written in the same way.
    pub fn replaced_by(&self, value: impl Into<String>) -> Self {
        Self { value: value.into(), quoted: Some(self.is_quoted()), loose: self.loose }
    }

    /// A strategic merge writes text that would be read as something else in quotes, wherever it comes by.
    pub fn settle(&mut self) {
        if self.quoted == Some(false) || self.value.len() <= 5 {
            let needs = is_old_boolean(&self.value) || (!self.value.is_empty() && needs_quotes(&self.value));
            self.quoted = needs.then_some(true).or(self.quoted);
        }
    }

    /// What would be read as something else must stand in quotes; of other text it is taken that it does not.
    pub fn is_quoted(&self) -> bool {
        self.quoted.unwrap_or_else(|| needs_quotes(&self.value))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(Text { value: value.into(), quoted: None, loose: false })
    }

    pub fn is_quoted(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_quoted())
    }

    /// Text as kustomize writes it where a field is new: in quotes where it would be read as something else.
    pub fn fresh(value: impl Into<String>) -> Self {
        let value = value.into();
        let quoted =
            is_old_boolean(&value) || (!value.is_empty() && !value.contains('\n') && needs_quotes(&value));
        Self::Text(Text::new(value, quoted))
    }

    pub fn quoted(value: impl Into<String>) -> Self {
        Self::Text(Text::new(value, true))
    }

    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Odd(odd) => odd.value.is_null() || odd.text.is_empty(),
            _ => false,
        }
    }

    /// Null, an empty map or an empty list.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Map(map) => map.is_empty(),
            Self::List(list) => list.is_empty(),
            other => other.is_null(),
        }
    }

    pub fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Node]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_map_mut()?.get_mut(key)
    }

    /// A scalar as it is written; `None` for lists and maps.
    pub fn scalar(&self) -> Option<String> {
        Some(match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => go_number(number),
            Self::Text(text) => text.value.clone(),
            Self::Odd(odd) => odd.text.clone(),
            Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// What the tree's tools call the kind of a value, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Text(_) => "text",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Null => "null",
            Self::Odd(_) if self.is_null() => "null",
            Self::Odd(odd) if odd.value.is_boolean() => "a boolean",
            Self::Odd(odd) if odd.value.is_string() => "text",
            Self::Odd(_) => "a number",
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => match text.written() {
                Some(Self::Text(text)) => Value::String(text.value),
                Some(other) => other.into_value(),
                None => Value::String(text.value),
            },
            Self::List(list) => Value::Array(list.into_iter().map(Self::into_value).collect()),
            Self::Map(map) => {
                Value::Object(map.into_iter().map(|(key, value)| (key, value.into_value())).collect())
            }
            Self::Odd(odd) => odd.value,
        }
    }

    /// Appends this as JSON: compact and, because maps are sorted, with sorted keys.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(number) => leaf(number, out),
            Self::Text(text) => match text.written() {
                Some(written) => leaf(&written.into_value(), out),
                None => leaf(&text.value, out),
            },
            Self::Odd(odd) => leaf(&odd.value, out),
            Self::List(items) => {
                for (nth, item) in items.iter().enumerate() {
                    out.push(if nth == 0 { b'[' } else { b',' });
                    item.write_json(out);
                }
                out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
            }
            Self::Map(map) => {
                for (nth, (key, value)) in map.iter().enumerate() {
                    out.push(if nth == 0 { b'{' } else { b',' });
                    leaf(key, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.extend_from_slice(if map.is_empty() { b"{}" } else { b"}" });
            }
        }
    }

    pub fn to_value(&self) -> Value {
        self.clone().into_value()
    }
}

fn leaf(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a JSON value can be written to memory");
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::text(text.as_str()),
            Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            Value::Object(map) => {
                Self::Map(map.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::text(text),
            Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            Value::Object(map) => {
                Self::Map(map.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

/// A number as Go writes it: a float without a fraction has none.
pub fn go_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e21 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

/// Whether text would be read as something else if it stood without quotes: then it must have stood in some.
pub fn needs_quotes(text: &str) -> bool {
    let Some(first) = text.bytes().next() else {
        return true;
    };
    // Whoever writes several lines, or spaces at the ends, has used a block or quotes.
    if text.contains('\n') || text.starts_with(' ') || text.ends_with(' ') || text.ends_with(':') {
        return true;
    }
    if text.contains(": ") || text.contains(" #") {
        return true;
    }
    match first {
        b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@' | b'`' | b'{' | b'}' | b'[' | b']'
        | b',' | b'#' => true,
        b'-' | b'?' if text.len() == 1 || text.as_bytes()[1] == b' ' => true,
        b'0'..=b'9' | b'+' | b'-' | b'.' => looks_numeric(text),
        _ => is_word(text),
    }
}

fn is_word(text: &str) -> bool {
    matches!(
        text,
        "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE" | "<<" | "="
    )
}

/// Words that older YAML takes for booleans: kustomize writes them in quotes where it writes them anew.
pub fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    )
}

fn looks_numeric(text: &str) -> bool {
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let prefixed = |prefix: [&str; 2], radix| {
        prefix.iter().any(|prefix| unsigned.strip_prefix(prefix).is_some_and(|rest| digits(rest, radix)))
    };
    matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || prefixed(["0x", "0X"], 16)
        || prefixed(["0o", "0O"], 8)
        || prefixed(["0b", "0B"], 2)
        || (unsigned.bytes().any(|byte| byte.is_ascii_digit())
            && unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            && unsigned.parse::<f64>().is_ok())
        || matches!(resolve(text, Dialect::Kustomize), Resolved::Time(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_survive_the_way_there_and_back() {
        let value =
            json!({"a": [1, 1.5, true, null, "x\n\u{1}"], "b": {"c\"": "5", "d": []}, "e": {}, "f": -3e-9});
        let node = Node::from(value.clone());
        let mut json = Vec::new();
        node.write_json(&mut json);
        assert_eq!(String::from_utf8(json).unwrap(), value.to_string());
        assert_eq!(node.into_value(), value);
    }

    #[test]
    fn text_that_would_be_read_otherwise_was_quoted() {
        for text in
            ["", "5", "1.5", "1e3", "true", "null", "~", "- a", "a: b", "2026-11-21", "2026-11-21T00:00:00Z"]
        {
            assert!(needs_quotes(text), "{text:?}");
        }
        for text in ["a", "yes", "v1.2", "10.0.0.1", "1Gi", "http://x:80/y", "-x", "a-b"] {
            assert!(!needs_quotes(text), "{text:?}");
        }
    }
}
