//! YAML out: block style, and quotes wherever any reader of YAML 1.1 or 1.2 might see anything but the text.
//!
//! Written here, because what is needed is small and exact: `serde-saphyr` reads back what it writes, but among three
//! thousand awkward strings there were some that kubectl refused.

use serde_json::{Map, Value};

use super::Dialect;
use super::scalar::{self, Resolved};

/// go-yaml gives up on a key that is longer than 1,024 bytes unless `?` announces it; quotes and escapes count.
const KEY_BYTES: usize = 1_000;

/// Writes one document, keys in the order of the map, that every reader takes for the same value.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        _ => leaf(value, 2, &mut out),
    }
    out
}

/// Writes a stream of documents, with `---` between them.
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

/// The entries of a map, the first of them where the cursor stands, the others at the indentation.
fn entries(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (at, (name, value)) in map.iter().enumerate() {
        if at > 0 {
            spaces(indent, out);
        }
        let start = out.len();
        inline(name, out);
        if out.len() - start > KEY_BYTES {
            out.insert_str(start, "? ");
            out.push('\n');
            spaces(indent, out);
        }
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                spaces(indent + 2, out);
                entries(map, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                spaces(indent, out);
                list(items, indent, out);
            }
            _ => {
                out.push(' ');
                leaf(value, indent + 2, out);
            }
        }
    }
}

/// The items of a list, the first of them where the cursor stands.
fn list(items: &[Value], indent: usize, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            spaces(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => entries(map, indent + 2, out),
            Value::Array(items) if !items.is_empty() => list(items, indent + 2, out),
            _ => leaf(item, indent + 2, out),
        }
    }
}

/// What stands on one line, or is a block of text below it.
fn leaf(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        Value::String(text) if is_block(text) => return block(text, indent, out),
        Value::String(text) => inline(text, out),
    }
    out.push('\n');
}

/// Whether a text can stand as it is below a `|`: no reader needs a hint to see where it begins and ends.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with("\n\n")
        && text.lines().all(|line| line.is_empty() || !line.trim().is_empty())
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
}

fn block(text: &str, indent: usize, out: &mut String) {
    out.push_str(if text.ends_with('\n') { "|\n" } else { "|-\n" });
    for line in text.lines() {
        if !line.is_empty() {
            spaces(indent, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn inline(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.contains(['"', '\\']) && text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        double_quoted(text, out);
    }
}

/// Whether a text means itself without quotes, to every reader. Some that would are quoted, no harm done.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = match bytes {
        [first, ..] if first.is_ascii_alphanumeric() => true,
        [b'/' | b'_', ..] => true,
        // `--flag`, `-f`: a dash before a letter begins no list.
        [b'-', b'a'..=b'z' | b'A'..=b'Z', ..] | [b'-', b'-', b'a'..=b'z' | b'A'..=b'Z', ..] => true,
        _ => false,
    };
    begins
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || b" -_./:=+@,%()#$;~^*&!?".contains(&byte))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !is_word(text)
        && !is_like_a_number(text)
        && scalar::resolve(text, Dialect::Kubectl) == Resolved::Text
        && scalar::resolve(text, Dialect::Kustomize) == Resolved::Text
}

/// The words of YAML 1.1 in any case: some readers are looser about it than go-yaml.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Numbers of any reader, times and dates, `12:30` in base 60, `0b-1`.
fn is_like_a_number(text: &str) -> bool {
    text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b"_.:+-xXoOtTzZ ".contains(&byte))
}

/// What every reader takes as it stands: no control, no line break of YAML 1.1, no mark that is eaten.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' | '\u{A1}'..='\u{2027}' | '\u{202A}'..='\u{D7FF}' => true,
        '\u{E000}'..='\u{FFFD}' => c != '\u{FEFF}',
        '\u{10000}'.. => true,
        _ => false,
    }
}

fn double_quoted(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_printable(c) => out.push(c),
            _ => write!(out, "\\u{:04X}", u32::from(c)).expect("writing to a String cannot fail"),
        }
    }
    out.push('"');
}

fn spaces(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}
