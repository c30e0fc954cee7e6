//! Changes one value in a text, and nothing else of it: comments, order, quotes and indentation stay.
//!
//! What was changed is read again, and has to be what it was but for that value. So what is written in a way that is not
//! understood here is never changed wrongly; it is not changed at all.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::outline::{Form, Outline, outline};
use super::{Dialect, Limits, read, write};
use crate::object::TreePath;

/// A text whose documents are changed one value at a time.
#[derive(Clone, Debug)]
pub struct Editor {
    text: String,
    dialect: Dialect,
}

/// A node that stands at a line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Its document, from 0, of those in which there is something.
    pub document: usize,
    /// A JSON pointer.
    pub pointer: String,
    /// Where the line is within text that this node holds: the line there, from 1.
    pub inner: Option<u32>,
}

impl Editor {
    /// Takes a text that can be read and whose places are understood.
    pub fn new(text: &str, dialect: Dialect) -> Option<Self> {
        let editor = Self { text: text.to_owned(), dialect };
        let outlines = outline(editor.body())?;
        (editor.values()?.len() == outlines.len()).then_some(editor)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    fn body(&self) -> &str {
        self.text.strip_prefix('\u{FEFF}').unwrap_or(&self.text)
    }

    pub fn values(&self) -> Option<Vec<Value>> {
        let path = TreePath::root();
        let read = read(self.text.as_bytes(), &path, self.dialect, &Limits::default()).ok()?;
        Some(read.into_iter().map(super::Document::into_value).collect())
    }

    /// The nodes that begin at a place (those of keys where their keys do), the outermost first; where there are none, the
    /// text in which that line is.
    pub fn spots(&self, line: u32, column: u32) -> Vec<Spot> {
        let mut found = Vec::new();
        let Some(documents) = outline(self.body()) else { return found };
        let mut within = Vec::new();
        let (line, column) = (line as usize, column as usize);
        for (document, root) in documents.iter().enumerate() {
            let mut look = |pointer: &str, head: &Outline, node: &Outline| {
                let spot = |inner| Spot { document, pointer: pointer.to_owned(), inner };
                if (head.line, head.column) == (line, column) {
                    found.push(spot(None));
                }
                if let Form::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } = node.form {
                    let lines = self.body()[node.bytes.clone()].matches('\n').count();
                    if node.line < line && line <= node.line + lines {
                        within.extend(u32::try_from(line - node.line).ok().map(|inner| spot(Some(inner))));
                    }
                }
            };
            each(root, root, &mut String::new(), &mut look);
        }
        if found.is_empty() { within } else { found }
    }

    /// Sets the value at a JSON pointer, or takes it away; what is missing on the way is made, and `-` adds to a list.
    /// Nothing where that cannot be done with certainty.
    pub fn set(&self, document: usize, pointer: &str, value: Option<&Value>) -> Option<Self> {
        let parts: Vec<String> =
            pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        let mut expected = self.values()?;
        put(expected.get_mut(document)?, &parts, value)?;
        let documents = outline(self.body())?;
        let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let edited = Rewrite { text: self.body(), newline }.set(documents.get(document)?, &parts, value)?;
        let mark = &self.text[..self.text.len() - self.body().len()];
        let edited = Self { text: format!("{mark}{edited}"), dialect: self.dialect };
        (edited.values()? == expected).then_some(edited)
    }
}

fn each(
    head: &Outline,
    node: &Outline,
    pointer: &mut String,
    look: &mut impl FnMut(&str, &Outline, &Outline),
) {
    look(pointer, head, node);
    let length = pointer.len();
    match &node.form {
        Form::List { items, .. } => {
            for (nth, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{nth}"));
                each(item, item, pointer, look);
                pointer.truncate(length);
            }
        }
        Form::Map { entries, .. } => {
            for (key, value) in entries {
                let Form::Scalar { text, .. } = &key.form else { continue };
                pointer.push('/');
                pointer.push_str(&text.replace('~', "~0").replace('/', "~1"));
                each(key, value, pointer, look);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// The same change of the value that was read.
fn put(value: &mut Value, parts: &[String], new: Option<&Value>) -> Option<()> {
    let Some((first, rest)) = parts.split_first() else {
        *value = new?.clone();
        return Some(());
    };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => match (rest.is_empty(), new) {
            (true, None) => map.remove(first).map(drop),
            (true, Some(new)) => {
                map.insert(first.clone(), new.clone());
                Some(())
            }
            (false, None) => put(map.get_mut(first)?, rest, None),
            (false, Some(_)) => put(map.entry(first.clone()).or_insert(Value::Null), rest, new),
        },
        Value::Array(items) => {
            let at = if first == "-" { items.len() } else { first.parse().ok()? };
            match (rest.is_empty(), new) {
                (true, None) if at < items.len() => drop(items.remove(at)),
                (true, Some(new)) if at == items.len() => items.push(new.clone()),
                (true, Some(new)) => *items.get_mut(at)? = new.clone(),
                _ => put(items.get_mut(at)?, rest, new)?,
            }
            Some(())
        }
        _ => None,
    }
}

struct Rewrite<'a> {
    text: &'a str,
    newline: &'a str,
}

/// Where a node hangs: its parent, and its number there.
type Step<'a> = (&'a Outline, usize);

impl Rewrite<'_> {
    fn set(&self, root: &Outline, parts: &[String], value: Option<&Value>) -> Option<String> {
        let (mut node, mut way, mut rest): (_, Vec<Step<'_>>, _) = (root, Vec::new(), parts);
        while let Some((first, more)) = rest.split_first() {
            let Some((at, child)) = node.child(first) else { break };
            way.push((node, at));
            (node, rest) = (child, more);
        }
        match (rest.split_first(), value) {
            (None, Some(value)) => self.replace(&way, node, value),
            (None, None) => self.remove(&way),
            (Some(_), None) => None,
            (Some((key, more)), Some(value)) => {
                let nest =
                    |inner: Value, key: &String| Value::Object([(key.clone(), inner)].into_iter().collect());
                let value = more.iter().rev().fold(value.clone(), nest);
                self.insert(&way, node, key, &value)
            }
        }
    }

    fn splice(&self, bytes: Range<usize>, with: &str) -> Option<String> {
        let (before, after) = (self.text.get(..bytes.start)?, self.text.get(bytes.end..)?);
        let with = if self.newline == "\n" { with.to_owned() } else { with.replace('\n', self.newline) };
        Some(format!("{before}{with}{after}"))
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// The end of a line, its break not included.
    fn line_end(&self, at: usize) -> usize {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |length| at + length);
        if self.text[at..end].ends_with('\r') { end - 1 } else { end }
    }

    /// The byte after the colon of a key.
    fn after_colon(&self, key: &Outline) -> Option<usize> {
        let rest = self.text.get(key.bytes.end..)?;
        let colon = rest.find(':')?;
        rest[..colon].trim().is_empty().then_some(key.bytes.end + colon + 1)
    }

    fn replace(&self, way: &[Step<'_>], node: &Outline, value: &Value) -> Option<String> {
        let in_flow = way.iter().any(|(parent, _)| is_flow(parent));
        let (parent, at) = way.last()?;
        let key = match &parent.form {
            Form::Map { entries, .. } => Some(&entries[*at].0),
            _ => None,
        };
        // In the indentation of what holds it.
        let indent = match key {
            Some(key) => key.column + 1,
            None => node.column - 1,
        };
        if in_flow || (is_flow(node) && !is_plain(value) && !is_empty(node)) {
            let with = flow(value, style(node));
            return match (&node.form, key) {
                (Form::Missing, Some(key)) => {
                    let at = self.after_colon(key)?;
                    self.splice(at..at, &format!(" {with}"))
                }
                _ => self.splice(node.bytes.clone(), &with),
            };
        }
        let is_on_its_line = |key: &Outline| {
            self.text.get(key.bytes.end..node.bytes.start).is_some_and(|gap| !gap.contains('\n'))
        };
        let is_block = matches!(node.form, Form::List { flow: false, .. } | Form::Map { flow: false, .. });
        let text = self.leaf(node, value, indent);
        match (text, key) {
            (Some(leaf), Some(key))
                if matches!(node.form, Form::Missing) || (is_block && !is_on_its_line(key)) =>
            {
                let from = self.after_colon(key)?;
                let end = if is_block { node.bytes.end } else { from };
                self.splice(from..end, &format!(" {leaf}"))
            }
            (Some(leaf), _) => self.splice(node.bytes.clone(), &leaf),
            (None, Some(key)) => {
                let from = self.after_colon(key)?;
                let end = if matches!(node.form, Form::Missing) { from } else { node.bytes.end };
                let indent = if is_block { node.column - 1 } else { indent };
                self.splice(from..end, &format!("\n{}", block(value, indent, true)))
            }
            (None, None) => self.splice(node.bytes.clone(), &block(value, indent, false)),
        }
    }

    /// A value that begins on the line of its key: all but lists and maps that hold something.
    fn leaf(&self, node: &Outline, value: &Value, indent: usize) -> Option<String> {
        match value {
            Value::Object(map) if !map.is_empty() => None,
            Value::Array(items) if !items.is_empty() => None,
            Value::String(text) => {
                let is_block = matches!(style(node), Some(ScalarStyle::Literal | ScalarStyle::Folded));
                if is_block || text.contains('\n') {
                    let written = &self.text[node.bytes.clone()];
                    let old = written.lines().skip(1).find(|line| !line.trim().is_empty());
                    let indent = match old {
                        Some(line) if is_block => line.len() - line.trim_start_matches(' ').len(),
                        _ => indent,
                    };
                    if let Some(literal) = literal(text, indent) {
                        return Some(literal);
                    }
                }
                Some(scalar(value, style(node)))
            }
            value => Some(scalar(value, style(node))),
        }
    }

    fn remove(&self, way: &[Step<'_>]) -> Option<String> {
        let ((parent, at), above) = way.split_last()?;
        let (heads, ends): (Vec<&Outline>, Vec<usize>) = match &parent.form {
            Form::List { items, .. } => items.iter().map(|item| (item, item.bytes.end)).unzip(),
            Form::Map { entries, .. } => {
                entries.iter().map(|(key, value)| (key, value.bytes.end.max(key.bytes.end))).unzip()
            }
            _ => return None,
        };
        if heads.len() == 1 {
            let empty = if matches!(parent.form, Form::Map { .. }) {
                Value::Object(Map::new())
            } else {
                Value::Array(Vec::new())
            };
            return self.replace(above, parent, &empty);
        }
        if way.iter().any(|(parent, _)| is_flow(parent)) {
            return match at {
                0 => self.splice(heads[0].bytes.start..heads[1].bytes.start, ""),
                at => self.splice(ends[at - 1]..ends[*at], ""),
            };
        }
        let start = heads[*at].bytes.start;
        let line = self.line_start(start);
        let lead = self.text.get(line..start)?.trim();
        let is_alone = match &parent.form {
            Form::Map { .. } => lead.is_empty(),
            _ => lead == "-",
        };
        if is_alone {
            let end = self.line_end(ends[*at]);
            let after = self.text[ends[*at]..end].trim();
            let end = end + self.text[end..].find('\n').map_or(0, |at| at + 1);
            return (after.is_empty() || after.starts_with('#')).then(|| self.splice(line..end, ""))?;
        }
        // The first key of an item of a list: the next one takes its place beside the dash.
        let gap = self.text.get(ends[*at]..heads.get(at + 1)?.bytes.start)?;
        (lead == "-" && !gap.contains('#')).then(|| self.splice(start..heads[at + 1].bytes.start, ""))?
    }

    fn insert(&self, way: &[Step<'_>], node: &Outline, key: &str, value: &Value) -> Option<String> {
        let entry = |value: &Value| Value::Object([(key.to_owned(), value.clone())].into_iter().collect());
        let in_flow = is_flow(node) || way.iter().any(|(parent, _)| is_flow(parent));
        match &node.form {
            Form::Map { entries, .. } => match entries.last() {
                None => self.replace(way, node, &entry(value)),
                Some((last_key, last)) => {
                    let end = last.bytes.end.max(last_key.bytes.end);
                    if in_flow {
                        let inner = flow(&entry(value), None);
                        return self.splice(end..end, &format!(", {}", &inner[1..inner.len() - 1]));
                    }
                    let end = self.line_end(end);
                    self.splice(
                        end..end,
                        &format!("\n{}", block(&entry(value), entries[0].0.column - 1, true)),
                    )
                }
            },
            Form::List { items, .. } => match items.last() {
                None => self.replace(way, node, &Value::Array(vec![value.clone()])),
                Some(last) if in_flow => {
                    self.splice(last.bytes.end..last.bytes.end, &format!(", {}", flow(value, None)))
                }
                Some(last) => {
                    let line = self.line_start(last.bytes.start);
                    let lead = self.text.get(line..last.bytes.start)?;
                    let dash = lead.find('-').filter(|_| lead.trim() == "-")?;
                    let end = self.line_end(last.bytes.end);
                    let item = block(&Value::Array(vec![value.clone()]), dash, true);
                    self.splice(end..end, &format!("\n{item}"))
                }
            },
            Form::Missing => self.replace(way, node, &entry(value)),
            Form::Scalar { text, style: ScalarStyle::Plain } if matches!(text.as_str(), "~" | "null") => {
                self.replace(way, node, &entry(value))
            }
            _ => None,
        }
    }
}

fn style(node: &Outline) -> Option<ScalarStyle> {
    match node.form {
        Form::Scalar { style, .. } => Some(style),
        _ => None,
    }
}

fn is_flow(node: &Outline) -> bool {
    matches!(node.form, Form::List { flow: true, .. } | Form::Map { flow: true, .. })
}

fn is_empty(node: &Outline) -> bool {
    match &node.form {
        Form::List { items, .. } => items.is_empty(),
        Form::Map { entries, .. } => entries.is_empty(),
        _ => false,
    }
}

fn is_plain(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A value on one line, in the quotes of what stood there where it is text.
fn scalar(value: &Value, style: Option<ScalarStyle>) -> String {
    match (value, style) {
        (Value::String(text), Some(ScalarStyle::SingleQuoted)) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        (Value::String(_), Some(ScalarStyle::DoubleQuoted)) => value.to_string(),
        _ => {
            let text = write(value);
            let text = text.trim_end_matches('\n');
            if text.contains('\n') { value.to_string() } else { text.to_owned() }
        }
    }
}

/// A value within brackets.
fn flow(value: &Value, style: Option<ScalarStyle>) -> String {
    match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| {
                format!("{}: {}", flow(&Value::from(key.as_str()), None), flow(value, None))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| flow(item, None)).collect::<Vec<_>>().join(", "))
        }
        value => {
            let text = scalar(value, style);
            let is_quoted = text.starts_with(['"', '\'']);
            match value.is_string() && !is_quoted && text.contains([',', '[', ']', '{', '}', ':', '#']) {
                true => value.to_string(),
                false => text,
            }
        }
    }
}

/// Lists and maps over several lines. The first line is indented, too, where it is the first of its own.
fn block(value: &Value, indent: usize, is_first: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let spaces = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = scalar(&Value::from(key.as_str()), None);
                lines.push(format!("{spaces}{key}:{}", below(value, indent)));
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let inner = match item {
                    Value::String(text) => match literal(text, indent + 2).filter(|_| text.contains('\n')) {
                        Some(literal) => literal,
                        None => scalar(item, None),
                    },
                    item => block(item, indent + 2, false),
                };
                lines.push(format!("{spaces}- {inner}"));
            }
        }
        value => lines.push(format!("{spaces}{}", scalar(value, None))),
    }
    let text = lines.join("\n");
    if is_first { text } else { text[indent.min(text.len())..].to_owned() }
}

/// What stands after the colon of a key at an indentation.
fn below(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => format!("\n{}", block(value, indent + 2, true)),
        Value::Array(items) if !items.is_empty() => format!("\n{}", block(value, indent, true)),
        Value::String(text) => match literal(text, indent + 2).filter(|_| text.contains('\n')) {
            Some(literal) => format!(" {literal}"),
            None => format!(" {}", scalar(value, None)),
        },
        value => format!(" {}", scalar(value, None)),
    }
}

/// Text as a block of its lines; nothing where a block cannot hold it.
fn literal(text: &str, indent: usize) -> Option<String> {
    let body = text.trim_end_matches('\n');
    let breaks = text.len() - body.len();
    let is_fit = |c: char| {
        c == '\n' || !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}')
    };
    if body.is_empty() || body.starts_with([' ', '\n']) || !text.chars().all(is_fit) || breaks > 1 {
        return None;
    }
    let header = if breaks == 0 { "|-" } else { "|" };
    let spaces = " ".repeat(indent);
    let lines = body.split('\n').map(|line| match line.is_empty() {
        true => "\n".to_owned(),
        false => format!("\n{spaces}{line}"),
    });
    Some(format!("{header}{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(text: &str, pointer: &str, value: Option<Value>) -> Option<String> {
        let edited = Editor::new(text, Dialect::Kustomize)?.set(0, pointer, value.as_ref())?;
        Some(edited.text().to_owned())
    }

    #[test]
    fn a_value_is_changed_and_all_else_stays() {
        for (text, pointer, value, wanted) in [
            ("# a\na: 1 # one\nb: 2\n", "/a", json!(3), "# a\na: 3 # one\nb: 2\n"),
            ("a: 'x' # one\n", "/a", json!("it's"), "a: 'it''s' # one\n"),
            ("a: \"x\"\n", "/a", json!("y\nz\n"), "a: |\n  y\n  z\n"),
            ("a: x\n", "/a", json!("yes"), "a: \"yes\"\n"),
            ("a: |\n    one\n\n    two\n# c\nb: 1\n", "/a", json!("three\n"), "a: |\n    three\n# c\nb: 1\n"),
            ("a: [1, {b: x}] # c\n", "/a/1/b", json!("y, z"), "a: [1, {b: \"y, z\"}] # c\n"),
            ("a:\n- b: 1\n  # c\n- b: 2\n", "/a/1/b", json!(3), "a:\n- b: 1\n  # c\n- b: 3\n"),
            ("a:\nb: 1\n", "/a", json!({"c": [1]}), "a:\n  c:\n  - 1\nb: 1\n"),
            ("a:\n  b: 1 # c\nd: 2\n", "/a/e/f", json!(3), "a:\n  b: 1 # c\n  e:\n    f: 3\nd: 2\n"),
            ("a: {b: 1}\n", "/a/c", json!(2), "a: {b: 1, c: 2}\n"),
            ("a: {}\n", "/a/c", json!(2), "a:\n  c: 2\n"),
            ("a:\n  - 1 # c\n", "/a/-", json!("x"), "a:\n  - 1 # c\n  - x\n"),
            ("a: &x 1\nb: *x\n", "/b", json!(2), "a: &x 1\nb: 2\n"),
            ("a: 1\r\nb: 2\r\n", "/c", json!({"d": 1}), "a: 1\r\nb: 2\r\nc:\r\n  d: 1\r\n"),
            ("a: >-\n  x\n  y\n", "/a", json!("z"), "a: |-\n  z\n"),
            ("a:\n- - 1\n  - 2\n", "/a/0/1", json!(3), "a:\n- - 1\n  - 3\n"),
        ] {
            assert_eq!(set(text, pointer, Some(value)).as_deref(), Some(wanted), "{text:?} {pointer}");
        }
    }

    #[test]
    fn a_value_is_taken_away_with_its_lines() {
        for (text, pointer, wanted) in [
            ("a: 1 # one\n# b\nb: 2\n", "/a", "# b\nb: 2\n"),
            ("a:\n  b:\n    c: 1\n  d: 2\n", "/a/b", "a:\n  d: 2\n"),
            ("a:\n  b: 1\nc: 2\n", "/a/b", "a: {}\nc: 2\n"),
            ("a:\n- b: 1\n  c: 2\n", "/a/0/b", "a:\n- c: 2\n"),
            ("a:\n- b: 1\n- c: 2\n", "/a/0", "a:\n- c: 2\n"),
            ("a: {b: 1, c: 2}\n", "/a/b", "a: {c: 2}\n"),
            ("a: {b: 1, c: 2}\n", "/a/c", "a: {b: 1}\n"),
            ("a: [1, 2, 3]\n", "/a/1", "a: [1, 3]\n"),
        ] {
            assert_eq!(set(text, pointer, None).as_deref(), Some(wanted), "{text:?} {pointer}");
        }
    }

    #[test]
    fn what_is_not_certain_is_not_done() {
        // Both would change; what is not there cannot go; a root is a whole file.
        assert_eq!(set("a: &x 1\nb: *x\n", "/a", Some(json!(2))), None);
        assert_eq!(set("a: 1\n", "/b", None), None);
        assert_eq!(set("a: 1\n", "", Some(json!(1))), None);
        assert!(Editor::new("a: [", Dialect::Kustomize).is_none());
    }

    #[test]
    fn a_place_leads_to_its_node_and_into_text() {
        let text = "a:\n- name: x\n  patch: |-\n    # c\n    b: 1\n";
        let editor = Editor::new(text, Dialect::Config).unwrap();
        let spots = |line, column| -> Vec<(String, Option<u32>)> {
            editor.spots(line, column).into_iter().map(|spot| (spot.pointer, spot.inner)).collect()
        };
        assert_eq!(spots(2, 3), [("/a/0".to_owned(), None), ("/a/0/name".to_owned(), None)]);
        assert_eq!(spots(5, 1), [("/a/0/patch".to_owned(), Some(2))]);
        assert!(spots(9, 1).is_empty());
    }
}
