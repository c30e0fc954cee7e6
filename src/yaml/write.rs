//! YAML out.

use serde_json::Value;

/// Writes one document, keys in the order of the map, that every reader takes for the same value.
pub fn write(value: &Value) -> String {
    serde_saphyr::to_string(value).expect("a JSON value can always be written as YAML")
}

/// Writes a stream of documents, each after a `---`.
pub fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        out.push_str(&write(value));
    }
    out
}
