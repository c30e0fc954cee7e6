//! YAML out: block style, and quotes wherever any reader of YAML 1.1 or 1.2 might see anything but the text.
//!
//! Written here, because what is needed is small and exact: `serde-saphyr` reads back what it writes, but among three
//! thousand awkward strings there were some that kubectl refused.

use std::borrow::Cow;

use serde_json::Value;

use super::Dialect;
use super::scalar::{self, Resolved};

/// go-yaml gives up on a key that is longer than 1,024 bytes unless `?` announces it; quotes and escapes count.
const KEY_BYTES: usize = 1_000;

/// Writes one document, keys in the order of the map, that every reader takes for the same value.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    write_json(&value.to_string(), &mut out);
    out
}

/// Writes a stream of documents, with `---` between them.
pub fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        write_json(&value.to_string(), &mut out);
    }
    out
}

/// Appends one document that is there as JSON, in the compact form that we write ourselves.
pub fn write_json(json: &str, out: &mut String) {
    let mut json = Json { text: json, at: 0 };
    match json.peek_into() {
        Shape::Map => entries(&mut json, 0, out),
        Shape::List => list(&mut json, 0, out),
        Shape::Leaf => leaf(&mut json, 2, out),
    }
}

/// A place in compact JSON.
struct Json<'t> {
    text: &'t str,
    at: usize,
}

enum Shape {
    /// With at least one entry; the place is the first key.
    Map,
    /// With at least one item; the place is the first one.
    List,
    /// What stands on one line, empty lists and maps among it.
    Leaf,
}

impl<'t> Json<'t> {
    fn peek_into(&mut self) -> Shape {
        let rest = &self.text.as_bytes()[self.at..];
        let shape = match rest {
            [b'{', b'}', ..] | [b'[', b']', ..] => return Shape::Leaf,
            [b'{', ..] => Shape::Map,
            [b'[', ..] => Shape::List,
            _ => return Shape::Leaf,
        };
        self.at += 1;
        shape
    }

    /// Passes the comma; false at the end of the list or map, which is passed too.
    fn goes_on(&mut self) -> bool {
        self.at += 1;
        self.text.as_bytes().get(self.at - 1) == Some(&b',')
    }

    /// Passes a key and its colon.
    fn key(&mut self) -> Cow<'t, str> {
        let key = self.string();
        self.at += 1;
        key
    }

    fn string(&mut self) -> Cow<'t, str> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start + 1..];
        let (mut length, mut escaped) = (0, false);
        loop {
            // Sixteen at a time, which the compiler makes one comparison.
            while let Some(some) = rest.get(length..length + 16)
                && !some.iter().fold(false, |any, byte| any | matches!(byte, b'"' | b'\\'))
            {
                length += 16;
            }
            match rest.get(length) {
                None | Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    length += 2;
                }
                Some(_) => length += 1,
            }
        }
        self.at = start + length + 2;
        let text = &self.text[start..self.at];
        if escaped {
            return Cow::Owned(serde_json::from_str(text).expect("what we wrote as JSON is JSON"));
        }
        Cow::Borrowed(&text[1..text.len() - 1])
    }

    /// A number or a word, or an empty list or map: each the same in YAML.
    fn word(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let length = match rest.as_bytes()[0] {
            b'{' | b'[' => 2,
            _ => rest.find([',', '}', ']']).unwrap_or(rest.len()),
        };
        self.at += length;
        &rest[..length]
    }
}

/// The entries of a map, the first of them where the cursor stands, the others at the indentation.
fn entries(json: &mut Json<'_>, indent: usize, out: &mut String) {
    let mut at = 0;
    loop {
        if at > 0 {
            spaces(indent, out);
        }
        at += 1;
        let start = out.len();
        inline(&json.key(), out);
        if out.len() - start > KEY_BYTES {
            out.insert_str(start, "? ");
            out.push('\n');
            spaces(indent, out);
        }
        out.push(':');
        match json.peek_into() {
            Shape::Map => {
                out.push('\n');
                spaces(indent + 2, out);
                entries(json, indent + 2, out);
            }
            Shape::List => {
                out.push('\n');
                spaces(indent, out);
                list(json, indent, out);
            }
            Shape::Leaf => {
                out.push(' ');
                leaf(json, indent + 2, out);
            }
        }
        if !json.goes_on() {
            return;
        }
    }
}

/// The items of a list, the first of them where the cursor stands.
fn list(json: &mut Json<'_>, indent: usize, out: &mut String) {
    let mut at = 0;
    loop {
        if at > 0 {
            spaces(indent, out);
        }
        at += 1;
        out.push_str("- ");
        match json.peek_into() {
            Shape::Map => entries(json, indent + 2, out),
            Shape::List => list(json, indent + 2, out),
            Shape::Leaf => leaf(json, indent + 2, out),
        }
        if !json.goes_on() {
            return;
        }
    }
}

/// What stands on one line, or is a block of text below it.
fn leaf(json: &mut Json<'_>, indent: usize, out: &mut String) {
    if json.text.as_bytes()[json.at] == b'"' {
        let text = json.string();
        if is_block(&text) {
            return block(&text, indent, out);
        }
        inline(&text, out);
    } else {
        out.push_str(json.word());
    }
    out.push('\n');
}

/// Whether a text can stand as it is below a `|`: no reader needs a hint to see where it begins and ends.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with("\n\n")
        && text.lines().all(|line| line.is_empty() || !line.trim().is_empty())
        && text.chars().all(|c| matches!(c, ' '..='~' | '\n' | '\t') || is_printable(c))
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
        && bytes.iter().all(|&byte| is_harmless(byte))
        && !matches!(bytes.last(), Some(b' ' | b':'))
        && !bytes.windows(2).any(|pair| matches!(pair, b": " | b" #"))
        && !is_word(text)
        && !is_like_a_number(text)
        && scalar::resolve(text, Dialect::Kubectl) == Resolved::Text
        && scalar::resolve(text, Dialect::Kustomize) == Resolved::Text
}

fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b' ' | b'-'
                | b'_'
                | b'.'
                | b'/'
                | b':'
                | b'='
                | b'+'
                | b'@'
                | b','
                | b'%'
                | b'('
                | b')'
                | b'#'
                | b'$'
                | b';'
                | b'~'
                | b'^'
                | b'*'
                | b'&'
                | b'!'
                | b'?'
        )
}

/// The words of YAML 1.1 in any case: some readers are looser about it than go-yaml.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    text.len() <= 5 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
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
