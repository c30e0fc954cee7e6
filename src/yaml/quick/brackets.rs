//! Lists and maps between brackets, JSON among them.

use std::borrow::Cow;

use granit_parser::ScalarStyle;

use super::super::build::Mark;
use super::line::{begins_plain, closing_quote, flow_plain_end, unquote};
use super::{GiveUp, KEY_BYTES, Quick, Reader};

impl Reader<'_, '_, '_> {
    /// A list or map between brackets; line breaks in it are taken only where nothing is around it, as in JSON.
    pub(super) fn brackets(&mut self) -> Quick {
        debug_assert!(self.flow.is_empty());
        loop {
            let mark = self.mark();
            match self.peek() {
                Some(b'[') => {
                    self.builder.open_list(true, mark).map_err(|_| GiveUp)?;
                    self.flow.push(true);
                    self.at += 1;
                    self.skip_flow_space()?;
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b'{') => {
                    self.builder.open_map(true, mark).map_err(|_| GiveUp)?;
                    self.flow.push(false);
                    self.at += 1;
                    self.skip_flow_space()?;
                    if self.peek() != Some(b'}') {
                        self.flow_key()?;
                        continue;
                    }
                }
                _ => self.flow_scalar(mark)?,
            }
            // After a value: what closes, and then a comma or the end.
            loop {
                self.skip_flow_space()?;
                let Some(is_list) = self.flow.last().copied() else { return Ok(()) };
                match (self.peek(), is_list) {
                    (Some(b']'), true) | (Some(b'}'), false) => {
                        let mark = self.mark();
                        self.at += 1;
                        self.flow.pop();
                        self.builder.close(mark).map_err(|_| GiveUp)?;
                        if self.flow.is_empty() {
                            return Ok(());
                        }
                    }
                    (Some(b','), _) => {
                        self.at += 1;
                        self.skip_flow_space()?;
                        if !is_list {
                            self.flow_key()?;
                        }
                        break;
                    }
                    _ => return Err(GiveUp),
                }
            }
        }
    }

    fn skip_flow_space(&mut self) -> Quick {
        loop {
            self.skip_spaces();
            match self.peek() {
                Some(b'\n') if self.stack.is_empty() => {
                    self.line_break();
                    // What looks like the start of a document ends this one, brackets or not.
                    if self.is_marker(b"---") || self.is_marker(b"...") {
                        return Err(GiveUp);
                    }
                }
                Some(b'\n' | b'#' | b'\t') | None => return Err(GiveUp),
                Some(_) => return Ok(()),
            }
        }
    }

    /// A key in braces and its colon.
    fn flow_key(&mut self) -> Quick {
        let mark = self.mark();
        let is_quoted = matches!(self.peek(), Some(b'"' | b'\''));
        if !is_quoted && matches!(self.peek(), Some(b'{' | b'[')) {
            return Err(GiveUp);
        }
        let start = self.at;
        self.flow_scalar(mark)?;
        if self.at - start > KEY_BYTES {
            return Err(GiveUp);
        }
        let after = self.at;
        self.skip_spaces();
        if self.peek() != Some(b':') {
            return Err(GiveUp);
        }
        // As in JSON, the value may follow at once where quotes end the key.
        let may_touch = is_quoted && self.at == after;
        self.at += 1;
        if !may_touch && !self.is_blank(0) {
            return Err(GiveUp);
        }
        self.skip_flow_space()?;
        match self.peek() {
            Some(b',' | b'}' | b']') | None => Err(GiveUp),
            Some(_) => Ok(()),
        }
    }

    fn flow_scalar(&mut self, mark: Mark) -> Quick {
        let rest = &self.text[self.at..];
        match rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => {
                let Some(end) = closing_quote(rest.as_bytes(), *quote) else { return Err(GiveUp) };
                let (text, style) = unquote(&rest[..=end])?;
                self.put(text, style, mark)?;
                self.at += end + 1;
            }
            Some(_) => {
                let end = flow_plain_end(rest.as_bytes())?;
                let text = rest[..end].trim_ascii_end();
                if !begins_plain(text.as_bytes()) {
                    return Err(GiveUp);
                }
                self.put(Cow::Borrowed(text), ScalarStyle::Plain, mark)?;
                self.at += end;
            }
            None => return Err(GiveUp),
        }
        Ok(())
    }
}
