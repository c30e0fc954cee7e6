//! The suffix of a generated object's name, made from its content, so that a change of content is a change of name.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::resource::Resource;
use crate::yaml::Node;

/// Ten characters of the SHA-256 of the content, without those that could make up words.
pub(crate) fn suffix(object: &Resource) -> String {
    let content = match object.kind() {
        "Secret" => fields(object, "Secret", &["data", "type"], "stringData"),
        kind => fields(object, kind, &["data"], "binaryData"),
    };
    let mut text = serde_json::to_string(&content).unwrap_or_default();
    for (plain, escaped) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        if text.contains(plain) {
            text = text.replace(plain, escaped);
        }
    }
    let hash = Sha256::digest(text.as_bytes());
    let hex: String = hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let safe = |digit: char| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        digit => digit,
    };
    hex.chars().map(safe).collect()
}

fn fields(object: &Resource, kind: &str, always: &[&str], where_present: &str) -> Value {
    let mut map = Map::new();
    map.insert("kind".to_owned(), json!(kind));
    map.insert("name".to_owned(), json!(""));
    for field in always {
        let value = match object.node.get(field) {
            None => json!(""),
            Some(node @ Node::Map(_)) => node.to_value(),
            Some(node) => node.scalar().map_or(Value::Null, Value::String),
        };
        map.insert((*field).to_owned(), value);
    }
    if let Some(node @ Node::Map(_)) = object.node.get(where_present) {
        map.insert(where_present.to_owned(), node.to_value());
    }
    Value::Object(map)
}
