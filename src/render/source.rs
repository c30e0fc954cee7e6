//! Text of the tree and where it stands: whole files, and text inside a kustomization.yaml (`patch: |-`).

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::object::{Place, Problem, TreePath};
use crate::yaml::{self, Dialect, Document, Limits, Node};

/// Text that is read on its own: a file, or a block of one.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    path: TreePath,
    /// Lines of the file before the first of this text.
    before: u32,
    /// Set where the text's lines are not the file's (a quoted string): then everything stands at this line.
    pinned: Option<u32>,
    bytes: Arc<[u8]>,
    /// Where each line starts, found when first asked for.
    lines: Arc<OnceLock<Vec<usize>>>,
}

impl Text {
    pub fn file(path: TreePath, bytes: Arc<[u8]>) -> Self {
        Self { path, before: 0, pinned: None, bytes, lines: Arc::default() }
    }

    /// Text that a value of another file holds. Its lines are known where it is a block that starts below its key.
    pub fn inline(place: &Place, text: &str, is_block: bool) -> Self {
        let pinned = (!is_block).then_some(place.line);
        Self {
            path: place.path.clone(),
            before: place.line,
            pinned,
            bytes: text.as_bytes().into(),
            lines: Arc::default(),
        }
    }

    /// The same without space at its ends.
    pub fn trimmed(&self) -> Self {
        let rest = self.bytes.trim_ascii_start();
        let lead = &self.bytes[..self.bytes.len() - rest.len()];
        let lines = lead.iter().filter(|byte| **byte == b'\n').count();
        let before = self.before + u32::try_from(lines).unwrap_or_default();
        Self { before, bytes: rest.trim_ascii_end().into(), lines: Arc::default(), ..self.clone() }
    }

    fn line(&self, number: u32) -> Option<&str> {
        let starts = self.lines.get_or_init(|| {
            let after =
                self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(after).collect()
        });
        let nth = usize::try_from(number).ok()?.checked_sub(1)?;
        let end = starts.get(nth + 1).map_or(self.bytes.len(), |next| next - 1);
        std::str::from_utf8(self.bytes.get(*starts.get(nth)?..end)?).ok()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn place_at(&self, line: u32) -> Place {
        Place::at(self.path.clone(), self.pinned.unwrap_or(self.before + line), 1)
    }

    fn shift(&self, place: Place) -> Place {
        match (self.pinned, self.before) {
            (None, 0) => place,
            (Some(line), _) => Place::at(place.path, line, 1),
            (None, before) => Place { line: place.line + before, ..place },
        }
    }

    /// Typed files and values of them: looked at by pointer.
    pub fn documents(&self, dialect: Dialect, limits: &Limits) -> Result<Vec<Doc>, Problem> {
        let read = yaml::read(&self.bytes, &self.path, dialect, limits);
        let documents = read.map_err(|problem| self.shifted(problem))?;
        Ok(documents.into_iter().map(|document| Doc { document, text: self.clone() }).collect())
    }

    /// Objects and patches: worked on as they are written.
    pub fn nodes(&self, dialect: Dialect, limits: &Limits) -> Result<Vec<(Node, Place)>, Problem> {
        let read = yaml::nodes(&self.bytes, &self.path, dialect, limits);
        let nodes = read.map_err(|problem| self.shifted(problem))?;
        Ok(nodes.into_iter().map(|(node, place)| (node, self.shift(place))).collect())
    }

    fn shifted(&self, problem: Problem) -> Problem {
        Problem { place: problem.place.map(|place| self.shift(place)), ..problem }
    }
}

/// A document and the text that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Doc {
    document: Document,
    text: Text,
}

impl Doc {
    pub fn value(&self) -> &Value {
        self.document.value()
    }

    pub fn place(&self) -> Place {
        self.place_of("")
    }

    pub fn place_of(&self, pointer: &str) -> Place {
        self.text.shift(self.document.place_of(pointer))
    }

    /// The text of a plain scalar as it is written, and whether it stands in quotes or a block; `None` where its place
    /// does not tell (it came by an alias or a merge key).
    pub fn written(&self, pointer: &str) -> Option<Written> {
        let place = self.document.place_of(pointer);
        let line = self.text.line(place.line)?;
        let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let at = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
        let last = pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
        scalar_after_key(&line[at..], &last)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    Quoted,
    Plain(String),
}

/// What stands after `key:` (or after nothing, in a list), up to the end of a plain scalar on this line.
fn scalar_after_key(line: &str, key: &str) -> Option<Written> {
    let rest = match line.chars().next() {
        _ if key.parse::<usize>().is_ok() && !line.starts_with(key) => line,
        Some(quote @ ('"' | '\'')) => {
            let end = line[1..].find(quote)? + 2;
            let after = line[end..].trim_start();
            match after.strip_prefix(':') {
                Some(after) => after,
                None => return Some(Written::Quoted),
            }
        }
        _ => match line.strip_prefix(key).map(str::trim_start).and_then(|rest| rest.strip_prefix(':')) {
            Some(after) => after,
            None if key.parse::<usize>().is_ok() => line,
            None => return None,
        },
    };
    let rest = rest.trim_start();
    match rest.chars().next() {
        Some('"' | '\'' | '|' | '>') => return Some(Written::Quoted),
        Some('*' | '&' | '!') => return None,
        _ => {}
    }
    let end = rest.find(" #").unwrap_or(rest.len());
    let end = rest[..end].find([',', '}', ']']).unwrap_or(end);
    let plain = if rest.starts_with('#') { "" } else { rest[..end].trim_end() };
    Some(Written::Plain(plain.to_owned()))
}
