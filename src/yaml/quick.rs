//! The short way for files as people write them: block maps and lists, one-line scalars, literal blocks, brackets on
//! one line, JSON.
//!
//! Most of a render's time is the reading of YAML, and most of that goes into what YAML could be. This reader knows only
//! what nearly every manifest consists of, and gives up on all else: tags, anchors, tabs, folded blocks, texts over
//! several lines, and whatever is wrong. Then the file is read from its start by the whole parser, whose answer
//! counts. What this one does read, it must read as that one does, places included: a test holds the two together.

use std::borrow::Cow;

use granit_parser::ScalarStyle;

use super::build::{Builder, Mark};
use super::text::number;
use line::{begins_plain, closing_quote, is_ordinary, key_end, plain_end, unquote};

mod brackets;
mod line;
#[cfg(test)]
mod tests;

/// This file needs the whole parser.
pub(super) struct GiveUp;

type Quick<T = ()> = Result<T, GiveUp>;

/// YAML takes no key of more than 1,024 characters unless `?` announces it.
const KEY_BYTES: usize = 1_000;

/// A collection that is open, and the column where its keys or dashes stand.
struct Open {
    indent: usize,
    is_list: bool,
    /// A key or a dash whose value has not been seen.
    awaits: bool,
}

struct Reader<'t, 'b, 'p> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    line: usize,
    line_start: usize,
    /// Up to where characters were counted on this line, and how many there were: lines of JSON can be long.
    counted: (usize, usize),
    builder: &'b mut Builder<'p>,
    stack: Vec<Open>,
    /// The open collection between brackets, outermost first: whether it is a list.
    flow: Vec<bool>,
}

/// Reads all documents of a file; `ended` is called where each one ends.
pub(super) fn read<'p>(
    text: &str,
    builder: &mut Builder<'p>,
    ended: &mut dyn FnMut(&mut Builder<'p>) -> Result<(), GiveUp>,
) -> Quick {
    if !is_ordinary(text.as_bytes()) {
        return Err(GiveUp);
    }
    let bytes = text.as_bytes();
    let (stack, flow) = (Vec::new(), Vec::new());
    let mut reader =
        Reader { text, bytes, at: 0, line: 1, line_start: 0, counted: (0, 0), builder, stack, flow };
    let mut has_content = false;
    while let Some(indent) = reader.next_line()? {
        if indent == 0 && reader.is_marker(b"---") {
            if has_content {
                reader.end_document()?;
                ended(reader.builder)?;
                has_content = false;
            }
            reader.at += 3;
            reader.end_line()?;
            continue;
        }
        if indent == 0 && (reader.is_marker(b"...") || reader.peek() == Some(b'%')) {
            return Err(GiveUp);
        }
        if has_content && reader.stack.is_empty() {
            return Err(GiveUp);
        }
        has_content = true;
        reader.line_of_document(indent)?;
    }
    if has_content {
        reader.end_document()?;
        ended(reader.builder)?;
    }
    Ok(())
}

impl<'t> Reader<'t, '_, '_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn mark(&mut self) -> Mark {
        if self.counted.0 < self.line_start || self.counted.0 > self.at {
            self.counted = (self.line_start, 0);
        }
        let (from, before) = self.counted;
        // Columns count characters, and these are the bytes that continue none.
        let more = self.bytes[from..self.at].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        self.counted = (self.at, before + more);
        Mark { line: number(self.line), column: number(before + more + 1) }
    }

    /// Goes to the first character of the next line that holds something; gives its column.
    fn next_line(&mut self) -> Quick<Option<usize>> {
        loop {
            self.skip_spaces();
            match self.peek() {
                None => return Ok(None),
                Some(b'\n') => self.line_break(),
                Some(b'#') => self.skip_line(),
                Some(b'\t') => return Err(GiveUp),
                Some(_) => return Ok(Some(self.at - self.line_start)),
            }
        }
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn line_break(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_start = self.at;
    }

    fn skip_line(&mut self) {
        self.at = self.end_of_line();
        if self.at < self.bytes.len() {
            self.line_break();
        }
    }

    fn end_of_line(&self) -> usize {
        self.bytes[self.at..].iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |n| self.at + n)
    }

    /// Nothing but spaces and a comment may follow on this line.
    fn end_line(&mut self) -> Quick {
        let before = self.at;
        self.skip_spaces();
        match self.peek() {
            None => Ok(()),
            Some(b'\n') => {
                self.line_break();
                Ok(())
            }
            Some(b'#') if self.at > before => {
                self.skip_line();
                Ok(())
            }
            Some(_) => Err(GiveUp),
        }
    }

    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), None | Some(b' ' | b'\n'))
    }

    fn is_marker(&self, marker: &[u8]) -> bool {
        self.bytes[self.at..].starts_with(marker) && self.is_blank(3)
    }

    fn end_document(&mut self) -> Quick {
        while !self.stack.is_empty() {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Quick {
        let mark = self.mark();
        match self.stack.pop() {
            Some(Open { awaits: true, is_list: true, .. }) => return Err(GiveUp),
            Some(Open { awaits: true, .. }) => self.put(Cow::Borrowed(""), ScalarStyle::Plain, mark)?,
            _ => {}
        }
        self.builder.close(mark).map_err(|_| GiveUp)
    }

    fn put(&mut self, text: Cow<'_, str>, style: ScalarStyle, mark: Mark) -> Quick {
        self.builder.plain(text, style, mark).map_err(|_| GiveUp)
    }

    fn has_dash(&self) -> bool {
        self.peek() == Some(b'-') && self.is_blank(1)
    }

    /// A line that stands at a column: it goes on with a collection that is open, or is the value that one awaits.
    fn line_of_document(&mut self, indent: usize) -> Quick {
        let (has_dash, begins) = (self.has_dash(), self.stack.is_empty());
        while let Some(top) = self.stack.last() {
            let is_over = indent < top.indent
                // A list may stand at the column of the key that holds it, and ends where a key follows.
                || indent == top.indent && top.is_list && !has_dash;
            if !is_over {
                break;
            }
            self.close()?;
        }
        let Some(top) = self.stack.last_mut() else {
            return if begins { self.node(indent) } else { Err(GiveUp) };
        };
        if indent > top.indent || has_dash && !top.is_list {
            // Deeper, or a list at the column of its key: the value of that key.
            if !top.awaits {
                return Err(GiveUp);
            }
            top.awaits = false;
            return self.node(indent);
        }
        if top.is_list {
            if std::mem::replace(&mut top.awaits, true) {
                return Err(GiveUp);
            }
            self.at += 1;
            return self.item();
        }
        if std::mem::replace(&mut top.awaits, false) {
            let mark = self.mark();
            self.put(Cow::Borrowed(""), ScalarStyle::Plain, mark)?;
        }
        self.entry()
    }

    /// What follows a dash.
    fn item(&mut self) -> Quick {
        let before = self.at;
        self.skip_spaces();
        match self.peek() {
            None => Err(GiveUp),
            Some(b'\n') => {
                self.line_break();
                Ok(())
            }
            Some(b'#') if self.at > before => {
                self.skip_line();
                Ok(())
            }
            Some(b'\t') => Err(GiveUp),
            Some(_) => {
                if let Some(top) = self.stack.last_mut() {
                    top.awaits = false;
                }
                self.node(self.at - self.line_start)
            }
        }
    }

    /// A node that begins here: a list, a map, or a value alone.
    fn node(&mut self, column: usize) -> Quick {
        let mark = self.mark();
        if self.has_dash() {
            self.builder.open_list(false, mark).map_err(|_| GiveUp)?;
            self.stack.push(Open { indent: column, is_list: true, awaits: true });
            self.at += 1;
            return self.item();
        }
        if self.begins_entry()? {
            self.builder.open_map(false, mark).map_err(|_| GiveUp)?;
            self.stack.push(Open { indent: column, is_list: false, awaits: false });
            return self.entry();
        }
        self.value()
    }

    /// Whether a key stands here: the line goes on to a `: `.
    fn begins_entry(&self) -> Quick<bool> {
        let line = &self.bytes[self.at..self.end_of_line()];
        match line.first() {
            Some(b'{' | b'[' | b'|' | b'>') => Ok(false),
            Some(quote @ (b'"' | b'\'')) => {
                let Some(end) = closing_quote(line, *quote) else { return Err(GiveUp) };
                let after = line[end + 1..].trim_ascii_start();
                match after {
                    [b':', b' ', ..] | [b':'] => Ok(true),
                    [b':', ..] => Err(GiveUp),
                    _ => Ok(false),
                }
            }
            Some(_) => Ok(key_end(line).is_some()),
            None => Err(GiveUp),
        }
    }

    /// A key, and its value where that begins on the same line.
    fn entry(&mut self) -> Quick {
        let mark = self.mark();
        let line = &self.text[self.at..self.end_of_line()];
        match line.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => {
                let Some(end) = closing_quote(line.as_bytes(), *quote) else { return Err(GiveUp) };
                let colon = end + 1 + line[end + 1..].len() - line[end + 1..].trim_ascii_start().len();
                if !matches!(line.as_bytes()[colon..], [b':'] | [b':', b' ', ..]) || end > KEY_BYTES {
                    return Err(GiveUp);
                }
                let (text, style) = unquote(&line[..=end])?;
                self.put(text, style, mark)?;
                self.at += colon + 1;
            }
            Some(_) => {
                let Some(end) = key_end(line.as_bytes()) else { return Err(GiveUp) };
                let key = line[..end].trim_ascii_end();
                if !begins_plain(key.as_bytes()) || end > KEY_BYTES {
                    return Err(GiveUp);
                }
                self.put(Cow::Borrowed(key), ScalarStyle::Plain, mark)?;
                self.at += end + 1;
            }
            None => return Err(GiveUp),
        }
        let before = self.at;
        self.skip_spaces();
        match self.peek() {
            None => self.awaits_value(),
            Some(b'\n') => {
                self.awaits_value();
                self.line_break();
            }
            Some(b'#') if self.at > before => {
                self.awaits_value();
                self.skip_line();
            }
            Some(_) if self.has_dash() => return Err(GiveUp),
            Some(_) => return self.value(),
        }
        Ok(())
    }

    fn awaits_value(&mut self) {
        if let Some(top) = self.stack.last_mut() {
            top.awaits = true;
        }
    }

    /// A value that is no block collection, to the end of its line.
    fn value(&mut self) -> Quick {
        let mark = self.mark();
        let line = &self.text[self.at..self.end_of_line()];
        match line.as_bytes()[0] {
            b'|' => return self.literal(),
            b'{' | b'[' => self.brackets()?,
            quote @ (b'"' | b'\'') => {
                let Some(end) = closing_quote(line.as_bytes(), quote) else { return Err(GiveUp) };
                let (text, style) = unquote(&line[..=end])?;
                self.put(text, style, mark)?;
                self.at += end + 1;
            }
            _ => {
                let end = plain_end(line.as_bytes())?;
                let text = line[..end].trim_ascii_end();
                if !begins_plain(text.as_bytes()) {
                    return Err(GiveUp);
                }
                self.put(Cow::Borrowed(text), ScalarStyle::Plain, mark)?;
                self.at += end;
                self.end_line()?;
                return self.ends_here();
            }
        }
        self.end_line()?;
        self.ends_here()
    }

    /// After a value on one line, nothing may be indented below it: text that goes on there is for the whole parser.
    fn ends_here(&mut self) -> Quick {
        let (at, line, line_start) = (self.at, self.line, self.line_start);
        let next = self.next_line()?;
        let goes_on = match (next, self.stack.last()) {
            (None, _) => false,
            (Some(_), None) => !self.is_marker(b"---"),
            (Some(indent), Some(top)) => indent > top.indent,
        };
        (self.at, self.line, self.line_start) = (at, line, line_start);
        if goes_on { Err(GiveUp) } else { Ok(()) }
    }

    /// `|` and `|-`: the lines below, without their common indentation.
    fn literal(&mut self) -> Quick {
        let mut mark = Mark { line: 0, column: 0 };
        let Some(parent) = self.stack.last().map(|top| top.indent) else { return Err(GiveUp) };
        self.at += 1;
        let strip = self.peek() == Some(b'-');
        self.at += usize::from(strip);
        if self.peek() != Some(b'\n') {
            return Err(GiveUp);
        }
        self.line_break();
        let mut text = String::new();
        let mut indent = None;
        // Line breaks that count only if another line follows.
        let mut breaks = 0;
        loop {
            let line = &self.text[self.at..self.end_of_line()];
            let spaces = line.bytes().take_while(|byte| *byte == b' ').count();
            let is_blank = spaces == line.len();
            if is_blank && indent.is_none_or(|indent| spaces <= indent) {
                if self.at + line.len() == self.bytes.len() {
                    if !line.is_empty() {
                        return Err(GiveUp);
                    }
                    break;
                }
                if indent.is_none() {
                    // Blank lines ahead of the text: how far they may be indented is a matter of its own.
                    return Err(GiveUp);
                }
                breaks += 1;
                self.skip_line();
                continue;
            }
            let indent = *indent.get_or_insert_with(|| {
                // The parser takes the text to begin where its first line does.
                mark = Mark { line: number(self.line), column: number(spaces + 1) };
                spaces
            });
            if spaces < indent || indent <= parent {
                if spaces > parent {
                    return Err(GiveUp);
                }
                break;
            }
            let content = &line[indent..];
            if content.starts_with('\t') || self.at + line.len() == self.bytes.len() {
                return Err(GiveUp);
            }
            text.extend(std::iter::repeat_n('\n', breaks));
            text.push_str(content);
            breaks = 1;
            self.skip_line();
        }
        if indent.is_none() || text.is_empty() {
            return Err(GiveUp);
        }
        if !strip {
            text.push('\n');
        }
        self.put(Cow::Owned(text), ScalarStyle::Literal, mark)
    }
}
