//! Quoted text whose further lines stand too far to the left: `description: 'one` and below it, at the key's own column,
//! `two'`. YAML does not allow it; go-yaml reads it as if it stood further in, and older definitions are full of it.
//!
//! Such lines are moved to the right before the text is read again. What begins a line of quoted text means nothing, so
//! nothing of the text changes by it. Where quoted text is, is found here by a look at each line; whoever reads the moved
//! text sees to it that each line that was moved did belong to quoted text ([`Moved::saw`]), or refuses.

use std::collections::BTreeSet;

/// The text with such lines moved.
pub(super) struct Moved {
    pub text: String,
    /// Lines that were moved and not yet seen in quoted text, counted from 1.
    unseen: BTreeSet<usize>,
}

impl Moved {
    /// Quoted text reaches from one line to another.
    pub fn saw(&mut self, first: usize, last: usize) {
        if first < last && !self.unseen.is_empty() {
            let seen: Vec<usize> = self.unseen.range(first + 1..=last).copied().collect();
            for line in seen {
                self.unseen.remove(&line);
            }
        }
    }

    pub fn is_all_quoted(&self) -> bool {
        self.unseen.is_empty()
    }
}

/// Where a line begins.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    /// In quoted text that began at this column.
    Quotes(u8, usize),
    /// In a block (`|`, `>`) below a line of this indentation, whose own one is known after its first line.
    Block(usize, Option<usize>),
}

/// Moves such lines of a text.
pub(super) fn moved(text: &str) -> Moved {
    let mut moved =
        Moved { text: String::with_capacity(text.len() + text.len() / 8), unseen: BTreeSet::new() };
    let mut scan = Scan { within: Within::Nothing, depth: 0 };
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if let Within::Quotes(_, column) = scan.within
            && !line.trim().is_empty()
            && !is_marker(line)
        {
            moved.text.extend(std::iter::repeat_n(' ', column + 1));
            moved.unseen.insert(number);
        }
        moved.text.push_str(line);
        scan.line(line.as_bytes());
    }
    moved
}

fn is_marker(line: &str) -> bool {
    ["---", "..."].iter().any(|marker| {
        line.strip_prefix(marker)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    })
}

struct Scan {
    within: Within,
    /// Brackets that are open.
    depth: usize,
}

impl Scan {
    fn line(&mut self, line: &[u8]) {
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let is_blank = line.trim_ascii().is_empty();
        match self.within {
            Within::Quotes(quote, column) => return self.quoted(line, 0, quote, column),
            Within::Block(..) if is_blank => return,
            Within::Block(parent, None) if indent > parent => {
                self.within = Within::Block(parent, Some(indent));
                return;
            }
            Within::Block(_, Some(own)) if indent >= own => return,
            Within::Block(..) | Within::Nothing => self.within = Within::Nothing,
        }
        self.plain(line, indent, indent, true);
    }

    /// Quoted text, up to where it ends.
    fn quoted(&mut self, line: &[u8], from: usize, quote: u8, column: usize) {
        let mut at = from;
        while let Some(byte) = line.get(at) {
            match byte {
                b'\\' if quote == b'"' => at += 1,
                byte if *byte == quote && quote == b'\'' && line.get(at + 1) == Some(&quote) => at += 1,
                byte if *byte == quote => {
                    self.within = Within::Nothing;
                    return self.plain(line, at + 1, 0, false);
                }
                _ => {}
            }
            at += 1;
        }
        self.within = Within::Quotes(quote, column);
    }

    /// What is no quoted text. `begins` where a value may begin.
    fn plain(&mut self, line: &[u8], from: usize, indent: usize, mut begins: bool) {
        let mut at = from;
        while let Some(byte) = line.get(at) {
            let ends = line.get(at + 1).is_none_or(u8::is_ascii_whitespace);
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'#' if at == 0 || line[at - 1].is_ascii_whitespace() => return,
                b'"' | b'\'' if begins => return self.quoted(line, at + 1, *byte, at),
                b'&' | b'!' if begins => {
                    at += line[at..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
                    continue;
                }
                b'|' | b'>' if begins && self.depth == 0 => {
                    self.within = Within::Block(indent, None);
                    return;
                }
                b'[' | b'{' if begins => self.depth += 1,
                b']' | b'}' if self.depth > 0 => {
                    self.depth -= 1;
                    begins = false;
                }
                b',' if self.depth > 0 => begins = true,
                b'-' | b'?' if begins && ends => {}
                b':' if ends || self.depth > 0 && !begins => begins = true,
                _ => begins = false,
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::moved;

    #[test]
    fn lines_of_quoted_text_move_and_no_others() {
        for (text, lines) in [
            ("a: 'b\nc'\nd: e\n", vec![2]),
            ("a:\n  b: \"c\n\n  d \\\" e\n  f\"\n  g: h\n", vec![4, 5]),
            ("- 'it''s\n  so'\n- b\n", vec![2]),
            ("a: {b: 'c\n d', e: f}\n", vec![2]),
            ("a: |\n  it's\n  so\nb: >-\n  \"x\nc: d\n", vec![]),
            ("a: it's\nb: c # 'd\ne: f\n", vec![]),
            ("a: &x !!str 'b\nc'\n", vec![2]),
            ("a: 'b\n---\nc'\n", vec![3]),
        ] {
            let moved = moved(text);
            assert_eq!(moved.unseen.iter().copied().collect::<Vec<_>>(), lines, "{text:?}");
        }
    }
}
