//! Events to one value: a stack of open collections instead of recursion, so that depth costs no stack.

use std::borrow::Cow;
use std::fmt::Write as _;

use granit_parser::{Event, ScalarStyle, Span, StructureStyle};

use super::anchors::{Anchors, Refused};
use super::leaf::{self, KeyText, Scalar, Unfit};
use super::map::Growing;
use super::merge::{self, Brought, Waiting};
use super::spans::{Spans, hash};
use super::text::number;
use super::{Dialect, Limits, Node, ambiguous};
use crate::object::{Note, Place, Problem, TreePath};

type Read<T = ()> = Result<T, Problem>;

pub(super) fn too_deep(place: Place, limits: &Limits) -> Problem {
    Problem::at(place, format!("lists and maps are nested more than {} deep", limits.depth))
}

/// A collection whose end has not been seen yet.
struct Open {
    kind: Kind,
    /// Its own node in the spans.
    span: usize,
    anchor: usize,
    flow: bool,
}

enum Kind {
    List(Vec<Node>),
    Map { map: Growing, key: Key, waiting: Waiting, brought: Brought },
}

impl Kind {
    fn map() -> Self {
        Self::Map {
            map: Growing::default(),
            key: Key::Awaited,
            waiting: Waiting::new(),
            brought: Brought::default(),
        }
    }
}

/// What the next node of a map is.
enum Key {
    Awaited,
    Given(String, Mark),
    Merge(Mark),
}

/// Where a node begins: both count from one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub line: u32,
    pub column: u32,
}

impl Mark {
    fn of(span: &Span) -> Self {
        Self { line: number(span.start.line()), column: number(span.start.col() + 1) }
    }
}

pub(super) struct Builder<'a> {
    path: &'a TreePath,
    dialect: Dialect,
    limits: &'a Limits,
    anchors: Anchors,
    /// Bytes of the text, where a block that ends with it lacks its last line break.
    unended: Option<usize>,
    stack: Vec<Open>,
    root: Option<Node>,
    spans: Spans,
    /// What kustomize and kubectl read differently, where that is asked for.
    notes: Option<Vec<Note>>,
}

impl<'a> Builder<'a> {
    pub fn new(text: &str, path: &'a TreePath, dialect: Dialect, limits: &'a Limits) -> Self {
        let anchors = Anchors::new(limits);
        let last = text.rsplit('\n').next().unwrap_or_default();
        let unended = (!last.trim().is_empty()).then_some(text.len());
        Self {
            path,
            dialect,
            limits,
            anchors,
            unended,
            stack: Vec::new(),
            root: None,
            spans: Spans::default(),
            notes: None,
        }
    }

    /// Looks for what kustomize and kubectl read differently, too.
    pub fn watch(&mut self) {
        self.notes = Some(Vec::new());
    }

    pub fn notes(self) -> Vec<Note> {
        self.notes.unwrap_or_default()
    }

    /// The document that just ended, where it had content.
    pub fn finish(&mut self) -> Option<(Node, Spans)> {
        self.anchors.forget();
        let spans = std::mem::take(&mut self.spans);
        self.root.take().map(|value| (value, spans))
    }

    pub fn event(&mut self, event: Event<'_>, span: &Span) -> Read {
        let mark = Mark::of(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // The parser writes `~` for a node that is not there.
                let absent = style == ScalarStyle::Plain && span.is_empty();
                let text = if absent { Cow::Borrowed("") } else { text };
                let unended = self.unended.is_some() && span.end.byte_offset() == self.unended;
                let flow = self.stack.last().is_some_and(|open| open.flow);
                self.scalar(Scalar { text, style, tag: tag.as_deref(), flow, unended }, anchor, mark)
            }
            Event::Alias(id) => self.alias(id, mark),
            Event::SequenceStart(style, anchor, _) => {
                self.open(Kind::List(Vec::new()), style == StructureStyle::Flow, anchor, mark)
            }
            Event::MappingStart(style, anchor, _) => {
                self.open(Kind::map(), style == StructureStyle::Flow, anchor, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(mark),
            _ => Ok(()),
        }
    }

    /// A scalar without tag and anchor.
    pub fn plain(&mut self, text: Cow<'_, str>, style: ScalarStyle, mark: Mark) -> Read {
        let flow = self.stack.last().is_some_and(|open| open.flow);
        self.scalar(Scalar { text, style, tag: None, flow, unended: false }, 0, mark)
    }

    pub fn open_list(&mut self, flow: bool, mark: Mark) -> Read {
        self.open(Kind::List(Vec::new()), flow, 0, mark)
    }

    pub fn open_map(&mut self, flow: bool, mark: Mark) -> Read {
        self.open(Kind::map(), flow, 0, mark)
    }

    fn scalar(&mut self, scalar: Scalar<'_>, anchor: usize, mark: Mark) -> Read {
        self.spend(mark)?;
        if self.awaits_key() {
            if anchor != 0 {
                let value = scalar.clone().value(self.dialect).map_err(|unfit| self.unfit(unfit, mark))?;
                self.keep(anchor, &value, mark)?;
            }
            if self.notes.is_some() {
                self.note(ambiguous::key(&scalar), mark);
            }
            let key = scalar.key(self.dialect).map_err(|unfit| self.unfit(unfit, mark))?;
            self.give_key(key, mark);
            return Ok(());
        }
        if self.notes.is_some() {
            let at = match self.stack.last().map(|open| &open.kind) {
                Some(Kind::Map { key: Key::Given(_, at), .. }) => *at,
                _ => mark,
            };
            self.note(ambiguous::value(&scalar), at);
        }
        let value = scalar.value(self.dialect).map_err(|unfit| self.unfit(unfit, mark))?;
        if anchor != 0 {
            self.keep(anchor, &value, mark)?;
        }
        let span = self.enter(mark);
        self.spans.close(span);
        self.put(value)
    }

    fn give_key(&mut self, given: KeyText, mark: Mark) {
        if let Some(Open { kind: Kind::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = match given {
                KeyText::Text(text) => Key::Given(text, mark),
                KeyText::Merge => Key::Merge(mark),
            };
        }
    }

    fn alias(&mut self, id: usize, mark: Mark) -> Read {
        let depth_left = self.limits.depth.saturating_sub(self.stack.len());
        let value = self.anchors.expand(id, depth_left).map_err(|refused| self.refused(&refused, mark))?;
        if self.awaits_key() {
            let key = leaf::alias_key(&value, self.dialect).map_err(|unfit| self.unfit(unfit, mark))?;
            self.give_key(key, mark);
            return Ok(());
        }
        let span = self.enter(mark);
        self.spans.close(span);
        self.put(value)
    }

    fn open(&mut self, kind: Kind, flow: bool, anchor: usize, mark: Mark) -> Read {
        if self.awaits_key() {
            let problem = self.problem(mark, "a list or map cannot be a key".to_owned());
            return Err(problem.hint("if this is a template's {{ … }}, put it in quotes"));
        }
        if self.stack.len() >= self.limits.depth {
            return Err(too_deep(self.place(mark), self.limits));
        }
        self.spend(mark)?;
        let span = self.enter(mark);
        self.stack.push(Open { kind, span, anchor, flow });
        Ok(())
    }

    pub fn close(&mut self, mark: Mark) -> Read {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        self.spans.close(open.span);
        let value = match open.kind {
            Kind::List(items) => Node::List(items),
            Kind::Map { mut map, waiting, .. } => {
                merge::finish(&mut map, waiting);
                Node::Map(map.finish())
            }
        };
        if open.anchor != 0 {
            self.keep(open.anchor, &value, mark)?;
        }
        self.put(value)
    }

    /// Puts a finished node where its parent awaits it.
    fn put(&mut self, value: Node) -> Read {
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        let (map, key, waiting, brought) = match &mut parent.kind {
            Kind::List(items) => {
                items.push(value);
                return Ok(());
            }
            Kind::Map { map, key, waiting, brought } => (map, key, waiting, brought),
        };
        match std::mem::replace(key, Key::Awaited) {
            // The parser gives every key its node and every value its key.
            Key::Awaited => Ok(()),
            Key::Merge(at) => {
                let noted = self.notes.is_some() && merge::depends_on_order(&value, map);
                let merged = merge::merge(value, map, waiting, brought, self.dialect);
                self.note(noted.then_some(ambiguous::MERGE), at);
                merged.map_err(|unfit| self.unfit(unfit, at))
            }
            Key::Given(key, at) => {
                let Err((key, value)) = map.add(key, value) else { return Ok(()) };
                if brought.remove(&key) {
                    map.set(key, value);
                    return Ok(());
                }
                let (line, _) = self.spans.first_child(parent.span, hash(&key)).unwrap_or_default();
                let message = format!("the key {key:?} is given twice, first in line {line}");
                Err(self.problem(at, message).hint("remove one of the two"))
            }
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { kind: Kind::Map { key: Key::Awaited, .. }, .. }))
    }

    /// Opens the span of a node that is about to begin: at its key where it has one.
    fn enter(&mut self, mark: Mark) -> usize {
        let (key, mark) = match self.stack.last().map(|open| &open.kind) {
            None => (0, mark),
            Some(Kind::List(items)) => (number(items.len()), mark),
            Some(Kind::Map { key: Key::Given(key, at), .. }) => (hash(key), *at),
            Some(Kind::Map { key: Key::Merge(at), .. }) => (hash("<<"), *at),
            Some(Kind::Map { key: Key::Awaited, .. }) => (hash(""), mark),
        };
        self.spans.open(key, mark.line, mark.column)
    }

    fn spend(&mut self, mark: Mark) -> Read {
        self.anchors.spend(1).map_err(|refused| self.refused(&refused, mark))
    }

    fn keep(&mut self, anchor: usize, value: &Node, mark: Mark) -> Read {
        self.anchors.keep(anchor, value).map_err(|refused| self.refused(&refused, mark))
    }

    fn refused(&self, refused: &Refused, mark: Mark) -> Problem {
        match refused {
            Refused::Circular => self.problem(mark, "this alias stands inside what it names".to_owned()),
            Refused::TooDeep => too_deep(self.place(mark), self.limits),
            Refused::TooMuch => Problem::at(
                self.place(mark),
                format!(
                    "with its aliases written out this file holds more than {} nodes or {} bytes of copied text",
                    self.limits.nodes, self.limits.alias_bytes
                ),
            ),
        }
    }

    fn unfit(&self, unfit: Unfit, mark: Mark) -> Problem {
        let problem = self.problem(mark, unfit.message);
        match unfit.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    fn note(&mut self, message: Option<impl Into<String>>, mark: Mark) {
        let (Some(message), Some(_)) = (message, &self.notes) else { return };
        let Problem { place, message, .. } = self.problem(mark, message.into());
        self.notes.get_or_insert_default().push(Note { place, message });
    }

    fn place(&self, mark: Mark) -> Place {
        Place::at(self.path.clone(), mark.line, mark.column)
    }

    fn problem(&self, mark: Mark, message: String) -> Problem {
        let path = self.key_path();
        let message = if path.is_empty() { message } else { format!("{path}: {message}") };
        Problem::at(self.place(mark), message)
    }

    /// The keys that lead to what is being read: `spec.containers[0].env`.
    fn key_path(&self) -> String {
        let mut path = String::new();
        for open in &self.stack {
            match &open.kind {
                Kind::List(items) => {
                    write!(path, "[{}]", items.len()).expect("writing to a String cannot fail");
                }
                Kind::Map { key: Key::Given(key, _), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Kind::Map { .. } => {}
            }
        }
        path
    }
}
