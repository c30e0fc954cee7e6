//! Where in a text each node of its documents stands, from its first byte to its last: for who changes one of them and leaves
//! all else as a person wrote it.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// A node, and the bytes that it takes. An anchor or a tag before it is not among them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outline {
    pub bytes: Range<usize>,
    /// Counts from one, as a [`crate::object::Place`] does.
    pub line: usize,
    pub column: usize,
    pub form: Form,
}

/// How a node is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// `key:`, and nothing after it.
    Missing,
    Alias,
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    List {
        flow: bool,
        items: Vec<Outline>,
    },
    Map {
        flow: bool,
        entries: Vec<(Outline, Outline)>,
    },
}

impl Outline {
    /// Whether a reader leaves out a document that is nothing but this.
    fn is_nothing(&self) -> bool {
        match &self.form {
            Form::Missing => true,
            Form::Scalar { text, style: ScalarStyle::Plain } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The child that a part of a JSON pointer leads to, and its number. Of keys that are there twice, the last.
    pub fn child(&self, part: &str) -> Option<(usize, &Outline)> {
        match &self.form {
            Form::List { items, .. } => {
                let at = part.parse().ok()?;
                Some((at, items.get(at)?))
            }
            Form::Map { entries, .. } => {
                let is_it = |(key, _): &(Outline, Outline)| matches!(&key.form, Form::Scalar { text, .. } if text == part);
                let at = entries.iter().rposition(is_it)?;
                Some((at, &entries[at].1))
            }
            _ => None,
        }
    }
}

/// A collection whose end has not been seen yet.
struct Open {
    is_map: bool,
    flow: bool,
    from: usize,
    line: usize,
    column: usize,
    children: Vec<Outline>,
}

impl Open {
    fn close(self, end: usize) -> Outline {
        let Self { is_map, flow, from, line, column, children } = self;
        let bytes = match (flow, children.first(), children.last()) {
            // The parser sees the end of a block where the next thing begins.
            (false, Some(first), Some(last)) => first.bytes.start..last.bytes.end,
            _ => from..end,
        };
        let form = match is_map {
            false => Form::List { flow, items: children },
            true => {
                let mut entries = Vec::with_capacity(children.len() / 2);
                let mut children = children.into_iter();
                while let (Some(key), Some(value)) = (children.next(), children.next()) {
                    entries.push((key, value));
                }
                Form::Map { flow, entries }
            }
        };
        Outline { bytes, line, column, form }
    }
}

/// The documents of a text that [`super::read`] takes, without those in which there is nothing.
pub(super) fn outline(text: &str) -> Option<Vec<Outline>> {
    let mut documents = Vec::new();
    let mut stack: Vec<Open> = Vec::new();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.ok()?;
        let (start, end) = (span.start.byte_offset()?, span.end.byte_offset()?);
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let open = |is_map: bool, style: StructureStyle| {
            let flow = style == StructureStyle::Flow;
            Open { is_map, flow, from: start, line, column, children: Vec::new() }
        };
        let node = match event {
            Event::SequenceStart(style, ..) => {
                stack.push(open(false, style));
                continue;
            }
            Event::MappingStart(style, ..) => {
                stack.push(open(true, style));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => stack.pop()?.close(end),
            Event::Alias(_) => Outline { bytes: start..end, line, column, form: Form::Alias },
            Event::Scalar(words, style @ (ScalarStyle::Literal | ScalarStyle::Folded), ..) => {
                let bytes = block(text, start..end)?;
                // The parser tells where the content begins.
                let line = line - text[bytes.start..start.max(bytes.start)].matches('\n').count();
                let form = Form::Scalar { text: words.into_owned(), style };
                Outline { bytes, line, column, form }
            }
            Event::Scalar(words, style, ..) => {
                let bytes = start..start + text.get(start..end)?.trim_end().len();
                let form = match bytes.is_empty() {
                    true => Form::Missing,
                    false => Form::Scalar { text: words.into_owned(), style },
                };
                Outline { bytes, line, column, form }
            }
            _ => continue,
        };
        match stack.last_mut() {
            Some(open) => open.children.push(node),
            None => documents.push(node),
        }
    }
    documents.retain(|document| !document.is_nothing());
    Some(documents)
}

/// What a block of text takes, from its `|` or `>` on, without the line breaks behind it.
fn block(text: &str, span: Range<usize>) -> Option<Range<usize>> {
    let start = header(text, span.start)?;
    let first = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let (mut end, mut at, mut indent) = (first, first + 1, None);
    while at < text.len().min(span.end) {
        let line_end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        let line = &text[at..line_end];
        if !line.trim().is_empty() {
            let here = line.len() - line.trim_start_matches(' ').len();
            if here < *indent.get_or_insert(here) {
                break;
            }
            end = line_end;
        }
        at = line_end + 1;
    }
    Some(start..if text[..end].ends_with('\r') { end - 1 } else { end })
}

/// Where the `|` or `>` stands before which nothing of the content is.
fn header(text: &str, content: usize) -> Option<usize> {
    if text[content..].starts_with(['|', '>']) && is_header(&text[content..]) {
        return Some(content);
    }
    let lead = text[..content].trim_end();
    let line = lead.rfind('\n').map_or(0, |at| at + 1);
    let mut marks = text[line..].char_indices().take_while(|(at, _)| line + at < lead.len());
    marks.find(|(at, c)| matches!(c, '|' | '>') && is_header(&text[line + at..])).map(|(at, _)| line + at)
}

/// Whether a line goes on as the head of a block: how it ends, how far it is indented, a comment.
fn is_header(text: &str) -> bool {
    let line = text[1..].split('\n').next().unwrap_or_default();
    let rest = line.trim_start_matches(|c: char| matches!(c, '+' | '-') || c.is_ascii_digit());
    rest.trim().is_empty() || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
}
