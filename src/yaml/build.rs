//! Events to one value: a stack of open collections instead of recursion, so that depth costs no stack.

use std::borrow::Cow;
use std::fmt::Write as _;

use granit_parser::{Event, ScalarStyle, Span, StructureStyle, Tag};
use serde_json::{Map, Value};

use super::anchors::{Anchors, Refused};
use super::read::too_deep;
use super::refold::refold;
use super::scalar::{self, Resolved};
use super::spans::{Spans, hash};
use super::tags;
use super::text::number;
use super::{Dialect, Limits};
use crate::object::{Place, Problem, TreePath};

type Read<T = ()> = Result<T, Problem>;

/// A collection whose end has not been seen yet.
struct Open {
    kind: Kind,
    /// Its own node in the spans.
    span: usize,
    anchor: usize,
    flow: bool,
}

enum Kind {
    List(Vec<Value>),
    Map {
        map: Map<String, Value>,
        key: Key,
        merges: Vec<Map<String, Value>>,
    },
}

/// What the next node of a map is.
enum Key {
    Awaited,
    Given(String, Mark),
    Merge(Mark),
}

#[derive(Clone, Copy)]
struct Mark {
    line: u32,
    column: u32,
}

impl Mark {
    fn of(span: &Span) -> Self {
        Self {
            line: number(span.start.line()),
            column: number(span.start.col() + 1),
        }
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
    root: Option<Value>,
    spans: Spans,
}

impl<'a> Builder<'a> {
    pub fn new(text: &str, path: &'a TreePath, dialect: Dialect, limits: &'a Limits) -> Self {
        let anchors = Anchors::new(limits);
        // kubectl reads line by line and supplies what is missing; kustomize does not.
        let last = text.rsplit('\n').next().unwrap_or_default();
        let unended = (dialect != Dialect::Kubectl && !last.trim().is_empty()).then_some(text.len());
        Self {
            path,
            dialect,
            limits,
            anchors,
            unended,
            stack: Vec::new(),
            root: None,
            spans: Spans::default(),
        }
    }

    /// The document that just ended, where it had content.
    pub fn finish(&mut self) -> Option<(Value, Spans)> {
        self.anchors.forget();
        let mut spans = std::mem::take(&mut self.spans);
        spans.shrink();
        self.root.take().map(|value| (value, spans))
    }

    pub fn event(&mut self, event: Event<'_>, span: &Span) -> Read {
        let mark = Mark::of(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // The parser writes `~` for a node that is not there.
                let absent = style == ScalarStyle::Plain && span.is_empty();
                let text = if absent { Cow::Borrowed("") } else { text };
                let text = self.block(text, style, span);
                self.scalar(text, style, anchor, tag.as_deref(), mark)
            }
            Event::Alias(id) => self.alias(id, mark),
            Event::SequenceStart(style, anchor, _) => self.open(Kind::List(Vec::new()), style, anchor, mark),
            Event::MappingStart(style, anchor, _) => {
                let kind = Kind::Map {
                    map: Map::new(),
                    key: Key::Awaited,
                    merges: Vec::new(),
                };
                self.open(kind, style, anchor, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(mark),
            _ => Ok(()),
        }
    }

    /// A block scalar as the tool has it.
    fn block<'t>(&self, text: Cow<'t, str>, style: ScalarStyle, span: &Span) -> Cow<'t, str> {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return text;
        }
        let mut text = text.into_owned();
        if self.unended.is_some() && span.end.byte_offset() == self.unended && text.ends_with('\n') {
            text.pop();
        }
        if style == ScalarStyle::Folded && self.dialect == Dialect::Kustomize {
            text = refold(&text);
        }
        text.into()
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        mark: Mark,
    ) -> Read {
        let resolved =
            tags::resolve(&text, style, tag, self.dialect).map_err(|why| self.problem(mark, why))?;
        if self.awaits_key() {
            if anchor != 0 {
                let value = self.value(text.clone(), resolved.clone(), mark)?;
                self.keep(anchor, &value, mark)?;
            }
            return self.key(&text, resolved, mark);
        }
        let value = self.value(text, resolved, mark)?;
        if anchor != 0 {
            self.keep(anchor, &value, mark)?;
        }
        let span = self.enter(mark);
        self.spend(mark)?;
        self.spans.close(span);
        self.put(value, mark)
    }

    fn value(&self, text: Cow<'_, str>, resolved: Resolved, mark: Mark) -> Read<Value> {
        // Before its second reading kustomize puts quotes around what cannot stand plain between braces.
        let quoted = self.dialect == Dialect::Kustomize && self.stack.last().is_some_and(|open| open.flow);
        Ok(match resolved {
            Resolved::Null if quoted && text.is_empty() => Value::String(String::new()),
            Resolved::Time(_) if quoted && text.contains(':') => Value::String(text.into_owned()),
            Resolved::Time(time) if self.dialect == Dialect::Kustomize => Value::String(time),
            Resolved::Null => Value::Null,
            Resolved::Bool(truth) => Value::Bool(truth),
            Resolved::Tagged(text) => Value::String(text),
            Resolved::Text | Resolved::Time(_) | Resolved::Merge => Value::String(text.into_owned()),
            number => match scalar::json_number(&number) {
                Some(number) => number,
                None => {
                    return Err(self
                        .problem(mark, "infinity and not-a-number have no place in JSON".to_owned())
                        .hint("put the value in quotes if it is text"));
                }
            },
        })
    }

    fn key(&mut self, text: &str, resolved: Resolved, mark: Mark) -> Read {
        self.spend(mark)?;
        if resolved == Resolved::Merge {
            self.give_key(Key::Merge(mark));
            return Ok(());
        }
        let Some(key) = scalar::key(resolved, text, self.dialect) else {
            let problem = self.problem(mark, "a key here is not text".to_owned());
            return Err(problem.hint("put the key in quotes"));
        };
        self.give_key(Key::Given(key, mark));
        Ok(())
    }

    fn give_key(&mut self, given: Key) {
        if let Some(Open {
            kind: Kind::Map { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = given;
        }
    }

    fn alias(&mut self, id: usize, mark: Mark) -> Read {
        let depth_left = self.limits.depth.saturating_sub(self.stack.len());
        let value = self
            .anchors
            .expand(id, depth_left)
            .map_err(|refused| self.refused(&refused, mark))?;
        if self.awaits_key() {
            let resolved = match &value {
                Value::String(_) => Resolved::Text,
                Value::Bool(truth) => Resolved::Bool(*truth),
                Value::Number(number) => match number.as_i64() {
                    Some(int) => Resolved::Int(int),
                    None => number.as_f64().map_or(Resolved::Null, Resolved::Float),
                },
                Value::Null | Value::Array(_) | Value::Object(_) => Resolved::Null,
            };
            return self.key(value.as_str().unwrap_or_default(), resolved, mark);
        }
        let span = self.enter(mark);
        self.spans.close(span);
        self.put(value, mark)
    }

    fn open(&mut self, kind: Kind, style: StructureStyle, anchor: usize, mark: Mark) -> Read {
        if self.awaits_key() {
            let problem = self.problem(mark, "a list or map cannot be a key".to_owned());
            return Err(problem.hint("if this is a template's {{ … }}, put it in quotes"));
        }
        if self.stack.len() >= self.limits.depth {
            return Err(too_deep(self.place(mark), self.limits));
        }
        self.spend(mark)?;
        let span = self.enter(mark);
        let flow = style == StructureStyle::Flow;
        self.stack.push(Open {
            kind,
            span,
            anchor,
            flow,
        });
        Ok(())
    }

    fn close(&mut self, mark: Mark) -> Read {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        self.spans.close(open.span);
        let value = match open.kind {
            Kind::List(items) => Value::Array(items),
            Kind::Map { mut map, merges, .. } => {
                // An explicit key wins over a merged one, an earlier merge over a later one.
                for (key, value) in merges.into_iter().flatten() {
                    map.entry(key).or_insert(value);
                }
                Value::Object(map)
            }
        };
        if open.anchor != 0 {
            self.keep(open.anchor, &value, mark)?;
        }
        self.put(value, mark)
    }

    /// Puts a finished node where its parent awaits it.
    fn put(&mut self, value: Value, mark: Mark) -> Read {
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        let (map, key, merges) = match &mut parent.kind {
            Kind::List(items) => {
                items.push(value);
                return Ok(());
            }
            Kind::Map { map, key, merges } => (map, key, merges),
        };
        match std::mem::replace(key, Key::Awaited) {
            Key::Awaited => Err(self.problem(mark, "a value has no key".to_owned())),
            Key::Merge(at) => match merge(value, map, merges, self.dialect) {
                Ok(()) => Ok(()),
                Err(why) => Err(self.problem(at, why.to_owned())),
            },
            Key::Given(key, at) => {
                use serde_json::map::Entry;
                let mut entry = match map.entry(key) {
                    Entry::Vacant(entry) => {
                        entry.insert(value);
                        return Ok(());
                    }
                    Entry::Occupied(entry) => entry,
                };
                let first = self.spans.first_child(parent.span, hash(entry.key()));
                if first == Some((at.line, at.column)) {
                    // Until now a merge had provided it.
                    entry.insert(value);
                    return Ok(());
                }
                let (line, _) = first.unwrap_or_default();
                let message = format!("the key {:?} is given twice, first in line {line}", entry.key());
                Err(self.problem(at, message).hint("remove one of the two"))
            }
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Open {
                kind: Kind::Map {
                    key: Key::Awaited,
                    ..
                },
                ..
            })
        )
    }

    /// Opens the span of a node that is about to begin: at its key where it has one.
    fn enter(&mut self, mark: Mark) -> usize {
        let (key, mark) = match self.stack.last().map(|open| &open.kind) {
            None => (0, mark),
            Some(Kind::List(items)) => (number(items.len()), mark),
            Some(Kind::Map {
                key: Key::Given(key, at),
                ..
            }) => (hash(key), *at),
            Some(Kind::Map {
                key: Key::Merge(at), ..
            }) => (hash("<<"), *at),
            Some(Kind::Map {
                key: Key::Awaited, ..
            }) => (hash(""), mark),
        };
        self.spans.open(key, mark.line, mark.column)
    }

    fn spend(&mut self, mark: Mark) -> Read {
        self.anchors
            .spend(1)
            .map_err(|refused| self.refused(&refused, mark))
    }

    fn keep(&mut self, anchor: usize, value: &Value, mark: Mark) -> Read {
        self.anchors
            .keep(anchor, value)
            .map_err(|refused| self.refused(&refused, mark))
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

    fn place(&self, mark: Mark) -> Place {
        Place::at(self.path.clone(), mark.line, mark.column)
    }

    fn problem(&self, mark: Mark, message: String) -> Problem {
        let path = self.key_path();
        let message = if path.is_empty() {
            message
        } else {
            format!("{path}: {message}")
        };
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
                Kind::Map {
                    key: Key::Given(key, _),
                    ..
                } => {
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

/// Takes in what `<<` brings.
///
/// In YAML, and in kustomize, what the map says itself wins. In go-yaml v2, so for kubectl, the later line wins. Of a
/// list the earlier map wins in both.
fn merge(
    value: Value,
    map: &mut Map<String, Value>,
    merges: &mut Vec<Map<String, Value>>,
    dialect: Dialect,
) -> Result<(), &'static str> {
    const TAKES: &str = "<< takes a map or a list of maps";
    let brought = match value {
        Value::Object(map) => vec![map],
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => Ok(map),
                _ => Err(TAKES),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(TAKES),
    };
    if dialect != Dialect::Kustomize {
        map.extend(brought.into_iter().rev().flatten());
        return Ok(());
    }
    if !merges.is_empty() {
        return Err("<< is given twice; write one with a list");
    }
    *merges = brought;
    Ok(())
}
